/* test_bus_memory.c - a steady flow allocates nothing, a burst leaves nothing.
 *
 * Allocations are counted by standing in for malloc, which the sanitizers do
 * themselves: under them only the chunks of the queue are looked at.
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
#include "bus/bridge.h"
#include "gate.h"
#include "sanitized.h"

#define CHECK_OK(call) assert_int_equal((call), RT_OK)

enum { WINDOW = 1000, WINDOWS = 100, CHUNK = 64 * 1024 };

/* --- counting -------------------------------------------------------- */

static atomic_ulong allocations;

#if defined(__GLIBC__) && !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_realloc(old, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_memalign(alignment, size);
}

static void malloc_is_counted(void **state) {
  (void)state;
  unsigned long before = atomic_load(&allocations);
  rt_value *value = rt_value_string("x", 1);
  assert_true(atomic_load(&allocations) > before);
  rt_value_unref(value);
}
#else
static void malloc_is_counted(void **state) {
  (void)state;
}
#endif

typedef struct chunks {
  unsigned in_use, spare;
} chunks;

static chunks chunks_of(rt_bus *bus) {
  rt__latch_take(&bus->latch);
  chunks c = {bus->intake.in_use, bus->intake.spare_count};
  rt__latch_leave(&bus->latch);
  return c;
}

/* --- a bus ----------------------------------------------------------- */

static rt_bus *start(uint64_t intake_bytes) {
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_bus *bus;
  opts.intake_bytes = intake_bytes;
  CHECK_OK(rt_bus_new(&bus, &opts, NULL));
  return bus;
}

static void count(const rt_event *event, void *arg) {
  *(uint64_t *)arg += event->path[0] != 0; /* on the bus thread */
}

static void send_window(rt_bus *bus, const rt_value *data) {
  for (int i = 0; i < WINDOW; i++) {
    const char *kind = i % 3 ? "kind" : "another.kind";
    CHECK_OK(rt_bus_send(bus, "some.system", kind, "path", data));
  }
  bus_drain(bus);
}

static void a_steady_flow_allocates_nothing(void **state) {
  (void)state;
  rt_bus *bus = start(0);
  rt_value *data = rt_value_string("data", 4);
  uint64_t seen = 0, id;
  CHECK_OK(rt_bus_subscribe(bus, &id, "some.*", NULL, count, &seen, NULL));
  CHECK_OK(rt_bus_subscribe(bus, &id, "**", "kind", count, &seen, NULL));
  for (int i = 0; i < 10; i++) send_window(bus, data);
  unsigned long before = atomic_load(&allocations);
  for (int i = 0; i < WINDOWS; i++) send_window(bus, data);
  chunks after = chunks_of(bus);
  assert_int_equal(atomic_load(&allocations) - before, 0);
  assert_true(after.in_use + after.spare <= 4); /* a window fits into two */
  assert_true(seen > WINDOWS * WINDOW);
  rt_bus_free(bus);
  rt_value_unref(data);
}

/* --- bursts ---------------------------------------------------------- */

/* Until its memory is that of a quiet bus. */
static chunks wait_until_lean(rt_bus *bus) {
  uint64_t limit = rt__now_ns() + (uint64_t)30e9;
  chunks c;
  do {
    uv_sleep(5);
    c = chunks_of(bus);
  } while ((c.spare > 4 || c.in_use > 1) && rt__now_ns() < limit);
  return c;
}

static void a_burst_is_bounded_and_leaves_nothing(void **state) {
  (void)state;
  enum { BOUND = 8 << 20 };
  rt_bus *bus = start(BOUND);
  uint64_t id;
  unsigned sent = 0;
  gate g;
  gate_init(&g);
  CHECK_OK(rt_bus_subscribe(bus, &id, "s", NULL, gate_pass, &g, NULL));
  while (rt_bus_send(bus, "s", "k", "p", NULL) == RT_OK) sent++;
  chunks full = chunks_of(bus);
  assert_true(full.in_use > BOUND / CHUNK * 9 / 10);
  assert_true(full.in_use <= BOUND / CHUNK + 2);
  for (unsigned i = 0; i <= sent; i++) uv_sem_post(&g.go); /* and one more */
  bus_drain(bus);
  chunks lean = wait_until_lean(bus);
  assert_true(lean.spare <= 4);
  assert_int_equal(lean.in_use, 1);
  CHECK_OK(rt_bus_send(bus, "s", "k", "p", NULL));
  rt_bus_free(bus);
  gate_deinit(&g);
}

