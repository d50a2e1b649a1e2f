/* latch.c - see latch.h. SPDX-License-Identifier: MIT */
#include "bus/latch.h"

#include <time.h>

enum { LOOKS = 16, APART = 32, NAP_NS = 50000 };

static bool try_take(rt__latch *latch) {
  return !atomic_load_explicit(&latch->taken, memory_order_relaxed) &&
         !atomic_exchange_explicit(&latch->taken, true, memory_order_acquire);
}

void rt__latch_wait(rt__latch *latch) {
  const struct timespec nap = {0, NAP_NS};
  for (;;) {
    for (int i = 0; i < LOOKS; i++) {
      rt__relax(APART);
      if (try_take(latch)) return;
    }
    nanosleep(&nap, NULL);
  }
}
