/* rare.c - what few processes have: hooks, peers, a time limit, why it ends.
 *
 * There may be a million processes that only wait; those share one that is
 * empty, and get one of their own when something is written into it.
 *
 * Thread rule: the worker's thread. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/fence.h"
#include "process/sched.h"

static const rt__rare nothing;

void rt__rare_init(rt__process *process) {
  process->rare = (rt__rare *)&nothing; /* never written */
}

rt__rare *rt__process_rare(rt__process *process) {
  rt__blocks *blocks = &process->vm->blocks;
  if (process->rare != &nothing) return process->rare;
  rt__rare *rare = rt__blocks_take(blocks, sizeof(*rare));
  if (!rare) return NULL;
  memset(rare, 0, sizeof(*rare));
  rare->process = process;
  rt__guard(process->vm->worker);
  process->rare = rare;
  rt__unguard(process->vm->worker);
  return rare;
}

bool rt__fence_process(rt__process *process, rt__fence *fence) {
  rt__rare *rare = fence ? rt__process_rare(process) : NULL;
  if (!rare) {
    rt__fence_unref(fence);
    return !fence;
  }
  rt__fence_unref(rare->fence);
  rare->fence = fence;
  return true;
}

void rt__rare_deinit(rt__process *process) {
  rt__rare *rare = process->rare;
  if (rare == &nothing) return;
  /* An operation that ended with the process may have set it once more. */
  rt__timer_stop(process->vm->worker, &rare->deadline_timer);
  rt_value_unref(rare->end_error);
  free(rare->where);
  rt__fence_unref(rare->fence);
  rt__blocks_give(&process->vm->blocks, rare, sizeof(*rare));
}

void rt__process_set_error(rt__process *process, rt_value *error) {
  rt__rare *rare = rt__process_rare(process);
  if (!rare) {
    rt_value_unref(error);
    return;
  }
  rt_value_unref(rare->end_error);
  rare->end_error = error;
}

bool rt__process_is_late(const rt__process *process) {
  const rt__rare *rare = process->rare;
  if (!rare->deadline) return false;
  return (rare->by_work ? rt__cpu_ns() : uv_hrtime()) >= rare->deadline;
}

static void on_deadline(rt__worker *worker, rt__timer *timer) {
  rt__rare *rare =
      (rt__rare *)((char *)timer - offsetof(rt__rare, deadline_timer));
  uint64_t now = rare->by_work ? rt__cpu_ns() : UINT64_MAX;
  if (now < rare->deadline)
    rt__timer_start(worker, timer, (double)(rare->deadline - now) / 1e9);
  else
    rt__process_kill(rare->process, RT_ETIMEOUT, NULL);
}

void rt__process_set_deadline(rt__process *process, double seconds) {
  rt__worker *worker = process->vm->worker;
  if (seconds < 0 && process->rare->deadline == 0) return;
  rt__rare *rare = rt__process_rare(process);
  if (!rare) return;
  rt__timer_stop(worker, &rare->deadline_timer);
  rare->deadline = 0;
  if (seconds < 0) return;
  rare->deadline_timer.fire = on_deadline;
  if (rt__timer_start(worker, &rare->deadline_timer, seconds) != RT_OK) return;
  rare->by_work = process->nowait;
  rare->deadline = rare->by_work ? rt__cpu_ns() + (uint64_t)(seconds * 1e9)
                                 : rare->deadline_timer.due;
}
