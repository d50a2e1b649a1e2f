/* late.c - see late.h. `lock` is held while an end is posted, which takes
 * nothing but a worker's inbox. SPDX-License-Identifier: MIT */
#include "process/late.h"

#include <stdatomic.h>
#include <stdlib.h>

struct rt__late {
  atomic_uint refs;
  uv_mutex_t lock;
  /* guarded by lock */
  enum { OPEN, CLOSING, GONE } state;
  rt__task *kept;
};

rt__late *rt__late_new(void) {
  rt__late *late = calloc(1, sizeof(*late));
  if (!late) return NULL;
  if (uv_mutex_init(&late->lock) != 0) {
    free(late);
    return NULL;
  }
  atomic_init(&late->refs, 1);
  return late;
}

rt__late *rt__late_ref(rt__late *late) {
  atomic_fetch_add(&late->refs, 1);
  return late;
}

void rt__late_unref(rt__late *late) {
  if (!late || atomic_fetch_sub(&late->refs, 1) != 1) return;
  uv_mutex_destroy(&late->lock);
  free(late);
}

void rt__late_post(rt__late *late, rt__worker *worker, rt__task *task,
                   void (*release)(rt__worker *none, rt__task *task)) {
  rt__late_ref(late); /* what it belongs to may hold the last one */
  uv_mutex_lock(&late->lock);
  bool gone = late->state == GONE;
  if (late->state == OPEN) {
    rt__worker_post(worker, task);
  } else if (!gone) {
    task->run = release;
    task->next = late->kept;
    late->kept = task;
  }
  uv_mutex_unlock(&late->lock);
  if (gone) release(NULL, task);
  rt__late_unref(late);
}

bool rt__late_enter(rt__late *late) {
  uv_mutex_lock(&late->lock);
  if (late->state == OPEN) return true;
  uv_mutex_unlock(&late->lock);
  return false;
}

void rt__late_leave(rt__late *late) {
  uv_mutex_unlock(&late->lock);
}

void rt__late_closing(rt__late *late) {
  uv_mutex_lock(&late->lock);
  late->state = CLOSING;
  uv_mutex_unlock(&late->lock);
}

void rt__late_gone(rt__late *late) {
  uv_mutex_lock(&late->lock);
  rt__task *kept = late->kept;
  late->state = GONE;
  late->kept = NULL;
  uv_mutex_unlock(&late->lock);
  while (kept) {
    rt__task *task = kept;
    kept = task->next;
    task->run(NULL, task);
  }
}
