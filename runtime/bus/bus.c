/* bus.c - the life of a bus, and sending; see bus/bus.h for the picture.
 * SPDX-License-Identifier: MIT */
#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define INTAKE_BYTES    ((uint64_t)64 << 20)
#define MAX_SUBSCRIBERS 1048576u
/* What a queued value costs beyond its bytes. */
#define VALUE_BYTES 32u

/* --- who listens ----------------------------------------------------- */

uint64_t rt__bus_hash(const rt_bus *bus, const char *system, size_t system_size,
                      const char *kind, size_t kind_size) {
  return rt__hash(kind, kind_size, rt__hash(system, system_size, bus->seed));
}

static bool ask_index(rt_bus *bus, const char *system, size_t system_size,
                      const char *kind, size_t kind_size) {
  uv_mutex_lock(&bus->index_lock);
  bool yes = rt__index_has(bus->index, system, system_size, kind, kind_size);
  uv_mutex_unlock(&bus->index_lock);
  return yes;
}

/* A fingerprint is the name's hash, mixed with the turn of the index, with the
 * answer in its lowest bit. The seed is secret, so 63 bits decide. The turn is
 * read first: an answer older than a change is never found again. */
bool rt__bus_heard(rt_bus *bus, const char *system, size_t system_size,
                   const char *kind, size_t kind_size, uint64_t hash) {
  uint64_t turn = atomic_load_explicit(&bus->turn, memory_order_acquire);
  uint64_t print = (hash ^ turn * 0x9E3779B97F4A7C15u) & ~(uint64_t)1;
  atomic_uint_fast64_t *slot = &bus->fingerprints[hash % RT__FINGERPRINTS];
  uint64_t known = atomic_load_explicit(slot, memory_order_relaxed);
  if ((known & ~(uint64_t)1) == print) return known & 1;
  bool yes = ask_index(bus, system, system_size, kind, kind_size);
  atomic_store_explicit(slot, print | yes, memory_order_relaxed);
  return yes;
}

bool rt_bus_wanted(rt_bus *bus, const char *system, const char *kind) {
  size_t system_size = strlen(system), kind_size = strlen(kind);
  if (system_size == 0 || kind_size == 0) return false;
  if (atomic_load_explicit(&bus->subscribers, memory_order_relaxed) == 0)
    return false;
  return rt__bus_heard(bus, system, system_size, kind, kind_size,
                       rt__bus_hash(bus, system, system_size, kind, kind_size));
}

/* --- sending --------------------------------------------------------- */

rt_err rt__bus_check_names(const char *system, const char *kind,
                           const char *path, rt_error *err) {
  const char *const names[] = {"system", "kind", "path"};
  const char *const texts[] = {system, kind, path};
  for (int i = 0; i < 3; i++)
    if (!texts[i] || !*texts[i])
      return rt_fail(err, RT_EINVAL, "event: %s is empty", names[i]);
  for (int i = 0; i < 2; i++)
    if (strlen(texts[i]) > RT__BUS_NAME_MAX)
      return rt_fail(err, RT_EINVAL, "event: %s is longer than %d bytes",
                     names[i], RT__BUS_NAME_MAX);
  return RT_OK;
}

static rt_err admit_locked(const rt_bus *bus, uint64_t bytes) {
  if (atomic_load_explicit(&bus->closing, memory_order_relaxed))
    return RT_ECLOSED;
  if (bus->intake.events > 0 && bus->intake.bytes + bytes > bus->intake_bytes)
    return RT_EFULL;
  return RT_OK;
}

static void note_busy_locked(rt_bus *bus) {
  atomic_store_explicit(&bus->pending, true, memory_order_relaxed);
  if (bus->busy) return;
  bus->busy = true;
  if (bus->hook.busy) bus->hook.busy(bus->hook.self);
}

/* Must the bus thread be woken, once the lock is open? */
static bool note_wake_locked(rt_bus *bus) {
  bool wake = bus->sleeping;
  bus->sleeping = false;
  return wake;
}

typedef struct names {
  const char *system, *kind, *path;
  size_t system_size, kind_size, path_size;
} names;

/* Data of an event: a value, or bytes of wire form to be copied. */
typedef struct payload {
  const rt_value *value;
  const void *bytes;
  size_t size; /* of `bytes` */
} payload;

