/* test_bus_rows.c - rows W-02 to W-29 of the feature list that no other unit
 * names: what is counted, what an end does to those who wait.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "bus/bridge.h"
#include "gate.h"
#include "rt/runtime.h"

#define CHECK_OK(call) assert_int_equal((call), RT_OK)

static rt_bus *start(uint32_t cap, uint64_t intake) {
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_bus *bus;
  opts.max_subscribers = cap;
  opts.intake_bytes = intake;
  CHECK_OK(rt_bus_new(&bus, &opts, NULL));
  return bus;
}

/* A bus whose thread is inside gate_pass(). */
static rt_bus *start_held(gate *g) {
  rt_bus *bus = start(0, 0);
  uint64_t id;
  gate_init(g);
  CHECK_OK(rt_bus_subscribe(bus, &id, "hold", NULL, gate_pass, g, NULL));
  CHECK_OK(rt_bus_send(bus, "hold", "k", "p", NULL));
  uv_sem_wait(&g->entered);
  return bus;
}

/* --- W-16: counters -------------------------------------------------- */

static void w16_counters_are_zero_from_the_beginning(void **state) {
  (void)state;
  rt_bus *bus = start(0, 0);
  rt_bus_stats stats, zero;
  memset(&stats, 0xff, sizeof(stats));
  memset(&zero, 0, sizeof(zero));
  rt_bus_get_stats(bus, &stats);
  assert_memory_equal(&stats, &zero, sizeof(zero));
  rt_bus_free(bus);
}

static void w06_w16_rejections_are_counted_by_reason(void **state) {
  (void)state;
  rt_bus *bus = start(1, 0);
  rt_bus_stats stats;
  rt_error err = RT_ERROR_INIT;
  atomic_uint n = 0;
  uint64_t id, other;
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", "k", bus_count, &n, NULL));
  for (int i = 0; i < 3; i++)
    assert_int_equal(
        rt_bus_subscribe(bus, &other, "s", "k", bus_count, &n, &err),
        RT_EUNAVAIL);
  assert_string_equal(rt_status_kind(err.code), "UNAVAILABLE");
  assert_int_equal(rt_bus_send(bus, "", "k", "p", NULL), RT_EINVAL);
  assert_int_equal(rt_bus_subscribe(bus, &other, "", NULL, bus_count, &n, NULL),
                   RT_EINVAL);
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.subscribers, 1);
  assert_int_equal(stats.rejected_cap, 3);
  assert_int_equal(stats.rejected_invalid, 2);
  CHECK_OK(rt_bus_stop(bus, -1));
  for (int i = 0; i < 4; i++)
    assert_int_equal(rt_bus_send(bus, "s", "k", "p", NULL), RT_ECLOSED);
  assert_int_equal(rt_bus_subscribe(bus, &other, "s", "k", bus_count, &n, NULL),
                   RT_ECLOSED);
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.subscribers, 0);
  assert_int_equal(stats.rejected_closed, 5);
  assert_int_equal(stats.rejected_full, 0);
  assert_int_equal(stats.rejected_memory, 0);
  rt_bus_free(bus);
}

static void w16_a_full_intake_is_counted(void **state) {
  (void)state;
  gate g;
  rt_bus *bus = start_held(&g);
  rt_bus_stats stats;
  uint64_t refused = 0;
  char big[65536];
  memset(big, 'x', sizeof(big) - 1);
  big[sizeof(big) - 1] = '\0';
  while (refused < 3)
    refused += rt_bus_send(bus, "hold", "k", big, NULL) == RT_EFULL;
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.rejected_full, 3);
  assert_true(stats.queued > 0);
  for (uint64_t i = 0; i < stats.published; i++) uv_sem_post(&g.go);
  rt_bus_free(bus);
  gate_deinit(&g);
}

/* --- W-13: order among subscribers ----------------------------------- */

typedef struct place {
  int *turn, number;
} place;

static void take_turn(const rt_event *event, void *arg) {
  place *p = arg;
  (void)event;
  assert_int_equal(*p->turn, p->number);
  *p->turn = (*p->turn + 1) % 5;
}

