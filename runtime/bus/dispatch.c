/* dispatch.c - the bus thread: take all that is queued, hand it out.
 *
 * The memo knows for a (system, kind) who listens, until the index changes.
 * All here runs on the bus thread. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bus/alarm.h"
#include "bus/bus.h"
#include "value/wire.h"

/* About what two wake-ups cost, and what is worth it anyway. */
#define LINGER_NS     15000u
#define LINGER_MIN_NS 500u
/* How long memory must not have been needed before it goes. */
#define TRIM_NS 100000000u

/* Less than so many bytes: the sender has just begun. Between two looks into
 * the queue then: about half a microsecond. */
enum { BATCH = 4096, PAUSES = 16, LOOKS = 2, ANEW = 64 };

/* --- routes ---------------------------------------------------------- */

static bool route_resize(rt__audience *r, size_t count) {
  free(r->subs);
  free(r->args);
  r->subs = malloc((count + 1) * sizeof(*r->subs));
  r->args = malloc((count + 1) * sizeof(*r->args));
  r->single_count = r->group_count = 0;
  return r->subs && r->args;
}

static void route_fill(rt__audience *r, rt__entry **found, size_t count) {
  for (size_t i = 0; i < count; i++) {
    rt__sub *sub = rt__entry_arg(found[i]);
    if (sub->fn) r->subs[r->single_count++] = sub;
  }
  for (size_t i = 0; i < count; i++) {
    rt__sub *sub = rt__entry_arg(found[i]);
    if (sub->fn) continue;
    r->args[r->group_count] = sub->arg;
    r->subs[r->single_count + r->group_count++] = sub;
  }
}

/* Ask the index anew; false when memory is short. */
static bool route_renew(rt_bus *bus, rt__audience *r,
                        const rt__record *record) {
  rt__entry **found;
  const char *system = r->name;
  size_t system_size = record->as.event.system_size;
  uint64_t turn = atomic_load(&bus->turn);
  bus->memo->targets -= r->single_count + r->group_count;
  uv_mutex_lock(&bus->index_lock);
  size_t count =
      rt__index_match(bus->index, system, system_size, system + system_size + 1,
                      record->as.event.kind_size, &found);
  uv_mutex_unlock(&bus->index_lock);
  /* only this thread changes the index, so `found` is good */
  bool ok = route_resize(r, count);
  if (ok) route_fill(r, found, count);
  bus->memo->targets += r->single_count + r->group_count;
  r->turn = ok ? turn : 0;
  return ok;
}

static rt__audience *route_of(rt_bus *bus, rt__record *record) {
  const char *name = rt__record_text(record);
  size_t size =
      (size_t)record->as.event.system_size + 1 + record->as.event.kind_size;
  uint64_t hash = record->as.event.hash;
  uint64_t turn = atomic_load_explicit(&bus->turn, memory_order_relaxed);
  rt__audience *r = rt__memo_get(bus->memo, hash, name, size, turn);
  if (!r) return NULL;
  if (r->turn != turn && !route_renew(bus, r, record)) return NULL;
  return r;
}

/* --- handing out ----------------------------------------------------- */

/* The group's members that a callback of this event has not just removed. */
static size_t living(rt__audience *r) {
  size_t kept = 0;
  rt__sub **members = r->subs + r->single_count;
  for (size_t i = 0; i < r->group_count; i++)
    if (rt__sub_lives(members[i])) r->args[kept++] = members[i]->arg;
  return kept;
}

