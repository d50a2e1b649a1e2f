/* job.c - jobs: a process each, from the order to the report of its end.
 *
 * The engine's thread picks the least loaded worker and posts the job there;
 * all else happens on that worker's thread. However a job ends (it returned,
 * raised, was ended, could not start), settle() sees it once and reports once.
 *
 * SPDX-License-Identifier: MIT */
#include "process/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "process/fence.h"

/* --- workers ----------------------------------------------------------------
 */
rt__job_worker *rt__jobs_home(rt__worker *worker) {
  return worker->home;
}

/* The search begins one further each time, so that equals take turns. */
rt__job_worker *rt__jobs_pick(rt__jobs *jobs) {
  uint32_t turn = atomic_fetch_add(&jobs->turn, 1);
  rt__job_worker *best = NULL;
  uint32_t least = UINT32_MAX;
  unsigned count = jobs->rt->worker_count;
  for (unsigned i = 0; i < count; i++) {
    rt__job_worker *home =
        rt__jobs_home(rt__runtime_worker(jobs->rt, (turn + i) % count));
    uint32_t load = atomic_load_explicit(&home->load, memory_order_relaxed);
    if (load < least) best = home, least = load;
  }
  atomic_fetch_add(&best->load, 1);
  return best;
}

rt__job_worker *rt__jobs_arrive(rt__worker *worker, rt__job_worker *given) {
  rt__job_worker *home = rt__jobs_home(worker);
  if (home != given) atomic_fetch_add(&home->load, 1);
  return home;
}

void rt__jobs_done(rt__job_worker *home) {
  atomic_fetch_sub(&home->load, 1);
}

static void keep_entry(lua_State *L, const char *module, const char *name,
                       int *ref) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, name);
  *ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
}

static int open_home(lua_State *L) {
  rt__job_worker *home = lua_touserdata(L, 1);
  keep_entry(L, "rt.job", "run", &home->entries[RT__ENTRY_RUN]);
  keep_entry(L, "rt.job", "build", &home->entries[RT__ENTRY_BUILD]);
  keep_entry(L, "rt.job", "prepare", &home->entries[RT__ENTRY_PREPARE]);
  keep_entry(L, "rt.job", "finish", &home->entries[RT__ENTRY_FINISH]);
  keep_entry(L, "rt.loader", "run", &home->entries[RT__ENTRY_LOAD]);
  return 0;
}

static rt_err ensure_open(rt__job_worker *home, rt_error *err) {
  if (home->opened) return RT_OK;
  rt__vm *vm = home->worker->vm;
  bool before = vm->shielded;
  vm->shielded = true;
  int status = lua_cpcall(vm->L, open_home, home);
  vm->shielded = before;
  home->opened = status == 0;
  if (home->opened) return RT_OK;
  const char *text = lua_tostring(vm->L, -1);
  rt_err rc = rt_fail(err, RT_EINTERNAL, "cannot load rt.job: %s",
                      text ? text : "unknown error");
  lua_pop(vm->L, 1);
  return rc;
}

rt_err rt__job_process(rt__process **out, rt__job_worker *home,
                       rt__job_entry entry, int ref, const rt__start *start,
                       rt_error *err) {
  *out = NULL;
  rt_err rc = ensure_open(home, err);
  if (rc != RT_OK) return rc;
  lua_State *L = home->worker->vm->L;
  if (!lua_checkstack(L, 8)) return rt_fail(err, RT_ENOMEM, "out of memory");
  lua_rawgeti(L, LUA_REGISTRYINDEX, home->entries[entry]);
  if (ref == LUA_NOREF)
    return rt__process_start(out, home->worker->vm, start, 0, err);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
  return rt__process_start(out, home->worker->vm, start, 1, err);
}

void rt__job_ref(rt_job *job) {
  job->refs++;
}

void rt__job_unref(rt_job *job) {
  if (--job->refs > 0) return;
  free(job->reason);
  rt_value_unref(job->fault);
  free(job);
}