static void w13_subscribers_hear_in_order_of_subscribing(void **state) {
  (void)state;
  static const char *const systems[] = {"**", "a.*", "a.b", "(a|c).b", "*.b"};
  rt_bus *bus = start(0, 0);
  int turn = 0;
  place places[5];
  uint64_t id;
  for (int i = 0; i < 5; i++) {
    places[i] = (place){&turn, i};
    CHECK_OK(rt_bus_subscribe(bus, &id, systems[i], NULL, take_turn, &places[i],
                              NULL));
  }
  for (int i = 0; i < 20; i++)
    CHECK_OK(rt_bus_send(bus, "a.b", i % 2 ? "k" : "l", "p", NULL));
  bus_drain(bus);
  assert_int_equal(turn, 0);
  rt_bus_free(bus);
}

/* --- W-15: what a stop does ------------------------------------------ */

typedef struct caller {
  rt_bus *bus;
  uint64_t id;
  rt_err rc;
  rt_error err;
  atomic_uint heard;
  uv_sem_t begun;
} caller;

static void subscribe_now(void *arg) {
  caller *c = arg;
  uv_sem_post(&c->begun);
  c->rc =
      rt_bus_subscribe(c->bus, &c->id, "s", "k", bus_count, &c->heard, &c->err);
}

static void unsubscribe_now(void *arg) {
  caller *c = arg;
  uv_sem_post(&c->begun);
  rt_bus_unsubscribe(c->bus, 1);
}

/* Calls that wait when the stop comes are answered; what was sent before it is
 * delivered. */
static void w15_leftovers_of_a_stop_are_answered(void **state) {
  (void)state;
  gate g;
  rt_bus *bus = start_held(&g);
  caller a = {.bus = bus, .rc = RT_OK}, b = {.bus = bus};
  uv_thread_t subscriber, unsubscriber;
  rt_bus_stats stats;
  CHECK_OK(rt_bus_send(bus, "hold", "k", "p", NULL));
  uv_sem_init(&a.begun, 0);
  uv_sem_init(&b.begun, 0);
  uv_thread_create(&subscriber, subscribe_now, &a);
  uv_thread_create(&unsubscriber, unsubscribe_now, &b);
  uv_sem_wait(&a.begun);
  uv_sem_wait(&b.begun);
  assert_int_equal(rt_bus_stop(bus, 0.01), RT_ETIMEOUT);
  uv_sem_post(&g.go);
  uv_sem_post(&g.go);
  CHECK_OK(rt_bus_stop(bus, -1));
  uv_thread_join(&subscriber);
  uv_thread_join(&unsubscriber);
  assert_int_equal(a.rc, RT_ECLOSED);
  assert_string_equal(rt_status_kind(a.err.code), "CANCELED");
  assert_int_equal(a.id, 0);
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.delivered, 2);
  assert_int_equal(stats.subscribers, 0);
  rt_bus_free(bus);
  uv_sem_destroy(&a.begun);
  uv_sem_destroy(&b.begun);
  gate_deinit(&g);
}

/* Free does not wait again for a callback for which a stop has waited. */
static void w15_a_stuck_subscriber_does_not_hang_the_end(void **state) {
  (void)state;
  static gate g; /* the bus outlives this test for a moment */
  rt_bus *bus = start_held(&g);
  assert_int_equal(rt_bus_stop(bus, 0.01), RT_ETIMEOUT);
  rt_bus_free(bus);
  uv_sem_post(&g.go);
}

static void count_errors(rt_log_level level, const char *message,
                         const rt_value *fields, void *arg) {
  (void)fields;
  if (level == RT_LOG_ERROR && strstr(message, "subscriber of the bus"))
    atomic_fetch_add((atomic_uint *)arg, 1);
}

