/* test_bus.c - delivery, order, bounds and the end of the bus.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "base/clock.h"
#include "bus/bus.h"
#include "gate.h"

#define CHECK_OK(call) assert_int_equal((call), RT_OK)

static rt_bus *start(const rt_bus_opts *opts) {
  rt_bus *bus;
  rt_error err = RT_ERROR_INIT;
  if (rt_bus_new(&bus, opts, &err) != RT_OK) fail_msg("%s", err.message);
  return bus;
}

/* What a subscriber saw, written on the bus thread. Read after bus_drain(). */
typedef struct seen {
  char text[4096];
  unsigned count;
} seen;

static void record(const rt_event *event, void *arg) {
  seen *s = arg;
  size_t n = strlen(s->text);
  snprintf(s->text + n, sizeof(s->text) - n, "%s/%s@%s ", event->system,
           event->kind, event->path);
  s->count++;
}

/* What was dispatched is charged until its whole batch is done. */
static void send_when_room(rt_bus *bus, const char *path,
                           const rt_value *data) {
  rt_err rc;
  while ((rc = rt_bus_send(bus, "s", "k", path, data)) == RT_EFULL)
    bus_drain(bus);
  CHECK_OK(rc);
}

/* --- delivery -------------------------------------------------------- */

static void delivers_by_pattern_in_order(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  seen all = {{0}, 0}, some = {{0}, 0}, none = {{0}, 0};
  uint64_t a, b, c;
  CHECK_OK(rt_bus_subscribe(bus, &a, "**", NULL, record, &all, NULL));
  CHECK_OK(
      rt_bus_subscribe(bus, &b, "shop.*", "(new|gone)", record, &some, NULL));
  CHECK_OK(rt_bus_subscribe(bus, &c, "shop", "new", record, &none, NULL));
  assert_true(a && b && c && a != b && b != c);
  CHECK_OK(rt_bus_send(bus, "shop.eu", "new", "1", NULL));
  CHECK_OK(rt_bus_send(bus, "shop.eu", "old", "2", NULL));
  CHECK_OK(rt_bus_send(bus, "shop.us", "gone", "3", NULL));
  bus_drain(bus);
  assert_string_equal(all.text, "shop.eu/new@1 shop.eu/old@2 shop.us/gone@3 ");
  assert_string_equal(some.text, "shop.eu/new@1 shop.us/gone@3 ");
  assert_int_equal(none.count, 0);
  rt_bus_unsubscribe(bus, a);
  rt_bus_unsubscribe(bus, a);
  rt_bus_unsubscribe(bus, 12345);
  CHECK_OK(rt_bus_send(bus, "shop.us", "gone", "4", NULL));
  bus_drain(bus);
  assert_int_equal(all.count, 3);
  assert_int_equal(some.count, 3);
  rt_bus_free(bus);
}

static void empty_names_are_refused(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  uint64_t id;
  rt_error err = RT_ERROR_INIT;
  seen s = {{0}, 0};
  assert_int_equal(rt_bus_send(bus, "", "k", "p", NULL), RT_EINVAL);
  assert_int_equal(rt_bus_send(bus, "s", "", "p", NULL), RT_EINVAL);
  assert_int_equal(rt_bus_send(bus, "s", "k", "", NULL), RT_EINVAL);
  assert_int_equal(rt_bus_send(bus, NULL, "k", "p", NULL), RT_EINVAL);
  assert_int_equal(rt_bus_subscribe(bus, &id, "", "k", record, &s, &err),
                   RT_EINVAL);
  assert_non_null(strstr(err.message, "system"));
  assert_int_equal(rt_bus_subscribe(bus, &id, NULL, "k", record, &s, NULL),
                   RT_EINVAL);
  assert_int_equal(rt_bus_subscribe(bus, &id, "s", "k", NULL, &s, NULL),
                   RT_EINVAL);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "", record, &s, NULL));
  CHECK_OK(rt_bus_send(bus, "s", "any.kind", "p", NULL));
  bus_drain(bus);
  assert_int_equal(s.count, 1);
  rt_bus_free(bus);
  rt_bus_free(NULL);
}

typedef struct held {
  const rt_value *data;
  unsigned count;
} held;

static void keep_data(const rt_event *event, void *arg) {
  held *h = arg;
  rt_value_unref((rt_value *)h->data);
  h->data = rt_value_ref(event->data);
  h->count++;
}

