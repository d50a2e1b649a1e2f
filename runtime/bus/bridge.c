/* bridge.c - opening and closing feeds, and delivering to them; see bridge.h.
 *
 * References of a feed: its owner's; the bus's while it is joined; one for each
 * call on its way to the bus thread; one while it is noted for notifying.
 * SPDX-License-Identifier: MIT */
#include "bus/bridge.h"

#include <stdlib.h>
#include <string.h>

rt_bus *rt__bridge_bus(const rt__bridge *bridge) {
  return bridge->bus;
}

/* --- references ------------------------------------------------------ */

static rt__feed *feed_ref(rt__feed *f) {
  atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
  return f;
}

static void bridge_unref(rt__bridge *b) {
  if (atomic_fetch_sub(&b->refs, 1) > 1) return;
  rt__pool_deinit(&b->pool);
  free(b);
}

static void feed_free(rt__feed *f) {
  bridge_unref(f->bridge);
  rt_value_unref(f->token);
  uv_mutex_destroy(&f->lock);
  free(f->fault);
  free(f);
}

void rt__feed_unref(rt__feed *f) {
  if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
    return;
  f->leaving = true; /* whoever comes last has no reason to call the bus */
  rt__feed_discard(f);
  feed_free(f);
}

/* --- joining and leaving, on the bus thread -------------------------- */

static void list_add(rt__bridge *b, rt__feed *f) {
  f->prev = NULL;
  f->next = b->joined;
  if (f->next) f->next->prev = f;
  b->joined = f;
}

static void list_remove(rt__bridge *b, rt__feed *f) {
  if (f->prev)
    f->prev->next = f->next;
  else
    b->joined = f->next;
  if (f->next) f->next->prev = f->prev;
}

/* From now on it is no subscriber, even if the bus has yet to let go of it.
 * Under the lock, so that all are discounted when the bus has told its end. */
static void discount(rt__feed *f) {
  uv_mutex_lock(&f->lock);
  if (f->counted) rt__bus_discount(f->bridge->bus);
  f->counted = false;
  uv_mutex_unlock(&f->lock);
}

static void leave(rt__feed *f) {
  if (!f->id) return;
  discount(f);
  rt__bus_leave(f->bridge->bus, f->id);
  f->id = 0;
  list_remove(f->bridge, f);
  rt__feed_unref(f);
}

static bool is_closed(rt__feed *f) {
  uv_mutex_lock(&f->lock);
  bool closed = f->closed;
  uv_mutex_unlock(&f->lock);
  return closed;
}

/* Note that it has joined; false when it was closed meanwhile. */
static bool count_in(rt__feed *f) {
  uv_mutex_lock(&f->lock);
  f->counted = true;
  bool closed = f->closed;
  uv_mutex_unlock(&f->lock);
  return !closed;
}

static void do_join(rt_bus *bus, void *arg) {
  rt__feed *f = arg;
  rt_error err = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  if (!is_closed(f))
    rc = rt__bus_join(bus, &f->id, f->system, f->kind, f, &err);
  if (f->id) list_add(f->bridge, feed_ref(f));
  if (f->id && !count_in(f)) leave(f);
  if (rc != RT_OK && (f->fault = malloc(sizeof(err))) != NULL) *f->fault = err;
  if (rc != RT_OK) rt__feed_close(f);
  f->ready(f, f->ready_arg);
  rt__feed_unref(f);
}

static void do_leave(rt_bus *bus, void *arg) {
  (void)bus;
  leave(arg);
  rt__feed_unref(arg);
}

/* --- opening and closing, on any thread ------------------------------ */

/* [number], as it travels in the notice. */
static rt_value *make_token(uint64_t number) {
  rt_value *token = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_builder_begin_array(b);
  rt_builder_int(b, (int64_t)number);
  rt_builder_end(b);
  rt_builder_finish(b, &token, NULL);
  rt_builder_free(b);
  return token;
}

static rt__feed *feed_new(rt__bridge *bridge, const rt__feed_opts *opts) {
  const char *kind = opts->kind ? opts->kind : "";
  size_t system_size = strlen(opts->system) + 1, kind_size = strlen(kind) + 1;
  rt__feed *f = calloc(1, sizeof(*f) + system_size + kind_size);
  if (!f || uv_mutex_init(&f->lock) != 0) {
    free(f);
    return NULL;
  }
  f->bridge = bridge;
  atomic_fetch_add(&bridge->refs, 1);
  f->pid = opts->pid;
  f->limit = opts->limit ? opts->limit : RT__FEED_LIMIT;
  f->overflow = opts->overflow;
  f->lag_mark = 1024;
  f->drop_mark = 1;
  f->number = atomic_fetch_add(&bridge->numbers, 1) + 1;
  f->token = make_token(f->number);
  f->system = memcpy(f->text, opts->system, system_size);
  f->kind = memcpy(f->text + system_size, kind, kind_size);
  atomic_init(&f->refs, 1);
  if (f->token) return f;
  feed_free(f);
  return NULL;
}

