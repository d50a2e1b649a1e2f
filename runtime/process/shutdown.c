/* shutdown.c - how a runtime ends: in stages, each with a bound.
 *
 *   engine drains its sessions -> processes that read their events are asked,
 *   the rest ended -> after the grace time all are ended -> workers' threads
 *   end -> bus -> memory
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/embed.h"
#include "process/parts.h"
#include "process/prompt.h"
#include "process/sched.h"
#include "process/spawn.h"

#define STUCK_NS 10000000000u /* for a thread to end once told */
#define LOST_NS  200000000u   /* for one that was replaced */

static void ask(rt__worker *worker, rt__process *process) {
  if (process->asked) return;
  process->asked = true;
  rt__process_cancel_from(worker->rt, worker, 0, process->pid,
                          "the runtime is stopping", false);
}

/* Ask those who can hear it, end the others. Ending one may end those linked
 * to it, so the walk goes on by PID. */
static void ask_vm(rt__worker *worker, rt__vm *vm) {
  rt__process *process = vm->oldest;
  while (process) {
    rt_pid next = process->next ? process->next->pid : 0;
    if (process->reads_events)
      ask(worker, process);
    else
      rt__process_kill(process, RT_ECLOSED, NULL);
    if (!next) break;
    process = rt__process_find(worker, next);
    if (!process) process = vm->oldest;
  }
}

static void ask_all(rt__worker *worker, rt__task *task) {
  rt__vm *vm;
  free(task);
  rt__spawn_all(worker);
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    ask_vm(worker, vm);
}

static unsigned population(rt_runtime *rt) {
  unsigned count = 0;
  rt__vm *vm;
  for (unsigned i = 0; i < rt->worker_count; i++)
    for (unsigned k = 0;
         (vm = rt__worker_vm(rt__runtime_worker(rt, i), k)) != NULL; k++)
      count += atomic_load(&vm->population);
  return count;
}

static void ask_processes(rt_runtime *rt, double grace) {
  uint64_t end = uv_hrtime() + (uint64_t)(grace * 1e9);
  for (unsigned i = 0; i < rt->worker_count; i++) {
    rt__task *task = malloc(sizeof(*task));
    if (!task) continue;
    task->run = ask_all;
    rt__worker_post(rt__runtime_worker(rt, i), task);
  }
  uv_mutex_lock(&rt->lock);
  atomic_store(&rt->watched, true);
  for (uint64_t now = uv_hrtime(); population(rt) > 0 && now < end;
       now = uv_hrtime())
    uv_cond_timedwait(&rt->changed, &rt->lock, end - now);
  atomic_store(&rt->watched, false);
  uv_mutex_unlock(&rt->lock);
}

void rt__runtime_process_ended(rt_runtime *rt) {
  if (!atomic_load(&rt->watched)) return;
  uv_mutex_lock(&rt->lock);
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
}

static bool started(const rt_runtime *rt) {
  const rt__worker *last = NULL;
  if (rt->workers && rt->worker_count > 0)
    last = atomic_load(&rt->workers[rt->worker_count - 1]);
  return last && last->started && rt->watchdog;
}

/* The next one whose thread was started, or NULL; from *i on. */
static rt__worker *next_started(const rt_runtime *rt, unsigned *i) {
  while (rt->workers && *i < rt->worker_count) {
    rt__worker *worker = atomic_load(&rt->workers[(*i)++]);
    if (worker && worker->started) return worker;
  }
  return NULL;
}

static bool all_ended(const rt_runtime *rt) {
  const rt__worker *worker;
  for (unsigned i = 0; (worker = next_started(rt, &i)) != NULL;)
    if (!atomic_load(&worker->ended)) return false;
  return true;
}

static void leave_behind(rt_runtime *rt, const char *what) {
  rt->abandoned = true;
  rt_runtime_log(rt, RT_LOG_ERROR, NULL, "%s", what);
}

/* Only C code that does not return can keep a thread: a callback of the host
 * that blocks, a C module. Such a thread is left alone, with all it may use. */
