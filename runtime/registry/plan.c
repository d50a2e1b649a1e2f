/* plan.c - the flow that the declared classes imply, before anything runs.
 *
 * An edge leads from a capability to each one that takes a class it has as
 * output. Cycles are the strongly connected parts of that graph (Tarjan), each
 * told once, its names in the order in which a walk meets them. A cycle is no
 * mistake, since every asset is worked on once; but it is worth knowing.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry/capability.h"

typedef struct plan {
  rt_capability **caps;
  size_t count;
  bool *edge; /* [from * count + to] */
  rt_builder *out;
  /* Tarjan; number 0: not met yet */
  uint32_t *number, *low, *stack;
  bool *stacked;
  size_t depth;
  uint32_t next;
} plan;

typedef void (*class_fn)(const char *class_, size_t size, void *arg);

/* --- classes that two lists have in common ------------------------------ */
static bool is_pattern(const char *text) {
  return strpbrk(text, "*(") != NULL;
}

/* `(a|b)` as a whole: its alternatives, one after the other. */
static bool next_choice(const char **at, size_t *size) {
  const char *text = *at + *size + 1;
  if (*size > 0 && text[-1] != '|') return false;
  *at = text;
  *size = strcspn(text, "|)");
  return *size > 0;
}

static size_t each_choice(const char *group, const char *other, class_fn fn,
                          void *arg) {
  size_t size = 0, found = 0;
  if (group[0] != '(') return 0;
  while (next_choice(&group, &size)) {
    if (!rt_pattern_match(other, strlen(other), group, size)) continue;
    fn(group, size, arg);
    found++;
  }
  return found;
}

/* Calls `fn` for each class that can go from output `o` to input `i`. */
static void common(const char *o, const char *i, class_fn fn, void *arg) {
  if (rt__input_is_event(i)) { /* what happens to that class */
    const char *class_ = strchr(i, ':');
    i = class_ ? class_ + 1 : "**";
  }
  size_t o_size = strlen(o), i_size = strlen(i);
  if (!is_pattern(o)) {
    if (rt_pattern_match(i, i_size, o, o_size)) fn(o, o_size, arg);
  } else if (!is_pattern(i)) {
    if (rt_pattern_match(o, o_size, i, i_size)) fn(i, i_size, arg);
  } else if (o[0] == '(') {
    each_choice(o, i, fn, arg);
  } else if (i[0] == '(') {
    each_choice(i, o, fn, arg);
  } else {
    fn(o, o_size, arg);
  }
}

static void count_class(const char *class_, size_t size, void *arg) {
  (void)class_, (void)size;
  ++*(size_t *)arg;
}

/* --- the parts of the answer -------------------------------------------- */
static void put_list(rt_builder *b, const char *key, char *const *list,
                     size_t count) {
  rt_builder_key(b, key);
  rt_builder_begin_array(b);
  for (size_t i = 0; i < count; i++) rt_builder_string(b, list[i]);
  rt_builder_end(b);
}

static void put_capabilities(plan *p) {
  rt_builder_key(p->out, "capabilities");
  rt_builder_begin_array(p->out);
  for (size_t i = 0; i < p->count; i++) {
    const rt_capability *c = p->caps[i];
    rt_builder_begin_map(p->out);
    rt_builder_key(p->out, "name");
    rt_builder_string(p->out, c->name);
    put_list(p->out, "input", c->input, c->input_count);
    put_list(p->out, "output", c->output, c->output_count);
    rt_builder_key(p->out, "priority");
    rt_builder_int(p->out, c->priority);
    if (rt__capability_scheduled(c)) { /* seconds, or a cron expression */
      rt_builder_key(p->out, "every");
      rt_builder_view(p->out,
                      rt_view_get(rt_value_view(c->declaration), "every"));
    }
    rt_builder_key(p->out, "file");
    if (c->file)
      rt_builder_string(p->out, c->file);
    else
      rt_builder_nil(p->out);
    rt_builder_end(p->out);
  }
  rt_builder_end(p->out);
}

