/* test_bus_property.c - many threads at once against a simple model.
 *
 * Each thread subscribes, unsubscribes, sends and reads at random. In a space
 * of names of its own it knows exactly what each of its subscriptions must have
 * got: callbacks by count, also those that end themselves from inside, feeds
 * event by event, whatever their policy loses. In the space all share, order
 * must hold for each sender, and two witnesses must see one and the same
 * sequence without a gap. In the end the bus's counters are the model's sums.
 *
 * The seed is printed. RT_SEED=N takes another, RT_SEED=0 one by the clock.
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

enum { THREADS = 8, STEPS = 1500, SLOTS = 12, LIMIT_MAX = 6 };

typedef enum slot_kind { CALLBACK, SELF_ENDING, FEED, SHARED, KINDS } slot_kind;

/* What a feed must hold, oldest first. */
typedef struct model {
  unsigned held[LIMIT_MAX], count, limit;
  rt__overflow overflow;
  uint64_t dropped;
  bool closed;
} model;

typedef struct actor actor;
typedef struct slot {
  actor *owner;
  slot_kind what;
  uint64_t id; /* 0: closed; of a feed 1 */
  rt__feed *feed;
  model model;
  const char *pattern;
  unsigned expected;  /* events it must have got, its own thread's only */
  unsigned quota;     /* SELF_ENDING: ends itself at this one */
  atomic_uint seen;   /* written on the bus thread */
  atomic_bool closed; /* no call may come any more */
  unsigned last[THREADS];
} slot;

struct actor {
  rt_bus *bus;
  rt__bridge *bridge;
  unsigned number, sent, shared_sent;
  uint64_t random, full, fed, dropped; /* fed: events that feeds took */
  atomic_uint_fast64_t heard;          /* by callbacks */
  const char *_Atomic wrong;           /* the first thing that was */
  char system[16];
  uv_sem_t ready;
  slot slots[SLOTS];
};

static const char *const patterns[] = {"a",    "a.b",   "a.*",        "**",
                                       "**.b", "(a|c)", "*.(b|c).**", "c.**"};
static const char *const kinds[] = {"a", "a.b", "c", "c.b.a", "b.c", "d.e.f"};

static void wrong(actor *a, const char *what) {
  const char *none = NULL;
  atomic_compare_exchange_strong(&a->wrong, &none, what);
}

static unsigned dice(actor *a, unsigned sides) {
  a->random ^= a->random << 13;
  a->random ^= a->random >> 7;
  a->random ^= a->random << 17;
  return (unsigned)(a->random % sides);
}

/* --- what subscriptions see, on the bus thread ----------------------- */

static void check_order(slot *s, const rt_event *event) {
  unsigned sender, number;
  if (sscanf(event->path, "%u/%u", &sender, &number) != 2 ||
      number <= s->last[sender])
    wrong(s->owner, "a sender's events out of order, or twice");
  else
    s->last[sender] = number;
  if (sender == s->owner->number) atomic_fetch_add(&s->seen, 1);
}

static void on_event(const rt_event *event, void *arg) {
  slot *s = arg;
  atomic_fetch_add(&s->owner->heard, 1);
  if (atomic_load(&s->closed)) wrong(s->owner, "an event after the close");
  if (s->what == SHARED) {
    check_order(s, event);
    return;
  }
  unsigned seen = atomic_fetch_add(&s->seen, 1) + 1;
  if (s->what != SELF_ENDING || seen < s->quota) return;
  if (seen > s->quota) wrong(s->owner, "an event after it ended itself");
  rt_bus_unsubscribe(s->owner->bus, s->id);
}

/* --- the model of a feed --------------------------------------------- */

static void model_push(actor *a, model *m, unsigned number) {
  if (m->closed) return;
  if (m->count == m->limit) {
    m->dropped++;
    a->dropped++;
    if (m->overflow != RT__DROP_OLDEST) {
      m->closed = m->overflow == RT__CLOSE;
      return;
    }
    m->count--;
    memmove(m->held, m->held + 1, m->count * sizeof(*m->held));
  }
  m->held[m->count++] = number;
  a->fed++;
}

static unsigned number_of(const rt__shared *event) {
  const char *path = event->text + event->system_size + event->kind_size + 2;
  unsigned sender = 0, number = 0;
  sscanf(path, "%u/%u", &sender, &number);
  return number;
}

