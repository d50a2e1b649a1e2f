/* test_subscriber.c - closing waits for a running handler, and no longer.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/bus.h"

typedef struct fixture {
  rt_bus *bus;
  rt_subscriber *subscriber;
  uv_sem_t entered, go;
  atomic_int running, calls, closed;
  bool close_inside;
} fixture;

static int set_up(void **state) {
  static fixture f;
  memset(&f, 0, sizeof(f));
  uv_sem_init(&f.entered, 0);
  uv_sem_init(&f.go, 0);
  *state = &f;
  return rt_bus_new(&f.bus, NULL, NULL);
}

static int tear_down(void **state) {
  fixture *f = *state;
  rt_bus_free(f->bus);
  uv_sem_destroy(&f->entered);
  uv_sem_destroy(&f->go);
  return 0;
}

static void on_event(const rt_event *event, void *arg) {
  fixture *f = arg;
  (void)event;
  atomic_store(&f->running, 1);
  uv_sem_post(&f->entered);
  if (f->close_inside)
    rt_subscriber_close(f->subscriber);
  else
    uv_sem_wait(&f->go);
  atomic_fetch_add(&f->calls, 1);
  atomic_store(&f->running, 0);
}

static void close_it(void *arg) {
  fixture *f = arg;
  rt_subscriber_close(f->subscriber);
  assert_int_equal(atomic_load(&f->running), 0);
  atomic_store(&f->closed, 1);
}

static void open_it(fixture *f) {
  assert_int_equal(
      rt_subscriber_new(&f->subscriber, f->bus, "s", "k.*", on_event, f, NULL),
      RT_OK);
}

static void closing_waits_for_the_handler(void **state) {
  fixture *f = *state;
  uv_thread_t closer;
  open_it(f);
  assert_int_equal(rt_bus_send(f->bus, "s", "k.a", "p", NULL), RT_OK);
  uv_sem_wait(&f->entered);
  uv_thread_create(&closer, close_it, f);
  assert_int_equal(atomic_load(&f->closed), 0);
  uv_sem_post(&f->go);
  uv_thread_join(&closer);
  assert_int_equal(atomic_load(&f->closed), 1);
  assert_int_equal(atomic_load(&f->calls), 1);
  assert_int_equal(rt_bus_send(f->bus, "s", "k.a", "p", NULL), RT_OK);
  assert_int_equal(rt_bus_stop(f->bus, -1), RT_OK);
  assert_int_equal(atomic_load(&f->calls), 1);
}

static void closing_from_inside_works(void **state) {
  fixture *f = *state;
  f->close_inside = true;
  open_it(f);
  for (int i = 0; i < 3; i++)
    assert_int_equal(rt_bus_send(f->bus, "s", "k.a", "p", NULL), RT_OK);
  assert_int_equal(rt_bus_stop(f->bus, -1), RT_OK);
  assert_int_equal(atomic_load(&f->calls), 1);
}

static void failing_to_open_leaves_nothing(void **state) {
  fixture *f = *state;
  rt_error err = RT_ERROR_INIT;
  rt_subscriber *s = (rt_subscriber *)f;
  assert_int_equal(rt_subscriber_new(&s, f->bus, "", "k", on_event, f, &err),
                   RT_EINVAL);
  assert_null(s);
  rt_subscriber_close(NULL);
  assert_int_equal(rt_bus_stop(f->bus, -1), RT_OK);
  assert_int_equal(rt_subscriber_new(&s, f->bus, "s", "k", on_event, f, &err),
                   RT_ECLOSED);
  assert_null(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(closing_waits_for_the_handler, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(closing_from_inside_works, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(failing_to_open_leaves_nothing, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