static rt_err open_feed(rt__feed **out, rt__bridge *bridge,
                        const rt__feed_opts *opts,
                        void (*ready)(rt__feed *feed, void *arg), void *arg,
                        rt_error *err) {
  *out = NULL;
  if (!opts->system || !*opts->system)
    return rt_fail(err, RT_EINVAL, "bus: system pattern is required");
  if (atomic_load(&bridge->bus->closing))
    return rt_fail(err, RT_ECLOSED, "bus: closed");
  rt__feed *f = feed_new(bridge, opts);
  if (!f) return rt_fail(err, RT_ENOMEM, "bus: no memory");
  f->ready = ready;
  f->ready_arg = arg;
  *out = f; /* before `ready` can see it */
  if (rt__bus_call(bridge->bus, do_join, feed_ref(f))) return RT_OK;
  *out = NULL;
  rt__feed_unref(f);
  rt__feed_unref(f);
  return rt_fail(err, RT_ECLOSED, "bus: closed");
}

rt_err rt__feed_open(rt__feed **out, rt__bridge *bridge,
                     const rt__feed_opts *opts,
                     void (*ready)(rt__feed *feed, void *arg), void *arg,
                     rt_error *err) {
  rt_err rc = open_feed(out, bridge, opts, ready, arg, err);
  return rc == RT_OK ? rc : rt__bus_refuse(bridge->bus, rc);
}

void rt__feed_close(rt__feed *f) {
  uv_mutex_lock(&f->lock);
  bool first = !f->leaving;
  f->closed = true;
  f->leaving = true;
  uv_mutex_unlock(&f->lock);
  discount(f);
  /* after the end of the bus, rt__bridge_free() lets go of it */
  if (first && !rt__bus_call(f->bridge->bus, do_leave, feed_ref(f)))
    rt__feed_unref(f);
}

typedef struct burial {
  rt__bridge *bridge;
  bool (*alive)(void *arg, rt_pid pid);
  void *arg;
} burial;

static void do_bury(rt_bus *bus, void *arg) {
  burial *b = arg;
  (void)bus;
  for (rt__feed *f = b->bridge->joined; f; f = f->next)
    if (!b->alive(b->arg, f->pid)) rt__feed_discard(f);
  free(b);
}

void rt__bridge_bury(rt__bridge *bridge, bool (*alive)(void *arg, rt_pid pid),
                     void *arg) {
  burial *b = malloc(sizeof(*b));
  if (!b) return; /* what they hold is bounded */
  *b = (burial){bridge, alive, arg};
  if (!rt__bus_call(bridge->bus, do_bury, b)) free(b);
}

/* --- delivering, on the bus thread ----------------------------------- */

/* Memory for an event of `size` bytes in all. */
static rt__shared *shared_new(rt__bridge *b, size_t size) {
  bool small = size <= RT__POOL_BLOCK;
  rt__shared *s = small ? rt__pool_take(&b->pool) : malloc(size);
  if (!s) return NULL;
  s->pooled = small;
  s->bridge = b;
  s->cost = small ? RT__POOL_BLOCK : size;
  return s;
}

/* `bytes` (may be empty) are the data when event->data is not. */
static rt__shared *share(rt__bridge *b, const rt_event *event, rt_view bytes,
                         size_t refs) {
  size_t system = strlen(event->system), kind = strlen(event->kind),
         path = strlen(event->path);
  size_t text = system + kind + path + 3;
  size_t data = (size_t)(bytes.end - bytes.at);
  rt__shared *s = shared_new(b, sizeof(*s) + text + data);
  if (!s) return NULL;
  atomic_init(&s->refs, (unsigned)refs);
  s->system_size = (uint32_t)system;
  s->kind_size = (uint32_t)kind;
  s->path_size = (uint32_t)path;
  s->data_size = (uint32_t)data;
  s->data = bytes.at ? NULL : rt_value_ref(event->data);
  s->cost += rt_value_size(s->data);
  atomic_fetch_add_explicit(&b->held, s->cost, memory_order_relaxed);
  memcpy(s->text, event->system, system + 1);
  memcpy(s->text + system + 1, event->kind, kind + 1);
  memcpy(s->text + system + kind + 2, event->path, path + 1);
  if (data) memcpy(s->text + text, bytes.at, data);
  return s;
}

