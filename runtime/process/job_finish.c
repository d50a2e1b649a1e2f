/* job_finish.c - `finish` of a capability, in each VM that worked for a
 * session which ends.
 *
 *   engine --farewell--> a task for each worker --> a process for each instance
 *   engine <--all through-- the last of them
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/fence.h"
#include "process/job.h"

/* Held by the tasks and processes it needs. */
typedef struct farewell {
  atomic_uint refs;
  rt__engine *engine;
  rt_session *session; /* [own ref] */
  const char *how;     /* static */
  double seconds;
} farewell;

typedef struct visit {
  rt__task task;
  farewell *all; /* [own use] */
} visit;

typedef struct goodbye {
  farewell *all;          /* [own use] */
  rt__instance *instance; /* [own use] */
  rt_capability *capability;
  rt_value *options; /* [own ref] */
  rt_runtime *rt;
} goodbye;

static void leave(farewell *all) {
  if (atomic_fetch_sub(&all->refs, 1) > 1) return;
  rt__engine_finished(all->engine, all->session);
  rt_session_unref(all->session);
  free(all);
}

static void tell_fault(const goodbye *bye, rt_err how, const rt_value *error) {
  char *words = rt__job_words("finish", error);
  const char *text = how == RT_ETIMEOUT ? "finish took longer than it may"
                     : words            ? words
                                        : "finish failed";
  rt_runtime_log(bye->rt, RT_LOG_ERROR, NULL, "session '%s': %s: %s",
                 rt_session_name(bye->all->session), bye->capability->name,
                 text);
  free(words);
}

static void free_goodbye(goodbye *bye) {
  rt__instance_release(bye->instance);
  rt__capability_unref(bye->capability);
  rt_value_unref(bye->options);
  leave(bye->all);
  free(bye);
}

static void on_said(rt__process *process, rt_err how, rt_value *result,
                    rt_value *error, void *arg) {
  goodbye *bye = arg;
  (void)process, (void)result;
  if (how != RT_OK && how != RT_ECLOSED) tell_fault(bye, how, error);
  if (how != RT_OK && how != RT_EUNKNOWN) rt__instance_spoil(bye->instance);
  free_goodbye(bye);
}

static void start(goodbye *bye, rt__job_worker *home) {
  rt_error err = RT_ERROR_INIT;
  rt__process *process;
  rt__start spec = RT__START_INIT;
  bool unfenced = false;
  spec.globals = rt__instance_globals(bye->instance);
  spec.on_exit = on_said;
  spec.exit_arg = bye;
  spec.deadline = bye->all->seconds;
  spec.internal = true;
  if (rt__job_process(&process, home, RT__ENTRY_FINISH,
                      rt__instance_functions(bye->instance), &spec,
                      &err) != RT_OK) {
    rt_runtime_log(bye->rt, RT_LOG_ERROR, NULL, "finish of %s: %s",
                   bye->capability->name, err.message);
    free_goodbye(bye);
    return;
  }
  rt__fence *fence =
      rt__fence_new(bye->all->session, bye->capability, NULL, &unfenced);
  if (!rt__fence_process(process, fence)) unfenced = true;
  if (unfenced) rt__process_kill(process, RT_ENOMEM, NULL);
}

/* Called for each instance that served the session; takes `options`. */
static void say_goodbye(rt__job_worker *home, rt__instance *instance,
                        rt_capability *capability, rt_value *options,
                        void *arg) {
  farewell *all = arg;
  goodbye *bye = calloc(1, sizeof(*bye));
  if (!bye) {
    rt__instance_release(instance);
    rt_value_unref(options);
    return;
  }
  atomic_fetch_add(&all->refs, 1);
  bye->all = all;
  bye->instance = instance;
  bye->capability = rt__capability_ref(capability);
  bye->options = options;
  bye->rt = home->jobs->rt;
  start(bye, home);
}

static void run_visit(rt__worker *worker, rt__task *task) {
  visit *v = (visit *)task; /* its first member */
  rt__instances_part(rt__jobs_home(worker), v->all->session, say_goodbye,
                     v->all);
  leave(v->all);
  free(v);
}

/* `how` is static. */
void rt__jobs_finish(void *self, rt__engine *engine, rt_session *session,
                     const char *how, double seconds) {
  rt__jobs *jobs = self;
  farewell *all = calloc(1, sizeof(*all));
  if (!all) {
    rt__engine_finished(engine, session);
    return;
  }
  atomic_init(&all->refs, 1);
  all->engine = engine;
  all->session = rt_session_ref(session);
  all->how = how;
  all->seconds = seconds;
  for (unsigned i = 0; i < jobs->rt->worker_count; i++) {
    visit *v = calloc(1, sizeof(*v));
    if (!v) continue;
    atomic_fetch_add(&all->refs, 1);
    v->all = all;
    v->task.run = run_visit;
    rt__worker_post(rt__runtime_worker(jobs->rt, i), &v->task);
  }
  leave(all);
}

/* finish_context() -> the session's name, its options, how it ended */
int rt__l_finish_context(lua_State *L) {
  const rt__process *process = rt__process_of(L);
  if (!process || process->rare->on_exit != on_said)
    return luaL_error(L, "no session ends");
  const goodbye *bye = process->rare->exit_arg;
  lua_pushstring(L, rt_session_name(bye->all->session));
  rt__lua_decode(L, rt_value_view(bye->options));
  lua_pushstring(L, bye->all->how);
  return 3;
}
