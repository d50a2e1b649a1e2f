/* fuzz/api_world.h - what fuzz_api has at hand: a few of each thing.
 * SPDX-License-Identifier: MIT */
#ifndef RT_FUZZ_API_WORLD_H
#define RT_FUZZ_API_WORLD_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "rt/rt.h"

enum { FEW = 4 };

/* Calls and jobs that callbacks on any thread leave to be ended later. */
typedef struct kept {
  pthread_mutex_t lock;
  rt_job *jobs[FEW];
  rt_call *calls[FEW];
  int told; /* waits that were told, commits, replies */
} kept;

typedef struct world {
  rt_runtime *rt;
  uv_loop_t *loop; /* of ours, or NULL */
  rt_bus *bus;     /* of the runtime, or one alone */
  rt_bus *alone;
  rt_value *values[FEW];
  rt_builder *builder;
  uint64_t ids[FEW];
  rt_subscriber *subscribers[FEW];
  rt_router *routers[FEW];
  rt_awaiter *awaiters[FEW];
  rt_waiter *waiters[FEW];
  rt_pid lua[FEW], native[FEW];
  rt_session *sessions[FEW];
  rt_report *reports[FEW];
  unsigned modules;
  bool stopped;
  kept *kept;
} world;

static const char *const names[] = {"a.b", "a.*", "**", "", "a.(b|c)", "n1"};

/* Let our loop make the callbacks that are due. */
static inline void turn(const world *w) {
  if (w->loop) uv_run(w->loop, UV_RUN_NOWAIT);
}

static inline bool keep_job(kept *k, rt_job *job, unsigned at) {
  pthread_mutex_lock(&k->lock);
  bool vacant = !k->jobs[at % FEW];
  if (vacant) k->jobs[at % FEW] = job;
  pthread_mutex_unlock(&k->lock);
  return vacant;
}

static inline bool keep_call(kept *k, rt_call *call, unsigned at) {
  pthread_mutex_lock(&k->lock);
  bool vacant = !k->calls[at % FEW];
  if (vacant) k->calls[at % FEW] = call;
  pthread_mutex_unlock(&k->lock);
  return vacant;
}

/* Whoever gets it ends it. */
static inline rt_job *take_job(kept *k, unsigned at) {
  pthread_mutex_lock(&k->lock);
  rt_job *job = k->jobs[at % FEW];
  k->jobs[at % FEW] = NULL;
  pthread_mutex_unlock(&k->lock);
  return job;
}

static inline rt_call *take_call(kept *k, unsigned at) {
  pthread_mutex_lock(&k->lock);
  rt_call *call = k->calls[at % FEW];
  k->calls[at % FEW] = NULL;
  pthread_mutex_unlock(&k->lock);
  return call;
}

#endif
