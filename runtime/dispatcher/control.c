/* control.c - rounds and their end, draining, faults of the disk.
 *
 *   new -> running -> finished -> running (a later dispatch) ...
 *             `-> stopped (drained, work left) or canceled (work given up)
 *
 * A drain asks what runs to end, kills it near the end of the grace time, and
 * takes the leases back when that is over: it always ends.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

#define RETRY_NS 1000000000ull

static uint64_t in_seconds(const rt_session *s, double seconds) {
  return s->engine->now + rt__ns(seconds);
}

/* --- draining ---------------------------------------------------------------
 */
static void ask_running(rt_session *s, bool kill) {
  rt__executor *ex = &s->engine->executor;
  const char *reason = s->reason ? s->reason : "stopped";
  for (size_t i = 0; i < s->slot_room; i++) {
    rt__live *live = s->slots[i];
    if (!live || (live->asked && !kill)) continue;
    live->asked = true;
    rt__lease lease = rt__live_lease(s, live);
    ex->cancel(ex->self, s, lease, reason, kill);
  }
}

void rt__session_drain(rt_session *s, const char *reason, double grace) {
  uint64_t giveup = in_seconds(s, grace > 0.05 ? grace : 0.05);
  s->touched = true;
  if (s->drained) return;
  if (!s->draining) {
    s->draining = true;
    s->reason = strdup(reason ? reason : "canceled");
    s->giveup_ns = giveup;
    s->kill_ns = in_seconds(s, grace * 0.8);
    s->killed = false;
    ask_running(s, false);
  } else if (giveup < s->giveup_ns) {
    s->giveup_ns = giveup;
    s->kill_ns = in_seconds(s, grace * 0.8);
  }
}

static rt_err take_back_all(rt_session *s, rt_error *err) {
  rt_err rc = rt__store_begin(s->store, err);
  for (size_t i = 0; rc == RT_OK && i < s->slot_room; i++) {
    rt__live *live = s->slots[i];
    if (!live) continue;
    rt__live_stopped(s, live);
    rc = rt__live_put_back(s, live, err);
  }
  s->epoch++; /* what they still send is refused */
  return rc;
}

static rt_err drain_timers(rt_session *s, rt_error *err) {
  uint64_t now = s->engine->now;
  if (s->running == 0) return RT_OK;
  if (!s->killed && now >= s->kill_ns) {
    s->killed = true;
    ask_running(s, true);
  }
  if (now >= s->giveup_ns) {
    rt__session_log(s, RT_LOG_WARN,
                    "session '%s': %u jobs did not end in time, their leases "
                    "are taken back",
                    s->name, s->running);
    return take_back_all(s, err);
  }
  rt__wake_at(&s->wake_ns, s->killed ? s->giveup_ns : s->kill_ns);
  return RT_OK;
}

/* --- the end of a round, the end of a drain -------------------------- */
rt_err rt__session_round(rt_session *s, rt_error *err) {
  if (s->round_open) return RT_OK;
  s->round_open = true;
  s->rescanned = false;
  return rt__store_set_text(s->store, "state", "running", err);
}

static rt_err give_up_queued(rt_session *s, rt_error *err) {
  int64_t last = rt__store_last_asset(s->store);
  rt_err rc = rt__store_set_int(s->store, RT__META_DISCARDED, last, err);
  if (rc == RT_OK) rc = rt__store_cancel_jobs(s->store, err);
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    lane->row.canceled += rt__lane_open(lane);
    lane->row.mark = lane->cursor = lane->given_up = last;
    lane->behind = lane->asides = false;
  }
  size_t at = 0;
  rt__live *live;
  while (at = 0, (live = rt__idmap_next(&s->lives, &at))) {
    rt__live_forget(s, live);
    rt__live_free(s, live);
  }
  s->next_due = 0;
  return rc;
}

static rt_err end_drain(rt_session *s, rt_error *err) {
  rt_err rc = RT_OK;
  if (s->discard) rc = give_up_queued(s, err);
  bool open = s->round_open;
  if (rc == RT_OK && (open || s->discard)) {
    rc = rt__store_set_text(s->store, "state",
                            s->discard ? "canceled" : "stopped", err);
  }
  if (rc == RT_OK && s->reason && open) {
    rc = rt__store_set_text(s->store, "reason", s->reason, err);
  }
  s->drained = true;
  return rc;
}

/* Nothing can happen, yet something is counted as open: look at all once
 * more, then believe the rows. */
