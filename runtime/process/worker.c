/* worker.c - a thread with a libuv loop that runs the processes of its VMs.
 *
 *   any thread --post--> inbox --drain--> tasks: packages, ended operations
 *                                          |
 *   timers, libuv callbacks ------------> ready processes --run--> fibers
 *
 * Before it polls, a worker that has nothing left (no process to run, no
 * timer, no operation, an empty inbox) gives back its one hold of the runtime;
 * who posts to such a worker takes the hold for it. So the holds fall to 0
 * exactly when nothing can happen any more.
 *
 * SPDX-License-Identifier: MIT */
#include "process/worker.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RT_LUAJIT_SYSTEM
#include <luajit.h>
#endif

#include "process/parts.h"
#include "process/spawn.h"

#define STACK_BYTES    (8u << 20)
#define STACK_RESERVE  (128u << 10)
#define TURNS          256      /* processes run before I/O is looked at */
#define TURN_NS        4000000u /* or this long */
#define NEWBORN_TURNS  4        /* one of so many is for the second queue */
#define SPIN_NS        20000u   /* to wait awake for what is posted */
#define SPIN_LOOKS     16       /* before the core is offered to others */
#define SPIN_LOOKS_MAX 128      /* so many when nobody wanted it */
#define SPIN_YIELD_NS  5000u    /* longer: somebody did */
#define SPIN_ROUNDS    32       /* before I/O is looked at */
#define SPIN_OFF_NS    5000000u /* not to spin on a busy machine */
#define SPINS          16

uv_loop_t *rt__worker_loop(rt__worker *worker) {
  return &worker->loop;
}
rt_runtime *rt__worker_runtime(rt__worker *worker) {
  return worker->rt;
}

/* --- inbox ---------------------------------------------------------------- */

/* It polls, or is about to: take the hold for it, and wake it. */
static void rouse(rt__worker *worker) {
  uv_mutex_lock(&worker->lock);
  if (rt__worker_lost(worker)) {
    uv_mutex_unlock(&worker->lock);
    rt__lost_forward(worker);
    return;
  }
  bool wake = atomic_load(&worker->polling) && !worker->closed;
  atomic_store(&worker->polling, false);
  if (!worker->active) {
    worker->active = true;
    rt__runtime_hold(worker->rt);
  }
  if (wake) uv_async_send(&worker->wake);
  uv_mutex_unlock(&worker->lock);
}

/* Either this sees that the worker polls, or the worker, which says so before
 * it looks into its inbox a last time, sees the task. */
void rt__worker_post(rt__worker *worker, rt__task *task) {
  rt__task *newest = atomic_load_explicit(&worker->inbox, memory_order_relaxed);
  do task->next = newest;
  while (!atomic_compare_exchange_weak(&worker->inbox, &newest, task));
  if (atomic_load(&worker->polling)) rouse(worker);
}

rt__task *rt__tasks_take(_Atomic(rt__task *) *stack) {
  rt__task *oldest = NULL, *task = atomic_exchange(stack, NULL);
  while (task) {
    rt__task *older = task->next;
    task->next = oldest;
    oldest = task;
    task = older;
  }
  return oldest;
}

static void drain(rt__worker *worker) {
  if (!atomic_load_explicit(&worker->inbox, memory_order_relaxed)) return;
  rt__task *task = rt__tasks_take(&worker->inbox);
  while (task) {
    rt__task *next = task->next;
    task->run(worker, task);
    task = next;
  }
}

static void on_wake(uv_async_t *wake) {
  (void)wake;
}

/* --- running ----------------------------------------------------------------
 */

