/* gate.h - for the units of the bus: a subscriber that can be held up, so that
 * what is queued behind it stays there; and the other two every unit needs.
 * SPDX-License-Identifier: MIT */
#ifndef GATE_H
#define GATE_H

#include <stdatomic.h>

#include <uv.h>

#include "rt/bus.h"

/* Each call posts `entered` and waits for `go`. */
typedef struct gate {
  uv_sem_t entered, go;
  atomic_uint calls; /* that have returned */
} gate;

void gate_init(gate *g);
void gate_deinit(gate *g);
/* The subscriber; `arg` is the gate. */
void gate_pass(const rt_event *event, void *arg);

/* A subscriber that counts; `arg` is an atomic_uint. */
void bus_count(const rt_event *event, void *arg);
/* Returns when all that was queued before has been delivered. */
void bus_drain(rt_bus *bus);

#endif