/* Nor the end of a runtime, which then leaves its memory to that callback. */
static void w15_a_stuck_subscriber_does_not_hang_a_runtime(void **state) {
  (void)state;
  static gate g;
  static rt_runtime *left;
  static atomic_uint errors;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  uint64_t id;
  atomic_init(&errors, 0);
  gate_init(&g);
  opts.workers = 1;
  opts.log = count_errors;
  opts.log_arg = &errors;
  CHECK_OK(rt_runtime_new(&left, &opts, NULL));
  rt_bus *bus = rt_runtime_bus(left);
  CHECK_OK(rt_bus_subscribe(bus, &id, "hold", NULL, gate_pass, &g, NULL));
  CHECK_OK(rt_bus_send(bus, "hold", "k", "p", NULL));
  uv_sem_wait(&g.entered);
  rt_runtime_stop(left, 0);
  rt_runtime_free(left);
  assert_int_equal(atomic_load(&errors), 1);
  uv_sem_post(&g.go);
  CHECK_OK(rt_bus_stop(bus, -1)); /* it is still there */
}

/* --- W-06, W-08: a runtime's bus has the bounds it is given ----------- */

static const char *const cap_script =
    "local events = require('events')\n"
    "assert(events.stats().rejected.cap == 0)\n"
    "assert(events.stats().published == 0)\n"
    "local a = assert(events.subscribe('a'))\n"
    "local b = assert(events.on('b', nil, print))\n"
    "for i = 1, 2 do\n"
    "  local sub, err = events.subscribe('c')\n"
    "  assert(not sub and err:kind() == 'UNAVAILABLE')\n"
    "  assert(err:message() == 'bus: cap of 2 subscribers reached')\n"
    "end\n"
    "local router, why = events.router { { system = 'x', handle = print } }\n"
    "assert(not router and why:kind() == 'UNAVAILABLE')\n"
    "assert(events.stats().rejected.cap == 3)\n"
    "assert(events.stats().subscribers == 2)\n"
    "a:close()\n"
    "assert(events.awaiter('c')):close()\n"
    "assert(process.exec(function()\n"
    "  return require('events').subscribe('d') ~= nil\n"
    "end))\n";

static const char *const full_script =
    "local events = require('events')\n"
    "local sub = assert(events.subscribe('s', nil, {buffer = 1}))\n"
    "local data = ('x'):rep(100000)\n"
    "for i = 1, 200 do assert(events.send('s', 'k', 'p', data)) end\n"
    "assert(events.subscribe('settle'))\n"
    "assert(sub:dropped() == 199)\n";

static void run_script(rt_runtime_opts *opts, const char *code) {
  rt_runtime *rt;
  rt_script script = RT_SCRIPT_INIT;
  int exit_code = 1;
  script.code = code;
  script.code_size = strlen(code);
  CHECK_OK(rt_runtime_new(&rt, opts, NULL));
  CHECK_OK(rt_runtime_run(rt, &script, &exit_code, NULL));
  rt_runtime_free(rt);
  assert_int_equal(exit_code, 0);
}

static void w06_w08_a_runtime_gets_its_bounds(void **state) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  (void)state;
  opts.workers = 1;
  opts.max_subscribers = 2;
  run_script(&opts, cap_script);
  opts.max_subscribers = 0;
  opts.bus_intake_bytes = 250000; /* the script has to wait for room */
  run_script(&opts, full_script);
}

/* --- W-39, W-40: the relay before and after the end ------------------ */

static void w39_w40_nobody_is_reached_after_the_end(void **state) {
  (void)state;
  rt_runtime *rt;
  rt_pid pid;
  rt_error err = RT_ERROR_INIT;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  opts.workers = 1;
  CHECK_OK(rt_runtime_new(&rt, &opts, NULL));
  CHECK_OK(rt_process_spawn(rt, &pid, "time", NULL, NULL, NULL, NULL));
  assert_int_equal(rt_process_send(rt, 0, "t", NULL, &err), RT_ENOTFOUND);
  assert_int_equal(rt_process_send(rt, UINT64_MAX, "t", NULL, &err),
                   RT_ENOTFOUND);
  assert_int_equal(rt_process_send(rt, pid, "@t", NULL, &err), RT_EINVAL);
  assert_int_equal(rt_process_send(rt, pid, "", NULL, &err), RT_EINVAL);
  rt_runtime_stop(rt, 0);
  assert_int_equal(rt_process_send(rt, pid, "t", NULL, &err), RT_ENOTFOUND);
  assert_string_equal(rt_status_kind(err.code), "NOT_FOUND");
  assert_int_equal(rt_process_lookup(rt, "nobody"), 0);
  rt_runtime_free(rt);
}

