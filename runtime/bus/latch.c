/* latch.c - see latch.h. SPDX-License-Identifier: MIT */
#include "bus/latch.h"

#include <sched.h>
#include <time.h>

enum { LOOKS = 64, YIELDS = 64, NAP_NS = 50000 };

static bool try_take(rt__latch *latch) {
  return !atomic_load_explicit(&latch->taken, memory_order_relaxed) &&
         !atomic_exchange_explicit(&latch->taken, true, memory_order_acquire);
}

void rt__latch_wait(rt__latch *latch) {
  const struct timespec nap = {0, NAP_NS};
  for (unsigned round = 0;; round++) {
    for (int i = 0; i < LOOKS; i++) {
      if (try_take(latch)) return;
      rt__relax(1);
    }
    if (round < YIELDS)
      sched_yield();
    else
      nanosleep(&nap, NULL);
  }
}
