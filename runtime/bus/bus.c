/* bus.c - the life of a bus; see bus/bus.h for the picture.
 * SPDX-License-Identifier: MIT */
#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/host.h"

#define INTAKE_BYTES    ((uint64_t)64 << 20)
#define MAX_SUBSCRIBERS 1048576u

/* --- waiting for room ------------------------------------------------ */

bool rt__bus_await_room(rt_bus *bus, rt__room *room, uint64_t bytes) {
  rt__latch_take(&bus->latch);
  /* first, so that either we see what is given back or it sees us */
  atomic_store(&bus->room_wanted, true);
  bool wait = !atomic_load(&bus->ended) &&
              rt__bus_admit_latched(bus, bytes) == RT_EFULL;
  room->waiting = wait;
  if (wait && bus->rooms) {
    room->next = bus->rooms;
    room->prev = bus->rooms->prev;
    room->prev->next = room->next->prev = room;
  } else if (wait)
    bus->rooms = room->next = room->prev = room;
  rt__latch_leave(&bus->latch);
  return wait;
}

bool rt__bus_cancel_room(rt_bus *bus, rt__room *room) {
  rt__latch_take(&bus->latch);
  bool waited = room->waiting;
  if (waited) {
    room->waiting = false;
    if (bus->rooms == room) bus->rooms = room->next == room ? NULL : room->next;
    room->prev->next = room->next;
    room->next->prev = room->prev;
  }
  rt__latch_leave(&bus->latch);
  return waited;
}

/* --- life ------------------------------------------------------------ */

bool rt__bus_on_thread(const rt_bus *bus) {
  uv_thread_t self = uv_thread_self();
  return uv_thread_equal(&self, &bus->thread);
}

void rt__bus_set_group(rt_bus *bus, const rt__bus_group *group) {
  bus->group = *group;
}

void rt__bus_set_hook(rt_bus *bus, const rt__bus_hook *hook) {
  bus->hook = *hook;
}

static rt_err init_parts(rt_bus *bus, rt_error *err) {
  bus->index = rt__index_new();
  bus->memo = rt__memo_new();
  if (!bus->index || !bus->memo || !rt__intake_init(&bus->intake, &bus->reader))
    return rt_fail(err, RT_ENOMEM, "bus: no memory");
  if (uv_mutex_init(&bus->lock) != 0)
    return rt_fail(err, RT_ENOMEM, "bus: cannot create its lock");
  if (uv_mutex_init(&bus->index_lock) != 0) goto lock;
  if (uv_cond_init(&bus->wake) != 0) goto index_lock;
  if (uv_cond_init(&bus->changed) != 0) goto wake;
  if (uv_thread_create(&bus->thread, rt__bus_run, bus) == 0) return RT_OK;

  uv_cond_destroy(&bus->changed);
wake:
  uv_cond_destroy(&bus->wake);
index_lock:
  uv_mutex_destroy(&bus->index_lock);
lock:
  uv_mutex_destroy(&bus->lock);
  return rt_fail(err, RT_EUNAVAIL, "bus: cannot start its thread");
}

static void free_parts(rt_bus *bus) {
  rt__memo_free(bus->memo);
  rt__index_free(bus->index);
  rt__intake_deinit(&bus->intake, &bus->reader);
  rt__bus_free_pages(bus);
  free(bus);
}

static rt_err attach(rt_bus *bus, uv_loop_t *loop, rt_error *err) {
  rt__host *host;
  rt_err rc = rt__host_new(&host, loop, err);
  if (rc == RT_OK) rc = rt__bus_set_host(bus, host, true, err);
  return rc;
}

rt_err rt_bus_new(rt_bus **out, const rt_bus_opts *opts, rt_error *err) {
  rt_bus_opts o = RT_BUS_OPTS_INIT;
  *out = NULL;
  if (opts) memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  rt_bus *bus = aligned_alloc(_Alignof(rt_bus), sizeof(*bus));
  if (!bus) return rt_fail(err, RT_ENOMEM, "bus: no memory");
  memset(bus, 0, sizeof(*bus));
  bus->seed = rt__hash_seed();
  bus->intake_bytes = o.intake_bytes ? o.intake_bytes : INTAKE_BYTES;
  bus->charge_ends = bus->intake_bytes;
  bus->max_subscribers =
      o.max_subscribers ? o.max_subscribers : MAX_SUBSCRIBERS;
  atomic_store(&bus->turn, 1);
  atomic_store(&bus->idle, true);
  rt_err rc = init_parts(bus, err);
  if (rc != RT_OK) {
    free_parts(bus);
    return rc;
  }
  if (o.loop) rc = attach(bus, o.loop, err);
  if (rc != RT_OK)
    rt_bus_free(bus);
  else
    *out = bus;
  return rc;
}

