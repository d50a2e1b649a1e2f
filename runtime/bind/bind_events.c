/* bind_events.c - rt.core.events: the bus for Lua; see lua/events.lua.
 *
 * A subscription is a userdata that owns a feed (bus/bridge.h). It is closed by
 * the script, with its process, or when nobody can reach it any more.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bridge.h"
#include "process/op.h"
#include "value/wire.h"

int rt__open_events(lua_State *L);
rt__bridge *rt__runtime_bridge(rt_runtime *rt);

/* --- the runtime's bridge -------------------------------------------- */

static void notify(void *self, rt_pid pid, const rt_value *token) {
  rt__process_mail(self, pid, "@events", token);
}

static void busy(void *self) {
  rt__runtime_hold(self);
}
static void idle(void *self) {
  rt__runtime_release(self);
}

rt_err rt__bridge_new(rt__bridge **out, rt_runtime *rt, rt_bus *bus,
                      rt_error *err) {
  const rt__bridge_ops ops = {notify, rt};
  const rt__bus_hook hook = {busy, idle, rt};
  rt__bus_set_hook(bus, &hook);
  return rt__bridge_create(out, bus, &ops, err);
}

/* --- subscriptions --------------------------------------------------- */

enum { BATCH = 64 };
static const char *const META = "rt.subscription";

typedef struct subscription {
  rt__resource resource;
  rt__feed *feed; /* NULL when its process has ended */
  uint64_t dropped;
  unsigned at, count; /* of what was taken and not given to Lua yet */
  rt__shared *batch[BATCH];
} subscription;

static void let_go(subscription *sub) {
  while (sub->at < sub->count) rt__shared_unref(sub->batch[sub->at++]);
  if (!sub->feed) return;
  sub->dropped = rt__feed_dropped(sub->feed);
  rt__feed_discard(sub->feed);
  rt__feed_unref(sub->feed);
  sub->feed = NULL;
}

static void close_resource(rt__resource *resource) {
  let_go((subscription *)resource);
}

static subscription *check(lua_State *L) {
  return luaL_checkudata(L, 1, META);
}

static int l_gc(lua_State *L) {
  subscription *sub = lua_touserdata(L, 1);
  rt__resource_remove(&sub->resource);
  let_go(sub);
  return 0;
}

/* close(sub): no more events; what is buffered can still be taken. */
static int l_close(lua_State *L) {
  subscription *sub = check(L);
  if (sub->feed) rt__feed_close(sub->feed);
  return 0;
}

static int l_dropped(lua_State *L) {
  subscription *sub = check(L);
  uint64_t dropped = sub->feed ? rt__feed_dropped(sub->feed) : sub->dropped;
  lua_pushnumber(L, (lua_Number)dropped);
  return 1;
}

/* Upvalues of l_take: the names of an event's fields. */
enum { SYSTEM = 1, KIND, PATH, DATA };

static void set_text(lua_State *L, int field, const char *text, size_t size) {
  lua_pushvalue(L, lua_upvalueindex(field));
  lua_pushlstring(L, text, size);
  lua_rawset(L, -3);
}

static void push_event(lua_State *L, const rt__shared *event) {
  const char *kind = event->text + event->system_size + 1;
  const char *path = kind + event->kind_size + 1;
  rt_view data = rt__shared_data(event);
  lua_createtable(L, 0, data.at ? 4 : 3);
  set_text(L, SYSTEM, event->text, event->system_size);
  set_text(L, KIND, kind, event->kind_size);
  set_text(L, PATH, path, event->path_size);
  if (!data.at) return;
  lua_pushvalue(L, lua_upvalueindex(DATA));
  rt__lua_decode(L, data);
  lua_rawset(L, -3);
}

/* take(sub, out, max) -> n: out[1..n] are the oldest events. With 0 the next
 * one is announced by mail; -1: closed and empty. */
static int l_take(lua_State *L) {
  subscription *sub = check(L);
  lua_Integer max = luaL_checkinteger(L, 3);
  bool end = true;
  int n = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  if (sub->at == sub->count && sub->feed) {
    size_t want = max < 1 ? 1 : max > BATCH ? BATCH : (size_t)max;
    sub->at = 0;
    sub->count = (unsigned)rt__feed_take(sub->feed, sub->batch, want, &end);
  }
  while (sub->at < sub->count) {
    push_event(L, sub->batch[sub->at]);
    rt__shared_unref(sub->batch[sub->at++]);
    lua_rawseti(L, 2, ++n);
  }
  lua_pushinteger(L, n == 0 && end ? -1 : n);
  return 1;
}

