/* test_waited.c - rt_waiter_wait_async(): told once how a wait ended, whoever
 * ends it. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host_kit.h"

typedef struct answer {
  rt_waiter *waiter;
  rt_awaiter **awaiter; /* freed from inside, when not NULL */
  bool close;           /* its waiter, from inside */
  rt_err code;
  bool accepted;
  int64_t data;
  char words[100];
  atomic_uint told;
} answer;

static rt_bus *bus;
static rt_awaiter *awaiter;

static int set_up(void **state) {
  (void)state;
  return rt_bus_new(&bus, NULL, NULL) ||
         rt_awaiter_new(&awaiter, bus, "order", NULL, NULL);
}

static int tear_down(void **state) {
  (void)state;
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
  bus = NULL;
  awaiter = NULL;
  return 0;
}

static void on_waited(rt_err code, const rt_error *err, bool accepted,
                      rt_value *data, void *arg) {
  answer *a = arg;
  a->code = code;
  a->accepted = accepted;
  a->data = rt_view_int(rt_value_view(data), -1);
  if (err) snprintf(a->words, sizeof(a->words), "%.90s", err->message);
  rt_value_unref(data);
  if (a->close) rt_waiter_close(a->waiter);
  if (a->awaiter) {
    rt_awaiter_free(*a->awaiter);
    *a->awaiter = NULL;
  }
  atomic_fetch_add(&a->told, 1);
}

static void begin(answer *a, const char *path, double timeout) {
  a->code = RT_EUNKNOWN;
  atomic_store(&a->told, 0);
  assert_int_equal(rt_awaiter_prepare(&a->waiter, awaiter, path, timeout, NULL),
                   RT_OK);
  assert_int_equal(rt_waiter_wait_async(a->waiter, on_waited, a, NULL), RT_OK);
}

static void until_told(answer *a) {
  for (int ms = 0; atomic_load(&a->told) == 0; ms++) {
    assert_true(ms < HOST_LIMIT_MS);
    uv_sleep(1);
  }
  assert_int_equal(atomic_load(&a->told), 1);
}

static void publish(const char *kind, const char *path, const char *json) {
  rt_value *data = host_json(json);
  assert_int_equal(rt_bus_send(bus, "order", kind, path, data), RT_OK);
  rt_value_unref(data);
}

static void an_event_is_told(void **state) {
  answer a = {0}, b = {0}, other = {0};
  rt_error err = RT_ERROR_INIT;
  (void)state;
  begin(&a, "7", 0);
  begin(&b, "7", 0);
  begin(&other, "8", 0);
  assert_int_equal(rt_waiter_wait_async(a.waiter, on_waited, &a, &err),
                   RT_EINVAL);
  publish("pay.accepted", "7", "12");
  until_told(&a);
  until_told(&b);
  assert_int_equal(a.code, RT_OK);
  assert_true(a.accepted && b.accepted);
  assert_int_equal(a.data + b.data, 24);
  assert_string_equal(rt_waiter_event(a.waiter)->kind, "pay.accepted");
  rt_waiter_close(a.waiter);
  rt_waiter_close(b.waiter);
  assert_int_equal(atomic_load(&other.told), 0);
  rt_waiter_close(other.waiter);
  until_told(&other);
  assert_int_equal(other.code, RT_ECANCELED);
}

static void the_event_may_come_first(void **state) {
  answer a = {0};
  bool accepted;
  rt_value *data;
  (void)state;
  assert_int_equal(rt_awaiter_prepare(&a.waiter, awaiter, "7", 0, NULL), RT_OK);
  publish("refused", "7", "3");
  assert_int_equal(rt_waiter_wait(a.waiter, &accepted, &data, NULL), RT_OK);
  rt_value_unref(data);
  assert_int_equal(rt_waiter_wait_async(a.waiter, on_waited, &a, NULL), RT_OK);
  until_told(&a);
  assert_int_equal(a.code, RT_OK);
  assert_false(a.accepted);
  assert_int_equal(a.data, 3);
  rt_waiter_close(a.waiter);
}

/* In the order of their ends, whatever the one of their beginnings. */
static void timeouts_are_told_on_a_quiet_bus(void **state) {
  answer all[4] = {{0}};
  static const double spans[] = {0.05, 0.01, 3600, 0.03};
  (void)state;
  for (int i = 0; i < 4; i++) begin(&all[i], "7", spans[i]);
  for (int i = 0; i < 4; i++) {
    if (i == 2) continue;
    until_told(&all[i]);
    assert_int_equal(all[i].code, RT_ETIMEOUT);
    assert_non_null(strstr(all[i].words, "7"));
    rt_waiter_close(all[i].waiter);
  }
  assert_int_equal(atomic_load(&all[2].told), 0);
  all[2].close = true;
  publish("accept", "7", "1");
  until_told(&all[2]);
  assert_int_equal(all[2].code, RT_OK);
}

static void on_other(const rt_event *event, void *arg) {
  (void)event;
  atomic_fetch_add((atomic_uint *)arg, 1);
}

/* A bus that is never idle rings, too. */
static void timeouts_are_told_on_a_busy_bus(void **state) {
  answer a = {0};
  atomic_uint heard = 0;
  uint64_t id;
  (void)state;
  assert_int_equal(
      rt_bus_subscribe(bus, &id, "noise", NULL, on_other, &heard, NULL), RT_OK);
  begin(&a, "7", 0.02);
  for (uint64_t end = uv_hrtime() + (uint64_t)HOST_LIMIT_MS * 1000000;
       atomic_load(&a.told) == 0;) {
    rt_bus_send(bus, "noise", "x", "y", NULL);
    assert_true(uv_hrtime() < end);
  }
  assert_int_equal(a.code, RT_ETIMEOUT);
  rt_waiter_close(a.waiter);
  rt_bus_unsubscribe(bus, id);
}

