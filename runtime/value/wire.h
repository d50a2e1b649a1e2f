/* value/wire.h - the wire form, one item at a time.
 *
 * A cursor over MessagePack bytes that checks every bound. What walks a whole
 * value once (a decoder) is fastest with rt__wire_read() alone: it reads a
 * scalar whole, of an array or map only the head, so that the items follow.
 * [any] thread. SPDX-License-Identifier: MIT */
#ifndef RT__VALUE_WIRE_H
#define RT__VALUE_WIRE_H

#include <string.h>

#include "base/buffer.h"
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
/* Where to append one whole item that is no key, as bytes; NULL after a fault.
 * `*depth` is how deep it stands. */
rt__buf *rt__builder_slot(rt_builder *builder, unsigned *depth);
/* As rt_builder_finish(), but only shows the bytes, which are good until the
 * builder is used or reset; a failure resets it. */
rt_err rt__builder_peek(rt_builder *builder, const unsigned char **data,
                        size_t *size, rt_error *err);
/* A value [own] with room for `size` bytes, to be filled in by the caller
 * before it shares it; NULL when memory is short. */
rt_value *rt__value_alloc(size_t size, unsigned char **data);

/* --- writing: each puts at most 9 bytes at `at`, returns what is behind them
 */

static inline unsigned char *rt__wire_put_tagged(unsigned char *at,
                                                 unsigned tag, uint64_t v,
                                                 unsigned bytes) {
  *at++ = (unsigned char)tag;
  while (bytes > 0) *at++ = (unsigned char)(v >> 8 * --bytes);
  return at;
}

static inline unsigned char *rt__wire_put_int(unsigned char *at, int64_t v) {
  if (v >= -32 && v < 128) {
    *at = (unsigned char)v;
    return at + 1;
  }
  uint64_t u = (uint64_t)v;
  if (v >= 0) {
    if (u <= UINT8_MAX) return rt__wire_put_tagged(at, 0xCC, u, 1);
    if (u <= UINT16_MAX) return rt__wire_put_tagged(at, 0xCD, u, 2);
    if (u <= UINT32_MAX) return rt__wire_put_tagged(at, 0xCE, u, 4);
    return rt__wire_put_tagged(at, 0xCF, u, 8);
  }
  if (v >= INT8_MIN) return rt__wire_put_tagged(at, 0xD0, u, 1);
  if (v >= INT16_MIN) return rt__wire_put_tagged(at, 0xD1, u, 2);
  if (v >= INT32_MIN) return rt__wire_put_tagged(at, 0xD2, u, 4);
  return rt__wire_put_tagged(at, 0xD3, u, 8);
}

static inline unsigned char *rt__wire_put_number(unsigned char *at, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  return rt__wire_put_tagged(at, 0xCB, bits, 8);
}

/* The head of a string of `size` bytes, which follow. */
static inline unsigned char *rt__wire_put_text(unsigned char *at,
                                               uint32_t size) {
  if (size < 32) {
    *at = (unsigned char)(0xA0 | size);
    return at + 1;
  }
  if (size <= UINT8_MAX) return rt__wire_put_tagged(at, 0xD9, size, 1);
  if (size <= UINT16_MAX) return rt__wire_put_tagged(at, 0xDA, size, 2);
  return rt__wire_put_tagged(at, 0xDB, size, 4);
}

/* The head of a map or array of `count`, which follow. */
static inline unsigned char *rt__wire_put_head(unsigned char *at, bool map,
                                               uint32_t count) {
  if (count < 16) {
    *at = (unsigned char)((map ? 0x80 : 0x90) | count);
    return at + 1;
  }
  if (count <= UINT16_MAX)
    return rt__wire_put_tagged(at, map ? 0xDE : 0xDC, count, 2);
  return rt__wire_put_tagged(at, map ? 0xDF : 0xDD, count, 4);
}

/* Write the head of a map or array that began at `start` with one byte in its
 * place, now that its count is known: its content moves up if need be. */
void rt__wire_seal(rt__buf *out, size_t start, bool map, uint32_t count);

#endif
