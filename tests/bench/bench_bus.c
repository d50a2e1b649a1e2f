/* bench_bus.c - the bus against the limits of what it is made of.
 *
 * Baselines, in the same run: a queue of two swapped arrays behind a mutex and
 * a condition variable with events from a pool (the limit of any bus with one
 * dispatcher thread), and matching every subscription in turn (what a bus
 * without an index does). Prints one line a figure, with its ratio.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "bus/pattern.h"
#include "rt/bus.h"

enum { EVENTS = 2000000, FEW = 200000, ROUNDS = 5, PINGS = 10000 };

static double seconds_since(uint64_t start) {
  return (double)(rt__now_ns() - start) / 1e9;
}

static void print(const char *what, double rate, const char *unit,
                  double ratio) {
  printf("%-44s %12.0f %s", what, rate, unit);
  if (ratio > 0) printf("  x%.2f", ratio);
  putchar('\n');
  fflush(stdout);
}

/* --- baseline: two arrays, pooled events ----------------------------- */

typedef struct pooled {
  struct pooled *next;
  char system[16], kind[16], path[16];
} pooled;

typedef struct queue {
  uv_mutex_t lock;
  uv_cond_t wake;
  pooled **items, **spare;
  size_t count, room, spare_room;
  pooled *pool;
  bool sleeping, stop;
  uint64_t seen;
} queue;

static pooled *take_pooled(queue *q) {
  pooled *e = q->pool;
  if (!e) return malloc(sizeof(*e));
  q->pool = e->next;
  return e;
}

static void queue_send(queue *q, const char *system, const char *kind,
                       const char *path) {
  uv_mutex_lock(&q->lock);
  pooled *e = take_pooled(q);
  strcpy(e->system, system);
  strcpy(e->kind, kind);
  strcpy(e->path, path);
  if (q->count == q->room) {
    q->room = q->room ? q->room * 2 : 64;
    q->items = realloc(q->items, q->room * sizeof(*q->items));
  }
  q->items[q->count++] = e;
  bool wake = q->sleeping;
  q->sleeping = false;
  uv_mutex_unlock(&q->lock);
  if (wake) uv_cond_signal(&q->wake);
}

static void queue_run(void *arg) {
  queue *q = arg;
  uv_mutex_lock(&q->lock);
  for (;;) {
    while (q->count == 0 && !q->stop) {
      q->sleeping = true;
      uv_cond_wait(&q->wake, &q->lock);
    }
    if (q->count == 0) break;
    pooled **items = q->items;
    size_t count = q->count, room = q->room;
    q->items = q->spare;
    q->room = q->spare_room;
    q->count = 0;
    uv_mutex_unlock(&q->lock);
    for (size_t i = 0; i < count; i++) q->seen += items[i]->path[0] != 0;
    uv_mutex_lock(&q->lock);
    for (size_t i = 0; i < count; i++) {
      items[i]->next = q->pool;
      q->pool = items[i];
    }
    q->spare = items;
    q->spare_room = room;
  }
  uv_mutex_unlock(&q->lock);
}

static void queue_free(queue *q) {
  while (q->pool) {
    pooled *e = q->pool;
    q->pool = e->next;
    free(e);
  }
  free(q->items);
  free(q->spare);
  uv_cond_destroy(&q->wake);
  uv_mutex_destroy(&q->lock);
}

typedef struct feeder {
  queue *q;
  int events;
} feeder;

static void feed(void *arg) {
  const feeder *f = arg;
  for (int i = 0; i < f->events; i++)
    queue_send(f->q, "system", "kind", "path");
}

static double bench_queue(int senders, int events) {
  queue q;
  uv_thread_t thread, threads[8];
  memset(&q, 0, sizeof(q));
  uv_mutex_init(&q.lock);
  uv_cond_init(&q.wake);
  uv_thread_create(&thread, queue_run, &q);
  feeder share = {&q, events / senders};
  uint64_t start = rt__now_ns();
  for (int i = 1; i < senders; i++) uv_thread_create(&threads[i], feed, &share);
  feed(&share);
  for (int i = 1; i < senders; i++) uv_thread_join(&threads[i]);
  uv_mutex_lock(&q.lock);
  q.stop = true;
  uv_cond_signal(&q.wake);
  uv_mutex_unlock(&q.lock);
  uv_thread_join(&thread);
  double rate = events / seconds_since(start);
  queue_free(&q);
  return rate;
}

/* --- baseline: matching one after the other -------------------------- */

static double bench_linear(int patterns, int events) {
  rt__pattern **list = malloc((size_t)patterns * sizeof(*list));
  uint64_t found = 0;
  char text[32];
  for (int i = 0; i < patterns; i++) {
    int n = snprintf(text, sizeof(text), "other%d.*", i);
    list[i] = rt__pattern_new(text, (size_t)n);
  }
  uint64_t start = rt__now_ns();
  for (int e = 0; e < events; e++)
    for (int i = 0; i < patterns; i++)
      found += rt__pattern_matches(list[i], "system.one", 10);
  double rate = events / seconds_since(start);
  for (int i = 0; i < patterns; i++) rt__pattern_free(list[i]);
  free(list);
  return found ? 0 : rate;
}

