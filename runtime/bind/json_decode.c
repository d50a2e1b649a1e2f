/* json_decode.c - JSON text to Lua values; the grammar is value/json_text.h.
 *
 * All memory is Lua's, so an error Lua raises midway leaks nothing. Bytes that
 * are no UTF-8 stay what they are: a Lua string is bytes.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bind/json.h"
#include "bind/lua_value.h"
#include "process/sched.h"

#define STEPS 1024 /* items between two looks at who is to end */

#define JSON_OUT   lua_State *
#define JSON_DEPTH RT__JSON_DEPTH
#include "value/json_text.h"

static bool json_fail(json *p, const char *what) {
  size_t line = 1;
  const char *begin = p->start;
  for (const char *s = p->start; s < p->at; s++)
    if (*s == '\n') line++, begin = s + 1;
  rt_fail(p->err, RT_EINVAL, "json: line %zu, column %zu: %s", line,
          (size_t)(p->at - begin) + 1, what);
  return false;
}

static bool json_put_null(json *p) {
  lua_pushlightuserdata(p->out, NULL);
  return true;
}

static bool json_put_bool(json *p, bool yes) {
  lua_pushboolean(p->out, yes);
  return true;
}

static bool json_put_string(json *p, const char *from, const char *close,
                            bool escapes) {
  lua_State *L = p->out;
  if (!escapes) {
    lua_pushlstring(L, from, (size_t)(close - from));
    return true;
  }
  char *text = lua_newuserdata(L, (size_t)(close - from));
  char *end = json_unescape(p, from, close, text);
  if (!end) return false;
  lua_pushlstring(L, text, (size_t)(end - text));
  lua_remove(L, -2);
  return true;
}

/* The token from `from` to p->at; the host's locale may not know the point. */
static double real(json *p, const char *from) {
  char *end;
  double n = strtod(from, &end);
  if (end == p->at) return n;
  size_t size = (size_t)(p->at - from);
  char *copy = lua_newuserdata(p->out, size + 1);
  memcpy(copy, from, size);
  copy[size] = 0;
  char *point = strchr(copy, '.');
  if (point) *point = *localeconv()->decimal_point;
  n = strtod(copy, NULL);
  lua_pop(p->out, 1);
  return n;
}

static bool json_put_number(json *p, const char *from, bool integral) {
  bool negative = *from == '-';
  const char *s = from + negative;
  if (!integral || p->at - s > 15) { /* an integer may be too much for 2^53 */
    double n = real(p, from);
    if (!isfinite(n)) return json_fail(p, "number out of range");
    lua_pushnumber(p->out, n);
    return true;
  }
  int64_t n = 0;
  for (; s < p->at; s++) n = n * 10 + (*s - '0');
  lua_pushnumber(p->out, negative ? -(lua_Number)n : (lua_Number)n);
  return true;
}

static bool json_begin(json *p, bool object) {
  luaL_checkstack(p->out, 8, "json");
  lua_newtable(p->out);
  if (!object) rt__lua_mark_array(p->out);
  return true;
}

/* A large text takes long, and nothing else looks at who is to end. */
static bool goes_on(json *p, size_t done) {
  if (done % STEPS != 0 || !rt__vm_is_ending(p->out)) return true;
  return json_fail(p, "the process is ending");
}

static bool json_put_item(json *p, int i) {
  lua_rawseti(p->out, -2, i);
  return goes_on(p, (size_t)i);
}

static bool json_put_member(json *p) {
  lua_rawset(p->out, -3);
  return goes_on(p, (size_t)(p->at - p->start));
}

static bool json_end(json *p) {
  (void)p;
  return true;
}

rt_err rt__json_decode(lua_State *L, const char *text, size_t size,
                       rt_error *err) {
  rt_error local = RT_ERROR_INIT;
  json p = {text, text, text + size, 0, L, err ? err : &local};
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) p.at += 3;
  luaL_checkstack(L, 8, "json");
  return json_read(&p) ? RT_OK : p.err->code;
}
