/* lost.c - workers stuck in C code are replaced (see lost.h).
 *
 * Order of locks: guard, runtime, worker. A lost worker keeps its struct, its
 * VMs' structs and their PIDs until the runtime is freed, since any thread may
 * have met them just before; its Lua states and its loop go as soon as its
 * thread is back. Its PIDs lead to the worker that has its number now, where
 * their generations never were. What is posted to it is passed on, but for what
 * only itself may end.
 *
 * SPDX-License-Identifier: MIT */
#include "process/lost.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/job.h"

#define LOOK_MAX    100000000u  /* one look counts for so much at most */
#define GENERATIONS (1u << 20)  /* of a slot, until its worker's successor's */
#define AGAIN_NS    1000000000u /* those still stuck are armed again */

typedef struct rt__undertaker {
  uv_thread_t thread;
  uv_mutex_t lock;
  uv_cond_t wake;
  bool stop, work; /* [lock] */
  bool refused;    /* its thread's: it was said that there are too many */
} rt__undertaker;

/* --- what belongs to it in the world ---------------------------------------
 */

void rt__legacy_add(rt__worker *worker, rt__legacy *legacy) {
  if (!worker->guarded) return;
  rt__guard(worker);
  legacy->prev = NULL;
  legacy->next = worker->stuck.legacies;
  if (legacy->next) legacy->next->prev = legacy;
  worker->stuck.legacies = legacy;
  legacy->listed = true;
  rt__unguard(worker);
}

void rt__legacy_remove(rt__worker *worker, rt__legacy *legacy) {
  if (!worker->guarded) return;
  rt__guard(worker);
  if (legacy->listed) {
    if (legacy->prev)
      legacy->prev->next = legacy->next;
    else
      worker->stuck.legacies = legacy->next;
    if (legacy->next) legacy->next->prev = legacy->prev;
    legacy->listed = false;
  }
  rt__unguard(worker);
}

/* --- suspicion, on the watchdog's thread ------------------------------------
 */

/* Does it run, or wait for a core? Else it sleeps in the system. */
static bool is_running(rt__worker *worker) {
  char path[64], line[256];
  snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
           (int)atomic_load(&worker->stuck.thread));
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = fd >= 0 ? read(fd, line, sizeof(line) - 1) : 0;
  if (fd >= 0) close(fd);
  line[size > 0 ? size : 0] = 0;
  const char *at = strrchr(line, ')');
  return at && at[1] == ' ' && at[2] == 'R';
}

static uint64_t patience(const rt_runtime *rt) {
  double seconds = rt->opts.stuck_after;
  return rt__span_ns(seconds > 0 ? seconds : RT__STUCK_S);
}

static void wake_undertaker(rt__undertaker *u) {
  uv_mutex_lock(&u->lock);
  u->work = true;
  uv_cond_signal(&u->wake);
  uv_mutex_unlock(&u->lock);
}

/* Time is what passed between looks, so that a stopped program blames nobody;
 * and who is ready to run, but got no core, is given more of it. */
void rt__lost_look(rt__worker *worker, uint64_t epoch, uint64_t now) {
  rt__stuck *s = &worker->stuck;
  uint32_t heard = atomic_load(&s->heard);
  if (s->seen_entry != epoch || s->seen_heard != heard) {
    s->seen_entry = epoch;
    s->seen_heard = heard;
    s->quiet = 0;
    s->cpu = rt__worker_cpu(worker);
    s->looked = now;
    return;
  }
  s->quiet += now - s->looked < LOOK_MAX ? now - s->looked : LOOK_MAX;
  s->looked = now;
  if (s->quiet < patience(worker->rt) || !worker->rt->undertaker) return;
  if (is_running(worker) && rt__worker_cpu(worker) - s->cpu < s->quiet / 2)
    return;
  s->quiet = 0;
  atomic_store(&s->suspect, epoch);
  wake_undertaker(worker->rt->undertaker);
}

bool rt__lost_left(rt__worker *worker) {
  uint64_t entry = atomic_load_explicit(&worker->epoch, memory_order_relaxed);
  if (atomic_compare_exchange_strong(&worker->stuck.entry, &entry, 0))
    return true;
  worker->stop = worker->gone = true;
  return false;
}

/* --- tasks ------------------------------------------------------------------
 */

bool rt__lost_is_own(const rt__task *task) {
  return task->run == rt__op_run_end || task->run == rt__job_run_claim ||
         task->run == rt__instance_run_serve ||
         task->run == rt__asking_run_again ||
         task->run == rt__native_run_complete;
}

static void give_back(rt__worker *worker, rt__task *task) {
  rt__task *newest = atomic_load(&worker->stuck.returns);
  do task->next = newest;
  while (!atomic_compare_exchange_weak(&worker->stuck.returns, &newest, task));
}

void rt__lost_forward(rt__worker *worker) {
  rt__task *task = rt__tasks_take(&worker->inbox);
  while (task) {
    rt__task *next = task->next;
    if (rt__lost_is_own(task))
      give_back(worker, task);
    else
      rt__worker_post(rt__runtime_worker(worker->rt, worker->index), task);
    task = next;
  }
}

