/* place.c - into which VM the next process goes.
 *
 * The least populated worker; there the first VM that is not full. A worker
 * gets another VM when all it has are full, which bounds how long one step of
 * a collector takes, and how many one VM's end takes along. VMs are only ever
 * added: whoever reads one without the lock can use it as long as the runtime
 * lives. Any thread.
 *
 * SPDX-License-Identifier: MIT */
#include "process/sched.h"

#define SLACK 8 /* workers whose populations differ by less are alike */

rt__vm *rt__worker_vm(rt__worker *worker, unsigned index) {
  if (index >= RT__VMS) return NULL;
  return atomic_load_explicit(&worker->vms[index], memory_order_acquire);
}

rt__vm *rt__vm_of_pid(rt_runtime *rt, rt_pid pid) {
  unsigned worker = rt__pid_worker(pid);
  if (worker >= rt->worker_count) return NULL;
  return rt__worker_vm(rt__runtime_worker(rt, worker), rt__pid_vm(pid));
}

static uint32_t population(rt__vm *vm) {
  return rt__pids_live(&vm->pids);
}

static bool crowded(rt__vm *vm) {
  return atomic_load_explicit(&vm->crowded, memory_order_relaxed);
}

static rt__vm *first_with_room(rt__worker *worker, unsigned *count) {
  uint32_t full = worker->rt->vm_processes;
  rt__vm *vm;
  for (*count = 0; (vm = rt__worker_vm(worker, *count)) != NULL; ++*count)
    if (population(vm) < full && !crowded(vm)) return vm;
  return NULL;
}

/* Many processes are a reason for another VM, much memory is none: it would be
 * bounded by nothing. */
static bool all_full(rt__worker *worker) {
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    if (crowded(vm)) return false;
  return true;
}

static rt__vm *add_vm_locked(rt__worker *worker) {
  unsigned count;
  rt__vm *vm = first_with_room(worker, &count); /* another thread's */
  if (vm || count == RT__VMS || !all_full(worker)) return vm;
  vm = rt__vm_new(worker, count);
  atomic_store_explicit(&worker->vms[count], vm, memory_order_release);
  return vm;
}

static rt__vm *vm_with_room(rt__worker *worker) {
  unsigned count;
  rt__vm *vm = first_with_room(worker, &count);
  if (vm) return vm;
  uv_mutex_lock(&worker->lock);
  vm = add_vm_locked(worker);
  uv_mutex_unlock(&worker->lock);
  return vm;
}

static uint32_t load_of(rt__worker *worker) {
  uint32_t sum = 0;
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    sum += population(vm);
  return sum;
}

static rt__worker *least_busy(rt_runtime *rt, unsigned first) {
  rt__worker *best = rt__runtime_worker(rt, first);
  uint32_t least = load_of(best);
  for (unsigned i = 1; i < rt->worker_count; i++) {
    rt__worker *worker = rt__runtime_worker(rt, (first + i) % rt->worker_count);
    uint32_t load = load_of(worker);
    if (load + SLACK >= least) continue;
    best = worker;
    least = load;
  }
  return best;
}

static bool at_limit(rt_runtime *rt) {
  uint64_t count = 0, most = rt->opts.max_processes;
  for (unsigned i = 0; most > 0 && i < rt->worker_count; i++)
    count += load_of(rt__runtime_worker(rt, i));
  return most > 0 && count >= most;
}

/* From a different worker each time. */
rt__vm *rt__runtime_place(rt_runtime *rt) {
  if (at_limit(rt)) return NULL;
  unsigned first = atomic_fetch_add(&rt->next_worker, 1) % rt->worker_count;
  rt__vm *vm = vm_with_room(least_busy(rt, first));
  for (unsigned i = 0; !vm && i < rt->worker_count; i++)
    vm = vm_with_room(rt__runtime_worker(rt, (first + i) % rt->worker_count));
  return vm;
}