/* What is charged is given back to the byte, whatever went through. */
static void all_that_was_charged_is_returned(void **state) {
  (void)state;
  rt_bus *bus = start(0);
  uint64_t seen = 0, id;
  char *big = malloc(200000);
  memset(big, 'x', 199999);
  big[199999] = 0;
  rt_value *data = rt_value_string(big, 150000);
  CHECK_OK(rt_bus_subscribe(bus, &id, "**", NULL, count, &seen, NULL));
  for (int i = 0; i < 500; i++) {
    const rt_value *some = i % 3 ? NULL : data;
    CHECK_OK(rt_bus_send(bus, "s", "k", i % 50 ? "p" : big, some));
    if (i % 7 == 0) bus_drain(bus);
  }
  CHECK_OK(rt_bus_stop(bus, -1));
  assert_true(bus->charged > 500 * sizeof(rt__record));
  assert_int_equal(atomic_load(&bus->returned), bus->charged);
  assert_int_equal(seen, 500);
  rt_bus_free(bus);
  rt_value_unref(data);
  free(big);
}

/* Names without end cost a bounded memory of who hears them. */
static void names_are_forgotten(void **state) {
  (void)state;
  rt_bus *bus = start(0);
  uint64_t seen = 0, id;
  char *name = malloc(60001);
  memset(name, 'x', 60000);
  name[60000] = 0;
  CHECK_OK(rt_bus_subscribe(bus, &id, "**", NULL, count, &seen, NULL));
  for (int i = 0; i < 1000; i++) {
    name[i % 60] = (char)('a' + i / 60);
    CHECK_OK(rt_bus_send(bus, name, "k", "p", NULL));
    if (i % 100 == 0) bus_drain(bus);
  }
  CHECK_OK(rt_bus_stop(bus, -1));
  assert_int_equal(seen, 1000);
  assert_true(bus->memo->text < 10 << 20);
  rt_bus_free(bus);
  free(name);
}

static void subscribe_many(rt_bus *bus, void *arg) { /* on the bus thread */
  uint64_t id;
  for (int i = 0; i < 10000; i++)
    CHECK_OK(rt_bus_subscribe(bus, &id, "**", NULL, count, arg, NULL));
}

static void send_names(rt_bus *bus, int names) {
  char name[16];
  for (int i = 0; i < names; i++) {
    snprintf(name, sizeof(name), "name%d", i);
    CHECK_OK(rt_bus_send(bus, name, "k", "p", NULL));
  }
  bus_drain(bus);
}

/* Nor does it grow without end when names that are known get more hearers. */
static void known_names_are_forgotten(void **state) {
  (void)state;
  rt_bus *bus = start(0);
  uint64_t seen = 0, id;
  CHECK_OK(rt_bus_subscribe(bus, &id, "**", NULL, count, &seen, NULL));
  send_names(bus, 300);
  assert_true(rt__bus_call(bus, subscribe_many, &seen));
  bus_drain(bus);
  send_names(bus, 300);
  CHECK_OK(rt_bus_stop(bus, -1));
  assert_int_equal(seen, 300 + 300 * 10001);
  assert_true(bus->memo->targets < (1 << 20) + 10001);
  rt_bus_free(bus);
}

/* --- the latch ------------------------------------------------------- */

typedef struct shared {
  rt__latch latch;
  uint64_t count;
} shared;

static void count_up(void *arg) {
  shared *s = arg;
  for (int i = 0; i < 50000; i++) {
    rt__latch_take(&s->latch);
    s->count++;
    rt__latch_leave(&s->latch);
  }
}

static void the_latch_lets_one_in(void **state) {
  (void)state;
  shared s;
  uv_thread_t threads[4];
  memset(&s, 0, sizeof(s));
  for (int i = 0; i < 4; i++) uv_thread_create(&threads[i], count_up, &s);
  for (int i = 0; i < 4; i++) uv_thread_join(&threads[i]);
  assert_int_equal(s.count, 200000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(malloc_is_counted),
      cmocka_unit_test(a_steady_flow_allocates_nothing),
      cmocka_unit_test(a_burst_is_bounded_and_leaves_nothing),
      cmocka_unit_test(all_that_was_charged_is_returned),
      cmocka_unit_test(names_are_forgotten),
      cmocka_unit_test(known_names_are_forgotten),
      cmocka_unit_test(the_latch_lets_one_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
