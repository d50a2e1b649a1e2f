/* lua_value.c - Lua values to immutable values and back (process/worker.h).
 *
 * Encoding refuses what cannot cross a border and names the key path to it;
 * the path is a chain of frames on the C stack, written out only on failure.
 * It never raises, so that the builder of a caller cannot be lost.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind/lua_error.h"
#include "bind/lua_value.h"
#include "process/worker.h"
#include "value/wire.h"

/* Integers a double holds exactly. */
#define EXACT 9007199254740992.0

typedef struct frame frame;
struct frame {
  const frame *up;
  const void *table; /* the table this frame walks; NULL for the root */
  int key;           /* stack index of the key in it, 0: `item` counts */
  lua_Number item;
};

typedef struct encoder {
  lua_State *L;
  const char *what;
  rt_builder *out;
  rt_error *err;
} encoder;

/* --- refusing ----------------------------------------------------------- */

typedef struct text {
  char *at;
  size_t room;
} text;

static void put(text *t, const char *s, size_t size) {
  if (size >= t->room) size = t->room ? t->room - 1 : 0;
  memcpy(t->at, s, size);
  t->at += size;
  t->room -= size;
  *t->at = 0;
}

static bool is_name(const char *s, size_t size) {
  for (size_t i = 0; i < size; i++) {
    char c = s[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i > 0 && c >= '0' && c <= '9')) return false;
  }
  return size > 0 && size <= 40;
}

static void put_key(text *t, lua_State *L, const frame *f) {
  char number[40];
  size_t size;
  if (!f->key || lua_type(L, f->key) == LUA_TNUMBER) {
    lua_Number n = f->key ? lua_tonumber(L, f->key) : f->item;
    int length = snprintf(number, sizeof(number), "[%.14g]", n);
    put(t, number, (size_t)length);
  } else if (lua_type(L, f->key) == LUA_TSTRING) {
    const char *s = lua_tolstring(L, f->key, &size);
    bool name = is_name(s, size);
    put(t, name ? "." : "[\"", name ? 1 : 2);
    put(t, s, size < 40 ? size : 40);
    if (!name) put(t, "\"]", 2);
  } else {
    const char *s = luaL_typename(L, f->key);
    put(t, "[", 1);
    put(t, s, strlen(s));
    put(t, "]", 1);
  }
}

static void put_path(text *t, lua_State *L, const frame *f) {
  if (!f->table) return;
  put_path(t, L, f->up);
  put_key(t, L, f);
}

static bool refuse(encoder *e, const frame *f, const char *why) {
  char path[300];
  text t = {path, sizeof(path)};
  put(&t, e->what, strlen(e->what));
  put_path(&t, e->L, f);
  rt_fail(e->err, RT_EINVAL, "%s: %s", path, why);
  return false;
}

/* Too deep: is it a table inside itself? */
static bool refuse_depth(encoder *e, const frame *f) {
  const frame *found = NULL;
  for (const frame *in = f; in->table; in = in->up)
    for (const frame *out = in->up; out->table; out = out->up)
      if (in->table == out->table) found = in->up;
  return found ? refuse(e, found, "cycle")
               : refuse(e, f->up, "nested too deep");
}

/* --- encoding ----------------------------------------------------------- */

static bool encode(encoder *e, int index, const frame *f, int depth);

void rt__lua_mark_array(lua_State *L) {
  if (luaL_newmetatable(L, RT__LUA_ARRAY)) {
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
}

size_t rt__lua_array_size(lua_State *L, int index, bool *array) {
  size_t n = lua_objlen(L, index), seen = 0;
  *array = false;
  if (n == 0) return 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    lua_Number k = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (k < 1 || k > (lua_Number)n || k != floor(k) || ++seen > n) {
      lua_pop(L, 1);
      return 0;
    }
  }
  *array = seen == n;
  return *array ? n : 0;
}

static bool encode_array(encoder *e, int index, frame *f, size_t n, int depth) {
  rt_builder_begin_array(e->out);
  for (size_t i = 1; i <= n; i++) {
    f->item = (lua_Number)i;
    lua_rawgeti(e->L, index, (int)i);
    if (!encode(e, lua_gettop(e->L), f, depth)) return false;
    lua_pop(e->L, 1);
  }
  rt_builder_end(e->out);
  return true;
}

static bool encode_key(encoder *e, const frame *f) {
  if (lua_type(e->L, f->key) == LUA_TSTRING) {
    size_t size;
    const char *s = lua_tolstring(e->L, f->key, &size);
    rt_builder_lstring(e->out, s, size);
    return true;
  }
  if (lua_type(e->L, f->key) == LUA_TNUMBER) {
    lua_Number n = lua_tonumber(e->L, f->key);
    if (n == floor(n) && fabs(n) <= EXACT) {
      rt_builder_int(e->out, (int64_t)n);
      return true;
    }
  }
  return refuse(e, f, "key is neither a string nor an integer");
}

static bool encode_map(encoder *e, int index, frame *f, int depth) {
  lua_State *L = e->L;
  rt_builder_begin_map(e->out);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    f->key = lua_gettop(L) - 1;
    if (!encode_key(e, f)) return false;
    if (!encode(e, lua_gettop(L), f, depth)) return false;
    lua_pop(L, 1);
  }
  rt_builder_end(e->out);
  return true;
}

/* What a table with a metatable is. User's own ones are plain tables. */
typedef enum shape { PLAIN, ARRAY, ERROR, OBJECT } shape;

