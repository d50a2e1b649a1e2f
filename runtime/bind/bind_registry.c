/* bind_registry.c - rt.core.registry: capabilities for scripts.
 *
 * Loading waits for the disk and for the processes that run the files, so it
 * is done on a thread of libuv's pool; the rest answers at once.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <uv.h>

#include "process/fence.h"
#include "process/job_load.h"
#include "process/op.h"
#include "registry/capability.h"

static rt_registry *registry_of(lua_State *L) {
  return rt_runtime_registry(rt__runtime_of(L));
}

/* A value [own], or the error. */
static int push_answer(lua_State *L, rt_err rc, rt_value *value,
                       const rt_error *err) {
  if (rc != RT_OK) return rt__lua_fail(L, err);
  rt__lua_decode(L, rt_value_view(value));
  rt_value_unref(value);
  return 1;
}

static int push_done(lua_State *L, rt_err rc, const rt_error *err) {
  if (rc != RT_OK) return rt__lua_fail(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* put(map, packed, flags) */
static int l_put(lua_State *L) {
  size_t size;
  const char *packed = luaL_checklstring(L, 2, &size);
  unsigned flags = (unsigned)luaL_checkinteger(L, 3);
  rt_error err = RT_ERROR_INIT;
  rt_value *map;
  if (!rt__fence_lets_add(rt__fence_of(L), &err)) return rt__lua_fail(L, &err);
  rt_err rc = rt__lua_encode(L, 1, "capability", &map, &err);
  if (rc == RT_OK) {
    rc = rt__registry_put(registry_of(L), map, NULL, packed, size, 1, flags,
                          &err);
    rt_value_unref(map);
  }
  return push_done(L, rc, &err);
}

static int l_remove(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_err rc = rt_registry_remove(registry_of(L), luaL_checkstring(L, 1), &err);
  return push_done(L, rc, &err);
}

static int l_give_back(lua_State *L) {
  rt__registry_give_back(registry_of(L), luaL_checkstring(L, 1));
  return 0;
}

static int l_get(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_value *map;
  rt_err rc =
      rt_registry_get(registry_of(L), luaL_checkstring(L, 1), &map, &err);
  return push_answer(L, rc, map, &err);
}

static int l_list(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_value *list;
  rt_err rc = rt_registry_list(registry_of(L), &list, &err);
  return push_answer(L, rc, list, &err);
}

static int l_target_tasks(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_value *names;
  rt_err rc = rt_registry_target_tasks(registry_of(L), luaL_checkstring(L, 1),
                                       &names, &err);
  return push_answer(L, rc, names, &err);
}

static int l_plan(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_value *plan;
  rt_err rc = rt_registry_plan(registry_of(L), &plan, &err);
  return push_answer(L, rc, plan, &err);
}

/* --- load ------------------------------------------------------------------
 */
typedef struct load_op {
  rt__op op;
  uv_work_t work;
  rt_registry *registry;
  char *path;
  unsigned flags;
  rt_builder *names, *faults;
  rt_value *answer;
} load_op;

static void on_name(const char *name, void *arg) {
  rt_builder_string(((load_op *)arg)->names, name);
}

static void on_fault(const char *text, const char *kind, void *arg) {
  rt_builder *b = ((load_op *)arg)->faults;
  rt_builder_begin_map(b);
  rt_builder_key(b, "text");
  rt_builder_string(b, text);
  rt_builder_key(b, "kind");
  rt_builder_string(b, kind);
  rt_builder_end(b);
}

/* {names = [...], faults = [...]} */
static rt_err join(load_op *op, rt_error *err) {
  rt_value *names = NULL, *faults = NULL;
  rt_builder_end(op->names);
  rt_builder_end(op->faults);
  rt_err rc = rt_builder_finish(op->names, &names, err);
  if (rc == RT_OK) rc = rt_builder_finish(op->faults, &faults, err);
  if (rc == RT_OK) {
    rt_builder_begin_map(op->names);
    rt_builder_key(op->names, "names");
    rt_builder_value(op->names, names);
    rt_builder_key(op->names, "faults");
    rt_builder_value(op->names, faults);
    rt_builder_end(op->names);
    rc = rt_builder_finish(op->names, &op->answer, err);
  }
  rt_value_unref(names);
  rt_value_unref(faults);
  return rc;
}

static void on_work(uv_work_t *work) {
  load_op *op = work->data;
  rt_error err = RT_ERROR_INIT;
  rt__load_opts opts = {op->flags, on_name, on_fault, op};
  rt_builder_begin_array(op->names);
  rt_builder_begin_array(op->faults);
  rt_err rc = rt__load(op->registry, op->path, &opts, &err);
  if (rc == RT_OK) rc = join(op, &err);
  if (rc != RT_OK) rt__op_fail(&op->op, &err);
}

static void after_work(uv_work_t *work, int status) {
  load_op *op = work->data;
  rt_error err = RT_ERROR_INIT;
  if (status < 0) {
    rt_fail(&err, RT_ECANCELED, "canceled");
    rt__op_fail(&op->op, &err);
  }
  rt__op_end(&op->op);
}

static int push_loaded(lua_State *L, rt__op *op) {
  rt__lua_decode(L, rt_value_view(((load_op *)op)->answer));
  return 1;
}

static void release_load(rt__op *base) {
  load_op *op = (load_op *)base;
  rt_builder_free(op->names);
  rt_builder_free(op->faults);
  rt_value_unref(op->answer);
  free(op->path);
}

static void cancel_load(rt__op *op) {
  uv_cancel((uv_req_t *)&((load_op *)op)->work);
}

static const rt__op_type load_type = {"registry.load", cancel_load, push_loaded,
                                      release_load};

/* load(path, flags) -> operation -> {names, faults} */
static int l_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  unsigned flags = (unsigned)luaL_checkinteger(L, 2);
  rt_error err = RT_ERROR_INIT;
  load_op *op = rt__op_new(L, sizeof(*op), &load_type);
  op->registry = registry_of(L);
  op->path = strdup(path);
  op->flags = flags;
  op->names = rt_builder_new();
  op->faults = rt_builder_new();
  op->work.data = op;
  bool may = rt__fence_lets_add(rt__fence_of(L), &err);
  if (may && op->path && op->names && op->faults &&
      uv_queue_work(rt__worker_loop(op->op.worker), &op->work, on_work,
                    after_work) == 0)
    return rt__op_return(L, &op->op);
  if (may) rt_fail(&err, RT_EUNAVAIL, "cannot start to load %s", path);
  rt__op_fail(&op->op, &err);
  rt__op_post(&op->op);
  return rt__op_return(L, &op->op);
}

/* matches(pattern, class) -> does an input or output like this take it? */
static int l_matches(lua_State *L) {
  size_t pattern_size, size;
  const char *pattern = luaL_checklstring(L, 1, &pattern_size);
  const char *subject = luaL_checklstring(L, 2, &size);
  bool any = pattern_size == 1 && *pattern == '*';
  lua_pushboolean(
      L, any || rt_pattern_match(pattern, pattern_size, subject, size));
  return 1;
}

/* cron(text) -> true, or false and what is wrong with it */
static int l_cron(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt__cron parsed;
  bool ok = rt__cron_parse(&parsed, luaL_checkstring(L, 1), &err) == RT_OK;
  lua_pushboolean(L, ok);
  if (ok) return 1;
  lua_pushstring(L, err.message);
  return 2;
}

/* cron_next(text, unix seconds) -> the next time, or nil */
static int l_cron_next(lua_State *L) {
  rt__cron parsed;
  double after = luaL_checknumber(L, 2);
  if (rt__cron_parse(&parsed, luaL_checkstring(L, 1), NULL) != RT_OK) return 0;
  int64_t next = rt__cron_next(&parsed, (int64_t)after);
  if (next < 0) return 0;
  lua_pushnumber(L, (lua_Number)next);
  return 1;
}

int rt__open_registry(lua_State *L);
int rt__open_registry(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"put", l_put},
      {"remove", l_remove},
      {"get", l_get},
      {"give_back", l_give_back},
      {"list", l_list},
      {"target_tasks", l_target_tasks},
      {"plan", l_plan},
      {"load", l_load},
      {"matches", l_matches},
      {"cron", l_cron},
      {"cron_next", l_cron_next},
      {NULL, NULL},
  };
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
