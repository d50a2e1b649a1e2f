/* value/json_text.h - reading JSON (RFC 8259, strictly): the grammar, once.
 *
 * A text that each reader includes, not a set of callbacks, since a script's
 * json.decode() is a hot path: the compiler sees both halves. Before it is
 * included: JSON_OUT, the type of what values are put into, and JSON_DEPTH, how
 * deep they nest. Recursive descent, bounded by that depth.
 * SPDX-License-Identifier: MIT */
#ifndef RT__VALUE_JSON_TEXT_H
#define RT__VALUE_JSON_TEXT_H

#include <string.h>

#include "base/utf8.h"
#include "rt/status.h"

typedef struct json {
  const char *start, *at, *end;
  int depth;
  JSON_OUT out;
  rt_error *err;
} json;

/* What a reader defines: each puts what was read just before p->at, or refuses
 * it (false, after json_fail() or with words of its own). */
static bool json_put_null(json *p);
static bool json_put_bool(json *p, bool yes);
/* The number [from, p->at); `integral`: without fraction and exponent. */
static bool json_put_number(json *p, const char *from, bool integral);
/* The string [from, close), in which escapes were checked and are as written
 * (`escapes`: there are some; then json_unescape()). Also names of members. */
static bool json_put_string(json *p, const char *from, const char *close,
                            bool escapes);
static bool json_begin(json *p, bool object);
static bool json_put_item(json *p, int i); /* the value before is the i-th */
static bool json_put_member(json *p);      /* name and value are put */
static bool json_end(json *p);
/* Say what is wrong at p->at; returns false. */
static bool json_fail(json *p, const char *what);

