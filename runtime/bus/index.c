/* index.c - growing and pruning the tree of patterns; see index.h.
 * SPDX-License-Identifier: MIT */
#include "bus/index.h"

#include <stdlib.h>
#include <string.h>

#include "bus/scan.h"
#include "bus/tree.h"

/* --- scratch memory -------------------------------------------------- */

static size_t more(size_t room) {
  return room + room / 4 + 16;
}

static bool grow_nodes(rt__node ***array, size_t room) {
  rt__node **bigger = realloc(*array, room * sizeof(*bigger));
  if (bigger) *array = bigger;
  return bigger != NULL;
}

static bool room_for_node(rt__index *index) {
  if (index->node_count < index->node_room) return true;
  size_t room = more(index->node_room);
  if (!grow_nodes(&index->now, room) || !grow_nodes(&index->next, room))
    return false;
  index->node_room = room;
  return true;
}

static bool room_for_entry(rt__index *index) {
  if (index->entry_count < index->entry_room) return true;
  size_t room = more(index->entry_room);
  rt__entry **bigger = realloc(index->found, room * sizeof(*bigger));
  if (!bigger) return false;
  index->found = bigger;
  index->entry_room = room;
  return true;
}

/* --- nodes ----------------------------------------------------------- */

static rt__node *node_new(rt__index *index, rt__node *parent,
                          rt__segment_kind kind) {
  if (!room_for_node(index)) return NULL;
  rt__node *n = calloc(1, sizeof(*n));
  if (!n) return NULL;
  n->parent = parent;
  n->kind = kind;
  if (parent) parent->children++;
  index->node_count++;
  return n;
}

/* NULL when memory is short. */
static rt__extra *extra_of(rt__node *n) {
  if (!n->extra) n->extra = calloc(1, sizeof(*n->extra));
  return n->extra;
}

static void node_unlink(rt__index *index, rt__node *n) {
  rt__node *parent = n->parent;
  rt__extra *x = n->extra;
  if (n->label)
    rt__edges_remove(&index->edges, parent, n->label, &n->link);
  else if (parent->extra->any == n)
    parent->extra->any = NULL;
  else
    parent->extra->rest = NULL;
  for (uint32_t i = 0; x && i < x->option_count; i++)
    rt__edges_remove(&index->edges, parent, x->options[i], &x->links[i]);
}

static void extra_free(rt__index *index, rt__extra *x) {
  if (!x) return;
  for (uint32_t i = 0; i < x->option_count; i++)
    rt__literals_unref(&index->literals, x->options[i]);
  free(x->options);
  free(x->links);
  free(x);
}

static void node_free(rt__index *index, rt__node *n) {
  extra_free(index, n->extra);
  if (n->label != index->separator)
    rt__literals_unref(&index->literals, n->label);
  if (n->parent) n->parent->children--;
  index->node_count--;
  free(n);
}

/* Remove `n` and those above it that lead nowhere now. */
static void prune(rt__index *index, rt__node *n) {
  while (n->parent && !n->entries && n->children == 0) {
    rt__node *parent = n->parent;
    node_unlink(index, n);
    node_free(index, n);
    n = parent;
  }
}

/* Intern the options of an alternation. */
static bool take_options(rt__index *index, rt__node *n, const rt__segment *s) {
  rt__extra *x = extra_of(n);
  if (!x) return false;
  x->options = malloc(s->option_count * sizeof(*x->options));
  x->links = malloc(s->option_count * sizeof(*x->links));
  if (!x->options || !x->links) return false;
  for (size_t i = 0; i < s->option_count; i++) {
    rt__literal *l = rt__literals_ref(&index->literals, s->options[i].at,
                                      s->options[i].size, false);
    if (!l) return false;
    x->options[x->option_count++] = l;
  }
  qsort(x->options, x->option_count, sizeof(*x->options), rt__literal_order);
  return true;
}

/* A new child by a plain segment (`by`) or an alternation. */
static rt__node *labelled_child(rt__index *index, rt__node *from,
                                const rt__segment *s, bool group) {
  if (rt__edges_reserve(&index->edges, s->option_count + 1) != RT_OK)
    return NULL;
  rt__node *n = node_new(index, from, s->kind);
  if (!n) return NULL;
  n->label =
      rt__literals_ref(&index->literals, s->text.at, s->text.size, group);
  if (!n->label || (group && !take_options(index, n, s))) {
    node_free(index, n);
    return NULL;
  }
  rt__edges_add(&index->edges, from, n->label, &n->link, n, true);
  rt__extra *x = n->extra;
  for (uint32_t i = 0; x && i < x->option_count; i++)
    rt__edges_add(&index->edges, from, x->options[i], &x->links[i], n, false);
  return n;
}

static rt__node *labelled(rt__index *index, rt__node *from,
                          const rt__segment *s) {
  bool group = s->kind == RT__SEGMENT_ONE_OF;
  rt__literal *l =
      rt__literals_find(&index->literals, s->text.at, s->text.size, group);
  /* the node that has it as its label is the first, if there is one */
  rt__link *link = l ? rt__edges_find(&index->edges, from, l) : NULL;
  if (link && ((rt__node *)link->to)->label == l) return link->to;
  return labelled_child(index, from, s, group);
}

static rt__node *separated(rt__index *index, rt__node *from) {
  rt__link *link = rt__edges_find(&index->edges, from, index->separator);
  if (link) return link->to;
  if (rt__edges_reserve(&index->edges, 1) != RT_OK) return NULL;
  rt__node *n = node_new(index, from, RT__SEGMENT_PLAIN);
  if (!n) return NULL;
  n->label = index->separator;
  rt__edges_add(&index->edges, from, n->label, &n->link, n, true);
  return n;
}

static rt__node *child(rt__index *index, rt__node *from, const rt__segment *s) {
  if (s->kind != RT__SEGMENT_ANY && s->kind != RT__SEGMENT_REST)
    return labelled(index, from, s);
  rt__extra *x = extra_of(from);
  if (!x) return NULL;
  rt__node **n = s->kind == RT__SEGMENT_ANY ? &x->any : &x->rest;
  if (!*n) *n = node_new(index, from, s->kind);
  return *n;
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
static bool follow(rt__index *index, rt__node **at, const char *pattern) {
  rt__pattern *p = rt__pattern_new(pattern, strlen(pattern));
  bool ok = p != NULL;
  for (size_t i = 0; ok && i < p->count; i++) {
    rt__node *n = child(index, *at, &p->segments[i]);
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

static bool follow_both(rt__index *index, rt__node **at, const char *system,
                        const char *kind) {
  if (!follow(index, at, system)) return false;
  if (takes_all(kind)) return true;
  rt__node *n = separated(index, *at);
  if (!n) return false;
  *at = n;
  return follow(index, at, kind);
}

rt_err rt__index_add(rt__index *index, const char *system, const char *kind,
                     void *arg, rt__entry **out) {
  rt__node *at = index->root;
  rt__entry *e = malloc(sizeof(*e));
  if (!e || !room_for_entry(index) || !follow_both(index, &at, system, kind)) {
    prune(index, at);
    free(e);
    return RT_ENOMEM;
  }
  *e = (rt__entry){at, NULL, at->entries, arg, index->serial++};
  if (e->next) e->next->prev = e;
  at->entries = e;
  index->entry_count++;
  *out = e;
  return RT_OK;
}

void rt__index_remove(rt__index *index, rt__entry *entry) {
  rt__node *at = entry->at;
  if (entry->prev)
    entry->prev->next = entry->next;
  else
    at->entries = entry->next;
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
