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

enum { EVENTS = 2000000, FEW = 200000, ROUNDS = 5, PINGS = 20000 };

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

static double bench_queue(int events) {
  queue q;
  uv_thread_t thread;
  memset(&q, 0, sizeof(q));
  uv_mutex_init(&q.lock);
  uv_cond_init(&q.wake);
  uv_thread_create(&thread, queue_run, &q);
  uint64_t start = rt__now_ns();
  for (int i = 0; i < events; i++) queue_send(&q, "system", "kind", "path");
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

/* --- latency of one event through an idle bus ------------------------ */

static void post(const rt_event *event, void *arg) {
  (void)event;
  uv_sem_post(arg);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void bench_latency(void) {
  static double times[PINGS];
  rt_bus *bus;
  uv_sem_t sem;
  uint64_t id;
  uv_sem_init(&sem, 0);
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK ||
      rt_bus_subscribe(bus, &id, "s", NULL, post, &sem, NULL) != RT_OK)
    abort();
  for (int i = 0; i < PINGS; i++) {
    uint64_t start = rt__now_ns();
    rt_bus_send(bus, "s", "k", "p", NULL);
    uv_sem_wait(&sem);
    times[i] = (double)(rt__now_ns() - start);
  }
  rt_bus_free(bus);
  uv_sem_destroy(&sem);
  qsort(times, PINGS, sizeof(*times), compare);
  print("bus: round trip when idle, p50", times[PINGS / 2], "ns", 0);
  print("bus: round trip when idle, p99", times[PINGS * 99 / 100], "ns", 0);
}

static double best(double a, double b) {
  return a > b ? a : b;
}

/* The limit and ours take turns, as other programs may disturb either. */
static double compare_queues(double *limit) {
  double one = 0;
  *limit = 0;
  for (int round = 0; round < ROUNDS; round++) {
    *limit = best(*limit, bench_queue(EVENTS));
    one = best(one, bench_ours(1, 1, 0, EVENTS));
  }
  return one;
}

static double best_ours(int senders, int fans, int others, int events) {
  double rate = 0;
  for (int round = 0; round < ROUNDS; round++)
    rate = best(rate, bench_ours(senders, fans, others, events));
  return rate;
}

int main(void) {
  double limit, one = compare_queues(&limit), rate;
  print("baseline: pooled two-array queue, 1 to 1", limit, "events/s", 0);
  print("bus: 1 to 1", one, "events/s", one / limit);
  rate = best_ours(4, 1, 0, EVENTS);
  print("bus: 4 to 1", rate, "events/s", rate / limit);
  rate = best_ours(1, 10, 0, EVENTS / 2);
  print("bus: 1 to 10", rate * 10, "deliveries/s", 0);
  rate = best_ours(1, 100, 0, FEW);
  print("bus: 1 to 100", rate * 100, "deliveries/s", 0);
  rate = best_ours(1, 1, 1000, EVENTS);
  print("bus: 1 to 1 with 1,000 others", rate, "events/s", rate / one);
  rate = best_ours(1, 1, 4000, EVENTS);
  print("bus: 1 to 1 with 4,000 others", rate, "events/s", rate / one);
  rate = best_ours(1, 1, 100000, EVENTS);
  print("bus: 1 to 1 with 100,000 others", rate, "events/s", rate / one);
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
