/* json_parse.c - JSON text to a value (rt/value.h), RFC 8259.
 *
 * Recursion is bounded by RT_VALUE_MAX_DEPTH. Integers that fit 64 bits stay
 * integers; bytes that are no UTF-8 and lone surrogates become U+FFFD.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "value/wire.h"

typedef struct parser {
  const char *start, *at, *end;
  rt_builder *out;
  rt__buf text; /* of the string being read */
  locale_t c;   /* made when the first fraction is read */
  unsigned depth;
  rt_error *err;
} parser;

static bool fail(parser *p, const char *what) {
  rt_fail(p->err, RT_EINVAL, "json: %s at byte %zu", what,
          (size_t)(p->at - p->start) + 1);
  return false;
}

static void skip_space(parser *p) {
  while (p->at < p->end &&
         (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
    p->at++;
}

static bool take(parser *p, char c) {
  if (p->at == p->end || *p->at != c) return false;
  p->at++;
  return true;
}

static bool word(parser *p, const char *text) {
  size_t n = strlen(text);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, text, n) != 0)
    return fail(p, "expected a value");
  p->at += n;
  return true;
}

/* --- strings --------------------------------------------------------- */

/* Four hex digits, or -1. */
static int hex4(parser *p) {
  int code = 0;
  if (p->end - p->at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = p->at[i];
    int d = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : -1;
    if (d < 0) return -1;
    code = code << 4 | d;
  }
  p->at += 4;
  return code;
}

/* After "\u": one code point, joined from two surrogates when they fit. */
static bool unicode(parser *p) {
  char utf8[4];
  int code = hex4(p);
  if (code < 0) return fail(p, "expected four hex digits");
  if (code >= 0xD800 && code < 0xDC00 && p->end - p->at >= 6 &&
      p->at[0] == '\\' && p->at[1] == 'u') {
    const char *back = p->at;
    p->at += 2;
    int low = hex4(p);
    if (low >= 0xDC00 && low < 0xE000)
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    else
      p->at = back;
  }
  if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
  rt__buf_append(&p->text, utf8, rt__utf8_encode((unsigned)code, utf8));
  return true;
}

