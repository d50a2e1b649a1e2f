/* bus/bus.h - the bus as its own folder sees it.
 *
 *   any thread              lock              bus thread
 *   send ----------> intake (chunks) ------> dispatch: memo -> subscribers
 *   subscribe --call-^                        |  index (own lock), slots
 *
 * Subscriptions belong to the bus thread; what other threads want done to them
 * goes through the intake as a call, in the order of events. Senders ask the
 * index, behind its lock, whether anybody listens, and remember the answer in
 * a table of fingerprints that holds until the index changes.
 * Locks: `lock`, then `index_lock`; no callback runs under either (but the
 * busy hook, which may only count). SPDX-License-Identifier: MIT */
#ifndef RT__BUS_BUS_H
#define RT__BUS_BUS_H

#include <stdatomic.h>
#include <uv.h>

#include "bus/index.h"
#include "bus/intake.h"

/* Longest system or kind. */
#define RT__BUS_NAME_MAX 65535

typedef struct rt__sub {
  uint64_t id;
  rt_event_fn fn; /* NULL: goes to the group */
  void *arg;
  rt__entry *entry;     /* NULL: dead, that is unsubscribed */
  struct rt__sub *next; /* among the dead, until the running event is done */
} rt__sub;

/* Subscriptions that are served together: one call for all that match. One
 * group a bus (the bridge). Both are called on the bus thread. */
typedef struct rt__bus_group {
  /* `bytes`: the data, when it is not in event->data (else at is NULL).
   * Returns how many took it. */
  size_t (*deliver)(const rt_event *event, rt_view bytes, void *const *args,
                    size_t count, void *self);
  void (*flush)(void *self); /* after a batch of events */
  void *self;
} rt__bus_group;

/* Told when events begin to wait and when none is left. Called under the bus's
 * lock; may only count. */
typedef struct rt__bus_hook {
  void (*busy)(void *self);
  void (*idle)(void *self);
  void *self;
} rt__bus_hook;

/* One wait for room in the intake. */
typedef struct rt__room rt__room;
struct rt__room {
  rt__room *prev, *next;         /* private */
  bool waiting;                  /* private */
  void (*ready)(rt__room *room); /* once, on the bus thread, under no lock */
};

/* Before anything is sent. */
void rt__bus_set_group(rt_bus *bus, const rt__bus_group *group);
void rt__bus_set_hook(rt_bus *bus, const rt__bus_hook *hook);

/* [any] Run `fn` on the bus thread, after all that is queued now. False when
 * the thread has ended (fn is not called) or memory is short. */
bool rt__bus_call(rt_bus *bus, void (*fn)(rt_bus *bus, void *arg), void *arg);
/* [bus thread, inside a call] Add a subscription to the group, remove one,
 * which is still counted as a subscriber until rt__bus_discount() [any]. */
rt_err rt__bus_join(rt_bus *bus, uint64_t *id, const char *system,
                    const char *kind, void *arg, rt_error *err);
void rt__bus_leave(rt_bus *bus, uint64_t id);
void rt__bus_discount(rt_bus *bus);
/* [any] Count a call that was refused; returns its code. */
rt_err rt__bus_refuse(rt_bus *bus, rt_err rc);
/* [bus thread] Events that a subscription of the group lost. */
void rt__bus_count_dropped(rt_bus *bus, uint64_t count);
/* [any] True when nobody listens, so that there is nothing to send: the event
 * is counted as published. */
bool rt__bus_skip(rt_bus *bus, const char *system, const char *kind);
/* [any] As rt_bus_send(), but the data is `size` bytes of checked wire form (0:
 * none), which are copied into the queue: cheaper than a value when small. */
rt_err rt__bus_send_bytes(rt_bus *bus, const char *system, const char *kind,
                          const char *path, const void *bytes, size_t size);
/* What an event costs in the intake; `text`: bytes of its three strings. */
uint64_t rt__bus_charge(size_t text, const rt_value *data);
/* [any] Be told when there may be room for `bytes`; false: there is room now,
 * or the bus is closed (try again). */
bool rt__bus_await_room(rt_bus *bus, rt__room *room, uint64_t bytes);
/* [any] True when `ready` was not and will not be called. */
bool rt__bus_cancel_room(rt_bus *bus, rt__room *room);
/* [any] The checks of rt_bus_send() on the names; words in `err`. */
rt_err rt__bus_check_names(const char *system, const char *kind,
                           const char *path, rt_error *err);

/* --- between bus.c, subscribe.c and dispatch.c ----------------------- */

typedef struct rt__memo rt__memo;

/* A subscription's place: its id is (turn << 32 | place), never used again. */
typedef struct rt__place {
  rt__sub *sub; /* NULL: free */
  uint32_t turn, next_free;
} rt__place;

enum { RT__FINGERPRINTS = 4096 };

/* Why calls are refused, in the order of rt_bus_stats. */
enum { RT__AT_CAP, RT__FULL, RT__CLOSED, RT__INVALID, RT__NO_MEMORY, RT__WHYS };

struct rt_bus {
  /* constant */
  uint64_t seed, intake_bytes;
  uint32_t max_subscribers;
  uv_thread_t thread;
  rt__bus_group group;
  rt__bus_hook hook;
  /* guarded by lock */
  uv_mutex_t lock;
  uv_cond_t wake;    /* for the bus thread */
  uv_cond_t changed; /* a call was done, the thread has ended */
  rt__intake intake;
  bool sleeping, busy, ended, joined;
  rt__room *rooms; /* ring of those who wait, NULL when none */
  uint64_t published;
  /* guarded by index_lock */
  uv_mutex_t index_lock;
  rt__index *index;
  /* bus thread only */
  rt__memo *memo;
  rt__place *places;
  uint32_t place_room, place_free; /* place_free: 0 is none */
  rt__sub *dead;
  /* any thread */
  atomic_bool closing;       /* written under lock */
  atomic_bool pending;       /* something is queued; written under lock */
  atomic_uint_fast64_t turn; /* grows when the index changes */
  atomic_uint_fast64_t subscribers, unheard, dropped, refused[RT__WHYS];
  atomic_uint_fast64_t delivered, dispatched; /* written by the bus thread */
  atomic_uint_fast64_t fingerprints[RT__FINGERPRINTS];
};

void rt__bus_run(void *bus); /* the thread (dispatch.c) */
rt__memo *rt__memo_new(void);
void rt__memo_free(rt__memo *memo);
/* [bus thread] (subscribe.c) */
void rt__bus_bury(rt_bus *bus);
void rt__bus_remove_all(rt_bus *bus);
/* [any] Ask, through the fingerprints, whether anybody listens (bus.c). */
bool rt__bus_heard(rt_bus *bus, const char *system, size_t system_size,
                   const char *kind, size_t kind_size, uint64_t hash);
uint64_t rt__bus_hash(const rt_bus *bus, const char *system, size_t system_size,
                      const char *kind, size_t kind_size);
bool rt__bus_on_thread(const rt_bus *bus);

#endif
