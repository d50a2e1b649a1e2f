/* engine.c - the engine's thread: commands in, steps, commits.
 *
 *   take commands -> apply them -> timers, refill, leases
 *        ^                                       |
 *        `--- hand over, announce <-- commit ----'   one transaction a session
 *
 * Everything a session has belongs to this thread.
 * SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dispatcher/internal.h"
#include "process/worker.h"

#define BATCH_COMMANDS 4096
#define BATCH_NS       20000000ull
#define TICK_NS        1000000000ull
#define GRANT_TURN     16

void rt__wake_at(uint64_t *wake, uint64_t when) {
  if (when < *wake) *wake = when;
}

/* A time beyond what a clock of ours counts is 30 years. */
uint64_t rt__ns(double seconds) {
  if (!(seconds > 0)) return 0;
  return (uint64_t)((seconds < 1e9 ? seconds : 1e9) * 1e9);
}

double rt__session_now(const rt_session *s) {
  return s->wall_base + (double)(rt__now_ns() - s->mono_base) * 1e-9;
}

void rt__session_log(rt_session *s, rt_log_level level, const char *fmt, ...) {
  char text[700];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof(text), fmt, args);
  va_end(args);
  if (s->engine && s->engine->rt) {
    rt_runtime_log(s->engine->rt, level, NULL, "%s", text);
  }
}

void rt__engine_hold(rt__engine *engine) {
  if (engine->rt) rt__runtime_hold(engine->rt);
}

void rt__engine_release(rt__engine *engine) {
  if (engine->rt) rt__runtime_release(engine->rt);
}

void rt__engine_touch_all(rt__engine *engine) {
  for (rt_session *s = engine->sessions; s; s = s->next) s->touched = true;
}

rt__cap *rt__engine_cap(rt__engine *engine, const char *name) {
  for (rt__cap *cap = engine->caps; cap; cap = cap->next) {
    if (!cap->gone && strcmp(cap->decl->name, name) == 0) return cap;
  }
  return NULL;
}

/* --- one step of all sessions ---------------------------------------- */
static bool active(const rt_session *s) {
  return s->loaded && !s->failed && !s->locked && !s->draining && !s->paused;
}

static void prepare_session(rt_session *s, bool *more) {
  rt_error err = RT_ERROR_INIT;
  uint64_t now = s->engine->now;
  if (!s->touched && now < s->wake_ns) return;
  s->touched = true;
  s->wake_ns = UINT64_MAX;
  bool idle = !s->round_open && !s->draining && s->paused == s->paused_told;
  if (!rt__session_unlocked(s) || (!idle && !rt__session_gate(s))) {
    rt__session_locked_timers(s);
    return;
  }
  rt_err rc = rt__session_timers(s, &err);
  if (rc == RT_OK && s->loaded) rc = rt__tell_paused(s, &err);
  if (rc == RT_OK && s->loaded && !idle) rc = rt__tell_scales(s, &err);
  if (rc == RT_OK && active(s)) rc = rt__session_ticks(s, &err);
  if (rc == RT_OK && active(s)) rc = rt__session_due(s, &err);
  if (rc == RT_OK && active(s)) rc = rt__session_refill(s, more, &err);
  if (rc != RT_OK) {
    rt__session_fail(s, &err);
    return;
  }
  if (!active(s)) return;
  rt__session_prepare(s);
  if (s->next_due > 0) {
    double wait = s->next_due - rt__session_now(s);
    rt__wake_at(&s->wake_ns, now + rt__ns(wait) + 100000);
  }
}

static bool grant_turn(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  bool started = false;
  for (int i = 0; i < GRANT_TURN; i++) {
    if (!active(s) || !s->touched) return false;
    if (!rt__memory_room(s->engine)) return false;
    if (rt__session_grant(s, &started, &err) != RT_OK) {
      rt__session_fail(s, &err);
      return false;
    }
    if (!started) return false;
    rt__memory_moved(s->engine, true);
  }
  return true;
}