static void note(rt__bridge *b, rt__feed *f) {
  if (f->noted) return;
  f->noted = true;
  f->next_noted = b->noted;
  b->noted = feed_ref(f);
}

static rt_value *describe(rt__bridge *b, rt__feed *f) {
  rt_value *data = NULL;
  char pid[RT_PID_TEXT];
  rt_pid_text(f->pid, pid);
  uv_mutex_lock(&f->lock);
  uint64_t dropped = f->dropped, buffered = f->count;
  uv_mutex_unlock(&f->lock);
  rt_builder_begin_map(b->builder);
  rt_builder_key(b->builder, "pid");
  rt_builder_string(b->builder, pid);
  rt_builder_key(b->builder, "system");
  rt_builder_string(b->builder, f->system);
  rt_builder_key(b->builder, "kind");
  rt_builder_string(b->builder, *f->kind ? f->kind : "**");
  rt_builder_key(b->builder, "buffered");
  rt_builder_int(b->builder, (int64_t)buffered);
  rt_builder_key(b->builder, "buffer");
  rt_builder_int(b->builder, f->limit);
  rt_builder_key(b->builder, "dropped");
  rt_builder_int(b->builder, (int64_t)dropped);
  rt_builder_end(b->builder);
  rt_builder_finish(b->builder, &data, NULL);
  return data;
}

/* Tell whoever listens that a subscriber falls behind: at 1,024 buffered and
 * at the first lost event, then each time the number has doubled. */
static void tell_lagging(rt__bridge *b, rt__feed *f) {
  char pid[RT_PID_TEXT];
  if (!rt_bus_wanted(b->bus, "bus", "subscriber.lagging")) return;
  rt_pid_text(f->pid, pid);
  rt_value *data = describe(b, f);
  rt_bus_send(b->bus, "bus", "subscriber.lagging", pid, data);
  rt_value_unref(data);
}

static size_t deliver(const rt_event *event, rt_view bytes, void *const *feeds,
                      size_t count, void *self) {
  rt__bridge *b = self;
  uint64_t lost = 0;
  size_t taken = 0;
  rt__shared *shared = share(b, event, bytes, count);
  if (!shared) {
    rt__bus_count_dropped(b->bus, count);
    return 0;
  }
  for (size_t i = 0; i < count; i++) {
    rt__feed *f = feeds[i];
    rt__offer offer = rt__feed_offer(f, shared);
    lost += offer.lost;
    taken += offer.taken;
    if (offer.notify) note(b, f);
    if (offer.lagging) tell_lagging(b, f);
    if (offer.full) leave(f);
  }
  if (lost) rt__bus_count_dropped(b->bus, lost);
  for (size_t i = taken; i < count; i++) rt__shared_unref(shared);
  return taken;
}

static void flush(void *self) {
  rt__bridge *b = self;
  while (b->noted) {
    rt__feed *f = b->noted;
    b->noted = f->next_noted;
    f->noted = false;
    b->ops.notify(b->ops.self, f->pid, f->token);
    rt__feed_unref(f);
  }
}

/* The bus has ended: what is buffered can still be taken. The reference goes
 * with rt__bridge_free(). */
static void on_end(void *feed, void *self) {
  rt__bridge *b = self;
  rt__feed *f = feed;
  uv_mutex_lock(&f->lock);
  bool notify = f->armed;
  f->closed = f->leaving = true;
  f->armed = false;
  uv_mutex_unlock(&f->lock);
  discount(f);
  if (notify) b->ops.notify(b->ops.self, f->pid, f->token);
}

/* --- life ------------------------------------------------------------ */

rt_err rt__bridge_create(rt__bridge **out, rt_bus *bus,
                         const rt__bridge_ops *ops, rt_error *err) {
  *out = NULL;
  rt__bridge *b = calloc(1, sizeof(*b));
  if (b) b->builder = rt_builder_new();
  if (!b || !b->builder) {
    free(b);
    return rt_fail(err, RT_ENOMEM, "bridge: no memory");
  }
  atomic_init(&b->refs, 1);
  b->feed_bytes = RT__FEED_BYTES;
  b->held_bytes = RT__HELD_BYTES;
  b->bus = bus;
  b->ops = *ops;
  const rt__bus_group group = {deliver, flush, on_end, b};
  rt__bus_set_group(bus, &group);
  *out = b;
  return RT_OK;
}

void rt__bridge_free(rt__bridge *bridge) {
  if (!bridge) return;
  while (bridge->joined) {
    rt__feed *f = bridge->joined;
    bridge->joined = f->next;
    f->id = 0; /* the bus has let go of it already */
    rt__feed_unref(f);
  }
  rt_builder_free(bridge->builder);
  bridge_unref(bridge);
}