static void fill(rt__record *record, const names *n, uint64_t hash,
                 const payload *data) {
  char *text = rt__record_text(record);
  record->as.event.hash = hash;
  record->as.event.data = rt_value_ref(data->value);
  record->as.event.data_size = (uint32_t)data->size;
  record->as.event.system_size = (uint32_t)n->system_size;
  record->as.event.kind_size = (uint32_t)n->kind_size;
  record->as.event.path_size = (uint32_t)n->path_size;
  memcpy(text, n->system, n->system_size + 1);
  text += n->system_size + 1;
  memcpy(text, n->kind, n->kind_size + 1);
  text += n->kind_size + 1;
  memcpy(text, n->path, n->path_size + 1);
  if (data->size) memcpy(text + n->path_size + 1, data->bytes, data->size);
}

uint64_t rt__bus_charge(size_t text, const rt_value *data) {
  return sizeof(rt__record) + text + 3 +
         (data ? rt_value_size(data) + VALUE_BYTES : 0);
}

static rt_err enqueue(rt_bus *bus, const names *n, uint64_t hash,
                      const payload *data) {
  size_t text = n->system_size + n->kind_size + n->path_size;
  size_t size = sizeof(rt__record) + text + 3 + data->size;
  uint64_t bytes = rt__bus_charge(text + data->size, data->value);
  bool wake = false;
  uv_mutex_lock(&bus->lock);
  rt_err rc = admit_locked(bus, bytes);
  if (rc == RT_OK) {
    rt__record *record =
        rt__intake_append(&bus->intake, size, bytes, RT__RECORD_EVENT);
    if (record) {
      fill(record, n, hash, data);
      bus->published++;
      note_busy_locked(bus);
      wake = note_wake_locked(bus);
    } else
      rc = RT_ENOMEM;
  }
  uv_mutex_unlock(&bus->lock);
  if (wake) uv_cond_signal(&bus->wake);
  return rc;
}

static rt_err send_event(rt_bus *bus, const char *system, const char *kind,
                         const char *path, const payload *data) {
  if (!system || !*system || !kind || !*kind || !path || !*path)
    return RT_EINVAL;
  names n = {system, kind, path, strlen(system), strlen(kind), strlen(path)};
  if (n.system_size > RT__BUS_NAME_MAX || n.kind_size > RT__BUS_NAME_MAX ||
      n.path_size > UINT32_MAX / 2)
    return RT_EINVAL;
  if (atomic_load_explicit(&bus->closing, memory_order_relaxed))
    return RT_ECLOSED;
  uint64_t hash = rt__bus_hash(bus, system, n.system_size, kind, n.kind_size);
  if (atomic_load_explicit(&bus->subscribers, memory_order_relaxed) > 0 &&
      rt__bus_heard(bus, system, n.system_size, kind, n.kind_size, hash))
    return enqueue(bus, &n, hash, data);
  atomic_fetch_add_explicit(&bus->unheard, 1, memory_order_relaxed);
  return RT_OK;
}

rt_err rt_bus_send(rt_bus *bus, const char *system, const char *kind,
                   const char *path, const rt_value *data) {
  const payload value = {data, NULL, 0};
  rt_err rc = send_event(bus, system, kind, path, &value);
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}

rt_err rt__bus_send_bytes(rt_bus *bus, const char *system, const char *kind,
                          const char *path, const void *bytes, size_t size) {
  const payload inlined = {NULL, bytes, size};
  rt_err rc = send_event(bus, system, kind, path, &inlined);
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}

bool rt__bus_skip(rt_bus *bus, const char *system, const char *kind) {
  if (atomic_load_explicit(&bus->closing, memory_order_relaxed) ||
      rt_bus_wanted(bus, system, kind))
    return false;
  atomic_fetch_add_explicit(&bus->unheard, 1, memory_order_relaxed);
  return true;
}

