/* process/ready.h - what each turn and message does with queues, without a
 * call; the end of sched.h.
 *
 * Thread rule: the worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_READY_H
#define RT__PROCESS_READY_H

#include "process/sched.h"

/* Has the watchdog looked since the last call? Then `clock` is new: reading it
 * costs as much as a switch of processes. */
static inline bool rt__worker_ticked(rt__worker *worker) {
  uint32_t tick =
      atomic_load_explicit(&worker->rt->ticks, memory_order_relaxed);
  if (tick == worker->tick) return false;
  worker->tick = tick;
  worker->clock = uv_hrtime();
  return true;
}

/* Put it into its worker's queue when it can run. */
static inline void rt__process_ready(rt__process *process) {
  rt__worker *worker = process->vm->worker;
  if (process->queued || process->vm->running == process) return;
  rt__run_queue *queue = &worker->run[process->later];
  process->queued = true;
  process->arrivals = worker->arrivals;
  process->run_next = NULL;
  process->run_prev = queue->last;
  if (queue->last)
    queue->last->run_next = process;
  else
    queue->first = process;
  queue->last = process;
}

static inline void rt__process_unqueue(rt__process *process) {
  if (!process->queued) return;
  rt__run_queue *queue = &process->vm->worker->run[process->later];
  if (process->run_prev)
    process->run_prev->run_next = process->run_next;
  else
    queue->first = process->run_next;
  if (process->run_next)
    process->run_next->run_prev = process->run_prev;
  else
    queue->last = process->run_prev;
  process->run_prev = process->run_next = NULL;
  process->queued = false;
}

static inline void rt__fiber_ready(rt__fiber *fiber) {
  rt__process *process = fiber->process;
  fiber->state = RT__FIBER_READY;
  fiber->ready_next = NULL;
  if (process->ready)
    process->ready_last->ready_next = fiber;
  else
    process->ready = fiber;
  process->ready_last = fiber;
  rt__process_ready(process);
}

/* Begin a wait for one value of one channel: its number. */
static inline double rt__fiber_stand(rt__fiber *fiber) {
  rt__vm *vm = fiber->process->vm;
  if (++vm->tickets == 0) vm->tickets = 1;
  fiber->ticket = vm->tickets;
  return rt__fiber_wait(fiber);
}

/* Is there something the inlet would take? */
static inline bool rt__process_has_mail(const rt__process *process) {
  return process->rare->notes.first ||
         (process->mail.first && process->reads_mail);
}

/* Nothing is in the way of a message to one of its channels: no other mail
 * comes before, and none of its fibers was stopped half-way. */
static inline bool rt__process_takes_mail(const rt__process *process) {
  return process->reads_mail && !process->mail.first && !process->rare->held &&
         !process->preempted && process->ending == RT_OK && !process->dying;
}

#endif
