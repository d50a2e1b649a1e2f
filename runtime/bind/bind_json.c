/* bind_json.c - rt.core.json: encode, decode, array, null.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "bind/json.h"
#include "bind/lua_value.h"
#include "bind/net_bind.h"
#include "process/worker.h"

int rt__open_json(lua_State *L);

#define BUFFER "rt.json.buffer"

static int free_buffer(lua_State *L) {
  rt__buf_deinit(luaL_checkudata(L, 1, BUFFER));
  return 0;
}

/* A buffer that Lua frees when something raises before we do. */
static rt__buf *push_buffer(lua_State *L) {
  rt__buf *out = lua_newuserdata(L, sizeof(*out));
  *out = (rt__buf){0};
  luaL_getmetatable(L, BUFFER);
  lua_setmetatable(L, -2);
  return out;
}

/* encode(value, indent) -> text | nil, err */
static int l_encode(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  int indent = (int)luaL_optinteger(L, 2, 0);
  luaL_checkany(L, 1);
  rt__buf *out = push_buffer(L);
  if (rt__json_encode(L, 1, indent, out, &err) != RT_OK) {
    rt__buf_deinit(out);
    return rt__lua_fail(L, &err);
  }
  lua_pushlstring(L, out->data ? out->data : "", out->size);
  rt__buf_deinit(out);
  return 1;
}

/* decode(text) -> value | nil, err */
static int l_decode(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  if (rt__json_decode(L, text, size, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  return 1;
}

/* array(table) -> the table, marked */
static int l_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  rt__lua_mark_array(L);
  return 1;
}

int rt__open_json(lua_State *L) {
  static const luaL_Reg functions[] = {{"encode", l_encode},
                                       {"decode", l_decode},
                                       {"array", l_array},
                                       {NULL, NULL}};
  rt__bind_meta(L, BUFFER, free_buffer);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
