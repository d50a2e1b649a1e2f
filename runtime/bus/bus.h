/* bus/bus.h - the bus as its own folder sees it.
 *
 *   any thread              lock              bus thread
 *   send ----------> intake (chunks) ------> dispatch: memo -> subscribers
 *   subscribe --call-^        (read unlocked) |  index (own lock), pages
 *
 * Subscriptions belong to the bus thread; what other threads want done to them
 * goes through the intake as a call, in the order of events. Senders ask the
 * index, behind its lock, whether anybody listens, and remember the answer in
 * a table of fingerprints that holds until the index changes.
 * Locks: `lock`, which is only for waiting, then the latch, which guards the
 * queue; `index_lock` is a leaf. No callback runs under any of them (but the
 * busy hook, which may only count). SPDX-License-Identifier: MIT */
#ifndef RT__BUS_BUS_H
#define RT__BUS_BUS_H

#include <stdatomic.h>
#include <uv.h>

#include "bus/index.h"
#include "bus/intake.h"
#include "bus/latch.h"
#include "bus/memo.h"

/* Longest system or kind. */
#define RT__BUS_NAME_MAX 65535

typedef struct rt__sub {
  uint64_t id;
  rt_event_fn fn;           /* NULL: goes to the group */
  void (*ended)(void *arg); /* may be NULL: told that the bus has ended */
  void *arg;
  union {
    rt__entry *entry;     /* of the living */
    struct rt__sub *next; /* among the dead and the vacant */
  } as;
} rt__sub; /* lies in a page of them (subscribe.c) */

#define RT__SUB_DEAD                                                           \
  ((uint64_t)1 << 63) /* in the id: unsubscribed, or vacant */
static inline bool rt__sub_lives(const rt__sub *sub) {
  return !(sub->id & RT__SUB_DEAD);
}

/* Subscriptions that are served together: one call for all that match. One
 * group a bus (the bridge). Both are called on the bus thread. */
typedef struct rt__bus_group {
  /* `bytes`: the data, when it is not in event->data (else at is NULL).
   * Returns how many took it. */
  size_t (*deliver)(const rt_event *event, rt_view bytes, void *const *args,
                    size_t count, void *self);
  void (*flush)(void *self); /* after a batch of events */
  /* For each that is left when the bus ends; it need not leave any more. */
  void (*ended)(void *arg, void *self);
  void *self;
} rt__bus_group;

