/* bus/scan.h - matching whose cost is bounded whatever the pattern.
 *
 * `**` splits a pattern into blocks of a fixed number of segments. The first
 * block stands at the start of the subject and the last one at its end. Each
 * one between takes its leftmost place behind the one before: since `**` takes
 * any number of segments, an earlier place never leaves less to choose from
 * for what follows, so nothing is ever tried again. The leftmost place of a
 * block is found by running over the subject once for each 64 segments of the
 * block, all of them compared at once as bits of a word. So one match costs
 * the size of the pattern plus the segments of the subject, times the length
 * of the longest block between two `**` divided by 64.
 *
 * Segments are literals (edges.h), numbered while a subject is looked at. One
 * thread at a time for one set of literals. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_SCAN_H
#define RT__BUS_SCAN_H

#include "bus/edges.h"
#include "bus/pattern.h"

/* One segment of a pattern. */
typedef struct rt__token {
  rt__segment_kind kind;
  uint32_t option_count;
  rt__literal *plain;          /* of a plain one */
  rt__literal *const *options; /* of one-of: sorted by address */
} rt__token;

typedef struct rt__subject {
  rt__literal **names; /* its segments; NULL: no pattern names it */
  uint32_t *numbers;   /* theirs, 0 for NULL */
  size_t count;
  uint64_t *masks;  /* by number: the segments of a block that take it */
  uint64_t *places; /* a set of positions, as bits */
  uint32_t last;    /* number given */
  uint64_t cost;    /* steps so far */
} rt__subject;

/* A subject with room for `segments`. RT_ENOMEM. */
rt_err rt__subject_init(rt__subject *subject, size_t segments);
/* Append the segments of a text; returns the position behind them. */
size_t rt__subject_add(rt__subject *subject, const rt__literals *literals,
                       const char *text, size_t size);
/* Do the tokens (no two `**` in a row) match its segments [from, end)? */
bool rt__subject_matches(rt__subject *subject, size_t from, size_t end,
                         const rt__token *tokens, size_t count);
void rt__subject_deinit(rt__subject *subject);

/* For the order of a token's options. */
int rt__literal_order(const void *a, const void *b);

#endif
