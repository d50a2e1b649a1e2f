/* timer.c - a worker's timers: a heap of four children by due time.
 *
 * The due times lie in the heap itself, so that the four children are one line
 * of the cache, and a timer is touched only to be told its new place.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/sched.h"

#define CHILDREN 4
#define ROOM     64
#define AT_ONCE  1024 /* fired before others have their turn */

static void place(rt__timers *timers, size_t i, rt__timer_entry entry) {
  timers->heap[i] = entry;
  entry.timer->at = i + 1;
}

static void sift_up(rt__timers *timers, size_t i, rt__timer_entry entry) {
  while (i > 0) {
    size_t parent = (i - 1) / CHILDREN;
    if (timers->heap[parent].due <= entry.due) break;
    place(timers, i, timers->heap[parent]);
    i = parent;
  }
  place(timers, i, entry);
}

static void sift_down(rt__timers *timers, size_t i, rt__timer_entry entry) {
  const rt__timer_entry *heap = timers->heap;
  for (;;) {
    size_t first = i * CHILDREN + 1, end = first + CHILDREN, least = first;
    if (first >= timers->count) break;
    if (end > timers->count) end = timers->count;
    for (size_t child = first + 1; child < end; child++)
      if (heap[child].due < heap[least].due) least = child;
    if (heap[least].due >= entry.due) break;
    place(timers, i, heap[least]);
    i = least;
  }
  place(timers, i, entry);
}

static uint64_t due_in(double seconds) {
  if (!(seconds > 0)) seconds = 0;
  if (seconds > 1e9) seconds = 1e9;
  return uv_hrtime() + (uint64_t)(seconds * 1e9);
}

static bool resize(rt__timers *timers, size_t room) {
  rt__timer_entry *heap = realloc(timers->heap, room * sizeof(*heap));
  if (!heap) return false;
  timers->heap = heap;
  timers->room = room;
  return true;
}

rt_err rt__timer_start(rt__worker *worker, rt__timer *timer, double seconds) {
  rt__timers *timers = &worker->timers;
  rt__timer_stop(worker, timer);
  if (timers->count == timers->room &&
      !resize(timers, timers->room ? timers->room * 2 : ROOM))
    return RT_ENOMEM;
  timer->due = due_in(seconds);
  sift_up(timers, timers->count++, (rt__timer_entry){timer->due, timer});
  return RT_OK;
}

void rt__timer_stop(rt__worker *worker, rt__timer *timer) {
  rt__timers *timers = &worker->timers;
  if (timer->at == 0) return;
  size_t i = timer->at - 1;
  timer->at = 0;
  rt__timer_entry last = timers->heap[--timers->count];
  if (last.timer != timer) {
    if (i > 0 && timers->heap[(i - 1) / CHILDREN].due > last.due)
      sift_up(timers, i, last);
    else
      sift_down(timers, i, last);
  }
  if (timers->room > ROOM && timers->count < timers->room / 8)
    resize(timers, timers->room / 4);
}

uint64_t rt__timers_due(const rt__timers *timers) {
  return timers->count > 0 ? timers->heap[0].due : UINT64_MAX;
}

uint64_t rt__timers_run(rt__worker *worker) {
  rt__timers *timers = &worker->timers;
  if (timers->count == 0) return UINT64_MAX;
  uint64_t now = uv_hrtime();
  for (int i = 0; i < AT_ONCE && rt__timers_due(timers) <= now; i++) {
    rt__timer *timer = timers->heap[0].timer;
    rt__timer_stop(worker, timer);
    timer->fire(worker, timer);
  }
  return rt__timers_due(timers);
}
