/* ending.c - how a job's run ended and what follows from it.
 * SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "dispatcher/internal.h"

#define BACKOFF_BASE 0.5
#define BACKOFF_MAX  3600.0

static rt_err write_row(rt_session *s, const rt__live *live,
                        rt__job_state state, double due, const char *reason,
                        rt_error *err) {
  bool over = state >= RT__JOB_COMPLETED;
  const rt__known *known = s->known[live->lane->capability - 1];
  rt__job_row row = {
      .asset = live->item->id,
      .capability = live->lane->capability,
      .state = state,
      .attempt = live->attempt,
      .crashes = live->crashes,
      .fanout = live->fanout,
      .priority = live->priority,
      .due = due,
      .reason = reason,
      .errors = live->errors,
      .ended = over ? (int64_t)(rt__session_now(s) * 1000) : 0,
      .run = over && s->rerunning ? s->run : 0,
      .version = !over           ? 0
                 : live->version ? live->version
                                 : known->version,
  };
  int64_t after = rt__again_after(live->lane->cap);
  if (over && after >= 0) row.again = row.ended + after;
  return rt__store_put_job(s->store, &row, err);
}

static void count(rt__lane *lane, rt__job_state state) {
  if (state == RT__JOB_COMPLETED) lane->row.completed++;
  if (state == RT__JOB_SKIPPED) lane->row.skipped++;
  if (state == RT__JOB_FAILED) lane->row.failed++;
  if (state == RT__JOB_CANCELED) lane->row.canceled++;
}

static const char *event_of(rt__job_state state) {
  if (state == RT__JOB_COMPLETED) return "job.completed";
  return state == RT__JOB_SKIPPED ? "job.skipped" : "job.failed";
}

/* A success of those has a row as well: when it was, and in which version. */
static bool eventful(const rt_session *s, const rt__lane *lane) {
  bool again = lane->cap && lane->cap->decl->rerun != RT__RERUN_ONCE;
  return again || s->known[lane->capability - 1]->versions;
}

/* The job is over; takes `live`, which is in no queue any more. */
rt_err rt__live_settle(rt_session *s, rt__live *live, rt__job_state state,
                       const char *reason, rt_error *err) {
  rt__item *item = live->item;
  rt__lane *lane = live->lane;
  rt_err rc = RT_OK;
  bool again = live->again && lane->cap;
  if (state != RT__JOB_COMPLETED || live->errors || eventful(s, lane)) {
    rc = write_row(s, live, state, 0, reason, err);
  } else if (live->aside) {
    rc = rt__store_delete_job(s->store, item->id, lane->capability, err);
  }
  rt__note_job(s, event_of(state), live, reason, 0);
  item->done |= lane->bit;
  item->aside &= ~lane->bit;
  rt__item_changed(s, item);
  count(lane, state);
  rt__live_free(s, live);
  if (rc == RT_OK && again) rc = rt__again_run(s, item, lane, err);
  if (rc == RT_OK) rc = rt__item_advance(s, item, false, err);
  return rc;
}

/* Out of memory, into a row of its own; takes `live`. */
static rt_err to_row(rt_session *s, rt__live *live, rt__job_state state,
                     double due, const char *reason, rt_error *err) {
  rt__item *item = live->item;
  rt__lane *lane = live->lane;
  rt_err rc = write_row(s, live, state, due, reason, err);
  item->aside |= lane->bit;
  rt__item_changed(s, item);
  if (state == RT__JOB_QUEUED) lane->asides = true;
  if (due > 0 && s->next_due <= 0) s->times_ns = 0; /* and note the clock */
  if (due > 0 && (s->next_due <= 0 || due < s->next_due)) s->next_due = due;
  rt__live_free(s, live);
  return rc;
}

bool rt__live_must_park(rt_session *s, rt__live *live) {
  rt__cap *cap = live->lane->cap;
  if (!cap || !live->rate_key) return false;
  if (rt__cap_held(cap, live->rate_key, s->engine->now)) return true;
  if (cap->decl->rate <= 0) return false;
  if (live->lane->waiting < RT__WAITING_MAX) return false;
  rt__bucket *bucket = rt__cap_key(cap, live->rate_key);
  return bucket && (bucket->first || !rt__bucket_ready(bucket, cap->decl->rate,
                                                       s->engine->now, NULL));
}