void rt__lost_settle(rt__worker *worker) {
  rt__task *task;
  rt__lost_forward(worker);
  while ((task = rt__tasks_take(&worker->stuck.returns)) != NULL)
    while (task) {
      rt__task *next = task->next;
      task->run(worker, task);
      task = next;
    }
}

/* --- replacing, on the undertaker's thread ----------------------------------
 */

static rt__worker *successor(rt_runtime *rt, const rt__worker *old,
                             rt_error *err) {
  rt__worker *fresh;
  uint32_t generation = old->generation + GENERATIONS;
  if (rt__worker_new(&fresh, rt, old->index, generation, err) != RT_OK)
    return NULL;
  if (rt__jobs_open_home(rt->jobs, fresh) != RT_OK) {
    rt__worker_free(fresh);
    rt_fail(err, RT_ENOMEM, "no memory for its jobs");
    return NULL;
  }
  if (rt__worker_start(fresh, err) == RT_OK) return fresh;
  rt__worker_free(fresh);
  return NULL;
}

/* It keeps the program going no more. */
static void let_go(rt__worker *old) {
  uv_mutex_lock(&old->lock);
  bool active = old->active;
  old->active = false;
  uv_mutex_unlock(&old->lock);
  if (active) rt__runtime_release(old->rt);
}

static void dismiss(rt__worker *fresh) {
  rt__worker_halt(fresh);
  rt__worker_join(fresh);
  let_go(fresh);
  rt__worker_free(fresh);
}

/* Its thread is cut off; its number is the other's. Posts go on to that only
 * once it is there. */
static bool declare_locked(rt_runtime *rt, rt__worker *old, rt__worker *fresh,
                           uint64_t entry, rt__estate **estate) {
  rt__stuck *s = &old->stuck;
  if (rt->sealed ||
      !atomic_compare_exchange_strong(&s->entry, &entry, UINT64_MAX))
    return false;
  *estate = rt__estate_take(old);
  atomic_store_explicit(&rt->workers[old->index], fresh, memory_order_release);
  uv_mutex_lock(&old->lock);
  atomic_store(&s->lost, true);
  atomic_store(&old->polling, true); /* so that posters look at that */
  uv_mutex_unlock(&old->lock);
  s->next = rt->lost;
  rt->lost = old;
  rt->lost_count++;
  return true;
}

static bool declare(rt_runtime *rt, rt__worker *old, rt__worker *fresh,
                    uint64_t entry, rt__estate **estate) {
  uv_mutex_lock(&old->stuck.guard);
  uv_mutex_lock(&rt->lock);
  bool lost = declare_locked(rt, old, fresh, entry, estate);
  uv_mutex_unlock(&rt->lock);
  if (lost) rt__estate_take_legacies(old);
  uv_mutex_unlock(&old->stuck.guard);
  return lost;
}

/* Its hook is armed for good: what of it comes back yields at once. */
static void arm(rt__worker *worker) {
  rt__vm *vm = atomic_load(&worker->inside);
  rt__vm_interrupt(vm);
}

static void replace(rt_runtime *rt, rt__worker *old, uint64_t entry) {
  rt_error err = RT_ERROR_INIT;
  rt__estate *estate = NULL;
  rt__worker *fresh = successor(rt, old, &err);
  if (!fresh) {
    rt_runtime_log(rt, RT_LOG_ERROR, NULL,
                   "a worker is stuck in C code and cannot be replaced: %s",
                   err.message);
    return;
  }
  if (!declare(rt, old, fresh, entry, &estate)) {
    dismiss(fresh);
    return;
  }
  arm(old);
  rt__lost_forward(old);
  if (estate) rt__estate_settle(estate);
  let_go(old);
  uv_mutex_lock(&rt->lock);
  old->stuck.buried = true;
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
}

static bool too_many(rt_runtime *rt) {
  rt__undertaker *u = rt->undertaker;
  uv_mutex_lock(&rt->lock);
  bool full = rt->lost_count >= RT__LOST_MAX;
  uv_mutex_unlock(&rt->lock);
  if (full && !u->refused)
    rt_runtime_log(rt, RT_LOG_ERROR, NULL,
                   "a worker is stuck in C code, and %d lost threads have not "
                   "come back: it is not replaced",
                   RT__LOST_MAX);
  u->refused = full;
  return full;
}

static void replace_suspects(rt_runtime *rt) {
  for (unsigned i = 0; i < rt->worker_count; i++) {
    rt__worker *worker = rt__runtime_worker(rt, i);
    uint64_t entry = atomic_exchange(&worker->stuck.suspect, 0);
    if (entry && !too_many(rt)) replace(rt, worker, entry);
  }
}

/* --- threads that are back --------------------------------------------------
 */

static rt__worker *next_ended_locked(rt_runtime *rt) {
  rt__worker *worker = rt->lost;
  while (worker && (worker->stuck.joined || !atomic_load(&worker->ended)))
    worker = worker->stuck.next;
  return worker;
}

