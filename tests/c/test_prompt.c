/* test_prompt.c - chunks one after the other in a process (rt/prompt.h).
 * SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "rt/prompt.h"
#include "runner.h"

typedef struct env {
  runner *r;
  rt_prompt *prompt;
  size_t seen; /* of the output */
  int exit_code;
} env;

static void open_env(env *e, uint64_t vm_memory) {
  rt_error err = RT_ERROR_INIT;
  memset(e, 0, sizeof(*e));
  e->r = runner_new(2, vm_memory);
  e->exit_code = -1;
  assert_int_equal(rt_prompt_open(&e->prompt, runner_runtime(e->r), &err),
                   RT_OK);
}

static int setup(void **state) {
  env *e = calloc(1, sizeof(*e));
  open_env(e, 0);
  *state = e;
  return 0;
}

static int teardown(void **state) {
  env *e = *state;
  rt_prompt_close(e->prompt);
  runner_free(e->r);
  free(e);
  return 0;
}

static rt_prompt_outcome run(env *e, const char *text) {
  e->seen = strlen(runner_output(e->r));
  return rt_prompt_run(e->prompt, text, strlen(text), 80, &e->exit_code);
}

/* What the last chunk printed. */
static const char *printed(env *e) {
  return runner_output(e->r) + e->seen;
}

static void gives(env *e, const char *text, const char *output) {
  rt_prompt_outcome outcome = run(e, text);
  if (outcome != RT_PROMPT_DONE)
    fail_msg("%s: outcome %d: %s", text, (int)outcome, printed(e));
  assert_string_equal(printed(e), output);
}

static void test_values(void **state) {
  env *e = *state;
  gives(e, "1 + 1", "2\n");
  gives(e, "= 2 * 3", "6\n");
  gives(e, "'a', nil, 3 -- three", "a\tnil\t3\n");
  gives(e, "local x = 5", "");
  gives(e, "x", "nil\n");
  gives(e, "x = 5", "");
  gives(e, "x", "5\n");
  gives(e, "_ + 1", "6\n");
  gives(e, "nil", "nil\n");
  gives(e, "print('a') return 1, 2", "a\n");
  gives(e, "return 1, nil, 'x'", "1\tnil\tx\n");
  gives(e, "return\n{}", "{}\n");
  gives(e, "return", "");
  gives(e, "returned", "nil\n");
  gives(e, "time.sleep(0.001)", "true\n");
  gives(e, "-- nothing", "");
}

static void test_tables(void **state) {
  env *e = *state;
  gives(e, "{}", "{}\n");
  gives(e, "{ 1, 'two', { a = true, ['b c'] = 'x\\ny' } }",
        "{ 1, \"two\", { a = true, [\"b c\"] = \"x\\ny\" } }\n");
  gives(e, "t = {} t.self = t t.deep = { up = t }", "");
  gives(e, "t", "{ deep = { up = <cycle: top> }, self = <cycle: top> }\n");
  gives(e, "{{{{{{{}}}}}}, {{{{{{{1}}}}}}}}",
        "{ { { { { { {} } } } } }, { { { { { {...} } } } } } }\n");
  assert_int_equal(
      run(e, "local t = {} for i = 1, 1e4 do t[i] = i end return t"),
      RT_PROMPT_DONE);
  assert_int_equal(run(e, "big = {} for i = 1, 10000 do big[i] = i end"),
                   RT_PROMPT_DONE);
  assert_int_equal(run(e, "big"), RT_PROMPT_DONE);
  assert_non_null(strstr(printed(e), "... 9900 more"));
  gives(e, "{ [1] = 'a', [3] = 'c', z = 1, y = errors.new('oh') }",
        "{ \"a\", [3] = \"c\", y = oh, z = 1 }\n");
  gives(e, "channel.new(), { time.timer('1h') }", "<channel>\t{ <timer> }\n");
  gives(e, "setmetatable({}, { __tostring = function() return 'me' end })",
        "me\n");
}

