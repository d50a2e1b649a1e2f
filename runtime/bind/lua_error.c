/* lua_error.c - error objects made and read by C (process/worker.h).
 *
 * The objects are Lua's: the module rt.errors registers its constructor here
 * (rt.core.errors) when it is loaded, once per VM. The registry keeps its four
 * parts in a table under the address of `parts_key`.
 *
 * SPDX-License-Identifier: MIT */
#include "bind/lua_error.h"

#include <lauxlib.h>

#include "bind/lua_value.h"
#include "process/worker.h"

static const char parts_key;

enum part { MAKE = 1, FROM_MAP, TO_MAP, META };

/* Pushes a part, or nil when the module is not loaded. Never raises. */
static void push_part(lua_State *L, enum part part) {
  lua_pushlightuserdata(L, (void *)&parts_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  if (lua_istable(L, -1)) {
    lua_rawgeti(L, -1, (int)part);
    lua_remove(L, -2);
  }
}

/* register(make, from_map, to_map, meta) */
static int l_register(lua_State *L) {
  luaL_checktype(L, MAKE, LUA_TFUNCTION);
  luaL_checktype(L, FROM_MAP, LUA_TFUNCTION);
  luaL_checktype(L, TO_MAP, LUA_TFUNCTION);
  luaL_checktype(L, META, LUA_TTABLE);
  lua_createtable(L, META, 0);
  for (int i = MAKE; i <= META; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i);
  }
  lua_pushlightuserdata(L, (void *)&parts_key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return 0;
}

int rt__open_errors(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_register);
  lua_setfield(L, -2, "register");
  return 1;
}

void rt__lua_push_error(lua_State *L, const rt_error *err) {
  luaL_checkstack(L, 8, "error");
  push_part(L, MAKE);
  if (!lua_isfunction(L, -1)) { /* before the library is loaded */
    lua_pop(L, 1);
    lua_pushstring(L, err->message);
    return;
  }
  lua_pushstring(L, err->message);
  lua_pushstring(L, rt_status_kind(err->code));
  lua_pushboolean(L, err->retryable);
  lua_call(L, 3, 1);
}

int rt__lua_fail(lua_State *L, const rt_error *err) {
  lua_pushnil(L);
  rt__lua_push_error(L, err);
  return 2;
}

int rt__lua_fail_text(lua_State *L, rt_err code, const char *text) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, code, "%s", text);
  return rt__lua_fail(L, &err);
}

void rt__lua_push_error_value(lua_State *L, rt_view error) {
  luaL_checkstack(L, 8, "error");
  if (rt_view_type(error) != RT_MAP) {
    rt_error none = RT_ERROR_INIT;
    size_t size;
    const char *text = rt_view_string(error, &size);
    rt_fail(&none, RT_EUNKNOWN, "%.*s", text ? (int)size : 13,
            text ? text : "unknown error");
    rt__lua_push_error(L, &none);
    return;
  }
  push_part(L, FROM_MAP);
  rt__lua_decode(L, error);
  lua_call(L, 1, 1);
}

bool rt__lua_is_error(lua_State *L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  push_part(L, META);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

bool rt__lua_error_map(lua_State *L, int index) {
  if (index < 0 && index > LUA_REGISTRYINDEX) index += lua_gettop(L) + 1;
  push_part(L, TO_MAP);
  lua_pushvalue(L, index);
  if (lua_pcall(L, 1, 1, 0) == 0 && lua_istable(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

static rt_value *unreadable(void) {
  rt_value *out = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, "error that cannot be shown");
  rt_builder_key(b, "kind");
  rt_builder_string(b, rt_status_kind(RT_EUNKNOWN));
  rt_builder_key(b, "retryable");
  rt_builder_bool(b, false);
  rt_builder_end(b);
  rt_builder_finish(b, &out, NULL);
  rt_builder_free(b);
  return out;
}

rt_value *rt__lua_error_value(lua_State *L, int index) {
  rt_value *out = NULL;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 10) || !rt__lua_error_map(L, index))
    return unreadable();
  if (rt__lua_encode(L, -1, "error", &out, NULL) != RT_OK) {
    lua_pushliteral(L, "details"); /* may hold anything */
    lua_pushnil(L);
    lua_rawset(L, -3);
    rt__lua_encode(L, -1, "error", &out, NULL);
  }
  lua_settop(L, top);
  return out ? out : unreadable();
}
