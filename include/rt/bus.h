/* rt/bus.h - the event bus: one dispatcher thread, patterns choose who hears.
 *
 * Events enter a queue bounded in bytes; the bus's own thread takes all that
 * is queued in one step and calls the subscribers whose patterns match, in the
 * order in which the events came. A sender never waits. Patterns are dotted
 * segments: `*` is one segment, `**` any number, `(a|b)` one of; wildcards act
 * only as whole segments. [any] marks calls any thread may make, also from
 * inside a callback; [waits] those that wait for another thread. [own]: who
 * gets it releases it; what is handed in is copied or referenced.
 *
 * With `loop` in its options callbacks come on the thread that runs that loop
 * of the host, which then is the one to create and free the bus; 64 MiB may
 * wait for it for each subscription, what does not fit is dropped and counted.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_BUS_H
#define RT_BUS_H

#include "rt/value.h"

RT_BEGIN_DECL

struct uv_loop_s; /* uv_loop_t of <uv.h>, which is not needed here */
typedef struct rt_bus rt_bus;
typedef struct rt_subscriber rt_subscriber;
typedef struct rt_router rt_router;
typedef struct rt_awaiter rt_awaiter;
typedef struct rt_waiter rt_waiter;

/* Borrowed for the time of a callback; the strings are terminated. `data` may
 * be NULL; rt_value_ref() it to keep it. */
typedef struct rt_event {
  const char *system, *kind, *path;
  const rt_value *data;
} rt_event;

/* Called on the bus's thread, one at a time. It must not wait: what it delays
 * is everybody's. */
typedef void (*rt_event_fn)(const rt_event *event, void *arg);

typedef struct rt_bus_opts {
  size_t size;              /* sizeof(rt_bus_opts) as compiled */
  uint64_t intake_bytes;    /* bound of the queue; 0: 64 MiB */
  uint32_t max_subscribers; /* 0: 1,048,576 */
  struct uv_loop_s *loop;   /* the host's loop, or NULL; see below */
} rt_bus_opts;
#define RT_BUS_OPTS_INIT                                                       \
  { sizeof(rt_bus_opts), 0, 0, NULL }

/* All of it is there, at zero, from the beginning. Later versions add at the
 * end. */
typedef struct rt_bus_stats {
  uint64_t subscribers, published, delivered, dropped, queued;
  /* Calls to send or subscribe that were refused, by reason. */
  uint64_t rejected_cap;     /* the cap on subscribers was reached */
  uint64_t rejected_full;    /* no room for the event at that moment */
  uint64_t rejected_closed;  /* the bus was stopped */
  uint64_t rejected_invalid; /* an empty, missing or impossible name */
  uint64_t rejected_memory;
} rt_bus_stats;

/* [any, with `loop` its thread] Start a bus and its thread; `*out` [own].
 * `opts` and `err` may be NULL. RT_ENOMEM, RT_EUNAVAIL: `*out` is NULL. */
RT_API rt_err rt_bus_new(rt_bus **out, const rt_bus_opts *opts, rt_error *err);
/* [any but the bus thread, waits] Refuse new events, deliver what is queued,
 * end the thread. Waits for a running callback at most `timeout` seconds
 * (negative: for ever) and then answers RT_ETIMEOUT. RT_EINVAL: on the bus
 * thread. May be called again. */
RT_API rt_err rt_bus_stop(rt_bus *bus, double timeout);
/* [any but the bus thread, waits; with `loop` its thread] Stop, then release.
 * After a stop that ended in RT_ETIMEOUT it does not wait for that callback
 * again: the bus's thread releases the bus when it returns. NULL is allowed. */
RT_API void rt_bus_free(rt_bus *bus);

/* [any] Does any subscription match? A cheap answer for a sender that would
 * rather not build its data. */
RT_API bool rt_bus_wanted(rt_bus *bus, const char *system, const char *kind);
/* [any] Queue an event; `data` (may be NULL) is referenced, not taken.
 * RT_EINVAL: one of the strings is empty; RT_EFULL: no room now; RT_ECLOSED. */
RT_API rt_err rt_bus_send(rt_bus *bus, const char *system, const char *kind,
                          const char *path, const rt_value *data);

/* [any] Subscribe and wait until the dispatcher has confirmed; what anybody
 * sends afterwards is seen. `kind` NULL, "" or "**" means any. `*id` is never
 * used again. RT_EINVAL: empty system; RT_EUNAVAIL: the cap on subscribers is
 * reached; RT_ECLOSED. From inside a callback it does not wait. */
RT_API rt_err rt_bus_subscribe(rt_bus *bus, uint64_t *id, const char *system,
                               const char *kind, rt_event_fn fn, void *arg,
                               rt_error *err);
/* [any] When it returns, `fn` does not run and will not run again (but from
 * inside `fn` itself it returns at once). An unknown id is fine. */
