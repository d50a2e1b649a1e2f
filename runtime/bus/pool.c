/* pool.c - see pool.h. SPDX-License-Identifier: MIT */
#include "bus/pool.h"

#include <stdlib.h>

enum { GIVEN_MAX = 8192 };

void *rt__pool_take(rt__pool *pool) {
  if (!pool->own) {
    atomic_store_explicit(&pool->given_count, 0, memory_order_relaxed);
    pool->own =
        atomic_exchange_explicit(&pool->given, NULL, memory_order_acquire);
  }
  rt__block *block = pool->own;
  if (!block) return malloc(RT__POOL_BLOCK);
  pool->own = block->next;
  return block;
}

/* Only the taker removes, and all at once, so a head that is still the same
 * means a list that is still the same. */
void rt__pool_put(rt__pool *pool, void *memory) {
  rt__block *block = memory;
  if (atomic_fetch_add_explicit(&pool->given_count, 1, memory_order_relaxed) >=
      GIVEN_MAX) {
    free(block);
    return;
  }
  block->next = atomic_load_explicit(&pool->given, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&pool->given, &block->next,
                                                block, memory_order_release,
                                                memory_order_relaxed)) {
  }
}

static void free_list(rt__block *block) {
  while (block) {
    rt__block *next = block->next;
    free(block);
    block = next;
  }
}

void rt__pool_deinit(rt__pool *pool) {
  free_list(pool->own);
  free_list(atomic_exchange(&pool->given, NULL));
}