static void test_records(void **state) {
  env *e = *state;
  gives(e, "{ { name = 'a', size = 10 }, { name = 'bcd', size = 7.25 } }",
        "name   size\n"
        "a        10\n"
        "bcd   7.250\n");
  gives(e, "process.registry.register('shell')", "true\n");
  gives(e, "process.registry.register('a')", "true\n");
  gives(e, "process.list()[1].name", "a\n");
  assert_int_equal(run(e, "process.list()"), RT_PROMPT_DONE);
  assert_non_null(strstr(printed(e), "pid "));
  assert_non_null(strstr(printed(e), " name "));
  assert_non_null(strstr(printed(e), " state "));
  assert_null(strstr(printed(e), "{ "));
}

static void test_more(void **state) {
  env *e = *state;
  static const char *const begun[] = {
      "for i = 1, 2 do", "f(",   "x = {", "s = [[a", "1 +",
      "--[[ a",          "= (1", "return"};
  for (size_t i = 0; i < sizeof(begun) / sizeof(*begun) - 1; i++)
    assert_int_equal(run(e, begun[i]), RT_PROMPT_MORE);
  gives(e, "for i = 1, 2 do\nprint(i)\nend", "1\n2\n");
  gives(e, "1 +\n2", "3\n");
  assert_int_equal(run(e, "for for"), RT_PROMPT_FAILED);
  assert_int_equal(run(e, "x y"), RT_PROMPT_FAILED);
  assert_non_null(strstr(printed(e), "prompt:1: "));
}

static void test_errors(void **state) {
  env *e = *state;
  assert_int_equal(run(e, "function f() error('deep') end"), RT_PROMPT_DONE);
  assert_int_equal(run(e, "f()"), RT_PROMPT_FAILED);
  assert_string_equal(printed(e), "prompt:1: deep\n"
                                  "stack traceback:\n"
                                  "\t[C]: in function 'error'\n"
                                  "\tprompt:1: in function 'f'\n"
                                  "\tprompt:1: in main chunk\n");
  assert_int_equal(run(e, "coroutine.wrap(function() f() end)()"),
                   RT_PROMPT_FAILED);
  assert_non_null(strstr(printed(e), "resumed from"));
  assert_int_equal(run(e, "error({ code = 7 })"), RT_PROMPT_FAILED);
  assert_non_null(strstr(printed(e), "{ code = 7 }"));
  assert_int_equal(run(e, "error()"), RT_PROMPT_FAILED);
  assert_int_equal(run(e, "error(setmetatable({}, { __tostring = error }))"),
                   RT_PROMPT_FAILED);
  gives(e, "1", "1\n");
}

typedef struct breaker {
  env *e;
  pthread_t thread;
  atomic_bool done;
} breaker;

static void *break_it(void *arg) {
  breaker *b = arg;
  if (runner_wait(b->e->r, "begun")) rt_prompt_break(b->e->prompt);
  return NULL;
}

/* Run a chunk that prints "begun" and break it then. */
static void breaks(const char *text) {
  env e;
  breaker b = {.e = &e};
  open_env(&e, 0);
  gives(&e, "kept = 1", "");
  pthread_create(&b.thread, NULL, break_it, &b);
  assert_int_equal(run(&e, text), RT_PROMPT_BROKEN);
  pthread_join(b.thread, NULL);
  assert_non_null(strstr(printed(&e), "interrupted\nstack traceback:"));
  gives(&e, "kept", "1\n");
  rt_prompt_close(e.prompt);
  runner_free(e.r);
}

static void test_break(void **state) {
  (void)state;
  breaks("print('begun') while true do end");
  breaks("print('begun') while true do pcall(function() local x = 1 end) end");
  breaks("print('begun') time.sleep(1000)");
  breaks("print('begun') channel.new():receive()");
  breaks("print('begun') coroutine.wrap(function() while true do end end)()");
  breaks("print('begun') process.exec(function() while true do end end)");
}

