/* bind_time.c - rt.core.time: what time it is, and what is to happen when.
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "process/clock.h"

int rt__open_time(lua_State *L);

static int l_now(lua_State *L) {
  lua_pushnumber(L, rt__now_unix());
  return 1;
}

static int l_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)rt__now_ns() / 1e9);
  return 1;
}

/* start(object, seconds) -> id */
static int l_start(lua_State *L) {
  const rt__process *process = rt__process_of(L);
  double seconds = luaL_checknumber(L, 2);
  if (!process || process->nowait) luaL_error(L, "may not wait here");
  lua_settop(L, 1);
  lua_pushnumber(L, rt__clock_start(L, seconds));
  return 1;
}

/* stop(id) -> was it still to fire? A script can write anything for the id. */
static int l_stop(lua_State *L) {
  double id = luaL_checknumber(L, 1);
  bool known = id >= 1 && id <= UINT32_MAX;
  lua_pushboolean(L, known && rt__clock_stop(L, (uint32_t)id));
  return 1;
}

/* due() -> the object of the next that is due, or nothing */
static int l_due(lua_State *L) {
  return rt__clock_next(L) ? 1 : 0;
}

/* rest(): "@time" once more, when there are others */
static int l_rest(lua_State *L) {
  rt__clock_rest(L);
  return 0;
}

int rt__open_time(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"now", l_now},     {"monotonic", l_monotonic},
      {"start", l_start}, {"stop", l_stop},
      {"due", l_due},     {"rest", l_rest},
      {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
