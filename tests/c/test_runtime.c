/* test_runtime.c - main scripts: exit codes, quiescence, interrupt, stop.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "runner.h"

static void check_output(runner *r, const char *text) {
  const char *got = runner_output(r);
  if (!strstr(got, text)) fail_msg("no '%s' in: %s", text, got);
}

static void expect(const char *code, int exit_code, const char *output) {
  runner *r = runner_new(0, 0);
  int got = runner_run(r, code);
  if (got != exit_code)
    fail_msg("exit code %d, output: %s", got, runner_output(r));
  check_output(r, output);
  runner_free(r);
}

static void a_script_runs(void **state) {
  (void)state;
  expect("print('hello', 1, nil, true)", 0, "hello\t1\tnil\ttrue\n");
}

static void an_error_gives_1_and_a_traceback(void **state) {
  (void)state;
  expect("local function f() error('boom') end\nf() return", 1,
         "test:1: boom\nstack traceback:");
  expect("x = = 1", 1, "test:1: unexpected symbol near '='");
  expect("error({code = 5})", 1, "table");
  expect("error()", 1, "nil");
}

static void what_is_allowed(void **state) {
  static const char *const bad[] = {"", "disk", "net,", "net fs", ",net"};
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_runtime *rt = NULL;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    opts.allow = bad[i];
    assert_int_equal(rt_runtime_new(&rt, &opts, &err), RT_EINVAL);
    assert_null(rt);
    assert_non_null(strstr(err.message, "allow: "));
  }
  opts.allow = "net";
  opts.unsafe = true;
  assert_int_equal(rt_runtime_new(&rt, &opts, &err), RT_EINVAL);
  opts.unsafe = false;
  assert_int_equal(rt_runtime_new(&rt, &opts, &err), RT_OK);
  rt_runtime_free(rt);
}

static void exit_codes(void **state) {
  (void)state;
  expect("os.exit(7)", 7, "");
  expect("os.exit(true)", 0, "");
  expect("os.exit(false)", 1, "");
  expect("coroutine.wrap(function() os.exit(3) end)() print('no')", 3, "");
  expect("pcall(os.exit, 4) print('no')", 4, "");
}

static void it_goes_on_while_something_can_happen(void **state) {
  (void)state;
  expect("local time = require('time')\n"
         "coroutine.spawn(function() time.sleep(0.02) print('after') end)\n"
         "print('main returns')",
         0, "main returns\nafter\n");
  expect("process.spawn(function() require('time').sleep(0.02)"
         " print('child') end)",
         0, "child");
  expect("coroutine.spawn(function() require('time').sleep(0.01)"
         " error('late') end)",
         1, "late");
}

static void it_ends_when_nothing_can_happen(void **state) {
  (void)state;
  expect("process.spawn(function() process.inbox():receive() end)\n"
         "coroutine.spawn(function() process.inbox():receive() end)\n"
         "print('done')",
         0, "done");
}

static void waiting_for_nothing_is_a_deadlock(void **state) {
  (void)state;
  expect("process.inbox():receive()", 1, "deadlock");
  expect("local time = require('time')\n"
         "local pid = process.spawn(function() process.inbox():receive() end)\n"
         "time.sleep(0.01) process.events():receive()",
         1, "deadlock");
}

static void one_runtime_runs_several_scripts(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  for (int i = 0; i < 5; i++)
    assert_int_equal(runner_run(r, "answer = (answer or 0) + 1 print(answer)"),
                     0);
  assert_string_equal(runner_output(r), "1\n1\n1\n1\n1\n");
  runner_free(r);
}

static void arguments_and_files(void **state) {
  (void)state;
  const char *args[] = {"one", "two"};
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  int code = -1;
  runner *r = runner_new(1, 0);
  script.code = "print(arg[0], arg[1], arg[2], #arg, ...)";
  script.code_size = strlen(script.code);
  script.name = "name";
  script.args = args;
  script.arg_count = 2;
  assert_int_equal(rt_runtime_run(runner_runtime(r), &script, &code, &err),
                   RT_OK);
  assert_string_equal(runner_output(r), "name\tone\ttwo\t2\tone\ttwo\n");
  script = (rt_script)RT_SCRIPT_INIT;
  script.path = "/no/such/script.lua";
  assert_int_equal(rt_runtime_run(runner_runtime(r), &script, &code, &err),
                   RT_ENOTFOUND);
  assert_non_null(strstr(err.message, "/no/such/script.lua"));
  script.path = NULL;
  assert_int_equal(rt_runtime_run(runner_runtime(r), &script, &code, &err),
                   RT_EINVAL);
  runner_free(r);
}

typedef struct interrupter {
  runner *r;
  int times;
} interrupter;

static void interrupt(void *arg) {
  interrupter *i = arg;
  runner_wait(i->r, "running");
  for (int n = 0; n < i->times; n++)
    rt_runtime_interrupt(runner_runtime(i->r), 130);
}

static int run_interrupted(const char *code, int times, const char *output) {
  uv_thread_t thread;
  interrupter i = {runner_new(2, 0), times};
  assert_int_equal(uv_thread_create(&thread, interrupt, &i), 0);
  int exit_code = runner_run(i.r, code);
  uv_thread_join(&thread);
  check_output(i.r, output);
  runner_free(i.r);
  return exit_code;
}

static void an_interrupt_ends_the_main_process(void **state) {
  (void)state;
  assert_int_equal(
      run_interrupted("print('running') while true do end", 1, "running"), 130);
  assert_int_equal(run_interrupted("print('running')"
                                   "require('time').sleep(1000)",
                                   1, "running"),
                   130);
}

static void an_interrupt_can_be_heard(void **state) {
  (void)state;
  const char *code = "coroutine.spawn(require('time').sleep, 1000)\n"
                     "local events = process.events() print('running')\n"
                     "print(events:receive().kind) os.exit(5)";
  assert_int_equal(run_interrupted(code, 1, "CANCEL"), 130);
  code = "process.events() print('running') while true do end";
  assert_int_equal(run_interrupted(code, 2, "running"), 130);
}

static void stop_ends_everything(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  assert_int_equal(
      runner_run(r, "for i = 1, 4 do process.spawn(function() local t ="
                    " process.events() print('up') while true do end end) end\n"
                    "os.exit(0)"),
      0);
  rt_runtime_stop(rt, 0.05);
  rt_runtime_stop(rt, 0);
  rt_script script = RT_SCRIPT_INIT;
  int code;
  script.code = "";
  assert_int_equal(rt_runtime_run(rt, &script, &code, NULL), RT_ECONFLICT);
  runner_free(r);
}

static void two_runtimes_in_one_program(void **state) {
  (void)state;
  runner *a = runner_new(1, 0), *b = runner_new(2, 0);
  assert_int_equal(runner_run(a, "print('a')"), 0);
  assert_int_equal(runner_run(b, "print('b')"), 0);
  assert_string_equal(runner_output(a), "a\n");
  assert_string_equal(runner_output(b), "b\n");
  runner_free(a);
  runner_free(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_script_runs),
      cmocka_unit_test(an_error_gives_1_and_a_traceback),
      cmocka_unit_test(exit_codes),
      cmocka_unit_test(what_is_allowed),
      cmocka_unit_test(it_goes_on_while_something_can_happen),
      cmocka_unit_test(it_ends_when_nothing_can_happen),
      cmocka_unit_test(waiting_for_nothing_is_a_deadlock),
      cmocka_unit_test(one_runtime_runs_several_scripts),
      cmocka_unit_test(arguments_and_files),
      cmocka_unit_test(an_interrupt_ends_the_main_process),
      cmocka_unit_test(an_interrupt_can_be_heard),
      cmocka_unit_test(stop_ends_everything),
      cmocka_unit_test(two_runtimes_in_one_program),
  };
  return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
