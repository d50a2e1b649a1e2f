/* tidy.c - a worker without work collects what its processes left behind.
 *
 *   it sleeps --20 ms--> a slice, a slice, ... --> free slabs to the system
 *                 ^        | work                    '--> malloc_trim()
 *                 '--------'
 *
 * While processes run, the collector goes as they allocate; who has ended
 * allocates nothing. So the first sleep after much has ended, or has been
 * allocated, sets the alarm; a slice takes a millisecond at most (its longest
 * step depends on the number of coroutines), ends when a task arrives, and I/O
 * is looked at between two. When all is done a worker sleeps for good.
 *
 * Worker's thread.
 *
 * SPDX-License-Identifier: MIT */
#include <malloc.h>

#include "process/sched.h"

#define DELAY_NS 20000000u
#define SLICE_NS 1000000u
#define STEP_KB  16
#define CYCLES   2 /* what dies during the first is freed by the second */

#define ENDED     1000              /* processes, before it is worth it */
#define ENDED_KB  1                 /* what each leaves behind, at least */
#define GROWN     ((size_t)1 << 20) /* bytes, likewise, and a quarter */
#define TRIM_FROM ((size_t)4 << 20) /* bytes that were freed */
#define TRIM_NS   1000000000u       /* between two, of the whole runtime */

static bool is_untidy(const rt__vm *vm) {
  if (!vm->L || vm->paced) return false; /* memory.c is at it */
  if (vm->tidying) return true;
  if (vm->used > vm->tidied + vm->tidied / 4 + GROWN) return true;
  return vm->ended >= ENDED && (vm->ended * ENDED_KB << 10) > vm->used / 16;
}

static bool is_called(const rt__worker *worker) {
  return atomic_load_explicit(&worker->inbox, memory_order_relaxed) != NULL;
}

/* What was freed goes back, page by page. */
static void finish(rt__vm *vm) {
  if (vm->untidied > vm->used + TRIM_FROM) vm->worker->trim = true;
  vm->tidied = vm->used;
  rt__blocks_trim(&vm->blocks);
}

static void slice(rt__vm *vm, uint64_t end) {
  if (!vm->tidying) {
    vm->tidying = CYCLES;
    vm->untidied = vm->used;
    vm->ended = 0;
  }
  do
    if (rt__vm_gc(vm, LUA_GCSTEP, STEP_KB)) vm->tidying--;
  while (vm->tidying && !is_called(vm->worker) && uv_hrtime() < end);
  if (!vm->tidying) finish(vm);
}

/* Of the whole program, so for all workers together, and not often. */
static void trim(rt__worker *worker, uint64_t now) {
  uint64_t last = atomic_load(&worker->rt->trimmed);
  if (last && now < last + TRIM_NS) {
    worker->tidy_due = last + TRIM_NS;
    return;
  }
  if (!atomic_compare_exchange_strong(&worker->rt->trimmed, &last, now)) {
    worker->tidy_due = now + TRIM_NS;
    return;
  }
  worker->trim = false;
  malloc_trim(0);
}

static rt__vm *find_untidy(rt__worker *worker) {
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    if (is_untidy(vm)) return vm;
  return NULL;
}

bool rt__worker_tidy(rt__worker *worker, uint64_t now) {
  rt__vm *vm = find_untidy(worker);
  if (!vm && !worker->trim) {
    worker->tidy_due = 0;
    return false;
  }
  if (worker->tidy_due == 0) worker->tidy_due = now + DELAY_NS;
  if (now < worker->tidy_due) return false;
  if (vm) {
    slice(vm, now + SLICE_NS);
    return true;
  }
  worker->tidy_due = 0;
  trim(worker, now);
  return worker->tidy_due == 0;
}
