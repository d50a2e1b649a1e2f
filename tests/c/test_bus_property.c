/* test_bus_property.c - many threads at once against a simple model.
 *
 * Each thread subscribes, unsubscribes and sends at random, in a space of names
 * of its own and in one that all share. What it must see of its own space is
 * known exactly, because its calls take effect in order: an event is seen by
 * those of its subscriptions that were open and match when it was sent. In the
 * shared space each sender's events must come in order, and none after a
 * subscription was closed. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "bus/bus.h"

enum { THREADS = 8, STEPS = 1500, SLOTS = 12 };

typedef struct slot {
  uint64_t id; /* 0: closed */
  const char *kind;
  bool shared;
  unsigned expected;      /* of its own space */
  atomic_uint seen;       /* written on the bus thread */
  atomic_bool closed;     /* no call may come any more */
  atomic_bool wrong;      /* one came, or out of order */
  unsigned last[THREADS]; /* of the shared space: last number by sender */
} slot;

typedef struct actor {
  rt_bus *bus;
  unsigned number, sent;
  uint64_t random;
  char system[16];
  slot slots[SLOTS];
} actor;

static const char *const patterns[] = {"a",    "a.b",   "a.*",        "**",
                                       "**.b", "(a|c)", "*.(b|c).**", "c.**"};
static const char *const kinds[] = {"a", "a.b", "c", "c.b.a", "b.c", "d.e.f"};

static unsigned dice(actor *a, unsigned sides) {
  a->random ^= a->random << 13;
  a->random ^= a->random >> 7;
  a->random ^= a->random << 17;
  return (unsigned)(a->random % sides);
}

static void on_event(const rt_event *event, void *arg) {
  slot *s = arg;
  if (atomic_load(&s->closed)) atomic_store(&s->wrong, true);
  if (s->shared) {
    unsigned sender, number;
    if (sscanf(event->path, "%u/%u", &sender, &number) != 2 ||
        number <= s->last[sender])
      atomic_store(&s->wrong, true);
    else
      s->last[sender] = number;
  }
  atomic_fetch_add(&s->seen, 1);
}

static void open_slot(actor *a, slot *s) {
  s->kind = patterns[dice(a, 8)];
  s->shared = dice(a, 3) == 0;
  s->expected = 0;
  memset(s->last, 0, sizeof(s->last));
  atomic_store(&s->seen, 0);
  atomic_store(&s->closed, false);
  const char *system = s->shared ? "shared" : a->system;
  if (rt_bus_subscribe(a->bus, &s->id, system, s->kind, on_event, s, NULL) !=
      RT_OK)
    atomic_store(&s->wrong, true);
}

static void close_slot(actor *a, slot *s) {
  rt_bus_unsubscribe(a->bus, s->id);
  atomic_store(&s->closed, true);
  if (!s->shared && atomic_load(&s->seen) != s->expected)
    atomic_store(&s->wrong, true);
  s->id = 0;
}

static void send_one(actor *a) {
  const char *kind = kinds[dice(a, 6)];
  bool shared = dice(a, 4) == 0;
  char path[32];
  snprintf(path, sizeof(path), "%u/%u", a->number, ++a->sent);
  rt_err rc;
  while ((rc = rt_bus_send(a->bus, shared ? "shared" : a->system, kind, path,
                           NULL)) == RT_EFULL) {
  }
  if (rc != RT_OK) atomic_store(&a->slots[0].wrong, true);
  if (shared) return;
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &a->slots[i];
    if (s->id && !s->shared &&
        rt_pattern_match(s->kind, strlen(s->kind), kind, strlen(kind)))
      s->expected++;
  }
}

static void act(void *arg) {
  actor *a = arg;
  for (int step = 0; step < STEPS; step++) {
    slot *s = &a->slots[dice(a, SLOTS)];
    if (dice(a, 4) > 0)
      send_one(a);
    else if (s->id)
      close_slot(a, s);
    else
      open_slot(a, s);
  }
  for (int i = 0; i < SLOTS; i++)
    if (a->slots[i].id) close_slot(a, &a->slots[i]);
}

static void threads_agree_with_the_model(void **state) {
  (void)state;
  static actor actors[THREADS];
  uv_thread_t threads[THREADS];
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_bus_stats stats;
  rt_bus *bus;
  opts.intake_bytes = 64 * 1024; /* full now and then */
  assert_int_equal(rt_bus_new(&bus, &opts, NULL), RT_OK);
  for (unsigned i = 0; i < THREADS; i++) {
    actors[i].bus = bus;
    actors[i].number = i;
    actors[i].random = 88172645463325252u + i * 7919;
    snprintf(actors[i].system, sizeof(actors[i].system), "own%u", i);
    assert_int_equal(uv_thread_create(&threads[i], act, &actors[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  for (unsigned i = 0; i < THREADS; i++)
    for (int j = 0; j < SLOTS; j++)
      assert_false(atomic_load(&actors[i].slots[j].wrong));
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(stats.subscribers, 0);
  assert_int_equal(stats.dropped, 0);
  uint64_t sent = 0;
  for (unsigned i = 0; i < THREADS; i++) sent += actors[i].sent;
  assert_int_equal(stats.published, sent);
  assert_int_equal(rt__index_nodes(bus->index), 1);
  rt_bus_free(bus);
}

/* Buses that are stopped while threads send and subscribe: all calls return. */
typedef struct user {
  rt_bus *bus;
  atomic_bool stop;
} user;

static void use(void *arg) {
  user *u = arg;
  slot s;
  memset(&s, 0, sizeof(s));
  while (!atomic_load(&u->stop)) {
    uint64_t id;
    rt_bus_send(u->bus, "s", "k", "p", NULL);
    if (rt_bus_subscribe(u->bus, &id, "s", "k", on_event, &s, NULL) == RT_OK)
      rt_bus_unsubscribe(u->bus, id);
  }
}

static void stopping_under_load_ends(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    user u;
    uv_thread_t threads[4];
    rt_bus_stats stats;
    assert_int_equal(rt_bus_new(&u.bus, NULL, NULL), RT_OK);
    atomic_init(&u.stop, false);
    for (int i = 0; i < 4; i++) uv_thread_create(&threads[i], use, &u);
    do rt_bus_get_stats(u.bus, &stats);
    while (stats.published < 100);
    assert_int_equal(rt_bus_stop(u.bus, -1), RT_OK);
    atomic_store(&u.stop, true);
    for (int i = 0; i < 4; i++) uv_thread_join(&threads[i]);
    rt_bus_free(u.bus);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_agree_with_the_model),
      cmocka_unit_test(stopping_under_load_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
