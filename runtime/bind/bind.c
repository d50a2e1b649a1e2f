/* bind.c - makes the library's modules known to a VM.
 * SPDX-License-Identifier: MIT */
#include "bind/bind.h"

#include <lauxlib.h>

#include "base/embedded.h"

int rt__traceback(lua_State *L) {
  const char *text = lua_tostring(L, 1);
  if (!text && luaL_callmeta(L, 1, "__tostring")) text = lua_tostring(L, -1);
  luaL_traceback(L, L, text ? text : "(error is no text)", 1);
  return 1;
}

rt__process *rt__lua_process(lua_State *L) {
  rt__process *process = rt__process_of(L);
  if (!process) luaL_error(L, "no process is running");
  return process;
}

/* A loader for package.loaders: the embedded module of this name. */
static int find_embedded(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const struct rt__embedded *module = rt__embedded_find(name);
  if (!module) {
    lua_pushfstring(L, "\n\tno module '%s' in the library", name);
    return 1;
  }
  if (luaL_loadbuffer(L, (const char *)module->data, module->size, name) != 0)
    return lua_error(L);
  /* Loaded on behalf of a process or not, its globals are the library's. */
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(L, -1, "_G");
  lua_remove(L, -2);
  lua_setfenv(L, -2);
  return 1;
}

static const luaL_Reg halves[] = {
#define X(name) {"rt.core." #name, rt__open_##name},
#include "bind/list.h"
#undef X
    {NULL, NULL}};

void rt__bind_open(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  for (const luaL_Reg *half = halves; half->name; half++) {
    lua_pushcfunction(L, half->func);
    lua_setfield(L, -2, half->name);
  }
  lua_pop(L, 1);
  lua_getfield(L, -1, "loaders");
  for (int i = (int)lua_objlen(L, -1); i > 1; i--) {
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  lua_pushcfunction(L, find_embedded);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}
