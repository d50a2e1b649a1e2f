/* base/map.h - byte strings to pointers: an open-addressing hash map.
 *
 * Keys are copied; values are the caller's and never NULL. Zeroed memory is an
 * empty map. One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__BASE_MAP_H
#define RT__BASE_MAP_H

#include "rt/status.h"

typedef struct rt__map_slot rt__map_slot;

typedef struct rt__map {
  rt__map_slot *slots;
  size_t count, used, room; /* used: with the graves of removed keys */
  uint64_t seed;
} rt__map;

void rt__map_deinit(rt__map *map); /* empty again; values are not touched */
/* The value, or NULL. */
void *rt__map_get(const rt__map *map, const void *key, size_t size);
/* Set; `*old` (may be NULL) gets the value replaced, or NULL. RT_ENOMEM leaves
 * the map as it was. */
rt_err rt__map_set(rt__map *map, const void *key, size_t size, void *value,
                   void **old);
/* Remove; returns the value, or NULL when the key is unknown. */
void *rt__map_remove(rt__map *map, const void *key, size_t size);
/* Walk in no particular order: start with *at = 0, until NULL. The map may not
 * grow meanwhile; removing what was just returned is fine. `key` and `size`
 * may be NULL. */
void *rt__map_next(const rt__map *map, size_t *at, const char **key,
                   size_t *size);

#endif
