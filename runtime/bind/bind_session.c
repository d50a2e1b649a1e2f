/* bind_session.c - rt.core.session: sessions of the engine as operations.
 *
 * Every call that waits is an operation whose reply comes from the engine's
 * thread; reports read the file on libuv's thread pool, so that no worker
 * waits for the disk. A session belongs to the process that opened it and is
 * closed with it; its userdata may live longer and then finds it closed.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "bind/session_report.h"
#include "dispatcher/session.h"
#include "process/fence.h"
#include "process/op.h"
#include "registry/capability.h"
#include "rt/session.h"

#define SESSION_TYPE "rt.session"

/* Worker thread only. Held by the process's list and by the userdata. */
typedef struct handle {
  rt__resource resource; /* first */
  rt__legacy legacy;     /* while it is open */
  rt__worker *worker;
  rt_runtime *rt;
  rt_session *session; /* [own ref] */
  rt_value *brought;   /* names of its own capabilities, until it closes */
  int refs;
  bool closed; /* or being closed */
} handle;

static void handle_unref(handle *h) {
  if (--h->refs > 0) return;
  rt_session_unref(h->session);
  rt_value_unref(h->brought);
  free(h);
}

/* The capabilities that a session brought along go after it is closed. */
static void give_back(rt_registry *registry, rt_value *names) {
  rt_iter iter = rt_iter_of(rt_value_view(names));
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) {
    size_t size;
    const char *text = rt_view_string(item, &size);
    char *name = text ? strndup(text, size) : NULL;
    if (name) rt__registry_give_back(registry, name);
    free(name);
  }
  rt_value_unref(names);
}

/* A session that closes without anyone waiting for it. */
typedef struct closing {
  rt_session *session; /* [own ref] */
  rt_registry *registry;
  rt_value *brought; /* [own] */
} closing;

static void on_closed(rt_err code, const rt_error *err, rt_value *result,
                      void *arg) {
  closing *c = arg;
  (void)code, (void)err;
  rt_value_unref(result);
  give_back(c->registry, c->brought);
  rt_session_unref(c->session);
  free(c);
}

/* Takes `brought`. */
static void close_session(rt_runtime *rt, rt_session *session,
                          rt_value *brought) {
  closing *c = calloc(1, sizeof(*c));
  if (!c) { /* the end of the runtime closes it */
    rt_value_unref(brought);
    return;
  }
  c->session = rt_session_ref(session);
  c->registry = rt_runtime_registry(rt);
  c->brought = brought;
  rt__session_close_async(session, on_closed, c);
}

static void close_lost(rt__legacy *legacy) {
  handle *h = (handle *)((char *)legacy - offsetof(handle, legacy));
  close_session(h->rt, h->session, h->brought);
  h->brought = NULL;
  h->closed = true;
}

static void close_handle(rt__resource *resource) {
  handle *h = (handle *)resource;
  rt__legacy_remove(h->worker, &h->legacy);
  if (!h->closed) close_session(h->rt, h->session, h->brought);
  if (!h->closed) h->brought = NULL;
  h->closed = true;
  handle_unref(h);
}

static handle *check_handle(lua_State *L) {
  return *(handle **)luaL_checkudata(L, 1, SESSION_TYPE);
}

static int l_gc(lua_State *L) {
  handle **box = luaL_checkudata(L, 1, SESSION_TYPE);
  if (*box) handle_unref(*box);
  *box = NULL;
  return 0;
}

/* --- calls with a value as their reply ----------------------------------- */
typedef struct reply_op {
  rt__op op;
  rt_value *value;
} reply_op;

static int push_reply(lua_State *L, rt__op *op) {
  reply_op *reply = (reply_op *)op;
  if (reply->value)
    rt__lua_decode(L, rt_value_view(reply->value));
  else
    lua_pushboolean(L, 1);
  return 1;
}

static void release_reply(rt__op *op) {
  rt_value_unref(((reply_op *)op)->value);
}

static const rt__op_type reply_type = {"session", NULL, push_reply,
                                       release_reply};

/* A code must never look like success. */
static void fail_op(rt__op *op, rt_err code, const rt_error *err) {
  rt_error copy = RT_ERROR_INIT;
  if (err && err->code != RT_OK)
    copy = *err;
  else
    rt_fail(&copy, code, "session: %s", rt_status_text(code));
  rt__op_fail(op, &copy);
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  reply_op *op = arg;
  op->value = result;
  if (code != RT_OK) fail_op(&op->op, code, err);
  rt__op_post(&op->op);
}

/* An operation that has failed before it began. */
static int refuse(lua_State *L, rt__op *op, const rt_error *err) {
  rt__op_fail(op, err);
  rt__op_post(op);
  return rt__op_return(L, op);
}

