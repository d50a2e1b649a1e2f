/* bus/pattern.h - the product's one pattern language, compiled.
 *
 * Dotted segments: `*` is one segment, `**` zero or more, `(a|b)` one of; any
 * other segment is only itself, and every text is a pattern. Runs of `**` are
 * one. Constant once made, so any thread may match. SPDX-License-Identifier:
 * MIT
 */
#ifndef RT__BUS_PATTERN_H
#define RT__BUS_PATTERN_H

#include "rt/bus.h"

typedef enum rt__segment_kind {
  RT__SEGMENT_PLAIN, /* only itself */
  RT__SEGMENT_ANY,   /* `*` */
  RT__SEGMENT_REST,  /* `**` */
  RT__SEGMENT_ONE_OF /* `(a|b)` */
} rt__segment_kind;

typedef struct rt__text {
  const char *at;
  size_t size;
} rt__text;

typedef struct rt__segment {
  rt__segment_kind kind;
  rt__text text;           /* as written */
  const rt__text *options; /* of one-of: sorted, each once */
  size_t option_count;
} rt__segment;

typedef struct rt__pattern {
  size_t size; /* of the text; 0 matches nothing */
  size_t count;
  rt__segment *segments;
} rt__pattern;

/* NULL when memory is short. The text is copied. */
rt__pattern *rt__pattern_new(const char *text, size_t size);
void rt__pattern_free(rt__pattern *pattern);
bool rt__pattern_matches(const rt__pattern *pattern, const char *subject,
                         size_t size);
/* For tests: likewise; `*cost` becomes the number of steps it took. With
 * `hostile` nothing else than what hostile ones get is tried. */
bool rt__pattern_matches_counted(const rt__pattern *pattern,
                                 const char *subject, size_t size, bool hostile,
                                 uint64_t *cost);

/* The segment that starts at `at`; `*next` is where the one after it starts, or
 * NULL behind the last. */
rt__text rt__segment_at(const char *at, const char *end, const char **next);

#endif