static inline void json_skip_space(json *p) {
  while (p->at < p->end &&
         (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
    p->at++;
}

static inline bool json_take(json *p, char c) {
  if (p->at == p->end || *p->at != c) return false;
  p->at++;
  return true;
}

static inline bool json_word(json *p, const char *text, size_t size) {
  if ((size_t)(p->end - p->at) < size || memcmp(p->at, text, size) != 0)
    return json_fail(p, "value expected");
  p->at += size;
  return true;
}

/* --- strings --------------------------------------------------------- */

/* Four hex digits, or -1. */
static inline int json_hex4(const char *s, const char *end) {
  int code = 0;
  if (end - s < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = s[i];
    int d = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : -1;
    if (d < 0) return -1;
    code = code << 4 | d;
  }
  return code;
}

/* What stands behind a backslash, with `*at` behind it then; two surrogates
 * are one, and a lone one is U+FFFD. NULL when it is malformed. */
static inline char *json_escape(const char **at, const char *end, char *out) {
  static const char coded[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
  const char *s = *at;
  if (s == end) return NULL;
  if (*s != 'u') {
    const char *found = *s ? strchr(coded, *s) : NULL;
    if (!found) return NULL;
    *at = s + 1;
    *out = plain[found - coded];
    return out + 1;
  }
  int code = json_hex4(s + 1, end), low;
  if (code < 0) return NULL;
  s += 5;
  if (code >= 0xD800 && code < 0xDC00 && end - s >= 6 && s[0] == '\\' &&
      s[1] == 'u' && (low = json_hex4(s + 2, end)) >= 0xDC00 && low < 0xE000) {
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    s += 6;
  }
  if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
  *at = s;
  return out + rt__utf8_encode((unsigned)code, out);
}

/* [from, close) with its escapes resolved, which never makes it longer; the
 * end of `out`, or NULL after a failure. */
static inline char *json_unescape(json *p, const char *from, const char *close,
                                  char *out) {
  while (from < close) {
    const char *slash = memchr(from, '\\', (size_t)(close - from));
    size_t run = (size_t)((slash ? slash : close) - from);
    memcpy(out, from, run);
    out += run;
    from += run;
    if (!slash) break;
    from++;
    out = json_escape(&from, close, out);
    if (out) continue;
    p->at = from;
    json_fail(p, "malformed escape");
    return NULL;
  }
  return out;
}

/* The closing quote, or NULL. `*escapes`: there are some before it. */
static inline const char *json_string_end(json *p, bool *escapes) {
  const char *s = p->at;
  *escapes = false;
  for (; s < p->end && *s != '"'; s++) {
    if ((unsigned char)*s < 0x20) {
      p->at = s;
      json_fail(p, "control character in a string");
      return NULL;
    }
    if (*s != '\\') continue;
    *escapes = true;
    if (++s == p->end) break;
  }
  if (s < p->end) return s;
  p->at = p->end;
  json_fail(p, "unfinished string");
  return NULL;
}

/* After the opening quote. */
static inline bool json_string(json *p) {
  bool escapes;
  const char *from = p->at, *close = json_string_end(p, &escapes);
  if (!close || !json_put_string(p, from, close, escapes)) return false;
  p->at = close + 1;
  return true;
}

/* --- numbers --------------------------------------------------------- */

static inline size_t json_digits(json *p) {
  const char *from = p->at;
  while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
  return (size_t)(p->at - from);
}

static inline bool json_number(json *p) {
  const char *from = p->at;
  bool integral = true;
  json_take(p, '-');
  const char *first = p->at;
  size_t whole = json_digits(p);
  if (whole == 0) return json_fail(p, "value expected");
  if (whole > 1 && *first == '0') {
    p->at = first;
    return json_fail(p, "number begins with 0");
  }
  if (json_take(p, '.')) {
    integral = false;
    if (json_digits(p) == 0) return json_fail(p, "digit expected");
  }
  if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
    integral = false;
    p->at++;
    if (!json_take(p, '+')) json_take(p, '-');
    if (json_digits(p) == 0) return json_fail(p, "digit expected");
  }
  return json_put_number(p, from, integral);
}

/* --- arrays and objects ---------------------------------------------- */

static bool json_value(json *p);

static inline bool json_array(json *p) {
  json_skip_space(p);
  if (json_take(p, ']')) return true;
  for (int i = 1;; i++) {
    if (!json_value(p) || !json_put_item(p, i)) return false;
    json_skip_space(p);
    if (json_take(p, ']')) return true;
    if (!json_take(p, ',')) return json_fail(p, "',' or ']' expected");
  }
}

static inline bool json_object(json *p) {
  json_skip_space(p);
  if (json_take(p, '}')) return true;
  for (;;) {
    json_skip_space(p);
    if (!json_take(p, '"')) return json_fail(p, "'\"' expected");
    if (!json_string(p)) return false;
    json_skip_space(p);
    if (!json_take(p, ':')) return json_fail(p, "':' expected");
    if (!json_value(p) || !json_put_member(p)) return false;
    json_skip_space(p);
    if (json_take(p, '}')) return true;
    if (!json_take(p, ',')) return json_fail(p, "',' or '}' expected");
  }
}

static inline bool json_nested(json *p, bool object) {
  if (p->depth == JSON_DEPTH) return json_fail(p, "nested too deep");
  p->depth++;
  p->at++;
  if (!json_begin(p, object)) return false;
  if (!(object ? json_object(p) : json_array(p))) return false;
  p->depth--;
  return json_end(p);
}

static bool json_value(json *p) {
  json_skip_space(p);
  if (p->at == p->end) return json_fail(p, "value expected");
  switch (*p->at) {
  case '{':
    return json_nested(p, true);
  case '[':
    return json_nested(p, false);
  case '"':
    p->at++;
    return json_string(p);
  case 't':
    return json_word(p, "true", 4) && json_put_bool(p, true);
  case 'f':
    return json_word(p, "false", 5) && json_put_bool(p, false);
  case 'n':
    return json_word(p, "null", 4) && json_put_null(p);
  default:
    return json_number(p);
  }
}

/* The whole text: one value and white space. */
static inline bool json_read(json *p) {
  if (!json_value(p)) return false;
  json_skip_space(p);
  return p->at == p->end || json_fail(p, "end of text expected");
}

#endif
