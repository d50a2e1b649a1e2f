/* bus/latch.h - a lock for a few dozen instructions.
 *
 * What a queue does for one event is shorter than what a mutex costs, and a
 * waiter that sleeps is woken far too late. Taking it is one atomic exchange,
 * leaving it a plain store. Under it nothing may wait, allocate or call out. A
 * waiter looks again for a moment, then sleeps in small steps, so that a holder
 * the scheduler has put aside gets to run whatever its priority.
 * [any] thread. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_LATCH_H
#define RT__BUS_LATCH_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct rt__latch {
  atomic_bool taken; /* zeroed memory is free */
} rt__latch;

void rt__latch_wait(rt__latch *latch); /* until it is taken */

static inline void rt__latch_take(rt__latch *latch) {
  if (atomic_exchange_explicit(&latch->taken, true, memory_order_acquire))
    rt__latch_wait(latch);
}
static inline void rt__latch_leave(rt__latch *latch) {
  atomic_store_explicit(&latch->taken, false, memory_order_release);
}

/* Let a core's other half go first, `times` times some ten nanoseconds. */
static inline void rt__relax(int times) {
  for (int i = 0; i < times; i++)
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
