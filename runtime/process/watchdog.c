/* watchdog.c - a thread that interrupts what runs too long.
 *
 * It looks at each worker every few milliseconds while any of them is busy and
 * sleeps while all are idle. It never touches Lua: it only arms the hook of the
 * VM and says which entry into Lua it meant; what is to be done is decided by
 * the hook, on the worker's own thread, and the hook does nothing when the
 * entry is no longer the one that was meant.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#ifndef RT_LUAJIT_SYSTEM
#include <luajit.h>
#endif

#include "process/sched.h"

#define LOOK_NS   4000000u /* between two looks of the watchdog */
#define SILENT_NS 50000000u
#define IDLE_MAX  8 /* looks without anything running before it sleeps */

struct rt__watchdog {
  rt_runtime *rt;
  uv_thread_t thread;
  uv_mutex_t lock;
  uv_cond_t wake;
  bool stop, poked; /* [lock] */
  _Atomic(bool) asleep;
};

#ifdef RT_LUAJIT_SYSTEM
static void arm(lua_State *L) {
  lua_sethook(L, rt__vm_hook, LUA_MASKCOUNT, 1);
}
#else
static void arm(lua_State *L) {
  luaJIT_arm(L);
}
#endif

/* At most one tick a look, lest a look that comes late makes a turn long. */
static void count_work(rt__worker *worker, uint64_t cpu) {
  if (cpu - worker->counted_cpu < LOOK_NS * 3 / 4) return;
  worker->counted_cpu = cpu;
  atomic_fetch_add_explicit(&worker->worked, 1, memory_order_relaxed);
}

/* Has it computed for long since it was entered? Time alone proves nothing: the
 * system may have taken the core from its thread. The entry was seen a look
 * late at most. */
static bool is_long(rt__worker *worker, uint64_t epoch, uint64_t since) {
  uint64_t now = uv_hrtime(), cpu = rt__worker_cpu(worker);
  count_work(worker, cpu);
  if (worker->seen_epoch != epoch) {
    worker->seen_epoch = epoch;
    worker->seen_cpu = cpu;
  }
  if (now < since || now - since < RT__PREEMPT_NS) return false;
  return cpu - worker->seen_cpu >= RT__PREEMPT_NS - LOOK_NS;
}

/* Is it in C code that waits? Only unsafe scripts can be. Whether it comes back
 * is seen by the hook. */
static bool is_silent(const rt__worker *worker, uint64_t since) {
  uint64_t now = worker->guarded ? uv_hrtime() : 0;
  return now > since && now - since > SILENT_NS;
}

/* Answers whether the worker was running Lua. */
static bool look(rt__worker *worker) {
  uint64_t epoch = atomic_load(&worker->epoch);
  uint64_t since = atomic_load(&worker->since);
  if (since == 0 || atomic_load(&worker->epoch) != epoch) return since != 0;
  bool urgent =
      atomic_load(&worker->halting) || atomic_load(&worker->kills_waiting) > 0;
  if (!is_long(worker, epoch, since) && !urgent && !is_silent(worker, since))
    return true;
  rt__vm *vm = atomic_load(&worker->inside);
  if (!vm || atomic_load(&worker->epoch) != epoch) return true;
  if (rt__guard(worker)) {
    atomic_store(&worker->armed, epoch);
    arm(vm->L);
    if (worker->guarded) rt__lost_look(worker, epoch, uv_hrtime());
  }
  rt__unguard(worker);
  return true;
}

static bool look_at_all(rt_runtime *rt) {
  bool busy = false;
  for (unsigned i = 0; i < rt->worker_count; i++)
    if (look(rt__runtime_worker(rt, i))) busy = true;
  return busy;
}

static void sleep_locked(rt__watchdog *dog) {
  atomic_store(&dog->asleep, true);
  /* Who became busy before it saw the flag is seen here. */
  if (!look_at_all(dog->rt))
    while (!dog->stop && !dog->poked) uv_cond_wait(&dog->wake, &dog->lock);
  atomic_store(&dog->asleep, false);
  dog->poked = false;
}

static void run(void *arg) {
  rt__watchdog *dog = arg;
  int idle = 0;
  uv_mutex_lock(&dog->lock);
  while (!dog->stop) {
    uv_cond_timedwait(&dog->wake, &dog->lock, LOOK_NS);
    if (dog->stop) break;
    idle = look_at_all(dog->rt) ? 0 : idle + 1;
    atomic_fetch_add_explicit(&dog->rt->ticks, 1, memory_order_relaxed);
    if (idle < IDLE_MAX) continue;
    sleep_locked(dog);
    idle = 0;
  }
  uv_mutex_unlock(&dog->lock);
}

void rt__watchdog_poke(rt__watchdog *dog) {
  if (!dog || !atomic_load(&dog->asleep)) return;
  uv_mutex_lock(&dog->lock);
  dog->poked = true;
  uv_cond_signal(&dog->wake);
  uv_mutex_unlock(&dog->lock);
}

rt_err rt__watchdog_start(rt__watchdog **out, rt_runtime *rt, rt_error *err) {
  rt__watchdog *dog = calloc(1, sizeof(*dog));
  *out = NULL;
  if (!dog) return rt_fail(err, RT_ENOMEM, "no memory for the watchdog");
  dog->rt = rt;
  if (uv_mutex_init(&dog->lock) != 0) goto free_dog;
  if (uv_cond_init(&dog->wake) != 0) goto destroy_lock;
  *out = dog;
  if (uv_thread_create(&dog->thread, run, dog) == 0) return RT_OK;
  *out = NULL;
  uv_cond_destroy(&dog->wake);
destroy_lock:
  uv_mutex_destroy(&dog->lock);
free_dog:
  free(dog);
  return rt_fail(err, RT_EINTERNAL, "cannot start the watchdog");
}

void rt__watchdog_stop(rt__watchdog *dog) {
  if (!dog) return;
  uv_mutex_lock(&dog->lock);
  dog->stop = true;
  uv_cond_signal(&dog->wake);
  uv_mutex_unlock(&dog->lock);
  uv_thread_join(&dog->thread);
  uv_cond_destroy(&dog->wake);
  uv_mutex_destroy(&dog->lock);
  free(dog);
}
