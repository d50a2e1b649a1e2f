/* process/held.h - mail that waits outside of Lua until its channel is read.
 *
 * A channel takes a bounded number of messages. What comes for a full one is
 * put aside here, by channel, so that a flood of one topic neither fills the
 * VM nor stands in the way of the others. It stays counted as unread.
 * Worker's thread.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_HELD_H
#define RT__PROCESS_HELD_H

#include "relay/mailbox.h"

typedef struct rt__held rt__held;
struct rt__held {
  rt__held *next;
  const void *channel; /* address of its table, which the process keeps */
  rt__mailbox mail;    /* never empty */
};

/* What is held for the channel, or NULL. */
rt__held *rt__held_of(rt__held *list, const void *channel);
/* The same, made when there is none, for a package to be put into its mail at
 * once; NULL: no memory. */
rt__held *rt__held_for(rt__held **list, const void *channel);
/* The next of it, [own]; it is dropped from the list with its last package. */
rt__package *rt__held_take(rt__held **list, rt__held *held);
void rt__held_clear(rt__held **list);
/* Packages and bytes of all. */
size_t rt__held_count(const rt__held *list, size_t *bytes);

#endif
