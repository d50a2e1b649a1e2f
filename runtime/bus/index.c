/* index.c - the tree of patterns; see index.h.
 * SPDX-License-Identifier: MIT */
#include "bus/index.h"

#include <stdlib.h>
#include <string.h>

#include "bus/edges.h"
#include "bus/pattern.h"

typedef struct node node;

struct rt__entry {
  node *at;
  rt__entry *prev, *next; /* of the same list of the node */
  void *arg;
  uint64_t serial : 63; /* order of arrival */
  uint64_t all : 1;     /* takes all kinds */
};

struct node {
  node *parent;
  node *any, *rest;      /* by `*` and `**` */
  rt__entry *entries;    /* whose patterns end here */
  rt__entry *all_kinds;  /* whose system ends here and who take any kind */
  rt__literal *label;    /* of a plain edge or of an alternation */
  rt__literal **options; /* of an alternation */
  uint32_t option_count, children;
  uint64_t stamp : 62; /* of the step in which it was last reached */
  uint64_t kind : 2;   /* an rt__segment_kind */
};

struct rt__index {
  rt__literals literals;
  rt__edges edges;
  node *root;
  rt__literal *separator; /* between system and kind; in no table */
  size_t node_count, entry_count;
  uint64_t serial, stamp;
  node **now, **next; /* scratch: room for all nodes */
  rt__entry **found;  /* scratch: room for all entries */
  size_t node_room, entry_room;
};

/* --- scratch memory -------------------------------------------------- */

static bool grow(void **array, size_t count, size_t each) {
  void *bigger = realloc(*array, count * each);
  if (bigger) *array = bigger;
  return bigger != NULL;
}

static bool room_for_node(rt__index *index) {
  if (index->node_count < index->node_room) return true;
  size_t room = index->node_room ? index->node_room * 2 : 16;
  if (!grow((void **)&index->now, room, sizeof(node *)) ||
      !grow((void **)&index->next, room, sizeof(node *)))
    return false;
  index->node_room = room;
  return true;
}

static bool room_for_entry(rt__index *index) {
  if (index->entry_count < index->entry_room) return true;
  size_t room = index->entry_room ? index->entry_room * 2 : 16;
  if (!grow((void **)&index->found, room, sizeof(rt__entry *))) return false;
  index->entry_room = room;
  return true;
}

/* --- nodes ----------------------------------------------------------- */

static node *node_new(rt__index *index, node *parent, rt__segment_kind kind) {
  if (!room_for_node(index)) return NULL;
  node *n = calloc(1, sizeof(*n));
  if (!n) return NULL;
  n->parent = parent;
  n->kind = kind;
  if (parent) parent->children++;
  index->node_count++;
  return n;
}

static void node_unlink(rt__index *index, node *n) {
  node *parent = n->parent;
  if (parent->any == n) parent->any = NULL;
  if (parent->rest == n) parent->rest = NULL;
  if (n->label) rt__edges_remove(&index->edges, parent, n->label, n);
  for (uint32_t i = 0; i < n->option_count; i++)
    rt__edges_remove(&index->edges, parent, n->options[i], n);
}

static void node_free(rt__index *index, node *n) {
  for (uint32_t i = 0; i < n->option_count; i++)
    rt__literals_unref(&index->literals, n->options[i]);
  if (n->label != index->separator)
    rt__literals_unref(&index->literals, n->label);
  if (n->parent) n->parent->children--;
  index->node_count--;
  free(n->options);
  free(n);
}

/* Remove `n` and those above it that lead nowhere now. */
static void prune(rt__index *index, node *n) {
  while (n->parent && !n->entries && !n->all_kinds && n->children == 0) {
    node *parent = n->parent;
    node_unlink(index, n);
    node_free(index, n);
    n = parent;
  }
}

/* Intern the options of an alternation. */
static bool take_options(rt__index *index, node *n, const rt__segment *s) {
  n->options = malloc(s->option_count * sizeof(*n->options));
  if (!n->options) return false;
  for (size_t i = 0; i < s->option_count; i++) {
    rt__literal *l = rt__literals_ref(&index->literals, s->options[i].at,
                                      s->options[i].size, false);
    if (!l) return false;
    n->options[n->option_count++] = l;
  }
  return true;
}

