/* pids.c - PIDs of one VM, and their text.
 *
 * Chunks are made once and live as long as the VM, so a reader without the
 * lock never meets freed memory; a generation is one atomic word.
 *
 * SPDX-License-Identifier: MIT */
#include "relay/pids.h"

#include <stdlib.h>
#include <string.h>

static char *put_hex(char *at, uint32_t n) {
  char digits[8];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[n & 15];
  while ((n >>= 4) != 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

void rt_pid_text(rt_pid pid, char out[RT_PID_TEXT]) {
  *out++ = '{';
  out = put_hex(out, (uint32_t)(pid >> 52));
  *out++ = '|';
  out = put_hex(out, rt__pid_slot(pid));
  *out++ = '.';
  out = put_hex(out, rt__pid_generation(pid));
  *out++ = '}';
  *out = 0;
}

static bool hex_until(const char **at, char end, uint64_t max, uint64_t *out) {
  const char *p = *at;
  uint64_t n = 0;
  for (; *p && *p != end; p++) {
    int digit;
    if (*p >= '0' && *p <= '9')
      digit = *p - '0';
    else if (*p >= 'a' && *p <= 'f')
      digit = *p - 'a' + 10;
    else
      return false;
    n = n * 16 + (uint64_t)digit;
    if (n > max) return false;
  }
  if (*p != end || p == *at) return false;
  *at = p + 1;
  *out = n;
  return true;
}

rt_pid rt_pid_parse(const char *text) {
  uint64_t place, slot, generation;
  if (!text || *text++ != '{') return 0;
  if (!hex_until(&text, '|', 0xfff, &place)) return 0;
  if (!hex_until(&text, '.', 0xfffff, &slot)) return 0;
  if (!hex_until(&text, '}', UINT32_MAX, &generation) || *text) return 0;
  return place << 52 | slot << 32 | generation;
}

rt_err rt__pids_init(rt__pids *pids, unsigned worker, unsigned vm) {
  memset(pids, 0, sizeof(*pids));
  pids->worker = worker;
  pids->vm = vm;
  pids->allowance = RT__BACKLOG_MAX;
  return uv_mutex_init(&pids->lock) == 0 ? RT_OK : RT_ENOMEM;
}

void rt__pids_deinit(rt__pids *pids) {
  for (unsigned i = 0; i < RT__PIDS_CHUNKS; i++)
    free(atomic_load_explicit(&pids->chunks[i], memory_order_relaxed));
  free(pids->free);
  uv_mutex_destroy(&pids->lock);
}

static rt__pids_chunk *chunk_of(rt__pids *pids, uint32_t slot) {
  return atomic_load_explicit(&pids->chunks[slot / RT__PIDS_CHUNK],
                              memory_order_acquire);
}

/* Room for all free slots is made when slots are made, so that getting them
 * back cannot fail. Called when none is free. */
static bool grow_locked(rt__pids *pids) {
  uint32_t chunk = pids->used / RT__PIDS_CHUNK;
  if (chunk >= RT__PIDS_CHUNKS) return false;
  uint32_t room = (chunk + 1) * RT__PIDS_CHUNK;
  uint32_t *slots = malloc(room * sizeof(*slots));
  rt__pids_chunk *made = calloc(1, sizeof(*made));
  if (!slots || !made) {
    free(slots);
    free(made);
    return false;
  }
  free(pids->free);
  pids->free = slots;
  for (uint32_t i = 0; i < RT__PIDS_CHUNK; i++)
    atomic_init(&made->generation[i], pids->base + 1);
  atomic_store_explicit(&pids->chunks[chunk], made, memory_order_release);
  return true;
}

/* Whoever drops a slot only puts it into a list, so that the two do not wait
 * for each other. */
static void collect_dropped_locked(rt__pids *pids) {
  uint32_t next =
      atomic_exchange_explicit(&pids->dropped, 0, memory_order_acquire);
  while (next) {
    uint32_t slot = next - 1;
    pids->free[pids->free_count++] = slot;
    next = chunk_of(pids, slot)->next[slot % RT__PIDS_CHUNK];
  }
}

static bool take_slot_locked(rt__pids *pids, uint32_t *slot) {
  if (pids->free_count == 0) collect_dropped_locked(pids);
  if (pids->free_count > 0) {
    *slot = pids->free[--pids->free_count];
    return true;
  }
  if (pids->used % RT__PIDS_CHUNK == 0 && !grow_locked(pids)) return false;
  *slot = pids->used++;
  return true;
}

rt_pid rt__pids_take(rt__pids *pids) {
  uint32_t slot;
  uv_mutex_lock(&pids->lock);
  bool ok = take_slot_locked(pids, &slot);
  if (ok) {
    uint32_t taken = atomic_load_explicit(&pids->taken, memory_order_relaxed);
    atomic_store_explicit(&pids->taken, taken + 1, memory_order_relaxed);
  }
  uv_mutex_unlock(&pids->lock);
  if (!ok) return 0;
  rt__pids_chunk *chunk = chunk_of(pids, slot);
  unsigned at = slot % RT__PIDS_CHUNK;
  atomic_store_explicit(&chunk->backlog[at], 0, memory_order_relaxed);
  uint32_t generation =
      atomic_load_explicit(&chunk->generation[at], memory_order_acquire);
  return (rt_pid)pids->worker << 56 | (rt_pid)pids->vm << 52 |
         (rt_pid)slot << 32 | generation;
}

void rt__pids_drop(rt__pids *pids, rt_pid pid) {
  uint32_t slot = rt__pid_slot(pid), at = slot % RT__PIDS_CHUNK;
  rt__pids_chunk *chunk = chunk_of(pids, slot);
  uint32_t next = rt__pid_generation(pid) + 1;
  chunk->object[at] = NULL;
  atomic_store_explicit(&chunk->backlog[at], 0, memory_order_relaxed);
  atomic_store_explicit(&chunk->generation[at], next ? next : 1,
                        memory_order_release);
  atomic_fetch_add_explicit(&pids->gone, 1, memory_order_relaxed);
  uint32_t newest = atomic_load_explicit(&pids->dropped, memory_order_relaxed);
  do chunk->next[at] = newest;
  while (!atomic_compare_exchange_weak_explicit(&pids->dropped, &newest,
                                                slot + 1, memory_order_release,
                                                memory_order_relaxed));
}

bool rt__pids_alive(rt__pids *pids, rt_pid pid) {
  uint32_t slot = rt__pid_slot(pid);
  rt__pids_chunk *chunk = chunk_of(pids, slot);
  return chunk &&
         atomic_load_explicit(&chunk->generation[slot % RT__PIDS_CHUNK],
                              memory_order_acquire) == rt__pid_generation(pid);
}

/* A message on its way when its process ends is not counted down: the slot
 * starts anew with each process. */
bool rt__pids_load(rt__pids *pids, rt_pid pid, size_t bytes) {
  uint32_t slot = rt__pid_slot(pid);
  rt__pids_chunk *chunk = chunk_of(pids, slot);
  _Atomic(uint32_t) *backlog = &chunk->backlog[slot % RT__PIDS_CHUNK];
  uint32_t most = atomic_load_explicit(&pids->allowance, memory_order_relaxed);
  uint32_t has = atomic_load_explicit(backlog, memory_order_relaxed);
  uint32_t load = bytes < RT__BACKLOG_MAX ? (uint32_t)bytes : RT__BACKLOG_MAX;
  if (has > most || (most < RT__BACKLOG_MAX && has + load > most)) return false;
  atomic_fetch_add_explicit(backlog, load, memory_order_relaxed);
  return true;
}

void rt__pids_unload(rt__pids *pids, rt_pid pid, size_t bytes) {
  uint32_t slot = rt__pid_slot(pid);
  _Atomic(uint32_t) *backlog =
      &chunk_of(pids, slot)->backlog[slot % RT__PIDS_CHUNK];
  uint32_t load = bytes < RT__BACKLOG_MAX ? (uint32_t)bytes : RT__BACKLOG_MAX;
  uint32_t now = atomic_load_explicit(backlog, memory_order_relaxed), next;
  do next = now > load ? now - load : 0;
  while (!atomic_compare_exchange_weak_explicit(
      backlog, &now, next, memory_order_relaxed, memory_order_relaxed));
}

void rt__pids_set(rt__pids *pids, rt_pid pid, void *object) {
  uint32_t slot = rt__pid_slot(pid);
  chunk_of(pids, slot)->object[slot % RT__PIDS_CHUNK] = object;
}

static void *behind(rt__pids *pids, rt_pid pid) {
  uint32_t slot = rt__pid_slot(pid);
  if (!rt__pids_alive(pids, pid)) return NULL;
  return chunk_of(pids, slot)->object[slot % RT__PIDS_CHUNK];
}

void rt__pids_set_plan(rt__pids *pids, rt_pid pid, void *plan) {
  rt__pids_set(pids, pid, (char *)plan + RT__PIDS_PLAN);
}

void *rt__pids_plan(rt__pids *pids, rt_pid pid) {
  void *object = behind(pids, pid);
  return (uintptr_t)object & RT__PIDS_PLAN ? (char *)object - RT__PIDS_PLAN
                                           : NULL;
}
