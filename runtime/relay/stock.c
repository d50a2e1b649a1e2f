/* stock.c - see stock.h. SPDX-License-Identifier: MIT */
#include "relay/stock.h"

#include <stdbool.h>
#include <stdlib.h>

#define LINE 64

struct rt__spare {
  rt__spare *next;
  rt__spare *batch; /* of a batch's first block: the next batch */
};

static void free_all(rt__spare *spare) {
  while (spare) {
    rt__spare *next = spare->next;
    free(spare);
    spare = next;
  }
}

rt_err rt__depot_init(rt__depot *depot) {
  *depot = (rt__depot){0};
  return uv_mutex_init(&depot->lock) == 0 ? RT_OK : RT_ENOMEM;
}

void rt__depot_deinit(rt__depot *depot) {
  while (depot->first) {
    rt__spare *batch = depot->first;
    depot->first = batch->batch;
    free_all(batch);
  }
  uv_mutex_destroy(&depot->lock);
}

static rt__spare *depot_take(rt__depot *depot) {
  uv_mutex_lock(&depot->lock);
  rt__spare *batch = depot->first;
  if (batch) {
    depot->first = batch->batch;
    depot->count--;
  }
  uv_mutex_unlock(&depot->lock);
  return batch;
}

static void depot_give(rt__depot *depot, rt__spare *batch) {
  uv_mutex_lock(&depot->lock);
  bool room = depot->count < RT__STOCK_DEPOT;
  if (room) {
    batch->batch = depot->first;
    depot->first = batch;
    depot->count++;
  }
  uv_mutex_unlock(&depot->lock);
  if (!room) free_all(batch);
}

static bool refill(rt__stock *stock) {
  stock->now = stock->full ? stock->full : depot_take(stock->depot);
  stock->full = NULL;
  stock->count = stock->now ? RT__STOCK_BATCH : 0;
  return stock->now != NULL;
}

void *rt__stock_take(rt__stock *stock) {
  if (!stock->now && !refill(stock))
    return aligned_alloc(LINE, RT__STOCK_BLOCK);
  rt__spare *spare = stock->now;
  stock->now = spare->next;
  stock->count--;
  return spare;
}

void rt__stock_give(rt__stock *stock, void *block) {
  rt__spare *spare = block;
  if (stock->count == RT__STOCK_BATCH) {
    if (stock->full) depot_give(stock->depot, stock->full);
    stock->full = stock->now;
    stock->now = NULL;
    stock->count = 0;
  }
  spare->next = stock->now;
  stock->now = spare;
  stock->count++;
}

void rt__stock_deinit(rt__stock *stock) {
  free_all(stock->now);
  free_all(stock->full);
  stock->now = stock->full = NULL;
  stock->count = 0;
}