/* A new child by a plain segment (`by`) or an alternation. */
static node *labelled_child(rt__index *index, node *from, const rt__segment *s,
                            bool group) {
  if (rt__edges_reserve(&index->edges, s->option_count + 1) != RT_OK)
    return NULL;
  node *n = node_new(index, from, s->kind);
  if (!n) return NULL;
  n->label =
      rt__literals_ref(&index->literals, s->text.at, s->text.size, group);
  if (!n->label || (group && !take_options(index, n, s))) {
    node_free(index, n);
    return NULL;
  }
  rt__edges_add(&index->edges, from, n->label, n);
  for (uint32_t i = 0; i < n->option_count; i++)
    rt__edges_add(&index->edges, from, n->options[i], n);
  return n;
}

static node *labelled(rt__index *index, node *from, const rt__segment *s) {
  bool group = s->kind == RT__SEGMENT_ONE_OF;
  rt__literal *l =
      rt__literals_find(&index->literals, s->text.at, s->text.size, group);
  size_t at = SIZE_MAX;
  node *n;
  while (l && (n = rt__edges_next(&index->edges, from, l, &at)) != NULL)
    if (n->label == l) return n;
  return labelled_child(index, from, s, group);
}

static node *separated(rt__index *index, node *from) {
  size_t at = SIZE_MAX;
  node *n = rt__edges_next(&index->edges, from, index->separator, &at);
  if (n) return n;
  if (rt__edges_reserve(&index->edges, 1) != RT_OK) return NULL;
  n = node_new(index, from, RT__SEGMENT_PLAIN);
  if (!n) return NULL;
  n->label = index->separator;
  rt__edges_add(&index->edges, from, n->label, n);
  return n;
}

static node *child(rt__index *index, node *from, const rt__segment *s) {
  if (s->kind == RT__SEGMENT_ANY) {
    if (!from->any) from->any = node_new(index, from, s->kind);
    return from->any;
  }
  if (s->kind == RT__SEGMENT_REST) {
    if (!from->rest) from->rest = node_new(index, from, s->kind);
    return from->rest;
  }
  return labelled(index, from, s);
}

/* --- adding and removing --------------------------------------------- */

rt__index *rt__index_new(void) {
  rt__index *index = calloc(1, sizeof(*index));
  if (!index) return NULL;
  index->separator = calloc(1, sizeof(*index->separator));
  index->root = node_new(index, NULL, RT__SEGMENT_PLAIN);
  if (index->separator && index->root) return index;
  rt__index_free(index);
  return NULL;
}

void rt__index_free(rt__index *index) {
  if (!index) return;
  if (index->root) node_free(index, index->root);
  rt__edges_deinit(&index->edges);
  rt__literals_deinit(&index->literals);
  free(index->separator);
  free(index->now);
  free(index->next);
  free(index->found);
  free(index);
}

/* Follow `pattern` from `*at`, making what is missing; on failure `*at` is the
 * last node reached. */
static bool follow(rt__index *index, node **at, const char *pattern) {
  rt__pattern *p = rt__pattern_new(pattern, strlen(pattern));
  bool ok = p != NULL;
  for (size_t i = 0; ok && i < p->count; i++) {
    node *n = child(index, *at, &p->segments[i]);
    ok = n != NULL;
    if (ok) *at = n;
  }
  rt__pattern_free(p);
  return ok;
}

/* The usual subscription takes any kind, which needs no nodes of its own. */
static bool takes_all(const char *kind) {
  return strcmp(kind, "**") == 0;
}

static rt__entry **list_of(const rt__entry *e) {
  return e->all ? &e->at->all_kinds : &e->at->entries;
}

static bool follow_both(rt__index *index, node **at, const char *system,
                        const char *kind) {
  if (!follow(index, at, system)) return false;
  if (takes_all(kind)) return true;
  node *n = separated(index, *at);
  if (!n) return false;
  *at = n;
  return follow(index, at, kind);
}

