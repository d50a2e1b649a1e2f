/* test_awaiter.c - waiting for an event by its path.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/bus.h"

static rt_bus *bus;
static rt_awaiter *awaiter;

static int set_up(void **state) {
  (void)state;
  return rt_bus_new(&bus, NULL, NULL) ||
         rt_awaiter_new(&awaiter, bus, "order", "**", NULL);
}

static int tear_down(void **state) {
  (void)state;
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
  return 0;
}

static rt_waiter *prepare(const char *path, double timeout) {
  rt_waiter *w;
  assert_int_equal(rt_awaiter_prepare(&w, awaiter, path, timeout, NULL), RT_OK);
  return w;
}

static void check_wait(rt_waiter *w, bool accepted, const char *data) {
  bool got;
  rt_value *value;
  rt_error err = RT_ERROR_INIT;
  size_t size;
  if (rt_waiter_wait(w, &got, &value, &err) != RT_OK)
    fail_msg("%s", err.message);
  assert_int_equal(got, accepted);
  const char *text = rt_view_string(rt_value_view(value), &size);
  if (data)
    assert_memory_equal(text, data, size);
  else
    assert_null(value);
  rt_value_unref(value);
}

static void all_waiters_of_a_path_wake(void **state) {
  (void)state;
  rt_waiter *a = prepare("7", 0), *b = prepare("7", 30), *c = prepare("8", 30);
  rt_value *no = rt_value_string("no stock", 8);
  rt_bus_send(bus, "order", "accept", "7", NULL);
  rt_bus_send(bus, "order", "reject", "7", no); /* comes too late */
  rt_bus_send(bus, "order", "reject", "8", no);
  check_wait(a, true, NULL);
  check_wait(b, true, NULL);
  check_wait(c, false, "no stock");
  check_wait(c, false, "no stock");
  rt_waiter_close(a);
  rt_waiter *d = prepare("7", 30);
  rt_bus_send(bus, "order", "x.accepted", "7", no);
  check_wait(d, true, "no stock");
  rt_waiter_close(b);
  rt_waiter_close(d);
  rt_waiter_close(c);
  rt_waiter_close(NULL);
  rt_value_unref(no);
}

static void a_timeout_names_the_path(void **state) {
  (void)state;
  rt_waiter *w = prepare("lost/one", 0.01);
  rt_error err = RT_ERROR_INIT;
  rt_value *value;
  bool accepted;
  rt_bus_send(bus, "order", "accept", "another", NULL);
  assert_int_equal(rt_waiter_wait(w, &accepted, &value, &err), RT_ETIMEOUT);
  assert_non_null(strstr(err.message, "lost/one"));
  assert_true(err.retryable);
  assert_null(value);
  rt_waiter_close(w);
  assert_int_equal(rt_awaiter_prepare(&w, awaiter, "", 0, &err), RT_EINVAL);
  assert_null(w);
}

static void wait_canceled(void *arg) {
  rt_value *value;
  bool accepted;
  assert_int_equal(rt_waiter_wait(arg, &accepted, &value, NULL), RT_ECANCELED);
  rt_waiter_close(arg);
}

static void freeing_the_awaiter_ends_the_wait(void **state) {
  (void)state;
  uv_thread_t thread;
  rt_waiter *w = prepare("7", 30);
  uv_thread_create(&thread, wait_canceled, w);
  rt_awaiter_free(awaiter);
  awaiter = NULL;
  uv_thread_join(&thread);
}

static void the_wait_may_come_after_the_bus(void **state) {
  (void)state;
  rt_bus *own;
  rt_awaiter *a;
  rt_waiter *w;
  assert_int_equal(rt_bus_new(&own, NULL, NULL), RT_OK);
  assert_int_equal(rt_awaiter_new(&a, own, "s", NULL, NULL), RT_OK);
  assert_int_equal(rt_awaiter_prepare(&w, a, "7", 30, NULL), RT_OK);
  rt_awaiter_free(a);
  rt_bus_free(own);
  wait_canceled(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(all_waiters_of_a_path_wake, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_timeout_names_the_path, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(freeing_the_awaiter_ends_the_wait, set_up,
                                      tear_down),
      cmocka_unit_test(the_wait_may_come_after_the_bus),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
