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

static const char *const META = "rt.subscription";

typedef struct subscription {
  rt__resource resource;
  rt__feed *feed; /* NULL when its process has ended */
  uint64_t dropped;
} subscription;

static void let_go(subscription *sub) {
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

/* --- taking ---------------------------------------------------------- */

/* A buffer smaller than EXACT is taken from one by one, so that its bound is
 * exact. */
enum { BATCH = 64, EXACT = 1024, FIELDS = 4 };

/* Events on their way to Lua. */
typedef struct taken {
  size_t count;
  rt__shared *batch[BATCH];
} taken;

/* Stack indexes in give_all. */
enum { OUT = 1, TAKEN };

static bool same_names(const rt__shared *a, const rt__shared *b) {
  return a->system_size == b->system_size && a->kind_size == b->kind_size &&
         memcmp(a->text, b->text, (size_t)a->system_size + a->kind_size + 2) ==
             0;
}

static const char *path_of(const rt__shared *event) {
  return event->text + event->system_size + event->kind_size + 2;
}

static bool same_path(const rt__shared *a, const rt__shared *b) {
  return a->path_size == b->path_size &&
         memcmp(path_of(a), path_of(b), a->path_size) == 0;
}

static void give_text(lua_State *L, int at, const char *text, size_t size) {
  lua_pushlstring(L, text, size);
  lua_rawseti(L, OUT, at);
}

/* Names and path only when they differ from those of the event before. */
static void give(lua_State *L, const rt__shared *event,
                 const rt__shared *before, int at) {
  if (!before || !same_names(event, before)) {
    give_text(L, at, event->text, event->system_size);
    give_text(L, at + 1, event->text + event->system_size + 1,
              event->kind_size);
  }
  if (!before || !same_path(event, before))
    give_text(L, at + 2, path_of(event), event->path_size);
  rt__lua_decode(L, rt__shared_data(event));
  lua_rawseti(L, OUT, at + 3);
}

/* (out, taken) */
static int give_all(lua_State *L) {
  const taken *t = lua_touserdata(L, TAKEN);
  const rt__shared *before = NULL;
  for (size_t i = 0; i < t->count; i++) {
    give(L, t->batch[i], before, (int)i * FIELDS + 1);
    before = t->batch[i];
  }
  return 0;
}

/* As check(), with the metatable at hand. */
static subscription *check_quickly(lua_State *L, int metatable) {
  if (lua_getmetatable(L, 1)) {
    bool same = lua_rawequal(L, -1, metatable);
    lua_pop(L, 1);
    if (same) return lua_touserdata(L, 1);
  }
  return check(L);
}

/* take(sub, out) -> n: out holds the fields of the n oldest events, four
 * for each: system, kind, path, data; of the first three only what differs
 * from the event before is set. With 0 the next one is announced by mail; -1:
 * closed and empty. What cannot be given stays in the feed. */
static int l_take(lua_State *L) {
  subscription *sub = check_quickly(L, lua_upvalueindex(2));
  bool end = true;
  taken t;
  t.count = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushlightuserdata(L, &t);
  if (sub->feed)
    t.count = rt__feed_take(sub->feed, t.batch,
                            sub->feed->limit < EXACT ? 1 : BATCH, &end);
  if (t.count > 0 && lua_pcall(L, 2, 0, 0) != 0) {
    rt__feed_untake(sub->feed, t.batch, t.count);
    return lua_error(L);
  }
  rt__shared_unref_all(t.batch, t.count);
  lua_pushinteger(L, t.count == 0 && end ? -1 : (lua_Integer)t.count);
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

/* The builder of one VM, used within one call. */
typedef struct sender {
  rt_builder *builder;
} sender;

static int l_sender_gc(lua_State *L) {
  sender *s = lua_touserdata(L, 1);
  rt_builder_free(s->builder);
  s->builder = NULL;
  return 0;
}

static void push_sender(lua_State *L) {
  sender *s = lua_newuserdata(L, sizeof(*s));
  s->builder = NULL;
  lua_newtable(L);
  lua_pushcfunction(L, l_sender_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  s->builder = rt_builder_new();
  if (!s->builder) luaL_error(L, "events: out of memory");
}

/* Empty, or with a zero byte in it. */
static bool is_bad(const char *text, size_t size) {
  return size == 0 || memchr(text, 0, size) != NULL;
}

static rt_err refuse_names(lua_State *L, const rt__event_names *n,
                           rt_error *err) {
  static const char *const names[] = {"system", "kind", "path"};
  for (int i = 0; i < 3; i++) {
    rt_err rc = refuse_zero(L, i + 1, names[i], err);
    if (rc != RT_OK) return rc;
  }
  rt_err rc = rt__bus_check_names(n->system, n->kind, n->path, err);
  return rc == RT_OK ? rc : rt__bus_refuse(bus_of(L), rc);
}

/* The names at 1 to 3, checked. */
static rt_err read_names(lua_State *L, rt__event_names *n, rt_error *err) {
  n->system = lua_tolstring(L, 1, &n->system_size);
  n->kind = lua_tolstring(L, 2, &n->kind_size);
  n->path = lua_tolstring(L, 3, &n->path_size);
  if (is_bad(n->system, n->system_size) || is_bad(n->kind, n->kind_size) ||
      is_bad(n->path, n->path_size) || n->system_size > RT__BUS_NAME_MAX ||
      n->kind_size > RT__BUS_NAME_MAX)
    return refuse_names(L, n, err);
  return RT_OK;
}

/* Data beyond this is shared as a value, not copied. */
enum { INLINE_MAX = 1024 };

static rt_err send_data(rt_bus *bus, const rt__event_names *n,
                        const unsigned char *bytes, size_t size) {
  unsigned char *to;
  if (size <= INLINE_MAX) return rt__bus_send_names(bus, n, bytes, size);
  rt_value *data = rt__value_alloc(size, &to);
  if (!data) return rt__bus_refuse(bus, RT_ENOMEM);
  memcpy(to, bytes, size);
  rt_err rc = rt_bus_send(bus, n->system, n->kind, n->path, data);
  rt_value_unref(data);
  return rc;
}

/* The value at index 4 as bytes, which are the builder's. */
static rt_err encode_data(lua_State *L, rt_builder *builder,
                          const unsigned char **bytes, size_t *size,
                          rt_error *err) {
  if (lua_isnoneornil(L, 4)) return RT_OK;
  rt_builder_reset(builder); /* an error may have ended the call before */
  rt_err rc = rt__lua_encode_into(L, 4, "data", builder, err);
  if (rc == RT_OK) return rt__builder_peek(builder, bytes, size, err);
  rt_builder_reset(builder);
  return rc;
}

static int send_failed(lua_State *L, rt_bus *bus, uint64_t size, rt_err rc) {
  rt_error err = RT_ERROR_INIT;
  if (rc == RT_EFULL)
    return wait_for_room(L, bus, rt__bus_charge(size, NULL) + 64);
  rt_fail(&err, rc, "events.send: %s", rt_status_text(rc));
  return rt__lua_fail(L, &err);
}

/* send(system, kind, path, data?) -> true | nil, err | false, op. The three
 * are strings, which the caller has checked. */
static int l_send(lua_State *L) {
  rt_bus *bus = bus_of(L);
  sender *s = lua_touserdata(L, lua_upvalueindex(1));
  rt_error err; /* written by what fails, large to clear */
  rt__event_names n;
  const unsigned char *bytes = NULL;
  size_t size = 0;
  if (read_names(L, &n, &err) != RT_OK) return rt__lua_fail(L, &err);
  if (!rt__bus_skip_names(bus, &n)) {
    if (encode_data(L, s->builder, &bytes, &size, &err) != RT_OK)
      return rt__lua_fail(L, &err);
    rt_err rc = send_data(bus, &n, bytes, size);
    rt_builder_reset(s->builder);
    size += n.system_size + n.kind_size + n.path_size;
    if (rc != RT_OK) return send_failed(L, bus, size, rc);
  }
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
  push_sender(L);
  lua_pushcclosure(L, l_send, 1);
  lua_setfield(L, -2, "send");
  lua_pushcfunction(L, give_all);
  luaL_getmetatable(L, META);
  lua_pushcclosure(L, l_take, 2);
  lua_setfield(L, -2, "take");
  return 1;
}