bool rt__bus_call(rt_bus *bus, void (*fn)(rt_bus *bus, void *arg), void *arg) {
  bool wake = false, ok = false;
  uv_mutex_lock(&bus->lock);
  rt__record *record =
      bus->ended ? NULL
                 : rt__intake_append(&bus->intake, sizeof(rt__record),
                                     sizeof(rt__record), RT__RECORD_CALL);
  if (record) {
    record->as.call.fn = fn;
    record->as.call.arg = arg;
    note_busy_locked(bus);
    wake = note_wake_locked(bus);
    ok = true;
  }
  uv_mutex_unlock(&bus->lock);
  if (wake) uv_cond_signal(&bus->wake);
  return ok;
}

/* --- waiting for room ------------------------------------------------ */

bool rt__bus_await_room(rt_bus *bus, rt__room *room, uint64_t bytes) {
  uv_mutex_lock(&bus->lock);
  bool wait = !bus->ended && admit_locked(bus, bytes) == RT_EFULL;
  room->waiting = wait;
  if (wait && bus->rooms) {
    room->next = bus->rooms;
    room->prev = bus->rooms->prev;
    room->prev->next = room->next->prev = room;
  } else if (wait)
    bus->rooms = room->next = room->prev = room;
  uv_mutex_unlock(&bus->lock);
  return wait;
}

bool rt__bus_cancel_room(rt_bus *bus, rt__room *room) {
  uv_mutex_lock(&bus->lock);
  bool waited = room->waiting;
  if (waited) {
    room->waiting = false;
    if (bus->rooms == room) bus->rooms = room->next == room ? NULL : room->next;
    room->prev->next = room->next;
    room->next->prev = room->prev;
  }
  uv_mutex_unlock(&bus->lock);
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
  if (!bus->index || !bus->memo)
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
  free(bus->places);
  free(bus);
}

rt_err rt_bus_new(rt_bus **out, const rt_bus_opts *opts, rt_error *err) {
  rt_bus_opts o = RT_BUS_OPTS_INIT;
  *out = NULL;
  if (opts) memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  rt_bus *bus = calloc(1, sizeof(*bus));
  if (!bus) return rt_fail(err, RT_ENOMEM, "bus: no memory");
  bus->seed = rt__hash_seed();
  bus->intake_bytes = o.intake_bytes ? o.intake_bytes : INTAKE_BYTES;
  bus->max_subscribers =
      o.max_subscribers ? o.max_subscribers : MAX_SUBSCRIBERS;
  atomic_store(&bus->turn, 1);
  rt_err rc = init_parts(bus, err);
  if (rc != RT_OK)
    free_parts(bus);
  else
    *out = bus;
  return rc;
}

/* Wait until the thread has ended; false after `timeout` seconds. */
static bool wait_end_locked(rt_bus *bus, double timeout) {
  uint64_t start = rt__now_ns();
  uint64_t limit = timeout < 1e9 ? (uint64_t)(timeout * 1e9) : UINT64_MAX / 2;
  while (!bus->ended) {
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
  atomic_store(&bus->closing, true);
  uv_cond_signal(&bus->wake);
  bool ended = wait_end_locked(bus, timeout);
  bool join = ended && !bus->joined;
  bus->joined |= ended;
  uv_mutex_unlock(&bus->lock);
  if (join) uv_thread_join(&bus->thread);
  return ended ? RT_OK : RT_ETIMEOUT;
}

void rt_bus_free(rt_bus *bus) {
  if (!bus) return;
  rt_bus_stop(bus, -1);
  rt__intake_deinit(&bus->intake);
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

void rt_bus_get_stats(rt_bus *bus, rt_bus_stats *out) {
  uv_mutex_lock(&bus->lock);
  out->published = bus->published;
  out->queued = bus->published - atomic_load(&bus->dispatched);
  uv_mutex_unlock(&bus->lock);
  out->published += atomic_load(&bus->unheard);
  out->subscribers = atomic_load(&bus->subscribers);
  out->delivered = atomic_load(&bus->delivered);
  out->dropped = atomic_load(&bus->dropped);
  out->rejected_cap = atomic_load(&bus->refused[RT__AT_CAP]);
  out->rejected_full = atomic_load(&bus->refused[RT__FULL]);
  out->rejected_closed = atomic_load(&bus->refused[RT__CLOSED]);
  out->rejected_invalid = atomic_load(&bus->refused[RT__INVALID]);
  out->rejected_memory = atomic_load(&bus->refused[RT__NO_MEMORY]);
}
