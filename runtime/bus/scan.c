/* scan.c - see scan.h.
 * SPDX-License-Identifier: MIT */
#include "bus/scan.h"

#include <stdlib.h>
#include <string.h>

enum { WORD = 64 };
#define NOWHERE SIZE_MAX

/* --- the subject ----------------------------------------------------- */

rt_err rt__subject_init(rt__subject *s, size_t segments) {
  memset(s, 0, sizeof(*s));
  s->names = malloc((segments + 1) * sizeof(*s->names));
  s->numbers = malloc((segments + 1) * sizeof(*s->numbers));
  s->masks = calloc(segments + 1, sizeof(*s->masks));
  s->places = malloc((segments / WORD + 1) * sizeof(*s->places));
  if (s->names && s->numbers && s->masks && s->places) return RT_OK;
  rt__subject_deinit(s);
  return RT_ENOMEM;
}

void rt__subject_deinit(rt__subject *s) {
  for (size_t i = 0; i < s->count; i++)
    if (s->names[i]) s->names[i]->number = 0;
  free(s->names);
  free(s->numbers);
  free(s->masks);
  free(s->places);
}

size_t rt__subject_add(rt__subject *s, const rt__literals *literals,
                       const char *text, size_t size) {
  const char *next = text, *end = text + size;
  while (next) {
    rt__text t = rt__segment_at(next, end, &next);
    rt__literal *l = rt__literals_find(literals, t.at, t.size, false);
    if (l && !l->number) l->number = ++s->last;
    s->names[s->count] = l;
    s->numbers[s->count++] = l ? l->number : 0;
  }
  return s->count;
}

/* --- a block at a given place ---------------------------------------- */

int rt__literal_order(const void *a, const void *b) {
  const rt__literal *x = *(rt__literal *const *)a,
                    *y = *(rt__literal *const *)b;
  return x < y ? -1 : x > y;
}

static bool takes(const rt__token *t, rt__literal *name) {
  switch (t->kind) {
  case RT__SEGMENT_PLAIN:
    return name && t->plain == name;
  case RT__SEGMENT_ONE_OF:
    return name && bsearch(&name, t->options, t->option_count,
                           sizeof(*t->options), rt__literal_order);
  default:
    return true;
  }
}

static bool stands_at(rt__subject *s, size_t at, const rt__token *block,
                      size_t size) {
  for (size_t i = 0; i < size; i++) {
    s->cost++;
    if (!takes(&block[i], s->names[at + i])) return false;
  }
  return true;
}

/* --- the leftmost place of a block ----------------------------------- */

/* Note in the masks (or take out of them) what up to 64 segments take;
 * returns those that take anything. */
static uint64_t mask(rt__subject *s, const rt__token *part, size_t size,
                     bool set) {
  uint64_t any = 0;
  for (size_t i = 0; i < size; i++) {
    const rt__token *t = &part[i];
    rt__literal *const *list =
        t->kind == RT__SEGMENT_PLAIN ? &t->plain : t->options;
    size_t count = t->kind == RT__SEGMENT_PLAIN ? 1 : t->option_count;
    uint64_t bit = (uint64_t)1 << i;
    s->cost++;
    if (t->kind == RT__SEGMENT_ANY) {
      any |= bit;
      continue;
    }
    s->cost += count;
    for (size_t k = 0; k < count; k++)
      if (list[k]->number && set)
        s->masks[list[k]->number] |= bit;
      else
        s->masks[list[k]->number] = 0;
  }
  return any;
}

/* A part of up to 64 segments; returns the position behind it. */
static size_t find_short(rt__subject *s, size_t from, size_t end,
                         const rt__token *part, size_t size) {
  uint64_t any = mask(s, part, size, true), state = 0;
  uint64_t last = (uint64_t)1 << (size - 1);
  size_t found = NOWHERE, i = from;
  for (; i < end && found == NOWHERE; i++) {
    state = (state << 1 | 1) & (any | s->masks[s->numbers[i]]);
    if (state & last) found = i + 1;
  }
  s->cost += i - from;
  mask(s, part, size, false);
  return found;
}

static bool has_place(const rt__subject *s, size_t i) {
  return s->places[i / WORD] >> (i % WORD) & 1;
}

static void put_place(rt__subject *s, size_t i, bool yes) {
  uint64_t bit = (uint64_t)1 << (i % WORD), *word = &s->places[i / WORD];
  *word = yes ? *word | bit : *word & ~bit;
}

/* From the places where a part may begin to those where it then ends. */
static void pass(rt__subject *s, size_t from, size_t end, const rt__token *part,
                 size_t size) {
  uint64_t any = mask(s, part, size, true), state = 0;
  bool begin = has_place(s, from);
  put_place(s, from, false);
  for (size_t i = from; i < end; i++) {
    state = (state << 1 | begin) & (any | s->masks[s->numbers[i]]);
    begin = has_place(s, i + 1);
    put_place(s, i + 1, state >> (size - 1) & 1);
  }
  s->cost += end - from;
  mask(s, part, size, false);
}

static size_t find_long(rt__subject *s, size_t from, size_t end,
                        const rt__token *block, size_t size) {
  for (size_t i = from; i <= end; i++) put_place(s, i, true);
  for (size_t done = 0; done < size; done += WORD)
    pass(s, from, end, block + done, size - done < WORD ? size - done : WORD);
  for (size_t i = from; i <= end; i++)
    if (has_place(s, i)) return i;
  return NOWHERE;
}

static size_t find(rt__subject *s, size_t from, size_t end,
                   const rt__token *block, size_t size) {
  if (end - from < size) return NOWHERE;
  return size <= WORD ? find_short(s, from, end, block, size)
                      : find_long(s, from, end, block, size);
}

/* --- all blocks ------------------------------------------------------ */

/* How many tokens before the next `**`. */
static size_t block_size(const rt__token *tokens, size_t count) {
  size_t n = 0;
  while (n < count && tokens[n].kind != RT__SEGMENT_REST) n++;
  return n;
}

/* Is each plain segment somewhere in the subject at all? */
static bool knows(rt__subject *s, const rt__token *t, size_t count) {
  s->cost += count;
  for (size_t i = 0; i < count; i++)
    if (t[i].kind == RT__SEGMENT_PLAIN && !t[i].plain->number) return false;
  return true;
}

bool rt__subject_matches(rt__subject *s, size_t from, size_t end,
                         const rt__token *t, size_t count) {
  size_t head = block_size(t, count), tail = 0;
  if (end - from < head || !stands_at(s, from, t, head)) return false;
  from += head;
  if (head == count) return from == end;
  while (t[count - tail - 1].kind != RT__SEGMENT_REST) tail++;
  if (end - from < tail || !stands_at(s, end - tail, t + count - tail, tail))
    return false;
  end -= tail;
  if (!knows(s, t + head, count - tail - head)) return false;
  for (size_t i = head + 1; i < count - tail;) {
    size_t size = block_size(t + i, count - tail - i);
    from = find(s, from, end, t + i, size);
    if (from == NOWHERE) return false;
    i += size + 1;
  }
  return true;
}
