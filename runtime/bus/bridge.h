/* bus/bridge.h - from the bus to subscriptions of Lua processes.
 *
 *   bus thread                                worker's thread
 *   deliver --push--> [feed: bounded ring] --take--> channel of the script
 *      \--notify, when the feed is armed--> the process looks into its feed
 *
 * A feed is one subscription. The bridge joins the bus's index as a group, so
 * one call brings an event with all feeds that match, and nothing reaches it
 * while no feed wants it. The bound is charged right here: a process that
 * never reads collects nothing beyond it and delays nobody. An event is kept
 * once, whatever the fan-out. Who finds a feed empty arms it; the next event
 * notifies once.
 *
 * Locks: each feed's own, a leaf. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_BRIDGE_H
#define RT__BUS_BRIDGE_H

#include "bus/bus.h"
#include "bus/pool.h"
#include "rt/process.h"

typedef struct rt__bridge rt__bridge;
typedef struct rt__feed rt__feed;

/* How the bridge reaches a process: `notify` is called on the bus thread. */
typedef struct rt__bridge_ops {
  void (*notify)(void *self, rt_pid pid, const rt_value *token);
  void *self;
} rt__bridge_ops;

/* One bridge a bus, before anything is sent. Free it after the bus has been
 * stopped and before it is freed; feeds may outlive it. */
rt_err rt__bridge_create(rt__bridge **out, rt_bus *bus,
                         const rt__bridge_ops *ops, rt_error *err);
void rt__bridge_free(rt__bridge *bridge);
/* [any] Feeds of processes that are dead and cannot close them themselves are
 * closed, soon; `alive` is asked on the bus thread. */
void rt__bridge_bury(rt__bridge *bridge, bool (*alive)(void *arg, rt_pid pid),
                     void *arg);
rt_bus *rt__bridge_bus(const rt__bridge *bridge);

/* The runtime's bridge: notifies by mail to "@events", holds the runtime while
 * events are queued (bind/bind_events.c). */
rt_err rt__bridge_new(rt__bridge **out, rt_runtime *rt, rt_bus *bus,
                      rt_error *err);

/* --- events in a feed ------------------------------------------------ */

/* Immutable and shared by all feeds that hold it. */
typedef struct rt__shared {
  atomic_uint refs;
  uint32_t system_size, kind_size, path_size, data_size;
  bool pooled;   /* its memory is a block of the bridge's pool */
  uint64_t cost; /* bytes it is charged with */
  rt__bridge *bridge;
  rt_value *data; /* NULL: small data as bytes behind the strings, or none */
  char text[];    /* system, kind, path, each terminated */
} rt__shared;
void rt__shared_unref(rt__shared *event);
void rt__shared_unref_all(rt__shared **events, size_t count);
/* Its data; a view of nil when there is none (its `at` is NULL). */
rt_view rt__shared_data(const rt__shared *event);

/* --- feeds ----------------------------------------------------------- */

typedef enum rt__overflow {
  RT__DROP_OLDEST,
  RT__DROP_NEWEST,
  RT__CLOSE
} rt__overflow;

typedef struct rt__feed_opts {
  rt_pid pid;
  const char *system, *kind; /* kind may be NULL */
  uint32_t limit;            /* events; 0: 262,144 */
  rt__overflow overflow;
} rt__feed_opts;

/* Events and bytes a feed may hold, and bytes all feeds of a bridge may: past
 * that an event that comes counts as one that does not fit. A single event
 * always fits an empty feed. */
#define RT__FEED_LIMIT 262144u
#define RT__FEED_BYTES ((uint64_t)64 << 20)
#define RT__HELD_BYTES ((uint64_t)512 << 20)

/* [any] Open a feed. `ready` is called once, on the bus thread, when the bus
 * has confirmed or refused (which `feed` keeps as its fault). `*out` is one
 * reference. On failure here `ready` is not called. */
rt_err rt__feed_open(rt__feed **out, rt__bridge *bridge,
                     const rt__feed_opts *opts,
                     void (*ready)(rt__feed *feed, void *arg), void *arg,
                     rt_error *err);
/* [any] After `ready`: why the bus refused, or NULL. */
const rt_error *rt__feed_fault(const rt__feed *feed);
/* [any] The number that notify brings. */
uint64_t rt__feed_token(const rt__feed *feed);
/* [any] No more events; what is buffered can still be taken. Idempotent, does
 * not wait. */
void rt__feed_close(rt__feed *feed);
/* [any] Close, and drop what is buffered. */
void rt__feed_discard(rt__feed *feed);
/* [any] One reference less; the last one discards. */
void rt__feed_unref(rt__feed *feed);

/* [any] Take up to `max` of the oldest events [own]; returns their number.
 * With 0 the feed is armed, or, when it is closed, `*end` becomes true. */
size_t rt__feed_take(rt__feed *feed, rt__shared **out, size_t max, bool *end);
/* [any] Put back what was taken last, in front of what came since. */
void rt__feed_untake(rt__feed *feed, rt__shared **events, size_t count);
/* [any] Events lost so far. */
uint64_t rt__feed_dropped(rt__feed *feed);

/* --- between bridge.c and feed.c ------------------------------------- */

struct rt__bridge {
  /* constant */
  rt_bus *bus;
  rt__bridge_ops ops;
  uint64_t feed_bytes, held_bytes; /* bounds */
  /* any thread */
  atomic_uint_fast64_t numbers;
  atomic_uint refs;          /* the owner's, and one for each feed */
  atomic_uint_fast64_t held; /* bytes of the events in feeds, each once */
  rt__pool pool;             /* of shared events; the bus thread takes */
  /* bus thread only */
  rt__feed *joined; /* list */
  rt__feed *noted;  /* to be notified at the end of the batch */
  rt_builder *builder;
};

struct rt__feed {
  /* constant */
  rt__bridge *bridge;
  rt_pid pid;
  rt_value *token; /* [number], for notify */
  uint64_t number;
  uint32_t limit;
  rt__overflow overflow;
  const char *system, *kind; /* in `text` */
  void (*ready)(rt__feed *feed, void *arg);
  void *ready_arg;
  atomic_uint refs;
  /* bus thread only */
  uint64_t id;           /* in the bus, 0 when not joined */
  rt__feed *prev, *next; /* among the joined */
  rt__feed *next_noted;
  bool noted;
  rt_error *fault;
  /* guarded by lock */
  uv_mutex_t lock;
  rt__shared **ring;
  uint32_t first, count, room; /* room: a power of two, or 0 */
  uint64_t bytes;              /* that its events cost */
  uint64_t dropped, lag_mark, drop_mark;
  bool armed, closed, leaving;
  bool counted; /* as a subscriber of the bus, until it is closed */
  char text[];
};

/* What became of an event that was offered. */
typedef struct rt__offer {
  bool taken;    /* false: lost, or the feed is closed */
  bool notify;   /* the feed was armed */
  bool lagging;  /* a threshold was passed */
  bool full;     /* its policy is to close now */
  uint64_t lost; /* events */
} rt__offer;
/* [bus thread] Offer an event. */
rt__offer rt__feed_offer(rt__feed *feed, rt__shared *event);

#endif
