/* test_router.c - many handlers, failing ones, stopping.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rt/bus.h"

typedef struct log {
  rt_bus *bus;
  rt_router *router;
  char text[1000];
} log;

static void note(log *l, const char *what, const char *more) {
  size_t n = strlen(l->text);
  snprintf(l->text + n, sizeof(l->text) - n, "%s%s ", what, more);
}

static rt_err good(const rt_event *event, void *arg, rt_error *err) {
  (void)err;
  note(arg, "good:", event->path);
  return RT_OK;
}

static rt_err bad(const rt_event *event, void *arg, rt_error *err) {
  note(arg, "bad:", event->path);
  return rt_fail(err, RT_ECONFLICT, "no %s", event->path);
}

static rt_err silent(const rt_event *event, void *arg, rt_error *err) {
  (void)event;
  (void)arg;
  (void)err;
  return RT_ENOTFOUND;
}

static void failed(const rt_event *event, const rt_error *why, void *arg) {
  (void)event;
  note(arg, "why:", why->message);
}

static rt_err stop_inside(const rt_event *event, void *arg, rt_error *err) {
  log *l = arg;
  note(l, "stop:", event->path);
  assert_int_equal(rt_router_add(l->router, "more", NULL, good, l, err), RT_OK);
  rt_router_free(l->router);
  return rt_fail(err, RT_EINVAL, "last words");
}

static void handlers_fail_alone(void **state) {
  (void)state;
  log l = {NULL, NULL, {0}};
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_bus_new(&l.bus, NULL, NULL), RT_OK);
  assert_int_equal(rt_router_new(&l.router, l.bus, failed, &l, NULL), RT_OK);
  assert_int_equal(rt_router_add(l.router, "a", NULL, bad, &l, NULL), RT_OK);
  assert_int_equal(rt_router_add(l.router, "*", "k", good, &l, NULL), RT_OK);
  assert_int_equal(rt_router_add(l.router, "b", "k", silent, &l, NULL), RT_OK);
  assert_int_equal(rt_router_add(l.router, "", "k", good, &l, &err), RT_EINVAL);
  rt_bus_send(l.bus, "a", "k", "1", NULL);
  rt_bus_send(l.bus, "b", "k", "2", NULL);
  rt_bus_unsubscribe(l.bus, 0);
  assert_string_equal(l.text, "bad:1 why:no 1 good:1 good:2 why:not found ");
  rt_router_stop(l.router);
  rt_router_stop(l.router);
  assert_int_equal(rt_router_add(l.router, "a", NULL, good, &l, &err),
                   RT_ECANCELED);
  rt_bus_send(l.bus, "a", "k", "3", NULL);
  rt_bus_stop(l.bus, -1);
  assert_null(strstr(l.text, "3"));
  rt_router_free(l.router);
  rt_router_free(NULL);
  rt_bus_free(l.bus);
}

static void a_handler_may_free_its_router(void **state) {
  (void)state;
  log l = {NULL, NULL, {0}};
  assert_int_equal(rt_bus_new(&l.bus, NULL, NULL), RT_OK);
  assert_int_equal(rt_router_new(&l.router, l.bus, failed, &l, NULL), RT_OK);
  assert_int_equal(rt_router_add(l.router, "s", NULL, stop_inside, &l, NULL),
                   RT_OK);
  rt_bus_send(l.bus, "s", "k", "1", NULL);
  rt_bus_send(l.bus, "s", "k", "2", NULL);
  rt_bus_send(l.bus, "more", "k", "3", NULL);
  rt_bus_unsubscribe(l.bus, 0); /* after all that */
  rt_bus_stop(l.bus, -1);
  assert_string_equal(l.text, "stop:1 why:last words ");
  rt_bus_free(l.bus);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(handlers_fail_alone),
      cmocka_unit_test(a_handler_may_free_its_router),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
