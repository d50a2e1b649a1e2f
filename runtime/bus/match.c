/* match.c - which entries of the index match a name; see index.h.
 *
 * The tree is walked with the set of nodes reached so far. Only patterns with
 * several `**` can keep that set large, and only long names make it expensive:
 * steps are counted, and past a limit that grows with the name and the tree
 * each pattern is matched for itself, which is never slow (scan.h).
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bus/scan.h"
#include "bus/tree.h"

/* Steps of the walk before a name counts as hostile: for each segment, and for
 * each node of the tree. */
enum { LIMIT_BASE = 4096, LIMIT_SEGMENT = 32, LIMIT_NODE = 2 };

typedef struct name {
  rt__text system, kind;
} name;

/* What a search is after: all entries, or whether there is one. */
typedef struct search {
  rt__index *index;
  bool first;
  size_t found;
  uint64_t limit;
} search;

/* --- the walk -------------------------------------------------------- */

/* Reach `n` in this step, and what `**` makes of it without a segment. */
static size_t reach(rt__index *index, size_t count, rt__node *n) {
  for (; n && n->stamp != index->stamp; n = rt__node_rest(n)) {
    n->stamp = index->stamp;
    index->next[count++] = n;
  }
  return count;
}

static void swap(rt__index *index) {
  rt__node **now = index->now;
  index->now = index->next;
  index->next = now;
}

/* One token: a segment (NULL when no pattern names it) or the separator. */
static size_t step(rt__index *index, size_t count, const rt__literal *by) {
  bool segment = by != index->separator;
  size_t reached = 0;
  index->stamp++;
  for (size_t i = 0; i < count; i++) {
    rt__node *n = index->now[i];
    rt__link *link = by ? rt__edges_find(&index->edges, n, by) : NULL;
    for (; link; link = link->next, index->cost++)
      reached = reach(index, reached, link->to);
    if (segment) reached = reach(index, reached, rt__node_any(n));
    if (segment && n->kind == RT__SEGMENT_REST)
      reached = reach(index, reached, n);
  }
  index->cost += count;
  swap(index);
  return reached;
}

/* False when it becomes too costly. */
static bool walk(search *s, size_t *count, rt__text text) {
  rt__index *index = s->index;
  const char *next = text.at, *end = text.at + text.size;
  while (next && *count > 0) {
    rt__text t = rt__segment_at(next, end, &next);
    *count = step(index, *count,
                  rt__literals_find(&index->literals, t.at, t.size, false));
    s->limit += LIMIT_SEGMENT;
    if (index->cost > s->limit) return false;
  }
  return true;
}

/* Whoever only asks leaves found[] alone, which another thread may still be
 * reading (see rt__index_match). */
static void collect(search *s, const rt__entry *list) {
  if (s->first)
    s->found |= list != NULL;
  else
    for (; list; list = list->next)
      s->index->found[s->found++] = (rt__entry *)list;
}

static bool walk_both(search *s, const name *n) {
  rt__index *index = s->index;
  index->stamp++;
  size_t count = reach(index, 0, index->root);
  swap(index);
  if (!walk(s, &count, n->system)) return false;
  for (size_t i = 0; i < count; i++) collect(s, index->now[i]->entries);
  if (s->first && s->found) return true;
  count = step(index, count, index->separator);
  if (!walk(s, &count, n->kind)) return false;
  for (size_t i = 0; i < count; i++) collect(s, index->now[i]->entries);
  return true;
}

/* --- each pattern for itself ----------------------------------------- */

typedef struct scan {
  search *search;
  rt__subject subject;
  size_t middle, end; /* where the kind begins, and all ends */
  rt__token *tokens;  /* room for the longest path */
  size_t room;
} scan;

/* All nodes, into now[]. */
static size_t list_nodes(rt__index *index) {
  size_t count = 0;
  index->now[count++] = index->root;
  for (size_t i = 0; i < index->edges.room; i++) {
    const rt__edge *e = &index->edges.slots[i];
    rt__node *n = e->first ? e->first->to : NULL;
    if (n && n->label == e->by) index->now[count++] = n;
  }
  for (size_t i = 0; i < count; i++) {
    rt__node *n = index->now[i];
    if (rt__node_any(n)) index->now[count++] = rt__node_any(n);
    if (rt__node_rest(n)) index->now[count++] = rt__node_rest(n);
  }
  return count;
}

static bool is_top(const rt__index *index, const rt__node *n) {
  return !n->parent || n->label == index->separator;
}

