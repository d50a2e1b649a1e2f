/* bus/intake.h - the queue in front of the dispatcher.
 *
 *   senders --append--> [chunk]->[chunk]      (under the bus's latch)
 *   dispatcher --read--> behind them, without the latch
 *              --give back--> spare chunks, for senders to begin anew
 *
 * Records lie one behind the other in chunks, so that a steady flow allocates
 * nothing. As many chunks stay spare as the last while needed; those of a burst
 * go when it is over. A chunk says how far it is written; that is all the
 * dispatcher looks at, so it takes the latch once a chunk, not once an event.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BUS_INTAKE_H
#define RT__BUS_INTAKE_H

#include <stdatomic.h>

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
  _Atomic(rt__chunk *) next; /* written once it is full */
  atomic_size_t used;        /* bytes of records that may be read */
  size_t room;
  _Alignas(64) unsigned char records[];
};

/* Guarded by the bus's latch. */
typedef struct rt__intake {
  rt__chunk *tail;
  unsigned char *to, *end; /* of the tail: where to write, its end */
  rt__chunk *spare;
  uint32_t spare_count, in_use, peak; /* peak: of in_use, since trimmed */
} rt__intake;

/* The bus thread's, how far it has read. */
typedef struct rt__reader {
  rt__chunk *head;
  size_t at;
} rt__reader;

/* Records to be read, one after the other. */
typedef struct rt__span {
  unsigned char *at, *end;
} rt__span;

bool rt__intake_init(rt__intake *intake, rt__reader *reader); /* no memory */
void rt__intake_deinit(rt__intake *intake, rt__reader *reader);

rt__chunk *rt__chunk_new(size_t size); /* NULL: no memory */
void rt__chunks_free(rt__chunk *chunk);
/* [latched] One spare chunk more. */
void rt__intake_add(rt__intake *intake, rt__chunk *chunk);
/* [latched] Go on in a spare chunk; false: there is none with `size` bytes. */
bool rt__intake_turn(rt__intake *intake, size_t size);
/* [latched] Take back a chunk that was read; true: it is for the caller to
 * free. */
bool rt__intake_give_back(rt__intake *intake, rt__chunk *chunk);
/* [latched, bus thread] Is there something to be read? */
bool rt__intake_has(const rt__intake *intake, const rt__reader *reader);
/* [latched] Spare chunks that the last while did not need; to be freed. */
rt__chunk *rt__intake_trim(rt__intake *intake);
/* [latched] Are there more than are always kept? */
bool rt__intake_is_fat(const rt__intake *intake);

/* [bus thread] All that is written in the head, as read from now on; false:
 * there is nothing. When that was the end of a chunk, `*done` is to be given
 * back. */
bool rt__reader_read(rt__reader *reader, rt__span *out, rt__chunk **done);

/* With `extra` bytes behind it. */
static inline size_t rt__record_size(size_t extra) {
  return (sizeof(rt__record) + extra + 7) & ~(size_t)7;
}

/* [latched] Room for a record of rt__record_size() bytes behind the last. It is
 * there once it has been committed, and nothing else may be reserved before.
 * NULL: a chunk is needed, to be added. */
static inline rt__record *rt__intake_reserve(rt__intake *intake, size_t size,
                                             rt__record_kind kind) {
  enum { AHEAD = 256 }; /* to be fetched from the reader's core by then */
  if ((size_t)(intake->end - intake->to) < size &&
      !rt__intake_turn(intake, size))
    return NULL;
  rt__record *record = (rt__record *)intake->to;

  __builtin_prefetch(intake->to + AHEAD, 1);
  record->size = (uint32_t)size;
  record->kind = (uint16_t)kind;
  return record;
}

/* The chunk's own line is the reader's too, so it is only written here. */
static inline void rt__intake_commit(rt__intake *intake, size_t size) {
  rt__chunk *c = intake->tail;
  intake->to += size;
  atomic_store_explicit(&c->used, (size_t)(intake->to - c->records),
                        memory_order_release);
}

static inline rt__record *rt__span_next(rt__span *span) {
  if (span->at == span->end) return NULL;
  rt__record *record = (rt__record *)span->at;
  span->at += record->size;
  return record;
}
/* The strings of an event record. */
static inline char *rt__record_text(rt__record *record) {
  return (char *)(record + 1);
}

#endif