static shape shape_of(lua_State *L, int index) {
  shape found = PLAIN;
  if (!lua_getmetatable(L, index)) return PLAIN;
  luaL_getmetatable(L, RT__LUA_ARRAY);
  if (lua_rawequal(L, -1, -2))
    found = ARRAY;
  else if (rt__lua_is_error(L, index))
    found = ERROR;
  else {
    lua_pushliteral(L, "__metatable");
    lua_rawget(L, -3);
    if (lua_type(L, -1) == LUA_TBOOLEAN) found = OBJECT;
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return found;
}

static bool encode_table(encoder *e, int index, const frame *up, int depth) {
  lua_State *L = e->L;
  frame f = {up, lua_topointer(L, index), 0, 0};
  bool array;
  if (depth == RT_VALUE_MAX_DEPTH || !lua_checkstack(L, 8))
    return refuse_depth(e, &f);
  shape kind = shape_of(L, index);
  if (kind == OBJECT) return refuse(e, up, "object");
  if (kind == ERROR) {
    if (!rt__lua_error_map(L, index)) return refuse(e, up, "object");
    bool ok = encode_map(e, lua_gettop(L), &f, depth + 1);
    if (ok) lua_pop(L, 1);
    return ok;
  }
  size_t n = kind == ARRAY ? lua_objlen(L, index)
                           : rt__lua_array_size(L, index, &array);
  if (kind == ARRAY || array) return encode_array(e, index, &f, n, depth + 1);
  return encode_map(e, index, &f, depth + 1);
}

static bool encode(encoder *e, int index, const frame *f, int depth) {
  lua_State *L = e->L;
  size_t size;
  switch (lua_type(L, index)) {
  case LUA_TNONE:
  case LUA_TNIL:
    rt_builder_nil(e->out);
    return true;
  case LUA_TBOOLEAN:
    rt_builder_bool(e->out, lua_toboolean(L, index));
    return true;
  case LUA_TNUMBER: {
    lua_Number n = lua_tonumber(L, index);
    if (fabs(n) <= EXACT && n == floor(n) && !(n == 0 && signbit(n)))
      rt_builder_int(e->out, (int64_t)n);
    else
      rt_builder_number(e->out, n);
    return true;
  }
  case LUA_TSTRING: {
    const char *s = lua_tolstring(L, index, &size);
    rt_builder_lstring(e->out, s, size);
    return true;
  }
  case LUA_TTABLE:
    return encode_table(e, index, f, depth);
  case LUA_TLIGHTUSERDATA: /* json.null */
    if (!lua_touserdata(L, index)) {
      rt_builder_nil(e->out);
      return true;
    } /* fall through */
  default:
    return refuse(e, f, luaL_typename(L, index));
  }
}

rt_err rt__lua_encode_into(lua_State *L, int index, const char *what,
                           rt_builder *builder, rt_error *err) {
  rt_error local = RT_ERROR_INIT;
  encoder e = {L, what, builder, err ? err : &local};
  frame root = {NULL, NULL, 0, 0};
  int top = lua_gettop(L);
  if (index < 0 && index > LUA_REGISTRYINDEX) index += top + 1;
  if (!lua_checkstack(L, 8)) return rt_fail(err, RT_ENOMEM, "no memory");
  bool ok = encode(&e, index, &root, 0);
  lua_settop(L, top);
  return ok ? RT_OK : e.err->code;
}

rt_err rt__lua_encode(lua_State *L, int index, const char *what, rt_value **out,
                      rt_error *err) {
  *out = NULL;
  rt_builder *builder = rt_builder_new();
  if (!builder) return rt_fail(err, RT_ENOMEM, "%s: no memory", what);
  rt_err rc = rt__lua_encode_into(L, index, what, builder, err);
  if (rc == RT_OK) rc = rt_builder_finish(builder, out, err);
  rt_builder_free(builder);
  return rc;
}

/* --- decoding ----------------------------------------------------------- */

static const unsigned char *decode(lua_State *L, const unsigned char *at,
                                   const unsigned char *end);

static const unsigned char *decode_array(lua_State *L, uint32_t count,
                                         const unsigned char *at,
                                         const unsigned char *end) {
  lua_createtable(L, (int)count, 0);
  if (count == 0) rt__lua_mark_array(L);
  for (uint32_t i = 1; i <= count && at; i++) {
    at = decode(L, at, end);
    lua_rawseti(L, -2, (int)i);
  }
  return at;
}

static const unsigned char *decode_map(lua_State *L, uint32_t count,
                                       const unsigned char *at,
                                       const unsigned char *end) {
  lua_createtable(L, 0, (int)count);
  for (uint32_t i = 0; i < count && at; i++) {
    at = decode(L, at, end);
    if (!at) {
      lua_pop(L, 1);
      break;
    }
    at = decode(L, at, end);
    lua_rawset(L, -3);
  }
  return at;
}

/* Pushes exactly one value, also when the bytes are malformed (then NULL). */
static const unsigned char *decode(lua_State *L, const unsigned char *at,
                                   const unsigned char *end) {
  rt__item item;
  at = rt__wire_read(at, end, &item);
  luaL_checkstack(L, 4, "value nested too deep");
  switch (at ? item.type : RT_NIL) {
  case RT_BOOL:
    lua_pushboolean(L, item.as.boolean);
    return at;
  case RT_INT:
    lua_pushnumber(L, (lua_Number)item.as.integer);
    return at;
  case RT_NUMBER:
    lua_pushnumber(L, item.as.number);
    return at;
  case RT_STRING:
    lua_pushlstring(L, item.as.text, item.count);
    return at;
  case RT_ARRAY:
    return decode_array(L, item.count, at, end);
  case RT_MAP:
    return decode_map(L, item.count, at, end);
  default:
    lua_pushnil(L);
    return at;
  }
}

void rt__lua_decode(lua_State *L, rt_view view) {
  if (view.at)
    decode(L, view.at, view.end);
  else
    lua_pushnil(L);
}
