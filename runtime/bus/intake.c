/* intake.c - see intake.h. SPDX-License-Identifier: MIT */
#include "bus/intake.h"

#include <stdlib.h>

enum { CHUNK = 64 * 1024, SPARE_MAX = 16 };

static rt__chunk *chunk_new(rt__intake *intake, size_t size) {
  rt__chunk *c = intake->spare;
  if (c && size <= c->room) {
    intake->spare = c->next;
    intake->spare_count--;
  } else {
    size_t room = size > CHUNK - sizeof(*c) ? size : CHUNK - sizeof(*c);
    c = malloc(sizeof(*c) + room);
    if (!c) return NULL;
    c->room = room;
  }
  c->next = NULL;
  c->used = 0;
  c->bytes = c->events = 0;
  return c;
}

rt__record *rt__intake_append(rt__intake *intake, size_t size, uint64_t bytes,
                              rt__record_kind kind) {
  rt__chunk *c = intake->last;
  size = (size + 7) & ~(size_t)7;
  if (!c || c->room - c->used < size) {
    c = chunk_new(intake, size);
    if (!c) return NULL;
    if (intake->last)
      intake->last->next = c;
    else
      intake->first = c;
    intake->last = c;
  }
  rt__record *record = (rt__record *)(c->records + c->used);
  record->size = (uint32_t)size;
  record->kind = (uint16_t)kind;
  c->used += size;
  c->bytes += bytes;
  intake->bytes += bytes;
  c->events += kind == RT__RECORD_EVENT;
  intake->events += kind == RT__RECORD_EVENT;
  return record;
}

rt__chunk *rt__intake_take(rt__intake *intake) {
  rt__chunk *first = intake->first;
  intake->first = intake->last = NULL;
  return first;
}

void rt__intake_give_back(rt__intake *intake, rt__chunk *chunk) {
  intake->bytes -= chunk->bytes;
  intake->events -= chunk->events;
  if (intake->spare_count == SPARE_MAX || chunk->room > CHUNK) {
    free(chunk);
    return;
  }
  chunk->next = intake->spare;
  intake->spare = chunk;
  intake->spare_count++;
}

static void free_chain(rt__chunk *c) {
  while (c) {
    rt__chunk *next = c->next;
    free(c);
    c = next;
  }
}

void rt__intake_deinit(rt__intake *intake) {
  free_chain(intake->first);
  free_chain(intake->spare);
}

rt__record *rt__chunk_next(rt__chunk *chunk, size_t *at) {
  if (*at >= chunk->used) return NULL;
  rt__record *record = (rt__record *)(chunk->records + *at);
  *at += record->size;
  return record;
}
