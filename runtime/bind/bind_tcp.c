/* bind_tcp.c - rt.core.tcp: connections and listeners.
 *
 * What reads takes its bytes from the connection when its results are pushed,
 * so a wait that was given up has lost nothing. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bind/net_bind.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/tls.h"
#include "process/fence.h"

int rt__open_tcp(lua_State *L);

#define LISTENER_META "rt.listener"

/* --- connect: dial(host, port) -> op -> connection ---------------------- */
typedef struct dial_op {
  rt__op op;
  rt__dial *dial;
  int fd;
  rt__addr peer;
  rt__fence *fence; /* [own] or NULL */
  bool allowed;     /* one of the name's addresses */
  char host[RT__HOST_MAX];
  unsigned port;
} dial_op;

/* One address of a name; it is refused when none of them is allowed. */
static bool allows(void *arg, const char *host, const rt__addr *addr,
                   rt_error *err) {
  dial_op *op = arg;
  rt_error why = RT_ERROR_INIT;
  unsigned port = rt__addr_port(addr);
  if (rt__fence_would_allow(op->fence, "connect to", host, NULL, addr, port,
                            &why)) {
    op->allowed = true;
    return true;
  }
  if (err) *err = why;
  return false;
}

static void on_dialed(void *arg, int fd, const rt__addr *peer,
                      const rt_error *err) {
  dial_op *op = arg;
  op->fd = fd;
  if (fd < 0 && err->code == RT_EPERM && op->fence && !op->allowed)
    rt__fence_note(op->fence, op->host, NULL, NULL, op->port, err);
  if (fd >= 0)
    op->peer = *peer;
  else
    rt__op_fail(&op->op, err);
  rt__op_end(&op->op);
}

static void cancel_dial(rt__op *base) {
  dial_op *op = (dial_op *)base;
  rt__dial_cancel(op->dial);
  op->dial = NULL;
  rt__op_end(base);
}

static int push_dialed(lua_State *L, rt__op *base) {
  dial_op *op = (dial_op *)base;
  int fd = op->fd;
  op->fd = -1;
  return rt__bind_push_conn(L, fd, &op->peer);
}

static void release_dial(rt__op *base) {
  dial_op *op = (dial_op *)base;
  if (op->fd >= 0) close(op->fd);
  rt__fence_unref(op->fence);
}

