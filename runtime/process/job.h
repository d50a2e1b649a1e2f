/* process/job.h - the executor: jobs of capabilities as processes.
 *
 *   engine --order--> worker's table --> instance of the capability in its VM
 *                                          |ready: a process runs rt.job.run
 *   engine <--end---- worker's table <-----'ends, in whatever way
 *
 * A job belongs to the worker it was given to; only its task crosses threads.
 * An *instance* is one capability loaded into one VM: the globals its chunk ran
 * in and the functions it declared, shared by the jobs there. After a job was
 * ended by force its instance is stale: running jobs keep it, new ones load
 * another.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_JOB_H
#define RT__PROCESS_JOB_H

#include "dispatcher/executor.h"
#include "process/sched.h"

typedef struct rt__jobs rt__jobs;
typedef struct rt__job_worker rt__job_worker;
typedef struct rt__instance rt__instance;

/* --- for the runtime ------------------------------------------------------ */
/* The executor of a runtime whose workers exist; to be freed after they and
 * the engine have ended. */
rt_err rt__jobs_new(rt__jobs **out, rt_runtime *rt, rt_error *err);
void rt__jobs_free(rt__jobs *jobs);
const rt__executor *rt__jobs_executor(rt__jobs *jobs);
/* Worker thread, when its processes have ended and its VM still exists: let go
 * of what is kept in the VM. */
void rt__jobs_leave(rt__worker *worker);

/* --- instances (job_instance.c) --------------------------------------------
 */
/* Who waits for an instance: `done` comes on the worker's thread, soon or
 * later, with an instance [own use] or NULL and why (borrowed). */
typedef struct rt__claim rt__claim;
struct rt__claim {
  rt__claim *next;
  rt_session *session; /* of whom it is, and the options there; borrowed */
  const rt_value *options;
  void (*done)(rt__claim *claim, rt__instance *instance, rt_err how,
               rt_value *error);
};
void rt__instance_claim(rt__job_worker *home, rt_capability *capability,
                        rt__claim *claim);
void rt__instance_release(rt__instance *instance);
/* A process was ended by force in it: the next claim gets another. */
void rt__instance_spoil(rt__instance *instance);
/* The registry ref of its globals, and of the table that rt.job.build made. */
int rt__instance_globals(const rt__instance *instance);
int rt__instance_functions(const rt__instance *instance);
/* For the running rt.job.build: what to load, or NULL when it is none. */
rt_capability *rt__instance_wanted(lua_State *L);
/* On behalf of which session, with which options; and that its setup failed so
 * that the session must stop. */
rt_session *rt__instance_session(lua_State *L, const rt_value **options);
void rt__instance_fatal(lua_State *L, const char *why);
/* Its answer: globals and functions on top of L, which are popped. */
void rt__instance_ready(lua_State *L);
void rt__instances_leave(rt__job_worker *home);
/* A session ends: for each instance that worked for it `fn`, which releases the
 * instance and takes `options`. */
typedef void (*rt__part_fn)(rt__job_worker *home, rt__instance *instance,
                            rt_capability *capability, rt_value *options,
                            void *arg);
void rt__instances_part(rt__job_worker *home, rt_session *session,
                        rt__part_fn fn, void *arg);
/* Engine's thread: ask them all (job_finish.c); and for rt.job in one of those
 * processes: session, options, how it ended. */
void rt__jobs_finish(void *self, rt__engine *engine, rt_session *session,
                     const char *how, double seconds);
int rt__l_finish_context(lua_State *L);

/* --- jobs (job.c), for job_*.c and bind_job.c -------------------------------
 */
typedef enum rt__phase {
  RT__PHASE_WAITING, /* for its instance */
  RT__PHASE_MATCH,
  RT__PHASE_INVOKE
} rt__phase;

typedef struct rt__native rt__native;

struct rt_job {
  rt__task task;
  rt__claim claim;
  rt__order *order;       /* [own]; NULL once its end is reported */
  rt__job_worker *home;   /* constant */
  rt_job *next, **at;     /* in home's table */
  rt__instance *instance; /* [own use] */
  rt__process *process;   /* NULL: not started, or ended */
  uint32_t refs;          /* worker thread: the table, the claim, open sends */
  uint32_t sends;         /* open ones */
  uint32_t restarts;      /* of a match that the machine cut short */
  rt__phase phase;
  bool asked, killed; /* to end, by the engine */
  bool saw;           /* it knows that it was asked */
  uint64_t started, cpu;
  double left; /* of its timeout, while a send is open; negative: no timeout */
  /* what it said before it ended */
  rt__end_kind kind; /* COMPLETED unless said otherwise */
  double delay;
  bool hold; /* what has its rate key comes back then, too */
  char *reason;
  rt_value *fault;
  rt__native *native; /* of a capability in C */
};

typedef enum rt__job_entry {
  RT__ENTRY_RUN,
  RT__ENTRY_BUILD,
  RT__ENTRY_PREPARE,
  RT__ENTRY_LOAD,
  RT__ENTRY_FINISH,
  RT__ENTRY_COUNT
} rt__job_entry;

