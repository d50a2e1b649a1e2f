/* lua_value.c - Lua values to immutable values (process/worker.h).
 *
 * Encoding refuses what cannot cross a border and names the key path to it;
 * the path is a chain of frames on the C stack, written out only on failure.
 * It raises only where Lua's own stack cannot grow, so the builder belongs to
 * somebody who outlives the call, and is reset before it is used.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind/lua_error.h"
#include "bind/lua_value.h"
#include "process/sched.h"
#include "value/wire.h"

/* What a table takes in Lua at least. A value may be as large as the VM's
 * limit, counted so: what is larger has the same parts many times, and may be
 * without end (tables that hold the one before twice). */
enum { TABLE_BYTES = 64 };

/* Integers a double holds exactly. */
#define EXACT 9007199254740992.0

typedef struct frame frame;
struct frame {
  const frame *up;
  const void *table; /* the table this frame walks; NULL for the root */
  int key;           /* stack index of the key in it, 0: `item` counts */
  lua_Number item;
};

#define STEPS 1024 /* items between two looks at who is to end */

typedef struct encoder {
  lua_State *L;
  const char *what;
  rt__buf *out; /* marked as failed when memory is short, or it is large */
  uint64_t limit, tables; /* bytes: at most, and of tables so far */
  rt_error *err;          /* may be NULL */
  unsigned steps;
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

/* An error of the script, but where the scheduler encodes: there is nobody to
 * catch it. */
static bool refuse_stack(encoder *e, const frame *up) {
  if (rt__vm_of(e->L)->fiber) luaL_error(e->L, "stack overflow (value)");
  return refuse(e, up, "no room on the stack");
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

static bool grow(encoder *e, size_t more) {
  rt__buf *out = e->out;
  if (out->size + more > e->limit) out->failed = true;
  return rt__buf_reserve(out, more);
}

/* Room for `more` bytes, which `commit` adds; NULL when memory is short. */
static inline unsigned char *room(encoder *e, size_t more) {
  rt__buf *out = e->out;
  if (out->room - out->size < more && !grow(e, more)) return NULL;
  return (unsigned char *)out->data + out->size;
}

static inline void commit(encoder *e, const unsigned char *end) {
  e->out->size = (size_t)(end - (unsigned char *)e->out->data);
}

static inline void put_string(encoder *e, const char *s, size_t size) {
  unsigned char *at = room(e, size + 9);
  if (!at) return;
  at = rt__wire_put_text(at, (uint32_t)size);
  memcpy(at, s, size);
  commit(e, at + size);
}

static inline bool is_integer(lua_Number n) {
  return n >= -EXACT && n <= EXACT && (lua_Number)(int64_t)n == n &&
         !(n == 0 && signbit(n));
}

static inline unsigned char *number_at(unsigned char *at, lua_Number n) {
  return is_integer(n) ? rt__wire_put_int(at, (int64_t)n)
                       : rt__wire_put_number(at, n);
}

static inline void put_number(encoder *e, lua_Number n) {
  unsigned char *at = room(e, 9);
  if (at) commit(e, number_at(at, n));
}

static inline void put_byte(encoder *e, unsigned char byte) {
  unsigned char *at = room(e, 1);
  if (!at) return;
  *at = byte;
  commit(e, at + 1);
}

/* A large value takes long, and nothing else looks at who is to end. */
static bool goes_on(encoder *e, const frame *f) {
  if (++e->steps % STEPS != 0 || !rt__vm_is_ending(e->L)) return true;
  return refuse(e, f, "value: the process is ending");
}

static bool encode_array(encoder *e, int index, frame *f, size_t n, int depth) {
  lua_State *L = e->L;
  int item = lua_gettop(L) + 1;
  unsigned char *at = room(e, 9);
  if (at) commit(e, rt__wire_put_head(at, false, (uint32_t)n));
  for (size_t i = 1; i <= n; i++) {
    f->item = (lua_Number)i;
    lua_rawgeti(L, index, (int)i);
    if (!goes_on(e, f) || !encode(e, item, f, depth)) return false;
    lua_settop(L, item - 1);
  }
  return true;
}

static bool encode_key(encoder *e, const frame *f) {
  int type = lua_type(e->L, f->key);
  if (type == LUA_TSTRING) {
    size_t size;
    const char *s = lua_tolstring(e->L, f->key, &size);
    put_string(e, s, size);
    return true;
  }
  lua_Number n = type == LUA_TNUMBER ? lua_tonumber(e->L, f->key) : 0.5;
  if (n != floor(n) || fabs(n) > EXACT)
    return refuse(e, f, "key is neither a string nor an integer");
  unsigned char *at = room(e, 9);
  if (at) commit(e, rt__wire_put_int(at, (int64_t)n));
  return true;
}

static bool encode_map(encoder *e, int index, frame *f, int depth) {
  lua_State *L = e->L;
  size_t start = e->out->size;
  uint32_t count = 0;
  int key = lua_gettop(L) + 1;
  put_byte(e, 0);
  f->key = key;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if (!goes_on(e, f) || !encode_key(e, f) || !encode(e, key + 1, f, depth))
      return false;
    lua_settop(L, key);
    count++;
  }
  if (e->out->failed) return true;
  if (count < 16)
    e->out->data[start] = (char)(0x80 | count);
  else
    rt__wire_seal(e->out, start, true, count);
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
  e->tables += TABLE_BYTES;
  if (e->out->size + e->tables > e->limit) return refuse(e, up, "too large");
  if (depth == RT_VALUE_MAX_DEPTH) return refuse_depth(e, &f);
  if (!lua_checkstack(L, 8)) return refuse_stack(e, up);
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
  const char *s;
  switch (lua_type(L, index)) {
  case LUA_TNONE:
  case LUA_TNIL:
    put_byte(e, 0xC0);
    return true;
  case LUA_TBOOLEAN:
    put_byte(e, lua_toboolean(L, index) ? 0xC3 : 0xC2);
    return true;
  case LUA_TNUMBER:
    put_number(e, lua_tonumber(L, index));
    return true;
  case LUA_TSTRING:
    s = lua_tolstring(L, index, &size);
    put_string(e, s, size);
    return true;
  case LUA_TTABLE:
    return encode_table(e, index, f, depth);
  case LUA_TLIGHTUSERDATA: /* json.null */
    if (!lua_touserdata(L, index)) {
      put_byte(e, 0xC0);
      return true;
    } /* fall through */
  default:
    return refuse(e, f, luaL_typename(L, index));
  }
}

unsigned char *rt__lua_put_plain(lua_State *L, int index, unsigned char *at,
                                 size_t room) {
  size_t size;
  const char *s;
  if (room < 9) return NULL;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    *at = 0xC0;
    return at + 1;
  case LUA_TBOOLEAN:
    *at = lua_toboolean(L, index) ? 0xC3 : 0xC2;
    return at + 1;
  case LUA_TNUMBER:
    return number_at(at, lua_tonumber(L, index));
  case LUA_TSTRING:
    s = lua_tolstring(L, index, &size);
    if (size > room - 9) return NULL;
    at = rt__wire_put_text(at, (uint32_t)size);
    memcpy(at, s, size);
    return at + size;
  default:
    return NULL;
  }
}

rt_err rt__lua_encode_into(lua_State *L, int index, const char *what,
                           rt_builder *builder, rt_error *err) {
  unsigned depth;
  rt__buf *out = rt__builder_slot(builder, &depth);
  encoder e = {L, what, out, rt__vm_of(L)->limit, 0, err, 0};
  frame root = {NULL, NULL, 0, 0};
  int top = lua_gettop(L);
  if (index < 0 && index > LUA_REGISTRYINDEX) index += top + 1;
  if (!out) return RT_OK; /* the builder tells at its end */
  bool ok = encode(&e, index, &root, (int)depth);
  lua_settop(L, top);
  return ok ? RT_OK : RT_EINVAL;
}

rt_err rt__lua_encode(lua_State *L, int index, const char *what, rt_value **out,
                      rt_error *err) {
  rt_builder *builder = rt__vm_of(L)->builder; /* in use by nobody now */
  *out = NULL;
  rt_builder_reset(builder);
  rt_err rc = rt__lua_encode_into(L, index, what, builder, err);
  if (rc == RT_OK) return rt_builder_finish(builder, out, err);
  rt_builder_reset(builder);
  return rc;
}