/* --- ends -------------------------------------------------------------------
 */
void rt__job_report(rt_job *job, rt__end_kind kind, rt_value *error,
                    char *reason) {
  rt__order *order = job->order;
  rt__end end = {.kind = kind, .error = error, .reason = reason};
  if (!order) { /* it has been reported */
    rt_value_unref(error);
    free(reason);
    return;
  }
  rt__guard(job->home->worker);
  bool known = rt__worker_lost(job->home->worker) && job->at;
  rt__job_strike(job);
  rt__unguard(job->home->worker);
  job->order = NULL;
  end.lease = order->lease;
  end.delay = job->delay;
  end.hold = job->hold;
  end.seconds = (double)(rt__now_ns() - job->started) / 1e9;
  rt__jobs_done(job->home);
  if (known) { /* it was given back with all the worker had */
    rt_value_unref(error);
    free(reason);
  } else {
    rt__engine_end(order->engine, order->session, &end);
  }
  rt__order_free(order);
  if (job->instance) rt__instance_release(job->instance);
  job->instance = NULL;
  rt__job_unref(job);
}

char *rt__job_words(const char *what, const rt_value *error) {
  size_t size = 0, length = strlen(what);
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(error), "message"), &size);
  char *words = malloc(length + size + 3);
  if (words) sprintf(words, "%s: %.*s", what, (int)size, text ? text : "");
  return words;
}

/* The thread's own time: what other processes of the worker used counts too,
 * what other programs of the machine used does not. */
