/* json_encode.c - Lua values to JSON text.
 *
 * Keys of an object are sorted, so that equal tables give equal text. They are
 * gathered in a userdata, which Lua frees whatever happens.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "bind/json.h"
#include "bind/lua_error.h"
#include "bind/lua_value.h"
#include "process/sched.h"

/* Integers a double holds exactly. */
#define EXACT 9007199254740992.0

#define STEPS 1024 /* items between two looks at who is to end */

typedef struct path path;
struct path {
  const path *up; /* NULL: the root */
  const char *key;
  size_t size; /* of key; when key is NULL the index */
};

typedef struct writer {
  lua_State *L;
  rt__buf *out;
  int indent, depth;
  rt_error *err;
  unsigned steps;
} writer;

static bool put_value(writer *w, int index, const path *at);

static void put_path(char *text, size_t room, const path *at) {
  size_t used;
  if (!at->up) return;
  put_path(text, room, at->up);
  used = strlen(text);
  if (at->key)
    snprintf(text + used, room - used, ".%.*s",
             (int)(at->size < 60 ? at->size : 60), at->key);
  else
    snprintf(text + used, room - used, "[%zu]", at->size);
}

static bool refuse(writer *w, const path *at, const char *why) {
  char text[200] = "value";
  put_path(text, sizeof(text), at);
  rt_fail(w->err, RT_EINVAL, "json: %s: %s", text, why);
  return false;
}

/* A large value takes long, and nothing else looks at who is to end. */
static bool goes_on(writer *w, const path *at) {
  if (++w->steps % STEPS != 0 || !rt__vm_is_ending(w->L)) return true;
  return refuse(w, at, "the process is ending");
}

/* --- scalars ------------------------------------------------------------ */

static void put_escape(rt__buf *out, unsigned char c) {
  static const char plain[] = "\b\f\n\r\t\"\\", coded[] = "bfnrt\"\\";
  const char *found = c ? strchr(plain, c) : NULL;
  char text[8] = {'\\', 0};
  if (found)
    text[1] = coded[found - plain];
  else
    snprintf(text, sizeof(text), "\\u%04x", c);
  rt__buf_puts(out, text);
}

static bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* Bytes that are no UTF-8 become U+FFFD. */
static void put_string(rt__buf *out, const char *s, size_t size) {
  size_t from = 0, at = 0;
  rt__buf_putc(out, '"');
  while (at < size) {
    unsigned char c = (unsigned char)s[at];
    if (is_plain(c)) {
      at++;
      continue;
    }
    size_t n = c < 0x80 ? 1 : rt__utf8_length(s + at, size - at);
    if (c >= 0x80 && n > 0) {
      at += n;
      continue;
    }
    rt__buf_append(out, s + from, at - from);
    if (n == 0)
      rt__buf_puts(out, "\xEF\xBF\xBD");
    else
      put_escape(out, c);
    from = ++at;
  }
  rt__buf_append(out, s + from, size - from);
  rt__buf_putc(out, '"');
}

/* The shortest text that reads back as the same number. */
static void format_number(char text[40], double n) {
  if (n == floor(n) && fabs(n) <= EXACT && !(n == 0 && signbit(n))) {
    snprintf(text, 40, "%lld", (long long)n);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, 40, "%.*g", digits, n);
    if (strtod(text, NULL) == n) break;
  }
  char point = *localeconv()->decimal_point;
  char *found = point == '.' ? NULL : strchr(text, point);
  if (found) *found = '.';
}

static bool put_number(writer *w, double n, const path *at) {
  char text[40];
  if (!isfinite(n)) return refuse(w, at, "number is not finite");
  format_number(text, n);
  rt__buf_puts(w->out, text);
  return true;
}

/* --- tables ------------------------------------------------------------- */

static void new_line(writer *w) {
  if (!w->indent) return;
  rt__buf_putc(w->out, '\n');
  for (int i = 0; i < w->indent * w->depth; i++) rt__buf_putc(w->out, ' ');
}

static bool put_array(writer *w, int index, size_t n, const path *at) {
  rt__buf_putc(w->out, '[');
  w->depth++;
  for (size_t i = 1; i <= n; i++) {
    path item = {at, NULL, i};
    if (i > 1) rt__buf_putc(w->out, ',');
    new_line(w);
    lua_rawgeti(w->L, index, (int)i);
    if (!goes_on(w, &item)) return false;
    if (!put_value(w, lua_gettop(w->L), &item)) return false;
    lua_pop(w->L, 1);
  }
  w->depth--;
  if (n) new_line(w);
  rt__buf_putc(w->out, ']');
  return true;
}