static bool escape(parser *p) {
  static const char coded[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
  if (p->at == p->end) return fail(p, "unfinished string");
  char c = *p->at++;
  if (c == 'u') return unicode(p);
  const char *at = c ? strchr(coded, c) : NULL;
  if (!at) {
    p->at--;
    return fail(p, "unknown escape");
  }
  rt__buf_putc(&p->text, plain[at - coded]);
  return true;
}

/* After the opening quote. */
static bool string(parser *p) {
  rt__buf_clear(&p->text);
  while (p->at < p->end) {
    unsigned char c = (unsigned char)*p->at;
    if (take(p, '"')) return true;
    if (c < 0x20) return fail(p, "control character in a string");
    if (take(p, '\\')) {
      if (!escape(p)) return false;
      continue;
    }
    size_t n = rt__utf8_length(p->at, (size_t)(p->end - p->at));
    if (n == 0)
      rt__buf_puts(&p->text, "\xEF\xBF\xBD");
    else
      rt__buf_append(&p->text, p->at, n);
    p->at += n ? n : 1;
  }
  return fail(p, "unfinished string");
}

static bool put_string(parser *p) {
  if (!string(p)) return false;
  if (p->text.failed) {
    rt_fail(p->err, RT_ENOMEM, "json: no memory");
    return false;
  }
  rt_builder_lstring(p->out, p->text.data ? p->text.data : "", p->text.size);
  return true;
}

/* --- numbers --------------------------------------------------------- */

static size_t digits(parser *p) {
  const char *from = p->at;
  while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
  return (size_t)(p->at - from);
}

/* The grammar of a number; `*integral` when it has no fraction or exponent. */
static bool number_text(parser *p, bool *integral) {
  take(p, '-');
  if (!take(p, '0') && digits(p) == 0) return fail(p, "expected a value");
  *integral = true;
  if (take(p, '.')) {
    *integral = false;
    if (digits(p) == 0) return fail(p, "expected a digit");
  }
  if (take(p, 'e') || take(p, 'E')) {
    *integral = false;
    if (!take(p, '+')) take(p, '-');
    if (digits(p) == 0) return fail(p, "expected a digit");
  }
  return true;
}

static bool number(parser *p) {
  const char *from = p->at;
  bool integral;
  if (!number_text(p, &integral)) return false;
  rt__buf_clear(&p->text); /* strtod needs an end */
  rt__buf_append(&p->text, from, (size_t)(p->at - from));
  rt__buf_putc(&p->text, '\0');
  if (p->text.failed) {
    rt_fail(p->err, RT_ENOMEM, "json: no memory");
    return false;
  }
  errno = 0;
  long long i = strtoll(p->text.data, NULL, 10);
  if (integral && errno == 0 && (i != 0 || *from != '-')) {
    rt_builder_int(p->out, i);
    return true;
  }
  if (!p->c) p->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double d =
      p->c ? strtod_l(p->text.data, NULL, p->c) : strtod(p->text.data, NULL);
  if (!isfinite(d)) return fail(p, "number out of range");
  rt_builder_number(p->out, d);
  return true;
}

/* --- containers ------------------------------------------------------ */

static bool value(parser *p);

static bool array(parser *p) {
  rt_builder_begin_array(p->out);
  skip_space(p);
  if (!take(p, ']'))
    for (;;) {
      if (!value(p)) return false;
      skip_space(p);
      if (take(p, ']')) break;
      if (!take(p, ',')) return fail(p, "expected ',' or ']'");
    }
  rt_builder_end(p->out);
  return true;
}

static bool member(parser *p) {
  skip_space(p);
  if (!take(p, '"')) return fail(p, "expected a name in quotes");
  if (!put_string(p)) return false;
  skip_space(p);
  if (!take(p, ':')) return fail(p, "expected ':'");
  return value(p);
}

static bool object(parser *p) {
  rt_builder_begin_map(p->out);
  skip_space(p);
  if (!take(p, '}'))
    for (;;) {
      if (!member(p)) return false;
      skip_space(p);
      if (take(p, '}')) break;
      if (!take(p, ',')) return fail(p, "expected ',' or '}'");
    }
  rt_builder_end(p->out);
  return true;
}

static bool nested(parser *p, bool (*content)(parser *)) {
  if (p->depth == RT_VALUE_MAX_DEPTH) return fail(p, "nested too deep");
  p->depth++;
  bool ok = content(p);
  p->depth--;
  return ok;
}

static bool value(parser *p) {
  skip_space(p);
  if (p->at == p->end) return fail(p, "expected a value");
  if (take(p, '{')) return nested(p, object);
  if (take(p, '[')) return nested(p, array);
  if (take(p, '"')) return put_string(p);
  switch (*p->at) {
  case 't':
    if (!word(p, "true")) return false;
    rt_builder_bool(p->out, true);
    return true;
  case 'f':
    if (!word(p, "false")) return false;
    rt_builder_bool(p->out, false);
    return true;
  case 'n':
    if (!word(p, "null")) return false;
    rt_builder_nil(p->out);
    return true;
  default:
    return number(p);
  }
}

rt_err rt_value_from_json(rt_value **out, const char *text, size_t size,
                          rt_error *err) {
  rt_error own = RT_ERROR_INIT;
  parser p = {0};
  rt_err rc;
  *out = NULL;
  p.start = p.at = text;
  p.end = text ? text + size : text;
  p.err = err ? err : &own;
  p.out = rt_builder_new();
  if (!p.out) return rt_fail(err, RT_ENOMEM, "json: no memory");
  bool ok = value(&p);
  if (ok) skip_space(&p);
  if (ok && p.at != p.end) ok = fail(&p, "expected nothing more");
  rc = ok ? rt_builder_finish(p.out, out, err) : p.err->code;
  if (p.c) freelocale(p.c);
  rt__buf_deinit(&p.text);
  rt_builder_free(p.out);
  return rc;
}