/* Each gets the next turn after those that wait already; when it comes, it
 * is asked and queued again. */
rt_err rt__live_park(rt_session *s, rt__live *live, rt_error *err) {
  rt__cap *cap = live->lane->cap;
  rt__bucket *bucket = rt__cap_key(cap, live->rate_key);
  uint64_t held = rt__cap_held(cap, live->rate_key, s->engine->now);
  if (held)
    return to_row(s, live, RT__JOB_DELAYED,
                  rt__session_now(s) + (double)(held - s->engine->now) * 1e-9,
                  RT__WAITS_FOR_RATE, err);
  uint64_t now = s->engine->now, each = rt__ns(1 / cap->decl->rate);
  uint64_t waiting = now + bucket->count * each;
  if (bucket->free_ns < waiting) bucket->free_ns = waiting;
  bucket->free_ns += each;
  return to_row(s, live, RT__JOB_DELAYED,
                rt__session_now(s) + (double)(bucket->free_ns - now) * 1e-9,
                RT__WAITS_FOR_RATE, err);
}

rt_err rt__live_put_back(rt_session *s, rt__live *live, rt_error *err) {
  bool plain = live->attempt == 1 && !live->errors && !live->crashes &&
               !live->fanout && !live->aside;
  if (!plain || !live->lane->cap) {
    return to_row(s, live, RT__JOB_QUEUED, 0, NULL, err);
  }
  live->asked = false;
  free(live->fault);
  live->fault = NULL;
  live->flooding = false;
  live->refused = live->met = 0;
  if (rt__live_queue(s, live)) return RT_OK;
  return rt_fail(err, RT_ENOMEM, "no memory");
}

/* --- failures -------------------------------------------------------- */
static rt_value *error_map(const char *message, const char *kind) {
  rt_builder *b = rt_builder_new();
  rt_value *value = NULL;
  if (!b) return NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, message);
  rt_builder_key(b, "kind");
  rt_builder_string(b, kind);
  rt_builder_end(b);
  rt_builder_finish(b, &value, NULL);
  rt_builder_free(b);
  return value;
}

static void add_error(rt__live *live, const rt_value *error) {
  rt_builder *b = rt_builder_new();
  rt_value *all = NULL;
  if (!b || !error) {
    rt_builder_free(b);
    return;
  }
  rt_builder_begin_array(b);
  rt_iter iter = rt_iter_of(rt_value_view(live->errors));
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) rt_builder_view(b, item);
  rt_builder_value(b, error);
  rt_builder_end(b);
  if (rt_builder_finish(b, &all, NULL) == RT_OK) {
    rt_value_unref(live->errors);
    live->errors = all;
  }
  rt_builder_free(b);
}

static bool is_kind(const rt_value *error, const char *kind) {
  size_t size = 0;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(error), "kind"), &size);
  return text && size == strlen(kind) && memcmp(text, kind, size) == 0;
}

static bool retryable(const rt_value *error) {
  rt_view flag = rt_view_get(rt_value_view(error), "retryable");
  return rt_view_bool(flag, false) || is_kind(error, "TIMEOUT");
}

/* 0.5 s, doubled for each further attempt, give or take a fifth. */
static double backoff(const rt__live *live) {
  double delay = BACKOFF_BASE * pow(2, (double)live->attempt - 1);
  if (delay > BACKOFF_MAX) delay = BACKOFF_MAX;
  uint64_t noise = rt__hash(&live->id, sizeof(live->id), rt__hash_seed());
  return delay * (0.8 + 0.4 * (double)(noise >> 11) / 9007199254740992.0);
}

static char *message_of(const rt_value *error) {
  size_t size = 0;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(error), "message"), &size);
  return text ? strndup(text, size) : NULL;
}