static int l_dispatch(lua_State *L) {
  handle *h = check_handle(L);
  rt_value *asset, *meta = NULL;
  rt_error err = RT_ERROR_INIT;
  rt_dispatch_opts opts = {.size = sizeof(opts)};
  opts.meta = lua_toboolean(L, 3);
  opts.priority = (int)lua_tointeger(L, 4);
  opts.name = lua_tostring(L, 5);
  reply_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  if (rt__lua_encode(L, 2, "asset", &asset, &err) != RT_OK)
    return refuse(L, &op->op, &err);
  if (opts.meta && rt__lua_encode(L, 3, "meta", &meta, &err) != RT_OK) {
    rt_value_unref(asset);
    return refuse(L, &op->op, &err);
  }
  opts.meta_value = meta;
  rt__session_dispatch_async(h->session, asset, &opts, on_reply, op);
  rt_value_unref(asset);
  rt_value_unref(meta);
  return rt__op_return(L, &op->op);
}

static int l_wait(lua_State *L) {
  handle *h = check_handle(L);
  reply_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  rt__session_wait_async(h->session, on_reply, op);
  return rt__op_return(L, &op->op);
}

static int l_stats(lua_State *L) {
  handle *h = check_handle(L);
  reply_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  rt__session_stats_async(h->session, on_reply, op);
  return rt__op_return(L, &op->op);
}

static int l_cancel(lua_State *L) {
  handle *h = check_handle(L);
  const char *reason = luaL_optstring(L, 2, "canceled");
  bool discard = lua_toboolean(L, 3);
  reply_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  rt__session_cancel_async(h->session, reason, discard, on_reply, op);
  return rt__op_return(L, &op->op);
}

typedef struct close_op {
  reply_op reply;
  rt_registry *registry;
  rt_value *brought; /* [own] */
} close_op;

static void on_close_reply(rt_err code, const rt_error *err, rt_value *result,
                           void *arg) {
  close_op *op = arg;
  give_back(op->registry, op->brought);
  on_reply(code, err, result, &op->reply);
}

static int l_close(lua_State *L) {
  handle *h = check_handle(L);
  close_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  rt__legacy_remove(h->worker, &h->legacy);
  op->registry = rt_runtime_registry(h->rt);
  op->brought = h->brought;
  h->brought = NULL;
  h->closed = true;
  rt__session_close_async(h->session, on_close_reply, op);
  return rt__op_return(L, &op->reply.op);
}

static int l_queue(lua_State *L) {
  handle *h = check_handle(L);
  const char *verb = luaL_checkstring(L, 2);
  rt_value *args;
  rt_error err = RT_ERROR_INIT;
  reply_op *op = rt__op_new(L, sizeof(*op), &reply_type);
  if (rt__lua_encode(L, 3, "asset", &args, &err) != RT_OK)
    return refuse(L, &op->op, &err);
  rt__session_queue_async(h->session, verb, args, on_reply, op);
  rt_value_unref(args);
  return rt__op_return(L, &op->op);
}

/* --- calls that do not wait ----------------------------------------------- */
static int l_pause(lua_State *L) {
  rt_session_pause(check_handle(L)->session);
  return 0;
}

static int l_resume(lua_State *L) {
  rt_session_resume(check_handle(L)->session);
  return 0;
}

static int l_done(lua_State *L) {
  handle *h = check_handle(L);
  lua_pushboolean(L, h->closed || rt_session_done(h->session));
  return 1;
}

static int l_name(lua_State *L) {
  lua_pushstring(L, rt_session_name(check_handle(L)->session));
  return 1;
}

/* --- open ------------------------------------------------------------------
 */
typedef struct open_op {
  rt__op op;
  rt_runtime *rt;
  rt_session *session;        /* [own ref] until it has a handle */
  rt_value *brought;          /* [own] likewise */
  rt_value *options, *config; /* [own] may be NULL */
} open_op;

static int push_opened(lua_State *L, rt__op *op) {
  open_op *opened = (open_op *)op;
  handle **box = lua_newuserdata(L, sizeof(*box));
  *box = NULL;
  luaL_getmetatable(L, SESSION_TYPE);
  lua_setmetatable(L, -2);
  handle *h = calloc(1, sizeof(*h));
  if (!h) return luaL_error(L, "not enough memory");
  h->rt = opened->rt;
  h->session = opened->session;
  h->brought = opened->brought;
  opened->session = NULL; /* the handle has them */
  opened->brought = NULL;
  h->refs = 2;
  h->worker = op->worker;
  h->legacy.lost = close_lost;
  rt__legacy_add(h->worker, &h->legacy);
  h->resource.close = close_handle;
  rt__resource_add(rt__process_of(L), &h->resource);
  *box = h;
  return 1;
}