typedef struct member {
  const char *key; /* Lua's, alive in the table; NULL: `text` */
  size_t size;
  lua_Number number;
  char text[40];
} member;

static const char *key_of(const member *m) {
  return m->key ? m->key : m->text;
}

static int by_key(const void *a, const void *b) {
  const member *x = a, *y = b;
  size_t n = x->size < y->size ? x->size : y->size;
  int order = memcmp(key_of(x), key_of(y), n);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

static size_t count_pairs(lua_State *L, int index) {
  size_t n = 0;
  lua_pushnil(L);
  for (; lua_next(L, index); n++) lua_pop(L, 1);
  return n;
}

/* Pushes the userdata that holds the members, NULL when a key is no key. */
static member *gather(writer *w, int index, size_t n, const path *at) {
  lua_State *L = w->L;
  member *all = lua_newuserdata(L, (n ? n : 1) * sizeof(*all)), *m = all;
  lua_pushnil(L);
  for (; lua_next(L, index); m++) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
      m->key = lua_tolstring(L, -1, &m->size);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
      m->key = NULL;
      m->number = lua_tonumber(L, -1);
      format_number(m->text, m->number);
      m->size = strlen(m->text);
    } else {
      refuse(w, at, "key is neither a string nor a number");
      return NULL;
    }
  }
  qsort(all, n, sizeof(*all), by_key);
  return all;
}

static bool put_object(writer *w, int index, const path *at) {
  lua_State *L = w->L;
  size_t n = count_pairs(L, index);
  const member *m = gather(w, index, n, at);
  if (!m) return false;
  rt__buf_putc(w->out, '{');
  w->depth++;
  for (size_t i = 0; i < n; i++, m++) {
    path item = {at, key_of(m), m->size};
    if (i) rt__buf_putc(w->out, ',');
    new_line(w);
    put_string(w->out, item.key, item.size);
    rt__buf_puts(w->out, w->indent ? ": " : ":");
    if (m->key)
      lua_pushlstring(L, m->key, m->size);
    else
      lua_pushnumber(L, m->number);
    lua_rawget(L, index);
    if (!goes_on(w, &item)) return false;
    if (!put_value(w, lua_gettop(L), &item)) return false;
    lua_pop(L, 1);
  }
  w->depth--;
  if (n) new_line(w);
  rt__buf_putc(w->out, '}');
  lua_pop(L, 1);
  return true;
}

static bool is_marked(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, RT__LUA_ARRAY);
  bool marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return marked;
}

static bool put_table(writer *w, int index, const path *at) {
  lua_State *L = w->L;
  bool array;
  if (w->depth >= RT__JSON_DEPTH || !lua_checkstack(L, 10))
    return refuse(w, at, "nested too deep, or a cycle");
  if (rt__lua_is_error(L, index)) {
    if (!rt__lua_error_map(L, index)) return refuse(w, at, "object");
    bool ok = put_object(w, lua_gettop(L), at);
    if (ok) lua_pop(L, 1);
    return ok;
  }
  size_t n = rt__lua_array_size(L, index, &array);
  if (array) return put_array(w, index, n, at);
  if (is_marked(L, index)) {
    n = lua_objlen(L, index);
    if (count_pairs(L, index) > n)
      return refuse(w, at, "array has holes or other keys");
    return put_array(w, index, n, at);
  }
  return put_object(w, index, at);
}

static bool put_value(writer *w, int index, const path *at) {
  lua_State *L = w->L;
  size_t size;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    rt__buf_puts(w->out, "null");
    return true;
  case LUA_TBOOLEAN:
    rt__buf_puts(w->out, lua_toboolean(L, index) ? "true" : "false");
    return true;
  case LUA_TNUMBER:
    return put_number(w, lua_tonumber(L, index), at);
  case LUA_TSTRING: {
    const char *s = lua_tolstring(L, index, &size);
    put_string(w->out, s, size);
    return true;
  }
  case LUA_TTABLE:
    return put_table(w, index, at);
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(L, index)) {
      rt__buf_puts(w->out, "null");
      return true;
    } /* fall through */
  default:
    return refuse(w, at, luaL_typename(L, index));
  }
}

rt_err rt__json_encode(lua_State *L, int index, int indent, rt__buf *out,
                       rt_error *err) {
  rt_error local = RT_ERROR_INIT;
  writer w = {L, out, indent, 0, err ? err : &local, 0};
  path root = {NULL, NULL, 0};
  luaL_checkstack(L, 10, "json");
  if (!put_value(&w, index, &root)) return w.err->code;
  if (out->failed) return rt_fail(err, RT_ENOMEM, "json: no memory");
  return RT_OK;
}