/* --- ours ------------------------------------------------------------ */

static void count(const rt_event *event, void *arg) {
  *(uint64_t *)arg += event->path[0] != 0;
}

static void subscribe(rt_bus *bus, const char *system, void *arg) {
  uint64_t id;
  if (rt_bus_subscribe(bus, &id, system, NULL, count, arg, NULL) != RT_OK) {
    fprintf(stderr, "cannot subscribe\n");
    abort();
  }
}

static void send_all(rt_bus *bus, const char *system, int events) {
  for (int i = 0; i < events; i++)
    while (rt_bus_send(bus, system, "kind", "path", NULL) == RT_EFULL)
      uv_sleep(0);
}

typedef struct sender {
  rt_bus *bus;
  int events;
} sender;

static void send_share(void *arg) {
  const sender *s = arg;
  send_all(s->bus, "system.one", s->events);
}

/* Events (not deliveries) a second from `senders` threads to `fans`
 * subscribers, with `others` that do not match. */
static double bench_ours(int senders, int fans, int others, int events) {
  rt_bus *bus;
  uint64_t seen = 0;
  char text[32];
  uv_thread_t threads[8];
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK) abort();
  for (int i = 0; i < fans; i++) subscribe(bus, "system.*", &seen);
  for (int i = 0; i < others; i++) {
    snprintf(text, sizeof(text), "other%d.*", i);
    subscribe(bus, text, &seen);
  }
  sender share = {bus, events / senders};
  uint64_t start = rt__now_ns();
  for (int i = 1; i < senders; i++)
    uv_thread_create(&threads[i], send_share, &share);
  send_share(&share);
  for (int i = 1; i < senders; i++) uv_thread_join(&threads[i]);
  rt_bus_unsubscribe(bus, 0); /* comes after all that is queued */
  double rate = events / seconds_since(start);
  rt_bus_free(bus);
  if (seen != (uint64_t)events * (uint64_t)fans) abort();
  return rate;
}

static double bench_unheard(int events) {
  rt_bus *bus;
  uint64_t seen = 0;
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK) abort();
  subscribe(bus, "other", &seen);
  uint64_t start = rt__now_ns();
  send_all(bus, "system.one", events);
  double rate = events / seconds_since(start);
  rt_bus_free(bus);
  return rate;
}

/* Is it wanted? with so many subscriptions that do not match. */
static double bench_lookup(int others, int lookups) {
  rt_bus *bus;
  uint64_t seen = 0, yes = 0;
  char text[32];
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK) abort();
  subscribe(bus, "system.*", &seen);
  for (int i = 0; i < others; i++) {
    snprintf(text, sizeof(text), "other%d.*", i);
    subscribe(bus, text, &seen);
  }
  uint64_t start = rt__now_ns();
  for (int i = 0; i < lookups; i++)
    yes += rt_bus_wanted(bus, i & 1 ? "system.one" : "systex.one", "kind");
  double rate = lookups / seconds_since(start);
  rt_bus_free(bus);
  return yes == (uint64_t)lookups / 2 ? rate : 0;
}

/* --- one message there and back, when nothing else goes on ------------ */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

typedef struct latency {
  double p50, p99;
} latency;

static latency latency_of(double *times) {
  qsort(times, PINGS, sizeof(*times), compare);
  return (latency){times[PINGS / 2], times[PINGS * 99 / 100]};
}

typedef struct turns {
  uv_mutex_t lock;
  uv_cond_t changed;
  int turn; /* 0: here, 1: there, 2: the end */
} turns;

static void wait_while(turns *t, int turn) {
  while (t->turn == turn) uv_cond_wait(&t->changed, &t->lock);
}

static void pass(turns *t, int turn) {
  t->turn = turn;
  uv_cond_signal(&t->changed);
}

static void answer(void *arg) {
  turns *t = arg;
  uv_mutex_lock(&t->lock);
  for (;;) {
    wait_while(t, 0);
    if (t->turn == 2) break;
    pass(t, 0);
  }
  uv_mutex_unlock(&t->lock);
}

static latency ping_condvar(void) {
  static double times[PINGS];
  turns t = {.turn = 0};
  uv_thread_t thread;
  uv_mutex_init(&t.lock);
  uv_cond_init(&t.changed);
  uv_thread_create(&thread, answer, &t);
  uv_mutex_lock(&t.lock);
  for (int i = 0; i < PINGS; i++) {
    uint64_t start = rt__now_ns();
    pass(&t, 1);
    wait_while(&t, 1);
    times[i] = (double)(rt__now_ns() - start);
  }
  pass(&t, 2);
  uv_mutex_unlock(&t.lock);
  uv_thread_join(&thread);
  uv_cond_destroy(&t.changed);
  uv_mutex_destroy(&t.lock);
  return latency_of(times);
}

