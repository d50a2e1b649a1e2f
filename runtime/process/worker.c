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
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifndef RT_LUAJIT_SYSTEM
#include <luajit.h>
#endif

#include "process/parts.h"

#define STACK_BYTES   (8u << 20)
#define STACK_RESERVE (128u << 10)
#define TURNS         256      /* processes run before I/O is looked at */
#define TURN_NS       4000000u /* or this long */

uv_loop_t *rt__worker_loop(rt__worker *worker) {
  return &worker->loop;
}
rt_runtime *rt__worker_runtime(rt__worker *worker) {
  return worker->rt;
}

/* --- inbox ---------------------------------------------------------------- */

void rt__worker_post(rt__worker *worker, rt__task *task) {
  bool wake = false;
  task->next = NULL;
  uv_mutex_lock(&worker->lock);
  if (worker->inbox)
    worker->inbox_last->next = task;
  else
    worker->inbox = task;
  worker->inbox_last = task;
  if (!worker->active) {
    worker->active = true;
    rt__runtime_hold(worker->rt);
  }
  if (worker->polling) {
    worker->polling = false;
    wake = !worker->closed;
  }
  if (wake) uv_async_send(&worker->wake);
  uv_mutex_unlock(&worker->lock);
}

static rt__task *take_inbox(rt__worker *worker) {
  uv_mutex_lock(&worker->lock);
  rt__task *task = worker->inbox;
  worker->inbox = worker->inbox_last = NULL;
  worker->polling = false;
  uv_mutex_unlock(&worker->lock);
  return task;
}

static void drain(rt__worker *worker) {
  rt__task *task = take_inbox(worker);
  while (task) {
    rt__task *next = task->next;
    task->run(worker, task);
    task = next;
  }
}

static void on_wake(uv_async_t *wake) {
  (void)wake;
}

/* --- processes to be killed ------------------------------------------------
 */

typedef struct kill_task {
  rt__task task;
  rt_pid pid;
} kill_task;

static void forget_kill(rt__worker *worker, rt_pid pid) {
  uv_mutex_lock(&worker->lock);
  for (size_t i = 0; i < worker->kill_count; i++)
    if (worker->kills[i] == pid) {
      worker->kills[i] = worker->kills[--worker->kill_count];
      atomic_fetch_sub(&worker->kills_waiting, 1);
      break;
    }
  uv_mutex_unlock(&worker->lock);
}

static void run_kill(rt__worker *worker, rt__task *task) {
  rt_pid pid = ((kill_task *)task)->pid;
  free(task);
  forget_kill(worker, pid);
  rt__process *process = rt__process_find(worker, pid);
  if (process) rt__process_kill(process, RT_ECANCELED, NULL);
}

static bool note_kill_locked(rt__worker *worker, rt_pid pid) {
  if (worker->kill_count == worker->kill_room) {
    size_t room = worker->kill_room ? worker->kill_room * 2 : 16;
    rt_pid *kills = realloc(worker->kills, room * sizeof(*kills));
    if (!kills) return false;
    worker->kills = kills;
    worker->kill_room = room;
  }
  worker->kills[worker->kill_count++] = pid;
  atomic_fetch_add(&worker->kills_waiting, 1);
  return true;
}

/* The task ends it once the worker is back in its loop; the note lets the hook
 * end it in the middle of a loop that does not yield. */
void rt__worker_kill(rt__worker *worker, rt_pid pid) {
  kill_task *kill = malloc(sizeof(*kill));
  if (!kill) return;
  kill->task.run = run_kill;
  kill->pid = pid;
  uv_mutex_lock(&worker->lock);
  note_kill_locked(worker, pid);
  uv_mutex_unlock(&worker->lock);
  rt__worker_post(worker, &kill->task);
}

bool rt__worker_wants_killed(rt__worker *worker, rt_pid pid) {
  if (atomic_load(&worker->kills_waiting) == 0) return false;
  bool found = false;
  uv_mutex_lock(&worker->lock);
  for (size_t i = 0; i < worker->kill_count && !found; i++)
    found = worker->kills[i] == pid;
  uv_mutex_unlock(&worker->lock);
  return found;
}

/* --- running ----------------------------------------------------------------
 */

/* Reading the clock costs as much as a switch of processes, so it is read once
 * a tick of the watchdog: `since` may be a tick too early. */
bool rt__worker_ticked(rt__worker *worker) {
  uint32_t tick =
      atomic_load_explicit(&worker->rt->ticks, memory_order_relaxed);
  if (tick == worker->tick) return false;
  worker->tick = tick;
  worker->clock = uv_hrtime();
  return true;
}