static uint64_t read_clock(clockid_t clock) {
  struct timespec ts;
  if (clock_gettime(clock, &ts) != 0) return uv_hrtime();
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t rt__worker_cpu(const rt__worker *worker) {
  return read_clock(worker->cpu_clock);
}

uint64_t rt__cpu_ns(void) {
  return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* From here on the watchdog is awake and looks, until the other. */
static void begin_running(rt__worker *worker) {
  worker->clock = uv_hrtime();
  atomic_store(&worker->since, worker->clock);
  rt__watchdog_poke(worker->rt->watchdog);
}

static void end_running(rt__worker *worker) {
  atomic_store_explicit(&worker->since, 0, memory_order_release);
}

static bool can_run(const rt__worker *worker) {
  return worker->run[0].first || worker->run[1].first || worker->unborn.first ||
         worker->collecting;
}

/* From the second queue when the first is empty, or has been served for long;
 * also now and then while those of the second take short turns, as the newborn
 * mostly do. */
static rt__process *take_ready(rt__worker *worker, int turn) {
  rt__process *process = worker->run[0].first, *late = worker->run[1].first;
  if (late || worker->unborn.first) {
    bool due = worker->clock - worker->served > RT__PREEMPT_NS ||
               (worker->brief && turn % NEWBORN_TURNS == 0);
    if (!process || due) {
      if (rt__spawn_is_due(worker, late)) late = rt__spawn_next(worker);
      if (late) process = late;
    }
  }
  if (process) rt__process_unqueue(process);
  return process;
}

static uint32_t worked(const rt__worker *worker) {
  return atomic_load_explicit(&worker->worked, memory_order_relaxed);
}

/* In which queue the next turn is waited for. One long turn proves nothing,
 * and the second queue can be very long. */
static void judge_turn(rt__process *process, bool was_long) {
  if (was_long && process->slow < RT__SLOW) process->slow++;
  if (!was_long && process->slow > 0) process->slow--;
  process->later = process->slow == RT__SLOW;
}

/* A turn: a long one is seen by the looks of the watchdog, a short one meets
 * one at most. */
static void run_one(rt__worker *worker, rt__process *process) {
  uint32_t before = worked(worker);
  rt__vm *vm = process->vm;
  bool more;
  if (rt__process_run(process, &more)) {
    uint32_t passed = worked(worker) - before;
    judge_turn(process, passed > 1 || (passed == 1 && process->preempted));
    if (process->preempted && worker->unborn.count >= RT__UNBORN)
      process->later = true;
    if (more) rt__process_ready(process);
  }
  /* The next one must not be refused for what this one took; it may be ended
   * here. */
  if (vm->used >= vm->limit / 8 * 7 && !worker->stop) rt__vm_check_memory(vm);
}

static void run_ready(rt__worker *worker) {
  if (!can_run(worker)) return;
  begin_running(worker);
  uint64_t start = worker->clock;
  for (int i = 0; i < TURNS; i++) {
    rt__process *process = worker->stop ? NULL : take_ready(worker, i);
    if (!process) break;
    bool late = process->later;
    uint32_t before = worked(worker);
    run_one(worker, process);
    rt__worker_ticked(worker);
    if (late) worker->served = worker->clock;
    if (late) worker->brief = worked(worker) == before;
    if (worker->clock - start > TURN_NS) break;
  }
  end_running(worker);
}

static void on_alarm(uv_timer_t *alarm) {
  uv_stop(alarm->loop);
}

/* Nothing may be due when the loop polls, or it would sleep over it: libuv runs
 * its timers before it polls. */
static void set_alarm(rt__worker *worker, uint64_t now) {
  uint64_t due = rt__timers_due(&worker->timers);
  if (worker->tidy_due && worker->tidy_due < due) due = worker->tidy_due;
  if (due == UINT64_MAX) {
    uv_timer_stop(&worker->alarm);
    return;
  }
  uint64_t ms = due > now ? (due - now + 999999) / 1000000 : 0;
  uv_update_time(&worker->loop);
  uv_timer_start(&worker->alarm, on_alarm, ms, 0);
}

/* Runs right before the poll, after libuv's timers, which may have made
 * processes ready. */
static void on_prepare(uv_prepare_t *prepare) {
  rt__worker *worker = prepare->data;
  bool idle = worker->timers.count == 0 && worker->ops == 0;
  bool release = false, wait = false;
  if (!can_run(worker) && !worker->stop) {
    uv_mutex_lock(&worker->lock);
    atomic_store(&worker->polling, true);
    wait = atomic_load(&worker->inbox) == NULL;
    if (!wait) atomic_store(&worker->polling, false);
    release = wait && idle && worker->active;
    if (release) worker->active = false;
    uv_mutex_unlock(&worker->lock);
  }
  worker->slept = wait;
  if (!wait) uv_stop(&worker->loop);
  if (release) rt__runtime_release(worker->rt);
}

/* What libuv's callbacks started without a post (an operation of a new
 * process, a timer) needs the hold again. */
static void hold_again(rt__worker *worker) {
  uv_mutex_lock(&worker->lock);
  atomic_store(&worker->polling, false);
  if (!worker->active) {
    worker->active = true;
    rt__runtime_hold(worker->rt);
  }
  uv_mutex_unlock(&worker->lock);
}

/* --- waiting awake ----------------------------------------------------------
 * To be woken takes longer than many an answer from another worker. When the
 * last sleeps were that short, the worker waits awake for a moment first. It
 * yields its core meanwhile, and stops it for a while when it does not get the
 * core back at once, nor an answer: then somebody has real work for it.
 */

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/* Answers whether something was posted. */
static bool spin(rt__worker *worker) {
  if (worker->spins == 0) return false;
  uint64_t start = uv_hrtime(), now = start;
  uint64_t due = rt__timers_due(&worker->timers);
  do {
    for (unsigned i = 0; i < worker->looks; i++) {
      if (atomic_load_explicit(&worker->inbox, memory_order_relaxed)) {
        worker->spins = SPINS;
        return true;
      }
      relax();
    }
    sched_yield();
    uint64_t before = now;
    now = uv_hrtime();
    if (now - before > SPIN_YIELD_NS)
      worker->looks = SPIN_LOOKS;
    else if (worker->looks < SPIN_LOOKS_MAX)
      worker->looks *= 2;
    if (now - before > SPIN_NS &&
        !atomic_load_explicit(&worker->inbox, memory_order_relaxed)) {
      worker->spins = 0;
      worker->spins_after = now + SPIN_OFF_NS;
      return false;
    }
  } while (now - start < SPIN_NS && now < due);
  worker->spins--;
  return false;
}

/* After a sleep that began at `start`: would it have been better not to? */
static void learn(rt__worker *worker, uint64_t start) {
  uint64_t now = uv_hrtime();
  if (now - start > SPIN_NS * 3 || now < worker->spins_after) return;
  if (worker->can_spin && worker->spins < SPINS) worker->spins += 2;
}

static void check_memory(rt__worker *worker) {
  rt__vm *vm;
  uint64_t heap = 0;
  worker->collecting = false;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++) {
    if (vm->L && rt__vm_check_memory(vm)) worker->collecting = true;
    heap += vm->used;
  }
  atomic_store_explicit(&worker->heap, heap, memory_order_relaxed);
}

/* Not waiting for it. */
static void look_at_io(rt__worker *worker) {
  uv_run(&worker->loop, UV_RUN_NOWAIT);
  if (worker->slept) hold_again(worker);
  worker->slept = false;
}

static void turn(rt__worker *worker) {
  int rounds = 0;
  bool answered = false;
  do {
    drain(worker);
    rt__timers_run(worker);
    run_ready(worker);
    if (worker->gone) return;
    check_memory(worker);
  } while (!can_run(worker) && !worker->stop && ++rounds < SPIN_ROUNDS &&
           (answered = spin(worker)));
  if (can_run(worker) || answered) {
    look_at_io(worker);
    return;
  }
  uint64_t start = uv_hrtime();
  if (rt__worker_tidy(worker, start)) {
    look_at_io(worker);
    return;
  }
  set_alarm(worker, start);
  uv_run(&worker->loop, UV_RUN_ONCE);
  if (!worker->slept) return;
  worker->slept = false;
  hold_again(worker);
  learn(worker, start);
}

static void end_all(rt__worker *worker) {
  rt__vm *vm;
  rt__spawn_all(worker);
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    while (vm->newest) rt__process_end(vm->newest, RT_ECLOSED, NULL, NULL);
}

static void block_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void rt__worker_bound_stack(const rt__worker *worker, lua_State *L) {
#ifndef RT_LUAJIT_SYSTEM
  luaJIT_setcstack(L, worker->stack_end);
#else
  (void)worker;
  (void)L;
#endif
}

static void measure_stack(rt__worker *worker) {
  pthread_attr_t attr;
  void *bottom = NULL;
  size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attr) != 0) return;
  if (pthread_attr_getstack(&attr, &bottom, &size) == 0)
    worker->stack_end = (char *)bottom + STACK_RESERVE;
  pthread_attr_destroy(&attr);
  rt__worker_bound_stack(worker, worker->vm->L);
}

