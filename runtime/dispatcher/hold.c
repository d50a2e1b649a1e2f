/* hold.c - jobs of a key whose capability was told to come back later.
 *
 * Those that wait in memory, in whichever session, go into their files until
 * then, so that they take no room there and stand in nobody's way.
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
    at = 0; /* removal moves entries */
  }
  if (rc != RT_OK) rt__session_fail(s, &err);
  free(hold->key);
  rt__cmd_free(hold);
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
