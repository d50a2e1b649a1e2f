/* blocks.c - see blocks.h. SPDX-License-Identifier: MIT */
#include "process/blocks.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A sanitizer watches malloc(), not us. */
#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#define SMALL(size) (!SANITIZED && (size) <= RT__BLOCK_MAX)

#define SLAB_BYTES   ((size_t)32768)
#define REGION_BYTES ((size_t)1 << 20)
#define SLABS        (REGION_BYTES / SLAB_BYTES - 1) /* the first is its head */
#define ALL_FREE     ((uint32_t)(((uint64_t)1 << SLABS) - 1))

struct rt__slab {
  rt__slab *prev, *next; /* ring of the open ones of its class */
  void *free;            /* list of blocks that came back */
  uint32_t used;         /* blocks that are out */
  uint32_t fresh;        /* offset of the first that was never out */
  uint32_t size;         /* of a block */
  bool open;
};

struct rt__region {
  rt__region *prev, *next; /* list: roomy or full */
  uint32_t free;           /* bit by bit: slabs that are not in use */
  uint32_t held;           /* and those that have memory nevertheless */
};

/* --- regions --------------------------------------------------------- */

static rt__region *region_of(const rt__slab *slab) {
  return (rt__region *)((uintptr_t)slab & ~(uintptr_t)(REGION_BYTES - 1));
}

static void region_link(rt__region **list, rt__region *r) {
  r->prev = NULL;
  r->next = *list;
  if (r->next) r->next->prev = r;
  *list = r;
}

static void region_unlink(rt__region **list, rt__region *r) {
  if (r->prev)
    r->prev->next = r->next;
  else
    *list = r->next;
  if (r->next) r->next->prev = r->prev;
}

/* Aligned: twice as much is asked for, and the ends are given back. */
static rt__region *region_new(rt__blocks *b) {
  char *at = mmap(NULL, REGION_BYTES * 2, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)at & (REGION_BYTES - 1);
  if (before) munmap(at, before);
  munmap(at + before + REGION_BYTES, REGION_BYTES - before);
  rt__region *r = (rt__region *)(at + before);
  r->free = ALL_FREE;
  r->held = 0;
  region_link(&b->roomy, r);
  b->idle++;
  return r;
}

/* --- slabs ----------------------------------------------------------- */

static rt__slab *slab_of(const void *block) {
  return (rt__slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
}

static void slab_open(rt__blocks *b, rt__slab *s) {
  rt__slab **ring = &b->open[s->size / 8];
  s->open = true;
  if (!*ring) {
    *ring = s->next = s->prev = s;
    return;
  }
  s->next = *ring; /* last: those in front of it fill up first */
  s->prev = s->next->prev;
  s->prev->next = s->next->prev = s;
}

static void slab_close(rt__blocks *b, rt__slab *s) {
  rt__slab **ring = &b->open[s->size / 8];
  s->open = false;
  s->prev->next = s->next;
  s->next->prev = s->prev;
  if (*ring == s) *ring = s->next == s ? NULL : s->next;
}

static rt__slab *slab_new(rt__blocks *b, size_t size) {
  rt__region *r = b->roomy ? b->roomy : region_new(b);
  if (!r) return NULL;
  unsigned at = (unsigned)__builtin_ctz(r->free);
  if (r->free == ALL_FREE) b->idle--;
  r->free &= r->free - 1;
  r->held |= (uint32_t)1 << at;
  if (r->free == 0) {
    region_unlink(&b->roomy, r);
    region_link(&b->full, r);
  }
  rt__slab *s = (rt__slab *)((char *)r + (at + 1) * SLAB_BYTES);
  *s = (rt__slab){NULL, NULL, NULL, 0, sizeof(*s), (uint32_t)size, false};
  slab_open(b, s);
  return s;
}

static void slab_free(rt__blocks *b, rt__slab *s) {
  rt__region *r = region_of(s);
  slab_close(b, s);
  if (r->free == 0) {
    region_unlink(&b->full, r);
    region_link(&b->roomy, r);
  }
  r->free |= (uint32_t)1 << (((char *)s - (char *)r) / SLAB_BYTES - 1);
  if (r->free != ALL_FREE) return;
  if (b->idle++ == 0) return;
  b->idle--;
  region_unlink(&b->roomy, r);
  munmap(r, REGION_BYTES);
}

void rt__blocks_trim(rt__blocks *b) {
  for (rt__region *r = b->roomy; r; r = r->next)
    for (uint32_t left = r->free & r->held; left; left &= left - 1) {
      unsigned at = (unsigned)__builtin_ctz(left);
      r->held &= ~((uint32_t)1 << at);
      madvise((char *)r + (at + 1) * SLAB_BYTES, SLAB_BYTES, MADV_DONTNEED);
    }
}

/* --- blocks ---------------------------------------------------------- */

void *rt__blocks_take(rt__blocks *b, size_t size) {
  if (b->alloc) return b->alloc(NULL, 0, size, b->alloc_arg);
  if (!SMALL(size)) return malloc(size);
  size_t class = (size + 7) / 8;
  rt__slab *s = b->open[class];
  if (!s && !(s = slab_new(b, class * 8))) return NULL;
  void *block = s->free;
  s->used++;
  if (block) {
    memcpy(&s->free, block, sizeof(s->free));
  } else {
    block = (char *)s + s->fresh;
    s->fresh += s->size;
  }
  if (!s->free && s->fresh + s->size > SLAB_BYTES) slab_close(b, s);
  return block;
}

void rt__blocks_give(rt__blocks *b, void *block, size_t size) {
  if (b->alloc) {
    if (block) b->alloc(block, size, 0, b->alloc_arg);
    return;
  }
  if (!SMALL(size)) {
    free(block);
    return;
  }
  if (!block) return;
  rt__slab *s = slab_of(block);
  assert(s->size >= size && s->used > 0);
  memcpy(block, &s->free, sizeof(s->free));
  s->free = block;
  if (!s->open) slab_open(b, s);
  /* the last open one of a class stays, lest it come and go */
  if (--s->used == 0 && s->next != s) slab_free(b, s);
}

void *rt__blocks_resize(rt__blocks *b, void *block, size_t old, size_t size) {
  if (b->alloc) return b->alloc(block, old, size, b->alloc_arg);
  if (!SMALL(old) && !SMALL(size)) return realloc(block, size);
  if (SMALL(old) && SMALL(size) && (old + 7) / 8 == (size + 7) / 8)
    return block;
  void *moved = rt__blocks_take(b, size);
  if (!moved) return NULL;
  memcpy(moved, block, old < size ? old : size);
  rt__blocks_give(b, block, old);
  return moved;
}

static void free_all(rt__region *r) {
  while (r) {
    rt__region *next = r->next;
    munmap(r, REGION_BYTES);
    r = next;
  }
}

void rt__blocks_deinit(rt__blocks *b) {
  free_all(b->roomy);
  free_all(b->full);
  *b = (rt__blocks){.alloc = b->alloc, .alloc_arg = b->alloc_arg};
}
