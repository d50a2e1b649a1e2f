/* farewell.c - the `finish` of capabilities, when a session ends.
 *
 * It ends when it is closed: its jobs are over by then, and its file is still
 * owned. The executor asks each instance that served it, once, and says when
 * the last one is through; past the time given, the session ends without.
 * SPDX-License-Identifier: MIT */
#include "dispatcher/internal.h"

static const char *how_it_ended(const rt_session *s) {
  if (s->discard) return "canceled";
  return s->round_open ? "stopped" : "finished";
}

static bool any_finish(const rt_session *s) {
  for (size_t i = 0; i < s->known_count; i++) {
    const rt__cap *cap = s->known[i]->cap;
    if (cap && cap->decl->has_finish) return true;
  }
  return false;
}

/* A runtime that stops has a limit of its own. */
static uint64_t time_limit(const rt_session *s) {
  uint64_t now = s->engine->now, least = now + rt__ns(0.05);
  uint64_t limit = now + rt__ns(s->grace);
  if (!s->engine->stopping || limit <= s->engine->stop_ns) return limit;
  return s->engine->stop_ns > least ? s->engine->stop_ns : least;
}

bool rt__session_said_goodbye(rt_session *s) {
  rt__executor *ex = &s->engine->executor;
  if (s->farewell == RT__FAREWELL_DONE || s->failed || s->locked) return true;
  if (s->farewell == RT__FAREWELL_NONE) {
    if (!ex->finish || !s->loaded || !any_finish(s)) return true;
    s->farewell = RT__FAREWELL_ASKED;
    s->farewell_ns = time_limit(s);
    ex->finish(ex->self, s->engine, s, how_it_ended(s),
               (double)(s->farewell_ns - s->engine->now) * 0.9e-9);
  } else if (s->engine->stopping && time_limit(s) < s->farewell_ns) {
    s->farewell_ns = time_limit(s);
  }
  if (s->engine->now >= s->farewell_ns) {
    rt__session_log(s, RT_LOG_WARN,
                    "session '%s': finish of its capabilities took longer "
                    "than it may",
                    s->name);
    return true;
  }
  rt__wake_at(&s->wake_ns, s->farewell_ns);
  return false;
}

static void run_finished(rt__engine *engine, rt__cmd *cmd) {
  rt_session *s = cmd->session;
  if (engine && s->engine) {
    s->farewell = RT__FAREWELL_DONE;
    s->touched = true;
  }
  rt__cmd_free(cmd);
}

void rt__engine_finished(rt__engine *engine, rt_session *session) {
  (void)engine;
  rt__cmd *cmd = rt__cmd_new(sizeof(*cmd), run_finished, session);
  if (cmd) rt__port_post(session->port, cmd);
}
