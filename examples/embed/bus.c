/* bus.c - the event bus alone: no Lua, no runtime, one thread of its own.
 *   cc bus.c $(pkg-config --cflags --libs runtime) -o bus && ./bus
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <string.h>

/* Called on the bus's thread, one event after the other. */
static void on_order(const rt_event *event, void *arg) {
  rt_view data = rt_value_view(event->data);
  (void)arg;
  printf("%s of %s: %g\n", event->kind, event->path,
         rt_view_number(rt_view_get(data, "total"), 0));
}

/* Answers each order; whoever awaits the answer is told by its path. */
static rt_err on_new(const rt_event *event, void *arg, rt_error *err) {
  rt_bus *bus = (rt_bus *)arg;
  double total =
      rt_view_number(rt_view_get(rt_value_view(event->data), "total"), 0);
  if (total <= 0) return rt_fail(err, RT_EINVAL, "an order of nothing");
  return rt_bus_send(bus, "billing", "order.accepted", event->path, NULL);
}

static void on_failed(const rt_event *event, const rt_error *why, void *arg) {
  (void)arg;
  printf("%s refused: %s\n", event->path, why->message);
}

static rt_err order(rt_bus *bus, const char *path, double total,
                    rt_error *err) {
  rt_builder *builder = rt_builder_new();
  rt_value *data = NULL;
  rt_err rc;
  if (!builder) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_begin_map(builder);
  rt_builder_key(builder, "total");
  rt_builder_number(builder, total);
  rt_builder_end(builder);
  rc = rt_builder_finish(builder, &data, err);
  if (rc == RT_OK) rc = rt_bus_send(bus, "shop", "order.new", path, data);
  rt_value_unref(data);
  rt_builder_free(builder);
  return rc;
}

static rt_err run(rt_bus *bus, rt_error *err) {
  rt_subscriber *orders = NULL;
  rt_router *router = NULL;
  rt_awaiter *answers = NULL;
  rt_waiter *answer = NULL;
  rt_value *data = NULL;
  bool accepted = false;
  rt_err rc;
  rc = rt_subscriber_new(&orders, bus, "shop", "order.*", on_order, NULL, err);
  if (rc == RT_OK) rc = rt_router_new(&router, bus, on_failed, NULL, err);
  if (rc == RT_OK)
    rc = rt_router_add(router, "shop", "order.new", on_new, bus, err);
  if (rc == RT_OK)
    rc = rt_awaiter_new(&answers, bus, "billing", "order.*", err);
  /* Prepared before it is triggered, so that the answer cannot be missed. */
  if (rc == RT_OK) rc = rt_awaiter_prepare(&answer, answers, "7", 10, err);
  if (rc == RT_OK) rc = order(bus, "6", 0, err);
  if (rc == RT_OK) rc = order(bus, "7", 12.5, err);
  if (rc == RT_OK) rc = rt_waiter_wait(answer, &accepted, &data, err);
  if (rc == RT_OK) printf("7 %s\n", accepted ? "accepted" : "rejected");
  rt_value_unref(data);
  rt_waiter_close(answer);
  rt_awaiter_free(answers);
  rt_router_free(router);
  rt_subscriber_close(orders);
  return rc;
}

int main(void) {
  rt_error err = RT_ERROR_INIT;
  rt_bus *bus = NULL;
  rt_err rc = rt_bus_new(&bus, NULL, &err);
  if (rc == RT_OK) rc = run(bus, &err);
  rt_bus_free(bus); /* delivers what is queued, then its thread ends */
  if (rc != RT_OK) fprintf(stderr, "bus: %s\n", err.message);
  return rc != RT_OK;
}