/* Told when events begin to wait and when none is left. */
typedef struct rt__bus_hook {
  void (*busy)(void *self); /* under the latch: may only count */
  void (*idle)(void *self); /* on the bus thread */
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

/* [any] As rt_bus_subscribe(); `ended` (may be NULL) is called on the bus
 * thread when the bus ends before the subscription. */
rt_err rt__bus_subscribe(rt_bus *bus, uint64_t *id, const char *system,
                         const char *kind, rt_event_fn fn,
                         void (*ended)(void *arg), void *arg, rt_error *err);
/* [any] As rt_bus_unsubscribe(), of one that was made with the call above. */
void rt__bus_unsubscribe(rt_bus *bus, uint64_t id);
/* Before anything is subscribed: callbacks come on the thread of this host's
 * loop (hosted.c). `owned`: it is closed with the bus. */
struct rt__host;
rt_err rt__bus_set_host(rt_bus *bus, struct rt__host *host, bool owned,
                        rt_error *err);
/* The host it is attached to [borrowed], or NULL. */
struct rt__host *rt__bus_get_host(const rt_bus *bus);
/* When the bus goes. */
void rt__bus_free_host(rt_bus *bus);
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
/* [any] rt_bus_send() in two steps, for a sender that knows the lengths and
 * encodes only what is wanted. Skip first, with names that are not empty (fills
 * in the hash): true when nobody listens, and the event is then counted as
 * published. Otherwise send: the data is `size` bytes of checked wire form (0:
 * none), which are copied into the queue, cheaper than a value when small. */
typedef struct rt__event_names {
  const char *system, *kind, *path; /* terminated */
  size_t system_size, kind_size, path_size;
  uint64_t hash;
} rt__event_names;
bool rt__bus_skip_names(rt_bus *bus, rt__event_names *names);
rt_err rt__bus_send_names(rt_bus *bus, const rt__event_names *names,
                          const void *bytes, size_t size);
/* What an event costs in the intake; `text`: bytes of its three strings and of
 * the data that is copied. */
uint64_t rt__bus_charge(size_t text, const rt_value *data);
/* What a queued value costs beyond its bytes. */
#define RT__VALUE_BYTES 32u
/* [any] Be told when there may be room for `bytes`; false: there is room now,
 * or the bus is closed (try again). */
bool rt__bus_await_room(rt_bus *bus, rt__room *room, uint64_t bytes);
/* [any] True when `ready` was not and will not be called. */
bool rt__bus_cancel_room(rt_bus *bus, rt__room *room);
/* [any] The checks of rt_bus_send() on the names; words in `err`. */
rt_err rt__bus_check_names(const char *system, const char *kind,
                           const char *path, rt_error *err);

/* --- between bus.c, send.c, subscribe.c and dispatch.c --------------- */

enum { RT__FINGERPRINTS = 4096 };

/* Why calls are refused, in the order of rt_bus_stats. */
enum { RT__AT_CAP, RT__FULL, RT__CLOSED, RT__INVALID, RT__NO_MEMORY, RT__WHYS };

/* What is written by different threads lies in different cache lines. */
#define RT__LINE _Alignas(64)

struct rt_bus {
  /* constant */
  uint64_t seed, intake_bytes;
  uint32_t max_subscribers;
  uv_thread_t thread;
  rt__bus_group group;
  rt__bus_hook hook;
  struct rt__bus_host *host; /* whose thread callbacks come on, or NULL */
  /* any thread reads, seldom written */
  atomic_bool closing, ended; /* written under the latch */
  atomic_bool room_wanted;    /* somebody may wait in `rooms` */
  atomic_uint_fast64_t turn;  /* grows when the index changes */
  atomic_uint_fast64_t subscribers;
  /* guarded by the latch; what a sender touches is in one line */
  RT__LINE rt__latch latch;
  atomic_bool idle; /* whoever clears it wakes the bus thread */
  uint64_t published;
  uint64_t charged;     /* bytes ever queued */
  uint64_t charge_ends; /* may grow to this, when last looked at; 0: closed */
  rt__intake intake;
  rt__room *rooms; /* ring of those who wait, NULL when none */
  /* guarded by lock */
  RT__LINE uv_mutex_t lock;
  uv_cond_t wake;    /* for the bus thread */
  uv_cond_t changed; /* a call was done, the thread has ended */
  bool joined;
  bool gave_up; /* a stop has waited in vain */
  bool orphan;  /* freed while stuck: its thread is to free it */
  /* guarded by index_lock */
  uv_mutex_t index_lock;
  rt__index *index;
  /* bus thread only */
  RT__LINE rt__reader reader;
  rt__memo *memo;
  rt__sub **pages; /* of subscriptions, by place */
  uint32_t page_count;
  rt__sub *vacant, *dead;     /* dead: vacant once the running event is done */
  uint64_t trimmed;           /* when the spare memory was last looked at */
  uint32_t patience, in_vain; /* of staying awake */
  bool told;                  /* rt__bus_tell_end() was called */
  struct rt__alarm *alarms, *last_alarm; /* by time (alarm.h) */
  /* written by the bus thread */
  atomic_uint_fast64_t delivered, dispatched;
  RT__LINE atomic_uint_fast64_t returned; /* bytes of what is dispatched */
  /* any thread */
  RT__LINE atomic_uint_fast64_t unheard, dropped, refused[RT__WHYS];
  RT__LINE atomic_uint_fast64_t fingerprints[RT__FINGERPRINTS];
};

void rt__bus_run(void *bus); /* the thread (dispatch.c) */
void rt__bus_destroy(rt_bus *bus);
/* [bus thread] (subscribe.c) */
void rt__bus_bury(rt_bus *bus);
void rt__bus_free_pages(rt_bus *bus);
void rt__bus_tell_end(rt_bus *bus); /* those who want to know */
void rt__bus_remove_all(rt_bus *bus);
/* [latched] May `bytes` more come in now? (send.c) */
rt_err rt__bus_admit_latched(rt_bus *bus, uint64_t bytes);
bool rt__bus_on_thread(const rt_bus *bus);

#endif
