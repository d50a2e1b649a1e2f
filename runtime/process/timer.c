/* timer.c - a worker's timers: a binary heap by due time.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/sched.h"

static void place(rt__timers *timers, size_t i, rt__timer *timer) {
  timers->heap[i] = timer;
  timer->at = i + 1;
}

static void sift_up(rt__timers *timers, size_t i, rt__timer *timer) {
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (timers->heap[parent]->due <= timer->due) break;
    place(timers, i, timers->heap[parent]);
    i = parent;
  }
  place(timers, i, timer);
}

static void sift_down(rt__timers *timers, size_t i, rt__timer *timer) {
  for (;;) {
    size_t child = i * 2 + 1;
    if (child >= timers->count) break;
    if (child + 1 < timers->count &&
        timers->heap[child + 1]->due < timers->heap[child]->due)
      child++;
    if (timers->heap[child]->due >= timer->due) break;
    place(timers, i, timers->heap[child]);
    i = child;
  }
  place(timers, i, timer);
}

static uint64_t due_in(double seconds) {
  if (!(seconds > 0)) seconds = 0;
  if (seconds > 1e9) seconds = 1e9;
  return uv_hrtime() + (uint64_t)(seconds * 1e9);
}

rt_err rt__timer_start(rt__worker *worker, rt__timer *timer, double seconds) {
  rt__timers *timers = &worker->timers;
  rt__timer_stop(worker, timer);
  if (timers->count == timers->room) {
    size_t room = timers->room ? timers->room * 2 : 64;
    rt__timer **heap = realloc(timers->heap, room * sizeof(*heap));
    if (!heap) return RT_ENOMEM;
    timers->heap = heap;
    timers->room = room;
  }
  timer->due = due_in(seconds);
  sift_up(timers, timers->count++, timer);
  return RT_OK;
}

void rt__timer_stop(rt__worker *worker, rt__timer *timer) {
  rt__timers *timers = &worker->timers;
  if (timer->at == 0) return;
  size_t i = timer->at - 1;
  timer->at = 0;
  rt__timer *last = timers->heap[--timers->count];
  if (last == timer) return;
  sift_up(timers, i, last);
  sift_down(timers, last->at - 1, last);
}

uint64_t rt__timers_run(rt__worker *worker) {
  rt__timers *timers = &worker->timers;
  if (timers->count == 0) return UINT64_MAX;
  uint64_t now = uv_hrtime();
  while (timers->count > 0 && timers->heap[0]->due <= now) {
    rt__timer *timer = timers->heap[0];
    rt__timer_stop(worker, timer);
    timer->fire(worker, timer);
  }
  return timers->count > 0 ? timers->heap[0]->due : UINT64_MAX;
}
