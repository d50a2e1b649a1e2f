/* held.c - mail put aside, a list for each channel that is full.
 * SPDX-License-Identifier: MIT */
#include "process/held.h"

#include <stdlib.h>

rt__held *rt__held_of(rt__held *list, const void *channel) {
  while (list && list->channel != channel) list = list->next;
  return list;
}

rt__held *rt__held_for(rt__held **list, const void *channel) {
  rt__held *held = rt__held_of(*list, channel);
  if (held) return held;
  held = calloc(1, sizeof(*held));
  if (!held) return NULL;
  held->channel = channel;
  held->next = *list;
  *list = held;
  return held;
}

rt__package *rt__held_take(rt__held **list, rt__held *held) {
  rt__package *package = rt__mailbox_take(&held->mail);
  if (held->mail.first) return package;
  rt__held **at = list;
  while (*at != held) at = &(*at)->next;
  *at = held->next;
  free(held);
  return package;
}

void rt__held_clear(rt__held **list) {
  while (*list) {
    rt__held *held = *list;
    *list = held->next;
    rt__mailbox_clear(&held->mail);
    free(held);
  }
}

size_t rt__held_count(const rt__held *list, size_t *bytes) {
  size_t count = 0;
  *bytes = 0;
  for (; list; list = list->next) {
    count += list->mail.count;
    *bytes += list->mail.bytes;
  }
  return count;
}
