/* test_process.c - processes as C sees them.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "runner.h"

#define WAIT_NS (30u * 1000000000ull)

typedef struct ending {
  uv_mutex_t lock;
  uv_cond_t changed;
  char path[64]; /* of its script */
  int count;
  rt_pid pid;
  rt_value *result, *error;
} ending;

static void on_exit_(rt_pid pid, rt_value *result, rt_value *error, void *arg) {
  ending *e = arg;
  uv_mutex_lock(&e->lock);
  e->count++;
  e->pid = pid;
  e->result = result;
  e->error = error;
  uv_cond_broadcast(&e->changed);
  uv_mutex_unlock(&e->lock);
}

static void ending_init(ending *e) {
  memset(e, 0, sizeof(*e));
  uv_mutex_init(&e->lock);
  uv_cond_init(&e->changed);
}

static void ending_wait(ending *e) {
  uint64_t end = uv_hrtime() + WAIT_NS;
  uv_mutex_lock(&e->lock);
  for (uint64_t now = uv_hrtime(); e->count == 0 && now < end;
       now = uv_hrtime())
    uv_cond_timedwait(&e->changed, &e->lock, end - now);
  int count = e->count;
  uv_mutex_unlock(&e->lock);
  assert_int_equal(count, 1);
}

static void ending_deinit(ending *e) {
  if (*e->path) unlink(e->path);
  rt_value_unref(e->result);
  rt_value_unref(e->error);
  uv_cond_destroy(&e->changed);
  uv_mutex_destroy(&e->lock);
}

