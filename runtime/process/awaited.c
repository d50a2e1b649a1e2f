/* awaited.c - does anybody wait for a worker while one of its processes runs?
 *
 * Asked by a process's thread when the process cannot be preempted.
 *
 * SPDX-License-Identifier: MIT */
#include <poll.h>

#include "process/sched.h"

static bool has_timer_due(const rt__worker *worker) {
  const rt__timers *timers = &worker->timers;
  return timers->count > 0 && timers->heap[0].due <= uv_hrtime();
}

static bool has_io(const rt__worker *worker) {
  struct pollfd loop = {uv_backend_fd(&worker->loop), POLLIN, 0};
  return poll(&loop, 1, 0) > 0;
}

bool rt__worker_is_awaited(rt__worker *worker) {
  return worker->run[0].first || worker->run[1].first || worker->unborn.first ||
         atomic_load(&worker->inbox) || has_timer_due(worker) || has_io(worker);
}
