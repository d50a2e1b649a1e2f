/* bind_time.c - rt.core.time: the clocks. SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "base/clock.h"

int rt__open_time(lua_State *L);

static int l_now(lua_State *L) {
  lua_pushnumber(L, rt__now_unix());
  return 1;
}

static int l_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)rt__now_ns() / 1e9);
  return 1;
}

int rt__open_time(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"now", l_now}, {"monotonic", l_monotonic}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