/* Take all; it must be what the model holds. */
static void read_feed(actor *a, slot *s) {
  rt__shared *out[LIMIT_MAX + 1];
  model *m = &s->model;
  bool end;
  rt_bus_unsubscribe(a->bus, 0); /* after all that was sent */
  size_t n = rt__feed_take(s->feed, out, LIMIT_MAX + 1, &end);
  if (n != m->count) wrong(a, "a feed holds more or less than it should");
  for (size_t i = 0; i < n; i++) {
    if (i < m->count && number_of(out[i]) != m->held[i])
      wrong(a, "a feed holds other events than it should");
    rt__shared_unref(out[i]);
  }
  m->count = 0;
  if (n == 0 && end != m->closed) wrong(a, "a feed's end is not as it should");
  if (rt__feed_dropped(s->feed) != m->dropped)
    wrong(a, "a feed has lost more or less than it says");
}

/* --- what a thread does ---------------------------------------------- */

static void on_ready(rt__feed *feed, void *arg) {
  (void)feed;
  uv_sem_post(&((actor *)arg)->ready);
}

static void notify(void *self, rt_pid pid, const rt_value *token) {
  (void)self;
  (void)pid;
  (void)token;
}

static void open_feed(actor *a, slot *s) {
  const rt__feed_opts opts = {1 + a->number, a->system, s->pattern,
                              1 + dice(a, LIMIT_MAX), (rt__overflow)dice(a, 3)};
  s->model = (model){.limit = opts.limit, .overflow = opts.overflow};
  if (rt__feed_open(&s->feed, a->bridge, &opts, on_ready, a, NULL) != RT_OK) {
    wrong(a, "a feed does not open");
    return;
  }
  uv_sem_wait(&a->ready);
  s->id = 1;
}

static void open_slot(actor *a, slot *s) {
  s->owner = a;
  s->pattern = patterns[dice(a, 8)];
  s->what = (slot_kind)dice(a, KINDS);
  s->expected = 0;
  s->quota = 1 + dice(a, 5);
  memset(s->last, 0, sizeof(s->last));
  atomic_store(&s->seen, 0);
  atomic_store(&s->closed, false);
  if (s->what == FEED)
    open_feed(a, s);
  else if (rt_bus_subscribe(a->bus, &s->id,
                            s->what == SHARED ? "shared" : a->system,
                            s->pattern, on_event, s, NULL) != RT_OK)
    wrong(a, "a subscription is refused");
}

static void close_feed(actor *a, slot *s) {
  read_feed(a, s);
  rt__feed_close(s->feed);
  rt__feed_unref(s->feed);
  s->feed = NULL;
}

static void close_slot(actor *a, slot *s) {
  unsigned expected = s->expected;
  if (s->what == SELF_ENDING && expected > s->quota) expected = s->quota;
  if (s->what == FEED)
    close_feed(a, s);
  else {
    rt_bus_unsubscribe(a->bus, s->id);
    atomic_store(&s->closed, true);
    if (atomic_load(&s->seen) != expected)
      wrong(a, "a subscription has seen more or less than was sent");
  }
  s->id = 0;
}

static bool hears(const slot *s, bool shared, const char *kind) {
  return s->id && (s->what == SHARED) == shared &&
         rt_pattern_match(s->pattern, strlen(s->pattern), kind, strlen(kind));
}

static void send_one(actor *a) {
  const char *kind = kinds[dice(a, 6)];
  bool shared = dice(a, 4) == 0;
  char path[48];
  snprintf(path, sizeof(path), "%u/%u/%u", a->number, ++a->sent,
           shared ? ++a->shared_sent : 0);
  rt_err rc;
  while ((rc = rt_bus_send(a->bus, shared ? "shared" : a->system, kind, path,
                           NULL)) == RT_EFULL)
    a->full++;
  if (rc != RT_OK) wrong(a, "an event is refused");
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &a->slots[i];
    if (!hears(s, shared, kind)) continue;
    s->expected++;
    if (s->what == FEED) model_push(a, &s->model, a->sent);
  }
}

static void act(void *arg) {
  actor *a = arg;
  for (int step = 0; step < STEPS; step++) {
    slot *s = &a->slots[dice(a, SLOTS)];
    unsigned what = dice(a, 16);
    if (what < 12)
      send_one(a);
    else if (!s->id)
      open_slot(a, s);
    else if (s->what == FEED && what < 14)
      read_feed(a, s);
    else
      close_slot(a, s);
  }
  for (int i = 0; i < SLOTS; i++)
    if (a->slots[i].id) close_slot(a, &a->slots[i]);
}

/* --- witnesses of the shared space ----------------------------------- */

typedef struct witness {
  uint64_t count, order;
  unsigned last[THREADS];
  bool gap;
} witness;

