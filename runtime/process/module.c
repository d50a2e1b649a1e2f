/* module.c - modules that the host adds, and calls of its functions
 * (rt/module.h).
 *
 * A call is an operation of the process that made it: it starts on the worker's
 * thread, or on the host's when that gave us its loop, and is ended by
 * rt_call_return() from wherever that is called.
 *
 * SPDX-License-Identifier: MIT */
#include "rt/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embedded.h"
#include "process/embed.h"

#define CALLS_MAX ((size_t)64 << 20) /* bytes that wait for the host's loop */

struct rt_call {
  rt__op op; /* first */
  rt__host_call call;
  const rt__function *function;
  rt_value *args;    /* [own] */
  rt_value *results; /* [own] written by who ends the call */
  rt__late *late;    /* [own ref] */
  rt_pid pid;
  uv_thread_t thread;
  _Atomic(bool) canceled;
  _Atomic(bool) inside; /* the function runs on the worker's thread */
};

/* --- the list ------------------------------------------------------------- */

static void free_module(rt__module *module) {
  if (!module) return;
  for (size_t i = 0; module->functions && i < module->count; i++)
    free(module->functions[i].name);
  free(module->functions);
  free(module->source);
  free(module->name);
  free(module);
}

void rt__modules_free(rt__embed *embed) {
  while (embed->modules) {
    rt__module *module = embed->modules;
    embed->modules = module->next;
    free_module(module);
  }
}

static rt__module *find_locked(rt__embed *embed, const char *name) {
  rt__module *module = embed->modules;
  while (module && strcmp(module->name, name) != 0) module = module->next;
  return module;
}

const rt__module *rt__module_find(rt_runtime *rt, const char *name) {
  uv_mutex_lock(&rt->embed->lock);
  const rt__module *module = find_locked(rt->embed, name);
  uv_mutex_unlock(&rt->embed->lock);
  return module;
}

static bool copy_functions(rt__module *module, const rt_module_opts *o) {
  if (o->function_count == 0) return true;
  module->functions = calloc(o->function_count, sizeof(*module->functions));
  if (!module->functions) return false;
  module->count = o->function_count;
  for (size_t i = 0; i < module->count; i++) {
    module->functions[i].name = strdup(o->functions[i].name);
    module->functions[i].fn = o->functions[i].fn;
    module->functions[i].arg = o->functions[i].arg;
    if (!module->functions[i].name) return false;
  }
  return true;
}

static rt__module *copy_module(const rt_module_opts *o) {
  rt__module *module = calloc(1, sizeof(*module));
  if (!module) return NULL;
  module->name = strdup(o->name);
  bool good = module->name && copy_functions(module, o);
  if (good && o->source) {
    module->source_size = o->source_size;
    module->source = malloc(o->source_size + 1);
    good = module->source != NULL;
    if (good) memcpy(module->source, o->source, o->source_size);
  }
  if (good) return module;
  free_module(module);
  return NULL;
}

static rt_err check(const rt_module_opts *o, rt_error *err) {
  if (!o->name || !*o->name)
    return rt_fail(err, RT_EINVAL, "a module needs a name");
  if (!o->source == !o->functions)
    return rt_fail(err, RT_EINVAL,
                   "module '%s': either functions or a source expected",
                   o->name);
  for (size_t i = 0; o->functions && i < o->function_count; i++)
    if (!o->functions[i].name || !o->functions[i].fn)
      return rt_fail(err, RT_EINVAL,
                     "module '%s': function %zu lacks its name or code",
                     o->name, i + 1);
  if (rt__embedded_find(o->name))
    return rt_fail(err, RT_EEXIST, "module '%s' is one of the library's",
                   o->name);
  return RT_OK;
}

rt_err rt_runtime_add_module(rt_runtime *rt, const rt_module_opts *opts,
                             rt_error *err) {
  rt_module_opts o = RT_MODULE_OPTS_INIT;
  rt__embed *embed = rt->embed;
  memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  rt_err rc = check(&o, err);
  if (rc != RT_OK) return rc;
  rt__module *module = copy_module(&o);
  if (!module) return rt_fail(err, RT_ENOMEM, "no memory for a module");
  uv_mutex_lock(&embed->lock);
  bool taken = find_locked(embed, o.name) != NULL;
  if (!taken) {
    module->next = embed->modules;
    embed->modules = module;
  }
  uv_mutex_unlock(&embed->lock);
  if (!taken) return RT_OK;
  free_module(module);
  return rt_fail(err, RT_EEXIST, "there is a module '%s' already", o.name);
}

/* --- calls ---------------------------------------------------------------- */

static void cancel_call(rt__op *op) {
  atomic_store(&((rt_call *)op)->canceled, true);
}