static bool end_workers(rt_runtime *rt) {
  uint64_t end = uv_hrtime() + STUCK_NS;
  rt__worker *worker;
  uv_mutex_lock(&rt->lock);
  rt->sealed = true;
  uv_mutex_unlock(&rt->lock);
  for (unsigned i = 0; (worker = next_started(rt, &i)) != NULL;)
    rt__worker_halt(worker);
  uv_mutex_lock(&rt->lock);
  for (uint64_t now = uv_hrtime(); !all_ended(rt) && now < end;
       now = uv_hrtime())
    uv_cond_timedwait(&rt->changed, &rt->lock, end - now);
  rt->abandoned = !all_ended(rt);
  uv_mutex_unlock(&rt->lock);
  if (rt->abandoned) {
    leave_behind(rt, "a worker is stuck in C code and was left behind");
    return false;
  }
  for (unsigned i = 0; (worker = next_started(rt, &i)) != NULL;)
    rt__worker_join(worker);
  return true;
}

/* Those that were replaced long ago get as long as the rest had, and a moment
 * more. */
static void end_lost(rt_runtime *rt, uint64_t end) {
  uint64_t least = uv_hrtime() + LOST_NS;
  if (!rt__lost_wait(rt, end > least ? end : least))
    leave_behind(rt, "a lost worker is still stuck in C code and was left "
                     "behind");
}

void rt_runtime_stop(rt_runtime *rt, double grace) {
  if (!(grace >= 0)) grace = 0;
  if (grace > 3600) grace = 3600;
  uv_mutex_lock(&rt->lock);
  bool first = !rt->stopping;
  rt->stopping = true;
  while (!first && !rt->stopped) uv_cond_wait(&rt->changed, &rt->lock);
  uv_mutex_unlock(&rt->lock);
  if (!first) return;
  struct rt__host *host = rt->embed ? rt->embed->host : NULL;
  if (host) rt__host_let_go(host);
  rt__embed_stop(rt);
  uint64_t end = uv_hrtime() + (uint64_t)(grace * 1e9);
  rt__parts_drain(rt, grace);
  if (started(rt) && grace > 0 && population(rt) > 0) ask_processes(rt, grace);
  if (end_workers(rt)) {
    end_lost(rt, end);
    rt__undertaker_stop(rt);
    rt__watchdog_stop(rt->watchdog);
    rt->watchdog = NULL;
    if (!rt__parts_stop(rt))
      leave_behind(rt, "a subscriber of the bus does not return and was left "
                       "behind");
  }
  uv_mutex_lock(&rt->lock);
  rt->joined = true;
  rt->main_ended = true;
  rt__prompts_end_locked(rt);
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
  rt__embed_join(rt);
  uv_mutex_lock(&rt->lock);
  rt->stopped = true;
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
}

/* What goes from worker to worker and home again (a listing) needs two rounds.
 */
static void settle(rt_runtime *rt) {
  rt__worker *worker;
  for (unsigned round = 0; round < 2; round++)
    for (unsigned i = 0; i < rt->worker_count && rt->workers; i++)
      if ((worker = rt__runtime_worker(rt, i)) != NULL)
        rt__worker_settle(worker);
}

void rt_runtime_free(rt_runtime *rt) {
  if (!rt) return;
  rt_runtime_stop(rt, 0);
  rt__embed_join(rt); /* of one that began just then */
  rt__embed_drain(rt);
  if (rt->abandoned) {
    rt__embed_close(rt);
    return;
  }
  settle(rt);
  rt__embed_drain(rt);
  if (rt->embed) rt__natives_end(rt->embed);
  settle(rt);
  rt__embed_close(rt);
  if (rt->embed) rt__late_closing(rt->embed->late);
  rt__worker *worker;
  for (unsigned i = 0; i < rt->worker_count && rt->workers; i++)
    if ((worker = rt__runtime_worker(rt, i)) != NULL) rt__worker_free(worker);
  rt__lost_free(rt);
  rt__parts_free(rt);
  if (rt->embed) rt__late_gone(rt->embed->late);
  rt__embed_free(rt);
  rt__names_deinit(&rt->names);
  rt__depot_deinit(&rt->packages);
  free(rt->workers);
  free(rt->resolver);
  free(rt->script_dir);
  free((char *)rt->opts.allow);
  uv_cond_destroy(&rt->changed);
  uv_mutex_destroy(&rt->lock);
  free(rt);
}
