/* waited.c - rt_waiter_wait_async(): to be told how a wait ended.
 *
 *   wait_async --call--> bus thread sets the alarm
 *   event, alarm, close or the bus's end: the first takes it from its waiter,
 *   and tells; who is not the bus thread asks that to stop the alarm.
 *
 * Counted references: the waiter's, which goes to who tells, and the alarm's.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/host.h"
#include "bus/awaiter.h"

struct rt__waited {
  rt__host_call call; /* on its way to the host's loop */
  rt__alarm alarm;    /* bus thread only */
  atomic_uint refs;
  rt_awaiter *awaiter; /* [own ref] */
  rt_waited_fn fn;
  void *arg;
  /* guarded by the awaiter's lock */
  rt_waiter *waiter; /* NULL: taken */
  /* who has taken it only */
  rt__waited *next;
  rt_err code;
  rt_error err;
  bool accepted;
  rt_value *data; /* [own] until told */
};

static void unref(rt__waited *w) {
  if (atomic_fetch_sub(&w->refs, 1) != 1) return;
  rt__awaiter_release(w->awaiter);
  free(w);
}

/* --- the alarm, bus thread ------------------------------------------------ */

static void stop_alarm(rt_bus *bus, void *arg) {
  rt__waited *w = arg;
  if (w->alarm.set) {
    rt__alarm_stop(bus, &w->alarm);
    unref(w);
  }
  unref(w); /* the call's */
}

/* It holds no longer than its alarm anyway. */
static void disarm(rt__waited *w) {
  rt_bus *bus = w->awaiter->bus;
  atomic_fetch_add(&w->refs, 1);
  if (rt__bus_on_thread(bus))
    stop_alarm(bus, w);
  else if (!rt__bus_call(bus, stop_alarm, w))
    unref(w);
}

/* --- telling -------------------------------------------------------------- */

static void run_waited(rt__host_call *call) {
  rt__waited *w = (rt__waited *)call;
  w->fn(w->code, w->code == RT_OK ? NULL : &w->err, w->accepted, w->data,
        w->arg);
  unref(w);
}

static void tell(rt__waited *w) {
  rt__host *host = rt__host_ref(w->awaiter->host);
  w->call.run = run_waited;
  w->call.size = sizeof(*w) + (w->data ? rt_value_size(w->data) : 0);
  if (host)
    rt__host_tell(host, &w->call);
  else
    run_waited(&w->call);
  rt__host_unref(host);
}

static void describe(rt__waited *w, const rt_waiter *waiter) {
  if (w->code == RT_ETIMEOUT)
    rt_fail(&w->err, w->code, "timed out waiting for an event at %s",
            waiter->path);
  else if (w->code != RT_OK)
    rt_fail(&w->err, w->code, "awaiter: closed");
}

void rt__waited_take(rt_waiter *waiter, rt_err code, rt__waited **list) {
  rt__waited *w = waiter->waited;
  if (!w) return;
  waiter->waited = NULL;
  w->waiter = NULL;
  w->code = code;
  if (code == RT_OK) {
    w->accepted = waiter->accepted;
    w->data = rt_value_ref(waiter->event.data);
  }
  describe(w, waiter);
  w->next = *list;
  *list = w;
}

void rt__waited_tell(rt__waited *list) {
  while (list) {
    rt__waited *w = list;
    list = w->next;
    disarm(w);
    tell(w);
  }
}

static void on_alarm(rt__alarm *alarm) {
  rt__waited *w = (rt__waited *)((char *)alarm - offsetof(rt__waited, alarm));
  rt_awaiter *a = w->awaiter;
  rt__waited *told = NULL;
  uv_mutex_lock(&a->lock);
  if (w->waiter) rt__waited_take(w->waiter, RT_ETIMEOUT, &told);
  uv_mutex_unlock(&a->lock);
  rt__waited_tell(told);
  unref(w); /* the alarm's */
}

/* --- beginning ------------------------------------------------------------ */

/* Bus thread. It may have been taken before, and the event may have come
 * before anybody waited. */
static void arm(rt_bus *bus, void *arg) {
  rt__waited *w = arg, *told = NULL;
  rt_awaiter *a = w->awaiter;
  uv_mutex_lock(&a->lock);
  if (w->waiter && w->waiter->done) rt__waited_take(w->waiter, RT_OK, &told);
  bool waits = w->waiter != NULL;
  if (waits) w->alarm.at = w->waiter->deadline;
  uv_mutex_unlock(&a->lock);
  if (waits) {
    w->alarm.ring = on_alarm;
    rt__alarm_set(bus, &w->alarm); /* takes the reference */
    return;
  }
  rt__waited_tell(told);
  unref(w);
}

/* False: it is waited for already. */
static bool enlist(rt_awaiter *a, rt_waiter *waiter, rt__waited *w,
                   bool *closed) {
  uv_mutex_lock(&a->lock);
  bool vacant = !waiter->waited;
  *closed = a->closed;
  if (vacant) {
    waiter->waited = w;
    w->waiter = waiter;
    a->refs++;
  }
  uv_mutex_unlock(&a->lock);
  return vacant;
}

/* Nobody else will. */
static void end_at_once(rt_awaiter *a, rt__waited *w) {
  rt__waited *told = NULL;
  uv_mutex_lock(&a->lock);
  if (w->waiter)
    rt__waited_take(w->waiter, w->waiter->done ? RT_OK : RT_ECANCELED, &told);
  uv_mutex_unlock(&a->lock);
  if (told) tell(told);
}

rt_err rt_waiter_wait_async(rt_waiter *waiter, rt_waited_fn fn, void *arg,
                            rt_error *err) {
  rt_awaiter *a = waiter->awaiter;
  rt__waited *w = fn ? calloc(1, sizeof(*w)) : NULL;
  bool closed;
  if (!fn) return rt_fail(err, RT_EINVAL, "awaiter: callback is required");
  if (!w) return rt_fail(err, RT_ENOMEM, "awaiter: no memory");
  w->awaiter = a;
  w->fn = fn;
  w->arg = arg;
  atomic_init(&w->refs, 2);
  if (!enlist(a, waiter, w, &closed)) {
    free(w);
    return rt_fail(err, RT_EINVAL, "awaiter: it is waited for already");
  }
  if (!closed && rt__bus_call(a->bus, arm, w)) return RT_OK;
  end_at_once(a, w);
  unref(w); /* the alarm's */
  return RT_OK;
}
