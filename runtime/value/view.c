/* view.c - reading values through borrowed views (rt/value.h).
 *
 * Values were checked when they were made; the cursor checks bounds anyway, and
 * a view of anything else reads as nil. SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "value/wire.h"

static const rt_view nil_view = {NULL, NULL};

static const unsigned char *read_head(rt_view view, rt__item *item) {
  const unsigned char *body = rt__wire_read(view.at, view.end, item);
  if (!body) *item = (rt__item){.type = RT_NIL};
  return body;
}

rt_type rt_view_type(rt_view view) {
  rt__item item;
  read_head(view, &item);
  return item.type;
}

bool rt_view_bool(rt_view view, bool fallback) {
  rt__item item;
  read_head(view, &item);
  return item.type == RT_BOOL ? item.as.boolean : fallback;
}

int64_t rt_view_int(rt_view view, int64_t fallback) {
  rt__item item;
  read_head(view, &item);
  if (item.type == RT_INT) return item.as.integer;
  if (item.type != RT_NUMBER) return fallback;
  double d = item.as.number;
  bool fits = d >= -9223372036854775808.0 && d < 9223372036854775808.0;
  return fits && d == floor(d) ? (int64_t)d : fallback;
}

double rt_view_number(rt_view view, double fallback) {
  rt__item item;
  read_head(view, &item);
  if (item.type == RT_NUMBER) return item.as.number;
  return item.type == RT_INT ? (double)item.as.integer : fallback;
}

const char *rt_view_string(rt_view view, size_t *size) {
  rt__item item;
  read_head(view, &item);
  *size = item.type == RT_STRING ? item.count : 0;
  return item.type == RT_STRING ? item.as.text : NULL;
}

uint32_t rt_view_count(rt_view view) {
  rt__item item;
  read_head(view, &item);
  return item.type == RT_ARRAY || item.type == RT_MAP ? item.count : 0;
}

/* Of equal keys the last one counts, as in a Lua table or JSON object. */
rt_view rt_view_get(rt_view map, const char *key) {
  rt_iter iter = rt_iter_of(map);
  rt_view k, item, found = nil_view;
  size_t want = strlen(key), size;
  if (!iter.map) return nil_view;
  while (rt_iter_next(&iter, &k, &item)) {
    const char *text = rt_view_string(k, &size);
    if (text && size == want && memcmp(text, key, size) == 0) found = item;
  }
  return found;
}

rt_view rt_view_at(rt_view array, uint32_t index) {
  rt_iter iter = rt_iter_of(array);
  rt_view item;
  if (iter.map || index >= iter.left) return nil_view;
  while (rt_iter_next(&iter, NULL, &item))
    if (index-- == 0) return item;
  return nil_view;
}

rt_iter rt_iter_of(rt_view view) {
  rt__item item;
  rt_iter iter = {{NULL, NULL}, 0, false};
  const unsigned char *body = read_head(view, &item);
  if (item.type != RT_ARRAY && item.type != RT_MAP) return iter;
  iter.next = (rt_view){body, view.end};
  iter.left = item.count;
  iter.map = item.type == RT_MAP;
  return iter;
}

static bool step(rt_iter *iter, rt_view *out) {
  const unsigned char *at = iter->next.at;
  const unsigned char *end =
      rt__wire_skip(at, iter->next.end, RT_VALUE_MAX_DEPTH);
  if (!end) return false;
  if (out) *out = (rt_view){at, end};
  iter->next.at = end;
  return true;
}

bool rt_iter_next(rt_iter *iter, rt_view *key, rt_view *item) {
  if (key) *key = nil_view;
  if (item) *item = nil_view;
  if (iter->left == 0) return false;
  iter->left--;
  if ((iter->map && !step(iter, key)) || !step(iter, item)) {
    iter->left = 0;
    return false;
  }
  return true;
}
