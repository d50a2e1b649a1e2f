/* seen.h - which keys a session knows, without an index that is written at
 * random.
 *
 *   new asset -> fresh (memory) -> moving (memory) -> table seen, by hash
 *
 * Hashes come in no order: in an index that is kept up with every asset each
 * of them dirties a page of its own, and once the index is larger than the
 * cache that is nearly all the disk does. So the newest keys are kept in
 * memory, in the order of their hashes, and go into the table a batch at a
 * time, a few with each new asset: what one transaction adds lies side by
 * side. What is in memory is in the asset rows too: those behind the value
 * "seen" of meta, which is written with the last of a batch, are read when the
 * file is opened. A batch is a part of what is in the table, so that reading
 * it is quick.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_SEEN_H
#define RT__STORE_SEEN_H

#include "store/store.h"

#define RT__META_SEEN "seen"

typedef struct rt__key {
  uint64_t hash;
  int64_t asset; /* 0: a free place; negative: taken away again */
} rt__key;
/* Open addressing; the place is the upper bits of the hash. */
typedef struct rt__keys {
  rt__key *at;
  size_t room, count;
  unsigned shift;
} rt__keys;
typedef struct rt__seen {
  rt__keys fresh, moving;
  size_t next;  /* of `moving` */
  int64_t upto; /* the last asset in `moving` */
  int64_t mark; /* all assets up to here are in the table */
} rt__seen;

/* Read what is not in the table yet. */
rt_err rt__seen_load(rt__store *store, rt_error *err);
void rt__seen_free(rt__seen *seen);
/* A new asset; it is in the store already. */
rt_err rt__seen_add(rt__store *store, uint64_t hash, int64_t asset,
                    rt_error *err);
/* The assets in memory with this hash, one after the other; 0 at the end.
 * *at is 0 first. */
int64_t rt__seen_each(const rt__seen *seen, uint64_t hash, size_t *at);
/* Before its row is deleted. */
rt_err rt__seen_remove(rt__store *store, int64_t asset, rt_error *err);

#endif