/* What waited for a channel and was broken takes nothing out of it. */
static void test_break_leaves_channels(void **state) {
  env *e = *state;
  breaker b = {.e = e};
  gives(e, "ch = channel.new()", "");
  pthread_create(&b.thread, NULL, break_it, &b);
  assert_int_equal(run(e, "print('begun') ch:receive()"), RT_PROMPT_BROKEN);
  pthread_join(b.thread, NULL);
  gives(e, "coroutine.spawn(function() ch:send(1) end)", "");
  gives(e, "ch:receive('10s')", "1\ttrue\n");
}

/* Nor what waited in a line of others, or with select, or to send. */
static void test_break_leaves_lines(void **state) {
  static const char *const waits[] = {
      "channel.select({a:case_receive(), b:case_receive()})",
      "channel.select({a:case_send(7), b:case_send(8)})",
      "channel.select({a:case_receive(), b:case_send(8), timeout = '1h'})",
      "a:send(9)",
      ("coroutine.spawn(function() a:receive(0.2) end) time.sleep(0.001) "
       "a:receive()"),
  };
  (void)state;
  for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
    env one, *e = &one;
    breaker b = {.e = e};
    open_env(e, 0);
    char text[200];
    gives(e, "a, b = channel.new(), channel.new()", "");
    snprintf(text, sizeof(text), "print('begun') %s", waits[i]);
    pthread_create(&b.thread, NULL, break_it, &b);
    assert_int_equal(run(e, text), RT_PROMPT_BROKEN);
    pthread_join(b.thread, NULL);
    if (i == 4) gives(e, "time.sleep(0.3)", "true\n");
    gives(e,
          "a:receive(0) == nil, b:receive(0) == nil, "
          "channel.select({a:case_send(1), b:case_send(1), default = true})"
          ".default",
          "true\ttrue\ttrue\n");
    gives(e, "coroutine.spawn(function() a:send(1) b:send(2) end)", "");
    gives(e, "a:receive('10s')", "1\ttrue\n");
    gives(e, "b:receive('10s')", "2\ttrue\n");
    rt_prompt_close(e->prompt);
    runner_free(e->r);
  }
}

/* A break before the chunk that is kept from running has come is none. */
static void *break_again_and_again(void *arg) {
  breaker *b = arg;
  while (!atomic_load(&b->done)) {
    rt_prompt_break(b->e->prompt);
    for (int i = 0; i < 100 && !atomic_load(&b->done); i++) usleep(1000);
  }
  return NULL;
}

/* A coroutine that hogs the process keeps the next chunk from running. That is
 * broken too when the break was asked for once more just then. */
static void test_break_what_hogs(void **state) {
  env *e = *state;
  breaker b = {.e = e};
  rt_prompt_outcome outcome = RT_PROMPT_BROKEN;
  assert_int_equal(
      run(e,
          "coroutine.spawn(function() print('begun') while true do end end)"),
      RT_PROMPT_DONE);
  pthread_create(&b.thread, NULL, break_again_and_again, &b);
  for (int i = 0; i < 50 && outcome == RT_PROMPT_BROKEN; i++)
    outcome = run(e, "40 + 2");
  atomic_store(&b.done, true);
  pthread_join(b.thread, NULL);
  assert_int_equal(outcome, RT_PROMPT_DONE);
  assert_true(runner_wait(e->r, "42\n"));
  rt_prompt_break(e->prompt); /* nothing runs */
  gives(e, "5", "5\n");
}

static void test_end_of_its_process(void **state) {
  env *e = *state;
  gives(e, "kept, before = 1, process.pid()", "");
  assert_int_equal(
      run(e, "coroutine.spawn(function() error('gone') end) time.sleep(100)"),
      RT_PROMPT_FAILED);
  assert_non_null(
      strstr(printed(e), "the prompt's process ended: prompt:1: gone"));
  gives(e, "kept, before == process.pid()", "1\tfalse\n");
  assert_int_equal(run(e, "process.terminate(process.pid()) time.sleep(100)"),
                   RT_PROMPT_FAILED);
  gives(e, "kept", "1\n");
}

