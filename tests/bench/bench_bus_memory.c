/* bench_bus_memory.c - what subscriptions and events cost in memory.
 *
 * Bytes are what malloc has handed out and not got back (glibc's own figures,
 * its overhead included), for the queue, which is mapped, resident memory. The
 * long run sends BUS_EVENTS events (100,000,000 by
 * default) and shows resident memory before and after.
 * SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "bus/bridge.h"

enum { SUBSCRIPTIONS = 100000, HELD = 400000, FED = 200000 };

static void print(const char *what, double value, const char *unit) {
  printf("%-52s %12.0f %s\n", what, value, unit);
  fflush(stdout);
}

static double allocated(void) {
  struct mallinfo2 info = mallinfo2();
  return (double)info.uordblks + (double)info.hblkhd;
}

static double resident(void) {
  long pages = 0, all;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f) return 0;
  if (fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
  fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static rt_bus *start(void) {
  rt_bus *bus;
  if (rt_bus_new(&bus, NULL, NULL) != RT_OK) abort();
  return bus;
}

static void drain(rt_bus *bus) { /* a call comes after all that is queued */
  rt_bus_unsubscribe(bus, 0);
}

static void count(const rt_event *event, void *arg) {
  *(uint64_t *)arg += event->path[0] != 0;
}

static void subscribe(rt_bus *bus, const char *system, const char *kind,
                      rt_event_fn fn, void *arg) {
  uint64_t id;
  if (rt_bus_subscribe(bus, &id, system, kind, fn, arg, NULL) != RT_OK) abort();
}

/* --- subscriptions --------------------------------------------------- */

static void measure_subscriptions(const char *what, const char *system,
                                  const char *kind) {
  rt_bus *bus = start();
  uint64_t seen = 0;
  char text[64];
  double before = allocated();
  for (int i = 0; i < SUBSCRIPTIONS; i++) {
    snprintf(text, sizeof(text), system, i);
    subscribe(bus, text, kind, count, &seen);
  }
  print(what, (allocated() - before) / SUBSCRIPTIONS, "bytes");
  rt_bus_free(bus);
}

static void no_notice(void *self, rt_pid pid, const rt_value *token) {
  (void)self, (void)pid, (void)token;
}

static void opened(rt__feed *feed, void *arg) {
  (void)feed;
  uv_sem_post(arg);
}

static rt__feed *open_feed(rt__bridge *bridge, const char *system) {
  uv_sem_t sem;
  rt__feed *feed;
  rt__feed_opts opts;
  memset(&opts, 0, sizeof(opts));
  opts.system = system;
  uv_sem_init(&sem, 0);
  if (rt__feed_open(&feed, bridge, &opts, opened, &sem, NULL) != RT_OK) abort();
  uv_sem_wait(&sem);
  uv_sem_destroy(&sem);
  return feed;
}

static rt__bridge *make_bridge(rt_bus *bus) {
  const rt__bridge_ops ops = {no_notice, NULL};
  rt__bridge *bridge;
  if (rt__bridge_create(&bridge, bus, &ops, NULL) != RT_OK) abort();
  return bridge;
}

static void measure_feeds(const char *what, const char *system) {
  rt_bus *bus = start();
  rt__bridge *bridge = make_bridge(bus);
  static rt__feed *feeds[SUBSCRIPTIONS];
  char text[64];
  double before = allocated();
  for (int i = 0; i < SUBSCRIPTIONS; i++) {
    snprintf(text, sizeof(text), system, i);
    feeds[i] = open_feed(bridge, text);
  }
  print(what, (allocated() - before) / SUBSCRIPTIONS, "bytes");
  rt_bus_stop(bus, -1);
  rt__bridge_free(bridge);
  for (int i = 0; i < SUBSCRIPTIONS; i++) rt__feed_unref(feeds[i]);
  rt_bus_free(bus);
}

/* --- events in flight ------------------------------------------------ */

static void send_or_die(rt_bus *bus) {
  if (rt_bus_send(bus, "system.one", "kind", "path", NULL) != RT_OK) abort();
}

static void pass_gate(const rt_event *event, void *arg) {
  (void)event;
  uv_sem_wait(arg);
  uv_sem_post(arg);
}

static void measure_queued(void) {
  rt_bus *bus = start();
  uv_sem_t gate;
  uv_sem_init(&gate, 0);
  subscribe(bus, "system.*", NULL, pass_gate, &gate);
  double before = resident();
  for (int i = 0; i < HELD; i++) send_or_die(bus);
  print("an event without data in the bus's queue",
        (resident() - before) / HELD, "bytes");
  uv_sem_post(&gate);
  drain(bus);
  rt_bus_free(bus);
  uv_sem_destroy(&gate);
}

static void measure_fed(void) {
  rt_bus *bus = start();
  rt__bridge *bridge = make_bridge(bus);
  rt__feed *feed = open_feed(bridge, "system.*");
  double before = allocated();
  for (int i = 0; i < FED; i++) {
    send_or_die(bus);
    if (i % 1024 == 0) drain(bus);
  }
  drain(bus);
  print("an event without data in a Lua subscription's buffer",
        (allocated() - before) / FED, "bytes");
  rt_bus_stop(bus, -1);
  rt__bridge_free(bridge);
  rt__feed_unref(feed);
  rt_bus_free(bus);
}

/* --- a long run ------------------------------------------------------ */

static void send_many(rt_bus *bus, uint64_t events) {
  for (uint64_t i = 0; i < events; i++)
    while (rt_bus_send(bus, "system.one", "kind", "path", NULL) == RT_EFULL)
      uv_sleep(0);
  drain(bus);
}

static void measure_long_run(uint64_t events) {
  rt_bus *bus = start();
  uint64_t seen = 0;
  subscribe(bus, "system.*", NULL, count, &seen);
  send_many(bus, events / 50);
  double before = resident();
  uint64_t begun = rt__now_ns();
  send_many(bus, events);
  double seconds = (double)(rt__now_ns() - begun) / 1e9;
  print("a long run", (double)events, "events");
  print("  took", seconds * 1000, "ms");
  print("  resident memory before it", before / 1024, "KiB");
  print("  resident memory after it", resident() / 1024, "KiB");
  if (seen != events + events / 50) abort();
  uv_sleep(500);
  print("  and half a second later", resident() / 1024, "KiB");
  rt_bus_free(bus);
}

int main(void) {
  const char *text = getenv("BUS_EVENTS");
  uint64_t events = text ? strtoull(text, NULL, 10) : 100000000;
  measure_long_run(events);
  measure_queued();
  measure_fed();
  measure_subscriptions("a subscription in C, one system each", "other%d.*",
                        NULL);
  measure_subscriptions("a subscription in C, one system and kind each",
                        "other%d.*", "(created|removed).*");
  measure_subscriptions("a subscription in C, all with one pattern", "other.*",
                        NULL);
  measure_feeds("one from Lua, its part in C, one system each", "other%d.*");
  measure_feeds("one from Lua, its part in C, all with one pattern", "other.*");
  return 0;
}
