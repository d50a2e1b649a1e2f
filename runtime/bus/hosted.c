/* hosted.c - subscriptions whose callbacks come on the thread of a host's loop.
 *
 *   bus thread: event --copy--> note --host's queue--> loop's thread: fn(event)
 *
 * A subscription has a bound on what waits for the loop; what does not fit is
 * counted as dropped, so a loop that stands still delays nobody. `lock` is held
 * for no callback.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/map.h"
#include "bus/bus.h"

#define WAITING_MAX ((size_t)64 << 20) /* bytes of one subscription */

/* A callback may free the bus: it keeps this. */
typedef struct rt__bus_host {
  atomic_uint refs;
  rt_bus *bus;
  rt__host *host; /* [own ref] */
  bool owned;     /* it is closed with the bus */
  uv_mutex_t lock;
  uv_cond_t left; /* a callback has returned */
  rt__map subs;   /* id -> hosted [lock] */
} rt__bus_host;

typedef struct hosted {
  rt__bus_host *home;
  rt_event_fn fn;
  void *arg;
  atomic_uint refs;
  atomic_size_t waiting; /* bytes */
  bool closed;           /* [lock] */
  unsigned running;      /* [lock] */
} hosted;

/* Its strings lie behind it. */
typedef struct event_call {
  rt__host_call call;
  hosted *sub; /* [own ref] */
  rt_event event;
  char text[];
} event_call;

static void home_unref(rt__bus_host *home) {
  if (atomic_fetch_sub(&home->refs, 1) != 1) return;
  uv_cond_destroy(&home->left);
  uv_mutex_destroy(&home->lock);
  free(home);
}

static void hosted_unref(hosted *h) {
  if (atomic_fetch_sub(&h->refs, 1) == 1) free(h);
}

static void run_event(rt__host_call *call) {
  event_call *c = (event_call *)call;
  hosted *h = c->sub;
  rt__bus_host *home = h->home;
  atomic_fetch_add(&home->refs, 1);
  atomic_fetch_sub(&h->waiting, call->size);
  uv_mutex_lock(&home->lock);
  bool open = !h->closed;
  h->running += open;
  uv_mutex_unlock(&home->lock);
  if (open) {
    h->fn(&c->event, h->arg);
    uv_mutex_lock(&home->lock);
    h->running--;
    uv_cond_broadcast(&home->left);
    uv_mutex_unlock(&home->lock);
  }
  rt_value_unref((rt_value *)c->event.data);
  hosted_unref(h);
  home_unref(home);
  free(c);
}

static char *put(char *at, const char **to, const char *text, size_t size) {
  memcpy(at, text, size);
  *to = at;
  return at + size;
}

static event_call *copy_event(const rt_event *event) {
  size_t system = strlen(event->system) + 1, kind = strlen(event->kind) + 1,
         path = strlen(event->path) + 1;
  event_call *c = malloc(sizeof(*c) + system + kind + path);
  if (!c) return NULL;
  char *at = put(c->text, &c->event.system, event->system, system);
  at = put(at, &c->event.kind, event->kind, kind);
  put(at, &c->event.path, event->path, path);
  c->event.data = rt_value_ref(event->data);
  c->call.run = run_event;
  c->call.size = sizeof(*c) + system + kind + path +
                 (event->data ? rt_value_size(event->data) : 0);
  return c;
}

/* Bus thread. */
static void on_event(const rt_event *event, void *arg) {
  hosted *h = arg;
  event_call *c =
      atomic_load(&h->waiting) < WAITING_MAX ? copy_event(event) : NULL;
  if (!c) {
    rt__bus_count_dropped(h->home->bus, 1);
    return;
  }
  c->sub = h;
  atomic_fetch_add(&h->refs, 1);
  atomic_fetch_add(&h->waiting, c->call.size);
  if (rt__host_post(h->home->host, &c->call)) return;
  rt_value_unref((rt_value *)c->event.data);
  hosted_unref(h);
  free(c);
}

/* --- subscribe, unsubscribe ----------------------------------------------- */

