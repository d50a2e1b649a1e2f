/* bus/intake.h - the queue in front of the dispatcher.
 *
 *   senders --append--> [chunk]->[chunk]      (under the bus's lock)
 *   dispatcher --take--> the whole chain, works through it unlocked,
 *              --give back--> a few spare chunks for the next burst
 *
 * Records lie one behind the other in chunks, so that a steady flow allocates
 * nothing and a burst's memory is released after it. The caller holds the
 * bus's lock for every call here but rt__chunk_next().
 * SPDX-License-Identifier: MIT */
#ifndef RT__BUS_INTAKE_H
#define RT__BUS_INTAKE_H

#include "rt/bus.h"

typedef enum rt__record_kind {
  RT__RECORD_EVENT,
  RT__RECORD_CALL
} rt__record_kind;

/* Of an event: the strings follow, each terminated, then small data as bytes
 * (`data_size` of them) when it is not in `data`. */
typedef struct rt__record {
  uint32_t size; /* of the whole record, a multiple of 8 */
  uint16_t kind;
  union {
    struct {
      uint64_t hash; /* of system and kind */
      rt_value *data;
      uint32_t system_size, kind_size, path_size, data_size;
    } event;
    struct {
      void (*fn)(rt_bus *bus, void *arg);
      void *arg;
    } call;
  } as;
} rt__record;

typedef struct rt__chunk rt__chunk;
struct rt__chunk {
  rt__chunk *next;
  size_t used, room;
  uint64_t bytes;  /* charged for what it holds */
  uint64_t events; /* records that are events */
  _Alignas(16) unsigned char records[];
};

typedef struct rt__intake {
  rt__chunk *first, *last;
  rt__chunk *spare;
  size_t spare_count;
  uint64_t bytes, events; /* queued or being dispatched */
} rt__intake;

/* Room for a record of `size` bytes behind the last, charged as `bytes`; NULL
 * when memory is short. */
rt__record *rt__intake_append(rt__intake *intake, size_t size, uint64_t bytes,
                              rt__record_kind kind);
/* All that is queued; it stays charged until given back. */
rt__chunk *rt__intake_take(rt__intake *intake);
/* One chunk that was worked through. */
void rt__intake_give_back(rt__intake *intake, rt__chunk *chunk);
void rt__intake_deinit(rt__intake *intake);

/* Walk a chunk: start with *at = 0, until NULL. */
rt__record *rt__chunk_next(rt__chunk *chunk, size_t *at);
/* The strings of an event record. */
static inline char *rt__record_text(rt__record *record) {
  return (char *)(record + 1);
}

#endif
