/* merge.c - metadata of an asset that is found more than once.
 *
 * Key by key, not deeper. Which of two values stays does not depend on what
 * came first, so that the result is the same in whatever order jobs end: within
 * a run the greater one (nil < booleans < numbers < strings < lists < tables;
 * numbers by size, strings by bytes, the others by length and then by item). A
 * later run's value replaces those of earlier runs.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

static int rank(rt_view view) {
  rt_type type = rt_view_type(view);
  return type == RT_NUMBER ? RT_INT : (int)type;
}

static int compare_numbers(rt_view a, rt_view b) {
  if (rt_view_type(a) == RT_INT && rt_view_type(b) == RT_INT) {
    int64_t x = rt_view_int(a, 0), y = rt_view_int(b, 0);
    return (x > y) - (x < y);
  }
  double x = rt_view_number(a, 0), y = rt_view_number(b, 0);
  if (x != x || y != y) return (x == x) - (y == y); /* not a number: least */
  return (x > y) - (x < y);
}

static int compare_strings(rt_view a, rt_view b) {
  size_t m = 0, n = 0;
  const char *x = rt_view_string(a, &m), *y = rt_view_string(b, &n);
  int order = memcmp(x, y, m < n ? m : n);
  return order ? order : (m > n) - (m < n);
}

static int compare_arrays(rt_view a, rt_view b) {
  rt_iter x = rt_iter_of(a), y = rt_iter_of(b);
  rt_view one, other;
  while (rt_iter_next(&x, NULL, &one) && rt_iter_next(&y, NULL, &other)) {
    int order = rt__view_compare(one, other);
    if (order) return order;
  }
  return 0;
}

typedef struct pair {
  rt_view key, item;
} pair;

static int by_key(const void *a, const void *b) {
  return rt__view_compare(((const pair *)a)->key, ((const pair *)b)->key);
}

static pair *sorted(rt_view map) {
  uint32_t count = rt_view_count(map), at = 0;
  pair *pairs = malloc((count ? count : 1) * sizeof(*pairs));
  rt_iter iter = rt_iter_of(map);
  while (pairs && at < count &&
         rt_iter_next(&iter, &pairs[at].key, &pairs[at].item)) {
    at++;
  }
  if (pairs) qsort(pairs, at, sizeof(*pairs), by_key);
  return pairs;
}

static int compare_maps(rt_view a, rt_view b) {
  pair *x = sorted(a), *y = sorted(b);
  int order = 0;
  for (uint32_t i = 0; x && y && !order && i < rt_view_count(a); i++) {
    order = rt__view_compare(x[i].key, y[i].key);
    if (!order) order = rt__view_compare(x[i].item, y[i].item);
  }
  free(x);
  free(y);
  return order;
}

/* A total order; 0: the same, whatever the order of keys. */
int rt__view_compare(rt_view a, rt_view b) {
  int order = rank(a) - rank(b);
  if (order) return order;
  switch (rt_view_type(a)) {
  case RT_BOOL:
    return (int)rt_view_bool(a, false) - (int)rt_view_bool(b, false);
  case RT_INT:
  case RT_NUMBER:
    return compare_numbers(a, b);
  case RT_STRING:
    return compare_strings(a, b);
  case RT_ARRAY:
  case RT_MAP:
    break;
  default:
    return 0;
  }
  uint32_t m = rt_view_count(a), n = rt_view_count(b);
  if (m != n) return m > n ? 1 : -1;
  return rt_view_type(a) == RT_MAP ? compare_maps(a, b) : compare_arrays(a, b);
}

/* --- merging ----------------------------------------------------------- */
/* The entries of a map in the order of its keys. */
typedef struct entries {
  pair *at;
  size_t count;
} entries;

static bool find(const entries *map, rt_view key, rt_view *item) {
  pair wanted = {key, key};
  if (map->count == 0) return false;
  const pair *found =
      bsearch(&wanted, map->at, map->count, sizeof(*map->at), by_key);
  if (found) *item = found->item;
  return found != NULL;
}

/* What is in both, and what is in `base` alone. */
static void put_known(rt_builder *b, rt_view base, const entries *more,
                      bool newer) {
  rt_iter iter = rt_iter_of(base);
  rt_view key, item, other;
  while (rt_iter_next(&iter, &key, &item)) {
    bool both = find(more, key, &other);
    bool replaced = both && (newer || rt__view_compare(other, item) > 0);
    rt_builder_view(b, key);
    rt_builder_view(b, replaced ? other : item);
  }
}

static void put_fresh(rt_builder *b, const entries *base, rt_view more) {
  rt_iter iter = rt_iter_of(more);
  rt_view key, item, known;
  while (rt_iter_next(&iter, &key, &item)) {
    if (find(base, key, &known)) continue;
    rt_builder_view(b, key);
    rt_builder_view(b, item);
  }
}

/* A megabyte holds some 100,000 keys: each is looked up, not searched for. */
static rt_value *merge_maps(rt_view old, rt_view fresh, bool newer) {
  entries base = {sorted(old), rt_view_count(old)};
  entries more = {sorted(fresh), rt_view_count(fresh)};
  rt_builder *b = rt_builder_new();
  rt_value *merged = NULL;
  if (b && base.at && more.at) {
    rt_builder_begin_map(b);
    put_known(b, old, &more, newer);
    put_fresh(b, &base, fresh);
    rt_builder_end(b);
    rt_builder_finish(b, &merged, NULL);
  }
  rt_builder_free(b);
  free(base.at);
  free(more.at);
  return merged;
}

rt_value *rt__metadata_merge(const rt_value *base, const rt_value *more,
                             bool newer) {
  rt_view old = rt_value_view(base), fresh = rt_value_view(more);
  if (rt_view_type(old) == RT_MAP && rt_view_type(fresh) == RT_MAP) {
    return merge_maps(old, fresh, newer);
  }
  bool keep = !newer && rt__view_compare(old, fresh) > 0;
  bool none = rt_view_count(fresh) == 0 && rt_view_type(old) == RT_MAP;
  return rt_value_ref(keep || none ? base : more);
}