static rt_err remember(rt__bus_host *home, uint64_t id, hosted *h) {
  uv_mutex_lock(&home->lock);
  rt_err rc = rt__map_set(&home->subs, &id, sizeof(id), h, NULL);
  uv_mutex_unlock(&home->lock);
  return rc;
}

static rt_err subscribe_hosted(rt_bus *bus, uint64_t *id, const char *system,
                               const char *kind, rt_event_fn fn, void *arg,
                               rt_error *err) {
  hosted *h = fn ? calloc(1, sizeof(*h)) : NULL;
  *id = 0;
  if (!fn) return rt_fail(err, RT_EINVAL, "bus: callback is required");
  if (!h) return rt_fail(err, RT_ENOMEM, "bus: no memory");
  h->home = bus->host;
  h->fn = fn;
  h->arg = arg;
  atomic_init(&h->refs, 1);
  rt_err rc = rt__bus_subscribe(bus, id, system, kind, on_event, NULL, h, err);
  if (rc == RT_OK && remember(bus->host, *id, h) != RT_OK) {
    rt__bus_unsubscribe(bus, *id);
    rc = rt_fail(err, RT_ENOMEM, "bus: no memory");
  }
  if (rc == RT_OK) return RT_OK;
  *id = 0;
  hosted_unref(h);
  return rc;
}

rt_err rt_bus_subscribe(rt_bus *bus, uint64_t *id, const char *system,
                        const char *kind, rt_event_fn fn, void *arg,
                        rt_error *err) {
  if (bus->host) return subscribe_hosted(bus, id, system, kind, fn, arg, err);
  return rt__bus_subscribe(bus, id, system, kind, fn, NULL, arg, err);
}

static void unsubscribe_hosted(rt_bus *bus, uint64_t id) {
  rt__bus_host *home = bus->host;
  bool here = rt__host_here(home->host);
  uv_mutex_lock(&home->lock);
  hosted *h = rt__map_remove(&home->subs, &id, sizeof(id));
  if (h) h->closed = true;
  while (h && !here && h->running > 0) uv_cond_wait(&home->left, &home->lock);
  uv_mutex_unlock(&home->lock);
  if (!h) return;
  rt__bus_unsubscribe(bus, id);
  hosted_unref(h);
}

void rt_bus_unsubscribe(rt_bus *bus, uint64_t id) {
  if (bus->host)
    unsubscribe_hosted(bus, id);
  else
    rt__bus_unsubscribe(bus, id);
}

/* --- life ----------------------------------------------------------------- */

static void discard(rt__host *host, bool owned) {
  if (owned) rt__host_close(host);
  rt__host_unref(host);
}

rt_err rt__bus_set_host(rt_bus *bus, rt__host *host, bool owned,
                        rt_error *err) {
  rt__bus_host *home = calloc(1, sizeof(*home));
  if (!home) goto fail;
  if (uv_mutex_init(&home->lock) != 0) goto free_home;
  if (uv_cond_init(&home->left) != 0) goto destroy_lock;
  atomic_init(&home->refs, 1);
  home->bus = bus;
  home->host = owned ? host : rt__host_ref(host);
  home->owned = owned;
  bus->host = home;
  return RT_OK;

destroy_lock:
  uv_mutex_destroy(&home->lock);
free_home:
  free(home);
fail:
  if (owned) discard(host, true);
  return rt_fail(err, RT_ENOMEM, "bus: no memory");
}

rt__host *rt__bus_get_host(const rt_bus *bus) {
  return bus->host ? bus->host->host : NULL;
}

/* What the loop has not taken yet is taken now; then nobody knows them. */
void rt__bus_free_host(rt_bus *bus) {
  rt__bus_host *home = bus->host;
  size_t at = 0;
  hosted *h;
  if (!home) return;
  discard(home->host, home->owned);
  while ((h = rt__map_next(&home->subs, &at, NULL, NULL)) != NULL)
    hosted_unref(h);
  rt__map_deinit(&home->subs);
  bus->host = NULL;
  home_unref(home);
}