/* Only this thread writes the counter, so no locked instruction is needed. */
static void advance(atomic_uint_fast64_t *counter, uint64_t by) {
  uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
  atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

static void hand_out(rt_bus *bus, rt__audience *r, const rt_event *event,
                     rt_view bytes) {
  size_t heard = 0, members = r->group_count;
  for (size_t i = 0; i < r->single_count; i++) {
    rt__sub *sub = r->subs[i];
    if (!rt__sub_lives(sub)) continue;
    sub->fn(event, sub->arg);
    heard++;
  }
  if (members && bus->dead) members = living(r);
  if (members)
    heard +=
        bus->group.deliver(event, bytes, r->args, members, bus->group.self);
  advance(&bus->delivered, heard);
  if (bus->dead) rt__bus_bury(bus);
}

/* Callbacks get their data as a value; false when memory is short. */
static bool make_value(rt_event *event, rt_view bytes) {
  unsigned char *to;
  size_t size = (size_t)(bytes.end - bytes.at);
  rt_value *value = rt__value_alloc(size, &to);
  if (value) memcpy(to, bytes.at, size);
  event->data = value;
  return value != NULL;
}

/* Hand out one event; returns what it was charged with. */
static uint64_t dispatch(rt_bus *bus, rt__record *record) {
  const char *text = rt__record_text(record);
  uint64_t charge = record->size;
  rt_event event;
  rt_view bytes = {NULL, NULL};
  rt__audience *r = route_of(bus, record);
  event.system = text;
  event.kind = event.system + record->as.event.system_size + 1;
  event.path = event.kind + record->as.event.kind_size + 1;
  event.data = record->as.event.data;
  if (event.data) charge += rt_value_size(event.data) + RT__VALUE_BYTES;
  if (record->as.event.data_size) {
    bytes.at =
        (const unsigned char *)event.path + record->as.event.path_size + 1;
    bytes.end = bytes.at + record->as.event.data_size;
  }
  if (r && (!bytes.at || !r->single_count || make_value(&event, bytes)))
    hand_out(bus, r, &event, bytes);
  else
    rt__bus_count_dropped(bus, 1);
  if (event.data) rt_value_unref((rt_value *)event.data);
  advance(&bus->dispatched, 1);
  return charge;
}

/* Returns what all of it was charged with. */
static uint64_t work_through(rt_bus *bus, rt__span span) {
  rt__record *record;
  uint64_t charge = 0;
  bool events = false;
  while ((record = rt__span_next(&span)) != NULL) {
    if (record->kind == RT__RECORD_EVENT) {
      events = true;
      charge += dispatch(bus, record);
      continue;
    }
    charge += record->size;
    record->as.call.fn(bus, record->as.call.arg);
    rt__bus_bury(bus);
  }
  if (events && bus->group.flush) bus->group.flush(bus->group.self);
  return charge;
}

/* --- what was queued and is done ------------------------------------- */

/* Those who wait for room, when there is some now (all when it ends). */
static rt__room *take_rooms_latched(rt_bus *bus) {
  rt__room *first = bus->rooms;
  uint64_t queued = bus->charged - atomic_load(&bus->returned);
  if (first && !atomic_load(&bus->ended) && queued > bus->intake_bytes / 2)
    return NULL;
  atomic_store(&bus->room_wanted, false);
  if (!first) return NULL;
  first->prev->next = NULL; /* a list from here on */
  bus->rooms = NULL;
  for (rt__room *r = first; r; r = r->next) r->waiting = false;
  return first;
}

static void tell(rt__room *room) {
  while (room) {
    rt__room *next = room->next;
    room->ready(room); /* may free it */
    room = next;
  }
}

static void return_charge(rt_bus *bus, uint64_t bytes) {
  atomic_fetch_add(&bus->returned, bytes);
  if (!atomic_load(&bus->room_wanted)) return;
  rt__latch_take(&bus->latch);
  rt__room *rooms = take_rooms_latched(bus);
  rt__latch_leave(&bus->latch);
  tell(rooms);
}

/* Now and then, let go of the memory that a burst has left behind. */
static void trim(rt_bus *bus, uint64_t now) {
  if (now - bus->trimmed < TRIM_NS) return;
  bus->trimmed = now;
  rt__latch_take(&bus->latch);
  rt__chunk *excess = rt__intake_trim(&bus->intake);
  rt__latch_leave(&bus->latch);
  rt__chunks_free(excess);
}

static void give_back(rt_bus *bus, rt__chunk *chunk) {
  rt__latch_take(&bus->latch);
  bool mine = rt__intake_give_back(&bus->intake, chunk);
  rt__latch_leave(&bus->latch);
  if (mine) rt__chunks_free(chunk);
  trim(bus, rt__now_ns());
}

/* --- the thread ------------------------------------------------------ */

typedef enum found { NOTHING, LITTLE, MUCH } found;

/* All that is queued by now, or as much of it as lies together. */
static found work(rt_bus *bus) {
  rt__span span;
  rt__chunk *done;
  if (!rt__reader_read(&bus->reader, &span, &done)) return NOTHING;
  if (done) give_back(bus, done);
  return_charge(bus, work_through(bus, span));
  return done || span.end - span.at >= BATCH ? MUCH : LITTLE;
}

/* How long to stay awake. What was in vain is halved, for on a busy machine it
 * holds up those who would send; now and then it is tried again. */
static void learn(rt_bus *bus, bool paid) {
  if (paid || ++bus->in_vain % ANEW == 0)
    bus->patience = LINGER_NS;
  else if (bus->patience > LINGER_MIN_NS)
    bus->patience /= 2;
}

/* Waking a sleeping thread costs its sender far more than queueing an event,
 * so stay awake for a moment. Looking all the time would take the memory from
 * the sender that writes it. False: nothing came. */
static bool linger(rt_bus *bus) {
  uint64_t now = rt__now_ns(), until = now + bus->patience;
  bool came = false;
  do {
    for (int i = 0; i < LOOKS && !came; i++) {
      rt__relax(PAUSES);
      came = work(bus) != NOTHING;
    }
    if (came) break;
    now = rt__now_ns();
  } while (now < until);
  learn(bus, came);
  if (!came) trim(bus, now);
  return came;
}

typedef enum state { WORK, SLEEP, SLEEP_FAT, TELL_END, END } state;

static state next_state_latched(rt_bus *bus) {
  if (rt__intake_has(&bus->intake, &bus->reader)) return WORK;
  if (atomic_load(&bus->closing) && !bus->told) return TELL_END;
  atomic_store(&bus->idle, true);
  if (!atomic_load(&bus->closing))
    return rt__intake_is_fat(&bus->intake) ? SLEEP_FAT : SLEEP;
  atomic_store(&bus->ended, true);
  return END;
}

/* How long at most; 0: for ever. */
static uint64_t longest_sleep(const rt_bus *bus, state how) {
  uint64_t most = how == SLEEP ? 0 : TRIM_NS, now;
  if (!bus->alarms) return most;
  now = rt__now_ns();
  uint64_t left = bus->alarms->at > now ? bus->alarms->at - now : 1;
  return most == 0 || left < most ? left : most;
}

/* Sleep until somebody has cleared `idle`, who takes the lock before the
 * signal; with spare memory, or an alarm to ring, not for ever. */
static void sleep_as(rt_bus *bus, state how) {
  uint64_t most = longest_sleep(bus, how);
  int rc = 0;
  uv_mutex_lock(&bus->lock);
  while (rc == 0 && atomic_load(&bus->idle) && !atomic_load(&bus->closing))
    if (most == 0)
      uv_cond_wait(&bus->wake, &bus->lock);
    else
      rc = uv_cond_timedwait(&bus->wake, &bus->lock, most);
  uv_mutex_unlock(&bus->lock);
}

static void ring(rt_bus *bus) {
  if (bus->alarms) rt__alarms_ring(bus, rt__now_ns());
}

/* False when the bus has ended. */
static bool wait_for_work(rt_bus *bus) {
  rt__latch_take(&bus->latch);
  bool busy = !atomic_load(&bus->idle);
  state to = next_state_latched(bus);
  rt__latch_leave(&bus->latch);
  if (to == WORK) return true;
  if (to == TELL_END) { /* while who unsubscribes still waits for us */
    bus->told = true;
    rt__bus_tell_end(bus);
    return true;
  }
  if (busy && bus->hook.idle) bus->hook.idle(bus->hook.self);
  if (to != END) sleep_as(bus, to);
  return to != END;
}

void rt__bus_run(void *arg) {
  rt_bus *bus = arg;
  do {
    ring(bus);
    while (work(bus) == MUCH || linger(bus)) ring(bus);
  } while (wait_for_work(bus));
  rt__alarms_ring(bus, UINT64_MAX);
  return_charge(bus, 0); /* nobody is to wait for room any more */
  rt__bus_remove_all(bus);
  uv_mutex_lock(&bus->lock);
  bool orphan = bus->orphan;
  uv_cond_broadcast(&bus->changed);
  uv_mutex_unlock(&bus->lock);
  if (orphan) rt__bus_destroy(bus);
}
