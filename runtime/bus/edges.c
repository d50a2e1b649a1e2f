/* edges.c - see edges.h. Linear probing, at most half full; a removal moves
 * what follows back, so that there are no graves.
 * SPDX-License-Identifier: MIT */
#include "bus/edges.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { LEAST_ROOM = 16 };

/* May what wants to be at `home` stay at `at` when `hole` (before it, going
 * round) is free? */
static bool may_stay(size_t hole, size_t at, size_t home, size_t mask) {
  return ((at - home) & mask) < ((at - hole) & mask);
}

/* --- literals -------------------------------------------------------- */

static uint64_t literal_hash(const rt__literals *set, const char *text,
                             size_t size, bool group) {
  return rt__hash(text, size, set->seed) + group;
}

static bool is_literal(const rt__literal *l, const char *text, size_t size,
                       uint64_t hash, bool group) {
  return l->hash == hash && l->size == size && l->group == group &&
         memcmp(l->text, text, size) == 0;
}

rt__literal *rt__literals_find(const rt__literals *set, const char *text,
                               size_t size, bool group) {
  if (set->count == 0) return NULL;
  uint64_t hash = literal_hash(set, text, size, group);
  size_t mask = set->room - 1;
  for (size_t i = hash & mask; set->slots[i]; i = (i + 1) & mask)
    if (is_literal(set->slots[i], text, size, hash, group))
      return set->slots[i];
  return NULL;
}

static void literal_put(rt__literal **slots, size_t room, rt__literal *l) {
  size_t i = l->hash & (room - 1);
  while (slots[i]) i = (i + 1) & (room - 1);
  slots[i] = l;
}

static bool literals_fit(rt__literals *set, size_t count) {
  size_t room = set->room ? set->room : LEAST_ROOM;
  while (room < count * 2) room *= 2;
  while (room > LEAST_ROOM && room > count * 8) room /= 2;
  if (room == set->room) return true;
  rt__literal **slots = calloc(room, sizeof(*slots));
  if (!slots) return set->room > count;
  for (size_t i = 0; i < set->room; i++)
    if (set->slots[i]) literal_put(slots, room, set->slots[i]);
  free(set->slots);
  set->slots = slots;
  set->room = room;
  return true;
}

rt__literal *rt__literals_ref(rt__literals *set, const char *text, size_t size,
                              bool group) {
  if (!set->seed) set->seed = rt__hash_seed() | 1;
  rt__literal *l = rt__literals_find(set, text, size, group);
  if (l) {
    l->refs++;
    return l;
  }
  if (size > UINT32_MAX || !literals_fit(set, set->count + 1)) return NULL;
  l = malloc(sizeof(*l) + size);
  if (!l) return NULL;
  l->refs = 1;
  l->size = (uint32_t)size;
  l->group = group;
  l->number = 0;
  l->hash = literal_hash(set, text, size, group);
  if (size) memcpy(l->text, text, size);
  literal_put(set->slots, set->room, l);
  set->count++;
  return l;
}

static void literal_drop(rt__literals *set, const rt__literal *l) {
  size_t mask = set->room - 1, hole = l->hash & mask;
  while (set->slots[hole] != l) hole = (hole + 1) & mask;
  for (size_t i = (hole + 1) & mask; set->slots[i]; i = (i + 1) & mask)
    if (!may_stay(hole, i, set->slots[i]->hash & mask, mask)) {
      set->slots[hole] = set->slots[i];
      hole = i;
    }
  set->slots[hole] = NULL;
  set->count--;
}

void rt__literals_unref(rt__literals *set, rt__literal *literal) {
  if (!literal || --literal->refs > 0) return;
  literal_drop(set, literal);
  free(literal);
  literals_fit(set, set->count);
}

void rt__literals_deinit(rt__literals *set) {
  for (size_t i = 0; i < set->room; i++) free(set->slots[i]);
  free(set->slots);
  memset(set, 0, sizeof(*set));
}

/* --- edges ----------------------------------------------------------- */

