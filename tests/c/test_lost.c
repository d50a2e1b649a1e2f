/* test_lost.c - workers whose thread is stuck in C code (unsafe scripts): they
 * are replaced, all who must know are told, the thread is joined when it is
 * back and left behind when it never comes.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "lost_kit.h"
#include "process/sched.h"
#include "rt/rt.h"
#include "runner.h"

static void check(runner *r, int code, const char *wanted) {
  const char *output = runner_output(r);
  if (code != 0 || !strstr(output, wanted))
    fail_msg("exit %d, no '%s' in: %s %s", code, wanted, output, runner_log(r));
}

/* --- processes --------------------------------------------------------------
 */

/* Victims on the other worker than the main process's, among others. */
static const char told[] =
    "local time, events = require('time'), require('events')\n"
    "local function place(pid) return pid:match('^{(%x*)%x|') end\n"
    "local mine = place(process.pid())\n"
    "process.set_options({ trap_links = true })\n"
    "local function there(spawn, fn)\n"
    "  for i = 1, 50 do\n"
    "    local pid = assert(spawn(fn))\n"
    "    if place(pid) ~= mine then return pid end\n"
    "  end\n"
    "  error('always here')\n"
    "end\n"
    "local function innocent()\n"
    "  local s = assert(require('events').subscribe('noise'))\n"
    "  assert(process.registry.register('n' .. process.pid()))\n"
    "  process.inbox():receive() end\n"
    "local victim = there(process.spawn, function()\n"
    "  process.inbox():receive()\n"
    "  STUCK\n"
    "  process.send('nobody', 'x') while true do end end)\n"
    "local watched = there(process.spawn_monitored, innocent)\n"
    "local linked = there(process.spawn_linked,\n"
    "  function() process.inbox():receive() end)\n"
    "assert(process.monitor(victim))\n"
    "for i = 1, 3000 do\n"
    "  if process.registry.lookup('n' .. watched) then break end\n"
    "  time.sleep(0.01)\n"
    "end\n"
    "assert(process.registry.lookup('n' .. watched) == watched)\n"
    "local subscribed = events.stats().subscribers\n"
    "process.send(victim, 'go')\n"
    "local seen = {}\n"
    "for i = 1, 3 do\n"
    "  local e = assert(process.events():receive('60s'))\n"
    "  local err = e.result and e.result.error or e.reason or e.error\n"
    "  seen[e.from] = e.kind .. ' ' .. (err and tostring(err) or '?')\n"
    "  if e.kind == 'EXIT' then assert(err:kind() == 'UNAVAILABLE')\n"
    "    assert(err:retryable()) end\n"
    "end\n"
    "print(seen[victim]) print(seen[watched]) print(seen[linked])\n"
    "assert(seen[victim]:find('EXIT', 1, true))\n"
    "assert(seen[victim]:find('is stuck in C code', 1, true))\n"
    "assert(seen[watched]:find('worker was lost', 1, true))\n"
    "assert(seen[linked]:find('LINK_DOWN', 1, true))\n"
    "assert(process.registry.lookup('n' .. watched) == nil)\n"
    "local ok, err = process.send(watched, 'x')\n"
    "assert(not ok and err:kind() == 'NOT_FOUND')\n"
    "process.monitor(watched)\n"
    "local e = assert(process.events():receive('60s'))\n"
    "assert(e.from == watched and e.result.error:kind() == 'NOT_FOUND')\n"
    "for i = 1, 3000 do\n"
    "  if events.stats().subscribers < subscribed then break end\n"
    "  time.sleep(0.01)\n"
    "end\n"
    "assert(events.stats().subscribers == subscribed - 1)\n"
    "local again = there(process.spawn_monitored, function() return 'new' "
    "end)\n"
    "local found\n"
    "while not found do\n"
    "  local e = assert(process.events():receive('60s'))\n"
    "  found = e.from == again and e.result.value == 'new'\n"
    "end\n"
    "local state\n"
    "for _, row in ipairs(process.list()) do\n"
    "  assert(row.pid ~= watched and row.pid ~= linked)\n"
    "  if row.pid == victim then state = row.state end end\n"
    "assert(state == 'stuck')\n"
    "print('all told')\n";

