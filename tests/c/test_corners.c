/* test_corners.c - rare moments in the life of processes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/spawn.h"
#include "runner.h"

static void check(runner *r, const char *code, const char *wanted) {
  int rc = runner_run(r, code);
  const char *output = runner_output(r);
  if (rc != 0 || !strstr(output, wanted))
    fail_msg("exit %d, no '%s' in: %s %s", rc, wanted, output, runner_log(r));
}

/* An error that takes code of the script to be put into words leaves nothing
 * on the VM's stack, which is finite. */
static void last_words_leave_nothing(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  check(r,
        "local events = process.events()\n"
        "for i = 1, 50 do\n"
        "  process.spawn_monitored(function()\n"
        "    error(setmetatable({}, {__tostring = function()\n"
        "      return 'words' end})) end)\n"
        "  assert(events:receive().result.error:message() == 'words')\n"
        "end print('told')",
        "told");
  rt_runtime_stop(runner_runtime(r), 0);
  assert_int_equal(lua_gettop(rt__runtime_worker(runner_runtime(r), 0)->vm->L),
                   0);
  runner_free(r);
}

/* --- who is new gets its turn ----------------------------------------------
 */

/* Two that never pause do not keep those waiting that are new. */
static void the_newborn_are_not_starved(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  check(r,
        "local a = process.spawn(function()\n"
        "  for msg in process.inbox():values() do\n"
        "    process.send(msg:from(), 'back') end\n"
        "end)\n"
        "local b = process.spawn(function(a)\n"
        "  local n = 0\n"
        "  process.send(a, 'there')\n"
        "  for msg in process.inbox():values() do\n"
        "    if msg:topic() == 'count' then\n"
        "      process.send(msg:from(), 'count', n)\n"
        "    else n = n + 1 process.send(a, 'there') end\n"
        "  end\n"
        "end, a)\n"
        "local inbox = process.inbox()\n"
        "local function count()\n"
        "  process.send(b, 'count') return (inbox:receive():payload())\n"
        "end\n"
        "while count() < 1000 do end\n"
        "local before = count()\n"
        "for i = 1, 200 do assert(process.exec(function() return 1 end))\n"
        "end\n"
        "local each = (count() - before) / 200\n"
        "assert(each < 4000, each)\n"
        "process.terminate(a) process.terminate(b) print('had turns')",
        "had turns");
  runner_free(r);
}

/* --- mail for one that is not there yet ------------------------------------
 */

typedef struct early {
  rt__task task;
  rt_runtime *rt;
} early;

/* Its PID is known, its start still in the inbox. */
static void send_early(rt__worker *worker, rt__task *task) {
  early *e = (early *)task;
  const char *code = "return function()\n"
                     "  print(process.inbox():receive():topic()) end";
  rt_pid pid = rt__pids_take(&worker->vm->pids);
  rt__package *start = rt__recipe_package(
      rt__recipe_new(NULL, rt__code_new("=early", code, strlen(code)), NULL));
  start->to = pid;
  rt__package *mail = rt__package_new(RT__MESSAGE, 0, pid, "arrived", NULL);
  assert_int_equal(rt__route(e->rt, worker, mail), RT_OK);
  rt__deliver(worker, start);
}

static void mail_waits_for_the_start(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  early e = {.task.run = send_early, .rt = runner_runtime(r)};
  rt__worker_post(rt__runtime_worker(e.rt, 0), &e.task);
  assert_true(runner_wait(r, "arrived"));
  runner_free(r);
}

/* --- mail that does not fit ------------------------------------------------
 */

static rt_value *array_of_text(size_t size) {
  rt_value *value = NULL;
  rt_builder *builder = rt_builder_new();
  char *text = calloc(1, size);
  rt_builder_begin_array(builder);
  rt_builder_lstring(builder, text, size);
  rt_builder_end(builder);
  assert_int_equal(rt_builder_finish(builder, &value, NULL), RT_OK);
  rt_builder_free(builder);
  free(text);
  return value;
}

static void send_to(rt_runtime *rt, const char *name, const rt_value *data) {
  rt_pid pid = rt_process_lookup(rt, name);
  assert_true(pid != 0);
  assert_int_equal(rt_process_send(rt, pid, "t", data, NULL), RT_OK);
}

static void run_aside(void *arg) {
  runner_run(arg,
             "local events = process.events()\n"
             "local function serve(name)\n"
             "  process.registry.register(name)\n"
             "  print(name)\n"
             "  process.inbox():receive()\n"
             "  return 'well'\n"
             "end\n"
             "local pids = {}\n"
             "for _, name in ipairs({'small', 'other'}) do\n"
             "  pids[assert(process.spawn_monitored(serve, name))] = name\n"
             "end\n"
             "for i = 1, 2 do\n"
             "  local e = events:receive()\n"
             "  print(pids[e.from], e.result.value,\n"
             "        tostring(e.result.error))\n"
             "end");
}

/* Who cannot take it is ended, no matter whose turn is next. */
static void mail_that_is_too_large(void **state) {
  (void)state;
  runner *r = runner_new(1, 16u << 20);
  rt_runtime *rt = runner_runtime(r);
  rt_value *large = array_of_text(40u << 20);
  uv_thread_t thread;
  rt__runtime_hold(rt); /* there is mail to come */
  assert_int_equal(uv_thread_create(&thread, run_aside, r), 0);
  assert_true(runner_wait(r, "small") && runner_wait(r, "other"));
  send_to(rt, "small", large);
  send_to(rt, "other", NULL);
  rt__runtime_release(rt);
  uv_thread_join(&thread);
  assert_non_null(strstr(runner_output(r), "small\tnil\tout of memory"));
  assert_non_null(strstr(runner_output(r), "other\twell\tnil"));
  rt_value_unref(large);
  runner_free(r);
}

static rt_value *many(int count) {
  rt_value *value = NULL;
  rt_builder *builder = rt_builder_new();
  rt_builder_begin_array(builder);
  for (int i = 0; i < count; i++) rt_builder_int(builder, i);
  rt_builder_end(builder);
  assert_int_equal(rt_builder_finish(builder, &value, NULL), RT_OK);
  rt_builder_free(builder);
  return value;
}

static void payloads_are_counted(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  rt_runtime *rt = runner_runtime(r);
  rt_value *most = many(RT__PAYLOADS_MAX), *more = many(RT__PAYLOADS_MAX + 1);
  uv_thread_t thread;
  rt__runtime_hold(rt); /* there is mail to come */
  assert_int_equal(uv_thread_create(&thread, run_aside, r), 0);
  assert_true(runner_wait(r, "small") && runner_wait(r, "other"));
  rt_pid pid = rt_process_lookup(rt, "small");
  assert_int_equal(rt_process_send(rt, pid, "t", more, NULL), RT_EINVAL);
  send_to(rt, "small", most);
  send_to(rt, "other", NULL);
  rt__runtime_release(rt);
  uv_thread_join(&thread);
  assert_non_null(strstr(runner_output(r), "small\twell"));
  rt_value_unref(most);
  rt_value_unref(more);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(last_words_leave_nothing),
      cmocka_unit_test(the_newborn_are_not_starved),
      cmocka_unit_test(mail_waits_for_the_start),
      cmocka_unit_test(mail_that_is_too_large),
      cmocka_unit_test(payloads_are_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
