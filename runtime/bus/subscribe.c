/* subscribe.c - the table of subscriptions, which the bus thread owns.
 *
 * Calls from other threads travel through the intake, so they take effect
 * between the events before and after them; the caller waits until its call
 * was done. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"

/* --- pages: ids to subscriptions ------------------------------------- */

/* An id is turn << 32 | place; it is never used again. The place of one that
 * is dead keeps its last turn. */
enum { PAGE = 64 };
#define DEAD RT__SUB_DEAD
#define TURN ((uint64_t)1 << 32)

/* Room for one page more in the list of them. */
static bool list_page(rt_bus *bus, rt__sub *page) {
  uint32_t count = bus->page_count;
  if ((count & (count - 1)) == 0) { /* its room is the next power of two */
    size_t room = count ? (size_t)count * 2 : 1;
    rt__sub **pages = realloc(bus->pages, room * sizeof(*pages));
    if (!pages) return false;
    bus->pages = pages;
  }
  bus->pages[bus->page_count++] = page;
  return true;
}

static void put_free(rt_bus *bus, rt__sub *sub) {
  sub->as.next = bus->vacant;
  bus->vacant = sub;
}

static bool pages_grow(rt_bus *bus) {
  rt__sub *page = calloc(PAGE, sizeof(*page));
  if (!page || !list_page(bus, page)) {
    free(page);
    return false;
  }
  for (uint32_t i = PAGE; i-- > 0;) {
    page[i].id = DEAD | ((bus->page_count - 1) * PAGE + i);
    put_free(bus, &page[i]);
  }
  return true;
}

/* All places in order; NULL past the last. */
static rt__sub *sub_at(const rt_bus *bus, uint32_t at) {
  if (at / PAGE >= bus->page_count) return NULL;
  return &bus->pages[at / PAGE][at % PAGE];
}

static rt__sub *sub_of(const rt_bus *bus, uint64_t id) {
  rt__sub *sub = sub_at(bus, (uint32_t)id);
  return sub && sub->id == id && rt__sub_lives(sub) ? sub : NULL;
}

void rt__bus_free_pages(rt_bus *bus) {
  for (uint32_t i = 0; i < bus->page_count; i++) free(bus->pages[i]);
  free(bus->pages);
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
  if (!bus->vacant && !pages_grow(bus))
    return rt_fail(err, RT_ENOMEM, "bus: no memory");
  rt__sub *sub = bus->vacant, *rest = sub->as.next;
  if (index_add(bus, system, kind, sub) != RT_OK) {
    sub->as.next = rest;
    return rt_fail(err, RT_ENOMEM, "bus: no memory");
  }
  bus->vacant = rest;
  sub->id = (sub->id & ~DEAD) + TURN;
  sub->fn = what->fn;
  sub->ended = what->ended;
  sub->arg = what->arg;
  *id = sub->id;
  atomic_fetch_add(&bus->subscribers, 1);
  return RT_OK;
}

static void drop(rt_bus *bus, rt__sub *sub) {
  uv_mutex_lock(&bus->index_lock);
  rt__index_remove(bus->index, sub->as.entry);
  uv_mutex_unlock(&bus->index_lock);
  atomic_fetch_add_explicit(&bus->turn, 1, memory_order_release);
  if (sub->fn) atomic_fetch_sub(&bus->subscribers, 1);
  sub->id |= DEAD;
  sub->as.next = bus->dead;
  bus->dead = sub;
}

/* One whose turns are all used stays empty for good. */
void rt__bus_bury(rt_bus *bus) {
  while (bus->dead) {
    rt__sub *sub = bus->dead;
    bus->dead = sub->as.next;
    if ((sub->id & ~DEAD) + TURN < DEAD) put_free(bus, sub);
  }
}

void rt__bus_tell_end(rt_bus *bus) {
  const rt__sub *sub;
  for (uint32_t i = 0; (sub = sub_at(bus, i)); i++) {
    if (!rt__sub_lives(sub)) continue;
    if (sub->fn && sub->ended)
      sub->ended(sub->arg);
    else if (!sub->fn && bus->group.ended)
      bus->group.ended(sub->arg, bus->group.self);
  }
}

void rt__bus_remove_all(rt_bus *bus) {
  rt__sub *sub;
  for (uint32_t i = 0; (sub = sub_at(bus, i)); i++)
    if (rt__sub_lives(sub)) drop(bus, sub);
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
  rt__sub *sub = sub_of(bus, id);
  if (sub) drop(bus, sub);
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

void rt__bus_unsubscribe(rt_bus *bus, uint64_t id) {
  request r = {NULL, NULL, NULL, id, RT_OK, NULL, false};
  if (rt__bus_on_thread(bus))
    rt__bus_leave(bus, id);
  else
    call_and_wait(bus, do_unsubscribe, &r);
}
