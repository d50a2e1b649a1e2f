/* gate.c - see gate.h
 * SPDX-License-Identifier: MIT */
#include "gate.h"

void gate_init(gate *g) {
  uv_sem_init(&g->entered, 0);
  uv_sem_init(&g->go, 0);
  atomic_init(&g->calls, 0);
}

void gate_deinit(gate *g) {
  uv_sem_destroy(&g->entered);
  uv_sem_destroy(&g->go);
}

void gate_pass(const rt_event *event, void *arg) {
  gate *g = arg;
  (void)event;
  uv_sem_post(&g->entered);
  uv_sem_wait(&g->go);
  atomic_fetch_add(&g->calls, 1);
}

void bus_count(const rt_event *event, void *arg) {
  (void)event;
  atomic_fetch_add((atomic_uint *)arg, 1);
}

/* A call comes after all that is queued. */
void bus_drain(rt_bus *bus) {
  rt_bus_unsubscribe(bus, 0);
}