static size_t edge_home(const void *from, const rt__literal *by) {
  uint64_t h = (uint64_t)(uintptr_t)from * 0x9E3779B97F4A7C15u ^
               (uint64_t)(uintptr_t)by * 0xC2B2AE3D27D4EB4Fu;
  return (size_t)(h ^ h >> 29);
}

static const void *from_of(const rt__edge *edge) {
  return *(void *const *)edge->first->to;
}

/* Its place, or SIZE_MAX. */
static size_t edge_place(const rt__edges *edges, const void *from,
                         const rt__literal *by) {
  if (edges->count == 0) return SIZE_MAX;
  size_t mask = edges->room - 1, i = edge_home(from, by) & mask;
  for (; edges->slots[i].first; i = (i + 1) & mask)
    if (edges->slots[i].by == by && from_of(&edges->slots[i]) == from) return i;
  return SIZE_MAX;
}

rt__link *rt__edges_find(const rt__edges *edges, const void *from,
                         const rt__literal *by) {
  size_t at = edge_place(edges, from, by);
  return at == SIZE_MAX ? NULL : edges->slots[at].first;
}

static void edge_put(rt__edge *slots, size_t room, const rt__edge *edge) {
  size_t i = edge_home(from_of(edge), edge->by) & (room - 1);
  while (slots[i].first) i = (i + 1) & (room - 1);
  slots[i] = *edge;
}

static bool edges_fit(rt__edges *edges, size_t count) {
  size_t room = edges->room ? edges->room : LEAST_ROOM;
  while (room < count * 2) room *= 2;
  while (room > LEAST_ROOM && room > count * 8) room /= 2;
  if (room == edges->room) return true;
  rt__edge *slots = calloc(room, sizeof(*slots));
  if (!slots) return edges->room > count;
  for (size_t i = 0; i < edges->room; i++)
    if (edges->slots[i].first) edge_put(slots, room, &edges->slots[i]);
  free(edges->slots);
  edges->slots = slots;
  edges->room = room;
  return true;
}

rt_err rt__edges_reserve(rt__edges *edges, size_t more) {
  return edges_fit(edges, edges->count + more) ? RT_OK : RT_ENOMEM;
}

static void link_behind(rt__link *link, rt__link *prev) {
  link->prev = prev;
  link->next = prev->next;
  if (link->next) link->next->prev = link;
  prev->next = link;
}

void rt__edges_add(rt__edges *edges, void *from, const rt__literal *by,
                   rt__link *link, void *to, bool front) {
  size_t at = edge_place(edges, from, by);
  *link = (rt__link){NULL, NULL, to};
  if (at == SIZE_MAX) {
    const rt__edge edge = {by, link};
    edge_put(edges->slots, edges->room, &edge);
    edges->count++;
  } else if (front) {
    link->next = edges->slots[at].first;
    link->next->prev = link;
    edges->slots[at].first = link;
  } else
    link_behind(link, edges->slots[at].first);
}

static void edge_drop(rt__edges *edges, size_t hole) {
  size_t mask = edges->room - 1;
  rt__edge *s = edges->slots;
  for (size_t i = (hole + 1) & mask; s[i].first; i = (i + 1) & mask)
    if (!may_stay(hole, i, edge_home(from_of(&s[i]), s[i].by) & mask, mask)) {
      s[hole] = s[i];
      hole = i;
    }
  s[hole].first = NULL;
  edges->count--;
  edges_fit(edges, edges->count);
}

void rt__edges_remove(rt__edges *edges, void *from, const rt__literal *by,
                      rt__link *link) {
  if (link->next) link->next->prev = link->prev;
  if (link->prev) {
    link->prev->next = link->next;
    return;
  }
  size_t at = edge_place(edges, from, by);
  edges->slots[at].first = link->next;
  if (!link->next) edge_drop(edges, at);
}

void rt__edges_deinit(rt__edges *edges) {
  free(edges->slots);
  memset(edges, 0, sizeof(*edges));
}
