/* test_job_calls.c - what a job in C may say besides its results, and
 * capabilities in Lua from memory. Public headers only.
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

#include "host_kit.h"
#include "rt/rt.h"

#define PATIENCE 30

typedef struct fixture {
  char dir[64];
  rt_runtime *rt;
  rt_session *session;
  atomic_uint runs, told;
  double fractions[4];
  uint32_t attempt;
  uint64_t id;
  rt_job *job;
  uv_sem_t begun;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof(*f));
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  host_make_dir(f->dir);
  opts.workers = 2;
  if (rt_runtime_new(&f->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  uv_sem_init(&f->begun, 0);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  rt_runtime_free(f->rt);
  rt_session_unref(f->session);
  uv_sem_destroy(&f->begun);
  host_remove_dir(f->dir);
  free(f);
  return 0;
}

static void add(fixture *f, rt_invoke_fn invoke) {
  static const char *const input[] = {"in"}, *const output[] = {"out"};
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  o.name = "work";
  o.input = input;
  o.output = output;
  o.input_count = o.output_count = 1;
  o.invoke = invoke;
  o.arg = f;
  if (rt_registry_add(rt_runtime_registry(f->rt), &o, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void begin(fixture *f) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_value *asset = host_json("{\"class\":\"in\",\"value\":\"1\"}");
  opts.name = "calls";
  opts.dir = f->dir;
  if (rt_session_open(&f->session, f->rt, &opts, &err) != RT_OK ||
      rt_session_dispatch(f->session, asset, NULL, NULL, &err) != RT_OK)
    fail_msg("%s", err.message);
  rt_value_unref(asset);
}

static void until_finished(fixture *f) {
  rt_error err = RT_ERROR_INIT;
  if (rt_session_wait(f->session, PATIENCE, NULL, &err) != RT_OK)
    fail_msg("%s", err.message);
}

/* --- snooze ------------------------------------------------------------- */
static void twice(rt_job *job, void *arg) {
  fixture *f = arg;
  f->attempt = rt_job_attempt(job);
  if (atomic_fetch_add(&f->runs, 1) < 2)
    rt_job_snooze(job, -1);
  else
    rt_job_complete(job, NULL);
}

static void a_snooze_uses_no_attempt(void **state) {
  fixture *f = *state;
  add(f, twice);
  begin(f);
  until_finished(f);
  assert_int_equal(atomic_load(&f->runs), 3);
  assert_int_equal(f->attempt, 1);
}

static void for_long(rt_job *job, void *arg) {
  fixture *f = arg;
  rt_job_snooze(job, 1e300);
  uv_sem_post(&f->begun);
}

static void it_may_be_long(void **state) {
  fixture *f = *state;
  rt_report *report;
  rt_value *answer = NULL;
  size_t size = 0;
  bool asleep = false;
  add(f, for_long);
  begin(f);
  uv_sem_wait(&f->begun);
  assert_int_equal(rt_report_open(&report, f->dir, "calls", NULL), RT_OK);
  for (int i = 0; !asleep && i < 6000; i++) {
    if (i > 0) uv_sleep(5);
    assert_int_equal(rt_report_why_not(report, "work", "in:1", &answer, NULL),
                     RT_OK);
    const char *cause =
        rt_view_string(rt_view_get(rt_value_view(answer), "cause"), &size);
    asleep = size == 6 && memcmp(cause, "asleep", 6) == 0;
    rt_value_unref(answer);
  }
  assert_true(asleep);
  rt_report_close(report);
}

/* --- who it is, how far it is --------------------------------------------- */
static void tells(rt_job *job, void *arg) {
  fixture *f = arg;
  f->job = job;
  f->id = rt_job_id(job);
  assert_string_equal(rt_job_session(job), "calls");
  rt_job_progress(job, 7, "half");
  rt_job_progress(job, -1, NULL);
  rt_job_progress(job, 0.5, NULL);
  uv_sem_post(&f->begun);
}

static void on_progress(const rt_event *event, void *arg) {
  fixture *f = arg;
  rt_view data = rt_value_view(event->data);
  unsigned count = atomic_load(&f->told);
  if (count < 4) /* without it, it is 0 */
    f->fractions[count] = rt_view_number(rt_view_get(data, "fraction"), 0);
  atomic_store(&f->told, count + 1);
}

static void it_has_a_number_and_tells(void **state) {
  fixture *f = *state;
  rt_value *jobs = NULL;
  rt_error err = RT_ERROR_INIT;
  uint64_t id;
  double fraction = 0;
  assert_int_equal(rt_bus_subscribe(rt_runtime_bus(f->rt), &id, "session",
                                    "job.progress", on_progress, f, &err),
                   RT_OK);
  add(f, tells);
  begin(f);
  uv_sem_wait(&f->begun);
  for (int i = 0; fraction != 0.5 && i < 6000; i++) {
    if (i > 0) uv_sleep(5);
    assert_int_equal(rt_session_running(f->session, &jobs, &err), RT_OK);
    rt_view job = rt_view_at(rt_value_view(jobs), 0);
    assert_int_equal(rt_view_int(rt_view_get(job, "id"), 0), f->id);
    fraction = rt_view_number(rt_view_get(job, "fraction"), 0);
    rt_value_unref(jobs);
  }
  assert_true(fraction == 0.5);
  assert_int_equal(rt_session_kill(f->session, f->id, "no longer wanted", &err),
                   RT_OK);
  until_finished(f);
  rt_job_progress(f->job, 0.9, "nobody hears it"); /* it was given up */
  rt_job_snooze(f->job, 0);
  for (int i = 0; atomic_load(&f->told) < 3 && i < 6000; i++) uv_sleep(5);
  rt_bus_unsubscribe(rt_runtime_bus(f->rt), id);
  assert_int_equal(atomic_load(&f->told), 3);
  assert_true(f->fractions[0] == 1 && f->fractions[1] == 0);
  assert_true(f->fractions[2] == 0.5);
}