struct rt__job_worker {
  rt__jobs *jobs;
  rt__worker *worker;
  _Atomic(uint32_t) load; /* jobs and batches given to it */
  rt__job_worker *next;   /* all there ever were */
  /* worker thread only; the first two change under its guard */
  rt_job **table;
  struct rt__asking *askings;
  rt__instance *instances;
  bool opened;
  int entries[RT__ENTRY_COUNT]; /* refs: functions of rt.job and rt.loader */
};

struct rt__jobs {
  rt_runtime *rt;
  rt__executor executor;
  _Atomic(uint32_t) turn;
  rt__job_worker *homes; /* by who makes workers */
};

#define RT__JOB_TABLE 1024u
void rt__job_enroll(rt_job *job);
void rt__job_strike(rt_job *job); /* idempotent */
/* Engine's thread. */
void rt__jobs_cancel(void *self, rt_session *session, rt__lease lease,
                     const char *reason, bool kill);

rt__job_worker *rt__jobs_home(rt__worker *worker);
/* For a worker that is new. */
rt_err rt__jobs_open_home(rt__jobs *jobs, rt__worker *worker);
/* The home of the worker that runs a task: `given`, unless that one is lost and
 * the task has found its way to another. */
rt__job_worker *rt__jobs_arrive(rt__worker *worker, rt__job_worker *given);
/* [any] The worker with the least to do; counts one job more for it. */
rt__job_worker *rt__jobs_pick(rt__jobs *jobs);
void rt__jobs_done(rt__job_worker *home);
/* Start a process that runs an entry with the value of a registry ref (or
 * LUA_NOREF) as its argument. */
rt_err rt__job_process(rt__process **out, rt__job_worker *home,
                       rt__job_entry entry, int ref, const rt__start *start,
                       rt_error *err);
/* The job whose process is running, or NULL; the job of a process. */
rt_job *rt__job_of(lua_State *L);
rt_job *rt__job_of_process(const rt__process *process);
/* Match has said yes: the job's own time begins. */
void rt__job_invoked(rt_job *job);
/* Report its end, once. Takes error and reason. */
void rt__job_report(rt_job *job, rt__end_kind kind, rt_value *error,
                    char *reason);
void rt__job_ref(rt_job *job);
void rt__job_unref(rt_job *job);
/* Waiting for room in the engine does not count toward the timeout. */
void rt__job_hold_time(rt_job *job);
void rt__job_resume_time(rt_job *job);

/* match, rate_key and prioritize may take this long. When the worker's thread
 * hardly ran meanwhile, all attempts together, it was the machine that stalled,
 * and it is asked again. */
#define RT__MATCH_SECONDS  1.0
#define RT__MATCH_RESTARTS 5
uint64_t rt__job_cpu_ns(void);
bool rt__job_stalled(uint64_t cpu_before);
/* The message of an error map [malloc], behind `what` and ": ". */
char *rt__job_words(const char *what, const rt_value *error);

/* --- batches (job_prepare.c) ------------------------------------------------
 */
typedef struct rt__asking rt__asking;
struct rt__asking {
  rt__task task;
  rt__asking *next, **at_list; /* in home's list */
  rt__claim claim;
  rt__job_worker *home;
  rt__prepare *batch; /* [own] */
  rt__instance *instance;
  size_t at; /* the item being asked; those before it are answered */
  uint32_t restarts;
  uint64_t cpu;
  bool started; /* the item at `at` */
};
void rt__jobs_prepare(void *self, rt__prepare *batch);
/* The batch whose process is running, or NULL; that of a process. */
rt__asking *rt__asking_of(lua_State *L);
rt__asking *rt__asking_of_process(const rt__process *process);
/* The next item, whose second begins; NULL at the end. */
rt__prepare_item *rt__asking_next(lua_State *L, rt__asking *asking);

/* --- when a worker is lost (job_lost.c) -------------------------------------
 */
typedef struct rt__bequest rt__bequest;
/* Under its guard: what it had to do. `culprit` is the process that is stuck;
 * `error` why. */
rt__bequest *rt__jobs_bequeath(rt__worker *lost, const rt__process *culprit,
                               rt_value *error);
/* Give it back to the engine, and to other workers; frees it. */
void rt__bequest_settle(rt__jobs *jobs, rt__bequest *bequest);
/* A process that loaded a capability file is lost; false: it did not. */
bool rt__load_lost(rt__ended_fn fn, void *arg, const char *words);
/* The instance that a process builds, or NULL; is this one of those who wait
 * for it? */
rt__instance *rt__instance_of_builder(const rt__process *process);
bool rt__instance_awaited(const rt__instance *instance, const rt__claim *claim);
/* [any] Whatever it does goes nowhere. */
void rt__native_disown(rt_job *job);
/* Tasks that only the worker they were posted to may run. */
void rt__job_run_claim(rt__worker *worker, rt__task *task);
void rt__instance_run_serve(rt__worker *worker, rt__task *task);
void rt__asking_run_again(rt__worker *worker, rt__task *task);
void rt__native_run_complete(rt__worker *worker, rt__task *task);

/* --- capabilities in C (job_native.c) ---------------------------------------
 */
void rt__native_begin(rt_job *job);
/* Ask it to end; with `kill` give up on it. */
void rt__native_cancel(rt_job *job, bool kill);

#endif