/* A script in a file of its own, removed by the caller. */
static void write_script(char *path, size_t size, const char *code) {
  snprintf(path, size, "/tmp/rt_process_XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  FILE *file = fdopen(fd, "w");
  assert_non_null(file);
  fputs(code, file);
  fclose(file);
}

static rt_pid spawn(runner *r, const char *code, const rt_value *args,
                    ending *e) {
  rt_pid pid = 0;
  rt_error err = RT_ERROR_INIT;
  ending_init(e);
  write_script(e->path, sizeof(e->path), code);
  if (rt_process_spawn(runner_runtime(r), &pid, e->path, args, on_exit_, e,
                       &err) != RT_OK)
    fail_msg("%s", err.message);
  assert_true(pid != 0);
  return pid;
}

static rt_value *array_of(const char *text) {
  rt_builder *builder = rt_builder_new();
  rt_value *value = NULL;
  rt_builder_begin_array(builder);
  rt_builder_string(builder, text);
  rt_builder_int(builder, 2);
  rt_builder_end(builder);
  assert_int_equal(rt_builder_finish(builder, &value, NULL), RT_OK);
  rt_builder_free(builder);
  return value;
}

static const char *text_of(const rt_value *map, const char *key) {
  static char text[512];
  size_t size = 0;
  const char *at = rt_view_string(rt_view_get(rt_value_view(map), key), &size);
  snprintf(text, sizeof(text), "%.*s", (int)size, at ? at : "");
  return text;
}

static void a_result_is_told(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  ending e;
  rt_value *args = array_of("a");
  rt_pid pid = spawn(r, "return function(s, n) return s:rep(n) end", args, &e);
  ending_wait(&e);
  assert_true(e.pid == pid);
  size_t size = 0;
  const char *text = rt_view_string(rt_value_view(e.result), &size);
  assert_int_equal(size, 2);
  assert_memory_equal(text, "aa", 2);
  assert_null(e.error);
  ending_deinit(&e);
  rt_value_unref(args);
  runner_free(r);
}

static void an_error_is_told(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  ending e;
  spawn(r, "error('it broke')", NULL, &e);
  ending_wait(&e);
  assert_null(e.result);
  assert_non_null(strstr(text_of(e.error, "message"), "it broke"));
  assert_string_equal(text_of(e.error, "kind"), "UNKNOWN");
  assert_non_null(strstr(text_of(e.error, "stack"), "traceback"));
  assert_non_null(strstr(runner_log(r), "it broke"));
  ending_deinit(&e);
  runner_free(r);
}

static void a_missing_source_is_an_error(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  rt_pid pid;
  ending e;
  ending_init(&e);
  assert_int_equal(
      rt_process_spawn(runner_runtime(r), &pid, "", NULL, NULL, NULL, NULL),
      RT_EINVAL);
  assert_int_equal(rt_process_spawn(runner_runtime(r), &pid, "./nowhere.lua",
                                    NULL, on_exit_, &e, NULL),
                   RT_OK);
  ending_wait(&e);
  assert_non_null(strstr(text_of(e.error, "message"), "nowhere"));
  ending_deinit(&e);
  runner_free(r);
}

static void messages_from_c(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  ending e;
  rt_value *payload = array_of("hello");
  rt_pid pid = spawn(r,
                     "local m = process.inbox():receive()\n"
                     "local text, n = m:payload()\n"
                     "return m:topic() .. text .. n .. tostring(m:from())",
                     NULL, &e);
  assert_int_equal(rt_process_send(rt, pid, "t:", payload, NULL), RT_OK);
  ending_wait(&e);
  size_t size = 0;
  const char *text = rt_view_string(rt_value_view(e.result), &size);
  assert_int_equal(size, 11);
  assert_memory_equal(text, "t:hello2nil", 11);
  assert_int_equal(rt_process_send(rt, pid, "t", payload, NULL), RT_ENOTFOUND);
  assert_int_equal(rt_process_send(rt, 0, "t", payload, NULL), RT_ENOTFOUND);
  assert_int_equal(rt_process_send(rt, UINT64_MAX, "t", NULL, NULL),
                   RT_ENOTFOUND);
  assert_int_equal(rt_process_send(rt, pid, "@t", NULL, NULL), RT_EINVAL);
  assert_int_equal(rt_process_send(rt, pid, "", NULL, NULL), RT_EINVAL);
  rt_value_unref(payload);
  ending_deinit(&e);
  runner_free(r);
}

static void cancel_and_terminate(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  ending heard, ended;
  rt_pid a = spawn(r, "return process.events():receive().reason", NULL, &heard);
  rt_pid b = spawn(r, "while true do end", NULL, &ended);
  assert_int_equal(rt_process_cancel(rt, a, "please"), RT_OK);
  ending_wait(&heard);
  size_t size = 0;
  assert_memory_equal(rt_view_string(rt_value_view(heard.result), &size),
                      "please", 6);
  assert_int_equal(rt_process_terminate(rt, b), RT_OK);
  ending_wait(&ended);
  assert_string_equal(text_of(ended.error, "kind"), "CANCELED");
  assert_int_equal(rt_process_terminate(rt, b), RT_ENOTFOUND);
  assert_int_equal(rt_process_cancel(rt, b, NULL), RT_ENOTFOUND);
  ending_deinit(&heard);
  ending_deinit(&ended);
  runner_free(r);
}

static void names(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  ending e;
  assert_true(rt_process_lookup(rt, "server") == 0);
  rt_pid pid = spawn(r,
                     "process.registry.register('server') print('up')\n"
                     "process.inbox():receive()",
                     NULL, &e);
  assert_true(runner_wait(r, "up"));
  assert_true(rt_process_lookup(rt, "server") == pid);
  assert_int_equal(rt_process_send(rt, pid, "end", NULL, NULL), RT_OK);
  ending_wait(&e);
  assert_true(rt_process_lookup(rt, "server") == 0);
  ending_deinit(&e);
  runner_free(r);
}

static void the_end_of_the_runtime_is_told(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  ending loops, waits;
  spawn(r, "print('a') while true do end", NULL, &loops);
  spawn(r, "print('b') require('time').sleep(1000)", NULL, &waits);
  assert_true(runner_wait(r, "a") && runner_wait(r, "b"));
  rt_runtime_stop(runner_runtime(r), 0);
  ending_wait(&loops);
  ending_wait(&waits);
  assert_string_equal(text_of(waits.error, "kind"), "CANCELED");
  ending_deinit(&loops);
  ending_deinit(&waits);
  runner_free(r);
}

static void count_exit(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  (void)pid;
  atomic_fetch_add((atomic_int *)arg, 1);
  rt_value_unref(result);
  rt_value_unref(error);
}

/* Most have had no turn yet when it ends. */
static void the_end_is_told_to_each_once(void **state) {
  (void)state;
  enum { COUNT = 2000 };
  rt_error err = RT_ERROR_INIT;
  for (int round = 0; round < 3; round++) {
    runner *r = runner_new(2, 0);
    rt_runtime *rt = runner_runtime(r);
    atomic_int told = 0;
    rt_pid pid;
    for (int i = 0; i < COUNT; i++)
      if (rt_process_spawn(rt, &pid, "no.such.module", NULL, count_exit, &told,
                           &err) == RT_OK) {
        if (i % 3 == 0) rt_process_send(rt, pid, "mail", NULL, NULL);
        if (i % 5 == 0) rt_process_cancel(rt, pid, "why");
        if (i % 7 == 0) rt_process_terminate(rt, pid);
      }
    rt_runtime_stop(rt, 0);
    runner_free(r);
    assert_int_equal(atomic_load(&told), COUNT);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_result_is_told),
      cmocka_unit_test(an_error_is_told),
      cmocka_unit_test(a_missing_source_is_an_error),
      cmocka_unit_test(messages_from_c),
      cmocka_unit_test(cancel_and_terminate),
      cmocka_unit_test(names),
      cmocka_unit_test(the_end_of_the_runtime_is_told),
      cmocka_unit_test(the_end_is_told_to_each_once),
  };
  return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