static void release_opened(rt__op *op) {
  open_op *opened = (open_op *)op;
  if (opened->session)
    close_session(opened->rt, opened->session, opened->brought);
  else if (opened->brought)
    give_back(rt_runtime_registry(opened->rt), opened->brought);
  if (opened->session) rt_session_unref(opened->session);
  rt_value_unref(opened->options);
  rt_value_unref(opened->config);
}

static const rt__op_type open_type = {"session.open", NULL, push_opened,
                                      release_opened};

static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  open_op *op = arg;
  op->session = session;
  if (code != RT_OK) fail_op(&op->op, code, err);
  rt__op_post(&op->op);
}

static const char *text_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  const char *text = lua_tostring(L, -1);
  lua_pop(L, 1); /* the options keep it */
  return text;
}

static double number_field(lua_State *L, const char *name, double fallback) {
  lua_getfield(L, 1, name);
  double number = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : fallback;
  lua_pop(L, 1);
  return number;
}

static bool flag_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* The strings of a list as an array that stays on the stack. NULL: no list. */
static const char *const *list_field(lua_State *L, const char *name,
                                     size_t *count) {
  lua_getfield(L, 1, name);
  if (!lua_istable(L, -1)) return NULL;
  size_t n = lua_objlen(L, -1);
  const char **list = lua_newuserdata(L, (n + 1) * sizeof(*list));
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (int)i + 1);
    list[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  *count = n;
  return list;
}

static rt_open_mode mode_field(lua_State *L) {
  const char *mode = text_field(L, "mode");
  if (mode && strcmp(mode, "create") == 0) return RT_OPEN_CREATE;
  if (mode && strcmp(mode, "resume") == 0) return RT_OPEN_RESUME;
  return RT_OPEN_ANY;
}

static void read_open_opts(lua_State *L, rt_session_opts *o) {
  o->name = text_field(L, "name");
  o->dir = text_field(L, "dir");
  o->mode = mode_field(L);
  o->only = list_field(L, "only", &o->only_count);
  o->without = list_field(L, "without", &o->without_count);
  o->scope = list_field(L, "scope", &o->scope_count);
  o->max_depth = (int64_t)number_field(L, "max_depth", -1);
  o->max_assets = (int64_t)number_field(L, "max_assets", -1);
  o->max_fanout = (int64_t)number_field(L, "max_fanout", -1);
  o->max_descendants = (int64_t)number_field(L, "max_descendants", -1);
  o->max_repeats = (int64_t)number_field(L, "max_repeats", -1);
  o->concurrency = (uint32_t)number_field(L, "concurrency", 0);
  o->deadline = number_field(L, "deadline", 0);
  o->grace = number_field(L, "grace", 0);
  o->paused = flag_field(L, "paused");
  o->sync_normal = flag_field(L, "sync_normal");
  o->patience = number_field(L, "patience", 0);
  o->max_journal = (int64_t)number_field(L, "max_journal", 0);
}

/* The member as a value [own], or NULL when there is none. */
static rt_err value_field(lua_State *L, const char *name, rt_value **out,
                          rt_error *err) {
  *out = NULL;
  lua_getfield(L, 1, name);
  if (lua_isnil(L, -1)) return RT_OK;
  return rt__lua_encode(L, -1, name, out, err);
}

static int l_open(lua_State *L) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkstack(L, 20, "session.open");
  read_open_opts(L, &opts);
  open_op *op = rt__op_new(L, sizeof(*op), &open_type);
  op->rt = rt__runtime_of(L);
  rt_err rc = value_field(L, "options", &op->options, &err);
  if (rc == RT_OK) rc = value_field(L, "config", &op->config, &err);
  if (rc == RT_OK) rc = value_field(L, "brought", &op->brought, &err);
  if (rc == RT_OK && !rt__fence_lets_add(rt__fence_of(L), &err)) rc = RT_EPERM;
  if (rc != RT_OK) return refuse(L, &op->op, &err);
  opts.options = op->options;
  opts.config = op->config;
  rt__session_open_async(rt__runtime_engine(op->rt), &opts, on_opened, op);
  return rt__op_return(L, &op->op);
}

int rt__open_session(lua_State *L);
int rt__open_session(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", l_open},   {"dispatch", l_dispatch}, {"wait", l_wait},
      {"stats", l_stats}, {"cancel", l_cancel},     {"close", l_close},
      {"queue", l_queue}, {"pause", l_pause},       {"resume", l_resume},
      {"done", l_done},   {"name", l_name},         {"report", rt__l_report},
      {NULL, NULL},
  };
  luaL_newmetatable(L, SESSION_TYPE);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
