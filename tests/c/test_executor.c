/* test_executor.c - jobs of capabilities in C and in Lua, through the public
 * API: how they end, what they may send, what a stop does to them.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "rt/rt.h"

#define PATIENCE 30.0

typedef struct fixture {
  rt_runtime *rt;
  char dir[64];
  /* what a capability in C is told to do */
  uv_sem_t release;
  uv_thread_t thread;
  atomic_bool threaded;
  rt_job *job;
} fixture;

static int start(void **state, unsigned workers, uint64_t memory) {
  fixture *f = calloc(1, sizeof(*f));
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  snprintf(f->dir, sizeof(f->dir), "/tmp/rt-executor-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  opts.workers = workers;
  opts.vm_memory = memory;
  if (rt_runtime_new(&f->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  uv_sem_init(&f->release, 0);
  *state = f;
  return 0;
}

static int setup(void **state) {
  return start(state, 2, 0);
}

static int setup_small(void **state) {
  return start(state, 1, 64u << 20);
}

static int teardown(void **state) {
  fixture *f = *state;
  char command[100];
  if (f->threaded) uv_thread_join(&f->thread);
  rt_runtime_free(f->rt);
  uv_sem_destroy(&f->release);
  snprintf(command, sizeof(command), "rm -rf %s", f->dir);
  assert_int_equal(system(command), 0);
  free(f);
  return 0;
}

/* --- helpers ----------------------------------------------------------------
 */
static rt_value *json(const char *text) {
  rt_value *value;
  rt_error err = RT_ERROR_INIT;
  if (rt_value_from_json(&value, text, strlen(text), &err) != RT_OK)
    fail_msg("%s", err.message);
  return value;
}

static rt_session *open_session(fixture *f) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_session *session;
  opts.name = "s";
  opts.dir = f->dir;
  opts.grace = 0.1;
  if (rt_session_open(&session, f->rt, &opts, &err) != RT_OK)
    fail_msg("%s", err.message);
  return session;
}

static void dispatch(rt_session *session, const char *text) {
  rt_value *asset = json(text);
  rt_error err = RT_ERROR_INIT;
  rt_outcome outcome;
  if (rt_session_dispatch(session, asset, NULL, &outcome, &err) != RT_OK)
    fail_msg("%s", err.message);
  rt_value_unref(asset);
}

static void wait_finished(rt_session *session) {
  rt_error err = RT_ERROR_INIT;
  if (rt_session_wait(session, PATIENCE, NULL, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void close_session(rt_session *session) {
  rt_session_close(session);
  rt_session_unref(session);
}

static void add(fixture *f, rt_invoke_fn invoke, double timeout,
                rt_match_fn match) {
  static const char *const input[] = {"in"}, *const output[] = {"out"};
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  o.name = "work";
  o.input = input;
  o.output = output;
  o.input_count = o.output_count = 1;
  o.timeout = timeout;
  o.match = match;
  o.invoke = invoke;
  o.arg = f;
  if (rt_registry_add(rt_runtime_registry(f->rt), &o, &err) != RT_OK)
    fail_msg("%s", err.message);
}

/* The report of the closed session's only job in this state. */
static rt_value *job_in_state(fixture *f, const char *state) {
  rt_report *report;
  rt_value *jobs, *job;
  rt_error err = RT_ERROR_INIT;
  if (rt_report_open(&report, f->dir, "s", &err) != RT_OK)
    fail_msg("%s", err.message);
  assert_int_equal(rt_report_jobs(report, state, NULL, "", 10, &jobs, &err),
                   RT_OK);
  rt_view list = rt_view_get(rt_value_view(jobs), "jobs");
  assert_int_equal(rt_view_count(list), 1);
  assert_int_equal(rt_view_copy(&job, rt_view_at(list, 0), NULL), RT_OK);
  rt_value_unref(jobs);
  rt_report_close(report);
  return job;
}

static void assert_text(rt_view view, const char *expected) {
  size_t size = 0;
  const char *text = rt_view_string(view, &size);
  assert_non_null(text);
  if (!memmem(text, size, expected, strlen(expected)))
    fail_msg("'%.*s' does not have '%s'", (int)size, text, expected);
}

static void assert_failure(fixture *f, const char *kind, const char *message) {
  rt_value *job = job_in_state(f, "failed");
  rt_view error = rt_view_at(rt_view_get(rt_value_view(job), "errors"), 0);
  assert_text(rt_view_get(error, "kind"), kind);
  assert_text(rt_view_get(error, "message"), message);
  rt_value_unref(job);
}

static uint32_t count_assets(fixture *f, const char *class_) {
  rt_report *report;
  rt_value *assets;
  assert_int_equal(rt_report_open(&report, f->dir, "s", NULL), RT_OK);
  assert_int_equal(rt_report_assets(report, 0, class_, 1000, &assets, NULL),
                   RT_OK);
  uint32_t count = rt_view_count(rt_value_view(assets));
  rt_value_unref(assets);
  rt_report_close(report);
  return count;
}

/* --- capabilities in C
 * -------------------------------------------------------- */
static void send_text(rt_job *job, const char *text) {
  rt_value *asset = json(text);
  rt_error err = RT_ERROR_INIT;
  if (rt_job_send(job, asset, &err) != RT_OK) fail_msg("%s", err.message);
  rt_value_unref(asset);
}

static void send_two(rt_job *job, void *arg) {
  (void)arg;
  send_text(job, "{\"class\":\"out\",\"value\":\"a\"}");
  send_text(job, "{\"class\":\"out\",\"value\":\"b\"}");
  rt_job_complete(job, NULL);
}

static void test_sends_and_completes(void **state) {
  fixture *f = *state;
  add(f, send_two, 0, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  dispatch(s, "{\"class\":\"in\",\"value\":\"2\"}");
  wait_finished(s);
  close_session(s);
  assert_int_equal(count_assets(f, "out"), 2);
}

static void work_elsewhere(void *arg) {
  fixture *f = arg;
  size_t size;
  rt_view asset = rt_value_view(rt_job_asset(f->job));
  assert_non_null(rt_view_string(rt_view_get(asset, "value"), &size));
  assert_int_equal(rt_job_attempt(f->job), 1);
  assert_false(rt_job_canceled(f->job));
  send_two(f->job, NULL);
}

static void hand_over(rt_job *job, void *arg) {
  fixture *f = arg;
  f->job = job;
  f->threaded = true;
  uv_thread_create(&f->thread, work_elsewhere, f);
}

static void test_goes_on_in_another_thread(void **state) {
  fixture *f = *state;
  add(f, hand_over, 0, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  wait_finished(s);
  close_session(s);
  assert_int_equal(count_assets(f, "out"), 2);
}

static void fail_with_words(rt_job *job, void *arg) {
  rt_error failure = RT_ERROR_INIT;
  (void)arg;
  rt_fail(&failure, RT_ECONFLICT, "no luck");
  rt_job_complete(job, &failure);
}

static void test_fails(void **state) {
  fixture *f = *state;
  add(f, fail_with_words, 0, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  wait_finished(s);
  close_session(s);
  assert_failure(f, "CONFLICT", "no luck");
}

static void beat(rt_job *job, void *arg) {
  fixture *f = arg;
  size_t size;
  rt_view asset = rt_value_view(rt_job_asset(job));
  const char *name = rt_view_string(rt_view_get(asset, "class"), &size);
  if (size == 9 && memcmp(name, "tick.beat", 9) == 0) uv_sem_post(&f->release);
  rt_job_complete(job, NULL);
}

static void test_runs_at_its_times(void **state) {
  fixture *f = *state;
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  o.name = "beat";
  o.every = "10ms";
  o.invoke = beat;
  o.arg = f;
  if (rt_registry_add(rt_runtime_registry(f->rt), &o, &err) != RT_OK)
    fail_msg("%s", err.message);
  rt_session *s = open_session(f);
  for (int beats = 0, i = 0; beats < 3; i++) {
    if (uv_sem_trywait(&f->release) == 0)
      beats++;
    else if (i < 6000)
      uv_sleep(5);
    else
      fail_msg("%d beats in half a minute", beats);
  }
  close_session(s);
}

static void send_faulty(rt_job *job, void *arg) {
  static const char *const faulty[] = {"{\"class\":\"other\",\"value\":\"x\"}",
                                       "{\"class\":\"out\"}", "{}",
                                       "{\"class\":\"out\",\"value\":\"\"}"};
  (void)arg;
  for (size_t i = 0; i < sizeof(faulty) / sizeof(*faulty); i++) {
    rt_value *asset = json(faulty[i]);
    rt_error err = RT_ERROR_INIT;
    assert_int_equal(rt_job_send(job, asset, &err), RT_EINVAL);
    rt_value_unref(asset);
  }
  send_text(job, "{\"class\":\"out\",\"value\":\"kept\"}");
  rt_job_complete(job, NULL);
}

static void test_faulty_sends_fail_the_job(void **state) {
  fixture *f = *state;
  add(f, send_faulty, 0, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  wait_finished(s);
  close_session(s);
  assert_failure(f, "INVALID", "'other'");
  assert_int_equal(count_assets(f, "out"), 1);
}

static void wait_released(void *arg) {
  fixture *f = arg;
  uv_sem_wait(&f->release);
  rt_value *asset = json("{\"class\":\"out\",\"value\":\"late\"}");
  assert_true(rt_job_canceled(f->job));
  assert_int_equal(rt_job_send(f->job, asset, NULL), RT_ECANCELED);
  rt_value_unref(asset);
  rt_job_complete(f->job, NULL);
}

static void hang(rt_job *job, void *arg) {
  fixture *f = arg;
  f->job = job;
  uv_thread_create(&f->thread, wait_released, f);
  atomic_store(&f->threaded, true);
}

static void await_thread(fixture *f) {
  for (int ms = 0; !atomic_load(&f->threaded); ms++) {
    if (ms > 60000) fail_msg("the job never began");
    uv_sleep(1);
  }
}

static void test_times_out(void **state) {
  fixture *f = *state;
  add(f, hang, 0.1, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  wait_finished(s);
  await_thread(f);
  uv_sem_post(&f->release); /* what it does now goes nowhere */
  uv_thread_join(&f->thread);
  f->threaded = false;
  close_session(s);
  assert_failure(f, "TIMEOUT", "timed out");
  assert_int_equal(count_assets(f, "out"), 0);
}

static void test_cancel_gives_up(void **state) {
  fixture *f = *state;
  add(f, hang, 0, NULL);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  await_thread(f);
  assert_int_equal(rt_session_wait(s, 0, NULL, NULL), RT_ETIMEOUT);
  assert_int_equal(rt_session_cancel(s, "enough", false, NULL), RT_OK);
  uv_sem_post(&f->release);
  uv_thread_join(&f->thread);
  f->threaded = false;
  close_session(s);
  rt_value_unref(job_in_state(f, "queued"));
}

static bool refuse(const rt_value *asset, char *why, size_t size, void *arg) {
  (void)asset, (void)arg;
  snprintf(why, size, "not today");
  return false;
}

static void test_match_skips(void **state) {
  fixture *f = *state;
  add(f, send_two, 0, refuse);
  rt_session *s = open_session(f);
  dispatch(s, "{\"class\":\"in\",\"value\":\"1\"}");
  wait_finished(s);
  close_session(s);
  rt_value *job = job_in_state(f, "skipped");
  assert_text(rt_view_get(rt_value_view(job), "reason"), "not today");
  rt_value_unref(job);
}

/* --- capabilities in Lua
 * --------------------------------------------------------- */
static void write_file(fixture *f, const char *name, const char *text) {
  char path[200];
  snprintf(path, sizeof(path), "%s/%s", f->dir, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

typedef struct faults {
  size_t count;
  char text[2000];
} faults;

static void on_fault(const char *text, void *arg) {
  faults *all = arg;
  size_t at = strlen(all->text);
  all->count++;
  snprintf(all->text + at, sizeof(all->text) - at, "%s\n", text);
  assert_null(strchr(text, '\n'));
}

static void test_loads_a_folder(void **state) {
  fixture *f = *state;
  faults all = {0, ""};
  size_t loaded = 0;
  rt_value *names;
  rt_registry *registry = rt_runtime_registry(f->rt);
  write_file(f, "b.lua",
             "return capability { name = 'b', input = { 'in' }, "
             "invoke = function() end }");
  write_file(f, "a.lua",
             "return capability { name = 'a', input = { 'in' }, "
             "invoke = function() end }");
  write_file(f, "a_test.lua", "error('not to be loaded')");
  write_file(f, "c.lua", "return capability { name = 'c',\n inputs = {} }");
  write_file(f, "d.lua", "return {");
  write_file(f, "notes.txt", "no Lua");
  assert_int_equal(
      rt_registry_load(registry, f->dir, on_fault, &all, &loaded, NULL), RT_OK);
  assert_int_equal(loaded, 2);
  assert_int_equal(all.count, 2);
  assert_non_null(strstr(all.text, "c.lua:2: capability 'c': inputs: unknown"));
  assert_non_null(strstr(all.text, "d.lua:1:"));
  assert_int_equal(rt_registry_target_tasks(registry, "in", &names, NULL),
                   RT_OK);
  assert_text(rt_view_at(rt_value_view(names), 0), "a");
  assert_text(rt_view_at(rt_value_view(names), 1), "b");
  rt_value_unref(names);
  /* the same again is no fault */
  assert_int_equal(
      rt_registry_load(registry, f->dir, NULL, NULL, &loaded, NULL), RT_OK);
  assert_int_equal(loaded, 2);
  assert_int_equal(
      rt_registry_load(registry, "/no/such/path", NULL, NULL, &loaded, NULL),
      RT_ENOTFOUND);
}

static const char *const busy =
    "return { capability { name = 'loops', input = { 'in' }, "
    "invoke = function() while true do end end }, "
    "capability { name = 'sleeps', input = { 'in' }, "
    "invoke = function() require('time').sleep(1000) end } }";

/* Many jobs in loops and sleeps: a stop ends, and they are queued again. */
static void test_stop_ends_running_jobs(void **state) {
  fixture *f = *state;
  char path[200], text[100];
  rt_report *report;
  rt_value *jobs;
  write_file(f, "busy.lua", busy);
  snprintf(path, sizeof(path), "%s/busy.lua", f->dir);
  assert_int_equal(rt_registry_load(rt_runtime_registry(f->rt), path, NULL,
                                    NULL, NULL, NULL),
                   RT_OK);
  rt_session *s = open_session(f);
  for (int i = 0; i < 10; i++) {
    snprintf(text, sizeof(text), "{\"class\":\"in\",\"value\":\"%d\"}", i);
    dispatch(s, text);
  }
  assert_int_equal(rt_session_wait(s, 0.1, NULL, NULL), RT_ETIMEOUT);
  rt_runtime_stop(f->rt, 0.1);
  rt_session_unref(s);
  assert_int_equal(rt_report_open(&report, f->dir, "s", NULL), RT_OK);
  assert_int_equal(rt_report_jobs(report, "queued", NULL, "", 100, &jobs, NULL),
                   RT_OK);
  assert_int_equal(rt_view_count(rt_view_get(rt_value_view(jobs), "jobs")), 20);
  rt_value_unref(jobs);
  rt_report_close(report);
}

static const char *const greedy =
    "return { capability { name = 'greedy', input = { 'in' }, "
    "invoke = function(job, asset) "
    "if asset.value ~= '0' then return end "
    "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end "
    "end }, "
    "capability { name = 'modest', input = { 'in' }, output = { 'out' }, "
    "invoke = function(job, asset) "
    "for _ = 1, 20 do require('time').sleep('2ms') end "
    "job:send { class = 'out', value = asset.value } end } }";

/* One job uses up the memory of the VM: it fails, nobody else does. */
static void test_out_of_memory_fails_one_job(void **state) {
  fixture *f = *state;
  char path[200], text[100];
  write_file(f, "greedy.lua", greedy);
  snprintf(path, sizeof(path), "%s/greedy.lua", f->dir);
  assert_int_equal(rt_registry_load(rt_runtime_registry(f->rt), path, NULL,
                                    NULL, NULL, NULL),
                   RT_OK);
  rt_session *s = open_session(f);
  for (int i = 0; i < 50; i++) {
    snprintf(text, sizeof(text), "{\"class\":\"in\",\"value\":\"%d\"}", i);
    dispatch(s, text);
  }
  wait_finished(s);
  close_session(s);
  assert_failure(f, "INTERNAL", "memory");
  assert_int_equal(count_assets(f, "out"), 50);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_sends_and_completes),
      CASE(test_goes_on_in_another_thread),
      CASE(test_fails),
      CASE(test_faulty_sends_fail_the_job),
      CASE(test_times_out),
      CASE(test_cancel_gives_up),
      CASE(test_match_skips),
      CASE(test_loads_a_folder),
      CASE(test_stop_ends_running_jobs),
      CASE(test_runs_at_its_times),
      cmocka_unit_test_setup_teardown(test_out_of_memory_fails_one_job,
                                      setup_small, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
