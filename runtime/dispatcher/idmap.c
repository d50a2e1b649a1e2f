/* idmap.c - the map of idmap.h; removal moves later entries back, so there are
 * no graves. SPDX-License-Identifier: MIT */
#include "dispatcher/idmap.h"

#include <stdlib.h>

static size_t home(uint64_t id, size_t room) {
  return (size_t)((id * 0x9e3779b97f4a7c15ULL) >> 20) & (room - 1);
}

void rt__idmap_deinit(rt__idmap *map) {
  free(map->slots);
  *map = (rt__idmap){0};
}

static rt__idslot *find(const rt__idmap *map, uint64_t id) {
  size_t at = home(id, map->room);
  while (map->slots[at].id && map->slots[at].id != id) {
    at = (at + 1) & (map->room - 1);
  }
  return &map->slots[at];
}

void *rt__idmap_get(const rt__idmap *map, uint64_t id) {
  return map->room ? find(map, id)->value : NULL;
}

static bool grow(rt__idmap *map) {
  rt__idmap more = {NULL, map->count, map->room ? map->room * 2 : 64};
  more.slots = calloc(more.room, sizeof(*more.slots));
  if (!more.slots) return false;
  for (size_t i = 0; i < map->room; i++) {
    if (map->slots[i].id) *find(&more, map->slots[i].id) = map->slots[i];
  }
  free(map->slots);
  *map = more;
  return true;
}

bool rt__idmap_set(rt__idmap *map, uint64_t id, void *value) {
  if (map->count * 2 >= map->room && !grow(map)) return false;
  rt__idslot *slot = find(map, id);
  if (!slot->id) map->count++;
  *slot = (rt__idslot){id, value};
  return true;
}

void *rt__idmap_remove(rt__idmap *map, uint64_t id) {
  if (!map->room) return NULL;
  rt__idslot *slot = find(map, id);
  void *value = slot->value;
  if (!slot->id) return NULL;
  size_t mask = map->room - 1, hole = (size_t)(slot - map->slots), at = hole;
  for (;;) {
    at = (at + 1) & mask;
    if (!map->slots[at].id) break;
    size_t want = home(map->slots[at].id, map->room);
    if (((at - want) & mask) >= ((at - hole) & mask)) {
      map->slots[hole] = map->slots[at];
      hole = at;
    }
  }
  map->slots[hole] = (rt__idslot){0, NULL};
  map->count--;
  return value;
}

void *rt__idmap_next(const rt__idmap *map, size_t *at) {
  while (*at < map->room) {
    rt__idslot *slot = &map->slots[(*at)++];
    if (slot->id) return slot->value;
  }
  return NULL;
}