/* Sessions take turns, so that none waits for another's backlog. */
static void grant_all(rt__engine *engine) {
  bool any = true;
  while (any) {
    any = false;
    for (rt_session *s = engine->sessions; s; s = s->next) {
      if (grant_turn(s)) any = true;
    }
  }
}

static void unlist(rt__engine *engine, rt_session *s) {
  rt_session **at = &engine->sessions;
  while (*at && *at != s) at = &(*at)->next;
  if (*at) *at = s->next;
  engine->session_count--;
}

/* Let go of the file; drops the engine's reference. */
static void close_session(rt__engine *engine, rt_session *s) {
  rt__reply *closers = s->closers;
  s->closers = NULL;
  rt__session_hold(s);
  unlist(engine, s);
  rt__session_unload(s);
  s->engine = NULL;
  rt__session_unpark(engine, s);
  rt__session_reply(&closers, RT_OK, NULL);
  rt_session_unref(s);
}

static void finish_step(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  bool finished = false;
  if (!s->touched || !s->loaded || s->failed || s->locked) {
    bool stuck = s->failed || s->locked;
    s->touched = false;
    if (stuck && s->drained && s->closing) close_session(s->engine, s);
    return;
  }
  s->touched = false;
  rt_err rc = rt__session_settle(s, &finished, &err);
  if (rc == RT_OK) rc = rt__session_commit(s, &err);
  if (rc != RT_OK) {
    rt__session_fail(s, &err);
    return;
  }
  rt__session_hand_over(s);
  rt__session_announce(s);
  rt__session_settled(s, finished);
  rt__session_hold(s);
  if (active(s) && rt__session_hungry(s)) s->touched = true;
  if (s->drained && s->closing && rt__session_said_goodbye(s))
    close_session(s->engine, s);
}

static void tick(rt__engine *engine) {
  if (engine->now < engine->tick_ns) return;
  engine->tick_ns = engine->now + TICK_NS;
  rt__engine_touch_all(engine);
  for (rt_session *s = engine->sessions; s; s = s->next) {
    rt_error err = RT_ERROR_INIT;
    if (s->loaded && !s->failed && rt__store_present(s->store, &err) != RT_OK) {
      rt__session_fail(s, &err);
    }
    rt__session_tell_held(s);
  }
  for (rt__cap *cap = engine->caps; cap; cap = cap->next) {
    rt__cap_sweep(cap, engine->now);
  }
}

/* Who comes first changes, so that nobody always takes the last instance. */
static void rotate(rt__engine *engine) {
  rt_session *head = engine->sessions, **last = &engine->sessions;
  if (!head || !head->next) return;
  engine->sessions = head->next;
  while (*last) last = &(*last)->next;
  *last = head;
  head->next = NULL;
}

/* Those that have ended, are paused or have nothing to do take no share. */
static void count_live(rt__engine *engine) {
  engine->live_count = 0;
  for (rt_session *s = engine->sessions; s; s = s->next) {
    if (active(s) && s->round_open) engine->live_count++;
  }
}

static void step(rt__engine *engine) {
  bool more = false;
  rotate(engine);
  count_live(engine);
  engine->now = rt__now_ns();
  if (engine->opening) rt__engine_open_again(engine);
  tick(engine);
  rt__memory_look(engine);
  rt__caps_wake(engine);
  for (rt_session *s = engine->sessions; s; s = s->next) {
    prepare_session(s, &more);
  }
  grant_all(engine);
  for (rt_session *s = engine->sessions, *next; s; s = next) {
    next = s->next;
    finish_step(s);
  }
  if (rt__memory_unpark(engine)) more = true;
  rt__wake_at(&engine->wake_ns, engine->tick_ns);
  rt__wake_at(&engine->wake_ns, engine->memory.next_ns);
  for (rt_session *s = engine->sessions; s; s = s->next) {
    rt__wake_at(&engine->wake_ns, s->wake_ns);
    if (s->touched) more = true;
  }
  if (more) engine->wake_ns = 0;
}

/* --- the thread ------------------------------------------------------ */
static void run_command(rt__engine *engine, rt__cmd *cmd) {
  if (cmd->session) {
    rt__session_run(engine, cmd);
  } else {
    cmd->run(engine, cmd);
  }
}

