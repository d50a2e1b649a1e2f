/* test_luajit_stack.c - our build of LuaJIT: lua_checkstack answers 0 where a
 * stack cannot grow, and leaves everything as it was. It is called outside of
 * any protected call here, so that an error would end the test.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdlib.h>

struct memory {
  bool refuse;
  size_t used;
};

static void *allocate(void *ud, void *block, size_t old, size_t size) {
  struct memory *memory = ud;
  if (size == 0) {
    memory->used -= old;
    free(block);
    return NULL;
  }
  if (memory->refuse && size > old) return NULL;
  void *made = realloc(block, size);
  if (made) memory->used = memory->used - old + size;
  return made;
}

static int setup(void **state) {
  static struct memory memory;
  memory = (struct memory){0};
  *state = lua_newstate(allocate, &memory);
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  lua_State *L = *state;
  void *ud;
  lua_getallocf(L, &ud);
  lua_close(L);
  return ((struct memory *)ud)->used == 0 ? 0 : -1;
}

static struct memory *memory_of(lua_State *L) {
  void *ud;
  lua_getallocf(L, &ud);
  return ud;
}

#ifdef RT_LUAJIT_SYSTEM
#define REFUSED(call) ((void)memory_of)
#else
#define REFUSED(call) assert_int_equal(call, 0)
#endif

static int l_wait(lua_State *L) {
  return lua_yield(L, lua_gettop(L));
}

/* A coroutine that waits half-way, with three numbers on its stack. */
static lua_State *waiting(lua_State *L) {
  lua_State *co = lua_newthread(L);
  lua_pushcfunction(co, l_wait);
  for (int i = 1; i <= 3; i++) lua_pushinteger(co, i);
  assert_int_equal(lua_resume(co, 3), LUA_YIELD);
  assert_int_equal(lua_gettop(co), 3);
  return co;
}

static void expect_values(lua_State *co) {
  assert_int_equal(lua_gettop(co), 3);
  for (int i = 1; i <= 3; i++) assert_int_equal(lua_tointeger(co, i), i);
}

static void without_memory(void **state) {
  lua_State *L = *state, *co = waiting(L);
  memory_of(L)->refuse = true;
  for (int i = 0; i < 100; i++) REFUSED(lua_checkstack(co, 4000));
  REFUSED(lua_checkstack(L, 4000));
  memory_of(L)->refuse = false;
  expect_values(co);
  assert_int_equal(lua_checkstack(co, 4000), 1);
  assert_int_equal(lua_checkstack(L, 4000), 1);
  expect_values(co);
  for (int i = 0; i < 4000; i++) lua_pushinteger(co, i);
  lua_settop(co, 3);
  assert_int_equal(lua_resume(co, 3), 0);
  expect_values(co);
}

/* Each level keeps most of what one function may have, until there is no room
 * left for all of them together; counts the levels, and looks the last time. */
static int l_deeper(lua_State *L) {
  int level = (int)lua_tointeger(L, 1);
  if (!lua_checkstack(L, 7000)) {
    lua_pushinteger(L, level);
    return 1;
  }
  for (int i = 0; i < 6900; i++) lua_pushinteger(L, i);
  lua_pushcfunction(L, l_deeper);
  lua_pushinteger(L, level + 1);
  lua_call(L, 1, 1);
  return 1;
}

static void without_room(void **state) {
#ifndef RT_LUAJIT_SYSTEM
  lua_State *L = *state;
  lua_State *co = lua_newthread(L);
  for (int round = 0; round < 3; round++) {
    lua_pushcfunction(co, l_deeper);
    lua_pushinteger(co, 0);
    assert_int_equal(lua_resume(co, 1), 0);
    assert_in_range(lua_tointeger(co, -1), 2, 20);
    lua_settop(co, 0);
  }
#endif
  assert_int_equal(lua_checkstack(*state, 1000000), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(without_room, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
