/* net_bind.c - the network context of a VM, and connections as userdata
 * (bind/net_bind.h).
 *
 * SPDX-License-Identifier: MIT */
#include "bind/net_bind.h"

#include <string.h>
#include <unistd.h>

#include "process/fence.h"

static const char context_key;

static int l_close_context(lua_State *L) {
  rt__net **slot = lua_touserdata(L, 1);
  rt__net_close(*slot);
  *slot = NULL;
  return 0;
}

static rt__net *make_context(lua_State *L) {
  rt__worker *worker = rt__worker_of(L);
  rt_error err = RT_ERROR_INIT;
  rt__net **slot = lua_newuserdata(L, sizeof(*slot));
  *slot = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_close_context);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  if (rt__net_new(slot, rt__worker_loop(worker),
                  rt__runtime_resolver(rt__worker_runtime(worker)),
                  &err) != RT_OK)
    luaL_error(L, "%s", err.message);
  lua_pushlightuserdata(L, (void *)&context_key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  return *slot;
}

rt__net *rt__bind_net(lua_State *L) {
  rt__net **slot;
  lua_pushlightuserdata(L, (void *)&context_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  slot = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return slot ? *slot : make_context(L);
}

/* --- helpers ------------------------------------------------------------ */
int rt__bind_push_addr(lua_State *L, const rt__addr *addr) {
  char text[RT__ADDR_TEXT];
  rt__addr_text(addr, text);
  lua_pushstring(L, text);
  lua_pushinteger(L, (lua_Integer)rt__addr_port(addr));
  return 2;
}

unsigned rt__bind_port(lua_State *L, int index, unsigned least) {
  lua_Number port = luaL_checknumber(L, index);
  if (port != (lua_Number)(int)port || port < least || port > 65535)
    luaL_argerror(L, index, "port number expected");
  return (unsigned)port;
}

void rt__bind_meta(lua_State *L, const char *name, lua_CFunction collect) {
  if (luaL_newmetatable(L, name)) {
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
}

int rt__bind_methods(lua_State *L, const char *name) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_getmetatable(L, name);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "__index");
  return 0;
}

/* --- connections -------------------------------------------------------- */
static void close_conn(rt__resource *resource) {
  rt__bound_conn *bound = (rt__bound_conn *)resource;
  rt__conn_close(bound->conn);
}

static int l_collect_conn(lua_State *L) {
  rt__bound_conn *bound = lua_touserdata(L, 1);
  if (!bound->conn) return 0;
  rt__resource_remove(&bound->resource);
  rt__conn_close(bound->conn);
  rt__conn_unref(bound->conn);
  rt__fence_unref(bound->fence);
  bound->conn = NULL;
  bound->fence = NULL;
  return 0;
}

rt__conn *rt__bind_conn(lua_State *L, int index) {
  rt__bound_conn *bound = luaL_checkudata(L, index, RT__CONN_META);
  const rt__fence *fence = rt__fence_of(L);
  if (fence && !rt__fence_same(fence, bound->fence))
    luaL_error(L, "the connection was opened for another session, whose scope "
                  "may be another");
  return bound->conn;
}

int rt__bind_push_conn(lua_State *L, int fd, const rt__addr *peer) {
  rt_error err = RT_ERROR_INIT;
  rt__bound_conn *bound = lua_newuserdata(L, sizeof(*bound));
  memset(bound, 0, sizeof(*bound));
  luaL_getmetatable(L, RT__CONN_META);
  lua_setmetatable(L, -2);
  if (rt__conn_new(&bound->conn, rt__bind_net(L), fd, peer, &err) != RT_OK) {
    close(fd);
    return rt__lua_fail(L, &err);
  }
  bound->resource.close = close_conn;
  bound->fence = rt__fence_ref(rt__fence_of(L));
  rt__resource_add(rt__process_of(L), &bound->resource);
  return 1;
}

void rt__bind_open_conn(lua_State *L) {
  rt__bind_meta(L, RT__CONN_META, l_collect_conn);
}
