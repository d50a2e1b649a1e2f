/* awaiter.c - wait for one event by its path.
 *
 * One subscription serves all waiters. A waiter is listed from prepare() on,
 * so an event that comes before wait() is kept; each keeps the first one. The
 * lock is a leaf. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "base/host.h"
#include "bus/awaiter.h"

#define DEFAULT_TIMEOUT 30.0

static bool ends_in(const char *text, const char *tail) {
  size_t n = strlen(text), t = strlen(tail);
  return n >= t && strcmp(text + n - t, tail) == 0;
}

static bool is_accept(const char *kind) {
  return strcmp(kind, "accept") == 0 || ends_in(kind, ".accept") ||
         ends_in(kind, ".accepted");
}

/* One allocation for the three strings, behind `system`. */
static bool keep(rt_event *to, const rt_event *event) {
  size_t system = strlen(event->system) + 1, kind = strlen(event->kind) + 1,
         path = strlen(event->path) + 1;
  char *text = malloc(system + kind + path);
  if (!text) return false;
  memcpy(text, event->system, system);
  memcpy(text + system, event->kind, kind);
  memcpy(text + system + kind, event->path, path);
  to->data = rt_value_ref(event->data);
  to->kind = text + system;
  to->path = text + system + kind;
  to->system = text;
  return true;
}

static void on_event(const rt_event *event, void *arg) {
  rt_awaiter *a = arg;
  uv_mutex_lock(&a->lock);
  rt_waiter *w = rt__map_get(&a->paths, event->path, strlen(event->path));
  bool any = w != NULL;
  rt__waited *told = NULL;
  for (; w; w = w->next) {
    if (w->done || !keep(&w->event, event)) continue; /* no memory: lost */
    w->done = true;
    w->accepted = is_accept(event->kind);
    rt__waited_take(w, RT_OK, &told);
  }
  if (any) uv_cond_broadcast(&a->answered);
  uv_mutex_unlock(&a->lock);
  rt__waited_tell(told); /* who may free the awaiter */
}

/* The awaiter or its bus has ended: nothing can come any more. */
static void on_end(void *arg) {
  rt_awaiter *a = arg;
  rt__waited *told = NULL;
  rt_waiter *w;
  size_t at = 0;
  uv_mutex_lock(&a->lock);
  a->closed = true;
  uv_cond_broadcast(&a->answered);
  while ((w = rt__map_next(&a->paths, &at, NULL, NULL)) != NULL)
    for (; w; w = w->next) rt__waited_take(w, RT_ECANCELED, &told);
  uv_mutex_unlock(&a->lock);
  rt__waited_tell(told);
}

/* --- awaiter --------------------------------------------------------- */

static rt_err init_locks(rt_awaiter *a, rt_error *err) {
  if (uv_mutex_init(&a->lock) != 0)
    return rt_fail(err, RT_ENOMEM, "awaiter: cannot create its lock");
  if (uv_cond_init(&a->answered) == 0) return RT_OK;
  uv_mutex_destroy(&a->lock);
  return rt_fail(err, RT_ENOMEM, "awaiter: cannot create its condition");
}

void rt__awaiter_release(rt_awaiter *a) {
  uv_mutex_lock(&a->lock);
  bool last = --a->refs == 0;
  uv_mutex_unlock(&a->lock);
  if (!last) return;
  rt__map_deinit(&a->paths);
  rt__host_unref(a->host);
  uv_cond_destroy(&a->answered);
  uv_mutex_destroy(&a->lock);
  free(a);
}

rt_err rt_awaiter_new(rt_awaiter **out, rt_bus *bus, const char *system,
                      const char *kind, rt_error *err) {
  *out = NULL;
  rt_awaiter *a = calloc(1, sizeof(*a));
  if (!a) return rt_fail(err, RT_ENOMEM, "awaiter: no memory");
  a->bus = bus;
  a->host = rt__host_ref(rt__bus_get_host(bus));
  a->refs = 1;
  rt_err rc = init_locks(a, err);
  if (rc != RT_OK) {
    rt__host_unref(a->host);
    free(a);
    return rc;
  }
  rc = rt__bus_subscribe(bus, &a->id, system, kind, on_event, on_end, a, err);
  if (rc != RT_OK)
    rt__awaiter_release(a);
  else
    *out = a;
  return rc;
}

