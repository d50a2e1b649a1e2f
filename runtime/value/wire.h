/* value/wire.h - the wire form, one item at a time.
 *
 * A cursor over MessagePack bytes that checks every bound. What walks a whole
 * value once (a decoder) is fastest with rt__wire_read() alone: it reads a
 * scalar whole, of an array or map only the head, so that the items follow.
 * [any] thread. SPDX-License-Identifier: MIT */
#ifndef RT__VALUE_WIRE_H
#define RT__VALUE_WIRE_H

#include "rt/value.h"

typedef struct rt__item {
  rt_type type;
  uint32_t count; /* bytes of a string, items of an array, pairs of a map */
  union {
    bool boolean;
    int64_t integer;
    double number;
    const char *text;
  } as;
} rt__item;

/* Read the item at `at`. Returns where the next one begins, or NULL when the
 * bytes before `end` are no item (cut, reserved, an extension type). */
const unsigned char *rt__wire_read(const unsigned char *at,
                                   const unsigned char *end, rt__item *item);
/* Where the item at `at` ends with all that it contains, or NULL when it is
 * malformed, nested deeper than `max_depth`, or has keys that are neither
 * string nor integer. No recursion. */
const unsigned char *rt__wire_skip(const unsigned char *at,
                                   const unsigned char *end,
                                   unsigned max_depth);
/* As rt_builder_finish(), but only shows the bytes, which are good until the
 * builder is used or reset; a failure resets it. */
rt_err rt__builder_peek(rt_builder *builder, const unsigned char **data,
                        size_t *size, rt_error *err);
/* A value [own] with room for `size` bytes, to be filled in by the caller
 * before it shares it; NULL when memory is short. */
rt_value *rt__value_alloc(size_t size, unsigned char **data);

#endif
