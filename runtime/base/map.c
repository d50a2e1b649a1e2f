/* map.c - see map.h. Linear probing over a power of two, at most 3/4 full.
 * SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct rt__map_slot {
  char *key; /* NULL: free, or a grave when `grave` */
  size_t size;
  uint64_t hash;
  void *value;
  bool grave;
};

void rt__map_deinit(rt__map *map) {
  for (size_t i = 0; i < map->room; i++) free(map->slots[i].key);
  free(map->slots);
  memset(map, 0, sizeof(*map));
}

static rt__map_slot *find(const rt__map *map, const void *key, size_t size,
                          uint64_t hash) {
  if (!map->room) return NULL;
  for (size_t i = hash & (map->room - 1);; i = (i + 1) & (map->room - 1)) {
    rt__map_slot *s = &map->slots[i];
    if (!s->key && !s->grave) return NULL;
    if (s->key && s->hash == hash && s->size == size &&
        memcmp(s->key, key, size) == 0)
      return s;
  }
}

/* The first slot without a key on the way of `hash`. */
static rt__map_slot *vacant(rt__map_slot *slots, size_t room, uint64_t hash) {
  size_t i = hash & (room - 1);
  while (slots[i].key) i = (i + 1) & (room - 1);
  return &slots[i];
}

static rt_err grow(rt__map *map) {
  if (map->used + 1 <= map->room / 4 * 3) return RT_OK;
  size_t room = 16;
  while (room < map->count * 2 + 2) room *= 2;
  rt__map_slot *slots = calloc(room, sizeof(*slots));
  if (!slots) return RT_ENOMEM;
  for (size_t i = 0; i < map->room; i++)
    if (map->slots[i].key)
      *vacant(slots, room, map->slots[i].hash) = map->slots[i];
  free(map->slots);
  map->slots = slots;
  map->room = room;
  map->used = map->count;
  return RT_OK;
}

void *rt__map_get(const rt__map *map, const void *key, size_t size) {
  if (!map->count) return NULL;
  rt__map_slot *s = find(map, key, size, rt__hash(key, size, map->seed));
  return s ? s->value : NULL;
}

static rt_err insert(rt__map *map, const void *key, size_t size, uint64_t hash,
                     void *value) {
  char *copy = malloc(size + 1);
  if (!copy) return RT_ENOMEM;
  rt_err rc = grow(map);
  if (rc != RT_OK) {
    free(copy);
    return rc;
  }
  if (size) memcpy(copy, key, size);
  copy[size] = '\0';
  rt__map_slot *s = vacant(map->slots, map->room, hash);
  if (!s->grave) map->used++;
  s->key = copy;
  s->size = size;
  s->hash = hash;
  s->value = value;
  s->grave = false;
  map->count++;
  return RT_OK;
}

rt_err rt__map_set(rt__map *map, const void *key, size_t size, void *value,
                   void **old) {
  if (!map->seed) map->seed = rt__hash_seed() | 1;
  uint64_t hash = rt__hash(key, size, map->seed);
  rt__map_slot *s = find(map, key, size, hash);
  if (old) *old = s ? s->value : NULL;
  if (!s) return insert(map, key, size, hash, value);
  s->value = value;
  return RT_OK;
}

void *rt__map_remove(rt__map *map, const void *key, size_t size) {
  if (!map->count) return NULL;
  rt__map_slot *s = find(map, key, size, rt__hash(key, size, map->seed));
  if (!s) return NULL;
  void *value = s->value;
  free(s->key);
  *s = (rt__map_slot){NULL, 0, 0, NULL, true};
  map->count--;
  return value;
}

void *rt__map_next(const rt__map *map, size_t *at, const char **key,
                   size_t *size) {
  while (*at < map->room) {
    rt__map_slot *s = &map->slots[(*at)++];
    if (!s->key) continue;
    if (key) *key = s->key;
    if (size) *size = s->size;
    return s->value;
  }
  return NULL;
}