static rt__token token_of(const rt__node *n) {
  static const rt__extra none = {NULL, NULL, NULL, NULL, 0};
  const rt__extra *x = n->extra ? n->extra : &none;
  return (rt__token){(rt__segment_kind)n->kind, x->option_count, n->label,
                     x->options};
}

/* Does the path to `n`, from the root or the separator, match? */
static bool path_matches(scan *s, const rt__node *n, size_t from, size_t end) {
  const rt__index *index = s->search->index;
  size_t first = s->room;
  for (; !is_top(index, n); n = n->parent) s->tokens[--first] = token_of(n);
  s->subject.cost += s->room - first;
  return rt__subject_matches(&s->subject, from, end, s->tokens + first,
                             s->room - first);
}

static rt__node *top_of(const rt__index *index, rt__node *n) {
  while (!is_top(index, n)) n = n->parent;
  return n;
}

/* The answer of a system is kept in the stamp of the separator behind it:
 * the last stamp is yes, the one before it no. */
static bool system_matches(scan *s, rt__node *separator) {
  uint64_t yes = s->search->index->stamp;
  if (separator->stamp != yes && separator->stamp != yes - 1)
    separator->stamp = yes - !path_matches(s, separator->parent, 0, s->middle);
  return separator->stamp == yes;
}

static void scan_node(scan *s, rt__node *n) {
  if (!n->entries) return;
  rt__node *top = top_of(s->search->index, n);
  if (!top->parent
          ? path_matches(s, n, 0, s->middle)
          : system_matches(s, top) && path_matches(s, n, s->middle, s->end))
    collect(s->search, n->entries);
}

static size_t longest_path(const rt__index *index, size_t count) {
  size_t longest = 0;
  for (size_t i = 0; i < count; i++) {
    const rt__node *n = index->now[i];
    size_t depth = 0;
    if (!n->entries) continue;
    for (; n->parent; n = n->parent) depth++;
    if (depth > longest) longest = depth;
  }
  return longest;
}

static size_t segments_of(rt__text text) {
  const char *next = text.at, *end = text.at + text.size;
  size_t n = 0;
  for (; next; n++) rt__segment_at(next, end, &next);
  return n;
}

/* False when memory is short. */
static bool scan_all(search *s, const name *n) {
  rt__index *index = s->index;
  scan sc = {.search = s};
  size_t count = list_nodes(index);
  size_t segments = segments_of(n->system) + segments_of(n->kind);
  sc.room = longest_path(index, count);
  sc.tokens = malloc((sc.room + 1) * sizeof(*sc.tokens));
  if (!sc.tokens || rt__subject_init(&sc.subject, segments) != RT_OK) {
    free(sc.tokens);
    return false;
  }
  sc.middle = rt__subject_add(&sc.subject, &index->literals, n->system.at,
                              n->system.size);
  sc.end =
      rt__subject_add(&sc.subject, &index->literals, n->kind.at, n->kind.size);
  index->stamp += 2;
  for (size_t i = 0; i < count; i++)
    if (!s->first || !s->found) scan_node(&sc, index->now[i]);
  index->cost += count + sc.subject.cost;
  rt__subject_deinit(&sc.subject);
  free(sc.tokens);
  return true;
}

/* --- questions ------------------------------------------------------- */

static size_t find(rt__index *index, bool first, const name *n) {
  search s = {index, first, 0, LIMIT_BASE + LIMIT_NODE * index->node_count};
  index->cost = 0;
  if (!index->scan_only && walk_both(&s, n)) return s.found;
  s.found = 0;
  if (scan_all(&s, n)) return s.found;
  s.found = 0;
  s.limit = UINT64_MAX / 2; /* slow, but right */
  walk_both(&s, n);
  return s.found;
}

static int by_serial(const void *a, const void *b) {
  const rt__entry *x = *(rt__entry *const *)a, *y = *(rt__entry *const *)b;
  return x->serial < y->serial ? -1 : x->serial > y->serial;
}

size_t rt__index_match(rt__index *index, const char *system, size_t system_size,
                       const char *kind, size_t kind_size, rt__entry ***found) {
  const name n = {{system, system_size}, {kind, kind_size}};
  size_t count = find(index, false, &n);
  if (count > 1) qsort(index->found, count, sizeof(*index->found), by_serial);
  *found = index->found;
  return count;
}

bool rt__index_has(rt__index *index, const char *system, size_t system_size,
                   const char *kind, size_t kind_size) {
  const name n = {{system, system_size}, {kind, kind_size}};
  return find(index, true, &n) > 0;
}

uint64_t rt__index_cost(const rt__index *index) {
  return index->cost;
}
