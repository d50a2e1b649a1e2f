/* fuzz_value.c - whatever bytes come in, as wire form and as JSON: refused, or
 * read, written and read again with the same result. For libFuzzer.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "rt/value.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void touch(rt_view view) {
  size_t size;
  rt_view key, item;
  rt_iter iter = rt_iter_of(view);
  rt_view_int(view, 0);
  rt_view_number(view, 0);
  rt_view_string(view, &size);
  rt_view_get(view, "a");
  rt_view_at(view, 1);
  while (rt_iter_next(&iter, &key, &item)) touch(item);
}

/* JSON of a value must be JSON, and stay what it is from then on. */
static void check_json(const rt_value *value) {
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

static void check_copy(const rt_value *value) {
  rt_builder *b = rt_builder_new();
  rt_value *copy;
  rt_builder_value(b, value);
  if (rt_builder_finish(b, &copy, NULL) != RT_OK) abort();
  if (!rt_value_equal(copy, value)) abort();
  rt_value_unref(copy);
  rt_builder_free(b);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  rt_value *value;
  if (rt_value_from_data(&value, data, size, NULL) == RT_OK) {
    touch(rt_value_view(value));
    check_json(value);
    check_copy(value);
    rt_value_unref(value);
  }
  if (rt_value_from_json(&value, (const char *)data, size, NULL) == RT_OK) {
    touch(rt_value_view(value));
    check_json(value);
    rt_value_unref(value);
  }
  return 0;
}
