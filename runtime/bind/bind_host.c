/* bind_host.c - rt.core.host: modules of the embedding program.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "bind/bind.h"
#include "process/embed.h"

static const rt__module *module_at(lua_State *L, int index) {
  return rt__module_find(rt__runtime_of(L), luaL_checkstring(L, index));
}

/* source(name) -> Lua text, or nil */
static int l_source(lua_State *L) {
  const rt__module *module = module_at(L, 1);
  if (!module || !module->source) return 0;
  lua_pushlstring(L, module->source, module->source_size);
  return 1;
}

/* functions(name) -> {name = function, ...}, or nil */
static int l_functions(lua_State *L) {
  const rt__module *module = module_at(L, 1);
  if (!module || module->source) return 0;
  lua_createtable(L, 0, (int)module->count);
  for (size_t i = 0; i < module->count; i++) {
    lua_pushlightuserdata(L, &module->functions[i]);
    lua_setfield(L, -2, module->functions[i].name);
  }
  return 1;
}

/* call(function, ...) -> operation */
static int l_call(lua_State *L) {
  const rt__function *function = lua_touserdata(L, 1);
  luaL_argcheck(L, function, 1, "function of the host expected");
  return rt__module_call(L, function, 2);
}

static const luaL_Reg functions[] = {{"source", l_source},
                                     {"functions", l_functions},
                                     {"call", l_call},
                                     {NULL, NULL}};

int rt__open_host(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