RT_API void rt_bus_unsubscribe(rt_bus *bus, uint64_t id);
/* [any] The counters as they are now. `size` is sizeof(*out) as compiled, which
 * the second one fills in: an older program gets what it knows, a newer one
 * zero for what this library does not count. */
RT_API void rt_bus_get_stats_sized(rt_bus *bus, rt_bus_stats *out, size_t size);
static inline void rt_bus_get_stats(rt_bus *bus, rt_bus_stats *out) {
  rt_bus_get_stats_sized(bus, out, sizeof(*out));
}

/* [any] Does `pattern` match `subject`? Both `size` bytes long, no error. */
RT_API bool rt_pattern_match(const char *pattern, size_t pattern_size,
                             const char *subject, size_t subject_size);

/* --- subscriber, router, awaiter --------------------------------------
 * Close and free them before their bus is freed; NULL is allowed there. */
/* [any, waits] As rt_bus_subscribe(), which see for RT_E...; `*out` [own]. A
 * subscription with a thread-safe close: waits for a running handler, not
 * when called from inside it; then releases. */
RT_API rt_err rt_subscriber_new(rt_subscriber **out, rt_bus *bus,
                                const char *system, const char *kind,
                                rt_event_fn fn, void *arg, rt_error *err);
RT_API void rt_subscriber_close(rt_subscriber *subscriber);

/* [any] A router without handlers; `*out` [own]. Handlers that fail are told to
 * `failed` (may be NULL) and go on. RT_ENOMEM: `*out` is NULL. */
typedef rt_err (*rt_handler_fn)(const rt_event *event, void *arg,
                                rt_error *err);
typedef void (*rt_handler_failed_fn)(const rt_event *event, const rt_error *why,
                                     void *arg);
RT_API rt_err rt_router_new(rt_router **out, rt_bus *bus,
                            rt_handler_failed_fn failed, void *arg,
                            rt_error *err);
/* [any, waits] RT_ECANCELED after rt_router_stop(), else as
 * rt_bus_subscribe(). */
RT_API rt_err rt_router_add(rt_router *router, const char *system,
                            const char *kind, rt_handler_fn handle, void *arg,
                            rt_error *err);
/* [any, waits] Close all handlers; waits for running ones, but not from inside
 * one. May be called again. Free stops, too. */
RT_API void rt_router_stop(rt_router *router);
RT_API void rt_router_free(rt_router *router);

/* [any, waits] Wait for one event by its path. `*out` [own]; RT_E... as of
 * rt_bus_subscribe(). Free ends the waiting of all its waiters. */
RT_API rt_err rt_awaiter_new(rt_awaiter **out, rt_bus *bus, const char *system,
                             const char *kind, rt_error *err);
RT_API void rt_awaiter_free(rt_awaiter *awaiter);
/* [any] From now on the first event with this path is kept: prepare before the
 * thing that triggers it. `*out` [own], to be closed. RT_EINVAL: no path;
 * RT_ENOMEM. */
RT_API rt_err rt_awaiter_prepare(rt_waiter **out, rt_awaiter *awaiter,
                                 const char *path, double timeout,
                                 rt_error *err);
/* [any but the bus thread, waits] Block until the event or the timeout (30 s
 * when prepared with 0).
 * `*accepted`: its kind is "accept" or ends in ".accept" or ".accepted";
 * `*data` [own]. RT_ETIMEOUT names the path; RT_ECANCELED: the awaiter was
 * freed or the bus has ended. */
RT_API rt_err rt_waiter_wait(rt_waiter *waiter, bool *accepted, rt_value **data,
                             rt_error *err);
/* How a wait ended: once. `data` [own] and `accepted` as above, with RT_OK;
 * else `err` says why. It may close its waiter, and free its awaiter. */
typedef void (*rt_waited_fn)(rt_err code, const rt_error *err, bool accepted,
                             rt_value *data, void *arg);
/* [any] The same without waiting: `fn` is called on the bus's thread, or that
 * of the host's loop: with RT_OK, RT_ETIMEOUT, or RT_ECANCELED when the waiter
 * was closed, the awaiter freed or the bus has ended, which may also be from
 * inside that call. RT_EINVAL: it is waited for already; RT_ENOMEM; then `fn`
 * is not called. */
RT_API rt_err rt_waiter_wait_async(rt_waiter *waiter, rt_waited_fn fn,
                                   void *arg, rt_error *err);
/* [any] The event it waited for [borrowed until it is closed], once there is
 * one, else NULL. */
RT_API const rt_event *rt_waiter_event(const rt_waiter *waiter);
/* [any] Wait no more; allowed after the awaiter was freed. */
RT_API void rt_waiter_close(rt_waiter *waiter);

RT_END_DECL
#endif
