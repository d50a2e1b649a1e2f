/* bus/edges.h - the two hash tables of the index: literals and edges.
 *
 * A literal is an interned segment, so that edges compare pointers. An edge
 * leads from a node by a literal; where several nodes are reached by it they
 * are a list, so that adding and removing one costs the same however many
 * there are. One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_EDGES_H
#define RT__BUS_EDGES_H

#include "rt/status.h"

typedef struct rt__literal {
  uint32_t refs, size;
  uint64_t hash;
  bool group;      /* the text of an alternation: never a segment of a name */
  uint32_t number; /* of whoever matches right now, 0 otherwise (scan.h) */
  char text[];
} rt__literal;

typedef struct rt__literals {
  rt__literal **slots; /* NULL: free */
  size_t count, room;
  uint64_t seed;
} rt__literals;

/* The literal, or NULL when there is none. */
rt__literal *rt__literals_find(const rt__literals *set, const char *text,
                               size_t size, bool group);
/* The literal with one reference more, made when needed; NULL: no memory. */
rt__literal *rt__literals_ref(rt__literals *set, const char *text, size_t size,
                              bool group);
void rt__literals_unref(rt__literals *set, rt__literal *literal);
void rt__literals_deinit(rt__literals *set);

/* One node that an edge leads to; memory of that node, whose own first member
 * is the pointer to the node it is reached from. */
typedef struct rt__link rt__link;
struct rt__link {
  rt__link *prev, *next;
  void *to;
};

typedef struct rt__edge {
  const rt__literal *by;
  rt__link *first; /* NULL: free */
} rt__edge;

typedef struct rt__edges {
  rt__edge *slots;
  size_t count, room;
} rt__edges;

/* The nodes reached from one by a literal; NULL: none. */
rt__link *rt__edges_find(const rt__edges *edges, const void *from,
                         const rt__literal *by);
/* Make sure that `more` can be added without memory. */
rt_err rt__edges_reserve(rt__edges *edges, size_t more);
/* Put in front of what is reached so, or somewhere behind its first. */
void rt__edges_add(rt__edges *edges, void *from, const rt__literal *by,
                   rt__link *link, void *to, bool front);
void rt__edges_remove(rt__edges *edges, void *from, const rt__literal *by,
                      rt__link *link);
void rt__edges_deinit(rt__edges *edges);

#endif