/* --- subscribing ----------------------------------------------------- */

typedef struct subscribe_op {
  rt__op op;
  rt__feed *feed;
} subscribe_op;

static void on_ready(rt__feed *feed, void *arg) {
  (void)feed;
  rt__op_post(&((subscribe_op *)arg)->op);
}

static int push_subscription(lua_State *L, rt__op *op) {
  subscribe_op *s = (subscribe_op *)op;
  const rt_error *fault = rt__feed_fault(s->feed);
  if (fault) return rt__lua_fail(L, fault);
  subscription *sub = lua_newuserdata(L, sizeof(*sub));
  memset(sub, 0, sizeof(*sub));
  luaL_getmetatable(L, META);
  lua_setmetatable(L, -2);
  lua_pushnumber(L, (lua_Number)rt__feed_token(s->feed));
  sub->feed = s->feed; /* takes it */
  s->feed = NULL;
  sub->resource.close = close_resource;
  rt__resource_add(op->process, &sub->resource);
  return 2;
}

static void release_subscribe(rt__op *op) {
  subscribe_op *s = (subscribe_op *)op;
  if (!s->feed) return;
  rt__feed_discard(s->feed);
  rt__feed_unref(s->feed);
}

static const rt__op_type subscribe_type = {
    "events.subscribe", NULL, push_subscription, release_subscribe};

static rt_bus *bus_of(lua_State *L) {
  return rt_runtime_bus(rt__runtime_of(L));
}

static rt_err refuse_zero(lua_State *L, int index, const char *what,
                          rt_error *err) {
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  if (!text || strlen(text) == size) return RT_OK;
  rt_fail(err, RT_EINVAL, "event: zero byte in the %s", what);
  return rt__bus_refuse(bus_of(L), RT_EINVAL);
}

/* subscribe(system, kind?, limit, overflow) -> op: subscription, token;
 * or nil, err */