static void test_out_of_memory(void **state) {
  env e;
  (void)state;
  open_env(&e, 24u << 20);
  gives(&e, "kept = 1", "");
  assert_int_equal(run(&e, "t = {} while true do t[#t + 1] = { #t } end"),
                   RT_PROMPT_FAILED);
  gives(&e, "t, kept", "nil\tnil\n");
  rt_prompt_close(e.prompt);
  runner_free(e.r);
}

static void completes(env *e, const char *text, const char *words) {
  char *out = NULL;
  assert_int_equal(
      rt_prompt_complete(e->prompt, text, strlen(text), &out, NULL), RT_OK);
  assert_string_equal(out, words);
  rt_free(out);
}

static void test_complete(void **state) {
  env *e = *state;
  completes(e, "x = proc", "process");
  completes(e, "process.spawn_l", "spawn_linked\nspawn_linked_monitored");
  gives(e,
        "thing = { inner = { alpha = 1, beta = print, ['not a name'] = 1 }, "
        "text = 'abc' }",
        "");
  completes(e, "print(thing.", "inner\ntext");
  completes(e, "thing.inner.a", "alpha");
  completes(e, "thing.inner:", "beta");
  completes(e, "thing.text:up", "upper");
  completes(e, "thi", "thing");
  completes(e, "whi", "while");
  completes(e, "thing.nothing.", "");
  completes(e, "no_such", "");
  completes(e, "", "");
  gives(e, "obj = setmetatable({}, { __index = { method = print } })", "");
  completes(e, "obj:m", "method");
  gives(e, "lazy = setmetatable({}, { __index = function() error('no') end })",
        "");
  completes(e, "lazy.x.y", "");
}

static void test_exit(void **state) {
  env *e = *state;
  assert_int_equal(run(e, "os.exit(7)"), RT_PROMPT_EXIT);
  assert_int_equal(e->exit_code, 7);
  assert_int_equal(run(e, "1"), RT_PROMPT_CLOSED);
}

static void *stop_it(void *arg) {
  breaker *b = arg;
  if (runner_wait(b->e->r, "begun"))
    rt_runtime_stop(runner_runtime(b->e->r), 0);
  return NULL;
}

/* A runtime that stops meanwhile, or has stopped, is an answer. */
static void test_stopped_runtime(void **state) {
  env *e = *state;
  breaker b = {.e = e};
  char *words = NULL;
  rt_prompt *another;
  pthread_create(&b.thread, NULL, stop_it, &b);
  assert_int_equal(run(e, "print('begun') process.inbox():receive()"),
                   RT_PROMPT_CLOSED);
  pthread_join(b.thread, NULL);
  assert_int_equal(run(e, "1"), RT_PROMPT_CLOSED);
  rt_prompt_break(e->prompt);
  assert_int_equal(rt_prompt_complete(e->prompt, "a", 1, &words, NULL),
                   RT_ECLOSED);
  assert_null(words);
  assert_int_equal(rt_prompt_open(&another, runner_runtime(e->r), NULL), RT_OK);
  assert_int_equal(rt_prompt_run(another, "1", 1, 80, NULL), RT_PROMPT_CLOSED);
  rt_prompt_close(another);
}

static void test_waits_for_messages(void **state) {
  env *e = *state;
  gives(e, "me = process.pid()", "");
  gives(e,
        "process.spawn(function(to) process.send(to, 'hi', 5) end, me) ~= nil",
        "true\n");
  gives(e, "process.inbox():receive():payload()", "5\n");
  gives(e, "ch = channel.new() coroutine.spawn(function() ch:send(3) end)", "");
  gives(e, "ch:receive()", "3\ttrue\n");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(test_values),
      CASE(test_tables),
      CASE(test_records),
      CASE(test_more),
      CASE(test_errors),
      cmocka_unit_test(test_break),
      CASE(test_break_leaves_channels),
      cmocka_unit_test(test_break_leaves_lines),
      CASE(test_break_what_hogs),
      CASE(test_end_of_its_process),
      cmocka_unit_test(test_out_of_memory),
      CASE(test_complete),
      CASE(test_exit),
      CASE(test_stopped_runtime),
      CASE(test_waits_for_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
