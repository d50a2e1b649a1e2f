/* test_match.c - pattern matching that goes on in Lua: the same results as in
 * C, and when it does, others of the VM have their turns.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "runner.h"

#define TRIES 20000

static void as_in_c(void **state) {
  (void)state;
  const char *asked = getenv("SEED");
  long seed = asked ? atol(asked) : 1;
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  print_message("seed %ld\n", seed);
  assert_int_equal(luaL_loadfile(L, "tests/support/match_check.lua"), 0);
  lua_pushinteger(L, seed);
  lua_pushinteger(L, TRIES);
  if (lua_pcall(L, 2, 1, 0) != 0) fail_msg("%s", lua_tostring(L, -1));
  assert_true(lua_tointeger(L, -1) > TRIES / 20);
  lua_close(L);
}

/* One worker: who waits gets its turns while the other one matches. Without
 * them it would meet the clock a few times only. */
#define BESIDE(what)                                                           \
  "local time = require('time')\n"                                             \
  "local pid = process.spawn_monitored(function()\n"                           \
  "  local s = ('a'):rep(140)\n" what "  return 'as expected'\n"               \
  "end)\n"                                                                     \
  "local ticks, ended = 0, nil\n"                                              \
  "repeat\n"                                                                   \
  "  ended = process.events():receive(0)\n"                                    \
  "  time.sleep(0.001)\n"                                                      \
  "  ticks = ticks + 1\n"                                                      \
  "until ended\n"                                                              \
  "print(ended.result.value or tostring(ended.result.error), ticks)\n"         \
  "assert(ended.result.value == 'as expected' and ticks > 4)\n"

static void others_have_their_turns(void **state) {
  static const char *const codes[] = {
      BESIDE("assert(s:find('a-a-a-b') == nil)\n"
             "assert(s:find('^(a-)a-()b') == nil)\n"),
      BESIDE("assert((s .. 'b'):match('(a-)a-a-cb') == nil)\n"
             "local from, to, p = ('b' .. s:sub(1, 100) .. "
             "'c'):find('(a*)a*a*$')\n"
             "assert(from == 103 and to == 102 and p == '')\n"),
      BESIDE("local t, n = s:gsub('a-a-a-b', 'x')\n"
             "assert(t == s and n == 0)\n"),
      BESIDE("for _ in s:gmatch('a-a-a-b') do error('found') end\n"),
      BESIDE("local long = ('ab'):rep(3e5)\n"
             "for i = 1, 8 do\n"
             "  local t, n = long:gsub('(a)(b)', '%2%1')\n"
             "  assert(n == 3e5 and t == ('ba'):rep(3e5))\n"
             "end\n"),
  };
  (void)state;
#ifdef RT_LUAJIT_SYSTEM /* it looks at nothing inside a match */
  skip();
#endif
  for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
    runner *r = runner_new(1, 0);
    int rc = runner_run(r, codes[i]);
    print_message("%s", runner_output(r));
    assert_int_equal(rc, 0);
    runner_free(r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(as_in_c),
                                     cmocka_unit_test(others_have_their_turns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
