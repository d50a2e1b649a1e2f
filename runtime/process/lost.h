/* process/lost.h - a worker whose thread is stuck in C code, and its end.
 *
 *   watchdog --suspects--> undertaker --declares it lost--> another worker
 *                              |                            takes its number
 *                              '--> its processes, jobs: told, given away
 *   stuck thread --comes back--> finds itself lost, releases its VMs, is joined
 *
 * Only with unsafe scripts. A worker is declared lost only while it is inside
 * of Lua: `entry` is swapped there by one side or the other, so the scheduler's
 * own code never runs for a lost worker but to end it. What is read here of
 * such a worker, and what scripts may change from inside of Lua, is kept under
 * its guard. What must be done once, by the worker or
 * in its place, is decided under it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_LOST_H
#define RT__PROCESS_LOST_H

#include "process/sched.h"

#define RT__LOST_MAX 64 /* stuck threads at a time; then none is given up */
#define RT__STUCK_S  3.0

/* Between these two it is not declared lost. False: it is lost already, and
 * what it did is done by others. Always both. */
static inline bool rt__guard(rt__worker *worker) {
  if (!worker->guarded) return true;
  uv_mutex_lock(&worker->stuck.guard);
  return !atomic_load_explicit(&worker->stuck.lost, memory_order_relaxed);
}
static inline void rt__unguard(rt__worker *worker) {
  if (worker->guarded) uv_mutex_unlock(&worker->stuck.guard);
}
static inline bool rt__worker_lost(const rt__worker *worker) {
  return worker->guarded && atomic_load(&worker->stuck.lost);
}

/* Before each entry into a fiber, of that epoch; and after it: false when it
 * was declared lost meanwhile. */
static inline void rt__worker_entered(rt__worker *worker, uint64_t epoch) {
  if (worker->guarded) atomic_store(&worker->stuck.entry, epoch);
}
bool rt__lost_left(rt__worker *worker);
static inline bool rt__worker_left(rt__worker *worker) {
  return !worker->guarded || rt__lost_left(worker);
}

/* [watchdog] The hook is armed for this entry. */
void rt__lost_look(rt__worker *worker, uint64_t epoch, uint64_t now);
/* [any] A task that was posted to a worker that is lost. */
void rt__lost_forward(rt__worker *worker);
/* The thread of a lost worker: wait until all is given away; run what is its
 * own; it has ended. */
void rt__lost_came_back(rt__worker *worker);
void rt__lost_settle(rt__worker *worker);
void rt__lost_ended(rt_runtime *rt);
/* Is this a task that only the worker it was posted to may run? */
bool rt__lost_is_own(const rt__task *task);

/* The thread that replaces and joins; nothing when scripts are safe. */
rt_err rt__undertaker_start(rt_runtime *rt, rt_error *err);
void rt__undertaker_stop(rt_runtime *rt);
/* Wait until `end` (uv_hrtime()) for lost threads; false: some are stuck. */
bool rt__lost_wait(rt_runtime *rt, uint64_t end);
void rt__lost_free(rt_runtime *rt);
/* [any] Bytes that stuck threads keep. */
uint64_t rt__lost_memory(rt_runtime *rt);

/* --- what it leaves (estate.c) ---------------------------------------------
 */
typedef struct rt__estate rt__estate;
/* Under the guard, right after it was declared lost. NULL: no memory. */
rt__estate *rt__estate_take(rt__worker *worker);
/* Likewise, but not under the runtime's lock. */
void rt__estate_take_legacies(rt__worker *worker);
/* The undertaker: tell and give away; frees it. */
void rt__estate_settle(rt__estate *estate);
/* {message, UNAVAILABLE, retryable}: it was lost with its worker. */
rt_value *rt__lost_map(const char *message);
/* [any] Where the script is that holds up the VM: "in function <f.lua:1>
 * (f.lua:2)". False: not known. Looks without touching (glimpse.c). */
bool rt__glimpse(const rt__vm *vm, char *text, size_t room);
/* What happened. */
const char *rt__estate_words(const rt__estate *estate);

#endif
