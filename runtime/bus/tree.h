/* bus/tree.h - the index's inside, for index.c (growing it) and match.c.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BUS_TREE_H
#define RT__BUS_TREE_H

#include "bus/edges.h"
#include "bus/index.h"
#include "bus/pattern.h"

typedef struct rt__node rt__node;

struct rt__entry {
  rt__node *at;
  rt__entry *prev, *next; /* of the same node */
  void *arg;
  uint64_t serial; /* order of arrival */
};

/* What most nodes do not need. */
typedef struct rt__extra {
  rt__node *any, *rest;  /* children by `*` and `**` */
  rt__literal **options; /* of an alternation: sorted by address */
  rt__link *links;       /* by each option */
  uint32_t option_count;
} rt__extra;

/* There may be hundreds of thousands: 72 bytes. */
struct rt__node {
  rt__node *parent; /* first, see rt__link */
  /* whose patterns end here; before the separator: who take any kind */
  rt__entry *entries;
  rt__literal *label;  /* of a plain edge or of an alternation */
  rt__link link;       /* by that label */
  rt__extra *extra;    /* or NULL */
  uint64_t stamp : 62; /* of the step in which it was last reached */
  uint64_t kind : 2;   /* an rt__segment_kind */
  uint32_t children;
};

static inline rt__node *rt__node_any(const rt__node *n) {
  return n->extra ? n->extra->any : NULL;
}

static inline rt__node *rt__node_rest(const rt__node *n) {
  return n->extra ? n->extra->rest : NULL;
}

struct rt__index {
  rt__literals literals;
  rt__edges edges;
  rt__node *root;
  rt__literal *separator; /* between system and kind; in no table */
  size_t node_count, entry_count;
  uint64_t serial, stamp, cost;
  rt__node **now, **next; /* scratch: room for all nodes */
  rt__entry **found;      /* scratch: room for all entries */
  size_t node_room, entry_room;
  bool scan_only; /* set by tests: no walk, what hostile ones get (match.c) */
};

#endif
