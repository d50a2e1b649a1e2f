/* intake.c - see intake.h. SPDX-License-Identifier: MIT */
#include "bus/intake.h"

#include <sys/mman.h>

enum { CHUNK = 64 * 1024, ROOM = CHUNK - sizeof(rt__chunk), SPARE_MIN = 4 };
/* Mapped, not from the heap: what a burst took is to go back for good, and the
 * heap would keep it between what lives longer. */
rt__chunk *rt__chunk_new(size_t size) {
  size_t all = sizeof(rt__chunk) + (size > ROOM ? size : ROOM);
  all = (all + CHUNK - 1) & ~(size_t)(CHUNK - 1);
  rt__chunk *c = mmap(NULL, all, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (c == MAP_FAILED) return NULL;
  c->room = all - sizeof(*c);
  return c;
}

void rt__intake_add(rt__intake *intake, rt__chunk *chunk) {
  atomic_store_explicit(&chunk->next, intake->spare, memory_order_relaxed);
  intake->spare = chunk;
  intake->spare_count++;
}

/* Begin a spare chunk with room for `size`. */
static rt__chunk *begin(rt__intake *intake, size_t size) {
  rt__chunk *c = intake->spare;
  if (!c || c->room < size) return NULL;
  intake->to = c->records;
  intake->end = c->records + c->room;
  intake->spare = atomic_load_explicit(&c->next, memory_order_relaxed);
  intake->spare_count--;
  atomic_store_explicit(&c->next, NULL, memory_order_relaxed);
  atomic_store_explicit(&c->used, 0, memory_order_relaxed);
  if (++intake->in_use > intake->peak) intake->peak = intake->in_use;
  return c;
}

bool rt__intake_init(rt__intake *intake, rt__reader *reader) {
  rt__chunk *c = rt__chunk_new(0);
  if (!c) return false;
  rt__intake_add(intake, c);
  reader->head = intake->tail = begin(intake, 0);
  return true;
}

void rt__chunks_free(rt__chunk *c) {
  while (c) {
    rt__chunk *next = atomic_load_explicit(&c->next, memory_order_relaxed);
    munmap(c, sizeof(*c) + c->room);
    c = next;
  }
}

void rt__intake_deinit(rt__intake *intake, rt__reader *reader) {
  rt__chunks_free(reader->head);
  rt__chunks_free(intake->spare);
}

/* --- the senders' end ------------------------------------------------ */

bool rt__intake_turn(rt__intake *intake, size_t size) {
  rt__chunk *last = intake->tail, *next = begin(intake, size);
  if (!next) return false;
  atomic_store_explicit(&last->next, next, memory_order_release);
  intake->tail = next;
  return true;
}

bool rt__intake_give_back(rt__intake *intake, rt__chunk *chunk) {
  intake->in_use--;
  if (chunk->room > ROOM) {
    atomic_store_explicit(&chunk->next, NULL, memory_order_relaxed);
    return true;
  }
  rt__intake_add(intake, chunk);
  return false;
}

bool rt__intake_has(const rt__intake *intake, const rt__reader *reader) {
  const rt__chunk *c = reader->head;
  return c != intake->tail ||
         atomic_load_explicit(&c->used, memory_order_relaxed) != reader->at;
}

bool rt__intake_is_fat(const rt__intake *intake) {
  return intake->spare_count > SPARE_MIN;
}

rt__chunk *rt__intake_trim(rt__intake *intake) {
  uint32_t keep = intake->peak - intake->in_use;
  rt__chunk *excess = NULL;
  intake->peak = intake->in_use;
  if (keep < SPARE_MIN) keep = SPARE_MIN;
  for (; intake->spare_count > keep; intake->spare_count--) {
    rt__chunk *c = intake->spare;
    intake->spare = atomic_load_explicit(&c->next, memory_order_relaxed);
    atomic_store_explicit(&c->next, excess, memory_order_relaxed);
    excess = c;
  }
  return excess;
}

/* --- the dispatcher's end -------------------------------------------- */

bool rt__reader_read(rt__reader *reader, rt__span *out, rt__chunk **done) {
  rt__chunk *c = reader->head;
  size_t at = reader->at;
  *done = NULL;
  size_t used = atomic_load_explicit(&c->used, memory_order_acquire);
  if (used == at) {
    rt__chunk *next = atomic_load_explicit(&c->next, memory_order_acquire);
    if (!next) return false;
    /* what came into this chunk came before it was given a next one */
    used = atomic_load_explicit(&c->used, memory_order_relaxed);
    if (used == at) {
      *done = c;
      reader->head = c = next;
      at = 0;
      used = atomic_load_explicit(&c->used, memory_order_acquire);
    }
  }
  out->at = c->records + at;
  out->end = c->records + used;
  reader->at = used;
  return used > at || *done;
}
