/* router.c - many handlers, opened one by one, closed together.
 *
 * A handler may add others, stop the router or free it, so a running one keeps
 * the router, and the router keeps all handlers until it goes. The lock is a
 * leaf: the bus is never called under it. SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "rt/bus.h"

typedef struct handler handler;
struct handler {
  handler *next;
  rt_router *router;
  rt_handler_fn handle;
  void *arg;
  uint64_t id;
};

struct rt_router {
  rt_bus *bus;
  rt_handler_failed_fn failed;
  void *arg;
  atomic_uint refs;
  uv_mutex_t lock;
  bool stopped;
  handler *handlers; /* all that were ever added */
};

rt_err rt_router_new(rt_router **out, rt_bus *bus, rt_handler_failed_fn failed,
                     void *arg, rt_error *err) {
  *out = NULL;
  rt_router *r = calloc(1, sizeof(*r));
  if (!r) return rt_fail(err, RT_ENOMEM, "router: no memory");
  if (uv_mutex_init(&r->lock) != 0) {
    free(r);
    return rt_fail(err, RT_ENOMEM, "router: cannot create its lock");
  }
  r->bus = bus;
  r->failed = failed;
  r->arg = arg;
  atomic_init(&r->refs, 1);
  *out = r;
  return RT_OK;
}

static void unref(rt_router *r) {
  if (atomic_fetch_sub(&r->refs, 1) > 1) return;
  while (r->handlers) {
    handler *h = r->handlers;
    r->handlers = h->next;
    free(h);
  }
  uv_mutex_destroy(&r->lock);
  free(r);
}

static void on_event(const rt_event *event, void *arg) {
  handler *h = arg;
  rt_router *r = h->router;
  rt_error err = RT_ERROR_INIT;
  atomic_fetch_add(&r->refs, 1);
  rt_err rc = h->handle(event, h->arg, &err);
  if (rc != RT_OK && err.code == RT_OK)
    rt_fail(&err, rc, "%s", rt_status_text(rc));
  if (rc != RT_OK && r->failed) r->failed(event, &err, r->arg);
  unref(r);
}

/* Make it one of the router's, unless that was stopped meanwhile. */
static bool keep(rt_router *r, handler *h) {
  uv_mutex_lock(&r->lock);
  bool open = !r->stopped;
  h->next = r->handlers;
  r->handlers = h;
  uv_mutex_unlock(&r->lock);
  return open;
}

static bool is_stopped(rt_router *r) {
  uv_mutex_lock(&r->lock);
  bool stopped = r->stopped;
  uv_mutex_unlock(&r->lock);
  return stopped;
}

rt_err rt_router_add(rt_router *router, const char *system, const char *kind,
                     rt_handler_fn handle, void *arg, rt_error *err) {
  if (is_stopped(router)) return rt_fail(err, RT_ECANCELED, "router: stopped");
  handler *h = calloc(1, sizeof(*h));
  if (!h) return rt_fail(err, RT_ENOMEM, "router: no memory");
  h->router = router;
  h->handle = handle;
  h->arg = arg;
  rt_err rc =
      rt_bus_subscribe(router->bus, &h->id, system, kind, on_event, h, err);
  if (rc != RT_OK) {
    free(h);
    return rc;
  }
  if (keep(router, h)) return RT_OK;
  rt_bus_unsubscribe(router->bus, h->id);
  return rt_fail(err, RT_ECANCELED, "router: stopped");
}

void rt_router_stop(rt_router *router) {
  uv_mutex_lock(&router->lock);
  router->stopped = true;
  handler *all = router->handlers; /* only grows at its head */
  uv_mutex_unlock(&router->lock);
  for (handler *h = all; h; h = h->next) rt_bus_unsubscribe(router->bus, h->id);
}

void rt_router_free(rt_router *router) {
  if (!router) return;
  rt_router_stop(router);
  unref(router);
}