static void observe(const rt_event *event, void *arg) {
  witness *w = arg;
  unsigned sender = 0, number = 0, serial = 0;
  sscanf(event->path, "%u/%u/%u", &sender, &number, &serial);
  if (serial != ++w->last[sender]) w->gap = true;
  w->order = (w->order ^ (sender + 1)) * 1099511628211u;
  w->count++;
}

/* --- the test -------------------------------------------------------- */

static uint64_t choose_seed(void) {
  const char *text = getenv("RT_SEED");
  uint64_t seed = text ? strtoull(text, NULL, 10) : 88172645463325252u;
  if (seed == 0) seed = uv_hrtime();
  print_message("# RT_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

static void start_actor(actor *a, rt_bus *bus, rt__bridge *bridge,
                        unsigned number, uint64_t seed) {
  a->bus = bus;
  a->bridge = bridge;
  a->number = number;
  a->random = (seed + number) * 0x9E3779B97F4A7C15u | 1;
  snprintf(a->system, sizeof(a->system), "own%u", number);
  assert_int_equal(uv_sem_init(&a->ready, 0), 0);
}

static void check_sums(rt_bus *bus, actor *actors, const witness *w) {
  uint64_t sent = 0, shared = 0, full = 0, dropped = 0, delivered = 0;
  rt_bus_stats stats;
  for (unsigned i = 0; i < THREADS; i++) {
    actor *a = &actors[i];
    const char *what = atomic_load(&a->wrong);
    if (what) fail_msg("thread %u: %s", i, what);
    assert_int_equal(w->last[i], a->shared_sent);
    sent += a->sent;
    shared += a->shared_sent;
    full += a->full;
    dropped += a->dropped;
    delivered += a->fed + atomic_load(&a->heard);
  }
  rt_bus_get_stats(bus, &stats);
  assert_int_equal(w->count, shared);
  assert_int_equal(stats.subscribers, 0);
  assert_int_equal(stats.queued, 0);
  assert_int_equal(stats.published, sent);
  assert_int_equal(stats.dropped, dropped);
  assert_int_equal(stats.rejected_full, full);
  assert_int_equal(stats.delivered, delivered + 2 * shared);
}

static void threads_agree_with_the_model(void **state) {
  static actor actors[THREADS];
  static witness a, b;
  const rt__bridge_ops ops = {notify, NULL};
  uv_thread_t threads[THREADS];
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_bus *bus;
  rt__bridge *bridge;
  uint64_t first, second, seed = choose_seed();
  (void)state;
  opts.intake_bytes = 64 * 1024; /* full now and then */
  assert_int_equal(rt_bus_new(&bus, &opts, NULL), RT_OK);
  assert_int_equal(rt__bridge_create(&bridge, bus, &ops, NULL), RT_OK);
  rt_bus_subscribe(bus, &first, "shared", NULL, observe, &a, NULL);
  rt_bus_subscribe(bus, &second, "*", "**", observe, &b, NULL);
  rt_bus_unsubscribe(bus, second);
  rt_bus_subscribe(bus, &second, "(shared|none)", "**", observe, &b, NULL);
  for (unsigned i = 0; i < THREADS; i++) {
    start_actor(&actors[i], bus, bridge, i, seed);
    assert_int_equal(uv_thread_create(&threads[i], act, &actors[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  rt_bus_unsubscribe(bus, first);
  rt_bus_unsubscribe(bus, second);
  assert_false(a.gap || b.gap);
  assert_int_equal(a.count, b.count);
  assert_true(a.order == b.order);
  check_sums(bus, actors, &a);
  assert_int_equal(rt__index_nodes(bus->index), 1);
  assert_int_equal(atomic_load(&bridge->held), 0);
  rt_bus_stop(bus, -1);
  rt__bridge_free(bridge);
  rt_bus_free(bus);
  for (unsigned i = 0; i < THREADS; i++) uv_sem_destroy(&actors[i].ready);
}

/* Buses that are stopped while threads send and subscribe: all calls return. */
typedef struct user {
  rt_bus *bus;
  atomic_bool stop;
} user;

static void ignore(const rt_event *event, void *arg) {
  (void)event;
  (void)arg;
}

static void use(void *arg) {
  user *u = arg;
  while (!atomic_load(&u->stop)) {
    uint64_t id;
    rt_bus_send(u->bus, "s", "k", "p", NULL);
    if (rt_bus_subscribe(u->bus, &id, "s", "k", ignore, NULL, NULL) == RT_OK)
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