/* Wait until the thread has ended; false after `timeout` seconds. */
static bool wait_end_locked(rt_bus *bus, double timeout) {
  uint64_t start = rt__now_ns();
  uint64_t limit = rt__span_ns(timeout);
  while (!atomic_load(&bus->ended)) {
    if (timeout < 0) {
      uv_cond_wait(&bus->changed, &bus->lock);
      continue;
    }
    uint64_t gone = rt__now_ns() - start;
    if (gone >= limit) return false;
    uv_cond_timedwait(&bus->changed, &bus->lock, limit - gone);
  }
  return true;
}

rt_err rt_bus_stop(rt_bus *bus, double timeout) {
  if (rt__bus_on_thread(bus)) return RT_EINVAL;
  uv_mutex_lock(&bus->lock);
  rt__latch_take(&bus->latch);
  atomic_store(&bus->closing, true);
  bus->charge_ends = 0;
  rt__latch_leave(&bus->latch);
  uv_cond_signal(&bus->wake);
  bool ended = wait_end_locked(bus, timeout);
  bool join = ended && !bus->joined;
  bus->joined |= ended;
  bus->gave_up |= !ended;
  uv_mutex_unlock(&bus->lock);
  if (join) uv_thread_join(&bus->thread);
  return ended ? RT_OK : RT_ETIMEOUT;
}

/* A callback that did not return in time is not waited for again. */
static bool leave_to_thread(rt_bus *bus) {
  uv_mutex_lock(&bus->lock);
  bool stuck = bus->gave_up && !atomic_load(&bus->ended);
  if (stuck) {
    bus->orphan = true;
    pthread_detach(bus->thread);
  }
  uv_mutex_unlock(&bus->lock);
  return stuck;
}

void rt_bus_free(rt_bus *bus) {
  if (!bus || leave_to_thread(bus)) return;
  rt_bus_stop(bus, -1);
  rt__bus_free_host(bus);
  rt__bus_destroy(bus);
}

void rt__bus_destroy(rt_bus *bus) {
  uv_cond_destroy(&bus->changed);
  uv_cond_destroy(&bus->wake);
  uv_mutex_destroy(&bus->index_lock);
  uv_mutex_destroy(&bus->lock);
  free_parts(bus);
}

/* --- counters -------------------------------------------------------- */

rt_err rt__bus_refuse(rt_bus *bus, rt_err rc) {
  int why = rc == RT_EUNAVAIL  ? RT__AT_CAP
            : rc == RT_EFULL   ? RT__FULL
            : rc == RT_ECLOSED ? RT__CLOSED
            : rc == RT_ENOMEM  ? RT__NO_MEMORY
                               : RT__INVALID;
  atomic_fetch_add_explicit(&bus->refused[why], 1, memory_order_relaxed);
  return rc;
}

void rt_bus_get_stats_sized(rt_bus *bus, rt_bus_stats *out, size_t size) {
  rt_bus_stats now = {0};
  rt__latch_take(&bus->latch);
  now.published = bus->published;
  now.queued = bus->published - atomic_load(&bus->dispatched);
  rt__latch_leave(&bus->latch);
  now.published += atomic_load(&bus->unheard);
  now.subscribers = atomic_load(&bus->subscribers);
  now.delivered = atomic_load(&bus->delivered);
  now.dropped = atomic_load(&bus->dropped);
  now.rejected_cap = atomic_load(&bus->refused[RT__AT_CAP]);
  now.rejected_full = atomic_load(&bus->refused[RT__FULL]);
  now.rejected_closed = atomic_load(&bus->refused[RT__CLOSED]);
  now.rejected_invalid = atomic_load(&bus->refused[RT__INVALID]);
  now.rejected_memory = atomic_load(&bus->refused[RT__NO_MEMORY]);
  if (size > sizeof(now)) memset(out, 0, size);
  memcpy(out, &now, size < sizeof(now) ? size : sizeof(now));
}
