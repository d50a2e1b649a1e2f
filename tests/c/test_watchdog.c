/* test_watchdog.c - preemption, deadlines, memory, and idle runtimes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <uv.h>

#include "process/sched.h"
#include "runner.h"

static void check(runner *r, int code, const char *wanted) {
  const char *output = runner_output(r);
  if (code != 0 || !strstr(output, wanted))
    fail_msg("exit %d, no '%s' in: %s %s", code, wanted, output, runner_log(r));
}

static void loops_share_a_worker(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  int code =
      runner_run(r, "local pids = {}\n"
                    "for i = 1, 5 do pids[i] = process.spawn(function()\n"
                    "  local n = 0 while true do n = n + 1 end end) end\n"
                    "local time = require('time')\n"
                    "for i = 1, 5 do time.sleep(0.002) end\n"
                    "for i = 1, 5 do process.monitor(pids[i])\n"
                    "  assert(process.terminate(pids[i])) end\n"
                    "for i = 1, 5 do local e = process.events():receive()\n"
                    "  assert(e.result.error:kind() == 'CANCELED') end\n"
                    "print('all ended')");
  check(r, code, "all ended");
  runner_free(r);
}

static void preemption_changes_no_result(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  int code = runner_run(
      r, "local function work(n)\n"
         "  local t, sum = {}, 0\n"
         "  for i = 1, n do t[i] = tostring(i) .. 'x' end\n"
         "  for i, s in ipairs(t) do sum = sum + #s * i % 13 end\n"
         "  table.sort(t)\n"
         "  return sum .. table.concat(t):sub(1, 50)\n"
         "end\n"
         "local source = [[local n = ...\n"
         "  local t, sum = {}, 0\n"
         "  for i = 1, n do t[i] = tostring(i) .. 'x' end\n"
         "  for i, s in ipairs(t) do sum = sum + #s * i % 13 end\n"
         "  table.sort(t)\n"
         "  return sum .. table.concat(t):sub(1, 50)]]\n"
         "local function run(source, n) return loadstring(source)(n) end\n"
         "for i = 1, 8 do process.spawn_monitored(run, source, 30000) end\n"
         "local wanted = work(30000)\n"
         "for i = 1, 8 do\n"
         "  local e = process.events():receive()\n"
         "  assert(e.result.value == wanted, tostring(e.result.error)) end\n"
         "print('same')");
  check(r, code, "same");
  runner_free(r);
}

/* --- deadlines
 * ---------------------------------------------------------------- */

typedef struct timed {
  rt__task task;
  uv_sem_t done;
  const char *code;
  double deadline;
  rt_err how;
} timed;

static void on_end(rt__process *process, rt_err how, rt_value *result,
                   rt_value *error, void *arg) {
  timed *t = arg;
  (void)process;
  (void)result;
  (void)error;
  t->how = how;
  uv_sem_post(&t->done);
}

static void start_timed(rt__worker *worker, rt__task *task) {
  timed *t = (timed *)task;
  rt__start start = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  start.on_exit = on_end;
  start.exit_arg = t;
  start.deadline = t->deadline;
  luaL_loadstring(worker->vm->L, t->code);
  rt_err rc = rt__process_start(NULL, worker->vm, &start, 0, &err);
  if (rc != RT_OK) {
    t->how = rc;
    uv_sem_post(&t->done);
  }
}

static rt_err run_timed(runner *r, const char *code, double deadline) {
  timed t = {.task.run = start_timed, .code = code, .how = RT_EINTERNAL};
  t.deadline = deadline;
  uv_sem_init(&t.done, 0);
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &t.task);
  uv_sem_wait(&t.done);
  uv_sem_destroy(&t.done);
  return t.how;
}

static void a_deadline_ends_what_runs_and_what_waits(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  static const char *const endless[] = {
      "while true do end",
      "local n = 0 for i = 1, 1e15 do n = n + i % 3 end",
      "while true do pcall(function() while true do end end) end",
      "local f f = function() return pcall(f) end while true do f() end",
      "table.sort({3, 2, 1}, function() while true do end end)",
      "while true do xpcall(error, function() while true do end end) end",
      "while true do coroutine.wrap(function() while true do end end)() end",
      "require('rt.task').park()", /* with the library's globals here */
      "string.find(('a'):rep(60000), 'a-a-a-a-a-a-b')",
  };
  size_t count = sizeof(endless) / sizeof(*endless);
  if (!strcmp(rt_luajit(), "packaged")) {
    count--; /* the last one: nothing looks up inside its matcher */
    print_message("# a long pattern match: needs our build of LuaJIT\n");
  }
  for (size_t i = 0; i < count; i++)
    if (run_timed(r, endless[i], 0.03) != RT_ETIMEOUT)
      fail_msg("not ended by its deadline: %s", endless[i]);
  assert_int_equal(run_timed(r, "return 5", 60), RT_OK);
  assert_int_equal(run_timed(r, "error('x')", 60), RT_EUNKNOWN);
  runner_free(r);
}