static void unstick(rt_session *s) {
  if (s->lives.count > 0 || s->next_due > 0 || s->paused) return;
  for (size_t i = 0; i < s->lane_count; i++) {
    if (s->lanes[i]->cap && (s->lanes[i]->behind || s->lanes[i]->asides)) {
      return;
    }
  }
  if (!s->rescanned) {
    s->rescanned = true;
    for (size_t i = 0; i < s->class_count; i++) {
      rt__class_rescan(s->classes[i]);
    }
    s->next_due = rt__store_next_due(s->store);
    s->wake_ns = s->engine->now;
    return;
  }
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (!lane->cap || rt__lane_open(lane) == 0) continue;
    rt__session_log(s, RT_LOG_ERROR,
                    "session '%s': the counters of %s said %lld open jobs",
                    s->name, s->known[lane->capability - 1]->name,
                    (long long)rt__lane_open(lane));
    lane->row.completed += rt__lane_open(lane);
  }
}

rt_err rt__session_settle(rt_session *s, bool *finished, rt_error *err) {
  *finished = false;
  if (s->draining) {
    return s->running == 0 && !s->drained ? end_drain(s, err) : RT_OK;
  }
  if (!s->round_open || s->running > 0) return RT_OK;
  if (rt__session_open_jobs(s) > 0) {
    unstick(s);
    if (rt__session_open_jobs(s) > 0) return RT_OK;
  }
  bool all = false;
  rt_err rc = rt__session_gone(s, &all, err);
  if (rc != RT_OK || !all || rt__session_open_jobs(s) > 0) return rc;
  s->run_open = false;
  if (rt__session_scheduled(s)) return RT_OK; /* there is more to come */
  rc = rt__store_set_text(s->store, "state", "finished", err);
  if (rc == RT_OK) rc = rt__store_set_int(s->store, "round", ++s->round, err);
  s->round_open = false;
  *finished = true;
  return rc;
}

/* --- telling those who wait ------------------------------------------ */
void rt__session_reply(rt__reply **list, rt_err code, const rt_error *err) {
  rt__reply *at = *list;
  *list = NULL;
  while (at) {
    rt__reply *next = at->next;
    rt_value_unref(code == RT_OK ? NULL : at->result);
    at->fn(code, err, code == RT_OK ? at->result : NULL, at->arg);
    free(at);
    at = next;
  }
}

/* As callers are told a fault. */
static rt_error fault_of(const rt_session *s) {
  rt_error err = s->fault;
  err.code = RT_EUNAVAIL;
  err.retryable = !s->lost;
  return err;
}

static void reply_canceled(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  if (s->lost) {
    err = fault_of(s);
    rt__session_reply(&s->waiters, err.code, &err);
    return;
  }
  rt_fail(&err, RT_ECANCELED, "session '%s' was canceled: %s", s->name,
          s->reason ? s->reason : "closed");
  rt__session_reply(&s->waiters, RT_ECANCELED, &err);
}

void rt__session_wait(rt_session *s, rt_reply_fn fn, void *arg) {
  if (!s->round_open && s->round > 0 && !s->draining) {
    fn(RT_OK, NULL, rt__session_stats_value(s), arg);
    return;
  }
  rt__reply *reply = calloc(1, sizeof(*reply));
  if (!reply) {
    rt_error err = RT_ERROR_INIT;
    fn(rt_fail(&err, RT_ENOMEM, "no memory"), &err, NULL, arg);
    return;
  }
  reply->fn = fn;
  reply->arg = arg;
  reply->next = s->waiters;
  s->waiters = reply;
  if (s->drained) reply_canceled(s);
}

static void reply_finished(rt_session *s) {
  for (rt__reply *at = s->waiters; at; at = at->next) {
    at->result = rt__session_stats_value(s);
  }
  rt__session_reply(&s->waiters, RT_OK, NULL);
}

void rt__session_settled(rt_session *s, bool finished) {
  if (finished) {
    rt__note_session(s, "session.finished", NULL);
    rt__notes_send(s);
    reply_finished(s);
  }
  if (!s->drained) return;
  if (!atomic_load(&s->done)) {
    atomic_store(&s->done, true);
    rt__note_session(s, "session.canceled", s->reason);
    rt__notes_send(s);
  }
  rt__session_hold(s);
  reply_canceled(s);
  if (!s->closing) rt__session_reply(&s->closers, RT_OK, NULL);
}

/* Open work keeps the program alive. */
void rt__session_hold(rt_session *s) {
  bool hold = s->loaded && s->round_open && !s->paused && !s->drained;
  if (hold == s->held || !s->engine->rt) return;
  s->held = hold;
  if (hold) {
    rt__engine_hold(s->engine);
  } else {
    rt__engine_release(s->engine);
  }
}

