/* bus/pool.h - blocks of one size, taken by one thread, given back by many.
 *
 * What is allocated on one thread and freed on another makes malloc lock; here
 * the givers push onto a list that the taker empties in one step. Beyond a
 * bound blocks go to free(), so a burst's memory does not stay.
 * Zeroed memory is an empty pool. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_POOL_H
#define RT__BUS_POOL_H

#include <stdatomic.h>
#include <stddef.h>

/* With what malloc adds and its place in a ring an event costs some 240. */
#define RT__POOL_BLOCK 216u

typedef struct rt__block {
  struct rt__block *next;
} rt__block;

typedef struct rt__pool {
  rt__block *own;             /* the taker's */
  _Atomic(rt__block *) given; /* by others */
  atomic_uint given_count;
} rt__pool;

/* RT__POOL_BLOCK bytes, for one thread at a time; NULL when memory is short. */
void *rt__pool_take(rt__pool *pool);
/* [any] Give a block back. */
void rt__pool_put(rt__pool *pool, void *block);
/* When no block is out any more. */
void rt__pool_deinit(rt__pool *pool);

#endif