static void close_loop(rt__worker *worker) {
  uv_close((uv_handle_t *)&worker->alarm, NULL);
  uv_close((uv_handle_t *)&worker->prepare, NULL);
  uv_mutex_lock(&worker->lock);
  worker->closed = true;
  uv_mutex_unlock(&worker->lock);
  uv_close((uv_handle_t *)&worker->wake, NULL);
  uv_run(&worker->loop, UV_RUN_DEFAULT);
  uv_loop_close(&worker->loop);
}

/* What still arrives finds no process: packages are freed, operations end. */
static void run_worker(void *arg) {
  rt__worker *worker = arg;
  worker->looks = SPIN_LOOKS;
  worker->can_spin = sysconf(_SC_NPROCESSORS_ONLN) > 1;
  block_signals();
  measure_stack(worker);
  if (pthread_getcpuclockid(pthread_self(), &worker->cpu_clock) != 0)
    worker->cpu_clock = CLOCK_MONOTONIC;
  atomic_store(&worker->stuck.thread, (pid_t)syscall(SYS_gettid));
  while (!worker->stop) turn(worker);
  if (worker->gone) rt__lost_came_back(worker);
  end_all(worker);
  rt__worker_settle(worker);
  rt__parts_leave(worker);
  if (worker->gone) rt__worker_fold(worker);
  rt_runtime *rt = worker->rt;
  uv_mutex_lock(&rt->lock);
  atomic_store(&worker->ended, true);
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
  if (worker->gone) rt__lost_ended(rt);
}

