/* json_parse.c - JSON text to a value (rt/value.h); the grammar is
 * value/json_text.h.
 *
 * Integers that fit 64 bits stay integers; bytes that are no UTF-8 and lone
 * surrogates become U+FFFD. SPDX-License-Identifier: MIT */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "value/wire.h"

typedef struct parts {
  rt_builder *builder;
  rt__buf text, clean; /* of the string or number being read */
  locale_t c;          /* made when the first fraction is read */
} parts;

#define JSON_OUT   parts
#define JSON_DEPTH RT_VALUE_MAX_DEPTH
#include "value/json_text.h"

static bool json_fail(json *p, const char *what) {
  rt_fail(p->err, RT_EINVAL, "json: %s at byte %zu", what,
          (size_t)(p->at - p->start) + 1);
  return false;
}

static bool no_memory(json *p) {
  rt_fail(p->err, RT_ENOMEM, "json: no memory");
  return false;
}

static bool json_put_null(json *p) {
  rt_builder_nil(p->out.builder);
  return true;
}

static bool json_put_bool(json *p, bool yes) {
  rt_builder_bool(p->out.builder, yes);
  return true;
}

/* --- strings --------------------------------------------------------- */

/* The text with what is no UTF-8 replaced. */
static bool put_clean(json *p, const char *text, size_t size) {
  rt__buf *clean = &p->out.clean;
  const char *end = text + size;
  rt__buf_clear(clean);
  while (text < end) {
    size_t n = rt__utf8_length(text, (size_t)(end - text));
    if (n == 0)
      rt__buf_puts(clean, "\xEF\xBF\xBD");
    else
      rt__buf_append(clean, text, n);
    text += n ? n : 1;
  }
  if (clean->failed) return no_memory(p);
  rt_builder_lstring(p->out.builder, clean->data, clean->size);
  return true;
}

static bool json_put_string(json *p, const char *from, const char *close,
                            bool escapes) {
  size_t size = (size_t)(close - from);
  if (escapes) {
    rt__buf *text = &p->out.text;
    rt__buf_clear(text);
    if (!rt__buf_reserve(text, size)) return no_memory(p);
    char *end = json_unescape(p, from, close, text->data);
    if (!end) return false;
    from = text->data;
    size = (size_t)(end - from);
  }
  if (!rt__utf8_valid(from, size)) return put_clean(p, from, size);
  rt_builder_lstring(p->out.builder, from, size);
  return true;
}

/* --- numbers --------------------------------------------------------- */

static bool json_put_number(json *p, const char *from, bool integral) {
  rt__buf *text = &p->out.text;
  rt__buf_clear(text); /* strtod needs an end */
  rt__buf_append(text, from, (size_t)(p->at - from));
  rt__buf_putc(text, '\0');
  if (text->failed) return no_memory(p);
  errno = 0;
  long long i = strtoll(text->data, NULL, 10);
  if (integral && errno == 0 && (i != 0 || *from != '-')) {
    rt_builder_int(p->out.builder, i);
    return true;
  }
  locale_t *c = &p->out.c;
  if (!*c) *c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double d = *c ? strtod_l(text->data, NULL, *c) : strtod(text->data, NULL);
  if (!isfinite(d)) return json_fail(p, "number out of range");
  rt_builder_number(p->out.builder, d);
  return true;
}

/* --- containers ------------------------------------------------------ */

static bool json_begin(json *p, bool object) {
  if (object)
    rt_builder_begin_map(p->out.builder);
  else
    rt_builder_begin_array(p->out.builder);
  return true;
}

static bool json_put_item(json *p, int i) {
  (void)p, (void)i;
  return true;
}

static bool json_put_member(json *p) {
  (void)p;
  return true;
}

static bool json_end(json *p) {
  rt_builder_end(p->out.builder);
  return true;
}

rt_err rt_value_from_json(rt_value **out, const char *text, size_t size,
                          rt_error *err) {
  rt_error own = RT_ERROR_INIT;
  json p = {0};
  *out = NULL;
  p.start = p.at = text;
  p.end = text ? text + size : text;
  p.err = err ? err : &own;
  p.out.builder = rt_builder_new();
  if (!p.out.builder) return rt_fail(err, RT_ENOMEM, "json: no memory");
  rt_err rc =
      json_read(&p) ? rt_builder_finish(p.out.builder, out, err) : p.err->code;
  if (p.out.c) freelocale(p.out.c);
  rt__buf_deinit(&p.out.text);
  rt__buf_deinit(&p.out.clean);
  rt_builder_free(p.out.builder);
  return rc;
}