/* --- W-29: the awaiter ----------------------------------------------- */

static void wait_canceled(void *arg) {
  rt_waiter *w = arg;
  rt_error err = RT_ERROR_INIT;
  rt_value *data;
  bool accepted;
  assert_int_equal(rt_waiter_wait(w, &accepted, &data, &err), RT_ECANCELED);
  assert_null(rt_waiter_event(w));
  assert_null(data);
}

static void w15_w29_waiters_are_told_of_the_end(void **state) {
  (void)state;
  rt_bus *bus = start(0, 0);
  rt_awaiter *awaiter;
  rt_waiter *w;
  uv_thread_t thread;
  CHECK_OK(rt_awaiter_new(&awaiter, bus, "order", NULL, NULL));
  CHECK_OK(rt_awaiter_prepare(&w, awaiter, "7", 1e6, NULL));
  uv_thread_create(&thread, wait_canceled, w);
  CHECK_OK(rt_bus_stop(bus, -1));
  uv_thread_join(&thread);
  rt_waiter_close(w);
  CHECK_OK(rt_awaiter_prepare(&w, awaiter, "8", 1e6, NULL));
  wait_canceled(w);
  rt_awaiter_free(awaiter);
  wait_canceled(w);
  rt_waiter_close(w);
  rt_bus_free(bus);
}

static void w29_a_waiter_keeps_the_first_event(void **state) {
  (void)state;
  rt_bus *bus = start(0, 0);
  rt_awaiter *awaiter;
  rt_waiter *w;
  rt_value *data = rt_value_string("why", 3), *got;
  bool accepted;
  CHECK_OK(rt_awaiter_new(&awaiter, bus, "order.*", "**", NULL));
  CHECK_OK(rt_awaiter_prepare(&w, awaiter, "7", 30, NULL));
  assert_null(rt_waiter_event(w));
  CHECK_OK(rt_bus_send(bus, "order.eu", "paid.rejected", "7", data));
  CHECK_OK(rt_bus_send(bus, "order.eu", "accept", "7", NULL));
  bus_drain(bus);
  CHECK_OK(rt_waiter_wait(w, &accepted, &got, NULL));
  const rt_event *event = rt_waiter_event(w);
  assert_false(accepted);
  assert_string_equal(event->system, "order.eu");
  assert_string_equal(event->kind, "paid.rejected");
  assert_string_equal(event->path, "7");
  assert_ptr_equal(event->data, data);
  assert_ptr_equal(got, data);
  rt_value_unref(got);
  rt_value_unref(data);
  rt_waiter_close(w);
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
}

static void w29_which_kinds_accept(void **state) {
  static const struct {
    const char *kind;
    bool accepts;
  } cases[] = {{"accept", true},    {"a.accept", true}, {"a.b.accepted", true},
               {"accepted", false}, {"xaccept", false}, {"x-accepted", false},
               {"accept.x", false}, {"Accept", false}};
  (void)state;
  rt_bus *bus = start(0, 0);
  rt_awaiter *awaiter;
  rt_waiter *w;
  rt_value *data;
  bool accepted;
  CHECK_OK(rt_awaiter_new(&awaiter, bus, "order", NULL, NULL));
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    CHECK_OK(rt_awaiter_prepare(&w, awaiter, "7", 30, NULL));
    CHECK_OK(rt_bus_send(bus, "order", cases[i].kind, "7", NULL));
    CHECK_OK(rt_waiter_wait(w, &accepted, &data, NULL));
    assert_int_equal(accepted, cases[i].accepts);
    rt_waiter_close(w);
  }
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
}

