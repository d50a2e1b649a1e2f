/* bind_log.c - rt.core.log: lines for the runtime's log.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "process/worker.h"

int rt__open_log(lua_State *L);

/* write(level, message, fields) -> true | nil, err. Fields that cannot leave
 * the process cost the line nothing but themselves. */
static int l_write(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_value *fields = NULL;
  rt_log_level level = (rt_log_level)luaL_checkinteger(L, 1);
  const char *message = luaL_checkstring(L, 2);
  rt_err rc = RT_OK;
  if (!lua_isnoneornil(L, 3))
    rc = rt__lua_encode(L, 3, "fields", &fields, &err);
  rt_runtime_log(rt__runtime_of(L), level, fields, "%s", message);
  rt_value_unref(fields);
  if (rc != RT_OK) return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

int rt__open_log(lua_State *L) {
  static const luaL_Reg functions[] = {{"write", l_write}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