static void data_is_shared_not_copied(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  held h = {NULL, 0};
  uint64_t id;
  rt_value *data = rt_value_string("payload", 7);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", keep_data, &h, NULL));
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", data));
  rt_value_unref(data);
  bus_drain(bus);
  assert_ptr_equal(h.data, data);
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  bus_drain(bus);
  assert_null(h.data);
  assert_int_equal(h.count, 2);
  rt_bus_free(bus);
}

static void wanted_follows_the_subscriptions(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  atomic_uint n = 0;
  uint64_t id;
  assert_false(rt_bus_wanted(bus, "s.a", "k"));
  for (int round = 0; round < 100; round++) {
    CHECK_OK(rt_bus_subscribe(bus, &id, "s.*", "k", bus_count, &n, NULL));
    assert_true(rt_bus_wanted(bus, "s.a", "k"));
    assert_false(rt_bus_wanted(bus, "s.a", "l"));
    assert_false(rt_bus_wanted(bus, "s", "k"));
    CHECK_OK(rt_bus_send(bus, "s.a", "k", "p", NULL));
    CHECK_OK(rt_bus_send(bus, "s.a", "l", "p", NULL));
    rt_bus_unsubscribe(bus, id);
    assert_false(rt_bus_wanted(bus, "s.a", "k"));
  }
  assert_int_equal(atomic_load(&n), 100);
  rt_bus_stats stats;
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.published, 200);
  assert_int_equal(stats.delivered, 100);
  assert_int_equal(stats.subscribers, 0);
  assert_int_equal(stats.dropped, 0);
  rt_bus_free(bus);
}

static void ids_are_never_used_again(void **state) {
  (void)state;
  enum { ROUNDS = 300 };
  rt_bus *bus = start(NULL);
  static uint64_t ids[ROUNDS];
  atomic_uint n = 0;
  for (int i = 0; i < ROUNDS; i++) {
    CHECK_OK(rt_bus_subscribe(bus, &ids[i], "s", "k", bus_count, &n, NULL));
    for (int j = 0; j < i; j++) assert_true(ids[j] != ids[i]);
    if (i % 3) rt_bus_unsubscribe(bus, ids[i]);
  }
  rt_bus_free(bus);
}

static void subscribers_are_capped(void **state) {
  (void)state;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  opts.max_subscribers = 2;
  rt_bus *bus = start(&opts);
  rt_error err = RT_ERROR_INIT;
  atomic_uint n = 0;
  uint64_t a, b, c;
  CHECK_OK(rt_bus_subscribe(bus, &a, "s", "k", bus_count, &n, NULL));
  CHECK_OK(rt_bus_subscribe(bus, &b, "s", "k", bus_count, &n, NULL));
  assert_int_equal(rt_bus_subscribe(bus, &c, "s", "k", bus_count, &n, &err),
                   RT_EUNAVAIL);
  assert_string_equal(err.message, "bus: cap of 2 subscribers reached");
  assert_int_equal(c, 0);
  rt_bus_unsubscribe(bus, a);
  CHECK_OK(rt_bus_subscribe(bus, &c, "s", "k", bus_count, &n, NULL));
  rt_bus_free(bus);
}

/* --- from inside callbacks ------------------------------------------- */

typedef struct inner {
  rt_bus *bus;
  uint64_t own, other, added;
  unsigned calls;
  atomic_uint later;
} inner;

static void meddle(const rt_event *event, void *arg) {
  inner *in = arg;
  (void)event;
  in->calls++;
  rt_bus_unsubscribe(in->bus, in->own);
  rt_bus_unsubscribe(in->bus, in->other);
  rt_bus_subscribe(in->bus, &in->added, "later", NULL, bus_count, &in->later,
                   NULL);
  rt_bus_send(in->bus, "later", "k", "p", NULL);
}

static void callbacks_may_change_subscriptions(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  inner in = {bus, 0, 0, 0, 0, 0};
  atomic_uint n = 0;
  CHECK_OK(rt_bus_subscribe(bus, &in.own, "s", "k", meddle, &in, NULL));
  CHECK_OK(rt_bus_subscribe(bus, &in.other, "s", "k", bus_count, &n, NULL));
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  bus_drain(bus);
  bus_drain(bus);
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  bus_drain(bus);
  assert_int_equal(in.calls, 1);
  assert_int_equal(atomic_load(&n), 0);
  assert_int_equal(atomic_load(&in.later), 1);
  rt_bus_free(bus);
}

static void room_ready(rt__room *room) {
  uv_sem_post((uv_sem_t *)(room + 1));
}

