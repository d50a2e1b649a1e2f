/* lua_decode.c - immutable values to Lua values (process/worker.h).
 *
 * The most frequent heads are read right here, the rest by the wire's reader.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <string.h>

#include "bind/lua_shape.h"
#include "bind/lua_value.h"
#include "process/worker.h"
#include "value/wire.h"

typedef const unsigned char *bytes;

static bytes decode(lua_State *L, bytes at, bytes end);

static bytes decode_array(lua_State *L, uint32_t count, bytes at, bytes end) {
  luaL_checkstack(L, 4, "value nested too deep");
  lua_createtable(L, (int)count, 0);
  if (count == 0) rt__lua_mark_array(L);
  for (uint32_t i = 1; i <= count && at; i++) {
    at = decode(L, at, end);
    lua_rawseti(L, -2, (int)i);
  }
  return at;
}

/* `count` pairs into the table on top. */
static bytes decode_pairs(lua_State *L, uint32_t count, bytes at, bytes end) {
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

/* --- maps by their shape ------------------------------------------------- */

/* The bytes of a short key that `at` begins with, 0: it is another item. */
static size_t key_size(bytes at, bytes end) {
  if (at >= end || (*at & 0xE0) != 0xA0) return 0;
  size_t size = (size_t)(*at & 31) + 1;
  return (size_t)(end - at) < size ? 0 : size;
}

/* As decode_pairs(), noting the keys. */
static bytes decode_learning(lua_State *L, rt__shape *shape, uint32_t count,
                             bytes at, bytes end) {
  unsigned char keys[RT__SHAPE_BYTES];
  size_t used = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t size = key_size(at, end);
    if (size == 0 || used + size > sizeof(keys))
      return decode_pairs(L, count - i, at, end);
    memcpy(keys + used, at, size);
    used += size;
    lua_pushlstring(L, (const char *)at + 1, size - 1);
    at = decode(L, at + size, end);
    lua_rawset(L, -3);
    if (!at) return NULL;
  }
  rt__shape_learn(L, shape, count, keys, used);
  return at;
}

/* The map is of another shape from pair `i` on: the values before it, above
 * `base`, become those of a table. */
static bytes diverge(lua_State *L, const rt__shape *shape, uint32_t i, int base,
                     bytes at, bytes end) {
  bytes key = shape->keys;
  lua_createtable(L, 0, (int)shape->count);
  lua_replace(L, base);
  for (uint32_t k = 0; k < i; k++) {
    size_t size = *key & 31;
    lua_pushlstring(L, (const char *)key + 1, size);
    lua_pushvalue(L, base + 1 + (int)k);
    lua_rawset(L, base);
    key += size + 1;
  }
  lua_settop(L, base);
  return decode_pairs(L, shape->count - i, at, end);
}

static bytes decode_shaped(lua_State *L, const rt__shape *shape, bytes at,
                           bytes end) {
  bytes key = shape->keys;
  int base = lua_gettop(L) + 1;
  luaL_checkstack(L, RT__SHAPE_KEYS + 4, "value nested too deep");
  lua_rawgeti(L, LUA_REGISTRYINDEX, shape->make);
  for (uint32_t i = 0; i < shape->count; i++) {
    size_t size = (size_t)(*key & 31) + 1;
    if ((size_t)(end - at) < size || memcmp(at, key, size) != 0)
      return diverge(L, shape, i, base, at, end);
    bytes next = decode(L, at + size, end);
    if (!next) {
      lua_settop(L, base);
      return diverge(L, shape, 0, base, at, at);
    }
    at = next;
    key += size;
  }
  lua_call(L, (int)shape->count, 1);
  return at;
}

static bytes decode_map(lua_State *L, uint32_t count, bytes at, bytes end) {
  rt__shape *shape = rt__shape_at(L, count, at, end);
  if (shape && shape->made && shape->count == count)
    return decode_shaped(L, shape, at, end);
  luaL_checkstack(L, 4, "value nested too deep");
  lua_createtable(L, 0, (int)count);
  if (shape && !shape->made) return decode_learning(L, shape, count, at, end);
  return decode_pairs(L, count, at, end);
}

/* --- any value ----------------------------------------------------------- */

static bytes decode_other(lua_State *L, bytes at, bytes end) {
  rt__item item;
  at = rt__wire_read(at, end, &item);
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

/* Pushes exactly one value, also when the bytes are malformed (then NULL). */
static inline bytes decode_tagged(lua_State *L, bytes at, bytes end) {
  size_t left = (size_t)(end - at);
  switch (*at) {
  case 0xC2:
  case 0xC3:
    lua_pushboolean(L, *at == 0xC3);
    return at + 1;
  case 0xCC:
    if (left < 2) break;
    lua_pushnumber(L, at[1]);
    return at + 2;
  case 0xCD:
    if (left < 3) break;
    lua_pushnumber(L, at[1] << 8 | at[2]);
    return at + 3;
  case 0xCE:
    if (left < 5) break;
    lua_pushnumber(L, (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 |
                          (uint32_t)at[3] << 8 | at[4]);
    return at + 5;
  default:
    break;
  }
  return decode_other(L, at, end);
}

/* As decode_tagged(), whatever the value begins with. */
static bytes decode(lua_State *L, bytes at, bytes end) {
  if (at >= end) return decode_other(L, at, end);
  unsigned tag = *at;
  if (tag < 0x80) {
    lua_pushnumber(L, (lua_Number)tag);
    return at + 1;
  }
  if (tag < 0x90) return decode_map(L, tag & 15, at + 1, end);
  if (tag < 0xA0) return decode_array(L, tag & 15, at + 1, end);
  if (tag < 0xC0) {
    size_t size = tag & 31;
    if ((size_t)(end - at) <= size) return decode_other(L, at, end);
    lua_pushlstring(L, (const char *)at + 1, size);
    return at + size + 1;
  }
  return decode_tagged(L, at, end);
}

void rt__lua_decode(lua_State *L, rt_view view) {
  luaL_checkstack(L, 4, "value nested too deep");
  if (view.at)
    decode(L, view.at, view.end);
  else
    lua_pushnil(L);
}

int rt__lua_decode_items(lua_State *L, rt_view array, uint32_t most) {
  rt__item head = {.type = RT_NIL};
  bytes at = array.at ? rt__wire_read(array.at, array.end, &head) : NULL;
  uint32_t count = at && head.type == RT_ARRAY ? head.count : 0, i = 0;
  if (count > most) count = most;
  luaL_checkstack(L, (int)count + 4, "too many values");
  for (; i < count && at; i++) at = decode(L, at, array.end);
  return (int)i;
}