/* --- capabilities in Lua from memory ---------------------------------------
 */
static void on_fault(const char *text, void *arg) {
  snprintf(arg, 400, "%s", text);
}

static rt_err load(rt_runtime *rt, const char *code, const char *name,
                   size_t *loaded, char fault[400]) {
  rt_error err = RT_ERROR_INIT;
  fault[0] = '\0';
  return rt_registry_load_code(rt_runtime_registry(rt), code,
                               code ? strlen(code) : 0, name, on_fault, fault,
                               loaded, &err);
}

static void they_may_come_from_memory(void **state) {
  static const char good[] =
      "return capability { name = 'work', input = { 'in' },\n"
      "  output = { 'out' }, invoke = function(job, asset)\n"
      "    job:send { class = 'out', value = asset.value } end }\n";
  fixture *f = *state;
  size_t loaded = 9;
  char fault[400];
  rt_value *found = NULL;
  assert_int_equal(load(f->rt, good, "mine", &loaded, fault), RT_OK);
  if (fault[0]) fail_msg("%s", fault);
  assert_int_equal(loaded, 1);
  assert_int_equal(load(f->rt, good, "mine", &loaded, fault), RT_OK);
  assert_string_equal(fault, "");
  assert_int_equal(load(f->rt, good, "another", &loaded, fault), RT_OK);
  assert_int_equal(loaded, 0);
  assert_non_null(strstr(fault, "another"));
  assert_int_equal(load(f->rt, "return {", "broken", &loaded, fault), RT_OK);
  assert_int_equal(loaded, 0);
  assert_non_null(strstr(fault, "broken:1:"));
  assert_int_equal(load(f->rt, NULL, "none", &loaded, fault), RT_EINVAL);
  assert_int_equal(load(f->rt, good, "", &loaded, fault), RT_EINVAL);
  begin(f);
  until_finished(f);
  rt_report *report;
  assert_int_equal(rt_report_open(&report, f->dir, "calls", NULL), RT_OK);
  assert_int_equal(rt_report_asset(report, "out:1", &found, NULL), RT_OK);
  rt_value_unref(found);
  rt_report_close(report);
}

/* --- beside a loop of the host ---------------------------------------------
 */
typedef struct beside {
  rt_runtime *rt;
  host_loop loop;
  uv_async_t done;
  unsigned calls, over;
  size_t loaded;
  char fault[400];
} beside;

static void on_call(rt_call *call, const rt_value *args, void *arg) {
  beside *b = arg;
  (void)args;
  assert_true(host_loop_here(&b->loop));
  b->calls++;
  rt_call_return(call, NULL);
}

static void load_there(void *arg) {
  static const char code[] =
      "require('host').call()\n"
      "return capability { name = 'asks', input = { 'in' },\n"
      "  invoke = function() end }\n";
  beside *b = arg;
  load(b->rt, code, "asks", &b->loaded, b->fault);
  uv_async_send(&b->done);
}

static void on_done(uv_async_t *async) {
  beside *b = async->data;
  b->over++;
  uv_close((uv_handle_t *)async, NULL);
}

/* A thread of the host may wait for a file that calls what its loop runs. */
static void another_thread_may_load(void **state) {
  static const char *const name = "call";
  beside *b = calloc(1, sizeof(*b));
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_module_opts module = RT_MODULE_OPTS_INIT;
  const rt_function functions[] = {{name, on_call, b}};
  rt_error err = RT_ERROR_INIT;
  uv_thread_t thread;
  (void)state;
  host_loop_open(&b->loop);
  opts.loop = &b->loop.loop;
  if (rt_runtime_new(&b->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  module.name = "host";
  module.functions = functions;
  module.function_count = 1;
  assert_int_equal(rt_runtime_add_module(b->rt, &module, &err), RT_OK);
  uv_async_init(&b->loop.loop, &b->done, on_done);
  b->done.data = b;
  uv_thread_create(&thread, load_there, b);
  host_loop_until(&b->loop, &b->over, 1);
  uv_thread_join(&thread);
  if (b->loaded != 1) fail_msg("%s", b->fault);
  assert_int_equal(b->calls, 1);
  rt_runtime_free(b->rt);
  host_loop_close(&b->loop);
  free(b);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(a_snooze_uses_no_attempt),
      CASE(it_may_be_long),
      CASE(it_has_a_number_and_tells),
      CASE(they_may_come_from_memory),
      cmocka_unit_test(another_thread_may_load),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
