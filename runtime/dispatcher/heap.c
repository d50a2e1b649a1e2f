/* heap.c - the windows of a lane: lower priority number first, then oldest.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "dispatcher/internal.h"

bool rt__live_before(const rt__live *a, const rt__live *b) {
  if (rt__live_last(a) != rt__live_last(b)) return rt__live_last(b);
  if (a->priority != b->priority) return a->priority < b->priority;
  return a->item->id < b->item->id;
}

static void put(rt__heap *heap, size_t at, rt__live *live) {
  heap->at[at] = live;
  live->heap_at = at;
}

static void sift_up(rt__heap *heap, size_t at, rt__live *live) {
  while (at > 0 && rt__live_before(live, heap->at[(at - 1) / 2])) {
    put(heap, at, heap->at[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  put(heap, at, live);
}

static void sift_down(rt__heap *heap, size_t at, rt__live *live) {
  for (;;) {
    size_t child = at * 2 + 1;
    if (child >= heap->count) break;
    if (child + 1 < heap->count &&
        rt__live_before(heap->at[child + 1], heap->at[child])) {
      child++;
    }
    if (!rt__live_before(heap->at[child], live)) break;
    put(heap, at, heap->at[child]);
    at = child;
  }
  put(heap, at, live);
}

bool rt__heap_push(rt__heap *heap, rt__live *live) {
  if (heap->count == heap->room) {
    size_t room = heap->room ? heap->room * 2 : 64;
    rt__live **at = realloc(heap->at, room * sizeof(*at));
    if (!at) return false;
    heap->at = at;
    heap->room = room;
  }
  sift_up(heap, heap->count++, live);
  return true;
}

void rt__heap_remove(rt__heap *heap, rt__live *live) {
  size_t at = live->heap_at;
  rt__live *last = heap->at[--heap->count];
  if (last == live) return;
  if (at > 0 && rt__live_before(last, heap->at[(at - 1) / 2])) {
    sift_up(heap, at, last);
  } else {
    sift_down(heap, at, last);
  }
}
