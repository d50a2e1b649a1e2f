/* relay/pids.h - the PIDs of one VM: slots with a generation.
 *
 * A PID is worker (8 bits), VM (4), slot (20), generation (32); a slot's
 * generation grows when its process ends, so ids are not used again. Any
 * thread may take a PID and ask whether it lives; what is behind a slot
 * belongs to the worker's thread.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__RELAY_PIDS_H
#define RT__RELAY_PIDS_H

#include <stdatomic.h>
#include <uv.h>

#include "rt/process.h"

#define RT__PIDS_CHUNK  1024
#define RT__PIDS_CHUNKS 1024
#define RT__BACKLOG_MAX (64u << 20) /* bytes of mail a process may leave */

typedef struct rt__pids_chunk {
  _Atomic(uint32_t) generation[RT__PIDS_CHUNK];
  _Atomic(uint32_t) backlog[RT__PIDS_CHUNK]; /* bytes of mail not yet read */
  uint32_t next[RT__PIDS_CHUNK]; /* of a slot that was dropped: slot + 1 */
  void *object[RT__PIDS_CHUNK];  /* worker's thread only */
} rt__pids_chunk;

typedef struct rt__pids {
  unsigned worker, vm;
  uint32_t base; /* generations begin behind it; set before the first PID */
  char line[64]; /* what is before it and behind it is often written */
  _Atomic(uint32_t) allowance; /* bytes of mail for each, below its maximum
                                  when all of them together have much */
  _Atomic(rt__pids_chunk *) chunks[RT__PIDS_CHUNKS];
  uv_mutex_t lock;
  uint32_t used;  /* slots ever taken [lock] */
  uint32_t *free; /* slots to take again, a stack [lock] */
  uint32_t free_count;
  _Atomic(uint32_t) taken; /* PIDs ever, modulo 2^32; changed under lock */
  char line2[64];
  _Atomic(uint32_t) dropped; /* slot + 1: a list, all of it is taken at once */
  _Atomic(uint32_t) gone;    /* PIDs ever dropped */
} rt__pids;

/* [any] PIDs that are taken and not dropped. */
static inline uint32_t rt__pids_live(rt__pids *pids) {
  uint32_t gone = atomic_load_explicit(&pids->gone, memory_order_relaxed);
  return atomic_load_explicit(&pids->taken, memory_order_relaxed) - gone;
}

static inline unsigned rt__pid_worker(rt_pid pid) {
  return (unsigned)(pid >> 56);
}
static inline unsigned rt__pid_vm(rt_pid pid) {
  return (unsigned)(pid >> 52) & 15;
}
static inline uint32_t rt__pid_slot(rt_pid pid) {
  return (uint32_t)(pid >> 32) & 0xfffff;
}
static inline uint32_t rt__pid_generation(rt_pid pid) {
  return (uint32_t)pid;
}

rt_err rt__pids_init(rt__pids *pids, unsigned worker, unsigned vm);
void rt__pids_deinit(rt__pids *pids);
/* [any] A new PID, or 0 when the VM is full or memory is short. */
rt_pid rt__pids_take(rt__pids *pids);
/* [any] Give it back: it is dead from now on. */
void rt__pids_drop(rt__pids *pids, rt_pid pid);
/* [any] Is it taken and not yet dropped? */
bool rt__pids_alive(rt__pids *pids, rt_pid pid);
/* [any] Count mail for a live PID; false, nothing counted, when it has more
 * than RT__BACKLOG_MAX already, or would have more than its allowance. */
bool rt__pids_load(rt__pids *pids, rt_pid pid, size_t bytes);
void rt__pids_unload(rt__pids *pids, rt_pid pid, size_t bytes);
/* Worker's thread. */
void rt__pids_set(rt__pids *pids, rt_pid pid, void *object);
#define RT__PIDS_PLAN ((uintptr_t)1) /* the lowest bit of a pointer */
static inline void *rt__pids_get(const rt__pids *pids, rt_pid pid) {
  uint32_t slot = rt__pid_slot(pid), at = slot % RT__PIDS_CHUNK;
  const rt__pids_chunk *chunk = atomic_load_explicit(
      &pids->chunks[slot / RT__PIDS_CHUNK], memory_order_acquire);
  bool alive = chunk && atomic_load_explicit(&chunk->generation[at],
                                             memory_order_acquire) ==
                            rt__pid_generation(pid);
  void *object = alive ? chunk->object[at] : NULL;
  return (uintptr_t)object & RT__PIDS_PLAN ? NULL : object;
}
/* Likewise, while what is behind the slot is still to be made: what it will be
 * made of. The other answers NULL meanwhile. */
void rt__pids_set_plan(rt__pids *pids, rt_pid pid, void *plan);
void *rt__pids_plan(rt__pids *pids, rt_pid pid);

#endif