static void a_stuck_worker_is_replaced_and_joined(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  runner *r = runner_new_unsafe(2, 1);
  char *code = with_trap(told, &g);
  check(r, runner_run(r, code), "all told");
  assert_true(runner_wait_log(r, "its worker is replaced"));
  assert_int_equal(lost_count(runner_runtime(r)), 1);
  trap_open(&g);
  assert_true(runner_wait_log(r, "has returned"));
  wait_lost(runner_runtime(r), 0);
  runner_free(r);
  free(code);
  trap_deinit(&g);
}

static void the_main_process_is_told_too(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  runner *r = runner_new_unsafe(1, 1);
  char *code = with_trap("STUCK print('not reached')", &g);
  assert_int_equal(runner_run(r, code), 1);
  assert_non_null(strstr(runner_output(r), "is stuck in C code"));
  assert_int_equal(runner_run(r, "print('a second one')"), 0);
  trap_open(&g);
  wait_lost(runner_runtime(r), 0);
  assert_null(strstr(runner_output(r), "not reached"));
  runner_free(r);
  free(code);
  trap_deinit(&g);
}

/* What C code does for long with the processor, it may do; and it is not to
 * be blamed for what takes shorter than it may. */
static void a_call_that_returns_in_time_is_left_alone(void **state) {
  (void)state;
  runner *r = runner_new_unsafe(1, 20);
  check(r,
        runner_run(r, "local ffi = require('ffi')\n"
                      "ffi.cdef[[int poll(void *, unsigned long, int);]]\n"
                      "for i = 1, 20 do ffi.C.poll(nil, 0, 20) end\n"
                      "print('done')"),
        "done");
  assert_null(strstr(runner_log(r), "stuck"));
  runner_free(r);
}

static void safe_scripts_lose_no_worker(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  assert_null(runner_runtime(r)->undertaker);
  assert_false(rt__runtime_worker(runner_runtime(r), 0)->guarded);
  runner_free(r);
  r = runner_new_unsafe(1, -1);
  assert_null(runner_runtime(r)->undertaker);
  runner_free(r);
}

/* The trap is never opened: the thread, and what it may use, stay. */
static void who_never_comes_back_is_left_behind(void **state) {
  (void)state;
  static trap g;
  trap_init(&g);
  runner *r = runner_new_unsafe(2, 0.5);
  char *code = with_trap("STUCK", &g);
  assert_int_equal(runner_run(r, code), 1);
  uint64_t start = uv_hrtime();
  rt_runtime_stop(runner_runtime(r), 0.2);
  assert_true(uv_hrtime() - start < PATIENCE_NS / 4);
  assert_non_null(strstr(runner_log(r), "was left behind"));
  rt_runtime_free(runner_runtime(r));
  free(code);
}

/* --- many -------------------------------------------------------------------
 */

/* With so little patience any worker may be given up by mistake, with what was
 * to run there: then it is tried again. */
static void fill_trap(rt_runtime *rt, const char *path, trap *g, int inside) {
  uint64_t end = uv_hrtime() + PATIENCE_NS;
  bool in = false;
  while (!in) {
    rt_pid pid;
    rt_error err = RT_ERROR_INIT;
    int ended = trap_ended(g);
    if (uv_hrtime() > end) fail_msg("%d never came: %s", inside, err.message);
    in =
        rt_process_spawn(rt, &pid, path, NULL, trap_on_end, g, &err) == RT_OK &&
        trap_await(g, inside, ended);
  }
}

static void still_works(runner *r) {
  int code = 1;
  for (int i = 0; i < 100 && code != 0; i++)
    code = runner_run(r, "print('goes on')");
  check(r, code, "goes on");
}

/* All places for lost threads are taken, the next one is kept; then all come
 * back. */
static void lost_threads_are_bounded(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  runner *r = runner_new_unsafe(1, 0.02);
  rt_runtime *rt = runner_runtime(r);
  char path[] = "/tmp/rt-lost-stuck-XXXXXX.lua";
  int fd = mkstemps(path, 4);
  assert_true(fd >= 0);
  const char *call = call_trap(&g);
  assert_true(write(fd, call, strlen(call)) > 0);
  close(fd);
  for (int i = 1; i <= RT__LOST_MAX + 1; i++) {
    fill_trap(rt, path, &g, i);
    if (i <= RT__LOST_MAX) wait_lost_least(rt, (unsigned)i);
  }
  assert_true(runner_wait_log(r, "it is not replaced"));
  trap_open(&g);
  wait_lost(rt, 0);
  still_works(r);
  unlink(path);
  runner_free(r);
  trap_deinit(&g);
}

