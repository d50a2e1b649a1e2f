/* dispatcher/executor.h - the seam between the engine and those who run jobs.
 *
 * The engine hands out leases; the executor (process/job.c with the workers,
 * or a fake one in tests) runs them and reports. Neither ever waits for the
 * other: the engine's side queues, the executor's side posts tasks. Every
 * report carries its lease; one that was taken back is refused.
 *
 *   engine --start/prepare/cancel--> executor
 *   engine <--send/end/prepared----- executor   (any thread)
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_EXECUTOR_H
#define RT__DISPATCHER_EXECUTOR_H

#include "dispatcher/scope.h"
#include "registry/capability.h"
#include "rt/process.h"
#include "rt/session.h"

typedef struct rt__engine rt__engine;

/* Who may speak for a job: the job, which try it is, the opening of the session
 * under which it was handed out, and which of its handings-out that was (one
 * that was interrupted runs again as the same try). */
typedef struct rt__lease {
  uint64_t job;
  uint32_t attempt; /* from 1 */
  uint32_t epoch;
  uint64_t grant;
} rt__lease;

/* A job handed to the executor, which owns it (rt__order_free). */
typedef struct rt__order {
  rt__lease lease;
  rt__engine *engine;
  rt_session *session;       /* [own ref] */
  rt_capability *capability; /* [own ref] */
  rt_value *asset;   /* [own] {key, class, value, metadata?, depth, parent?} */
  rt_value *options; /* [own] map, or NULL */
  rt_value *errors;  /* [own] of earlier stages: {capability, kind, message}...;
                        or NULL */
  double timeout;    /* seconds; negative: none */
  bool gated;        /* match has been asked already */
} rt__order;
void rt__order_free(rt__order *order);

typedef enum rt__end_kind {
  RT__END_COMPLETED,
  RT__END_SKIPPED,    /* match said no: `reason` */
  RT__END_FAILED,     /* `error` */
  RT__END_SNOOZED,    /* runs again after `delay`, same attempt */
  RT__END_INTERRUPTED /* by cancel or shutdown: back to the queue */
} rt__end_kind;

typedef struct rt__end {
  rt__lease lease;
  rt__end_kind kind;
  rt_value *error; /* map {message, kind, retryable, stack?, details?} */
  char *reason;    /* malloc */
  double delay;    /* seconds */
  bool hold;       /* snoozed: and so do all of its rate key */
  double seconds;  /* how long it ran */
} rt__end;

/* What must be asked of Lua before jobs may run: match, rate_key, prioritize.
 * A batch is of one capability and session. The executor fills in the answers
 * and gives it back with rt__engine_prepared(). */
typedef struct rt__prepare_item {
  uint64_t job;
  rt_value *asset; /* [own] as in an order */
  /* answers */
  bool skip;
  char *reason;   /* malloc; why it is skipped */
  char *rate_key; /* malloc; NULL: none */
  int priority;   /* 0: unchanged */
} rt__prepare_item;
typedef struct rt__prepare {
  rt__engine *engine;
  rt_session *session;       /* [own ref] */
  rt_capability *capability; /* [own ref] */
  rt_value *options;
  size_t count;
  rt__prepare_item items[];
} rt__prepare;
void rt__prepare_free(rt__prepare *batch);

/* Called on the engine's thread; none may wait. */
typedef struct rt__executor {
  void *self;
  void (*start)(void *self, rt__order *order);     /* takes it */
  void (*prepare)(void *self, rt__prepare *batch); /* takes it */
  /* Ask a running job to end (`kill` false: job:canceled() turns true, its
   * process gets CANCEL), or end it now. It still reports its end. */
  void (*cancel)(void *self, rt_session *session, rt__lease lease,
                 const char *reason, bool kill);
  /* The session ends, `how` (static): run finish in each instance that worked
   * for it, `seconds` long, and call rt__engine_finished(). May be NULL. */
  void (*finish)(void *self, rt__engine *engine, rt_session *session,
                 const char *how, double seconds);
} rt__executor;

/* What scripts use of the memory, and how it is collected. Called on the
 * engine's thread; neither may wait. */
typedef struct rt__heaps {
  void *self;
  uint64_t (*used)(void *self); /* bytes of all Lua heaps */
  void (*collect)(void *self);  /* soon, on their own threads */
  /* What the program has in memory; NULL: as the system says. */
  uint64_t (*resident)(void *self);
} rt__heaps;
typedef struct rt__memory_opts {
  uint64_t excess;  /* above the target, then it is collected; 0: 500 MB */
  uint64_t ceiling; /* no new work above it; 0: 3/4 of what there is */
  double check;     /* seconds between two looks; 0: 10 */
  double stall;     /* seconds without a job that ends, then one more; 0: 10 */
} rt__memory_opts;

/* The engine of a runtime: a thread. The executor outlives it. */
rt_err rt__engine_new(rt__engine **out, rt_runtime *rt, rt_bus *bus,
                      rt_registry *registry, const rt__executor *executor,
                      rt_error *err);
/* [waits] Drain all sessions within `grace` seconds, close them, end. */
void rt__engine_stop(rt__engine *engine, double grace);
void rt__engine_free(rt__engine *engine);
/* [any] From now on; both are copied, NULL leaves what was given before. */
void rt__engine_watch(rt__engine *engine, const rt__heaps *heaps,
                      const rt__memory_opts *opts);

/* [any] Results of a job: one asset or an array. The reply (on the engine's
 * thread) is an array of outcome texts, or RT_ECANCELED for a lost lease,
 * RT_EINVAL for a malformed or undeclared asset (in which case the job fails
 * when it ends). It comes later when the intake is full. */
void rt__engine_send(rt__engine *engine, rt_session *session, rt__lease lease,
                     const rt_value *assets, rt_reply_fn fn, void *arg);
/* [any] A job of an active capability asked for a target that is out of scope:
 * it is stored as a rejection of class `target`, with the reason. */
void rt__engine_refuse(rt_session *session, rt__lease lease, const char *target,
                       const char *why);
/* [any] May a connection of this session go there? */
bool rt__session_reaches(const rt_session *session, const rt__target *target,
                         char *why, size_t size);
/* [any] Does it have rules at all? */
bool rt__session_scoped(const rt_session *session);
/* [any] Is the intake beyond its bounds? For callers that do not wait. */
bool rt__engine_full(rt__engine *engine);
/* [any] `fraction` in 0..1; `text` may be NULL. */
void rt__engine_progress(rt__engine *engine, rt_session *session,
                         rt__lease lease, double fraction, const char *text);
/* [any] Exactly once for each order; takes what `end` points to. Comes after
 * the job's last send. */
void rt__engine_end(rt__engine *engine, rt_session *session, rt__end *end);
/* [any] All that was asked to finish is through. */
void rt__engine_finished(rt__engine *engine, rt_session *session);
/* [any] The answers to a batch, which it takes. */
void rt__engine_prepared(rt__engine *engine, rt__prepare *batch);

/* [any] The engine of a runtime (set by rt_runtime_new). */
rt__engine *rt__runtime_engine(rt_runtime *rt);
/* [any] The host's loop, when it is attached to one, else NULL. */
struct rt__host *rt__runtime_host(rt_runtime *rt);

#endif
