/* bind/net_bind.h - what the bindings of the network modules share.
 *
 * A VM has one network context, made with the first of these modules and
 * closed by the collector with the VM. Handles are userdata that close with
 * their process; operations keep what they use by reference, so a handle may
 * be collected or closed while one is on its way.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BIND_NET_BIND_H
#define RT__BIND_NET_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "net/conn.h"
#include "net/net.h"
#include "process/op.h"

/* The VM's context; raises when it cannot be made. */
rt__net *rt__bind_net(lua_State *L);

/* A connection as scripts hold it. */
typedef struct rt__bound_conn {
  rt__resource resource;
  rt__conn *conn;
  struct rt__fence *fence; /* [own] behind which it was opened, or NULL */
} rt__bound_conn;

#define RT__CONN_META "rt.connection"

/* The connection at `index`; raises for anything else, and for one that
 * another session's or an unfenced process opened for one behind a fence. */
rt__conn *rt__bind_conn(lua_State *L, int index);
/* Make their metatable, before the first one is pushed. */
void rt__bind_open_conn(lua_State *L);
/* Push one around `fd`, which is taken also when that fails; then nil and the
 * error are pushed. Returns the number of values. */
int rt__bind_push_conn(lua_State *L, int fd, const rt__addr *peer);

/* Push "ADDRESS", port; returns 2. */
int rt__bind_push_addr(lua_State *L, const rt__addr *addr);
/* A port at `index`: raises unless it is an integer from `least` to 65535. */
unsigned rt__bind_port(lua_State *L, int index, unsigned least);

/* Make the metatable `name` (a __gc and what scripts see as its type), if that
 * is not done yet. Its methods come from Lua: rt__bind_methods is a function
 * for the module's table, methods(index table). */
void rt__bind_meta(lua_State *L, const char *name, lua_CFunction collect);
int rt__bind_methods(lua_State *L, const char *name);

#endif