typedef struct load_test {
  rt_runtime *rt;
  char path[64];
  atomic_int ended, innocent;
  atomic_bool stop;
} load_test;

static void on_exit_of_any(rt_pid pid, rt_value *result, rt_value *error,
                           void *arg) {
  load_test *t = arg;
  (void)pid;
  rt_value_unref(result);
  rt_value_unref(error);
  atomic_fetch_sub(&t->ended, 1);
}

static bool spawn(load_test *t, int kind) {
  rt_error err = RT_ERROR_INIT;
  rt_builder *b = rt_builder_new();
  rt_value *args = NULL;
  rt_pid pid;
  rt_builder_begin_array(b);
  rt_builder_int(b, kind);
  rt_builder_end(b);
  assert_int_equal(rt_builder_finish(b, &args, NULL), RT_OK);
  rt_builder_free(b);
  atomic_fetch_add(&t->ended, 1);
  rt_err rc =
      rt_process_spawn(t->rt, &pid, t->path, args, on_exit_of_any, t, &err);
  if (rc != RT_OK) atomic_fetch_sub(&t->ended, 1);
  rt_value_unref(args);
  return rc == RT_OK;
}

/* Kind 1: stuck for a while, then back. The rest talk, link, subscribe, name
 * themselves and end. */
static const char busy[] =
    "local kind = ...\n"
    "local time, events = require('time'), require('events')\n"
    "if kind == 1 then\n"
    "  local ffi = require('ffi')\n"
    "  ffi.cdef[[int poll(void *, unsigned long, int);]]\n"
    "  ffi.C.poll(nil, 0, 400)\n"
    "  return\n"
    "end\n"
    "local sub = events.subscribe('load')\n"
    "local child = process.spawn_linked_monitored(function()\n"
    "  for m in process.inbox():values() do\n"
    "    process.send(m:from(), 'back', m:payload()) end end)\n"
    "if not child then return end\n"
    "process.registry.register('n' .. kind)\n"
    "local back = process.listen('back')\n"
    "for i = 1, 30 do\n"
    "  if not process.send(child, 'there', i) then return end\n"
    "  events.send('load', 'k', 'p', i)\n"
    "  back:receive('10s')\n"
    "  time.sleep(0.002)\n"
    "end\n"
    "pcall(process.exec, function() return 1 end)\n"
    "process.terminate(child)\n";

static unsigned replaced(rt_runtime *rt) {
  unsigned count = 0;
  uv_mutex_lock(&rt->lock);
  for (rt__worker *w = rt->lost; w; w = w->stuck.next) count++;
  uv_mutex_unlock(&rt->lock);
  return count;
}

static void replaced_again_and_again_under_load(void **state) {
  (void)state;
  unsigned wanted =
      getenv("RT_LOST_ROUNDS") ? (unsigned)atoi(getenv("RT_LOST_ROUNDS")) : 50;
  load_test t = {.path = "/tmp/rt-lost-load-XXXXXX.lua"};
  uint64_t end = uv_hrtime() + 4 * PATIENCE_NS;
  runner *r = runner_new_unsafe(3, 0.05);
  t.rt = runner_runtime(r);
  int fd = mkstemps(t.path, 4);
  assert_true(fd >= 0);
  assert_true(write(fd, busy, strlen(busy)) > 0);
  close(fd);
  for (int i = 0; replaced(t.rt) < wanted; i++) {
    if (uv_hrtime() > end) fail_msg("%u replaced", replaced(t.rt));
    if (lost_count(t.rt) < 20 && i % 8 == 0) spawn(&t, 1);
    while (atomic_load(&t.ended) < 60)
      if (!spawn(&t, 2 + i % 50)) break;
    usleep(2000);
  }
  while (atomic_load(&t.ended) > 0 && uv_hrtime() < end) usleep(2000);
  assert_int_equal(atomic_load(&t.ended), 0);
  wait_lost(t.rt, 0);
  unlink(t.path);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_stuck_worker_is_replaced_and_joined),
      cmocka_unit_test(the_main_process_is_told_too),
      cmocka_unit_test(a_call_that_returns_in_time_is_left_alone),
      cmocka_unit_test(safe_scripts_lose_no_worker),
      cmocka_unit_test(lost_threads_are_bounded),
      cmocka_unit_test(replaced_again_and_again_under_load),
      cmocka_unit_test(who_never_comes_back_is_left_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
