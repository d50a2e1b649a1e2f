/* subscribe.c - the table of subscriptions, which the bus thread owns.
 *
 * Calls from other threads travel through the intake, so they take effect
 * between the events before and after them; the caller waits until its call
 * was done. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"

/* --- places: ids to subscriptions ------------------------------------ */

static bool places_grow(rt_bus *bus) {
  uint32_t room = bus->place_room ? bus->place_room * 2 : 64;
  rt__place *places = realloc(bus->places, room * sizeof(*places));
  if (!places) return false;
  for (uint32_t i = room; i-- > bus->place_room;) {
    if (i == 0) break; /* place 0 stays unused: it ends the free list */
    places[i] = (rt__place){NULL, 1, bus->place_free};
    bus->place_free = i;
  }
  if (bus->place_room == 0) places[0] = (rt__place){NULL, 0, 0};
  bus->places = places;
  bus->place_room = room;
  return true;
}

static rt__place *place_of(rt_bus *bus, uint64_t id) {
  uint32_t at = (uint32_t)id;
  if (at >= bus->place_room) return NULL;
  rt__place *p = &bus->places[at];
  return p->sub && p->sub->id == id ? p : NULL;
}

static void place_take(rt_bus *bus, rt__sub *sub) {
  uint32_t at = bus->place_free;
  rt__place *p = &bus->places[at];
  bus->place_free = p->next_free;
  p->sub = sub;
  sub->id = (uint64_t)p->turn << 32 | at;
}

static void place_leave(rt_bus *bus, rt__place *p) {
  p->sub = NULL;
  if (++p->turn == 0) return; /* all its ids were used: rest in peace */
  p->next_free = bus->place_free;
  bus->place_free = (uint32_t)(p - bus->places);
}

/* --- on the bus thread ----------------------------------------------- */

static rt_err index_add(rt_bus *bus, const char *system, const char *kind,
                        rt__sub *sub) {
  if (!kind || !*kind) kind = "**";
  uv_mutex_lock(&bus->index_lock);
  rt_err rc = rt__index_add(bus->index, system, kind, sub, &sub->as.entry);
  uv_mutex_unlock(&bus->index_lock);
  atomic_fetch_add_explicit(&bus->turn, 1, memory_order_release);
  return rc;
}

/* `what`: fn, ended and arg are taken from it. */
static rt_err add(rt_bus *bus, const char *system, const char *kind,
                  const rt__sub *what, uint64_t *id, rt_error *err) {
  if (atomic_load(&bus->closing))
    return rt_fail(err, RT_ECLOSED, "bus: closed");
  if (atomic_load(&bus->subscribers) >= bus->max_subscribers)
    return rt_fail(err, RT_EUNAVAIL, "bus: cap of %u subscribers reached",
                   bus->max_subscribers);
  rt__sub *sub = malloc(sizeof(*sub));
  if (sub) *sub = *what;
  if (!sub || (!bus->place_free && !places_grow(bus)) ||
      index_add(bus, system, kind, sub) != RT_OK) {
    free(sub);
    return rt_fail(err, RT_ENOMEM, "bus: no memory");
  }
  place_take(bus, sub);
  *id = sub->id;
  atomic_fetch_add(&bus->subscribers, 1);
  return RT_OK;
}

static void drop(rt_bus *bus, rt__place *place) {
  rt__sub *sub = place->sub;
  uv_mutex_lock(&bus->index_lock);
  rt__index_remove(bus->index, sub->as.entry);
  uv_mutex_unlock(&bus->index_lock);
  atomic_fetch_add_explicit(&bus->turn, 1, memory_order_release);
  if (sub->fn) atomic_fetch_sub(&bus->subscribers, 1);
  place_leave(bus, place);
  sub->id = 0;
  sub->as.next = bus->dead;
  bus->dead = sub;
}

void rt__bus_bury(rt_bus *bus) {
  while (bus->dead) {
    rt__sub *sub = bus->dead;
    bus->dead = sub->as.next;
    free(sub);
  }
}