static void reply(const rt_event *event, void *arg) {
  turns *t = arg;
  (void)event;
  uv_mutex_lock(&t->lock);
  pass(t, 0);
  uv_mutex_unlock(&t->lock);
}

/* There through the bus, back as above. With more than it lingers `apart`, the
 * bus thread is asleep when an event comes. */
static latency ping_bus(unsigned apart) {
  static double times[PINGS];
  turns t = {.turn = 0};
  rt_bus *bus;
  uint64_t id;
  uv_mutex_init(&t.lock);
  uv_cond_init(&t.changed);
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK ||
      rt_bus_subscribe(bus, &id, "s", NULL, reply, &t, NULL) != RT_OK)
    abort();
  for (int i = 0; i < PINGS; i++) {
    uint64_t start = rt__now_ns();
    while (rt__now_ns() - start < apart) {
    }
    start = rt__now_ns();
    uv_mutex_lock(&t.lock);
    t.turn = 1;
    rt_bus_send(bus, "s", "k", "p", NULL);
    wait_while(&t, 1);
    uv_mutex_unlock(&t.lock);
    times[i] = (double)(rt__now_ns() - start);
  }
  rt_bus_free(bus);
  uv_cond_destroy(&t.changed);
  uv_mutex_destroy(&t.lock);
  return latency_of(times);
}

static void print_latency(const char *what, latency l, latency base) {
  char line[64];
  snprintf(line, sizeof(line), "%s, p50", what);
  print(line, l.p50, "ns", base.p50 > 0 ? l.p50 / base.p50 : 0);
  snprintf(line, sizeof(line), "%s, p99", what);
  print(line, l.p99, "ns", base.p99 > 0 ? l.p99 / base.p99 : 0);
}

static latency quieter(latency a, latency b) {
  return a.p50 == 0 || b.p50 < a.p50 ? b : a;
}

static void bench_latency(void) {
  enum { ASLEEP_NS = 40000 };
  latency none = {0, 0}, condvar = none, steady = none, asleep = none;
  for (int round = 0; round < ROUNDS; round++) {
    condvar = quieter(condvar, ping_condvar());
    steady = quieter(steady, ping_bus(0));
    asleep = quieter(asleep, ping_bus(ASLEEP_NS));
  }
  print_latency("baseline: condvar there and back", condvar, none);
  print_latency("bus there, condvar back", steady, condvar);
  print_latency("the same, the bus thread asleep", asleep, condvar);
}

static double best(double a, double b) {
  return a > b ? a : b;
}

/* The limit and ours take turns, as other programs may disturb either. */
static double beside_limit(int senders, double *limit) {
  double ours = 0;
  *limit = 0;
  for (int round = 0; round < ROUNDS; round++) {
    *limit = best(*limit, bench_queue(senders, EVENTS));
    ours = best(ours, bench_ours(senders, 1, 0, EVENTS));
  }
  return ours;
}

static double best_ours(int senders, int fans, int others, int events) {
  double rate = 0;
  for (int round = 0; round < ROUNDS; round++)
    rate = best(rate, bench_ours(senders, fans, others, events));
  return rate;
}

/* Beside patterns that do not match, in turns with none of them. */
static void bench_others(int others) {
  double alone = 0, beside = 0;
  char line[64];
  for (int round = 0; round < ROUNDS; round++) {
    alone = best(alone, bench_ours(1, 1, 0, EVENTS));
    beside = best(beside, bench_ours(1, 1, others, EVENTS));
  }
  snprintf(line, sizeof(line), "bus: 1 to 1 beside %d other patterns", others);
  print(line, beside, "events/s", beside / alone);
}

int main(void) {
  double limit, four_limit, rate = beside_limit(1, &limit);
  print("baseline: pooled two-array queue, 1 to 1", limit, "events/s", 0);
  print("bus: 1 to 1", rate, "events/s", rate / limit);
  rate = beside_limit(4, &four_limit);
  print("baseline: pooled two-array queue, 4 to 1", four_limit, "events/s", 0);
  print("bus: 4 to 1", rate, "events/s", rate / four_limit);
  print("  the same against the queue's 1 to 1", rate, "events/s",
        rate / limit);
  rate = best_ours(1, 10, 0, EVENTS / 2);
  print("bus: 1 to 10", rate * 10, "deliveries/s", 0);
  rate = best_ours(1, 100, 0, FEW);
  print("bus: 1 to 100", rate * 100, "deliveries/s", 0);
  bench_others(1000);
  bench_others(4000);
  bench_others(100000);
  rate = bench_unheard(EVENTS);
  print("bus: nobody listens", rate, "events/s", rate / limit);
  double linear = bench_linear(4000, 2000);
  print("baseline: linear matching, 4,000 patterns", linear, "lookups/s", 0);
  rate = bench_lookup(4000, EVENTS * 5);
  print("bus: who listens, among 4,000 others", rate, "lookups/s",
        rate / linear);
  bench_latency();
  return 0;
}
