/* bus/index.h - which subscriptions match a (system, kind)?
 *
 * All patterns share one tree over segments, so a name is followed down by its
 * own segments and what does not match costs nothing:
 *
 *     (root) --orders--> o --SEP--> o --created--> o   "orders", "created"
 *        \                \--**--> o                   "orders", any kind
 *         \--*--> o --SEP--> o --(a|b)--> o            "*", "a" or "b"
 *
 * Edges of all nodes live in one hash table under (node, literal); an
 * alternation is reached through each of its options. No recursion. A name and
 * patterns that would make the walk expensive (long, with several `**`) are
 * matched another way, at a bounded cost for each pattern (match.c). One thread
 * at a time: matching uses scratch memory of the index.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BUS_INDEX_H
#define RT__BUS_INDEX_H

#include "rt/status.h"

typedef struct rt__index rt__index;
typedef struct rt__entry rt__entry;

rt__index *rt__index_new(void); /* NULL when memory is short */
/* All entries must have been removed. */
void rt__index_free(rt__index *index);

/* Add `arg` under two patterns, both not empty. `*out` is good until it is
 * removed. RT_ENOMEM leaves the index as it was. */
rt_err rt__index_add(rt__index *index, const char *system, const char *kind,
                     void *arg, rt__entry **out);
void rt__index_remove(rt__index *index, rt__entry *entry);
void *rt__entry_arg(const rt__entry *entry);

/* The matching entries, in the order in which they were added; returns their
 * number. Good until the next call but for rt__index_has(). */
size_t rt__index_match(rt__index *index, const char *system, size_t system_size,
                       const char *kind, size_t kind_size, rt__entry ***found);
bool rt__index_has(rt__index *index, const char *system, size_t system_size,
                   const char *kind, size_t kind_size);
/* For tests: nodes of the tree, the root among them; steps of the last match.
 */
size_t rt__index_nodes(const rt__index *index);
uint64_t rt__index_cost(const rt__index *index);

#endif