/* --- memory
 * ---------------------------------------------------------------------- */

/* What the worker computes for it, in seconds. */
static double cpu_of(runner *r, const char *code, double deadline, rt_err how) {
  rt__worker *worker = rt__runtime_worker(runner_runtime(r), 0);
  uint64_t before = rt__worker_cpu(worker);
  assert_int_equal(run_timed(r, code, deadline), how);
  return (double)(rt__worker_cpu(worker) - before) / 1e9;
}

/* A function of C in the middle of which it is ended computes less. */
static void is_ended_within(const char *code) {
  runner *r = runner_new(1, 0);
  assert_int_equal(run_timed(r, "return 5", 0), RT_OK); /* it has begun */
  double whole = cpu_of(r, code, 0, RT_OK), part = whole;
  for (int i = 0; i < 3 && part > whole / 2; i++)
    part = cpu_of(r, code, 0.02, RT_ETIMEOUT);
  if (part > whole / 2) fail_msg("%.3f of %.3f s: %s", part, whole, code);
  runner_free(r);
}

/* The texts are made in the first run, for all. */
static void a_deadline_ends_long_calls_of_c(void **state) {
  (void)state;
  is_ended_within("TEXT = TEXT or ('do end '):rep(3e6)\n"
                  "assert(require('rt.core.task').compile(TEXT))");
  is_ended_within("TEXT = TEXT or 'return [[' .. ('x'):rep(5e7) .. ']]'\n"
                  "assert(require('rt.core.task').compile(TEXT, 'x'))");
  is_ended_within("TEXT = TEXT or ('x'):rep(1.5e8)\n"
                  "require('rt.core.crypto').hmac('sha512', 'k', TEXT)");
}

static void a_hog_is_ended_and_others_live(void **state) {
  (void)state;
  runner *r = runner_new(1, 48u << 20);
  int code = runner_run(
      r, "local time = require('time')\n"
         "local other = process.spawn_monitored(function(hog)\n"
         "  local t = require('time') process.inbox():receive()\n"
         "  local list = {} for i = 1, 100 do list[i] = {i} end\n"
         "  return #list end)\n"
         "local hogs = {\n"
         "  function() local t = {} while true do t[#t + 1] = {} end end,\n"
         "  function() local s = 'x' while true do s = s .. s end end,\n"
         "  function() local s = ('x'):rep(1e6) local t = {}\n"
         "    while true do pcall(function()\n"
         "      t[#t + 1] = s .. #t end) end end,\n"
         "}\n"
         "for i = 1, #hogs do\n"
         "  local pid = process.spawn_monitored(hogs[i])\n"
         "  local e = process.events():receive()\n"
         "  assert(e.from == pid, 'the wrong one ended')\n"
         "  assert(tostring(e.result.error):find('memory'),\n"
         "    tostring(e.result.error))\n"
         "end\n"
         "process.send(other, 'go')\n"
         "assert(process.events():receive().result.value == 100)\n"
         "print('lived')");
  check(r, code, "lived");
  runner_free(r);
}

/* --- idle
 * ---------------------------------------------------------------------------
 */

static double cpu_seconds(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void an_idle_runtime_uses_no_cpu(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  assert_int_equal(runner_run(r, "process.spawn(function()"
                                 " process.inbox():receive() end)"),
                   0);
  uv_sleep(200);
  double before = cpu_seconds();
  uv_sleep(1000);
  assert_true(cpu_seconds() - before < 0.5);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loops_share_a_worker),
      cmocka_unit_test(preemption_changes_no_result),
      cmocka_unit_test(a_deadline_ends_what_runs_and_what_waits),
      cmocka_unit_test(a_deadline_ends_long_calls_of_c),
      cmocka_unit_test(a_hog_is_ended_and_others_live),
      cmocka_unit_test(an_idle_runtime_uses_no_cpu),
  };
  return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