static void freeing_from_inside(void **state) {
  answer a = {0}, b = {0};
  (void)state;
  a.close = b.close = true;
  a.awaiter = &awaiter;
  begin(&a, "7", 0);
  begin(&b, "8", 0);
  publish("accept", "7", "1");
  until_told(&a);
  until_told(&b); /* the awaiter was freed */
  assert_int_equal(a.code, RT_OK);
  assert_int_equal(b.code, RT_ECANCELED);
  assert_null(awaiter);
}

static void the_end_is_told(void **state) {
  answer a = {0}, b = {0}, c = {0};
  (void)state;
  begin(&a, "7", 0);
  assert_int_equal(rt_awaiter_prepare(&c.waiter, awaiter, "9", 0, NULL), RT_OK);
  rt_awaiter_free(awaiter);
  until_told(&a);
  assert_int_equal(a.code, RT_ECANCELED);
  assert_int_equal(rt_waiter_wait_async(c.waiter, on_waited, &c, NULL), RT_OK);
  until_told(&c);
  assert_int_equal(c.code, RT_ECANCELED);
  assert_int_equal(rt_awaiter_new(&awaiter, bus, "order", NULL, NULL), RT_OK);
  begin(&b, "8", 0);
  assert_int_equal(rt_bus_stop(bus, -1), RT_OK);
  until_told(&b);
  assert_int_equal(b.code, RT_ECANCELED);
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
  awaiter = NULL;
  bus = NULL;
  rt_waiter_close(a.waiter);
  rt_waiter_close(b.waiter);
  assert_int_equal(rt_waiter_wait_async(c.waiter, on_waited, &c, NULL), RT_OK);
  assert_int_equal(atomic_load(&c.told), 2);
  rt_waiter_close(c.waiter);
}

/* --- on a host's loop ----------------------------------------------------- */

typedef struct on_loop {
  host_loop on;
  unsigned told, strangers;
  rt_err last;
} on_loop;

static void on_waited_there(rt_err code, const rt_error *err, bool accepted,
                            rt_value *data, void *arg) {
  on_loop *l = arg;
  (void)err, (void)accepted;
  rt_value_unref(data);
  l->strangers += !host_loop_here(&l->on);
  l->last = code;
  l->told++;
}

static rt_waiter *wait_there(on_loop *l, rt_awaiter *on, double timeout) {
  rt_waiter *w;
  assert_int_equal(rt_awaiter_prepare(&w, on, "7", timeout, NULL), RT_OK);
  assert_int_equal(rt_waiter_wait_async(w, on_waited_there, l, NULL), RT_OK);
  return w;
}

static void on_the_hosts_loop(void **state) {
  on_loop l = {0};
  rt_bus *hosted;
  rt_awaiter *on;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  (void)state;
  host_loop_open(&l.on);
  opts.loop = &l.on.loop;
  assert_int_equal(rt_bus_new(&hosted, &opts, NULL), RT_OK);
  assert_int_equal(rt_awaiter_new(&on, hosted, "order", NULL, NULL), RT_OK);
  rt_waiter *a = wait_there(&l, on, 0), *b;
  rt_bus_send(hosted, "order", "accept", "7", NULL);
  host_loop_until(&l.on, &l.told, 1);
  assert_int_equal(l.last, RT_OK);
  b = wait_there(&l, on, 0.01);
  host_loop_until(&l.on, &l.told, 2);
  assert_int_equal(l.last, RT_ETIMEOUT);
  rt_waiter_close(a);
  a = wait_there(&l, on, 0);
  rt_awaiter_free(on);
  rt_bus_free(hosted); /* tells what is due */
  assert_int_equal(l.told, 3);
  assert_int_equal(l.last, RT_ECANCELED);
  rt_waiter_close(a);
  rt_waiter_close(b);
  assert_int_equal(l.strangers, 0);
  host_loop_close(&l.on);
}

/* --- all at once ---------------------------------------------------------- */

#define ROUNDS 400

static void sender(void *arg) {
  atomic_bool *stop = arg;
  while (!atomic_load(stop)) {
    rt_bus_send(bus, "order", "accept", "7", NULL);
    uv_sleep(0);
  }
}

/* Events, timeouts and closings meet; each is told once. */
static void whoever_comes_first(void **state) {
  static answer all[ROUNDS];
  atomic_bool stop = false;
  uv_thread_t thread;
  (void)state;
  memset(all, 0, sizeof(all));
  assert_int_equal(uv_thread_create(&thread, sender, &stop), 0);
  for (int i = 0; i < ROUNDS; i++) {
    begin(&all[i], i % 3 ? "7" : "8", i % 2 ? 0.0001 : 0);
    if (i % 5 == 0) sched_yield();
    if (i % 4 == 0) rt_waiter_close(all[i].waiter);
  }
  for (int i = 0; i < ROUNDS; i++) {
    if (i % 4 != 0 && i % 3 == 0 && i % 2 == 0) rt_waiter_close(all[i].waiter);
    until_told(&all[i]);
  }
  atomic_store(&stop, true);
  uv_thread_join(&thread);
  for (int i = 0; i < ROUNDS; i++) {
    bool closed = i % 4 == 0 || (i % 3 == 0 && i % 2 == 0);
    if (!closed) rt_waiter_close(all[i].waiter);
    assert_int_equal(atomic_load(&all[i].told), 1);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_event_is_told),
      TEST(the_event_may_come_first),
      TEST(timeouts_are_told_on_a_quiet_bus),
      TEST(timeouts_are_told_on_a_busy_bus),
      TEST(freeing_from_inside),
      TEST(the_end_is_told),
      cmocka_unit_test(on_the_hosts_loop),
      TEST(whoever_comes_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