void rt_awaiter_free(rt_awaiter *awaiter) {
  if (!awaiter) return;
  rt__bus_unsubscribe(awaiter->bus, awaiter->id);
  on_end(awaiter);
  rt__awaiter_release(awaiter);
}

/* --- waiter ---------------------------------------------------------- */

static rt_err enlist(rt_awaiter *a, rt_waiter *w) {
  void *first;
  uv_mutex_lock(&a->lock);
  rt_err rc = rt__map_set(&a->paths, w->path, strlen(w->path), w, &first);
  if (rc == RT_OK) {
    w->next = first;
    if (w->next) w->next->prev = w;
    a->refs++;
  }
  uv_mutex_unlock(&a->lock);
  return rc;
}

rt_err rt_awaiter_prepare(rt_waiter **out, rt_awaiter *awaiter,
                          const char *path, double timeout, rt_error *err) {
  *out = NULL;
  if (!path || !*path)
    return rt_fail(err, RT_EINVAL, "awaiter: path is required");
  rt_waiter *w = calloc(1, sizeof(*w));
  if (w) w->path = malloc(strlen(path) + 1);
  if (!w || !w->path) {
    free(w);
    return rt_fail(err, RT_ENOMEM, "awaiter: no memory");
  }
  strcpy(w->path, path);
  if (!(timeout > 0)) timeout = DEFAULT_TIMEOUT;
  if (timeout > 1e9) timeout = 1e9;
  w->deadline = rt__now_ns() + (uint64_t)(timeout * 1e9);
  w->awaiter = awaiter;
  if (enlist(awaiter, w) != RT_OK) {
    free(w->path);
    free(w);
    return rt_fail(err, RT_ENOMEM, "awaiter: no memory");
  }
  *out = w;
  return RT_OK;
}

static rt_err wait_locked(rt_waiter *w) {
  rt_awaiter *a = w->awaiter;
  /* closed: the bus may be gone */
  if (!w->done && !a->closed && rt__bus_on_thread(a->bus)) return RT_EINVAL;
  while (!w->done && !a->closed) {
    uint64_t now = rt__now_ns();
    if (now >= w->deadline) return RT_ETIMEOUT;
    uv_cond_timedwait(&a->answered, &a->lock, w->deadline - now);
  }
  return w->done ? RT_OK : RT_ECANCELED;
}

rt_err rt_waiter_wait(rt_waiter *waiter, bool *accepted, rt_value **data,
                      rt_error *err) {
  rt_awaiter *a = waiter->awaiter;
  *accepted = false;
  *data = NULL;
  uv_mutex_lock(&a->lock);
  rt_err rc = wait_locked(waiter);
  if (rc == RT_OK) {
    *accepted = waiter->accepted;
    *data = rt_value_ref(waiter->event.data);
  }
  uv_mutex_unlock(&a->lock);
  if (rc == RT_ETIMEOUT)
    return rt_fail(err, rc, "timed out waiting for an event at %s",
                   waiter->path);
  if (rc == RT_EINVAL)
    return rt_fail(err, rc, "awaiter: the bus's thread may not wait");
  if (rc != RT_OK) return rt_fail(err, rc, "awaiter: closed");
  return rc;
}

const rt_event *rt_waiter_event(const rt_waiter *waiter) {
  rt_awaiter *a = waiter->awaiter;
  uv_mutex_lock(&a->lock);
  bool done = waiter->done;
  uv_mutex_unlock(&a->lock);
  return done ? &waiter->event : NULL;
}

static void delist_locked(rt_awaiter *a, rt_waiter *w) {
  size_t size = strlen(w->path);
  if (w->next) w->next->prev = w->prev;
  if (w->prev)
    w->prev->next = w->next;
  else if (w->next)
    rt__map_set(&a->paths, w->path, size, w->next,
                NULL); /* exists: no memory */
  else
    rt__map_remove(&a->paths, w->path, size);
}

void rt_waiter_close(rt_waiter *waiter) {
  if (!waiter) return;
  rt_awaiter *a = waiter->awaiter;
  rt__waited *told = NULL;
  uv_mutex_lock(&a->lock);
  rt__waited_take(waiter, RT_ECANCELED, &told);
  delist_locked(a, waiter);
  uv_mutex_unlock(&a->lock);
  rt__waited_tell(told);
  rt_value_unref((rt_value *)waiter->event.data);
  free((char *)waiter->event.system);
  free(waiter->path);
  free(waiter);
  rt__awaiter_release(a);
}
