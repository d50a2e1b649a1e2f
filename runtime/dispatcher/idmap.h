/* idmap.h - numbers (not 0) to pointers: open addressing, no allocation per
 * entry. Zeroed memory is an empty map. One thread at a time.
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_IDMAP_H
#define RT__DISPATCHER_IDMAP_H

#include "rt/status.h"

typedef struct rt__idslot {
  uint64_t id; /* 0: free */
  void *value;
} rt__idslot;

typedef struct rt__idmap {
  rt__idslot *slots;
  size_t count, room; /* room: 0 or a power of two */
} rt__idmap;

void rt__idmap_deinit(rt__idmap *map);
void *rt__idmap_get(const rt__idmap *map, uint64_t id);
/* False when memory is short. */
bool rt__idmap_set(rt__idmap *map, uint64_t id, void *value);
void *rt__idmap_remove(rt__idmap *map, uint64_t id);
/* Walk: *at starts at 0; NULL at the end. Nothing may change meanwhile, but
 * what it gave last may be removed when *at is then counted down by one: what
 * moves back is still to come. Some may come twice then, none is left out. */
void *rt__idmap_next(const rt__idmap *map, size_t *at);

#endif
