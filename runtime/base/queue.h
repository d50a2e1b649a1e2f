/* base/queue.h - many producers, one consumer: an intrusive swap queue.
 *
 *   producers --push--> [ a b c ]      consumer --take--> a, b, c (unlocked)
 *
 * The node is the producer's memory until it is taken. All calls [any], but
 * one consumer at a time keeps the order. SPDX-License-Identifier: MIT */
#ifndef RT__BASE_QUEUE_H
#define RT__BASE_QUEUE_H

#include <uv.h>

#include "rt/status.h"

typedef struct rt__node rt__node;
struct rt__node {
  rt__node *next;
};

typedef struct rt__queue {
  uv_mutex_t lock; /* a leaf: nothing is locked or called under it */
  rt__node *first, **last;
  size_t count;
  bool closed;
} rt__queue;

/* RT_OK, or RT_ENOMEM. */
rt_err rt__queue_init(rt__queue *queue);
void rt__queue_deinit(rt__queue *queue); /* what is queued is not touched */
/* Append. False when the queue is closed (the node is still the caller's).
 * `*was_empty` (may be NULL): the consumer must be woken. */
bool rt__queue_push(rt__queue *queue, rt__node *node, bool *was_empty);
/* All that is queued, in order, as a list ending in NULL. */
rt__node *rt__queue_take(rt__queue *queue);
/* Refuse further pushes; what is queued can still be taken. */
void rt__queue_close(rt__queue *queue);
size_t rt__queue_count(rt__queue *queue);

#endif