void rt__bus_tell_end(rt_bus *bus) {
  for (uint32_t i = 1; i < bus->place_room; i++) {
    const rt__sub *sub = bus->places[i].sub;
    if (sub && sub->fn && sub->ended)
      sub->ended(sub->arg);
    else if (sub && !sub->fn && bus->group.ended)
      bus->group.ended(sub->arg, bus->group.self);
  }
}

void rt__bus_remove_all(rt_bus *bus) {
  for (uint32_t i = 1; i < bus->place_room; i++)
    if (bus->places[i].sub) drop(bus, &bus->places[i]);
  rt__bus_bury(bus);
  atomic_store(&bus->subscribers, 0);
}

void rt__bus_discount(rt_bus *bus) {
  atomic_fetch_sub(&bus->subscribers, 1);
}

rt_err rt__bus_join(rt_bus *bus, uint64_t *id, const char *system,
                    const char *kind, void *arg, rt_error *err) {
  const rt__sub what = {.arg = arg};
  rt_err rc = add(bus, system, kind, &what, id, err);
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}

void rt__bus_leave(rt_bus *bus, uint64_t id) {
  rt__place *place = place_of(bus, id);
  if (place) drop(bus, place);
}

void rt__bus_count_dropped(rt_bus *bus, uint64_t count) {
  atomic_fetch_add_explicit(&bus->dropped, count, memory_order_relaxed);
}

/* --- from any thread ------------------------------------------------- */

typedef struct request {
  const char *system, *kind;
  const rt__sub *what;
  uint64_t id;
  rt_err rc;
  rt_error *err;
  bool done; /* guarded by the bus's lock */
} request;

static void answer(rt_bus *bus, request *r) {
  uv_mutex_lock(&bus->lock);
  r->done = true;
  uv_cond_broadcast(&bus->changed);
  uv_mutex_unlock(&bus->lock);
}

static void do_subscribe(rt_bus *bus, void *arg) {
  request *r = arg;
  r->rc = add(bus, r->system, r->kind, r->what, &r->id, r->err);
  answer(bus, r);
}

static void do_unsubscribe(rt_bus *bus, void *arg) {
  request *r = arg;
  rt__bus_leave(bus, r->id);
  answer(bus, r);
}

/* False when the bus has ended and nothing was done. */
static bool call_and_wait(rt_bus *bus, void (*fn)(rt_bus *, void *),
                          request *r) {
  if (!rt__bus_call(bus, fn, r)) return false;
  uv_mutex_lock(&bus->lock);
  while (!r->done) uv_cond_wait(&bus->changed, &bus->lock);
  uv_mutex_unlock(&bus->lock);
  return true;
}

static rt_err subscribe(rt_bus *bus, uint64_t *id, const char *system,
                        const char *kind, const rt__sub *what, rt_error *err) {
  request r = {system, kind, what, 0, RT_ECLOSED, err, false};
  *id = 0;
  if (!system || !*system)
    return rt_fail(err, RT_EINVAL, "bus: system pattern is required");
  if (!what->fn) return rt_fail(err, RT_EINVAL, "bus: callback is required");
  if (rt__bus_on_thread(bus)) return add(bus, system, kind, what, id, err);
  if (atomic_load(&bus->closing) || !call_and_wait(bus, do_subscribe, &r))
    return rt_fail(err, RT_ECLOSED, "bus: closed");
  *id = r.id;
  return r.rc;
}

rt_err rt__bus_subscribe(rt_bus *bus, uint64_t *id, const char *system,
                         const char *kind, rt_event_fn fn,
                         void (*ended)(void *arg), void *arg, rt_error *err) {
  const rt__sub what = {.fn = fn, .ended = ended, .arg = arg};
  rt_err rc = subscribe(bus, id, system, kind, &what, err);
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}

rt_err rt_bus_subscribe(rt_bus *bus, uint64_t *id, const char *system,
                        const char *kind, rt_event_fn fn, void *arg,
                        rt_error *err) {
  return rt__bus_subscribe(bus, id, system, kind, fn, NULL, arg, err);
}

void rt_bus_unsubscribe(rt_bus *bus, uint64_t id) {
  request r = {NULL, NULL, NULL, id, RT_OK, NULL, false};
  if (rt__bus_on_thread(bus))
    rt__bus_leave(bus, id);
  else
    call_and_wait(bus, do_unsubscribe, &r);
}
