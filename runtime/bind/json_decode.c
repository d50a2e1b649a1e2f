/* json_decode.c - JSON text to Lua values, RFC 8259, strictly.
 *
 * Recursive descent, bounded by RT__JSON_DEPTH. All memory is Lua's, so an
 * error Lua raises midway leaks nothing. SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "bind/json.h"
#include "bind/lua_value.h"

typedef struct parser {
  lua_State *L;
  const char *start, *at, *end;
  int depth;
  rt_error *err;
} parser;

/* Every function below that can fail pushes exactly one value on success. */
static bool value(parser *p);

static bool fail(parser *p, const char *what) {
  size_t line = 1;
  const char *begin = p->start;
  for (const char *s = p->start; s < p->at; s++)
    if (*s == '\n') line++, begin = s + 1;
  rt_fail(p->err, RT_EINVAL, "json: line %zu, column %zu: %s", line,
          (size_t)(p->at - begin) + 1, what);
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
    return fail(p, "value expected");
  p->at += n;
  return true;
}

/* --- strings ------------------------------------------------------------ */

static int hex4(const char *s, const char *end) {
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

/* At "uXXXX": writes the code point to `out`, NULL when it is malformed. A
 * surrogate without its other half becomes U+FFFD. */
static char *unicode(parser *p, char *out) {
  int code = hex4(p->at + 1, p->end);
  if (code < 0) return NULL;
  p->at += 5;
  if (code >= 0xD800 && code < 0xDC00 && p->end - p->at >= 6 &&
      p->at[0] == '\\' && p->at[1] == 'u') {
    int low = hex4(p->at + 2, p->end);
    if (low >= 0xDC00 && low < 0xE000) {
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      p->at += 6;
    }
  }
  if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
  return out + rt__utf8_encode((unsigned)code, out);
}

static char *escape(parser *p, char *out) {
  static const char coded[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
  if (p->at == p->end) return NULL;
  if (*p->at == 'u') return unicode(p, out);
  const char *found = *p->at ? strchr(coded, *p->at) : NULL;
  if (!found) return NULL;
  p->at++;
  *out = plain[found - coded];
  return out + 1;
}

/* The closing quote, or NULL. `*escapes`: there are some before it. */
static const char *string_end(parser *p, bool *escapes) {
  const char *s = p->at;
  *escapes = false;
  for (; s < p->end && *s != '"'; s++) {
    if ((unsigned char)*s < 0x20) {
      p->at = s;
      fail(p, "control character in a string");
      return NULL;
    }
    if (*s != '\\') continue;
    *escapes = true;
    if (++s == p->end) break;
  }
  if (s < p->end) return s;
  p->at = p->end;
  fail(p, "unfinished string");
  return NULL;
}

/* After the opening quote. No escape is shorter than what it stands for. */
static bool string(parser *p) {
  bool escapes;
  const char *close = string_end(p, &escapes);
  if (!close) return false;
  if (!escapes) {
    lua_pushlstring(p->L, p->at, (size_t)(close - p->at));
    p->at = close + 1;
    return true;
  }
  char *text = lua_newuserdata(p->L, (size_t)(close - p->at)), *out = text;
  while (p->at < close) {
    if (*p->at != '\\') {
      *out++ = *p->at++;
      continue;
    }
    p->at++;
    out = escape(p, out);
    if (!out) return fail(p, "malformed escape");
  }
  p->at = close + 1;
  lua_pushlstring(p->L, text, (size_t)(out - text));
  lua_remove(p->L, -2);
  return true;
}

/* --- numbers ------------------------------------------------------------ */

static size_t digits(parser *p) {
  const char *from = p->at;
  while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
  return (size_t)(p->at - from);
}

/* The token from `from` to p->at; the host's locale may not know the point. */
static double real(parser *p, const char *from) {
  char *end;
  double n = strtod(from, &end);
  if (end == p->at) return n;
  size_t size = (size_t)(p->at - from);
  char *copy = lua_newuserdata(p->L, size + 1);
  memcpy(copy, from, size);
  copy[size] = 0;
  char *point = strchr(copy, '.');
  if (point) *point = *localeconv()->decimal_point;
  n = strtod(copy, NULL);
  lua_pop(p->L, 1);
  return n;
}

static bool number(parser *p) {
  const char *from = p->at;
  bool negative = take(p, '-');
  const char *first = p->at;
  size_t whole = digits(p);
  if (whole == 0) return fail(p, "value expected");
  if (whole > 1 && *first == '0') {
    p->at = first;
    return fail(p, "number begins with 0");
  }
  bool plain = whole <= 15;
  if (take(p, '.')) {
    plain = false;
    if (digits(p) == 0) return fail(p, "digit expected");
  }
  if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
    plain = false;
    p->at++;
    if (!take(p, '+')) take(p, '-');
    if (digits(p) == 0) return fail(p, "digit expected");
  }
  if (!plain) {
    double n = real(p, from);
    if (!isfinite(n)) return fail(p, "number out of range");
    lua_pushnumber(p->L, n);
    return true;
  }
  int64_t n = 0;
  for (const char *s = first; s < p->at; s++) n = n * 10 + (*s - '0');
  lua_pushnumber(p->L, negative ? -(lua_Number)n : (lua_Number)n);
  return true;
}

/* --- arrays and objects ------------------------------------------------- */

static bool array(parser *p) {
  lua_newtable(p->L);
  rt__lua_mark_array(p->L);
  skip_space(p);
  if (take(p, ']')) return true;
  for (int i = 1;; i++) {
    if (!value(p)) return false;
    lua_rawseti(p->L, -2, i);
    skip_space(p);
    if (take(p, ']')) return true;
    if (!take(p, ',')) return fail(p, "',' or ']' expected");
  }
}

static bool object(parser *p) {
  lua_newtable(p->L);
  skip_space(p);
  if (take(p, '}')) return true;
  for (;;) {
    skip_space(p);
    if (!take(p, '"')) return fail(p, "'\"' expected");
    if (!string(p)) return false;
    skip_space(p);
    if (!take(p, ':')) return fail(p, "':' expected");
    if (!value(p)) return false;
    lua_rawset(p->L, -3);
    skip_space(p);
    if (take(p, '}')) return true;
    if (!take(p, ',')) return fail(p, "',' or '}' expected");
  }
}

static bool nested(parser *p, bool (*read)(parser *)) {
  if (p->depth == RT__JSON_DEPTH) return fail(p, "nested too deep");
  luaL_checkstack(p->L, 8, "json");
  p->depth++;
  p->at++;
  bool ok = read(p);
  p->depth--;
  return ok;
}

static bool value(parser *p) {
  skip_space(p);
  if (p->at == p->end) return fail(p, "value expected");
  switch (*p->at) {
  case '{':
    return nested(p, object);
  case '[':
    return nested(p, array);
  case '"':
    p->at++;
    return string(p);
  case 't':
    if (!word(p, "true")) return false;
    lua_pushboolean(p->L, 1);
    return true;
  case 'f':
    if (!word(p, "false")) return false;
    lua_pushboolean(p->L, 0);
    return true;
  case 'n':
    if (!word(p, "null")) return false;
    lua_pushlightuserdata(p->L, NULL);
    return true;
  default:
    return number(p);
  }
}

rt_err rt__json_decode(lua_State *L, const char *text, size_t size,
                       rt_error *err) {
  rt_error local = RT_ERROR_INIT;
  parser p = {L, text, text, text + size, 0, err ? err : &local};
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) p.at += 3;
  luaL_checkstack(L, 8, "json");
  bool ok = value(&p);
  if (ok) {
    skip_space(&p);
    if (p.at < p.end) ok = fail(&p, "end of text expected");
  }
  return ok ? RT_OK : p.err->code;
}
