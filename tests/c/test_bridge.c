/* test_bridge.c - feeds: bounds, policies, accounting, notices.
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

#include "bus/bridge.h"

#define CHECK_OK(call) assert_int_equal((call), RT_OK)

typedef struct fixture {
  rt_bus *bus;
  rt__bridge *bridge;
  uv_sem_t ready, noticed;
  atomic_uint notices;
} fixture;

static void notify(void *self, rt_pid pid, const rt_value *token) {
  fixture *f = self;
  assert_int_equal(pid, 7);
  assert_int_equal(rt_view_count(rt_value_view(token)), 1);
  atomic_fetch_add(&f->notices, 1);
  uv_sem_post(&f->noticed);
}

static int set_up(void **state) {
  static fixture f;
  const rt__bridge_ops ops = {notify, &f};
  memset(&f, 0, sizeof(f));
  uv_sem_init(&f.ready, 0);
  uv_sem_init(&f.noticed, 0);
  *state = &f;
  return rt_bus_new(&f.bus, NULL, NULL) ||
         rt__bridge_create(&f.bridge, f.bus, &ops, NULL);
}

static int tear_down(void **state) {
  fixture *f = *state;
  rt_bus_stop(f->bus, -1);
  rt__bridge_free(f->bridge);
  rt_bus_free(f->bus);
  uv_sem_destroy(&f->ready);
  uv_sem_destroy(&f->noticed);
  return 0;
}

static void on_ready(rt__feed *feed, void *arg) {
  (void)feed;
  uv_sem_post(&((fixture *)arg)->ready);
}

static rt__feed *open_feed(fixture *f, const char *system, uint32_t limit,
                           rt__overflow overflow) {
  const rt__feed_opts opts = {7, system, NULL, limit, overflow};
  rt__feed *feed;
  CHECK_OK(rt__feed_open(&feed, f->bridge, &opts, on_ready, f, NULL));
  uv_sem_wait(&f->ready);
  assert_null(rt__feed_fault(feed));
  return feed;
}

static void done_with(rt__feed *feed) {
  rt__feed_discard(feed);
  rt__feed_unref(feed);
}

static void send_range(fixture *f, int from, int to) {
  char path[16];
  for (int i = from; i < to; i++) {
    snprintf(path, sizeof(path), "%d", i);
    CHECK_OK(rt_bus_send(f->bus, "s", "k", path, NULL));
  }
  rt_bus_unsubscribe(f->bus, 0); /* after all that */
}

static int path_of(const rt__shared *event) {
  return atoi(event->text + event->system_size + event->kind_size + 2);
}

/* Take all; the paths must be from, from + 1, ... Returns their number. */
static int take_range(rt__feed *feed, int from, bool *end) {
  rt__shared *out[5];
  size_t n;
  int count = 0;
  while ((n = rt__feed_take(feed, out, 5, end)) > 0)
    for (size_t i = 0; i < n; i++, count++) {
      assert_int_equal(path_of(out[i]), from + count);
      rt__shared_unref(out[i]);
    }
  return count;
}

static void keeps_order_and_content(void **state) {
  fixture *f = *state;
  rt__feed *feed = open_feed(f, "s", 0, RT__DROP_OLDEST);
  rt_value *data = rt_value_string("hello", 5);
  rt__shared *out[2];
  bool end;
  CHECK_OK(rt_bus_send(f->bus, "s", "kind", "path", data));
  CHECK_OK(rt_bus_send(f->bus, "other", "kind", "path", data));
  rt_bus_unsubscribe(f->bus, 0);
  assert_int_equal(rt__feed_take(feed, out, 2, &end), 1);
  assert_string_equal(out[0]->text, "s");
  assert_string_equal(out[0]->text + 2, "kind");
  assert_string_equal(out[0]->text + 7, "path");
  assert_ptr_equal(out[0]->data, data);
  rt__shared_unref(out[0]);
  rt_value_unref(data);
  send_range(f, 0, 3000);
  assert_int_equal(take_range(feed, 0, &end), 3000);
  assert_false(end);
  assert_int_equal(rt__feed_dropped(feed), 0);
  done_with(feed);
}

/* What could not be handed over comes first again, whatever came meanwhile. */
static void takes_back_what_was_taken(void **state) {
  fixture *f = *state;
  rt__feed *feed = open_feed(f, "s", 10, RT__DROP_NEWEST);
  rt__shared *out[4];
  bool end;
  send_range(f, 0, 10);
  assert_int_equal(rt__feed_take(feed, out, 4, &end), 4);
  send_range(f, 10, 13);
  rt__feed_untake(feed, out, 4);
  assert_int_equal(take_range(feed, 0, &end), 13);
  send_range(f, 13, 23);
  assert_int_equal(take_range(feed, 13, &end), 10);
  assert_int_equal(rt__feed_dropped(feed), 0);
  done_with(feed);
}