static int l_subscribe(lua_State *L) {
  rt__feed_opts opts = {0, luaL_checkstring(L, 1), luaL_optstring(L, 2, NULL),
                        (uint32_t)luaL_checknumber(L, 3),
                        (rt__overflow)luaL_checkinteger(L, 4)};
  rt_error err = RT_ERROR_INIT;
  if (refuse_zero(L, 1, "system pattern", &err) != RT_OK ||
      refuse_zero(L, 2, "kind pattern", &err) != RT_OK)
    return rt__lua_fail(L, &err);
  subscribe_op *op = rt__op_new(L, sizeof(*op), &subscribe_type);
  opts.pid = rt__process_pid(op->op.process);
  if (rt__feed_open(&op->feed, rt__runtime_bridge(rt__runtime_of(L)), &opts,
                    on_ready, op, &err) != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* --- sending --------------------------------------------------------- */

typedef struct room_op {
  rt__op op;
  rt__room room;
  rt_bus *bus;
} room_op;

static void on_room(rt__room *room) {
  rt__op_post((rt__op *)((char *)room - offsetof(room_op, room)));
}

static void cancel_room(rt__op *op) {
  room_op *r = (room_op *)op;
  if (rt__bus_cancel_room(r->bus, &r->room)) rt__op_end(op);
}

static const rt__op_type room_type = {"events.send", cancel_room, NULL, NULL};

/* false, op: wait for the op, then send again. */
static int wait_for_room(lua_State *L, rt_bus *bus, uint64_t bytes) {
  lua_pushboolean(L, 0);
  room_op *op = rt__op_new(L, sizeof(*op), &room_type);
  op->bus = bus;
  op->room.ready = on_room;
  if (!rt__bus_await_room(bus, &op->room, bytes)) rt__op_end(&op->op);
  rt__op_return(L, &op->op);
  return 2;
}

static rt_err check_event(lua_State *L, rt_error *err) {
  static const char *const names[] = {"system", "kind", "path"};
  for (int i = 0; i < 3; i++) {
    rt_err rc = refuse_zero(L, i + 1, names[i], err);
    if (rc != RT_OK) return rc;
  }
  rt_err rc = rt__bus_check_names(lua_tostring(L, 1), lua_tostring(L, 2),
                                  lua_tostring(L, 3), err);
  return rc == RT_OK ? rc : rt__bus_refuse(bus_of(L), rc);
}

typedef struct encoder {
  rt_builder *builder; /* of one VM, used within one call */
} encoder;

static int l_encoder_gc(lua_State *L) {
  encoder *e = lua_touserdata(L, 1);
  rt_builder_free(e->builder);
  e->builder = NULL;
  return 0;
}

static void push_encoder(lua_State *L) {
  encoder *e = lua_newuserdata(L, sizeof(*e));
  e->builder = NULL;
  lua_newtable(L);
  lua_pushcfunction(L, l_encoder_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  e->builder = rt_builder_new();
  if (!e->builder) luaL_error(L, "events: out of memory");
}

typedef struct event_args {
  const char *system, *kind, *path;
  const unsigned char *bytes; /* the data, borrowed from the builder */
  size_t size;
} event_args;

/* Data beyond this is shared as a value, not copied. */
enum { INLINE_MAX = 1024 };

static rt_err send_args(rt_bus *bus, const event_args *a, rt_error *err) {
  rt_value *data;
  if (a->size <= INLINE_MAX)
    return rt__bus_send_bytes(bus, a->system, a->kind, a->path, a->bytes,
                              a->size);
  unsigned char *to;
  data = rt__value_alloc(a->size, &to);
  if (!data) return rt_fail(err, RT_ENOMEM, "event: no memory");
  memcpy(to, a->bytes, a->size);
  rt_err rc = rt_bus_send(bus, a->system, a->kind, a->path, data);
  rt_value_unref(data);
  return rc;
}

/* The data at index 4 as bytes. */
static rt_err encode_data(lua_State *L, rt_builder *builder, event_args *a,
                          rt_error *err) {
  rt_err rc = rt__lua_encode_into(L, 4, "data", builder, err);
  if (rc == RT_OK) return rt__builder_peek(builder, &a->bytes, &a->size, err);
  rt_builder_reset(builder);
  return rc;
}

static int send_failed(lua_State *L, rt_bus *bus, const event_args *a,
                       rt_err rc) {
  rt_error err = RT_ERROR_INIT;
  size_t text = strlen(a->system) + strlen(a->kind) + strlen(a->path);
  if (rc == RT_EFULL)
    return wait_for_room(L, bus, rt__bus_charge(text + a->size, NULL) + 64);
  rt_fail(&err, rc, "events.send: %s", rt_status_text(rc));
  return rt__lua_fail(L, &err);
}

/* send(system, kind, path, data?) -> true | nil, err | false, op. The three
 * are strings, which the caller has checked. */
static int l_send(lua_State *L) {
  rt_bus *bus = bus_of(L);
  encoder *e = lua_touserdata(L, lua_upvalueindex(1));
  rt_error err = RT_ERROR_INIT;
  if (check_event(L, &err) != RT_OK) return rt__lua_fail(L, &err);
  event_args a = {lua_tostring(L, 1), lua_tostring(L, 2), lua_tostring(L, 3),
                  NULL, 0};
  bool skip = rt__bus_skip(bus, a.system, a.kind);
  if (!skip && !lua_isnoneornil(L, 4) &&
      encode_data(L, e->builder, &a, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  rt_err rc = skip ? RT_OK : send_args(bus, &a, &err);
  rt_builder_reset(e->builder);
  if (rc != RT_OK) return send_failed(L, bus, &a, rc);
  lua_pushboolean(L, 1);
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushnumber(L, (lua_Number)count);
  lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L) {
  rt_bus_stats s;
  rt_bus_get_stats(bus_of(L), &s);
  lua_createtable(L, 0, 6);
  set_count(L, "subscribers", s.subscribers);
  set_count(L, "published", s.published);
  set_count(L, "delivered", s.delivered);
  set_count(L, "dropped", s.dropped);
  set_count(L, "queued", s.queued);
  lua_createtable(L, 0, 5);
  set_count(L, "cap", s.rejected_cap);
  set_count(L, "full", s.rejected_full);
  set_count(L, "closed", s.rejected_closed);
  set_count(L, "invalid", s.rejected_invalid);
  set_count(L, "memory", s.rejected_memory);
  lua_setfield(L, -2, "rejected");
  return 1;
}

int rt__open_events(lua_State *L) {
  static const luaL_Reg functions[] = {{"subscribe", l_subscribe},
                                       {"close", l_close},
                                       {"dropped", l_dropped},
                                       {"stats", l_stats},
                                       {NULL, NULL}};
  luaL_newmetatable(L, META);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  push_encoder(L);
  lua_pushcclosure(L, l_send, 1);
  lua_setfield(L, -2, "send");
  lua_pushliteral(L, "system");
  lua_pushliteral(L, "kind");
  lua_pushliteral(L, "path");
  lua_pushliteral(L, "data");
  lua_pushcclosure(L, l_take, 4);
  lua_setfield(L, -2, "take");
  return 1;
}
