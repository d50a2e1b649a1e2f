/* send.c - the way of an event into the queue.
 *
 * All of it runs on the sender's thread, for every event, so it is straight:
 * lengths, one hash of the name, the fingerprint that says whether anybody
 * listens, then the latch, the record, and out. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "bus/bus.h"

#define PATH_SIZE_MAX (UINT32_MAX / 2)
#define K1            0x9E3779B97F4A7C15u
#define K2            0xD6E8FEB86659FD93u

/* A call for each part would cost as much as the part. */
#define INLINE static inline __attribute__((always_inline))

/* --- names ----------------------------------------------------------- */

static inline uint64_t load8(const char *at) {
  uint64_t v;
  memcpy(&v, at, 8);
  return v;
}
static inline uint64_t load4(const char *at) {
  uint32_t v;
  memcpy(&v, at, 4);
  return v;
}
static inline uint64_t load2(const char *at) {
  uint16_t v;
  memcpy(&v, at, 2);
  return v;
}

__extension__ typedef unsigned __int128 u128;

INLINE uint64_t mix(uint64_t a, uint64_t b) {
  u128 p = (u128)a * b;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Of a terminated text, its end included; what is usual is at most 16 bytes. */
INLINE uint64_t hash_text(const char *text, size_t size, uint64_t seed) {
  size_t n = size + 1; /* 2 at least */
  if (n > 16) return rt__hash(text, size, seed);
  if (n >= 8) return mix(load8(text) ^ seed, load8(text + n - 8) ^ K1 ^ size);
  if (n >= 4) return mix(load4(text) ^ seed, load4(text + n - 4) ^ K1 ^ size);
  return mix(load2(text) ^ seed, load2(text + n - 2) ^ K1 ^ size);
}

INLINE uint64_t hash_names(const rt_bus *bus, const rt__event_names *n) {
  uint64_t a = hash_text(n->system, n->system_size, bus->seed);
  uint64_t b = hash_text(n->kind, n->kind_size, bus->seed ^ K2);
  return mix(a ^ K2, b ^ bus->seed);
}

/* Copy a text of 2 bytes at least, its end included. */
INLINE char *put_text(char *to, const char *text, size_t n) {
  if (n > 16)
    memcpy(to, text, n);
  else if (n >= 8) {
    uint64_t a = load8(text), b = load8(text + n - 8);
    memcpy(to, &a, 8);
    memcpy(to + n - 8, &b, 8);
  } else if (n >= 4) {
    uint32_t a = (uint32_t)load4(text), b = (uint32_t)load4(text + n - 4);
    memcpy(to, &a, 4);
    memcpy(to + n - 4, &b, 4);
  } else {
    uint16_t a = (uint16_t)load2(text), b = (uint16_t)load2(text + n - 2);
    memcpy(to, &a, 2);
    memcpy(to + n - 2, &b, 2);
  }
  return to + n;
}

INLINE rt__event_names measure(const char *system, const char *kind,
                               const char *path) {
  return (rt__event_names){system,       kind,         path, strlen(system),
                           strlen(kind), strlen(path), 0};
}

/* None is empty, none too long. */
INLINE bool are_fit(const rt__event_names *n) {
  return n->system_size - 1 < RT__BUS_NAME_MAX &&
         n->kind_size - 1 < RT__BUS_NAME_MAX &&
         n->path_size - 1 < PATH_SIZE_MAX;
}

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

/* --- who listens ----------------------------------------------------- */

static bool ask_index(rt_bus *bus, const rt__event_names *n) {
  uv_mutex_lock(&bus->index_lock);
  bool yes = rt__index_has(bus->index, n->system, n->system_size, n->kind,
                           n->kind_size);
  uv_mutex_unlock(&bus->index_lock);
  return yes;
}

/* A fingerprint is the name's hash, mixed with the turn of the index, with the
 * answer in its lowest bit. The seed is secret, so 63 bits decide. The turn is
 * read first: an answer older than a change is never found again. */
INLINE bool is_heard(rt_bus *bus, const rt__event_names *n) {
  if (atomic_load_explicit(&bus->subscribers, memory_order_relaxed) == 0)
    return false;
  uint64_t turn = atomic_load_explicit(&bus->turn, memory_order_acquire);
  uint64_t print = (n->hash ^ turn * K1) & ~(uint64_t)1;
  atomic_uint_fast64_t *slot = &bus->fingerprints[n->hash % RT__FINGERPRINTS];
  uint64_t known = atomic_load_explicit(slot, memory_order_relaxed);
  if ((known & ~(uint64_t)1) == print) return known & 1;
  bool yes = ask_index(bus, n);
  atomic_store_explicit(slot, print | yes, memory_order_relaxed);
  return yes;
}

bool rt_bus_wanted(rt_bus *bus, const char *system, const char *kind) {
  rt__event_names n = measure(system, kind, "");
  if (n.system_size == 0 || n.kind_size == 0) return false;
  n.hash = hash_names(bus, &n);
  return is_heard(bus, &n);
}

/* --- into the queue -------------------------------------------------- */

/* May `bytes` more come in? A single event always may. */
rt_err rt__bus_admit_latched(rt_bus *bus, uint64_t bytes) {
  if (atomic_load(&bus->closing)) return RT_ECLOSED;
  bus->charge_ends = atomic_load(&bus->returned) + bus->intake_bytes;
  if (bus->charged + bytes <= bus->charge_ends ||
      bus->published == atomic_load(&bus->dispatched))
    return RT_OK;
  return RT_EFULL;
}

/* What the bus thread gave back is looked at only when what was known of it is
 * used up. */
INLINE rt_err admit(rt_bus *bus, uint64_t bytes) {
  if (bus->charged + bytes <= bus->charge_ends) return RT_OK;
  return rt__bus_admit_latched(bus, bytes);
}

/* A call comes in as long as the thread is there. */
INLINE rt_err enter(rt_bus *bus, rt__record_kind kind, uint64_t bytes) {
  if (kind == RT__RECORD_EVENT) return admit(bus, bytes);
  return atomic_load(&bus->ended) ? RT_ECLOSED : RT_OK;
}

/* Take the latch and reserve a record; on failure the latch is left. */
INLINE rt_err reserve(rt_bus *bus, rt__record **out, size_t size,
                      uint64_t bytes, rt__record_kind kind) {
  rt__latch_take(&bus->latch);
  for (;;) {
    rt_err rc = enter(bus, kind, bytes);
    if (rc == RT_OK && (*out = rt__intake_reserve(&bus->intake, size, kind)))
      return RT_OK;
    rt__latch_leave(&bus->latch);
    if (rc != RT_OK) return rc;
    rt__chunk *chunk = rt__chunk_new(size);
    if (!chunk) return RT_ENOMEM;
    rt__latch_take(&bus->latch);
    rt__intake_add(&bus->intake, chunk);
  }
}

static void wake_up(rt_bus *bus) {
  uv_mutex_lock(&bus->lock); /* under this it looks, then sleeps */
  uv_mutex_unlock(&bus->lock);
  uv_cond_signal(&bus->wake);
}

/* Hand over what was reserved, and leave the latch. */
INLINE void commit(rt_bus *bus, size_t size, uint64_t bytes) {
  bool first = atomic_load_explicit(&bus->idle, memory_order_relaxed);
  rt__intake_commit(&bus->intake, size);
  bus->charged += bytes;
  if (first) {
    atomic_store(&bus->idle, false);
    if (bus->hook.busy) bus->hook.busy(bus->hook.self);
  }
  rt__latch_leave(&bus->latch);
  if (first) wake_up(bus);
}

bool rt__bus_call(rt_bus *bus, void (*fn)(rt_bus *bus, void *arg), void *arg) {
  const size_t size = rt__record_size(0);
  rt__record *record;
  if (reserve(bus, &record, size, size, RT__RECORD_CALL) != RT_OK) return false;
  record->as.call.fn = fn;
  record->as.call.arg = arg;
  commit(bus, size, size);
  return true;
}

/* --- events ---------------------------------------------------------- */

/* Data of an event: a value, or bytes of wire form to be copied. */
typedef struct payload {
  const rt_value *value;
  const void *bytes;
  size_t size; /* of `bytes` */
} payload;

INLINE void fill(rt__record *record, const rt__event_names *n,
                 const payload *data) {
  char *text = rt__record_text(record);
  record->as.event.hash = n->hash;
  record->as.event.data = data->value ? rt_value_ref(data->value) : NULL;
  record->as.event.data_size = (uint32_t)data->size;
  record->as.event.system_size = (uint32_t)n->system_size;
  record->as.event.kind_size = (uint32_t)n->kind_size;
  record->as.event.path_size = (uint32_t)n->path_size;
  text = put_text(text, n->system, n->system_size + 1);
  text = put_text(text, n->kind, n->kind_size + 1);
  text = put_text(text, n->path, n->path_size + 1);
  if (data->size) memcpy(text, data->bytes, data->size);
}

uint64_t rt__bus_charge(size_t text, const rt_value *data) {
  return rt__record_size(text + 3) +
         (data ? rt_value_size(data) + RT__VALUE_BYTES : 0);
}

INLINE rt_err enqueue(rt_bus *bus, const rt__event_names *n,
                      const payload *data) {
  size_t text = n->system_size + n->kind_size + n->path_size + data->size;
  size_t size = rt__record_size(text + 3);
  uint64_t bytes = rt__bus_charge(text, data->value);
  rt__record *record;
  rt_err rc = reserve(bus, &record, size, bytes, RT__RECORD_EVENT);
  if (rc != RT_OK) return rc;
  fill(record, n, data);
  bus->published++;
  commit(bus, size, bytes);
  return RT_OK;
}

INLINE bool skip(rt_bus *bus, const rt__event_names *n) {
  if (is_heard(bus, n)) return false;
  atomic_fetch_add_explicit(&bus->unheard, 1, memory_order_relaxed);
  return true;
}

static bool is_closing(rt_bus *bus) {
  return atomic_load_explicit(&bus->closing, memory_order_relaxed);
}

static rt_err send_event(rt_bus *bus, const char *system, const char *kind,
                         const char *path, const payload *data) {
  if (!system || !kind || !path) return RT_EINVAL;
  rt__event_names n = measure(system, kind, path);
  if (!are_fit(&n)) return RT_EINVAL;
  if (is_closing(bus)) return RT_ECLOSED;
  n.hash = hash_names(bus, &n);
  return skip(bus, &n) ? RT_OK : enqueue(bus, &n, data);
}

rt_err rt_bus_send(rt_bus *bus, const char *system, const char *kind,
                   const char *path, const rt_value *data) {
  const payload value = {data, NULL, 0};
  rt_err rc = send_event(bus, system, kind, path, &value);
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}

/* --- in two steps, with lengths that are known ------------------------ */

bool rt__bus_skip_names(rt_bus *bus, rt__event_names *names) {
  names->hash = hash_names(bus, names);
  return !is_closing(bus) && skip(bus, names);
}

rt_err rt__bus_send_names(rt_bus *bus, const rt__event_names *names,
                          const void *bytes, size_t size) {
  const payload inlined = {NULL, bytes, size};
  rt_err rc = are_fit(names) ? enqueue(bus, names, &inlined) : RT_EINVAL;
  return rc == RT_OK ? rc : rt__bus_refuse(bus, rc);
}
