/* test_host_late.c - calls and jobs that a host ends after it has freed the
 * runtime, or just then; and processes that it waits for.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host_kit.h"

typedef struct host {
  host_loop on;
  rt_runtime *rt;
  rt_session *session;
  rt_call *call;
  rt_job *job;
  char dir[64];
  unsigned heard, replies, ends;
  rt_err code;
} host;

static void open_host(host *h) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  memset(h, 0, sizeof(*h));
  host_loop_open(&h->on);
  host_make_dir(h->dir);
  opts.workers = 2;
  opts.loop = &h->on.loop;
  if (rt_runtime_new(&h->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
}

static void free_rt(host *h) {
  rt_runtime_free(h->rt);
  h->rt = NULL;
}

static void close_host(host *h) {
  free_rt(h);
  host_loop_close(&h->on);
  host_remove_dir(h->dir);
}

static void on_invoke_later(rt_job *job, void *arg) {
  host *h = arg;
  h->job = job;
  h->heard++;
}

static void add_capability(host *h) {
  static const char *const in[] = {"a"}, *const out[] = {"b"};
  rt_capability_opts opts = RT_CAPABILITY_OPTS_INIT;
  opts.name = "from-c";
  opts.input = in;
  opts.input_count = 1;
  opts.output = out;
  opts.output_count = 1;
  opts.invoke = on_invoke_later;
  opts.arg = h;
  assert_int_equal(rt_registry_add(rt_runtime_registry(h->rt), &opts, NULL),
                   RT_OK);
}

static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  if (code != RT_OK) fail_msg("%s", err->message);
  ((host *)arg)->session = session;
  ((host *)arg)->replies++;
}

static void open_session(host *h) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  opts.name = "one";
  opts.dir = h->dir;
  unsigned before = h->replies;
  rt_session_open_async(h->rt, &opts, on_opened, h);
  host_loop_until(&h->on, &h->replies, before + 1);
}

static void dispatch(host *h) {
  rt_value *asset = host_json("{\"class\":\"a\",\"value\":\"1\"}");
  rt_session_dispatch_async(h->session, asset, NULL, NULL, NULL);
  rt_value_unref(asset);
}

/* --- calls and jobs that are ended after the runtime -----------------------
 */

static void on_call(rt_call *call, const rt_value *args, void *arg) {
  host *h = arg;
  (void)args;
  h->call = call;
  h->heard++;
}

static void add_module(host *h) {
  static const char name[] = "host";
  rt_function function = {"f", on_call, h};
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  opts.name = name;
  opts.functions = &function;
  opts.function_count = 1;
  assert_int_equal(rt_runtime_add_module(h->rt, &opts, NULL), RT_OK);
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  (void)pid;
  rt_value_unref(result);
  rt_value_unref(error);
  ((host *)arg)->ends++;
}

static void start(host *h, const char *code) {
  rt_pid pid;
  assert_int_equal(rt_process_spawn_code(h->rt, &pid, code, strlen(code),
                                         "test", NULL, on_exit_of, h, NULL),
                   RT_OK);
}

static void ended_after_the_runtime(void **state) {
  (void)state;
  for (int how = 0; how < 4; how++) {
    host h;
    rt_error why = RT_ERROR_INIT, err = RT_ERROR_INIT;
    rt_value *asset = host_json("{\"class\":\"b\",\"value\":\"2\"}");
    open_host(&h);
    add_module(&h);
    add_capability(&h);
    open_session(&h);
    start(&h, "return require('host').f('x')");
    dispatch(&h);
    host_loop_until(&h.on, &h.heard, 2);
    rt_session_unref(h.session);
    free_rt(&h);
    assert_int_equal(h.ends, 1);
    assert_true(rt_call_canceled(h.call));
    assert_true(rt_job_canceled(h.job));
    assert_int_equal(rt_job_attempt(h.job), 1);
    assert_non_null(rt_job_asset(h.job));
    assert_int_equal(rt_job_send(h.job, asset, &err), RT_ECANCELED);
    rt_fail(&why, RT_EUNAVAIL, "too late");
    if (how & 1)
      rt_call_fail(h.call, &why);
    else
      rt_call_return(h.call, asset);
    rt_job_complete(h.job, how & 2 ? &why : NULL);
    rt_value_unref(asset);
    close_host(&h);
  }
}

typedef struct ender {
  rt_call *call;
  rt_job *job;
  unsigned spins;
} ender;

static void end_both(void *arg) {
  const ender *e = arg;
  rt_value *asset = host_json("{\"class\":\"b\",\"value\":\"2\"}");
  for (volatile unsigned i = 0; i < e->spins; i++) {
  }
  for (int i = 0; i < 20; i++) rt_job_send(e->job, asset, NULL);
  rt_call_return(e->call, NULL);
  rt_job_complete(e->job, NULL);
  rt_value_unref(asset);
}

/* By another thread, at any moment of the free. */
static void ended_while_the_runtime_goes(void **state) {
  (void)state;
  for (unsigned round = 0; round < 12; round++) {
    host h;
    uv_thread_t thread;
    open_host(&h);
    add_module(&h);
    add_capability(&h);
    open_session(&h);
    start(&h, "return require('host').f('x')");
    dispatch(&h);
    host_loop_until(&h.on, &h.heard, 2);
    ender e = {h.call, h.job, round * round * 40000};
    assert_int_equal(uv_thread_create(&thread, end_both, &e), 0);
    rt_session_unref(h.session);
    free_rt(&h);
    uv_thread_join(&thread);
    close_host(&h);
  }
}

