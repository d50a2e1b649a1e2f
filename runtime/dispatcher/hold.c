/* hold.c - jobs of a key whose capability was told to come back later.
 *
 * Those that wait in memory, in whichever session, go into their files until
 * then, so that they take no room there and stand in nobody's way. Until when
 * stands in the file of the session that was told, for who opens it next: of
 * what was not asked for its key yet, nobody knows before that it must wait.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

typedef struct hold_cmd {
  rt__cmd cmd;
  rt__cap *cap; /* lives as long as the engine */
  char *key;    /* [own] */
} hold_cmd;

static bool waits_for(const rt__live *live, const hold_cmd *hold) {
  bool waits = live->state == RT__LIVE_WAITING || live->state == RT__LIVE_READY;
  return waits && live->lane->cap == hold->cap && live->rate_key &&
         strcmp(live->rate_key, hold->key) == 0;
}

static void run_hold(rt__engine *engine, rt__cmd *cmd) {
  hold_cmd *hold = (hold_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  size_t at = 0;
  rt__live *live;
  bool there = engine && s->engine && s->loaded && !s->failed && !s->drained;
  while (there && rc == RT_OK && (live = rt__idmap_next(&s->lives, &at))) {
    if (!waits_for(live, hold) || !rt__live_must_park(s, live)) continue;
    rt__live_forget(s, live);
    rc = rt__live_park(s, live, &err);
    s->touched = true;
    at--; /* removal moves entries */
  }
  if (rc != RT_OK) rt__session_fail(s, &err);
  free(hold->key);
  rt__cmd_free(hold);
}

/* --- in the file -------------------------------------------------------- */
enum { KEPT_MAX = 1000 }; /* before those that are over are removed */

rt_err rt__hold_keep(rt_session *s, const rt__cap *cap, const char *key,
                     double delay, rt_error *err) {
  double now = rt__session_now(s);
  rt_err rc = RT_OK;
  if (++s->holds_kept > KEPT_MAX) {
    s->holds_kept = 0;
    rc = rt__store_drop_holds(s->store, (int64_t)(now * 1000), err);
  }
  if (rc != RT_OK) return rc;
  return rt__store_hold(s->store, cap->decl->name, key,
                        (int64_t)((now + delay) * 1000), err);
}

typedef struct reading {
  rt__cap *cap;
  double now; /* as the file counts */
  uint64_t now_ns;
} reading;

static void on_kept(const char *key, int64_t until, void *arg) {
  const reading *r = arg;
  double left = (double)until / 1000 - r->now;
  if (left > 0) rt__cap_hold(r->cap, key, r->now_ns + rt__ns(left));
}

rt_err rt__hold_read(rt_session *s, rt__cap *cap, rt_error *err) {
  reading r = {cap, rt__session_now(s), s->engine->now};
  return rt__store_holds(s->store, cap->decl->name, on_kept, &r, err);
}

void rt__engine_park_held(rt__engine *engine, rt__cap *cap, const char *key) {
  for (rt_session *s = engine->sessions; s; s = s->next) {
    hold_cmd *hold = rt__cmd_new(sizeof(*hold), run_hold, s);
    if (!hold) continue;
    hold->cap = cap;
    hold->key = strdup(key);
    hold->cmd.writes = true;
    if (hold->key)
      rt__port_post(engine->port, &hold->cmd);
    else
      rt__cmd_free(hold);
  }
}