static void intake_is_bounded_in_bytes(void **state) {
  (void)state;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  opts.intake_bytes = 10000;
  rt_bus *bus = start(&opts);
  gate g;
  struct {
    rt__room room;
    uv_sem_t sem;
  } wait = {{NULL, NULL, false, room_ready}, {{0}}}, second = wait;
  uint64_t id;
  unsigned sent = 1;
  gate_init(&g);
  uv_sem_init(&wait.sem, 0);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", gate_pass, &g, NULL));
  assert_false(rt__bus_await_room(bus, &wait.room, 100));
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  uv_sem_wait(&g.entered);
  while (rt_bus_send(bus, "s", "k", "p", NULL) == RT_OK) sent++;
  assert_int_equal(rt_bus_send(bus, "s", "k", "p", NULL), RT_EFULL);
  assert_true(sent > 100 && sent < 10000 / 40);
  CHECK_OK(rt_bus_send(bus, "nobody", "listens", "p", NULL));
  assert_true(rt__bus_await_room(bus, &second.room, 100));
  assert_true(rt__bus_await_room(bus, &wait.room, 100));
  assert_true(rt__bus_cancel_room(bus, &second.room));
  assert_false(rt__bus_cancel_room(bus, &second.room));
  for (unsigned i = 0; i < sent; i++) uv_sem_post(&g.go);
  uv_sem_wait(&wait.sem);
  assert_false(rt__bus_cancel_room(bus, &wait.room));
  bus_drain(bus);
  assert_int_equal(atomic_load(&g.calls), sent);
  uv_sem_post(&g.go);
  send_when_room(bus, "p", NULL);
  rt_bus_free(bus);
  uv_sem_destroy(&wait.sem);
  gate_deinit(&g);
}

static bool await(uv_sem_t *sem) {
  uint64_t until = rt__now_ns() + 30000000000u;
  while (uv_sem_trywait(sem) != 0) {
    if (rt__now_ns() > until) return false;
    uv_sleep(1);
  }
  return true;
}

static void room_is_told_whatever_the_bound(void **state) {
  (void)state;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  opts.intake_bytes = 1;
  rt_bus *bus = start(&opts);
  gate g;
  struct {
    rt__room room;
    uv_sem_t sem;
  } wait = {{NULL, NULL, false, room_ready}, {{0}}};
  uint64_t id;
  gate_init(&g);
  uv_sem_init(&wait.sem, 0);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", gate_pass, &g, NULL));
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  uv_sem_wait(&g.entered);
  assert_true(rt__bus_await_room(bus, &wait.room, 100));
  uv_sem_post(&g.go);
  assert_true(await(&wait.sem));
  rt_bus_free(bus);
  uv_sem_destroy(&wait.sem);
  gate_deinit(&g);
}

static void an_event_beyond_the_bound_passes_alone(void **state) {
  (void)state;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  opts.intake_bytes = 1000;
  rt_bus *bus = start(&opts);
  atomic_uint n = 0;
  uint64_t id;
  char *big = calloc(1, 100000);
  rt_value *data = rt_value_string(big, 100000);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", bus_count, &n, NULL));
  bus_drain(bus);
  send_when_room(bus, "p", data);
  memset(big, 'x', 99999);
  bus_drain(bus);
  send_when_room(bus, big, NULL);
  bus_drain(bus);
  assert_int_equal(atomic_load(&n), 2);
  assert_int_equal(rt_bus_send(bus, big, "k", "p", NULL), RT_EINVAL);
  rt_value_unref(data);
  free(big);
  rt_bus_free(bus);
}

static void stop_is_staged_and_bounded(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  gate g;
  uint64_t id, other;
  rt_error err = RT_ERROR_INIT;
  gate_init(&g);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", gate_pass, &g, NULL));
  for (int i = 0; i < 3; i++) CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  uv_sem_wait(&g.entered);
  assert_int_equal(rt_bus_stop(bus, 0.01), RT_ETIMEOUT);
  assert_int_equal(rt_bus_send(bus, "s", "k", "p", NULL), RT_ECLOSED);
  assert_int_equal(rt_bus_subscribe(bus, &other, "s", "k", bus_count, &g, &err),
                   RT_ECLOSED);
  assert_string_equal(rt_status_kind(err.code), "CANCELED");
  for (int i = 0; i < 3; i++) uv_sem_post(&g.go);
  CHECK_OK(rt_bus_stop(bus, 30));
  assert_int_equal(atomic_load(&g.calls), 3);
  CHECK_OK(rt_bus_stop(bus, 30));
  CHECK_OK(rt_bus_stop(bus, -1));
  rt_bus_unsubscribe(bus, id);
  assert_int_equal(rt_bus_send(bus, "s", "k", "p", NULL), RT_ECLOSED);
  rt_bus_free(bus);
  gate_deinit(&g);
}