static int l_dial(lua_State *L) {
  static const rt__op_type type = {"connect", cancel_dial, push_dialed,
                                   release_dial};
  const char *host = luaL_checkstring(L, 1);
  unsigned port = rt__bind_port(L, 2, 1);
  rt__net *net = rt__bind_net(L);
  rt_error err = RT_ERROR_INIT;
  dial_op *op = rt__op_new(L, sizeof(*op), &type);
  op->fd = -1;
  op->fence = rt__fence_ref(rt__fence_of(L));
  op->port = port;
  if (op->fence) snprintf(op->host, sizeof(op->host), "%s", host);
  rt__dial_gate gate = {allows, op};
  if (!rt__fence_allows(op->fence, "connect to", host, NULL, NULL, port,
                        &err) ||
      rt__dial_start(&op->dial, net, host, port, op->fence ? &gate : NULL,
                     on_dialed, op, &err) != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* --- read(conn, mode, limit, strict) -> op -> bytes, or nil at the end --- */
typedef struct read_op {
  rt__op op;
  rt__conn *conn;
  rt__reader reader;
} read_op;

static void on_readable(rt__reader *reader) {
  rt__op_end(reader->arg);
}

static void cancel_read(rt__op *base) {
  read_op *op = (read_op *)base;
  rt__conn_stop_read(op->conn, &op->reader);
  rt__op_end(base);
}

static int push_read(lua_State *L, rt__op *base) {
  read_op *op = (read_op *)base;
  const char *data;
  size_t size, take;
  rt_error err = RT_ERROR_INIT;
  switch (rt__conn_result(op->conn, &op->reader, &data, &size, &take, &err)) {
  case RT__READ_DATA:
    if (op->reader.mode == RT__READ_READY) {
      lua_pushboolean(L, 1);
      return 1;
    }
    lua_pushlstring(L, data, size);
    rt__conn_consume(op->conn, take);
    return 1;
  case RT__READ_FAIL:
    return rt__lua_fail(L, &err);
  case RT__READ_WAIT: /* another reader was quicker */
    rt_fail(&err, RT_ECONFLICT, "read: two coroutines read this connection");
    return rt__lua_fail(L, &err);
  case RT__READ_END:
    break;
  }
  if (op->reader.mode == RT__READ_ALL)
    lua_pushliteral(L, "");
  else
    lua_pushnil(L);
  return 1;
}

static void release_read(rt__op *base) {
  rt__conn_unref(((read_op *)base)->conn);
}

static int start_read(lua_State *L, rt__conn *conn, rt__read_mode mode,
                      size_t limit, bool strict) {
  static const rt__op_type type = {"read", cancel_read, push_read,
                                   release_read};
  rt_error err = RT_ERROR_INIT;
  read_op *op = rt__op_new(L, sizeof(*op), &type);
  op->conn = rt__conn_ref(conn);
  op->reader = (rt__reader){mode, limit, strict, on_readable, op, 0};
  if (rt__conn_read(conn, &op->reader, &err) != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

static int l_read(lua_State *L) {
  static const char *const modes[] = {"some", "exact", "line", "all", NULL};
  rt__conn *conn = rt__bind_conn(L, 1);
  int mode = luaL_checkoption(L, 2, NULL, modes);
  lua_Number limit = luaL_checknumber(L, 3);
  return start_read(L, conn, (rt__read_mode)mode, (size_t)limit,
                    lua_toboolean(L, 4));
}

/* ready(conn) -> op -> true once the TLS handshake is over */
static int l_ready(lua_State *L) {
  return start_read(L, rt__bind_conn(L, 1), RT__READ_READY, 0, false);
}

/* --- write(conn, bytes), shutdown(conn) -> true, or op -> true ----------- */
typedef struct write_op {
  rt__op op;
  rt__conn *conn;
  rt__writer writer;
} write_op;

static void on_written(rt__writer *writer) {
  rt__op_end(writer->arg);
}

static void cancel_write(rt__op *base) {
  write_op *op = (write_op *)base;
  rt__conn_stop_wait(op->conn, &op->writer);
  rt__op_end(base);
}

static int push_written(lua_State *L, rt__op *base) {
  write_op *op = (write_op *)base;
  rt_error err = RT_ERROR_INIT;
  if (rt__conn_sent(op->conn, &err) != RT_OK) return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static void release_write(rt__op *base) {
  rt__conn_unref(((write_op *)base)->conn);
}

static int wait_sent(lua_State *L, rt__conn *conn, bool shut) {
  static const rt__op_type type = {"write", cancel_write, push_written,
                                   release_write};
  write_op *op = rt__op_new(L, sizeof(*op), &type);
  op->conn = rt__conn_ref(conn);
  op->writer.fn = on_written;
  op->writer.arg = op;
  op->writer.shutdown = shut;
  if (rt__conn_wait_sent(conn, &op->writer)) rt__op_end(&op->op);
  return rt__op_return(L, &op->op);
}

/* write(conn, bytes) -> true, op -> true, or false: the TLS handshake is not
 * over yet */
static int l_write(lua_State *L) {
  rt__conn *conn = rt__bind_conn(L, 1);
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  rt_error err = RT_ERROR_INIT;
  if (conn->tls && !rt__tls_ready(conn) && conn->fd >= 0) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (rt__conn_write(conn, data, size, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  if (rt__fifo_size(&conn->out) > 0) return wait_sent(L, conn, false);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_shutdown(lua_State *L) {
  rt__conn *conn = rt__bind_conn(L, 1);
  rt__conn_shutdown(conn);
  return wait_sent(L, conn, true);
}

static int l_close(lua_State *L) {
  rt__bound_conn *bound = luaL_checkudata(L, 1, RT__CONN_META);
  rt__resource_remove(&bound->resource);
  rt__conn_close(bound->conn);
  return 0;
}

static int l_peer(lua_State *L) {
  return rt__bind_push_addr(L, &rt__bind_conn(L, 1)->peer);
}

/* The address of the own end; nothing once closed. */
static int l_address(lua_State *L) {
  rt__addr addr;
  if (!rt__conn_local(rt__bind_conn(L, 1), &addr)) return 0;
  return rt__bind_push_addr(L, &addr);
}

static int l_closed(lua_State *L) {
  lua_pushboolean(L, rt__bind_conn(L, 1)->fd < 0);
  return 1;
}

/* --- listeners ----------------------------------------------------------- */
typedef struct bound_listener {
  rt__resource resource;
  rt__listener *listener;
} bound_listener;

typedef struct accept_op {
  rt__op op;
  rt__listener *listener;
  rt__acceptor acceptor;
} accept_op;

static void close_listener(rt__resource *resource) {
  rt__listener_close(((bound_listener *)resource)->listener);
}

static int l_collect_listener(lua_State *L) {
  bound_listener *bound = lua_touserdata(L, 1);
  if (!bound->listener) return 0;
  rt__resource_remove(&bound->resource);
  rt__listener_close(bound->listener);
  rt__listener_unref(bound->listener);
  bound->listener = NULL;
  return 0;
}

static int l_listen(lua_State *L) {
  const char *host = luaL_checkstring(L, 1);
  unsigned port = rt__bind_port(L, 2, 0);
  int backlog = (int)luaL_optinteger(L, 3, 0);
  rt_error err = RT_ERROR_INIT;
  bound_listener *bound = lua_newuserdata(L, sizeof(*bound));
  memset(bound, 0, sizeof(*bound));
  luaL_getmetatable(L, LISTENER_META);
  lua_setmetatable(L, -2);
  if (rt__listener_new(&bound->listener, rt__bind_net(L), host, port, backlog,
                       &err) != RT_OK)
    return rt__lua_fail(L, &err);
  bound->resource.close = close_listener;
  rt__resource_add(rt__process_of(L), &bound->resource);
  return 1;
}

static rt__listener *check_listener(lua_State *L) {
  bound_listener *bound = luaL_checkudata(L, 1, LISTENER_META);
  return bound->listener;
}

static void on_accepted(rt__acceptor *acceptor) {
  accept_op *op = acceptor->arg;
  if (acceptor->fd < 0) rt__op_fail(&op->op, &acceptor->err);
  rt__op_end(&op->op);
}

static void cancel_accept(rt__op *base) {
  accept_op *op = (accept_op *)base;
  rt__listener_stop(op->listener, &op->acceptor);
  rt__op_end(base);
}

static int push_accepted(lua_State *L, rt__op *base) {
  accept_op *op = (accept_op *)base;
  int fd = op->acceptor.fd;
  op->acceptor.fd = -1;
  return rt__bind_push_conn(L, fd, &op->acceptor.peer);
}

static void release_accept(rt__op *base) {
  accept_op *op = (accept_op *)base;
  if (op->acceptor.fd >= 0) close(op->acceptor.fd);
  rt__listener_unref(op->listener);
}

/* accept(listener) -> op -> connection */
static int l_accept(lua_State *L) {
  static const rt__op_type type = {"accept", cancel_accept, push_accepted,
                                   release_accept};
  rt__listener *listener = check_listener(L);
  accept_op *op = rt__op_new(L, sizeof(*op), &type);
  op->listener = rt__listener_ref(listener);
  op->acceptor.fn = on_accepted;
  op->acceptor.arg = op;
  op->acceptor.fd = -1;
  rt__listener_accept(listener, &op->acceptor);
  return rt__op_return(L, &op->op);
}

static int l_listener_address(lua_State *L) {
  return rt__bind_push_addr(L, rt__listener_address(check_listener(L)));
}

static int l_listener_close(lua_State *L) {
  bound_listener *bound = luaL_checkudata(L, 1, LISTENER_META);
  rt__resource_remove(&bound->resource);
  rt__listener_close(bound->listener);
  return 0;
}

static int l_conn_methods(lua_State *L) {
  return rt__bind_methods(L, RT__CONN_META);
}

static int l_listener_methods(lua_State *L) {
  return rt__bind_methods(L, LISTENER_META);
}

int rt__open_tcp(lua_State *L) {
  static const luaL_Reg functions[] = {{"dial", l_dial},
                                       {"read", l_read},
                                       {"ready", l_ready},
                                       {"write", l_write},
                                       {"shutdown", l_shutdown},
                                       {"close", l_close},
                                       {"closed", l_closed},
                                       {"peer", l_peer},
                                       {"address", l_address},
                                       {"conn_methods", l_conn_methods},
                                       {"listen", l_listen},
                                       {"accept", l_accept},
                                       {"listener_address", l_listener_address},
                                       {"listener_close", l_listener_close},
                                       {"listener_methods", l_listener_methods},
                                       {NULL, NULL}};
  rt__bind_net(L);
  rt__bind_meta(L, LISTENER_META, l_collect_listener);
  rt__bind_open_conn(L);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