static void w29_a_timeout_has_its_words(void **state) {
  (void)state;
  rt_bus *bus = start(0, 0);
  rt_awaiter *awaiter;
  rt_waiter *w;
  rt_error err = RT_ERROR_INIT;
  rt_value *data;
  bool accepted;
  CHECK_OK(rt_awaiter_new(&awaiter, bus, "order", NULL, NULL));
  CHECK_OK(rt_awaiter_prepare(&w, awaiter, "order/7", 0.001, NULL));
  assert_int_equal(rt_waiter_wait(w, &accepted, &data, &err), RT_ETIMEOUT);
  assert_string_equal(err.message, "timed out waiting for an event at order/7");
  assert_string_equal(rt_status_kind(err.code), "TIMEOUT");
  rt_waiter_close(w);
  rt_awaiter_free(awaiter);
  rt_bus_free(bus);
}

/* --- the bridge: W-15, W-33, W-36 ------------------------------------ */

typedef struct told {
  atomic_uint notices;
  uv_sem_t ready;
} told;

static void notify(void *self, rt_pid pid, const rt_value *token) {
  (void)pid;
  (void)token;
  atomic_fetch_add(&((told *)self)->notices, 1);
}

static void on_ready(rt__feed *feed, void *arg) {
  (void)feed;
  uv_sem_post(&((told *)arg)->ready);
}

static void w15_readers_of_feeds_are_told_of_the_end(void **state) {
  (void)state;
  told t;
  rt_bus *bus = start(0, 0);
  rt__bridge *bridge;
  rt__feed *idle, *full;
  rt__shared *out[4];
  bool end;
  const rt__bridge_ops ops = {notify, &t};
  const rt__feed_opts opts = {7, "s", NULL, 0, RT__DROP_OLDEST};
  atomic_init(&t.notices, 0);
  uv_sem_init(&t.ready, 0);
  CHECK_OK(rt__bridge_create(&bridge, bus, &ops, NULL));
  CHECK_OK(rt__feed_open(&full, bridge, &opts, on_ready, &t, NULL));
  uv_sem_wait(&t.ready);
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  bus_drain(bus);
  CHECK_OK(rt__feed_open(&idle, bridge, &opts, on_ready, &t, NULL));
  uv_sem_wait(&t.ready);
  assert_int_equal(rt__feed_take(idle, out, 4, &end), 0); /* arms it */
  assert_false(end);
  CHECK_OK(rt_bus_stop(bus, -1));
  assert_int_equal(atomic_load(&t.notices), 1);
  assert_int_equal(rt__feed_take(idle, out, 4, &end), 0);
  assert_true(end);
  assert_int_equal(rt__feed_take(full, out, 4, &end), 1);
  rt__shared_unref(out[0]);
  assert_int_equal(rt__feed_take(full, out, 4, &end), 0);
  assert_true(end);
  rt__feed_close(idle);
  rt__feed_discard(full);
  rt__feed_unref(full);
  rt__bridge_free(bridge);
  rt__feed_unref(idle);
  rt_bus_free(bus);
  uv_sem_destroy(&t.ready);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(w16_counters_are_zero_from_the_beginning),
      cmocka_unit_test(w06_w16_rejections_are_counted_by_reason),
      cmocka_unit_test(w16_a_full_intake_is_counted),
      cmocka_unit_test(w13_subscribers_hear_in_order_of_subscribing),
      cmocka_unit_test(w15_leftovers_of_a_stop_are_answered),
      cmocka_unit_test(w15_a_stuck_subscriber_does_not_hang_the_end),
      cmocka_unit_test(w15_a_stuck_subscriber_does_not_hang_a_runtime),
      cmocka_unit_test(w06_w08_a_runtime_gets_its_bounds),
      cmocka_unit_test(w39_w40_nobody_is_reached_after_the_end),
      cmocka_unit_test(w15_w29_waiters_are_told_of_the_end),
      cmocka_unit_test(w29_a_waiter_keeps_the_first_event),
      cmocka_unit_test(w29_which_kinds_accept),
      cmocka_unit_test(w29_a_timeout_has_its_words),
      cmocka_unit_test(w15_readers_of_feeds_are_told_of_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