static void ask_stop(rt__worker *worker, rt__task *task) {
  free(task);
  worker->stop = true;
}

void rt__worker_halt(rt__worker *worker) {
  atomic_store(&worker->halting, true);
  rt__task *task = malloc(sizeof(*task));
  if (!task) abort();
  task->run = ask_stop;
  rt__worker_post(worker, task);
}

void rt__worker_join(rt__worker *worker) {
  uv_thread_join(&worker->thread);
}

void rt__worker_settle(rt__worker *worker) {
  if (rt__worker_lost(worker))
    rt__lost_settle(worker);
  else
    drain(worker);
}

void rt__worker_fold(rt__worker *worker) {
  rt__vm *vm;
  rt__worker_settle(worker);
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    rt__vm_close(vm);
  rt__worker_settle(worker);
  close_loop(worker);
  rt__worker_settle(worker);
}

static rt_err init_loop(rt__worker *worker) {
  if (uv_loop_init(&worker->loop) != 0) return RT_EINTERNAL;
  if (uv_async_init(&worker->loop, &worker->wake, on_wake) != 0) {
    uv_loop_close(&worker->loop);
    return RT_EINTERNAL;
  }
  uv_timer_init(&worker->loop, &worker->alarm);
  uv_prepare_init(&worker->loop, &worker->prepare);
  worker->prepare.data = worker;
  uv_prepare_start(&worker->prepare, on_prepare);
  uv_unref((uv_handle_t *)&worker->prepare);
  return RT_OK;
}

static rt_err init_locks(rt__worker *worker, rt_error *err) {
  if (uv_mutex_init(&worker->lock) != 0) goto failed;
  if (uv_mutex_init(&worker->stuck.guard) == 0) return RT_OK;
  uv_mutex_destroy(&worker->lock);
failed:
  return rt_fail(err, RT_EINTERNAL, "cannot create a worker's lock");
}

static void free_struct(rt__worker *worker) {
  rt__stock_deinit(&worker->packages);
  free(worker->timers.heap);
  free(worker->kills);
  uv_mutex_destroy(&worker->stuck.guard);
  uv_mutex_destroy(&worker->lock);
  free(worker);
}

/* After every worker's thread has ended, so that none posts any more. */
void rt__worker_free(rt__worker *worker) {
  if (!rt__worker_lost(worker)) rt__worker_fold(worker);
  rt__worker_settle(worker);
  for (unsigned i = 0; i < RT__VMS; i++) rt__vm_free(rt__worker_vm(worker, i));
  free_struct(worker);
}

rt_err rt__worker_new(rt__worker **out, rt_runtime *rt, unsigned index,
                      uint32_t generation, rt_error *err) {
  rt__worker *worker = calloc(1, sizeof(*worker));
  rt_err rc = worker ? init_locks(worker, err)
                     : rt_fail(err, RT_ENOMEM, "no memory for a worker");
  *out = NULL;
  if (rc != RT_OK) {
    free(worker);
    return rc;
  }
  worker->rt = rt;
  worker->index = index;
  worker->packages.depot = &rt->packages;
  worker->generation = generation;
  worker->guarded = rt->opts.unsafe && rt->opts.stuck_after >= 0;
  worker->vm_memory = rt->opts.vm_memory ? rt->opts.vm_memory : 1u << 30;
  if (init_loop(worker) != RT_OK) {
    free_struct(worker);
    return rt_fail(err, RT_EINTERNAL, "cannot create a worker's loop");
  }
  worker->vm = rt__vm_new(worker, 0);
  rc = worker->vm ? rt__vm_open(worker->vm, err)
                  : rt_fail(err, RT_ENOMEM, "no memory for a VM");
  atomic_store(&worker->vms[0], worker->vm);
  if (rc == RT_OK)
    *out = worker;
  else
    rt__worker_free(worker);
  return rc;
}

rt_err rt__worker_start(rt__worker *worker, rt_error *err) {
  uv_thread_options_t options = {UV_THREAD_HAS_STACK_SIZE, STACK_BYTES};
  worker->active = true;
  rt__runtime_hold(worker->rt);
  if (uv_thread_create_ex(&worker->thread, &options, run_worker, worker) == 0) {
    worker->started = true;
    return RT_OK;
  }
  worker->active = false;
  rt__runtime_release(worker->rt);
  return rt_fail(err, RT_EINTERNAL, "cannot start a worker");
}