typedef struct edge_arg {
  plan *plan;
  size_t from, to;
} edge_arg;

static void put_edge(const char *class_, size_t size, void *arg) {
  edge_arg *e = arg;
  plan *p = e->plan;
  p->edge[e->from * p->count + e->to] = true;
  rt_builder_begin_map(p->out);
  rt_builder_key(p->out, "from");
  rt_builder_string(p->out, p->caps[e->from]->name);
  rt_builder_key(p->out, "to");
  rt_builder_string(p->out, p->caps[e->to]->name);
  rt_builder_key(p->out, "class");
  rt_builder_lstring(p->out, class_, size);
  rt_builder_end(p->out);
}

/* The first input of `to` that has classes in common with this output counts,
 * so that two overlapping inputs give one edge. */
static void put_output(edge_arg *e, const char *output) {
  const rt_capability *to = e->plan->caps[e->to];
  for (size_t i = 0; i < to->input_count; i++) {
    size_t found = 0;
    common(output, to->input[i], count_class, &found);
    if (!found) continue;
    common(output, to->input[i], put_edge, e);
    if (!is_pattern(output)) return;
  }
}

static void put_edges(plan *p) {
  rt_builder_key(p->out, "edges");
  rt_builder_begin_array(p->out);
  for (size_t from = 0; from < p->count; from++) {
    for (size_t to = 0; to < p->count; to++) {
      edge_arg e = {p, from, to};
      const rt_capability *c = p->caps[from];
      for (size_t o = 0; o < c->output_count; o++) put_output(&e, c->output[o]);
    }
  }
  rt_builder_end(p->out);
}

/* --- cycles -------------------------------------------------------------- */
static void put_cycle(plan *p, size_t first) {
  rt_builder_begin_array(p->out);
  for (size_t i = first; i < p->depth; i++)
    rt_builder_string(p->out, p->caps[p->stack[i]]->name);
  rt_builder_end(p->out);
}

static void close_part(plan *p, uint32_t root) {
  size_t first = p->depth;
  while (p->stack[--first] != root) continue;
  if (p->depth - first > 1 || p->edge[root * p->count + root])
    put_cycle(p, first);
  while (p->depth > first) p->stacked[p->stack[--p->depth]] = false;
}

/* Recursion is as deep as there are capabilities. */
static void visit(plan *p, uint32_t at) {
  p->number[at] = p->low[at] = ++p->next;
  p->stack[p->depth++] = at;
  p->stacked[at] = true;
  for (uint32_t to = 0; to < p->count; to++) {
    if (!p->edge[at * p->count + to]) continue;
    if (!p->number[to]) {
      visit(p, to);
      if (p->low[to] < p->low[at]) p->low[at] = p->low[to];
    } else if (p->stacked[to] && p->number[to] < p->low[at]) {
      p->low[at] = p->number[to];
    }
  }
  if (p->low[at] == p->number[at]) close_part(p, at);
}

static void put_cycles(plan *p) {
  rt_builder_key(p->out, "cycles");
  rt_builder_begin_array(p->out);
  for (uint32_t i = 0; i < p->count; i++)
    if (!p->number[i]) visit(p, i);
  rt_builder_end(p->out);
}

/* --- warnings ------------------------------------------------------------ */
static bool produced(const plan *p, const char *input) {
  for (size_t i = 0; i < p->count; i++) {
    size_t found = 0;
    for (size_t o = 0; o < p->caps[i]->output_count; o++)
      common(p->caps[i]->output[o], input, count_class, &found);
    if (found) return true;
  }
  return false;
}

static void warn_inputs(plan *p, const rt_capability *c) {
  char text[1024];
  for (size_t i = 0; i < c->input_count; i++) {
    if (produced(p, c->input[i])) continue;
    snprintf(text, sizeof(text),
             "undeclared input: no capability has '%s' as output, which '%s' "
             "takes; only seeds bring it",
             c->input[i], c->name);
    rt_builder_string(p->out, text);
  }
}