static void run_commands(rt__engine *engine) {
  uint64_t until = rt__now_ns() + BATCH_NS;
  for (int i = 0; engine->todo && i < BATCH_COMMANDS; i++) {
    rt__cmd *cmd = engine->todo;
    engine->todo = cmd->next;
    run_command(engine, cmd);
    if ((i & 63) == 63 && rt__now_ns() > until) break;
  }
}

static void engine_thread(void *arg) {
  rt__engine *engine = arg;
  engine->now = rt__now_ns();
  while (!engine->stopping || engine->sessions || engine->opening) {
    if (!engine->todo) {
      engine->todo = rt__port_take(engine->port, engine->wake_ns);
    }
    engine->now = rt__now_ns();
    engine->wake_ns = UINT64_MAX;
    run_commands(engine);
    step(engine);
    if (engine->todo) engine->wake_ns = 0;
  }
  rt__port_close(engine->port);
  rt__cmd *rest = engine->todo;
  engine->todo = NULL;
  for (int pass = 0; pass < 2; pass++) {
    while (rest) {
      rt__cmd *cmd = rest;
      rest = cmd->next;
      cmd->run(NULL, cmd);
    }
    rest = rt__port_take(engine->port, 0);
  }
}

/* --- capabilities come and go ---------------------------------------- */
typedef struct change {
  rt__cmd cmd;
  rt_capability *added, *removed; /* [own refs] */
  bool backfill;
} change;

/* One session learns of a capability, or forgets it; a command of its own,
 * since that session's file may be locked. */
typedef struct cap_cmd {
  rt__cmd cmd;
  rt__cap *cap; /* lives as long as the engine */
  bool backfill, gone, replaced;
} cap_cmd;

