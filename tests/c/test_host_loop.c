/* test_host_loop.c - a runtime on the host's loop: every callback comes on the
 * thread that runs it. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
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
  unsigned strangers; /* callbacks on another thread */
  unsigned logs, outputs, events, exits, replies, commits, invoked, mains;
  char text[4096];
  size_t size;
  int exit_code;
  rt_job *job;
} host;

static void here(host *h) {
  if (!host_loop_here(&h->on)) h->strangers++;
}

static void on_log(rt_log_level level, const char *message,
                   const rt_value *fields, void *arg) {
  host *h = arg;
  (void)level, (void)message, (void)fields;
  here(h);
  h->logs++;
}

static void on_output(int fd, const char *text, size_t size, void *arg) {
  host *h = arg;
  (void)fd;
  here(h);
  h->outputs++;
  if (size > sizeof(h->text) - 1 - h->size) return;
  memcpy(h->text + h->size, text, size);
  h->size += size;
}

static void open_host(host *h) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  memset(h, 0, sizeof(*h));
  host_loop_open(&h->on);
  opts.workers = 2;
  opts.loop = &h->on.loop;
  opts.log = on_log;
  opts.log_arg = h;
  opts.output = on_output;
  opts.output_arg = h;
  if (rt_runtime_new(&h->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
}

static void close_host(host *h) {
  rt_runtime_free(h->rt);
  host_loop_close(&h->on);
  assert_int_equal(h->strangers, 0);
}

static void until(host *h, const unsigned *count, unsigned at_least) {
  host_loop_until(&h->on, count, at_least);
}

static void on_main(rt_runtime *rt, int exit_code, void *arg) {
  host *h = arg;
  (void)rt;
  here(h);
  h->exit_code = exit_code;
  h->mains++;
}

static void start(host *h, const char *code) {
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  script.code = code;
  script.code_size = strlen(code);
  script.name = "test";
  if (rt_runtime_run_async(h->rt, &script, on_main, h, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void a_script_runs_beside_the_loop(void **state) {
  host h;
  (void)state;
  open_host(&h);
  start(&h, "require('log').warn('a line') print('hello') os.exit(3)");
  until(&h, &h.mains, 1);
  assert_int_equal(h.exit_code, 3);
  assert_string_equal(h.text, "hello\n");
  assert_int_equal(h.logs, 1);
  start(&h, "print('again')");
  until(&h, &h.mains, 2);
  assert_int_equal(h.exit_code, 0);
  assert_string_equal(h.text, "hello\nagain\n");
  close_host(&h);
}

/* More than may wait for the host: the worker waits for room. */
static void much_output_waits_for_the_host(void **state) {
  host h;
  (void)state;
  open_host(&h);
  start(&h, "local line = ('x'):rep(65536)\n"
            "for i = 1, 200 do print(line) end");
  until(&h, &h.mains, 1);
  assert_int_equal(h.exit_code, 0);
  assert_true(h.outputs >= 200);
  start(&h, "while true do print(('x'):rep(65536)) end");
  until(&h, &h.outputs, 300);
  close_host(&h); /* in the middle of it */
}

static void waiting_calls_are_refused(void **state) {
  host h;
  int code = 0;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  script.code = "return";
  script.code_size = 6;
  assert_int_equal(rt_runtime_run(h.rt, &script, &code, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "rt_runtime_run_async"));
  close_host(&h);
}

static void on_event(const rt_event *event, void *arg) {
  host *h = arg;
  here(h);
  assert_string_equal(event->system, "shop");
  assert_int_equal(rt_view_int(rt_value_view(event->data), 0),
                   (int64_t)h->events);
  h->events++;
}

static void send_number(rt_bus *bus, int64_t number) {
  rt_builder *b = rt_builder_new();
  rt_value *value = NULL;
  rt_builder_int(b, number);
  assert_int_equal(rt_builder_finish(b, &value, NULL), RT_OK);
  rt_builder_free(b);
  assert_int_equal(rt_bus_send(bus, "shop", "sold", "1", value), RT_OK);
  rt_value_unref(value);
}

static void events_come_in_order(void **state) {
  host h;
  uint64_t id;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  rt_bus *bus = rt_runtime_bus(h.rt);
  assert_int_equal(rt_bus_subscribe(bus, &id, "shop", NULL, on_event, &h, &err),
                   RT_OK);
  for (int i = 0; i < 1000; i++) send_number(bus, i);
  until(&h, &h.events, 1000);
  for (int i = 0; i < 10; i++) send_number(bus, 1000 + i);
  rt_bus_unsubscribe(bus, id);
  unsigned before = h.events;
  uv_run(&h.on.loop, UV_RUN_NOWAIT);
  assert_int_equal(h.events, before); /* none after the unsubscribe */
  close_host(&h);
}

static void a_bus_alone_on_a_loop(void **state) {
  host h;
  uint64_t id;
  rt_bus *bus;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  opts.loop = &h.on.loop;
  assert_int_equal(rt_bus_new(&bus, &opts, &err), RT_OK);
  assert_int_equal(rt_bus_subscribe(bus, &id, "shop", "*", on_event, &h, &err),
                   RT_OK);
  send_number(bus, 0);
  until(&h, &h.events, 1);
  send_number(bus, 1);
  rt_bus_free(bus); /* delivers what is queued */
  assert_int_equal(h.events, 2);
  close_host(&h);
}

static rt_err on_routed(const rt_event *event, void *arg, rt_error *err) {
  host *h = arg;
  (void)event;
  here(h);
  h->events++;
  return rt_fail(err, RT_EUNAVAIL, "not today");
}

static void on_failed(const rt_event *event, const rt_error *why, void *arg) {
  host *h = arg;
  (void)event;
  here(h);
  assert_string_equal(why->message, "not today");
  h->replies++;
}

static void routers_too(void **state) {
  host h;
  rt_router *router;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  rt_bus *bus = rt_runtime_bus(h.rt);
  assert_int_equal(rt_router_new(&router, bus, on_failed, &h, &err), RT_OK);
  assert_int_equal(rt_router_add(router, "shop", "sold", on_routed, &h, &err),
                   RT_OK);
  send_number(bus, 1);
  until(&h, &h.replies, 1);
  assert_int_equal(h.events, 1);
  rt_router_free(router);
  close_host(&h);
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  host *h = arg;
  (void)pid;
  here(h);
  assert_int_equal(rt_view_int(rt_value_view(result), 0), 42);
  rt_value_unref(result);
  rt_value_unref(error);
  h->exits++;
}

static void ends_of_processes(void **state) {
  static const char code[] = "return 42";
  host h;
  rt_pid pid;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  for (int i = 0; i < 20; i++)
    assert_int_equal(rt_process_spawn_code(h.rt, &pid, code, sizeof(code) - 1,
                                           "answer", NULL, on_exit_of, &h,
                                           &err),
                     RT_OK);
  until(&h, &h.exits, 20);
  close_host(&h);
}

/* --- sessions, with a capability in C ------------------------------------- */

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  host *h = arg;
  here(h);
  if (code != RT_OK) fail_msg("%s", err->message);
  rt_value_unref(result);
  h->replies++;
}

static void on_commit(int64_t last, void *arg) {
  host *h = arg;
  here(h);
  assert_true(last > 0);
  h->commits++;
}

static void on_open(rt_err code, const rt_error *err, rt_session *session,
                    void *arg) {
  host *h = arg;
  here(h);
  if (code != RT_OK) fail_msg("%s", err->message);
  h->session = session;
  h->replies++;
}

static bool on_match(const rt_value *asset, char *why, size_t size, void *arg) {
  host *h = arg;
  size_t length = 0;
  here(h);
  const char *value =
      rt_view_string(rt_view_get(rt_value_view(asset), "value"), &length);
  snprintf(why, size, "too short");
  return value && length > 1;
}

static void on_invoke(rt_job *job, void *arg) {
  host *h = arg;
  static const char made[] = "{\"class\":\"b\",\"value\":\"made\"}";
  rt_value *asset = NULL;
  rt_error err = RT_ERROR_INIT;
  here(h);
  assert_int_equal(rt_value_from_json(&asset, made, sizeof(made) - 1, &err),
                   RT_OK);
  assert_int_equal(rt_job_send(job, asset, &err), RT_OK);
  rt_value_unref(asset);
  rt_job_complete(job, NULL);
  h->invoked++;
}

static void add_capability(host *h, rt_invoke_fn invoke) {
  static const char *const in[] = {"a"}, *const out[] = {"b"};
  rt_capability_opts opts = RT_CAPABILITY_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  opts.name = "from-c";
  opts.input = in;
  opts.input_count = 1;
  opts.output = out;
  opts.output_count = 1;
  opts.match = on_match;
  opts.invoke = invoke;
  opts.arg = h;
  if (rt_registry_add(rt_runtime_registry(h->rt), &opts, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void open_session(host *h, char *dir) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  host_make_dir(dir);
  opts.name = "one";
  opts.dir = dir;
  rt_session_open_async(h->rt, &opts, on_open, h);
  until(h, &h->replies, 1);
}

static void dispatch(host *h, const char *json) {
  rt_value *assets = host_json(json);
  rt_session_dispatch_async(h->session, assets, NULL, on_reply, h);
  rt_value_unref(assets);
}

static void a_session_on_the_loop(void **state) {
  host h;
  char dir[64];
  rt_value *stats = NULL;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke);
  open_session(&h, dir);
  rt_session_on_commit(h.session, on_commit, &h);
  dispatch(&h, "[{\"class\":\"a\",\"value\":\"long\"},"
               "{\"class\":\"a\",\"value\":\"x\"}]");
  until(&h, &h.replies, 2);
  assert_int_equal(rt_session_wait(h.session, 1, NULL, &err), RT_EINVAL);
  rt_session_wait_async(h.session, on_reply, &h);
  until(&h, &h.replies, 3);
  assert_int_equal(h.invoked, 1);
  until(&h, &h.commits, 1);
  assert_int_equal(rt_session_stats(h.session, &stats, &err), RT_OK);
  assert_int_equal(
      rt_view_int(rt_view_get(rt_value_view(stats), "skipped"), -1), 1);
  rt_value_unref(stats);
  rt_session_close_async(h.session, on_reply, &h);
  until(&h, &h.replies, 4);
  rt_session_unref(h.session);
  close_host(&h);
  host_remove_dir(dir);
}

static void on_invoke_later(rt_job *job, void *arg) {
  host *h = arg;
  here(h);
  h->job = job;
  h->invoked++;
}

/* A job that is running when the host goes is completed between stop and free.
 */
static void stopping_while_a_job_runs(void **state) {
  host h;
  char dir[64];
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke_later);
  open_session(&h, dir);
  dispatch(&h, "{\"class\":\"a\",\"value\":\"long\"}");
  until(&h, &h.invoked, 1);
  rt_runtime_stop(h.rt, 0);
  assert_true(rt_job_canceled(h.job));
  rt_job_complete(h.job, NULL);
  rt_session_unref(h.session);
  close_host(&h);
  host_remove_dir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_script_runs_beside_the_loop),
      cmocka_unit_test(much_output_waits_for_the_host),
      cmocka_unit_test(waiting_calls_are_refused),
      cmocka_unit_test(events_come_in_order),
      cmocka_unit_test(a_bus_alone_on_a_loop),
      cmocka_unit_test(routers_too),
      cmocka_unit_test(ends_of_processes),
      cmocka_unit_test(a_session_on_the_loop),
      cmocka_unit_test(stopping_while_a_job_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