/* --- several threads ------------------------------------------------- */

enum { SENDERS = 4, EACH = 5000 };

typedef struct sender {
  rt_bus *bus;
  int number;
} sender;

static void send_many(void *arg) {
  sender *s = arg;
  char kind[8], path[16];
  snprintf(kind, sizeof(kind), "k%d", s->number);
  for (int i = 0; i < EACH; i++) {
    snprintf(path, sizeof(path), "%d", i);
    while (rt_bus_send(s->bus, "s", kind, path, NULL) == RT_EFULL) {
    }
  }
}

typedef struct order {
  int next[SENDERS];
  bool wrong;
} order;

static void check_order(const rt_event *event, void *arg) {
  order *o = arg;
  int from = atoi(event->kind + 1);
  if (atoi(event->path) != o->next[from]++) o->wrong = true;
}

static void senders_keep_their_order(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  uv_thread_t threads[SENDERS];
  sender senders[SENDERS];
  order o = {{0}, false};
  uint64_t id;
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", NULL, check_order, &o, NULL));
  for (int i = 0; i < SENDERS; i++) {
    senders[i] = (sender){bus, i};
    uv_thread_create(&threads[i], send_many, &senders[i]);
  }
  for (int i = 0; i < SENDERS; i++) uv_thread_join(&threads[i]);
  bus_drain(bus);
  assert_false(o.wrong);
  for (int i = 0; i < SENDERS; i++) assert_int_equal(o.next[i], EACH);
  rt_bus_stats stats;
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.published, SENDERS * EACH);
  assert_int_equal(stats.delivered, SENDERS * EACH);
  assert_int_equal(stats.queued, 0);
  rt_bus_free(bus);
}

static void hook_busy(void *arg) {
  atomic_fetch_add((atomic_int *)arg, 1);
}
static void hook_idle(void *arg) {
  atomic_fetch_sub((atomic_int *)arg, 1);
}

static void queued_events_keep_the_hook_busy(void **state) {
  (void)state;
  rt_bus *bus = start(NULL);
  atomic_int holds = 0;
  rt__bus_hook hook = {hook_busy, hook_idle, &holds};
  gate g;
  uint64_t id;
  gate_init(&g);
  rt__bus_set_hook(bus, &hook);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", gate_pass, &g, NULL));
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  assert_int_equal(atomic_load(&holds), 1);
  uv_sem_wait(&g.entered);
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  assert_int_equal(atomic_load(&holds), 1);
  uv_sem_post(&g.go);
  uv_sem_post(&g.go);
  CHECK_OK(rt_bus_stop(bus, -1));
  assert_int_equal(atomic_load(&holds), 0);
  rt_bus_free(bus);
  gate_deinit(&g);
}

static void two_buses_do_not_meet(void **state) {
  (void)state;
  rt_bus *a = start(NULL), *b = start(NULL);
  atomic_uint n = 0, m = 0;
  uint64_t id;
  CHECK_OK(rt_bus_subscribe(a, &id, "**", NULL, bus_count, &n, NULL));
  CHECK_OK(rt_bus_subscribe(b, &id, "**", NULL, bus_count, &m, NULL));
  CHECK_OK(rt_bus_send(a, "s", "k", "p", NULL));
  bus_drain(a);
  bus_drain(b);
  assert_int_equal(atomic_load(&n), 1);
  assert_int_equal(atomic_load(&m), 0);
  rt_bus_free(a);
  rt_bus_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(delivers_by_pattern_in_order),
      cmocka_unit_test(empty_names_are_refused),
      cmocka_unit_test(data_is_shared_not_copied),
      cmocka_unit_test(wanted_follows_the_subscriptions),
      cmocka_unit_test(ids_are_never_used_again),
      cmocka_unit_test(subscribers_are_capped),
      cmocka_unit_test(callbacks_may_change_subscriptions),
      cmocka_unit_test(intake_is_bounded_in_bytes),
      cmocka_unit_test(room_is_told_whatever_the_bound),
      cmocka_unit_test(an_event_beyond_the_bound_passes_alone),
      cmocka_unit_test(stop_is_staged_and_bounded),
      cmocka_unit_test(senders_keep_their_order),
      cmocka_unit_test(queued_events_keep_the_hook_busy),
      cmocka_unit_test(two_buses_do_not_meet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
