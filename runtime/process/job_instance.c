/* job_instance.c - capabilities loaded into VMs, one instance in each.
 *
 *   claim --> [ready?] --yes--> done
 *                |no
 *             waiting list --(its builder, a process, has ended)--> done
 *
 * Worker's thread only. Claims are served from a task, not from the end of the
 * builder, which may be inside of Lua.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/job.h"

#define BUILD_SECONDS 5.0

struct rt__instance {
  rt__instance *next;
  rt__job_worker *home;
  rt_capability *capability; /* [own ref] */
  rt__task task;
  rt__process *builder;
  rt__claim *first, **last; /* who waits */
  int globals, functions;   /* registry refs */
  uint32_t uses;            /* jobs, and the builder */
  bool ready, stale;
  rt_err how; /* why it is not ready */
  rt_value *error;
};

/* --- making and freeing -------------------------------------------------- */
static void unlist(rt__instance *instance) {
  rt__instance **at = &instance->home->instances;
  while (*at && *at != instance) at = &(*at)->next;
  if (*at) *at = instance->next;
}

static void free_instance(rt__instance *instance) {
  lua_State *L = instance->home->worker->vm->L;
  unlist(instance);
  luaL_unref(L, LUA_REGISTRYINDEX, instance->globals);
  luaL_unref(L, LUA_REGISTRYINDEX, instance->functions);
  rt__capability_unref(instance->capability);
  rt_value_unref(instance->error);
  free(instance);
}

void rt__instance_release(rt__instance *instance) {
  if (--instance->uses == 0 && instance->stale) free_instance(instance);
}

void rt__instance_spoil(rt__instance *instance) {
  instance->stale = true;
}

int rt__instance_globals(const rt__instance *instance) {
  return instance->globals;
}

int rt__instance_functions(const rt__instance *instance) {
  return instance->functions;
}

/* Instances of capabilities that nobody but they know any more. */
static void sweep(rt__job_worker *home) {
  rt__instance *next;
  for (rt__instance *i = home->instances; i; i = next) {
    next = i->next;
    uint32_t refs = __atomic_load_n(&i->capability->refs, __ATOMIC_RELAXED);
    if (i->uses == 0 && refs == 1) free_instance(i);
  }
}

static rt__instance *new_instance(rt__job_worker *home,
                                  rt_capability *capability) {
  rt__instance *instance = calloc(1, sizeof(*instance));
  if (!instance) return NULL;
  sweep(home);
  instance->home = home;
  instance->capability = rt__capability_ref(capability);
  instance->globals = instance->functions = LUA_NOREF;
  instance->last = &instance->first;
  instance->next = home->instances;
  home->instances = instance;
  return instance;
}

/* --- building ----------------------------------------------------------------
 */
static void serve(rt__instance *instance) {
  rt__claim *claim;
  if (!instance->ready) instance->stale = true;
  while ((claim = instance->first)) {
    instance->first = claim->next;
    if (instance->ready) instance->uses++;
    claim->done(claim, instance->ready ? instance : NULL, instance->how,
                instance->error);
  }
  instance->last = &instance->first;
  rt__instance_release(instance); /* the builder's use */
}

static void run_serve(rt__worker *worker, rt__task *task) {
  (void)worker;
  serve((rt__instance *)((char *)task - offsetof(rt__instance, task)));
}

static void serve_soon(rt__instance *instance) {
  instance->task.run = run_serve;
  rt__worker_post(instance->home->worker, &instance->task);
}

static void on_built(rt__process *process, rt_err how, rt_value *result,
                     rt_value *error, void *arg) {
  rt__instance *instance = arg;
  (void)process, (void)result;
  instance->builder = NULL;
  if (how != RT_OK) {
    instance->ready = false;
    instance->how = how;
    instance->error = how == RT_ETIMEOUT
                          ? rt__error_map(RT_ETIMEOUT,
                                          "loading the capability took longer "
                                          "than 5 s",
                                          NULL)
                          : rt_value_ref(error);
  }
  serve_soon(instance);
}

rt_capability *rt__instance_wanted(lua_State *L) {
  rt__process *process = rt__process_of(L);
  if (!process || process->rare->on_exit != on_built) return NULL;
  return ((rt__instance *)process->rare->exit_arg)->capability;
}

void rt__instance_ready(lua_State *L) {
  rt__instance *instance = rt__process_of(L)->rare->exit_arg;
  instance->functions = luaL_ref(L, LUA_REGISTRYINDEX);
  instance->globals = luaL_ref(L, LUA_REGISTRYINDEX);
  instance->ready = true;
}

static void build(rt__instance *instance) {
  rt_error err = RT_ERROR_INIT;
  rt__start start = RT__START_INIT;
  start.on_exit = on_built;
  start.exit_arg = instance;
  start.deadline = BUILD_SECONDS;
  start.internal = true;
  instance->uses = 1;
  if (rt__job_process(&instance->builder, instance->home, RT__ENTRY_BUILD,
                      LUA_NOREF, &start, &err) == RT_OK)
    return;
  instance->builder = NULL;
  instance->how = err.code;
  instance->error = rt__error_map(err.code, err.message, NULL);
  serve_soon(instance);
}

void rt__instance_claim(rt__job_worker *home, rt_capability *capability,
                        rt__claim *claim) {
  rt__instance *i = home->instances;
  while (i && (i->capability != capability || i->stale)) i = i->next;
  if (i && i->ready && !i->builder) {
    i->uses++;
    claim->done(claim, i, RT_OK, NULL);
    return;
  }
  bool fresh = !i;
  if (fresh) i = new_instance(home, capability);
  if (!i) {
    claim->done(claim, NULL, RT_ENOMEM, NULL);
    return;
  }
  claim->next = NULL;
  *i->last = claim;
  i->last = &claim->next;
  if (fresh) build(i);
}

void rt__instances_leave(rt__job_worker *home) {
  while (home->instances) {
    rt__instance *i = home->instances;
    i->ready = false;
    i->how = RT_ECLOSED;
    while (i->first) {
      rt__claim *claim = i->first;
      i->first = claim->next;
      claim->done(claim, NULL, RT_ECLOSED, NULL);
    }
    free_instance(i);
  }
}
