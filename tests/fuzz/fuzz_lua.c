/* fuzz_lua.c - values to Lua and back. The input is a byte that says how long
 * the first value is, and the wire forms of two. Each becomes the Lua value
 * that it says, also after many of the same shape (bind/lua_shape.h) and in
 * turns with the other, and what is made of that is equal to it again.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lualib.h>

#include "bind/lua_shape.h"
#include "process/sched.h"
#include "value.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* The decoder keeps the shapes it knows in its VM, the encoder its builder. */
static rt__vm vm;

rt__vm *rt__vm_of(lua_State *L) {
  (void)L;
  if (!vm.builder) vm.builder = rt_builder_new();
  vm.limit = SIZE_MAX;
  return &vm;
}

bool rt__vm_is_ending(lua_State *L) {
  (void)L;
  return false;
}

static void check(lua_State *L, rt_view view);

/* Keys are strings or integers, which Lua keeps as numbers. */
static bool same_key(rt_view a, rt_view b) {
  size_t n = 0, m = 0;
  const char *s = rt_view_string(a, &n), *t = rt_view_string(b, &m);
  if (!s || !t)
    return !s && !t && (double)rt_view_int(a, 0) == (double)rt_view_int(b, 0);
  return n == m && memcmp(s, t, n) == 0;
}

/* A key that comes twice has its last value. */
static bool comes_again(rt_iter rest, rt_view key) {
  rt_view k, v;
  while (rt_iter_next(&rest, &k, &v))
    if (same_key(k, key)) return true;
  return false;
}

static void push_key(lua_State *L, rt_view key) {
  size_t n;
  const char *name = rt_view_string(key, &n);
  if (name)
    lua_pushlstring(L, name, n);
  else
    lua_pushnumber(L, (double)rt_view_int(key, 0));
}

static void check_map(lua_State *L, rt_view view) {
  rt_iter iter = rt_iter_of(view);
  rt_view key, item;
  size_t count = 0;
  while (rt_iter_next(&iter, &key, &item)) {
    if (comes_again(iter, key)) continue;
    push_key(L, key);
    lua_rawget(L, -2);
    count += !lua_isnil(L, -1);
    check(L, item);
    lua_pop(L, 1);
  }
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) count--;
  if (count != 0) abort();
}

static void check_array(lua_State *L, rt_view view) {
  for (size_t i = 0; i < rt_view_count(view); i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    check(L, rt_view_at(view, i));
    lua_pop(L, 1);
  }
}

static bool is_number(lua_State *L, double n) {
  double got = lua_tonumber(L, -1);
  return lua_type(L, -1) == LUA_TNUMBER && (got == n || (got != got && n != n));
}

static bool is_string(lua_State *L, rt_view view) {
  size_t n, m;
  const char *s = rt_view_string(view, &n), *t = lua_tolstring(L, -1, &m);
  return lua_type(L, -1) == LUA_TSTRING && n == m && memcmp(s, t, n) == 0;
}

/* Is the value on top what the view says? */
static void check(lua_State *L, rt_view view) {
  bool ok;
  luaL_checkstack(L, 8, "fuzz");
  switch (rt_view_type(view)) {
  case RT_BOOL:
    ok = lua_isboolean(L, -1) &&
         lua_toboolean(L, -1) == rt_view_bool(view, false);
    break;
  case RT_INT:
    ok = is_number(L, (double)rt_view_int(view, 0));
    break;
  case RT_NUMBER:
    ok = is_number(L, rt_view_number(view, 0));
    break;
  case RT_STRING:
    ok = is_string(L, view);
    break;
  case RT_ARRAY:
  case RT_MAP:
    ok = lua_istable(L, -1);
    if (ok && rt_view_type(view) == RT_MAP)
      check_map(L, view);
    else if (ok)
      check_array(L, view);
    break;
  default:
    ok = lua_isnil(L, -1);
  }
  if (!ok) abort();
}

/* Decode, check, encode (which may refuse: tables cannot keep every nil), and
 * decode what was encoded. */
static void there_and_back(lua_State *L, const rt_value *value) {
  rt_value *again, *third;
  rt_error err = RT_ERROR_INIT;
  rt__lua_decode(L, rt_value_view(value));
  if (lua_gettop(L) != 1) abort();
  check(L, rt_value_view(value));
  if (rt__lua_encode(L, 1, "data", &again, &err) == RT_OK) {
    if (lua_gettop(L) != 1) abort();
    rt__lua_decode(L, rt_value_view(again));
    check(L, rt_value_view(again));
    if (rt__lua_encode(L, 2, "data", &third, &err) != RT_OK) abort();
    if (rt_value_size(third) != rt_value_size(again)) abort();
    check_copy(again);
    rt_value_unref(third);
    rt_value_unref(again);
  } else if (!*err.message)
    abort();
  lua_settop(L, 0);
}

static void run(const rt_value *one, const rt_value *two) {
  lua_State *L = luaL_newstate();
  luaopen_base(L);
  lua_settop(L, 0);
  for (int i = 0; one && i < 12; i++) there_and_back(L, one);
  for (int i = 0; two && i < 3; i++) there_and_back(L, two);
  if (one) there_and_back(L, one);
  rt__shapes_free(vm.shapes);
  vm.shapes = NULL;
  lua_close(L);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  rt_value *one = NULL, *two = NULL;
  if (size < 2) return 0;
  size_t first = data[0] < size - 1 ? data[0] : size - 1;
  rt_value_from_data(&one, data + 1, first, NULL);
  rt_value_from_data(&two, data + 1 + first, size - 1 - first, NULL);
  if (one || two) run(one, two);
  rt_value_unref(one);
  rt_value_unref(two);
  return 0;
}
