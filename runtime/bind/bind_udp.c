/* bind_udp.c - rt.core.udp: datagrams. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bind/net_bind.h"
#include "net/udp.h"
#include "process/fence.h"

int rt__open_udp(lua_State *L);

#define UDP_META "rt.udp"

typedef struct bound_udp {
  rt__resource resource;
  rt__udp *udp;
} bound_udp;

typedef struct udp_op {
  rt__op op;
  rt__udp *udp;
  rt__udp_wait wait;
} udp_op;

static void close_udp(rt__resource *resource) {
  rt__udp_close(((bound_udp *)resource)->udp);
}

static int l_collect(lua_State *L) {
  bound_udp *bound = lua_touserdata(L, 1);
  if (!bound->udp) return 0;
  rt__resource_remove(&bound->resource);
  rt__udp_close(bound->udp);
  rt__udp_unref(bound->udp);
  bound->udp = NULL;
  return 0;
}

static int l_open(lua_State *L) {
  const char *host = luaL_checkstring(L, 1);
  unsigned port = rt__bind_port(L, 2, 0);
  rt_error err = RT_ERROR_INIT;
  bound_udp *bound = lua_newuserdata(L, sizeof(*bound));
  memset(bound, 0, sizeof(*bound));
  luaL_getmetatable(L, UDP_META);
  lua_setmetatable(L, -2);
  if (rt__udp_new(&bound->udp, rt__bind_net(L), host, port, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  bound->resource.close = close_udp;
  rt__resource_add(rt__process_of(L), &bound->resource);
  return 1;
}

static rt__udp *check_udp(lua_State *L) {
  bound_udp *bound = luaL_checkudata(L, 1, UDP_META);
  return bound->udp;
}

static void on_ready(rt__udp_wait *wait) {
  udp_op *op = wait->arg;
  if (wait->err.code) rt__op_fail(&op->op, &wait->err);
  rt__op_end(&op->op);
}

static void cancel(rt__op *base) {
  udp_op *op = (udp_op *)base;
  rt__udp_stop(op->udp, &op->wait);
  rt__op_end(base);
}

static void release(rt__op *base) {
  udp_op *op = (udp_op *)base;
  free(op->wait.data);
  rt__udp_unref(op->udp);
}

static udp_op *new_op(lua_State *L, rt__udp *udp, const rt__op_type *type) {
  udp_op *op = rt__op_new(L, sizeof(*op), type);
  op->udp = rt__udp_ref(udp);
  op->wait.fn = on_ready;
  op->wait.arg = op;
  return op;
}

static int push_received(lua_State *L, rt__op *base) {
  udp_op *op = (udp_op *)base;
  lua_pushlstring(L, op->wait.data, op->wait.size);
  return 1 + rt__bind_push_addr(L, &op->wait.peer);
}

/* receive(udp) -> op -> bytes, address, port */
static int l_receive(lua_State *L) {
  static const rt__op_type type = {"receive", cancel, push_received, release};
  udp_op *op = new_op(L, check_udp(L), &type);
  rt__udp_receive(op->udp, &op->wait);
  return rt__op_return(L, &op->op);
}

/* send(udp, bytes, address, port, host) -> op -> true */
static int l_send(lua_State *L) {
  static const rt__op_type type = {"send", cancel, NULL, release};
  rt__udp *udp = check_udp(L);
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  const char *host = luaL_checkstring(L, 3);
  unsigned port = rt__bind_port(L, 4, 1);
  rt_error err = RT_ERROR_INIT;
  rt__addr peer;
  udp_op *op;
  luaL_argcheck(L, rt__addr_parse(&peer, host, port), 3, "address expected");
  if (!rt__fence_allows(rt__fence_of(L), "send to", luaL_optstring(L, 5, host),
                        NULL, &peer, port, &err))
    return rt__lua_fail(L, &err);
  op = new_op(L, udp, &type);
  op->wait.peer = peer;
  op->wait.size = size;
  op->wait.data = malloc(size + 1);
  if (!op->wait.data) {
    rt_fail(&op->wait.err, RT_ENOMEM, "udp: no memory");
    on_ready(&op->wait);
  } else {
    memcpy(op->wait.data, data, size);
    rt__udp_send(udp, &op->wait);
  }
  return rt__op_return(L, &op->op);
}

static int l_close(lua_State *L) {
  bound_udp *bound = luaL_checkudata(L, 1, UDP_META);
  rt__resource_remove(&bound->resource);
  rt__udp_close(bound->udp);
  return 0;
}

static int l_address(lua_State *L) {
  return rt__bind_push_addr(L, rt__udp_address(check_udp(L)));
}

static int l_methods(lua_State *L) {
  return rt__bind_methods(L, UDP_META);
}

int rt__open_udp(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", l_open},   {"send", l_send},       {"receive", l_receive},
      {"close", l_close}, {"address", l_address}, {"methods", l_methods},
      {NULL, NULL}};
  rt__bind_net(L);
  rt__bind_meta(L, UDP_META, l_collect);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
