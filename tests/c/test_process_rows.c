/* test_process_rows.c - rows W-50, W-52, W-54 and W-55 of the inventory, as far
 * as they hold here (docs/departures.md): who waits for ever, where processes
 * run, asking and ending, the end of all.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/rt.h"
#include "runner.h"

static void expect(unsigned workers, int code, const char *wanted,
                   const char *text) {
  runner *r = runner_new(workers, 0);
  int got = runner_run(r, text);
  if (got != code || !strstr(runner_output(r), wanted))
    fail_msg("exit %d, no '%s' in: %s %s", got, wanted, runner_output(r),
             runner_log(r));
  runner_free(r);
}

/* --- W-50: a main process that waits for what can never come is told so; other
 * processes wait as long as the program lasts. */

static void w50_a_main_process_that_waits_for_ever(void **state) {
  (void)state;
  expect(1, 1, "deadlock", "channel.new():receive()");
  expect(1, 1, "deadlock", "channel.new():send(1)");
  expect(1, 1, "deadlock",
         "local a, b = channel.new(), channel.new()\n"
         "coroutine.spawn(function() a:receive() b:send(1) end)\n"
         "b:receive() a:send(1)");
  expect(1, 1, "deadlock",
         "local sub = require('events').subscribe('never.*')\n"
         "sub:channel():receive()");
}

static void w50_others_wait_as_long_as_the_program(void **state) {
  (void)state;
  expect(2, 0, "over",
         "for i = 1, 20 do process.spawn(function()\n"
         "  channel.new():receive() end) end\n"
         "require('time').sleep(0.01) print('over')");
  expect(2, 0, "nil\tEXIT",
         "local pid = process.spawn_monitored(function()\n"
         "  process.inbox():receive() end)\n"
         "print(process.events():receive('20ms'),\n"
         "  process.terminate(pid) and process.events():receive().kind)");
}

/* --- W-52: processes are spread over the workers and stay where they are; one
 * that computes does not keep the others of its worker waiting; no wake-up is
 * lost. */

static void w52_processes_are_spread_and_stay(void **state) {
  (void)state;
  expect(
      3, 0, "3 places, 0 moved",
      "local count, seen, moved, first = 0, {}, 0, {}\n"
      "local function answer()\n"
      "  for msg in process.inbox():values() do\n"
      "    process.send(msg:from(), 'pid', process.pid()) end end\n"
      "local got, pids = process.listen('pid'), {}\n"
      "for i = 1, 30 do pids[i] = process.spawn(answer) end\n"
      "for round = 1, 50 do\n"
      "  for i = 1, 30 do process.send(pids[i], 'who') end\n"
      "  for i = 1, 30 do\n"
      "    local pid = got:receive(30)\n"
      "    local place = pid:match('^{(%x+)|')\n"
      "    if not seen[place] then seen[place] = true count = count + 1 end\n"
      "    first[pid] = first[pid] or place\n"
      "    if first[pid] ~= place then moved = moved + 1 end\n"
      "  end\n"
      "end\n"
      "print(count .. ' places, ' .. moved .. ' moved')");
}

static void w52_who_computes_keeps_nobody_waiting(void **state) {
  (void)state;
  expect(1, 0, "answered",
         "for i = 1, 3 do\n"
         "  process.spawn(function() while true do end end) end\n"
         "local pid = process.spawn(function()\n"
         "  for msg in process.inbox():values() do\n"
         "    process.send(msg:from(), 'back', 1) end end)\n"
         "local back = process.listen('back')\n"
         "for i = 1, 20 do process.send(pid, 'there')\n"
         "  assert(back:receive(30)) end\n"
         "print('answered') os.exit(0)");
}

/* --- W-54: cancel asks, and is a message; terminate ends, also in the middle
 * of a step. */

static void w54_cancel_asks_and_terminate_ends(void **state) {
  (void)state;
  expect(2, 0, "asked, CANCELED, NOT_FOUND",
         "local function stubborn(parent)\n"
         "  local events = process.events()\n"
         "  local event = events:receive()\n"
         "  process.send(parent, 'asked', event.kind, event.reason)\n"
         "  while true do end\n"
         "end\n"
         "local asked, events = process.listen('asked', {message = true}),\n"
         "  process.events()\n"
         "local pid = process.spawn_monitored(stubborn, process.pid())\n"
         "assert(process.cancel(pid, 'enough'))\n"
         "local kind, reason = asked:receive(30):payload()\n"
         "assert(kind == 'CANCEL' and reason == 'enough')\n"
         "assert(events:receive(0.05) == nil)\n"
         "assert(process.terminate(pid))\n"
         "local exit = events:receive(30)\n"
         "local ok, err = process.terminate(pid)\n"
         "print('asked, ' .. exit.result.error:kind() .. ', ' .. err:kind())");
}

/* --- W-55: at the stop nothing new is started, all who can hear it are asked,
 * those who do not end in time are ended, each end is told. */

typedef struct ends {
  atomic_int told, canceled;
} ends;

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  ends *e = arg;
  (void)pid;
  if (error) atomic_fetch_add(&e->canceled, 1);
  atomic_fetch_add(&e->told, 1);
  rt_value_unref(result);
  rt_value_unref(error);
}

static void write_script(const char *path, const char *text) {
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static void w55_stop_asks_then_ends(void **state) {
  (void)state;
  char dir[] = "/tmp/rows-XXXXXX", path[64];
  ends e = {0};
  rt_pid pid;
  rt_error err = RT_ERROR_INIT;
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof(path), "%s/p.lua", dir);
  write_script(path, "local how = ...\n"
                     "local events = process.events()\n"
                     "print('up')\n"
                     "local event = events:receive()\n"
                     "print(event.kind, event.reason)\n"
                     "while how == 'stubborn' do end\n");
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  for (int i = 0; i < 6; i++) {
    rt_value *args = NULL;
    const char *text = i < 2 ? "[\"stubborn\"]" : "[\"polite\"]";
    assert_int_equal(rt_value_from_json(&args, text, strlen(text), &err),
                     RT_OK);
    assert_int_equal(
        rt_process_spawn(rt, &pid, path, args, on_exit_of, &e, &err), RT_OK);
    rt_value_unref(args);
  }
  assert_true(runner_wait(r, "up\nup\nup\nup\nup\nup\n"));
  rt_runtime_stop(rt, 3); /* time for the polite on a busy machine */
  assert_non_null(
      strstr(runner_output(r), "CANCEL\tthe runtime is stopping\n"));
  assert_int_equal(atomic_load(&e.told), 6);
  assert_int_equal(atomic_load(&e.canceled), 2);
  assert_int_not_equal(rt_process_spawn(rt, &pid, path, NULL, NULL, NULL, &err),
                       RT_OK);
  runner_free(r);
  remove(path);
  remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(w50_a_main_process_that_waits_for_ever),
      cmocka_unit_test(w50_others_wait_as_long_as_the_program),
      cmocka_unit_test(w52_processes_are_spread_and_stay),
      cmocka_unit_test(w52_who_computes_keeps_nobody_waiting),
      cmocka_unit_test(w54_cancel_asks_and_terminate_ends),
      cmocka_unit_test(w55_stop_asks_then_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