/* The same without a loop. */
static void on_call_kept(rt_call *call, const rt_value *args, void *arg) {
  (void)args;
  atomic_store((_Atomic(rt_call *) *)arg, call);
}

static void ended_after_a_runtime_of_its_own(void **state) {
  (void)state;
  _Atomic(rt_call *) kept = NULL;
  rt_function function = {"f", on_call_kept, &kept};
  rt_module_opts module = RT_MODULE_OPTS_INIT;
  rt_runtime *rt;
  rt_pid pid;
  static const char code[] = "return require('host').f(1)";
  module.name = "host";
  module.functions = &function;
  module.function_count = 1;
  assert_int_equal(rt_runtime_new(&rt, NULL, NULL), RT_OK);
  assert_int_equal(rt_runtime_add_module(rt, &module, NULL), RT_OK);
  assert_int_equal(rt_process_spawn_code(rt, &pid, code, sizeof(code) - 1, NULL,
                                         NULL, NULL, NULL, NULL),
                   RT_OK);
  for (int ms = 0; !atomic_load(&kept); ms++) {
    assert_true(ms < HOST_LIMIT_MS);
    uv_sleep(1);
  }
  rt_runtime_free(rt);
  assert_true(rt_call_canceled(atomic_load(&kept)));
  rt_call_return(atomic_load(&kept), NULL);
}

/* Nobody is left to run it. */
static void loading_after_the_stop(void **state) {
  host h;
  char path[128];
  size_t loaded = 7;
  (void)state;
  open_host(&h);
  snprintf(path, sizeof(path), "%s/one.lua", h.dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("return capability { name = 'one', input = { 'a' },"
        " invoke = function() end }",
        file);
  fclose(file);
  rt_registry *registry = rt_runtime_registry(h.rt);
  assert_int_equal(rt_registry_load(registry, path, NULL, NULL, &loaded, NULL),
                   RT_OK);
  assert_int_equal(loaded, 1);
  rt_runtime_stop(h.rt, 0);
  assert_int_equal(rt_registry_load(registry, path, NULL, NULL, &loaded, NULL),
                   RT_ECLOSED);
  assert_int_equal(loaded, 0);
  close_host(&h);
}

/* --- processes that are waited for -----------------------------------------
 */

static rt_err exec_code(rt_runtime *rt, rt_value **result, const char *code,
                        double timeout, rt_error *err) {
  return rt_process_exec_code(rt, result, code, strlen(code), "test", NULL,
                              timeout, err);
}

static void processes_that_are_waited_for(void **state) {
  rt_runtime *rt;
  rt_value *result, *args = host_json("[20, 22]");
  rt_error err = RT_ERROR_INIT;
  static const char sum[] = "local a, b = ... return a + b, 'more'";
  (void)state;
  assert_int_equal(rt_runtime_new(&rt, NULL, NULL), RT_OK);
  assert_int_equal(rt_process_exec_code(rt, &result, sum, sizeof(sum) - 1,
                                        "sum", args, -1, &err),
                   RT_OK);
  assert_int_equal(rt_view_int(rt_value_view(result), 0), 42);
  rt_value_unref(result);
  rt_value_unref(args);
  assert_int_equal(exec_code(rt, &result, "return", -1, &err), RT_OK);
  rt_value_unref(result);
  assert_int_equal(
      exec_code(rt, &result,
                "error(errors.new{message='no', kind='CONFLICT', retryable="
                "true})",
                30, &err),
      RT_ECONFLICT);
  assert_null(result);
  assert_string_equal(err.message, "no");
  assert_true(err.retryable);
  assert_int_equal(exec_code(rt, &result, "error('plain', 0)", 30, &err),
                   RT_EUNKNOWN);
  assert_int_equal(
      exec_code(rt, &result, "while true do pcall(error) end", 0.02, &err),
      RT_ETIMEOUT);
  assert_int_equal(
      rt_process_exec(rt, &result, "./nowhere.lua", NULL, 30, &err),
      RT_ENOTFOUND);
  assert_int_equal(rt_process_exec(rt, &result, "", NULL, 30, &err), RT_EINVAL);
  rt_runtime_stop(rt, 0);
  assert_int_equal(exec_code(rt, &result, "return 1", 30, &err), RT_ECLOSED);
  rt_runtime_free(rt);
}

static void exec_there(void *arg) {
  host *h = arg;
  rt_value *result = NULL;
  h->code = exec_code(h->rt, &result, "return 5", 30, NULL);
  h->heard = (unsigned)rt_view_int(rt_value_view(result), 0);
  rt_value_unref(result);
}

/* While the loop stands still; its own thread may not. */
static void processes_that_a_thread_waits_for(void **state) {
  host h;
  rt_value *result;
  rt_error err = RT_ERROR_INIT;
  uv_thread_t thread;
  (void)state;
  open_host(&h);
  assert_int_equal(exec_code(h.rt, &result, "return 1", 30, &err), RT_EINVAL);
  assert_int_equal(uv_thread_create(&thread, exec_there, &h), 0);
  uv_thread_join(&thread);
  assert_int_equal(h.code, RT_OK);
  assert_int_equal(h.heard, 5);
  close_host(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ended_after_the_runtime),
      cmocka_unit_test(ended_while_the_runtime_goes),
      cmocka_unit_test(ended_after_a_runtime_of_its_own),
      cmocka_unit_test(loading_after_the_stop),
      cmocka_unit_test(processes_that_are_waited_for),
      cmocka_unit_test(processes_that_a_thread_waits_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