static void run_cap(rt__engine *engine, rt__cmd *cmd) {
  cap_cmd *cc = (cap_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  bool there = engine && s->engine && s->loaded && !s->failed;
  if (there && cc->gone) {
    rc = rt__session_drop_cap(s, cc->cap, &err);
    if (rc == RT_OK && !cc->replaced)
      rc = rt__session_unschedule(s, cc->cap, &err);
  } else if (there && !s->drained && !cc->cap->gone) {
    rc = rt__session_add_cap(s, cc->cap, cc->backfill, &err);
    bool work = rc == RT_OK && rt__session_open_jobs(s) > 0;
    if (work) rc = rt__again_begin(s, &err);
    if (work && rc == RT_OK) rc = rt__session_round(s, &err);
  }
  if (rc != RT_OK) rt__session_fail(s, &err);
  rt__cmd_free(cmd);
}

static void tell_session(rt__engine *engine, rt_session *s,
                         const cap_cmd *what) {
  cap_cmd *cc = rt__cmd_new(sizeof(*cc), run_cap, s);
  if (!cc) return;
  cc->cap = what->cap;
  cc->backfill = what->backfill;
  cc->gone = what->gone;
  cc->replaced = what->replaced;
  cc->cmd.writes = true;
  rt__session_run(engine, &cc->cmd);
}

static void tell_sessions(rt__engine *engine, const cap_cmd *what) {
  for (rt_session *s = engine->sessions; s; s = s->next) {
    tell_session(engine, s, what);
  }
  for (rt__cmd *cmd = engine->opening; cmd; cmd = cmd->next) {
    if (cmd->session->stale) tell_session(engine, cmd->session, what);
  }
}

static rt__cap *cap_of(rt__engine *engine, const rt_capability *decl) {
  rt__cap *cap = engine->caps;
  while (cap && cap->decl != decl) cap = cap->next;
  return cap;
}

static void add_cap(rt__engine *engine, rt_capability *decl,
                    const rt_capability *instead, bool backfill) {
  rt__cap *cap = calloc(1, sizeof(*cap));
  if (!cap) return;
  cap->decl = rt__capability_ref(decl);
  rt__cap **last = &engine->caps;
  while (*last) last = &(*last)->next;
  *last = cap;
  rt__cap *before = instead ? cap_of(engine, instead) : NULL;
  if (before) rt__cap_inherit(cap, before);
  tell_sessions(engine, &(cap_cmd){.cap = cap, .backfill = backfill});
}

static void drop_cap(rt__engine *engine, rt_capability *decl, bool replaced) {
  for (rt__cap *cap = engine->caps; cap; cap = cap->next) {
    if (cap->decl != decl || cap->gone) continue;
    cap->gone = true;
    tell_sessions(engine,
                  &(cap_cmd){.cap = cap, .gone = true, .replaced = replaced});
  }
}

static void run_change(rt__engine *engine, rt__cmd *cmd) {
  change *ch = (change *)cmd;
  /* No session is looked at in between, so none ends for want of it. */
  if (engine && ch->removed) drop_cap(engine, ch->removed, ch->added != NULL);
  if (engine && ch->added)
    add_cap(engine, ch->added, ch->removed, ch->backfill);
  if (ch->removed) rt__capability_unref(ch->removed);
  if (ch->added) rt__capability_unref(ch->added);
  rt__cmd_free(ch);
}

static void on_registry(rt_capability *added, rt_capability *removed,
                        bool backfill, void *arg) {
  rt__engine *engine = arg;
  change *ch = rt__cmd_new(sizeof(*ch), run_change, NULL);
  if (!ch) return;
  ch->added = added ? rt__capability_ref(added) : NULL;
  ch->removed = removed ? rt__capability_ref(removed) : NULL;
  ch->backfill = backfill;
  rt__port_post(engine->port, &ch->cmd);
}

/* --- life
 * ----------------------------------------------------------------------------------
 */
rt_err rt__engine_new(rt__engine **out, rt_runtime *rt, rt_bus *bus,
                      rt_registry *registry, const rt__executor *executor,
                      rt_error *err) {
  *out = NULL;
  rt__engine *engine = calloc(1, sizeof(*engine));
  if (!engine) return rt_fail(err, RT_ENOMEM, "no memory");
  engine->rt = rt;
  engine->bus = bus;
  engine->registry = registry;
  engine->executor = *executor;
  rt__memory_init(&engine->memory);
  engine->port = rt__port_new();
  if (!engine->port) goto fail;
  if (rt) rt__port_set_host(engine->port, rt__runtime_host(rt));
  if (registry) rt__registry_listen(registry, on_registry, engine);
  if (uv_thread_create(&engine->thread, engine_thread, engine) < 0) {
    if (registry) rt__registry_listen(registry, NULL, NULL);
    goto fail;
  }
  engine->thread_runs = true;
  *out = engine;
  return RT_OK;
fail:
  rt__port_unref(engine->port);
  free(engine);
  return rt_fail(err, RT_ENOMEM, "the engine cannot start");
}

typedef struct stop_cmd {
  rt__cmd cmd;
  double grace;
} stop_cmd;

static void run_stop(rt__engine *engine, rt__cmd *cmd) {
  stop_cmd *stop = (stop_cmd *)cmd;
  if (engine) {
    engine->stopping = true;
    engine->stop_ns = engine->now + rt__ns(stop->grace);
    for (rt_session *s = engine->sessions; s; s = s->next) {
      s->closing = true;
      rt__session_drain(s, "the runtime stops", stop->grace);
    }
  }
  rt__cmd_free(stop);
}

void rt__engine_stop(rt__engine *engine, double grace) {
  if (!engine || !engine->thread_runs) return;
  if (engine->registry) rt__registry_listen(engine->registry, NULL, NULL);
  stop_cmd *stop = rt__cmd_new(sizeof(*stop), run_stop, NULL);
  if (!stop) return;
  stop->grace = grace > 0 ? grace : 0;
  rt__port_post(engine->port, &stop->cmd);
  uv_thread_join(&engine->thread);
  engine->thread_runs = false;
}

void rt__engine_free(rt__engine *engine) {
  if (!engine) return;
  rt__engine_stop(engine, 0);
  while (engine->caps) {
    rt__cap *cap = engine->caps;
    engine->caps = cap->next;
    rt__cap_free(cap);
  }
  rt__port_unref(engine->port);
  free(engine);
}
