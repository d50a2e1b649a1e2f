/* wire.c - see wire.h. SPDX-License-Identifier: MIT */
#include "value/wire.h"

#include <string.h>

static uint64_t big_endian(const unsigned char *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v = v << 8 | p[i];
  return v;
}

static int64_t signed_of(uint64_t v, size_t n) {
  switch (n) {
  case 1:
    return (int8_t)v;
  case 2:
    return (int16_t)v;
  case 4:
    return (int32_t)v;
  default:
    return (int64_t)v;
  }
}

static const unsigned char *text_at(const unsigned char *at,
                                    const unsigned char *end, uint64_t size,
                                    rt__item *item) {
  if ((uint64_t)(end - at) < size) return NULL;
  item->type = RT_STRING;
  item->count = (uint32_t)size;
  item->as.text = (const char *)at;
  return at + size;
}

static void set_unsigned(rt__item *item, uint64_t v) {
  item->type = v > INT64_MAX ? RT_NUMBER : RT_INT;
  if (v > INT64_MAX)
    item->as.number = (double)v;
  else
    item->as.integer = (int64_t)v;
}

static void set_float(rt__item *item, uint64_t bits, size_t n) {
  item->type = RT_NUMBER;
  if (n == 4) {
    uint32_t half = (uint32_t)bits;
    float f;
    memcpy(&f, &half, 4);
    item->as.number = f;
  } else
    memcpy(&item->as.number, &bits, 8);
}

/* Heads 0xC0..0xDF: a tag, then a number of 0 to 8 bytes. */
static const unsigned char *
read_tagged(const unsigned char *at, const unsigned char *end, rt__item *item) {
  /* bytes after the tag; 9: no item of ours */
  static const unsigned char width[32] = {0, 9, 0, 0, 1, 2, 4, 9, 9, 9, 4,
                                          8, 1, 2, 4, 8, 1, 2, 4, 8, 9, 9,
                                          9, 9, 9, 1, 2, 4, 2, 4, 2, 4};
  unsigned tag = *at++;
  size_t n = width[tag - 0xC0];
  if (n == 9 || (size_t)(end - at) < n) return NULL;
  uint64_t v = big_endian(at, n);
  at += n;
  switch (tag) {
  case 0xC0:
    item->type = RT_NIL;
    return at;
  case 0xC2:
  case 0xC3:
    item->type = RT_BOOL;
    item->as.boolean = tag == 0xC3;
    return at;
  case 0xCA:
  case 0xCB:
    set_float(item, v, n);
    return at;
  case 0xCC:
  case 0xCD:
  case 0xCE:
  case 0xCF:
    set_unsigned(item, v);
    return at;
  case 0xD0:
  case 0xD1:
  case 0xD2:
  case 0xD3:
    item->type = RT_INT;
    item->as.integer = signed_of(v, n);
    return at;
  case 0xDC:
  case 0xDD:
  case 0xDE:
  case 0xDF:
    item->type = tag < 0xDE ? RT_ARRAY : RT_MAP;
    item->count = (uint32_t)v;
    return at;
  default: /* bin and str */
    return text_at(at, end, v, item);
  }
}

const unsigned char *rt__wire_read(const unsigned char *at,
                                   const unsigned char *end, rt__item *item) {
  if (!at || at >= end) return NULL;
  unsigned tag = *at;
  item->count = 0;
  if (tag < 0x80 || tag >= 0xE0) {
    item->type = RT_INT;
    item->as.integer = (int8_t)tag;
    return at + 1;
  }
  if (tag < 0xA0) {
    item->type = tag < 0x90 ? RT_MAP : RT_ARRAY;
    item->count = tag & 0x0F;
    return at + 1;
  }
  if (tag < 0xC0) return text_at(at + 1, end, tag & 0x1F, item);
  return read_tagged(at, end, item);
}

const unsigned char *rt__wire_skip(const unsigned char *at,
                                   const unsigned char *end,
                                   unsigned max_depth) {
  struct {
    uint64_t left; /* items, with the keys, to come */
    bool map;
  } open[RT_VALUE_MAX_DEPTH + 1];
  unsigned depth = 0;
  rt__item item;
  if (max_depth > RT_VALUE_MAX_DEPTH) max_depth = RT_VALUE_MAX_DEPTH;
  open[0].left = 1;
  open[0].map = false;
  for (;;) {
    while (open[depth].left == 0) {
      if (depth == 0) return at;
      depth--;
    }
    bool key = open[depth].map && open[depth].left % 2 == 0;
    open[depth].left--;
    at = rt__wire_read(at, end, &item);
    if (!at) return NULL;
    if (key && item.type != RT_STRING && item.type != RT_INT) return NULL;
    if (item.type != RT_ARRAY && item.type != RT_MAP) continue;
    if (depth == max_depth) return NULL;
    depth++;
    open[depth].map = item.type == RT_MAP;
    open[depth].left = (uint64_t)item.count << (item.type == RT_MAP);
  }
}

void rt__wire_seal(rt__buf *out, size_t start, bool map, uint32_t count) {
  unsigned char head[9];
  size_t n = (size_t)(rt__wire_put_head(head, map, count) - head);
  if (!rt__buf_reserve(out, n - 1)) return;
  char *at = out->data + start;
  if (n > 1) memmove(at + n, at + 1, out->size - start - 1);
  memcpy(at, head, n);
  out->size += n - 1;
}
