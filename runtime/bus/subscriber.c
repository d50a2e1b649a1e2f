/* subscriber.c - a subscription that is closed safely from any thread.
 *
 * The bus calls the handler directly and unsubscribing waits for a running
 * one, so all there is to keep is the id. SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "rt/bus.h"

struct rt_subscriber {
  rt_bus *bus;
  uint64_t id;
};

rt_err rt_subscriber_new(rt_subscriber **out, rt_bus *bus, const char *system,
                         const char *kind, rt_event_fn fn, void *arg,
                         rt_error *err) {
  *out = NULL;
  rt_subscriber *s = malloc(sizeof(*s));
  if (!s) return rt_fail(err, RT_ENOMEM, "subscriber: no memory");
  s->bus = bus;
  rt_err rc = rt_bus_subscribe(bus, &s->id, system, kind, fn, arg, err);
  if (rc != RT_OK)
    free(s);
  else
    *out = s;
  return rc;
}

void rt_subscriber_close(rt_subscriber *subscriber) {
  if (!subscriber) return;
  rt_bus_unsubscribe(subscriber->bus, subscriber->id);
  free(subscriber);
}
