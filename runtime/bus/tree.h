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
  rt__entry *prev, *next; /* of the same list of the node */
  void *arg;
  uint64_t serial : 63; /* order of arrival */
  uint64_t all : 1;     /* takes all kinds */
};

struct rt__node {
  rt__node *parent;
  rt__node *any, *rest;  /* by `*` and `**` */
  rt__entry *entries;    /* whose patterns end here */
  rt__entry *all_kinds;  /* whose system ends here and who take any kind */
  rt__literal *label;    /* of a plain edge or of an alternation */
  rt__link link;         /* by that label */
  rt__literal **options; /* of an alternation: sorted by address */
  rt__link *links;       /* by each option */
  uint32_t option_count, children;
  uint64_t stamp : 62; /* of the step in which it was last reached */
  uint64_t kind : 2;   /* an rt__segment_kind */
};

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