static rt_err failed(rt_session *s, rt__live *live, const rt_value *error,
                     rt_error *err) {
  rt_err rc;
  char *reason = message_of(error);
  add_error(live, error);
  if (retryable(error) && live->attempt <= live->cap->decl->retries) {
    double delay = backoff(live);
    rt__note_job(s, "job.retrying", live, reason, delay);
    live->attempt++;
    rc = to_row(s, live, RT__JOB_DELAYED, rt__session_now(s) + delay, reason,
                err);
  } else {
    rc = rt__live_settle(s, live, RT__JOB_FAILED, reason, err);
  }
  free(reason);
  return rc;
}

static rt_err end_failed(rt_session *s, rt__live *live, rt__end *end,
                         rt_error *err) {
  rt_value *error = NULL;
  if (live->fault) {
    error = error_map(live->fault, "INVALID");
  } else if (end->error) {
    error = rt_value_ref(end->error);
  } else {
    error = error_map(end->reason ? end->reason : "failed", "UNKNOWN");
  }
  rt_err rc = failed(s, live, error, err);
  rt_value_unref(error);
  return rc;
}

static rt__known *known_of(rt_session *s, const rt__lane *lane) {
  return s->known[lane->capability - 1];
}

/* By hand: it is not tried again. */
static rt_err end_killed(rt_session *s, rt__live *live, rt_error *err) {
  rt_value *error = error_map("killed", "CANCELED");
  add_error(live, error);
  rt_value_unref(error);
  return rt__live_settle(s, live, RT__JOB_FAILED, "killed", err);
}

/* It comes back later, and nothing of its key before. */
static rt_err end_held(rt_session *s, rt__live *live, const rt__end *end,
                       rt_error *err) {
  rt__engine *engine = s->engine;
  rt__cap *cap = live->cap;
  double delay = end->delay > 0 ? end->delay : 0;
  char *key = live->rate_key ? strdup(live->rate_key) : NULL;
  rt__cap_hold(cap, key, engine->now + rt__ns(delay));
  rt_err rc = rt__hold_keep(s, cap, key, delay, err);
  rt__note_job(s, "job.retrying", live, RT__WAITS_FOR_RATE, delay);
  if (rc == RT_OK)
    rc = to_row(s, live, RT__JOB_DELAYED, rt__session_now(s) + delay,
                RT__WAITS_FOR_RATE, err);
  if (rc == RT_OK && key) rt__engine_park_held(engine, cap, key);
  free(key);
  return rc;
}

/* Takes `live`; `end` stays the caller's. */
rt_err rt__live_end(rt_session *s, rt__live *live, rt__end *end,
                    rt_error *err) {
  rt__live_stopped(s, live);
  if (end->kind == RT__END_COMPLETED || end->kind == RT__END_FAILED) {
    rt__known_time(known_of(s, live->lane), end->seconds);
  }
  rt_err rc = rt__store_begin(s->store, err);
  if (rc != RT_OK) return rc;
  if (live->killed && end->kind != RT__END_COMPLETED) {
    return end_killed(s, live, err);
  }
  if (live->flooding) return end_failed(s, live, end, err);
  switch (end->kind) {
  case RT__END_COMPLETED:
    if (live->fault) return end_failed(s, live, end, err);
    return rt__live_settle(s, live, RT__JOB_COMPLETED, NULL, err);
  case RT__END_SKIPPED:
    return rt__live_settle(s, live, RT__JOB_SKIPPED,
                           end->reason ? end->reason : "no match", err);
  case RT__END_FAILED:
    return end_failed(s, live, end, err);
  case RT__END_SNOOZED:
    if (live->fault) return end_failed(s, live, end, err);
    if (end->hold) return end_held(s, live, end, err);
    rt__note_job(s, "job.retrying", live, "snoozed", end->delay);
    return to_row(s, live, RT__JOB_DELAYED,
                  rt__session_now(s) + (end->delay > 0 ? end->delay : 0),
                  "snoozed", err);
  case RT__END_INTERRUPTED:
    return rt__live_put_back(s, live, err);
  }
  return RT_OK;
}
