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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/session.h"
#include "process/fence.h"
#include "process/job.h"

#define BUILD_SECONDS 5.0
#define SETUP_SECONDS 60.0

/* A session that an instance worked for, until it has said goodbye to it. */
typedef struct served {
  struct served *next;
  rt_session *session; /* [own ref] */
  rt_value *options;   /* [own ref] there */
} served;

struct rt__instance {
  rt__instance *next;
  rt__job_worker *home;
  rt_capability *capability; /* [own ref] */
  rt__task task;
  rt__process *builder;
  rt__claim *first, **last; /* who waits */
  int globals, functions;   /* registry refs */
  uint32_t uses;            /* jobs, and the builder */
  served *served;           /* if its capability has a finish */
  bool ready, stale;
  /* on whose behalf it is built; NULL afterwards */
  rt_session *session; /* [own ref] */
  rt_value *options;   /* [own ref] */
  char *fatal;         /* [own] its setup failed: the session stops */
  rt_err how;          /* why it is not ready */
  rt_value *error;
};

/* --- making and freeing -------------------------------------------------- */
static void unlist(rt__instance *instance) {
  rt__instance **at = &instance->home->instances;
  while (*at && *at != instance) at = &(*at)->next;
  if (*at) *at = instance->next;
}

static void let_go(rt__instance *instance) {
  rt_session_unref(instance->session);
  rt_value_unref(instance->options);
  free(instance->fatal);
  instance->session = NULL;
  instance->options = NULL;
  instance->fatal = NULL;
}

static void free_served(served *at) {
  rt_session_unref(at->session);
  rt_value_unref(at->options);
  free(at);
}

