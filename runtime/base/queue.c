/* queue.c - see queue.h. SPDX-License-Identifier: MIT */
#include "base/queue.h"

rt_err rt__queue_init(rt__queue *queue) {
  if (uv_mutex_init(&queue->lock) != 0) return RT_ENOMEM;
  queue->first = NULL;
  queue->last = &queue->first;
  queue->count = 0;
  queue->closed = false;
  return RT_OK;
}

void rt__queue_deinit(rt__queue *queue) {
  uv_mutex_destroy(&queue->lock);
}

bool rt__queue_push(rt__queue *queue, rt__node *node, bool *was_empty) {
  node->next = NULL;
  uv_mutex_lock(&queue->lock);
  bool open = !queue->closed;
  if (was_empty) *was_empty = queue->first == NULL;
  if (open) {
    *queue->last = node;
    queue->last = &node->next;
    queue->count++;
  }
  uv_mutex_unlock(&queue->lock);
  return open;
}

rt__node *rt__queue_take(rt__queue *queue) {
  uv_mutex_lock(&queue->lock);
  rt__node *first = queue->first;
  queue->first = NULL;
  queue->last = &queue->first;
  queue->count = 0;
  uv_mutex_unlock(&queue->lock);
  return first;
}

void rt__queue_close(rt__queue *queue) {
  uv_mutex_lock(&queue->lock);
  queue->closed = true;
  uv_mutex_unlock(&queue->lock);
}

size_t rt__queue_count(rt__queue *queue) {
  uv_mutex_lock(&queue->lock);
  size_t count = queue->count;
  uv_mutex_unlock(&queue->lock);
  return count;
}
