/* bind_fence.c - rt.core.fence: the rules of a scope for capability tests,
 * which have no session. What an active capability may reach is decided, and
 * said, by the code that does it in a session. SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>

#include "bind/bind.h"
#include "net/http.h"
#include "process/fence.h"
#include "process/worker.h"

#define FENCE     "rt.fence"
#define MAX_RULES 1000

static rt__fence *check_fence(lua_State *L) {
  rt__fence *fence = *(rt__fence **)luaL_checkudata(L, 1, FENCE);
  if (!fence) luaL_argerror(L, 1, "it has been dropped");
  return fence;
}

static int l_gc(lua_State *L) {
  rt__fence **slot = luaL_checkudata(L, 1, FENCE);
  rt__fence_unref(*slot);
  *slot = NULL;
  return 0;
}

/* new(rules) -> fence | nil, err */
static int l_new(lua_State *L) {
  const char *rules[MAX_RULES];
  rt_error err = RT_ERROR_INIT;
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t count = lua_objlen(L, 1);
  if (count > MAX_RULES)
    return rt__lua_fail_text(L, RT_EINVAL, "more than 1000 rules");
  for (size_t i = 0; i < count; i++) { /* the list keeps the texts */
    lua_rawgeti(L, 1, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      return rt__lua_fail_text(L, RT_EINVAL, "a rule is a string");
    rules[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  rt__fence **slot = lua_newuserdata(L, sizeof(rt__fence *));
  *slot = NULL;
  if (luaL_newmetatable(L, FENCE)) {
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  if (rt__fence_alone(slot, rules, count, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  return 1;
}

/* has(fence, class, value) -> true | false, why */
static int l_has(lua_State *L) {
  char why[300];
  size_t size;
  const rt__fence *fence = check_fence(L);
  const char *class_ = luaL_checkstring(L, 2);
  const char *value = luaL_checklstring(L, 3, &size);
  bool in = rt__fence_has(fence, class_, value, size, why, sizeof(why));
  lua_pushboolean(L, in);
  if (in) return 1;
  lua_pushstring(L, why);
  return 2;
}

static int push_verdict(lua_State *L, bool allowed, const rt_error *err) {
  if (!allowed) return rt__lua_fail(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* allows(fence, what, host | nil, address | nil, port) -> true | nil, err */
static int l_allows(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt__addr addr;
  const rt__fence *fence = check_fence(L);
  const char *what = luaL_checkstring(L, 2);
  const char *host = luaL_optstring(L, 3, NULL);
  const char *address = luaL_optstring(L, 4, NULL);
  unsigned port = (unsigned)luaL_optinteger(L, 5, 0);
  bool known = address && rt__addr_parse(&addr, address, port);
  return push_verdict(L,
                      rt__fence_would_allow(fence, what, host, NULL,
                                            known ? &addr : NULL, port, &err),
                      &err);
}

/* allows_url(fence, method, url, address | nil) -> true, host | nil, err */
static int l_allows_url(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt__addr addr;
  rt__url url;
  const rt__fence *fence = check_fence(L);
  const char *method = luaL_checkstring(L, 2), *text = luaL_checkstring(L, 3);
  const char *address = luaL_optstring(L, 4, NULL);
  if (rt__url_parse(&url, text, NULL, false, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  bool known = address && rt__addr_parse(&addr, address, url.port);
  bool ok = rt__fence_would_allow(fence, method, url.host, text,
                                  known ? &addr : NULL, url.port, &err);
  char host[RT__HOST_MAX];
  snprintf(host, sizeof(host), "%s", url.host);
  rt__url_deinit(&url);
  if (!ok) return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  lua_pushstring(L, host);
  return 2;
}

int rt__open_fence(lua_State *L);
int rt__open_fence(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new", l_new},       {"has", l_has},
      {"allows", l_allows}, {"allows_url", l_allows_url},
      {NULL, NULL},
  };
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
