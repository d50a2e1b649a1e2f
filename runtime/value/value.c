/* value.c - the immutable, reference-counted block (rt/value.h).
 *
 * Only the count changes after creation, so any thread may read and share it.
 * SPDX-License-Identifier: MIT */
#include "rt/value.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "value/wire.h"

struct rt_value {
  atomic_uint refs;
  size_t size;
  unsigned char data[];
};

rt_value *rt__value_alloc(size_t size, unsigned char **data) {
  if (size > SIZE_MAX - sizeof(rt_value)) return NULL;
  rt_value *value = malloc(sizeof(*value) + size);
  if (!value) return NULL;
  atomic_init(&value->refs, 1);
  value->size = size;
  *data = value->data;
  return value;
}

rt_value *rt_value_ref(const rt_value *value) {
  rt_value *own = (rt_value *)value; /* the count is all that changes */
  if (own) atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
  return own;
}

void rt_value_unref(rt_value *value) {
  if (value &&
      atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) == 1)
    free(value);
}

const void *rt_value_data(const rt_value *value) {
  return value ? value->data : NULL;
}

size_t rt_value_size(const rt_value *value) {
  return value ? value->size : 0;
}

static rt_err copy_of(rt_value **out, const void *data, size_t size,
                      rt_error *err) {
  unsigned char *to;
  *out = rt__value_alloc(size, &to);
  if (!*out) return rt_fail(err, RT_ENOMEM, "value: no memory");
  memcpy(to, data, size);
  return RT_OK;
}

rt_err rt_value_from_data(rt_value **out, const void *data, size_t size,
                          rt_error *err) {
  const unsigned char *at = data, *end = at ? at + size : NULL;
  *out = NULL;
  at = rt__wire_skip(at, end, RT_VALUE_MAX_DEPTH);
  if (!at) return rt_fail(err, RT_EINVAL, "value: malformed or too deep");
  if (at != end) return rt_fail(err, RT_EINVAL, "value: bytes left over");
  return copy_of(out, data, size, err);
}

rt_value *rt_value_string(const char *text, size_t size) {
  unsigned char head[5] = {0xDB}, *to;
  size_t n = 5;
  if (size > UINT32_MAX) return NULL;
  if (size < 32) {
    head[0] = (unsigned char)(0xA0 | size);
    n = 1;
  } else
    for (size_t i = 0; i < 4; i++)
      head[4 - i] = (unsigned char)(size >> (8 * i));
  rt_value *value = rt__value_alloc(n + size, &to);
  if (!value) return NULL;
  memcpy(to, head, n);
  if (size) memcpy(to + n, text, size);
  return value;
}

bool rt_value_equal(const rt_value *a, const rt_value *b) {
  if (a == b) return true;
  return a && b && a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

rt_view rt_value_view(const rt_value *value) {
  if (!value) return (rt_view){NULL, NULL};
  return (rt_view){value->data, value->data + value->size};
}

rt_err rt_view_copy(rt_value **out, rt_view view, rt_error *err) {
  static const unsigned char nil = 0xC0;
  *out = NULL;
  if (!view.at) return copy_of(out, &nil, 1, err);
  const unsigned char *end =
      rt__wire_skip(view.at, view.end, RT_VALUE_MAX_DEPTH);
  if (!end) return rt_fail(err, RT_EINVAL, "value: malformed view");
  return copy_of(out, view.at, (size_t)(end - view.at), err);
}
