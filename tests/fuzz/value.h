/* fuzz/value.h - what holds for every value that was read.
 * SPDX-License-Identifier: MIT */
#ifndef RT_FUZZ_VALUE_H
#define RT_FUZZ_VALUE_H

#include <stdlib.h>
#include <string.h>

#include "rt/value.h"

/* Ask for everything that is in it. */
static inline void check_view(rt_view view) {
  size_t size;
  rt_view key, item;
  rt_iter iter = rt_iter_of(view);
  rt_view_int(view, 0);
  rt_view_number(view, 0);
  rt_view_string(view, &size);
  rt_view_get(view, "a");
  rt_view_at(view, 1);
  while (rt_iter_next(&iter, &key, &item)) check_view(item);
}

/* Its JSON is JSON, and stays what it is from then on. */
static inline void check_json(const rt_value *value) {
  char *once, *again;
  size_t size, same;
  rt_value *back;
  if (rt_value_to_json(&once, &size, value, NULL) != RT_OK) abort();
  if (rt_value_from_json(&back, once, size, NULL) != RT_OK) abort();
  if (rt_value_to_json(&again, &same, back, NULL) != RT_OK) abort();
  if (same != size || memcmp(once, again, size) != 0) abort();
  rt_value_unref(back);
  rt_free(again);
  rt_free(once);
}

/* Built again from itself, and read again from its bytes, it is equal. */
static inline void check_copy(const rt_value *value) {
  rt_builder *b = rt_builder_new();
  rt_value *copy;
  rt_builder_value(b, value);
  if (rt_builder_finish(b, &copy, NULL) != RT_OK) abort();
  if (!rt_value_equal(copy, value)) abort();
  rt_value_unref(copy);
  rt_builder_free(b);
}

#endif
