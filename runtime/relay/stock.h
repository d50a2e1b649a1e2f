/* relay/stock.h - memory of small packages, used again.
 *
 *   taken: now <- full <- depot <- malloc()      given: now -> full -> depot
 *
 * A package is made on one thread and freed on another, which a general
 * allocator is slow at. So each worker keeps up to two batches of blocks, and
 * what gathers where packages are read goes back by the batch through a depot
 * that all share, to where they are sent. What the depot has no room for goes
 * back to the system. A block may also be given to free() at any time.
 *
 * A stock belongs to one thread; depots are for [any].
 * SPDX-License-Identifier: MIT */
#ifndef RT__RELAY_STOCK_H
#define RT__RELAY_STOCK_H

#include <stddef.h>
#include <uv.h>

#include "rt/status.h"

#define RT__STOCK_BLOCK 128 /* bytes: two cache lines */
#define RT__STOCK_BATCH 64  /* blocks */
#define RT__STOCK_DEPOT 128 /* batches: 1 MB */

typedef struct rt__spare rt__spare; /* a block that is not in use */

typedef struct rt__depot {
  uv_mutex_t lock; /* a leaf */
  rt__spare *first;
  unsigned count; /* batches */
} rt__depot;

/* Zeroed memory with a depot is an empty one. */
typedef struct rt__stock {
  rt__depot *depot; /* [borrowed] */
  rt__spare *now, *full;
  unsigned count; /* blocks in `now` */
} rt__stock;

rt_err rt__depot_init(rt__depot *depot);
void rt__depot_deinit(rt__depot *depot);
/* RT__STOCK_BLOCK bytes at the beginning of a cache line; NULL when memory is
 * short. */
void *rt__stock_take(rt__stock *stock);
void rt__stock_give(rt__stock *stock, void *block);
void rt__stock_deinit(rt__stock *stock);

#endif
