/* heaps.c - all Lua heaps of a runtime, as the engine watches them.
 * The engine's thread calls; each worker collects its own.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "dispatcher/executor.h"
#include "process/parts.h"

static uint64_t used(void *self) {
  rt_runtime *rt = self;
  uint64_t sum = 0;
  for (unsigned i = 0; i < rt->worker_count; i++) {
    rt__worker *worker = rt__runtime_worker(rt, i);
    if (!worker) continue;
    sum += atomic_load_explicit(&worker->heap, memory_order_relaxed);
  }
  return sum + rt__lost_memory(rt);
}

static void collect_here(rt__worker *worker, rt__task *task) {
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    rt__vm_collect(vm);
  free(task);
}

static void collect(void *self) {
  rt_runtime *rt = self;
  for (unsigned i = 0; i < rt->worker_count; i++) {
    rt__worker *worker = rt__runtime_worker(rt, i);
    rt__task *task = worker ? calloc(1, sizeof(*task)) : NULL;
    if (!task) continue;
    task->run = collect_here;
    rt__worker_post(worker, task);
  }
}

void rt__parts_watch(rt_runtime *rt) {
  rt__heaps heaps = {.self = rt, .used = used, .collect = collect};
  rt__memory_opts opts = {.excess = rt->opts.memory_excess,
                          .ceiling = rt->opts.memory_ceiling,
                          .check = rt->opts.memory_check};
  rt__engine_watch(rt->engine, &heaps, &opts);
}