uint64_t rt__job_cpu_ns(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool rt__job_stalled(uint64_t cpu_before) {
  return (double)(rt__job_cpu_ns() - cpu_before) / 1e9 < RT__MATCH_SECONDS / 2;
}

static rt_value *timeout_error(const rt_job *job, const rt_value *error) {
  char text[100], *stack = NULL;
  size_t size = 0;
  const char *trace =
      rt_view_string(rt_view_get(rt_value_view(error), "stack"), &size);
  if (trace) stack = strndup(trace, size);
  snprintf(text, sizeof(text), "timed out: ran longer than its timeout of %g s",
           job->order->timeout);
  rt_value *map = rt__error_map(RT_ETIMEOUT, text, stack);
  free(stack);
  return map;
}

static bool is_canceled(const rt_value *error) {
  size_t size = 0;
  const char *kind =
      rt_view_string(rt_view_get(rt_value_view(error), "kind"), &size);
  return kind && size == 8 && memcmp(kind, "CANCELED", 8) == 0;
}

/* One that knows that it is to end, and returns, stopped early: what is left
 * of its work is for another run. */
static void settle_returned(rt_job *job) {
  if (job->asked && job->saw && job->kind == RT__END_COMPLETED) {
    rt__job_report(job, RT__END_INTERRUPTED, NULL, NULL);
    return;
  }
  rt_value *fault = job->fault;
  char *reason = job->reason;
  job->fault = NULL;
  job->reason = NULL;
  rt__job_report(job, fault ? RT__END_FAILED : job->kind, fault, reason);
}

static void settle_match(rt_job *job, rt_err how, rt_value *error) {
  if (how == RT_ETIMEOUT) {
    if (rt__job_stalled(job->cpu) && job->restarts++ < RT__MATCH_RESTARTS) {
      job->task.run =
          rt__job_run_claim; /* not here: this may be inside of Lua */
      rt__job_ref(job);
      rt__worker_post(job->home->worker, &job->task);
      return;
    }
    rt__job_report(job, RT__END_SKIPPED, NULL,
                   strdup("match: took longer than 1 s"));
    return;
  }
  rt__job_report(job, RT__END_SKIPPED, NULL, rt__job_words("match", error));
}

static void settle(rt_job *job, rt_err how, rt_value *error) {
  if (how == RT_OK)
    settle_returned(job);
  else if (job->killed || how == RT_ECLOSED)
    rt__job_report(job, RT__END_INTERRUPTED, NULL, NULL);
  else if (job->asked && is_canceled(error))
    rt__job_report(job, RT__END_INTERRUPTED, NULL, NULL);
  else if (job->phase == RT__PHASE_MATCH)
    settle_match(job, how, error);
  else if (how == RT_ETIMEOUT)
    rt__job_report(job, RT__END_FAILED, timeout_error(job, error), NULL);
  else
    rt__job_report(job, RT__END_FAILED, rt_value_ref(error), NULL);
}

/* os.exit(3) in a job is a failure of that job. */
static void note_exit_code(rt_job *job, const rt__process *process) {
  char text[40];
  if (process->exit_code == 0 || job->fault) return;
  snprintf(text, sizeof(text), "ended with exit code %d", process->exit_code);
  job->fault = rt__error_map(RT_EUNKNOWN, text, NULL);
}

static void on_exit_of_job(rt__process *process, rt_err how, rt_value *result,
                           rt_value *error, void *arg) {
  rt_job *job = arg;
  (void)result;
  job->process = NULL;
  job->saw = job->saw || process->reads_events;
  note_exit_code(job, process);
  if (how != RT_OK && how != RT_EUNKNOWN) rt__instance_spoil(job->instance);
  settle(job, how, error);
}

rt_job *rt__job_of_process(const rt__process *process) {
  if (!process || process->rare->on_exit != on_exit_of_job) return NULL;
  return process->rare->exit_arg;
}

rt_job *rt__job_of(lua_State *L) {
  return rt__job_of_process(rt__process_of(L));
}

/* --- beginnings ----------------------------------------------------------- */
static double time_given(const rt_job *job) {
  double timeout = job->order->timeout;
  return timeout > 0 ? timeout : -1;
}

void rt__job_invoked(rt_job *job) {
  job->phase = RT__PHASE_INVOKE;
  job->process->nowait = false;
  rt__process_set_deadline(job->process, time_given(job));
}

static void begin(rt_job *job) {
  rt_error err = RT_ERROR_INIT;
  rt__start start = RT__START_INIT;
  bool unfenced = false;
  bool ask = job->order->capability->has_match && !job->order->gated;
  job->phase = ask ? RT__PHASE_MATCH : RT__PHASE_INVOKE;
  if (ask && job->restarts == 0) job->cpu = rt__job_cpu_ns();
  start.globals = rt__instance_globals(job->instance);
  start.on_exit = on_exit_of_job;
  start.exit_arg = start.user = job;
  start.deadline = ask ? RT__MATCH_SECONDS : time_given(job);
  start.nowait = ask;
  if (rt__job_process(&job->process, job->home, RT__ENTRY_RUN,
                      rt__instance_functions(job->instance), &start,
                      &err) == RT_OK) {
    rt__fence *fence =
        rt__fence_new(job->order->session, job->order->capability,
                      &job->order->lease, &unfenced);
    if (!rt__fence_process(job->process, fence)) unfenced = true;
    if (unfenced) rt__process_kill(job->process, RT_ENOMEM, NULL);
    return;
  }
  job->process = NULL;
  rt__job_report(job, RT__END_FAILED,
                 rt__error_map(err.code, err.message, NULL), NULL);
}

static void on_instance(rt__claim *claim, rt__instance *instance, rt_err how,
                        rt_value *error) {
  rt_job *job = (rt_job *)((char *)claim - offsetof(struct rt_job, claim));
  if (!job->order) { /* canceled meanwhile */
    if (instance) rt__instance_release(instance);
  } else if (instance) {
    job->instance = instance;
    begin(job);
  } else if (how == RT_ECLOSED) {
    rt__job_report(job, RT__END_INTERRUPTED, NULL, NULL);
  } else {
    rt__job_report(job, RT__END_FAILED, rt_value_ref(error), NULL);
  }
  rt__job_unref(job); /* the claim's */
}

static void claim(rt_job *job) {
  job->phase = RT__PHASE_WAITING;
  job->claim.done = on_instance;
  job->claim.session = job->order->session;
  job->claim.options = job->order->options;
  rt__job_ref(job);
  rt__instance_claim(job->home, job->order->capability, &job->claim);
}

void rt__job_run_claim(rt__worker *worker, rt__task *task) {
  rt_job *job = (rt_job *)task; /* its first member */
  (void)worker;
  if (job->order) {
    rt__instance_release(job->instance);
    job->instance = NULL;
    claim(job);
  }
  rt__job_unref(job);
}

static void run_start(rt__worker *worker, rt__task *task) {
  rt_job *job = (rt_job *)task;
  job->home = rt__jobs_arrive(worker, job->home);
  job->started = rt__now_ns();
  rt__guard(worker);
  rt__job_enroll(job);
  rt__unguard(worker);
  if (job->order->capability->invoke)
    rt__native_begin(job);
  else
    claim(job);
}

static void start(void *self, rt__order *order) {
  rt__jobs *jobs = self;
  rt_job *job = calloc(1, sizeof(*job));
  if (!job) {
    rt__end end = {.lease = order->lease, .kind = RT__END_INTERRUPTED};
    rt__engine_end(order->engine, order->session, &end);
    rt__order_free(order);
    return;
  }
  job->home = rt__jobs_pick(jobs);
  job->order = order;
  job->refs = 1;
  job->task.run = run_start;
  rt__worker_post(job->home->worker, &job->task);
}

/* --- time out of the job's account ---------------------------------------- */
void rt__job_hold_time(rt_job *job) {
  rt__job_ref(job);
  if (job->sends++ > 0 || !job->process) return;
  uint64_t due = job->process->rare->deadline, now = uv_hrtime();
  job->left = due == 0 ? -1 : due > now ? (double)(due - now) / 1e9 : 0;
  if (due) rt__process_set_deadline(job->process, -1);
}

void rt__job_resume_time(rt_job *job) {
  if (--job->sends == 0 && job->process && job->left >= 0)
    rt__process_set_deadline(job->process, job->left);
  rt__job_unref(job);
}

/* --- all of it ------------------------------------------------------------ */
rt_err rt__jobs_open_home(rt__jobs *jobs, rt__worker *worker) {
  rt__job_worker *home = calloc(1, sizeof(*home));
  rt_job **table = calloc(RT__JOB_TABLE, sizeof(rt_job *));
  if (!home || !table) {
    free(home);
    free(table);
    return RT_ENOMEM;
  }
  home->jobs = jobs;
  home->worker = worker;
  home->table = table;
  home->next = jobs->homes;
  jobs->homes = worker->home = home;
  return RT_OK;
}

rt_err rt__jobs_new(rt__jobs **out, rt_runtime *rt, rt_error *err) {
  rt__jobs *jobs = calloc(1, sizeof(*jobs));
  *out = NULL;
  if (!jobs) return rt_fail(err, RT_ENOMEM, "no memory for the executor");
  jobs->rt = rt;
  jobs->executor = (rt__executor){jobs, start, rt__jobs_prepare,
                                  rt__jobs_cancel, rt__jobs_finish};
  for (unsigned i = 0; i < rt->worker_count; i++) {
    if (rt__jobs_open_home(jobs, rt__runtime_worker(rt, i)) == RT_OK) continue;
    rt__jobs_free(jobs);
    return rt_fail(err, RT_ENOMEM, "no memory for the executor");
  }
  *out = jobs;
  return RT_OK;
}

void rt__jobs_free(rt__jobs *jobs) {
  if (!jobs) return;
  while (jobs->homes) {
    rt__job_worker *home = jobs->homes;
    jobs->homes = home->next;
    free(home->table);
    free(home);
  }
  free(jobs);
}

const rt__executor *rt__jobs_executor(rt__jobs *jobs) {
  return &jobs->executor;
}

void rt__jobs_leave(rt__worker *worker) {
  if (worker->rt->jobs) rt__instances_leave(rt__jobs_home(worker));
}