rt_err rt__index_add(rt__index *index, const char *system, const char *kind,
                     void *arg, rt__entry **out) {
  node *at = index->root;
  rt__entry *e = malloc(sizeof(*e));
  if (!e || !room_for_entry(index) || !follow_both(index, &at, system, kind)) {
    prune(index, at);
    free(e);
    return RT_ENOMEM;
  }
  *e = (rt__entry){at, NULL, NULL, arg, index->serial++, takes_all(kind)};
  rt__entry **list = list_of(e);
  e->next = *list;
  if (e->next) e->next->prev = e;
  *list = e;
  index->entry_count++;
  *out = e;
  return RT_OK;
}

void rt__index_remove(rt__index *index, rt__entry *entry) {
  node *at = entry->at;
  if (entry->prev)
    entry->prev->next = entry->next;
  else
    *list_of(entry) = entry->next;
  if (entry->next) entry->next->prev = entry->prev;
  index->entry_count--;
  free(entry);
  prune(index, at);
}

void *rt__entry_arg(const rt__entry *entry) {
  return entry->arg;
}

size_t rt__index_nodes(const rt__index *index) {
  return index->node_count;
}

/* --- matching -------------------------------------------------------- */

/* Reach `n` in this step, and what `**` makes of it without a segment. */
static size_t reach(rt__index *index, size_t count, node *n) {
  for (; n && n->stamp != index->stamp; n = n->rest) {
    n->stamp = index->stamp;
    index->next[count++] = n;
  }
  return count;
}

static void swap(rt__index *index) {
  node **now = index->now;
  index->now = index->next;
  index->next = now;
}

/* One token: a segment (NULL when no pattern names it) or the separator. */
static size_t step(rt__index *index, size_t count, const rt__literal *by) {
  bool segment = by != index->separator;
  size_t reached = 0;
  index->stamp++;
  for (size_t i = 0; i < count; i++) {
    node *n = index->now[i], *to;
    size_t at = SIZE_MAX;
    while (by && (to = rt__edges_next(&index->edges, n, by, &at)) != NULL)
      reached = reach(index, reached, to);
    if (segment) reached = reach(index, reached, n->any);
    if (segment && n->kind == RT__SEGMENT_REST)
      reached = reach(index, reached, n);
  }
  swap(index);
  return reached;
}

static size_t walk(rt__index *index, size_t count, const char *text,
                   size_t size) {
  const char *next = text, *end = text + size;
  while (next && count > 0) {
    rt__text s = rt__segment_at(next, end, &next);
    count = step(index, count,
                 rt__literals_find(&index->literals, s.at, s.size, false));
  }
  return count;
}

/* The nodes that the system leads to are now[0..], then those of both. */
static size_t walk_system(rt__index *index, const char *system, size_t size) {
  index->stamp++;
  size_t count = reach(index, 0, index->root);
  swap(index);
  return walk(index, count, system, size);
}

static size_t walk_kind(rt__index *index, size_t count, const char *kind,
                        size_t size) {
  count = step(index, count, index->separator);
  return walk(index, count, kind, size);
}

static size_t collect(rt__index *index, size_t n, const rt__entry *list) {
  for (; list; list = list->next) index->found[n++] = (rt__entry *)list;
  return n;
}

static int by_serial(const void *a, const void *b) {
  const rt__entry *x = *(rt__entry *const *)a, *y = *(rt__entry *const *)b;
  return x->serial < y->serial ? -1 : x->serial > y->serial;
}

size_t rt__index_match(rt__index *index, const char *system, size_t system_size,
                       const char *kind, size_t kind_size, rt__entry ***found) {
  size_t n = 0, count = walk_system(index, system, system_size);
  for (size_t i = 0; i < count; i++)
    n = collect(index, n, index->now[i]->all_kinds);
  count = walk_kind(index, count, kind, kind_size);
  for (size_t i = 0; i < count; i++)
    n = collect(index, n, index->now[i]->entries);
  if (n > 1) qsort(index->found, n, sizeof(*index->found), by_serial);
  *found = index->found;
  return n;
}

bool rt__index_has(rt__index *index, const char *system, size_t system_size,
                   const char *kind, size_t kind_size) {
  size_t count = walk_system(index, system, system_size);
  for (size_t i = 0; i < count; i++)
    if (index->now[i]->all_kinds) return true;
  count = walk_kind(index, count, kind, kind_size);
  for (size_t i = 0; i < count; i++)
    if (index->now[i]->entries) return true;
  return false;
}