static int push_results(lua_State *L, rt__op *op) {
  rt_view results = rt_value_view(((rt_call *)op)->results), item;
  rt_iter iter = rt_iter_of(results);
  int count = (int)rt_view_count(results);
  luaL_checkstack(L, count + 4, "too many results");
  while (rt_iter_next(&iter, NULL, &item)) rt__lua_decode(L, item);
  return count;
}

static void release_call(rt__op *op) {
  rt_call *call = (rt_call *)op;
  rt_value_unref(call->args);
  rt_value_unref(call->results);
  rt__late_unref(call->late);
}

static const rt__op_type call_type = {"call of the host", cancel_call,
                                      push_results, release_call};

static void run_on_host(rt__host_call *queued) {
  rt_call *call = (rt_call *)((char *)queued - offsetof(rt_call, call));
  atomic_fetch_sub(&call->op.worker->rt->embed->calls, queued->size);
  call->function->fn(call, call->args, call->function->arg);
}

static void begin_here(rt_call *call) {
  call->thread = uv_thread_self();
  atomic_store(&call->inside, true);
  call->function->fn(call, call->args, call->function->arg);
  if (!atomic_load(&call->inside)) { /* ended in there */
    rt__op_end(&call->op);
    return;
  }
  /* Whoever ends it from now on, also meanwhile, posts it. */
  atomic_store(&call->inside, false);
}

/* Into the host's queue, which takes so much of them. */
static rt_err post(rt__embed *embed, rt_call *call) {
  size_t size = sizeof(*call) + rt_value_size(call->args);
  rt_err rc = RT_EFULL;
  call->call.run = run_on_host;
  call->call.size = size;
  if (atomic_fetch_add(&embed->calls, size) < CALLS_MAX) {
    if (rt__host_post(embed->host, &call->call)) return RT_OK;
    rc = RT_ECLOSED;
  }
  atomic_fetch_sub(&embed->calls, size);
  return rc;
}

static void begin(rt_call *call) {
  rt__embed *embed = call->op.worker->rt->embed;
  rt_error err = RT_ERROR_INIT;
  if (!embed->host) {
    begin_here(call);
    return;
  }
  rt_err rc = post(embed, call);
  if (rc == RT_OK) return;
  rt_fail(&err, rc, "%s",
          rc == RT_EFULL ? "the host does not take its calls"
                         : "the runtime is stopping");
  err.retryable = rc == RT_EFULL;
  rt__op_fail(&call->op, &err);
  rt__op_end(&call->op);
}

static rt_err encode_args(lua_State *L, int first, rt_value **out,
                          rt_error *err) {
  rt_builder *builder = rt__vm_of(L)->builder;
  char what[32];
  rt_err rc = RT_OK;
  int last = lua_gettop(L);
  rt_builder_reset(builder);
  rt_builder_begin_array(builder);
  for (int i = first; i <= last && rc == RT_OK; i++) {
    snprintf(what, sizeof(what), "argument %d", i - first + 1);
    rc = rt__lua_encode_into(L, i, what, builder, err);
  }
  rt_builder_end(builder);
  if (rc == RT_OK) return rt_builder_finish(builder, out, err);
  rt_builder_reset(builder);
  return rc;
}

int rt__module_call(lua_State *L, const rt__function *function, int first) {
  rt_error err = RT_ERROR_INIT;
  rt_value *args = NULL;
  rt_call *call = rt__op_new(L, sizeof(*call), &call_type);
  call->function = function;
  call->pid = call->op.process->pid;
  call->late = rt__late_ref(call->op.worker->rt->embed->late);
  if (encode_args(L, first, &args, &err) == RT_OK) {
    call->args = args;
    begin(call);
  } else {
    rt__op_fail(&call->op, &err);
    rt__op_end(&call->op);
  }
  return rt__op_return(L, &call->op);
}

/* From inside the function, on its worker's thread, there is nobody to wake. */
static void end(rt_call *call) {
  uv_thread_t self = uv_thread_self();
  if (atomic_load(&call->inside) && uv_thread_equal(&call->thread, &self))
    atomic_store(&call->inside, false);
  else
    rt__op_post_late(&call->op, call->late);
}

void rt_call_return(rt_call *call, const rt_value *results) {
  call->results = results ? rt_value_ref(results) : NULL;
  end(call);
}

void rt_call_fail(rt_call *call, const rt_error *failure) {
  rt_error err = RT_ERROR_INIT;
  if (failure && failure->code != RT_OK)
    err = *failure;
  else
    rt_fail(&err, RT_EUNKNOWN, "failed");
  rt__op_fail(&call->op, &err);
  end(call);
}

bool rt_call_canceled(const rt_call *call) {
  return atomic_load(&call->canceled);
}

rt_pid rt_call_process(const rt_call *call) {
  return call->pid;
}

rt_runtime *rt_call_runtime(const rt_call *call) {
  return call->op.worker->rt;
}
