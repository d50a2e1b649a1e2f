/* json_write.c - a value as JSON text (rt/value.h).
 *
 * One pass over the wire form, without recursion. Integer keys become strings;
 * bytes that are no UTF-8 become U+FFFD. SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "value/wire.h"

static void put_escape(rt__buf *out, unsigned char c) {
  static const char plain[] = "\b\f\n\r\t\"\\", coded[] = "bfnrt\"\\";
  const char *p = c ? strchr(plain, c) : NULL;
  if (p)
    rt__buf_printf(out, "\\%c", coded[p - plain]);
  else
    rt__buf_printf(out, "\\u%04x", c);
}

static void put_string(rt__buf *out, const char *text, size_t size) {
  size_t from = 0, at = 0;
  rt__buf_putc(out, '"');
  while (at < size) {
    unsigned char c = (unsigned char)text[at];
    size_t n = rt__utf8_length(text + at, size - at);
    if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) {
      at += n;
      continue;
    }
    rt__buf_append(out, text + from, at - from);
    if (n == 0)
      rt__buf_puts(out, "\xEF\xBF\xBD");
    else
      put_escape(out, c);
    from = ++at;
  }
  rt__buf_append(out, text + from, size - from);
  rt__buf_putc(out, '"');
}

/* The shortest text that reads back as the same number. */
static void put_number(rt__buf *out, double d) {
  char text[40];
  if (!isfinite(d)) {
    rt__buf_puts(out, "null");
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof(text), "%.*g", digits, d);
    if (strtod(text, NULL) == d) break;
  }
  rt__buf_puts(out, text);
}

static void put_scalar(rt__buf *out, const rt__item *item) {
  switch (item->type) {
  case RT_BOOL:
    rt__buf_puts(out, item->as.boolean ? "true" : "false");
    break;
  case RT_INT:
    rt__buf_printf(out, "%" PRId64, item->as.integer);
    break;
  case RT_NUMBER:
    put_number(out, item->as.number);
    break;
  case RT_STRING:
    put_string(out, item->as.text, item->count);
    break;
  default:
    rt__buf_puts(out, "null");
  }
}

typedef struct level {
  uint64_t left; /* items to come, keys counted too */
  bool map, first;
} level;

/* What belongs in front of the next item of `l`. Is that item a key? */
static bool put_separator(rt__buf *out, level *l) {
  bool key = l->map && l->left % 2 == 0;
  if (l->map && !key)
    rt__buf_putc(out, ':');
  else if (!l->first)
    rt__buf_putc(out, ',');
  l->first = false;
  l->left--;
  return key;
}

static bool write_all(rt__buf *out, const unsigned char *at,
                      const unsigned char *end) {
  level open[RT_VALUE_MAX_DEPTH + 1] = {{1, false, true}};
  unsigned depth = 0;
  rt__item item;
  for (;;) {
    while (open[depth].left == 0) {
      if (depth == 0) return true;
      rt__buf_putc(out, open[depth].map ? '}' : ']');
      depth--;
    }
    bool key = put_separator(out, &open[depth]);
    at = rt__wire_read(at, end, &item);
    if (!at) return false;
    if (item.type == RT_ARRAY || item.type == RT_MAP) {
      if (depth == RT_VALUE_MAX_DEPTH) return false;
      bool map = item.type == RT_MAP;
      rt__buf_putc(out, map ? '{' : '[');
      open[++depth] = (level){(uint64_t)item.count << map, map, true};
    } else if (key && item.type == RT_INT)
      rt__buf_printf(out, "\"%" PRId64 "\"", item.as.integer);
    else
      put_scalar(out, &item);
  }
}

rt_err rt_value_to_json(char **text, size_t *size, const rt_value *value,
                        rt_error *err) {
  static const unsigned char nil = 0xC0;
  rt__buf out = {0};
  rt_view view = rt_value_view(value);
  if (!view.at) view = (rt_view){&nil, &nil + 1};
  /* the host's locale may write a comma for the point */
  locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
  locale_t old = c ? uselocale(c) : (locale_t)0;
  bool ok = write_all(&out, view.at, view.end);
  if (c) {
    uselocale(old);
    freelocale(c);
  }
  *text = NULL;
  if (!ok) {
    rt__buf_deinit(&out);
    return rt_fail(err, RT_EINVAL, "json: malformed value");
  }
  *text = rt__buf_take(&out, size);
  return *text ? RT_OK : rt_fail(err, RT_ENOMEM, "json: no memory");
}