static void free_instance(rt__instance *instance) {
  lua_State *L = instance->home->worker->vm->L;
  while (instance->served) {
    served *at = instance->served;
    instance->served = at->next;
    free_served(at);
  }
  let_go(instance);
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

void rt__instance_run_serve(rt__worker *worker, rt__task *task) {
  (void)worker;
  serve((rt__instance *)((char *)task - offsetof(rt__instance, task)));
}

static void serve_soon(rt__instance *instance) {
  instance->task.run = rt__instance_run_serve;
  rt__worker_post(instance->home->worker, &instance->task);
}

/* The session drains before those who wait are told, so that none of their
 * jobs begins again: they go back to the queue. */
static void stop_session(rt__instance *instance) {
  char *reason = NULL;
  if (asprintf(&reason, "setup of %s: %s", instance->capability->name,
               instance->fatal) < 0)
    reason = NULL;
  rt__session_cancel_async(instance->session, reason ? reason : "setup", false,
                           NULL, NULL);
  free(reason);
  instance->how = RT_ECLOSED;
}

static rt_value *too_slow(const rt__instance *instance) {
  const char *text = instance->capability->has_setup
                         ? "loading the capability and its setup took longer "
                           "than 60 s"
                         : "loading the capability took longer than 5 s";
  return rt__error_map(RT_ETIMEOUT, text, NULL);
}

static void on_built(rt__process *process, rt_err how, rt_value *result,
                     rt_value *error, void *arg) {
  rt__instance *instance = arg;
  (void)process, (void)result;
  instance->builder = NULL;
  if (how != RT_OK) {
    instance->ready = false;
    instance->how = how;
    instance->error =
        how == RT_ETIMEOUT ? too_slow(instance) : rt_value_ref(error);
    if (instance->fatal && instance->session) stop_session(instance);
  }
  let_go(instance);
  serve_soon(instance);
}

rt__instance *rt__instance_of_builder(const rt__process *process) {
  if (!process || process->rare->on_exit != on_built) return NULL;
  return process->rare->exit_arg;
}

bool rt__instance_awaited(const rt__instance *instance,
                          const rt__claim *claim) {
  const rt__claim *at = instance ? instance->first : NULL;
  while (at && at != claim) at = at->next;
  return at != NULL;
}

rt_capability *rt__instance_wanted(lua_State *L) {
  const rt__instance *instance = rt__instance_of_builder(rt__process_of(L));
  return instance ? instance->capability : NULL;
}

static rt__instance *building(lua_State *L) {
  return rt__process_of(L)->rare->exit_arg;
}

rt_session *rt__instance_session(lua_State *L, const rt_value **options) {
  *options = building(L)->options;
  return building(L)->session;
}

void rt__instance_fatal(lua_State *L, const char *why) {
  rt__instance *instance = building(L);
  free(instance->fatal);
  instance->fatal = strdup(why);
}

void rt__instance_ready(lua_State *L) {
  rt__instance *instance = building(L);
  instance->functions = luaL_ref(L, LUA_REGISTRYINDEX);
  instance->globals = luaL_ref(L, LUA_REGISTRYINDEX);
  instance->ready = true;
}

static void build(rt__instance *instance) {
  bool unfenced = false;
  rt_error err = RT_ERROR_INIT;
  rt__start start = RT__START_INIT;
  start.on_exit = on_built;
  start.exit_arg = instance;
  start.deadline =
      instance->capability->has_setup ? SETUP_SECONDS : BUILD_SECONDS;
  start.internal = true;
  instance->uses = 1;
  if (rt__job_process(&instance->builder, instance->home, RT__ENTRY_BUILD,
                      LUA_NOREF, &start, &err) == RT_OK) {
    rt__fence *fence =
        rt__fence_new(instance->session, instance->capability, NULL, &unfenced);
    if (!rt__fence_process(instance->builder, fence)) unfenced = true;
    if (unfenced) rt__process_kill(instance->builder, RT_ENOMEM, NULL);
    return;
  }
  instance->builder = NULL;
  instance->how = err.code;
  instance->error = rt__error_map(err.code, err.message, NULL);
  serve_soon(instance);
}

static void note_served(rt__instance *instance, const rt__claim *claim) {
  if (!claim->session || !instance->capability->has_finish) return;
  for (const served *at = instance->served; at; at = at->next)
    if (at->session == claim->session) return;
  served *fresh = calloc(1, sizeof(*fresh));
  if (!fresh) return;
  fresh->session = rt_session_ref(claim->session);
  fresh->options = rt_value_ref((rt_value *)claim->options);
  fresh->next = instance->served;
  instance->served = fresh;
}

static served *take_served(rt__instance *instance, const rt_session *session) {
  served **at = &instance->served;
  while (*at && (*at)->session != session) at = &(*at)->next;
  served *found = *at;
  if (found) *at = found->next;
  return found;
}

void rt__instances_part(rt__job_worker *home, rt_session *session,
                        rt__part_fn fn, void *arg) {
  for (rt__instance *i = home->instances, *next; i; i = next) {
    served *found = take_served(i, session);
    next = i->next;
    if (!found) continue;
    rt_value *options = found->options;
    found->options = NULL;
    free_served(found);
    if (i->ready && !i->builder) {
      i->uses++;
      fn(home, i, i->capability, options, arg);
    } else {
      rt_value_unref(options);
    }
  }
}

void rt__instance_claim(rt__job_worker *home, rt_capability *capability,
                        rt__claim *claim) {
  rt__instance *i = home->instances;
  while (i && (i->capability != capability || i->stale)) i = i->next;
  if (i && i->ready && !i->builder) {
    i->uses++;
    note_served(i, claim);
    claim->done(claim, i, RT_OK, NULL);
    return;
  }
  bool fresh = !i;
  if (fresh) i = new_instance(home, capability);
  if (!i) {
    claim->done(claim, NULL, RT_ENOMEM, NULL);
    return;
  }
  note_served(i, claim);
  claim->next = NULL;
  *i->last = claim;
  i->last = &claim->next;
  if (!fresh) return;
  i->session = claim->session ? rt_session_ref(claim->session) : NULL;
  i->options = rt_value_ref((rt_value *)claim->options);
  build(i);
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
