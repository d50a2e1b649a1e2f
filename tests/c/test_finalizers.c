/* test_finalizers.c - finalizers, which --unsafe scripts may have, run wherever
 * something is allocated: in the middle of a message, while the scheduler
 * collects, and at the exits of compiled code.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rt/runtime.h"

static int run(const char *code) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  int exit_code = -1;
  opts.workers = 1;
  opts.unsafe = true;
  assert_int_equal(rt_runtime_new(&rt, &opts, &err), RT_OK);
  script.code = code;
  script.code_size = strlen(code);
  script.name = "test";
  assert_int_equal(rt_runtime_run(rt, &script, &exit_code, &err), RT_OK);
  rt_runtime_free(rt);
  return exit_code;
}

/* It is dropped, wherever it comes. */
static void its_error_ends_no_program(void **state) {
  (void)state;
  assert_int_equal(
      run("require('jit').off()\n"
          "for i = 1, 40 do\n"
          "  getmetatable(newproxy(true)).__gc = function() error('oops') end\n"
          "end\n"
          "pcall(function() return #('x'):rep(4 * 1024 * 1024) end)\n"
          "for i = 1, 5 do pcall(require('time').sleep, 0.05) end\n"
          "for i = 1, 50 do pcall(os.exit, 7) end\n"),
      7);
}

/* At an exit of compiled code nobody could catch it. */
static void its_error_ends_no_compiled_code(void **state) {
  (void)state;
#ifdef RT_LUAJIT_SYSTEM /* it gives the error to the script */
  skip();
#endif
  assert_int_equal(run("local n = 0\n"
                       "local function fin() n = n + 1 error('oops') end\n"
                       "for i = 1, 20000 do\n"
                       "  getmetatable(newproxy(true)).__gc = fin\n"
                       "  for k = 1, 50 do local t = {k, {i}} end\n"
                       "end\n"
                       "for i = 1, 200 do collectgarbage() end\n"
                       "os.exit(n > 1000 and 7 or 1)\n"),
                   7);
}

/* To a ring, as a value and as an object; then to one who waits. */
#define SENDER                                                                 \
  "local me, fins, sent, got = process.pid(), 0, 0, 0\n"                       \
  "local plain = process.listen('plain')\n"                                    \
  "local object = process.listen('object', {message = true})\n"                \
  "local function make(topic)\n"                                               \
  "  getmetatable(newproxy(true)).__gc = function()\n"                         \
  "    local ok, went = pcall(process.send, me, topic, 'fin')\n"               \
  "    if ok and went then fins = fins + 1 end\n"                              \
  "  end\n"                                                                    \
  "end\n"

static void send_to_the_same_ring(const char *code, const char *first) {
  char text[4096];
  snprintf(text, sizeof(text), "%s%s", first, code);
  assert_int_equal(run(text), 7);
}

static void it_may_send_to_the_same_ring(void **state) {
  static const char code[] =
      SENDER "local function drain(ch)\n"
             "  while ch:receive(0) ~= nil do got = got + 1 end\n"
             "end\n"
             "for i = 1, 4000 do\n"
             "  local topic = i % 2 == 0 and 'plain' or 'object'\n"
             "  make(topic)\n"
             "  for k = 1, 4 do\n"
             "    assert(process.send(me, topic, {i, {k}}))\n"
             "    sent = sent + 1\n"
             "  end\n"
             "  if i % 20 == 0 then drain(plain) drain(object) end\n"
             "end\n"
             "for i = 1, 1000 do\n"
             "  drain(plain) drain(object)\n"
             "  if fins > 0 and got == sent + fins then os.exit(7) end\n"
             "  collectgarbage()\n"
             "end\n";
  (void)state;
  send_to_the_same_ring(code, "require('jit').off()\n");
  send_to_the_same_ring(code, "");
}

static void it_may_send_to_who_waits(void **state) {
  (void)state;
  assert_int_equal(
      run("require('jit').off()\n" SENDER
          "local sleep = require('time').sleep\n"
          "coroutine.spawn(function()\n"
          "  while object:receive() do got = got + 1 end\n"
          "end)\n"
          "for i = 1, 4000 do\n"
          "  make('object')\n"
          "  assert(process.send(me, 'object', {i, {i}}))\n"
          "  sent = sent + 1\n"
          "  if i % 3 == 0 then sleep(0) end\n"
          "end\n"
          "for i = 1, 1000 do\n"
          "  sleep(0)\n"
          "  if fins > 0 and got == sent + fins then os.exit(7) end\n"
          "  collectgarbage()\n"
          "end\n"),
      7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(its_error_ends_no_program),
      cmocka_unit_test(its_error_ends_no_compiled_code),
      cmocka_unit_test(it_may_send_to_the_same_ring),
      cmocka_unit_test(it_may_send_to_who_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