/* --- faults ---------------------------------------------------------- */
/* A disk becomes free again; a file that is damaged or gone seldom comes back,
 * so that is waited for no longer than `patience`. */
static bool lasts(const rt_session *s) {
  bool bad = s->fault.code == RT_EINVAL || s->fault.code == RT_ENOTFOUND;
  return bad && s->patience >= 0;
}

/* One that comes again and again, whenever the bad place is met, counts from
 * its first time. */
static void set_fault(rt_session *s, const rt_error *err) {
  uint64_t now = s->engine->now, patience = rt__ns(s->patience);
  s->fault = *err;
  if (!lasts(s)) return;
  bool again = s->failed || now - s->well_ns < patience;
  if (!s->lost_ns || !again) s->lost_ns = now + patience;
}

void rt__session_fail(rt_session *s, const rt_error *err) {
  bool first = !s->failed;
  if (first) {
    rt__session_log(s, RT_LOG_ERROR, "session '%s' waits: %s", s->name,
                    err->message);
  }
  set_fault(s, err);
  s->failed = true;
  s->locked = false;
  s->retry_ns = s->engine->now + RETRY_NS;
  rt__wake_at(&s->wake_ns, s->retry_ns);
  ask_running(s, true);
  rt__store_rollback(s->store);
  rt_error told = fault_of(s);
  rt__session_reply(&s->replies, told.code, &told);
  s->replies_last = &s->replies;
  rt__notes_drop(s);
  rt__session_clear(s);
  rt__session_tell(s);
  if (first) rt__note_session(s, "session.paused", s->fault.message);
  rt__notes_send(s);
}

/* It does not come back: everybody is told, and the session has ended. */
static void give_up_lost(rt_session *s) {
  rt__session_log(s, RT_LOG_ERROR, "session '%s' ends: %s", s->name,
                  s->fault.message);
  s->lost = s->draining = s->drained = true;
  if (!s->reason) s->reason = strdup(s->fault.message);
  rt__session_unpark(s->engine, s);
  rt__session_settled(s, false);
}

static void try_again(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  bool early = s->engine->now < s->retry_ns;
  if (!early) s->retry_ns = s->engine->now + RETRY_NS;
  rt__wake_at(&s->wake_ns, s->retry_ns);
  if (early) return;
  if (lasts(s) && s->engine->now >= s->lost_ns) {
    give_up_lost(s);
    return;
  }
  if (rt__session_load(s, &err) != RT_OK) {
    set_fault(s, &err);
    rt__session_clear(s);
    rt__session_tell(s);
    return;
  }
  s->failed = false;
  s->well_ns = s->engine->now;
  rt__session_tell(s);
  rt__note_session(s, "session.resumed", "the fault is gone");
  rt__session_log(s, RT_LOG_INFO, "session '%s' goes on", s->name);
  /* What opened a round may not have reached the disk: nothing is open. */
  if (!s->round_open && s->round > 0) reply_finished(s);
}

static void deadline_timer(rt_session *s) {
  if (!s->deadline_ns || s->draining) return;
  if (s->engine->now >= s->deadline_ns) {
    rt__session_drain(s, "deadline", s->grace);
  } else {
    rt__wake_at(&s->wake_ns, s->deadline_ns);
  }
}

/* The end of a drain while the file is locked: what runs is taken back when
 * it is opened next. */
static void give_up_locked(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_EUNAVAIL, "%s", s->lock_words);
  rt__session_log(s, RT_LOG_WARN,
                  "session '%s' ends, and %s: what is not on disk is done "
                  "again by the next run",
                  s->name, s->lock_words);
  rt__session_fail(s, &err);
  s->drained = true;
  rt__session_unpark(s->engine, s);
  rt__session_settled(s, false);
}

void rt__session_locked_timers(rt_session *s) {
  uint64_t now = s->engine->now;
  deadline_timer(s);
  if (!s->draining || s->drained) return;
  if (!s->killed && now >= s->kill_ns) {
    s->killed = true;
    ask_running(s, true);
  }
  if (now >= s->giveup_ns) {
    give_up_locked(s);
  } else {
    rt__wake_at(&s->wake_ns, s->killed ? s->giveup_ns : s->kill_ns);
  }
}

rt_err rt__session_timers(rt_session *s, rt_error *err) {
  deadline_timer(s);
  if (s->lost) return RT_OK;
  if (s->failed && s->draining) { /* nothing runs, nothing can be written */
    s->drained = true;
    rt__session_settled(s, false);
    return RT_OK;
  }
  if (s->failed) try_again(s);
  return s->draining ? drain_timers(s, err) : RT_OK;
}