static void join_ended(rt_runtime *rt) {
  rt__worker *worker;
  uv_mutex_lock(&rt->lock);
  while ((worker = next_ended_locked(rt)) != NULL) {
    worker->stuck.joined = true;
    uv_mutex_unlock(&rt->lock);
    rt__worker_join(worker);
    uv_mutex_lock(&rt->lock);
    rt->lost_count--;
  }
  uv_mutex_unlock(&rt->lock);
}

static void arm_again(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  for (rt__worker *w = rt->lost; w; w = w->stuck.next)
    if (!w->stuck.returned) arm(w);
  uv_mutex_unlock(&rt->lock);
}

static bool any_lost(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  bool any = rt->lost_count > 0;
  uv_mutex_unlock(&rt->lock);
  return any;
}

/* Where it was, now that its Lua state may be looked at. */
static void tell_return(rt__worker *worker) {
  const rt__process *process = NULL;
  rt__vm *vm = atomic_load(&worker->inside);
  char pid[RT_PID_TEXT];
  for (process = vm->oldest; process; process = process->next)
    if (process->pid == worker->stuck.culprit) break;
  rt_pid_text(worker->stuck.culprit, pid);
  rt_runtime_log(worker->rt, RT_LOG_WARN, NULL,
                 "the C code in which process %s was stuck has returned%s%s",
                 pid, process && process->rare->where ? " " : "",
                 process && process->rare->where ? process->rare->where : "");
}

void rt__lost_came_back(rt__worker *worker) {
  rt_runtime *rt = worker->rt;
  uv_mutex_lock(&rt->lock);
  while (!worker->stuck.buried) uv_cond_wait(&rt->changed, &rt->lock);
  worker->stuck.returned = true;
  uv_mutex_unlock(&rt->lock);
  tell_return(worker);
}

/* --- its thread -------------------------------------------------------------
 */

static void run(void *arg) {
  rt_runtime *rt = arg;
  rt__undertaker *u = rt->undertaker;
  bool stop = false;
  while (!stop) {
    bool waits = any_lost(rt);
    uv_mutex_lock(&u->lock);
    if (!u->work && !u->stop && waits)
      uv_cond_timedwait(&u->wake, &u->lock, AGAIN_NS);
    while (!u->work && !u->stop && !waits) uv_cond_wait(&u->wake, &u->lock);
    stop = u->stop;
    u->work = false;
    uv_mutex_unlock(&u->lock);
    if (!stop) replace_suspects(rt);
    join_ended(rt);
    if (waits) arm_again(rt);
  }
}

void rt__lost_ended(rt_runtime *rt) {
  if (rt->undertaker) wake_undertaker(rt->undertaker);
}

rt_err rt__undertaker_start(rt_runtime *rt, rt_error *err) {
  if (!rt->opts.unsafe || rt->opts.stuck_after < 0) return RT_OK;
  rt__undertaker *u = calloc(1, sizeof(*u));
  if (!u) return rt_fail(err, RT_ENOMEM, "no memory for the undertaker");
  uv_mutex_init(&u->lock);
  uv_cond_init(&u->wake);
  rt->undertaker = u;
  if (uv_thread_create(&u->thread, run, rt) == 0) return RT_OK;
  rt->undertaker = NULL;
  uv_cond_destroy(&u->wake);
  uv_mutex_destroy(&u->lock);
  free(u);
  return rt_fail(err, RT_EINTERNAL, "cannot start the undertaker");
}

bool rt__lost_wait(rt_runtime *rt, uint64_t end) {
  bool back = false;
  uv_mutex_lock(&rt->lock);
  for (uint64_t now = uv_hrtime(); !back; now = uv_hrtime()) {
    back = true;
    for (rt__worker *w = rt->lost; w && back; w = w->stuck.next)
      back = atomic_load(&w->ended);
    if (back || now >= end) break;
    uv_cond_timedwait(&rt->changed, &rt->lock, end - now);
  }
  uv_mutex_unlock(&rt->lock);
  return back;
}

uint64_t rt__lost_memory(rt_runtime *rt) {
  uint64_t sum = 0;
  if (!rt->undertaker) return 0;
  uv_mutex_lock(&rt->lock);
  for (rt__worker *w = rt->lost; w; w = w->stuck.next)
    if (!atomic_load(&w->ended)) sum += atomic_load(&w->heap);
  uv_mutex_unlock(&rt->lock);
  return sum;
}

void rt__undertaker_stop(rt_runtime *rt) {
  rt__undertaker *u = rt->undertaker;
  if (!u) return;
  uv_mutex_lock(&u->lock);
  u->stop = true;
  uv_cond_signal(&u->wake);
  uv_mutex_unlock(&u->lock);
  uv_thread_join(&u->thread);
  join_ended(rt);
}

void rt__lost_free(rt_runtime *rt) {
  rt__undertaker *u = rt->undertaker;
  while (rt->lost) {
    rt__worker *worker = rt->lost;
    rt->lost = worker->stuck.next;
    rt__worker_free(worker);
  }
  if (!u) return;
  uv_cond_destroy(&u->wake);
  uv_mutex_destroy(&u->lock);
  free(u);
}
