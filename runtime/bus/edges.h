/* bus/edges.h - the two hash tables of the index: literals and edges.
 *
 * A literal is an interned segment, so that edges compare pointers. An edge
 * leads from a node by a literal to a node; there may be several with the same
 * start. One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_EDGES_H
#define RT__BUS_EDGES_H

#include "rt/status.h"

typedef struct rt__literal {
  uint32_t refs, size;
  uint64_t hash;
  bool group; /* the text of an alternation: never a segment of a name */
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

typedef struct rt__edge {
  void *from, *to; /* from NULL: free */
  const rt__literal *by;
} rt__edge;

typedef struct rt__edges {
  rt__edge *slots;
  size_t count, room;
} rt__edges;

/* Walk the edges from a node by a literal: start with *at = SIZE_MAX; NULL at
 * the end. */
void *rt__edges_next(const rt__edges *edges, const void *from,
                     const rt__literal *by, size_t *at);
/* Make sure that `more` can be added without memory. */
rt_err rt__edges_reserve(rt__edges *edges, size_t more);
void rt__edges_add(rt__edges *edges, void *from, const rt__literal *by,
                   void *to);
void rt__edges_remove(rt__edges *edges, void *from, const rt__literal *by,
                      void *to);
void rt__edges_deinit(rt__edges *edges);

#endif