void rt__worker_enter(rt__worker *worker, rt__vm *vm) {
  uint64_t epoch = atomic_load_explicit(&worker->epoch, memory_order_relaxed);
  rt__worker_ticked(worker);
  atomic_store_explicit(&worker->since, worker->clock, memory_order_relaxed);
  atomic_store_explicit(&worker->inside, vm, memory_order_relaxed);
  atomic_store_explicit(&worker->epoch, epoch + 1, memory_order_release);
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

static rt__process *take_ready(rt__worker *worker) {
  rt__process *process = worker->run;
  if (!process) return NULL;
  worker->run = process->run_next;
  if (!worker->run) worker->run_last = NULL;
  process->run_next = NULL;
  process->queued = false;
  return process;
}

static void run_ready(rt__worker *worker) {
  if (!worker->run) return;
  begin_running(worker);
  uint64_t start = worker->clock;
  for (int i = 0; i < TURNS; i++) {
    rt__process *process = take_ready(worker);
    if (!process) break;
    rt__process_run(process);
    rt__worker_ticked(worker);
    if (worker->clock - start > TURN_NS) break;
  }
  end_running(worker);
}

static void on_alarm(uv_timer_t *alarm) {
  uv_stop(alarm->loop);
}

/* Nothing may be due when the loop polls, or it would sleep over it: libuv runs
 * its timers before it polls. */
static void set_alarm(rt__worker *worker, uint64_t due) {
  if (due == UINT64_MAX) {
    uv_timer_stop(&worker->alarm);
    return;
  }
  uint64_t now = uv_hrtime();
  uint64_t ms = due > now ? (due - now + 999999) / 1000000 : 0;
  uv_update_time(&worker->loop);
  uv_timer_start(&worker->alarm, on_alarm, ms, 0);
}

/* Runs right before the poll, after libuv's timers, which may have made
 * processes ready. */
static void on_prepare(uv_prepare_t *prepare) {
  rt__worker *worker = prepare->data;
  bool idle = !worker->run && worker->timers.count == 0 && worker->ops == 0;
  bool release = false, wait = false;
  uv_mutex_lock(&worker->lock);
  if (!worker->inbox && !worker->run && !worker->stop) {
    wait = worker->polling = true;
    if (idle && worker->active) {
      worker->active = false;
      release = true;
    }
  }
  uv_mutex_unlock(&worker->lock);
  if (!wait) uv_stop(&worker->loop);
  if (release) rt__runtime_release(worker->rt);
}

/* What libuv's callbacks started without a post (an operation of a new
 * process, a timer) needs the hold again. */
static void hold_again(rt__worker *worker) {
  uv_mutex_lock(&worker->lock);
  worker->polling = false;
  if (!worker->active) {
    worker->active = true;
    rt__runtime_hold(worker->rt);
  }
  uv_mutex_unlock(&worker->lock);
}

static void check_memory(rt__worker *worker) {
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    if (vm->L) rt__vm_check_memory(vm);
}

static void turn(rt__worker *worker) {
  drain(worker);
  uint64_t due = rt__timers_run(worker);
  run_ready(worker);
  check_memory(worker);
  if (!worker->run) {
    if (worker->timers.count > 0) due = worker->timers.heap[0]->due;
    set_alarm(worker, worker->timers.count > 0 ? due : UINT64_MAX);
  }
  uv_run(&worker->loop, worker->run ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  hold_again(worker);
}

static void end_all(rt__worker *worker) {
  rt__vm *vm;
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
  block_signals();
  measure_stack(worker);
  while (!worker->stop) turn(worker);
  end_all(worker);
  drain(worker);
  rt__parts_leave(worker);
  rt_runtime *rt = worker->rt;
  uv_mutex_lock(&rt->lock);
  atomic_store(&worker->ended, true);
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
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

/* After every worker's thread has ended, so that none posts any more. */
void rt__worker_close(rt__worker *worker) {
  drain(worker);
  for (unsigned i = 0; i < RT__VMS; i++) rt__vm_free(rt__worker_vm(worker, i));
  drain(worker);
  close_loop(worker);
  drain(worker);
  free(worker->timers.heap);
  free(worker->kills);
  uv_mutex_destroy(&worker->lock);
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

rt_err rt__worker_init(rt__worker *worker, rt_runtime *rt, unsigned index,
                       rt_error *err) {
  rt_err rc;
  worker->rt = rt;
  worker->index = index;
  if (uv_mutex_init(&worker->lock) != 0)
    return rt_fail(err, RT_EINTERNAL, "cannot create a worker's lock");
  if (init_loop(worker) != RT_OK) {
    rc = rt_fail(err, RT_EINTERNAL, "cannot create a worker's loop");
    goto destroy_lock;
  }
  worker->vm_memory = rt->opts.vm_memory ? rt->opts.vm_memory : 1u << 30;
  worker->vm = rt__vm_new(worker, 0);
  rc = worker->vm ? rt__vm_open(worker->vm, err)
                  : rt_fail(err, RT_ENOMEM, "no memory for a VM");
  if (rc == RT_OK) {
    atomic_store(&worker->vms[0], worker->vm);
    return RT_OK;
  }
  rt__vm_free(worker->vm);
  worker->vm = NULL;
  close_loop(worker);
destroy_lock:
  uv_mutex_destroy(&worker->lock);
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