static void each_policy_loses_what_it_should(void **state) {
  fixture *f = *state;
  rt__feed *oldest = open_feed(f, "s", 10, RT__DROP_OLDEST);
  rt__feed *newest = open_feed(f, "s", 10, RT__DROP_NEWEST);
  rt__feed *closes = open_feed(f, "s", 10, RT__CLOSE);
  rt_bus_stats stats;
  bool end;
  send_range(f, 0, 25);
  assert_int_equal(rt__feed_dropped(oldest), 15);
  assert_int_equal(rt__feed_dropped(newest), 15);
  assert_int_equal(rt__feed_dropped(closes), 1);
  rt_bus_get_stats(f->bus, &stats);
  assert_int_equal(stats.subscribers, 2); /* the closed one has left */
  assert_int_equal(stats.dropped, 31);
  assert_int_equal(take_range(oldest, 15, &end), 10);
  assert_false(end);
  assert_int_equal(take_range(newest, 0, &end), 10);
  assert_false(end);
  assert_int_equal(take_range(closes, 0, &end), 10);
  assert_true(end);
  send_range(f, 25, 27);
  assert_int_equal(take_range(newest, 25, &end), 2);
  assert_int_equal(take_range(closes, 25, &end), 0);
  done_with(oldest);
  done_with(newest);
  done_with(closes);
}

static void bytes_are_bounded_too(void **state) {
  fixture *f = *state;
  f->bridge->feed_bytes = 10 * RT__POOL_BLOCK;
  rt__feed *oldest = open_feed(f, "s", 0, RT__DROP_OLDEST);
  rt__feed *newest = open_feed(f, "s", 0, RT__DROP_NEWEST);
  char *big = calloc(1, 5000);
  rt_value *data = rt_value_string(big, 5000);
  bool end;
  send_range(f, 0, 25);
  assert_int_equal(rt__feed_dropped(oldest), 15);
  assert_int_equal(rt__feed_dropped(newest), 15);
  assert_int_equal(take_range(newest, 0, &end), 10);
  CHECK_OK(rt_bus_send(f->bus, "s", "k", "25", data)); /* more than fits */
  rt_bus_unsubscribe(f->bus, 0);
  assert_int_equal(rt__feed_dropped(oldest), 25);
  assert_int_equal(take_range(oldest, 25, &end), 1);
  assert_int_equal(take_range(newest, 25, &end), 1);
  assert_int_equal(atomic_load(&f->bridge->held), 0);
  done_with(oldest);
  done_with(newest);
  rt_value_unref(data);
  free(big);
}

static void all_feeds_together_are_bounded(void **state) {
  fixture *f = *state;
  rt__feed *a = open_feed(f, "s", 0, RT__DROP_NEWEST);
  rt__feed *b = open_feed(f, "s", 0, RT__DROP_OLDEST);
  bool end;
  f->bridge->held_bytes = 10 * RT__POOL_BLOCK;
  send_range(f, 0, 100);
  assert_true(rt__feed_dropped(a) >= 85 && rt__feed_dropped(a) < 100);
  assert_true(rt__feed_dropped(b) >= 75 && rt__feed_dropped(b) < 100);
  assert_true(take_range(a, 0, &end) > 0);
  done_with(a);
  done_with(b);
  assert_int_equal(atomic_load(&f->bridge->held), 0);
}

static void closing_keeps_what_is_buffered(void **state) {
  fixture *f = *state;
  rt__feed *feed = open_feed(f, "s", 0, RT__DROP_OLDEST);
  rt_bus_stats stats;
  bool end;
  send_range(f, 0, 3);
  rt__feed_close(feed);
  rt__feed_close(feed);
  send_range(f, 3, 5);
  rt_bus_get_stats(f->bus, &stats);
  assert_int_equal(stats.subscribers, 0);
  assert_false(rt_bus_wanted(f->bus, "s", "k"));
  assert_int_equal(take_range(feed, 0, &end), 3);
  assert_true(end);
  done_with(feed);
}

static void an_empty_feed_is_announced_once(void **state) {
  fixture *f = *state;
  rt__feed *feed = open_feed(f, "s", 0, RT__DROP_OLDEST);
  bool end;
  send_range(f, 0, 5); /* nobody has looked yet */
  assert_int_equal(atomic_load(&f->notices), 0);
  assert_int_equal(take_range(feed, 0, &end), 5);
  send_range(f, 5, 10);
  uv_sem_wait(&f->noticed);
  rt_bus_unsubscribe(f->bus, 0);
  assert_int_equal(atomic_load(&f->notices), 1);
  assert_int_equal(take_range(feed, 5, &end), 5);
  send_range(f, 10, 11);
  uv_sem_wait(&f->noticed);
  assert_int_equal(atomic_load(&f->notices), 2);
  done_with(feed);
}

