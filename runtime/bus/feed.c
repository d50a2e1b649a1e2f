/* feed.c - a bounded ring of events with an overflow policy; see bridge.h.
 *
 * The bus thread offers, the worker's thread takes. What is dropped is counted
 * under the same lock, so sent = taken + dropped + buffered at any moment.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bus/bridge.h"

enum { FIRST_ROOM = 8, KEEP_ROOM = 1024, FIRST_LAG = 1024 };

void rt__shared_unref(rt__shared *event) {
  if (atomic_fetch_sub_explicit(&event->refs, 1, memory_order_acq_rel) > 1)
    return;
  rt__bridge *b = event->bridge;
  rt_value_unref(event->data);
  atomic_fetch_sub_explicit(&b->held, event->cost, memory_order_relaxed);
  if (event->pooled)
    rt__pool_put(&b->pool, event);
  else
    free(event);
}

void rt__shared_unref_all(rt__shared **events, size_t count) {
  for (size_t i = 0; i < count; i++) rt__shared_unref(events[i]);
}

rt_view rt__shared_data(const rt__shared *event) {
  if (event->data || event->data_size == 0) return rt_value_view(event->data);
  const unsigned char *bytes = (const unsigned char *)event->text +
                               event->system_size + event->kind_size +
                               event->path_size + 3;
  return (rt_view){bytes, bytes + event->data_size};
}

/* --- the ring -------------------------------------------------------- */

static bool grow_locked(rt__feed *f) {
  uint32_t room = f->room ? f->room * 2 : FIRST_ROOM;
  rt__shared **ring = malloc(room * sizeof(*ring));
  if (!ring) return false;
  for (uint32_t i = 0; i < f->count; i++)
    ring[i] = f->ring[(f->first + i) & (f->room - 1)];
  free(f->ring);
  f->ring = ring;
  f->room = room;
  f->first = 0;
  return true;
}

static bool append_locked(rt__feed *f, rt__shared *event) {
  if (f->count == f->room && !grow_locked(f)) return false;
  f->ring[(f->first + f->count) & (f->room - 1)] = event;
  f->count++;
  f->bytes += event->cost;
  return true;
}

static rt__shared *shift_locked(rt__feed *f) {
  rt__shared *event = f->ring[f->first];
  f->first = (f->first + 1) & (f->room - 1);
  f->bytes -= event->cost;
  if (--f->count == 0) {
    f->lag_mark = FIRST_LAG;
    if (f->room > KEEP_ROOM) { /* a burst's memory goes with it */
      free(f->ring);
      f->ring = NULL;
      f->room = f->first = 0;
    }
  }
  return event;
}

/* --- offering -------------------------------------------------------- */

/* Passed a mark: the next one is twice as far. */
static bool passed(uint64_t value, uint64_t *mark) {
  if (value < *mark) return false;
  while (*mark <= value) *mark *= 2;
  return true;
}

static bool fits_locked(const rt__feed *f, const rt__shared *event) {
  return f->count == 0 || f->bytes + event->cost <= f->bridge->feed_bytes;
}

static bool is_full_locked(const rt__feed *f, const rt__shared *event) {
  const rt__bridge *b = f->bridge;
  if (f->count >= f->limit || !fits_locked(f, event)) return true;
  return f->count > 0 &&
         atomic_load_explicit(&b->held, memory_order_relaxed) > b->held_bytes;
}

static void lose(rt__feed *f, rt__offer *offer) {
  offer->lost++;
  f->dropped++;
}

/* Act by the feed's policy; false when the event is the one that is lost. */
static bool overflow_locked(rt__feed *f, const rt__shared *event,
                            rt__offer *offer) {
  if (f->overflow == RT__DROP_OLDEST) {
    do {
      lose(f, offer);
      rt__shared_unref(shift_locked(f));
    } while (!fits_locked(f, event));
    return true;
  }
  lose(f, offer);
  offer->full = f->overflow == RT__CLOSE;
  f->closed |= offer->full;
  return false;
}

rt__offer rt__feed_offer(rt__feed *f, rt__shared *event) {
  rt__offer offer = {false, false, false, false, 0};
  uv_mutex_lock(&f->lock);
  if (!f->closed) {
    if (!is_full_locked(f, event) || overflow_locked(f, event, &offer)) {
      offer.taken = append_locked(f, event);
      if (!offer.taken) lose(f, &offer);
    }
    bool late = passed(f->count, &f->lag_mark);
    bool lost = passed(f->dropped, &f->drop_mark);
    offer.lagging = late || lost;
    offer.notify = f->armed;
    f->armed = false;
  }
  uv_mutex_unlock(&f->lock);
  return offer;
}

/* --- taking ---------------------------------------------------------- */

size_t rt__feed_take(rt__feed *f, rt__shared **out, size_t max, bool *end) {
  size_t n = 0;
  uv_mutex_lock(&f->lock);
  while (n < max && f->count > 0) out[n++] = shift_locked(f);
  *end = n == 0 && f->closed;
  if (n == 0) f->armed = !f->closed;
  uv_mutex_unlock(&f->lock);
  return n;
}

void rt__feed_untake(rt__feed *f, rt__shared **events, size_t count) {
  uv_mutex_lock(&f->lock);
  while (count > 0) {
    rt__shared *event = events[--count];
    if (f->count == f->room && !grow_locked(f)) {
      f->dropped++;
      rt__shared_unref(event);
      continue;
    }
    f->first = (f->first - 1) & (f->room - 1);
    f->ring[f->first] = event;
    f->count++;
    f->bytes += event->cost;
  }
  uv_mutex_unlock(&f->lock);
}

uint64_t rt__feed_dropped(rt__feed *f) {
  uv_mutex_lock(&f->lock);
  uint64_t dropped = f->dropped;
  uv_mutex_unlock(&f->lock);
  return dropped;
}

void rt__feed_discard(rt__feed *f) {
  rt__feed_close(f);
  uv_mutex_lock(&f->lock);
  rt__shared **ring = f->ring;
  uint32_t first = f->first, count = f->count, mask = f->room - 1;
  f->ring = NULL;
  f->room = f->first = f->count = 0;
  f->bytes = 0;
  uv_mutex_unlock(&f->lock);
  for (uint32_t i = 0; i < count; i++)
    rt__shared_unref(ring[(first + i) & mask]);
  free(ring);
}

const rt_error *rt__feed_fault(const rt__feed *f) {
  return f->fault;
}

uint64_t rt__feed_token(const rt__feed *f) {
  return f->number;
}
