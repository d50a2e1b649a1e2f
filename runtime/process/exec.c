/* exec.c - rt_process_exec(): a process that the host waits for.
 *
 * Its end comes on a worker's thread, also when the host has a loop, so that
 * any other thread may wait while that loop stands still. Who does not wait any
 * longer leaves what they share to the end of the process.
 *
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "process/embed.h"
#include "process/spawn.h"

typedef struct exec {
  atomic_uint refs; /* of who waits, and of the process */
  uv_mutex_t lock;
  uv_cond_t changed;
  /* guarded by lock */
  bool ended;
  rt_value *result, *error; /* [own] */
} exec;

static exec *exec_new(void) {
  exec *e = calloc(1, sizeof(*e));
  if (!e) return NULL;
  if (uv_mutex_init(&e->lock) != 0) goto free_exec;
  if (uv_cond_init(&e->changed) != 0) goto destroy_lock;
  atomic_init(&e->refs, 2);
  return e;

destroy_lock:
  uv_mutex_destroy(&e->lock);
free_exec:
  free(e);
  return NULL;
}

static void exec_unref(exec *e) {
  if (atomic_fetch_sub(&e->refs, 1) != 1) return;
  rt_value_unref(e->result);
  rt_value_unref(e->error);
  uv_cond_destroy(&e->changed);
  uv_mutex_destroy(&e->lock);
  free(e);
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  exec *e = arg;
  (void)pid;
  uv_mutex_lock(&e->lock);
  e->result = result;
  e->error = error;
  e->ended = true;
  uv_cond_signal(&e->changed);
  uv_mutex_unlock(&e->lock);
  exec_unref(e);
}

/* False: it did not end in time. */
static bool await(exec *e, double timeout) {
  uint64_t begin = uv_hrtime();
  uint64_t limit = rt__span_ns(timeout);
  uv_mutex_lock(&e->lock);
  while (!e->ended) {
    uint64_t gone = uv_hrtime() - begin;
    if (timeout < 0)
      uv_cond_wait(&e->changed, &e->lock);
    else if (gone >= limit)
      break;
    else
      uv_cond_timedwait(&e->changed, &e->lock, limit - gone);
  }
  bool ended = e->ended;
  uv_mutex_unlock(&e->lock);
  return ended;
}

static rt_err fail_with(const rt_value *error, rt_error *err) {
  rt_view map = rt_value_view(error);
  size_t size = 0, kind_size = 0;
  const char *text = rt_view_string(rt_view_get(map, "message"), &size);
  const char *kind = rt_view_string(rt_view_get(map, "kind"), &kind_size);
  char name[32] = "";
  if (kind && kind_size < sizeof(name)) memcpy(name, kind, kind_size);
  rt_err rc = rt_fail(err, rt_status_from_kind(name), "%.*s",
                      text ? (int)size : 6, text ? text : "failed");
  if (err) err->retryable = rt_view_bool(rt_view_get(map, "retryable"), false);
  return rc;
}

/* Takes the recipe. */
static rt_err run(rt_runtime *rt, rt_value **result, rt__recipe *recipe,
                  double timeout, rt_error *err) {
  exec *e = exec_new();
  rt_pid pid;
  if (!e) {
    if (recipe) rt__recipe_free(recipe);
    return rt_fail(err, RT_ENOMEM, "no memory for a process");
  }
  rt_err rc = rt__spawn_from_c(rt, &pid, recipe, on_exit_of, e, err);
  if (rc != RT_OK) {
    exec_unref(e); /* the process's */
  } else if (!await(e, timeout)) {
    rt_process_terminate(rt, pid);
    rc = rt_fail(err, RT_ETIMEOUT, "the process did not end in time");
  } else if (e->error) {
    rc = fail_with(e->error, err);
  } else {
    *result = rt_value_ref(e->result);
  }
  exec_unref(e);
  return rc;
}

static rt_err check(rt_runtime *rt, const char *given, const char *what,
                    rt_error *err) {
  if (!given) return rt_fail(err, RT_EINVAL, "%s expected", what);
  if (rt__host_here(rt->embed->host))
    return rt_fail(err, RT_EINVAL,
                   "the thread of the host's loop may not wait for a process "
                   "(see rt_process_spawn)");
  return RT_OK;
}

rt_err rt_process_exec(rt_runtime *rt, rt_value **result, const char *source,
                       const rt_value *args, double timeout, rt_error *err) {
  *result = NULL;
  if (source && !*source) source = NULL;
  rt_err rc = check(rt, source, "source: a path or a module name", err);
  if (rc != RT_OK) return rc;
  return run(rt, result, rt__recipe_of_source(source, args), timeout, err);
}

rt_err rt_process_exec_code(rt_runtime *rt, rt_value **result, const char *code,
                            size_t size, const char *name, const rt_value *args,
                            double timeout, rt_error *err) {
  *result = NULL;
  rt_err rc = check(rt, code, "code: Lua text", err);
  if (rc != RT_OK) return rc;
  return run(rt, result, rt__recipe_of_code(code, size, name, args), timeout,
             err);
}