static bool isolated(const plan *p, size_t at) {
  for (size_t i = 0; i < p->count; i++)
    if (i != at && (p->edge[i * p->count + at] || p->edge[at * p->count + i]))
      return false;
  return p->count > 1;
}

static void warn_isolated(plan *p, size_t at) {
  char text[1024];
  if (!isolated(p, at)) return;
  snprintf(text, sizeof(text),
           "unreachable capability: no other one leads to '%s' or follows it",
           p->caps[at]->name);
  rt_builder_string(p->out, text);
}

static void warn_cycle(rt_builder *b, rt_view cycle) {
  char text[1024];
  size_t size, at = 0;
  uint32_t count = rt_view_count(cycle);
  for (uint32_t i = 0; i <= count; i++) {
    const char *name = rt_view_string(rt_view_at(cycle, i % count), &size);
    int n = snprintf(text + at, sizeof(text) - at, "%s%.*s",
                     i ? " -> " : "cycle: ", (int)size, name);
    if (n < 0 || (at += (size_t)n) >= sizeof(text)) break;
  }
  rt_builder_string(b, text);
}

/* --- all of it ------------------------------------------------------------ */
static bool allocate(plan *p) {
  size_t n = p->count ? p->count : 1;
  p->edge = calloc(n * n, sizeof(*p->edge));
  p->number = calloc(n, sizeof(*p->number));
  p->low = calloc(n, sizeof(*p->low));
  p->stack = calloc(n, sizeof(*p->stack));
  p->stacked = calloc(n, sizeof(*p->stacked));
  p->out = rt_builder_new();
  return p->edge && p->number && p->low && p->stack && p->stacked && p->out;
}

static void deinit(plan *p) {
  for (size_t i = 0; i < p->count; i++) rt__capability_unref(p->caps[i]);
  free(p->caps);
  free(p->edge);
  free(p->number);
  free(p->low);
  free(p->stack);
  free(p->stacked);
  rt_builder_free(p->out);
}

static rt_err graph_of(plan *p, rt_value **graph, rt_error *err) {
  rt_builder_begin_map(p->out);
  put_capabilities(p);
  put_edges(p);
  put_cycles(p);
  rt_builder_end(p->out);
  return rt_builder_finish(p->out, graph, err);
}

/* The graph once more, with its warnings. */
static rt_err with_warnings(plan *p, const rt_value *graph, rt_value **out,
                            rt_error *err) {
  rt_iter iter = rt_iter_of(rt_value_view(graph));
  rt_view key, item;
  rt_builder_begin_map(p->out);
  while (rt_iter_next(&iter, &key, &item)) {
    rt_builder_view(p->out, key);
    rt_builder_view(p->out, item);
  }
  rt_builder_key(p->out, "warnings");
  rt_builder_begin_array(p->out);
  for (size_t i = 0; i < p->count; i++) {
    warn_inputs(p, p->caps[i]);
    warn_isolated(p, i);
  }
  iter = rt_iter_of(rt_view_get(rt_value_view(graph), "cycles"));
  while (rt_iter_next(&iter, NULL, &item)) warn_cycle(p->out, item);
  rt_builder_end(p->out);
  rt_builder_end(p->out);
  return rt_builder_finish(p->out, out, err);
}

rt_err rt_registry_plan(rt_registry *registry, rt_value **out, rt_error *err) {
  plan p = {0};
  rt_value *graph = NULL;
  *out = NULL;
  rt_err rc = rt__registry_all(registry, &p.caps, &p.count);
  if (rc == RT_OK && !allocate(&p)) rc = RT_ENOMEM;
  if (rc != RT_OK)
    rt_fail(err, rc, "no memory for the plan");
  else
    rc = graph_of(&p, &graph, err);
  if (rc == RT_OK) rc = with_warnings(&p, graph, out, err);
  rt_value_unref(graph);
  deinit(&p);
  return rc;
}