static void a_refusal_is_told(void **state) {
  fixture *f = *state;
  const rt__feed_opts empty = {7, "", NULL, 0, RT__CLOSE};
  const rt__feed_opts good = {7, "s", "k", 0, RT__CLOSE};
  rt_error err = RT_ERROR_INIT;
  rt__feed *feed;
  assert_int_equal(rt__feed_open(&feed, f->bridge, &empty, on_ready, f, &err),
                   RT_EINVAL);
  assert_null(feed);
  assert_non_null(strstr(err.message, "system"));
  rt_bus_stop(f->bus, -1);
  assert_int_equal(rt__feed_open(&feed, f->bridge, &good, on_ready, f, &err),
                   RT_ECLOSED);
  assert_null(feed);
}

static void lagging_is_told_at_doubling_marks(void **state) {
  fixture *f = *state;
  rt__feed *watch = open_feed(f, "bus", 0, RT__DROP_OLDEST);
  rt__feed *slow = open_feed(f, "s", 5000, RT__DROP_OLDEST);
  rt__shared *out[16];
  bool end;
  send_range(f, 0, 5003);
  rt_bus_unsubscribe(f->bus, 0); /* the bus's own events too */
  size_t n = rt__feed_take(watch, out, 16, &end);
  assert_int_equal(n, 5); /* 1024, 2048, 4096 buffered; 1, 2 lost */
  for (size_t i = 0; i < n; i++) {
    rt_view data = rt_value_view(out[i]->data);
    assert_string_equal(out[i]->text + 4, "subscriber.lagging");
    assert_int_equal(rt_view_int(rt_view_get(data, "buffer"), 0), 5000);
    if (i < 3)
      assert_int_equal(rt_view_int(rt_view_get(data, "buffered"), 0),
                       1024 << i);
    assert_int_equal(rt_view_int(rt_view_get(data, "dropped"), -1),
                     i < 3 ? 0 : i - 2);
    rt__shared_unref(out[i]);
  }
  done_with(watch);
  done_with(slow);
}

/* --- accounting while everything moves ------------------------------- */

typedef struct flow {
  fixture *f;
  rt__feed *feed;
  atomic_bool stop;
  uint64_t taken;
  int last;
  bool wrong;
} flow;

static void take_on(flow *w) {
  rt__shared *out[16];
  bool end;
  size_t n = rt__feed_take(w->feed, out, 16, &end);
  for (size_t i = 0; i < n; i++) {
    if (path_of(out[i]) <= w->last) w->wrong = true;
    w->last = path_of(out[i]);
    rt__shared_unref(out[i]);
  }
  w->taken += n;
}

static void take_until_told(void *arg) {
  flow *w = arg;
  while (!atomic_load(&w->stop)) take_on(w);
}

static void sent_is_taken_plus_dropped(void **state) {
  fixture *f = *state;
  enum { EVENTS = 20000 };
  static const rt__overflow policies[] = {RT__DROP_OLDEST, RT__DROP_NEWEST};
  for (int p = 0; p < 2; p++) {
    flow w = {f, open_feed(f, "s", 32, policies[p]), false, 0, -1, false};
    uv_thread_t thread;
    uv_thread_create(&thread, take_until_told, &w);
    send_range(f, 0, EVENTS);
    atomic_store(&w.stop, true);
    uv_thread_join(&thread);
    take_on(&w);
    take_on(&w);
    assert_false(w.wrong);
    assert_int_equal(w.taken + rt__feed_dropped(w.feed), EVENTS);
    done_with(w.feed);
  }
}

static void feeds_outlive_the_bus(void **state) {
  fixture *f = *state;
  rt__feed *feed = open_feed(f, "s", 0, RT__DROP_OLDEST);
  bool end;
  send_range(f, 0, 2);
  rt_bus_stop(f->bus, -1);
  assert_int_equal(take_range(feed, 0, &end), 2);
  done_with(feed);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(keeps_order_and_content),
      TEST(takes_back_what_was_taken),
      TEST(each_policy_loses_what_it_should),
      TEST(bytes_are_bounded_too),
      TEST(all_feeds_together_are_bounded),
      TEST(closing_keeps_what_is_buffered),
      TEST(an_empty_feed_is_announced_once),
      TEST(a_refusal_is_told),
      TEST(lagging_is_told_at_doubling_marks),
      TEST(sent_is_taken_plus_dropped),
      TEST(feeds_outlive_the_bus),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
