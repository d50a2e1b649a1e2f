/* bus/awaiter.h - between awaiter.c and waited.c.
 *
 * All of it is guarded by the awaiter's lock, a leaf, but what is the bus
 * thread's. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_AWAITER_H
#define RT__BUS_AWAITER_H

#include "base/map.h"
#include "bus/alarm.h"

typedef struct rt__waited rt__waited;

struct rt_awaiter {
  rt_bus *bus;
  struct rt__host *host; /* [own ref] on whose thread callbacks come, or NULL */
  uint64_t id;
  uv_mutex_t lock;
  uv_cond_t answered;
  rt__map paths; /* path -> first of the waiters on it */
  unsigned refs; /* the owner's and one for each waiter */
  bool closed;
};

struct rt_waiter {
  rt_awaiter *awaiter;
  rt_waiter *prev, *next; /* on the same path */
  char *path;
  uint64_t deadline;
  bool done, accepted;
  rt__waited *waited; /* [own] who is to be told, or NULL */
  rt_event event; /* [own] once done: `system` is one allocation, and `data` */
};

/* One reference less. */
void rt__awaiter_release(rt_awaiter *awaiter);

/* --- waiting without a thread (waited.c) ---------------------------------- */
/* [locked] Take the one to be told of this waiter and put it in front of
 * `list`, with how it ended; nothing when there is none. */
void rt__waited_take(rt_waiter *waiter, rt_err code, rt__waited **list);
/* [unlocked] Tell all in the list, in any order, and release them. */
void rt__waited_tell(rt__waited *list);

#endif
