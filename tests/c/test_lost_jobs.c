/* test_lost_jobs.c - jobs of a worker that is stuck in C code (unsafe scripts):
 * they run again elsewhere, the stuck one has failed with its reason.
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lost_kit.h"
#include "rt/rt.h"
#include "runner.h"

typedef struct work {
  rt_runtime *rt;
  rt_session *session;
  char dir[64];
} work;

static void on_fault(const char *text, void *arg) {
  (void)arg;
  fail_msg("%s", text);
}

static void load(work *w, const char *code) {
  char path[128];
  size_t loaded = 0;
  rt_error err = RT_ERROR_INIT;
  snprintf(path, sizeof(path), "%s/cap.lua", w->dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(code, file);
  fclose(file);
  if (rt_registry_load(rt_runtime_registry(w->rt), path, on_fault, NULL,
                       &loaded, &err) != RT_OK ||
      loaded == 0)
    fail_msg("%s", err.message);
}

static void open_session(work *w, rt_runtime *rt, const char *code) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  w->rt = rt;
  snprintf(w->dir, sizeof(w->dir), "/tmp/rt-lost-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  load(w, code);
  opts.name = "s";
  opts.dir = w->dir;
  opts.grace = 0.1;
  if (rt_session_open(&w->session, rt, &opts, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void dispatch(work *w, const char *class_, int n) {
  char text[80];
  rt_value *asset;
  rt_error err = RT_ERROR_INIT;
  rt_outcome outcome;
  snprintf(text, sizeof(text), "{\"class\":\"%s\",\"value\":\"%d\"}", class_,
           n);
  assert_int_equal(rt_value_from_json(&asset, text, strlen(text), &err), RT_OK);
  if (rt_session_dispatch(w->session, asset, NULL, &outcome, &err) != RT_OK)
    fail_msg("%s", err.message);
  rt_value_unref(asset);
}

static void finish(work *w) {
  rt_error err = RT_ERROR_INIT;
  if (rt_session_wait(w->session, 120, NULL, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void close_session(work *w) {
  char command[100];
  rt_session_close(w->session);
  rt_session_unref(w->session);
  snprintf(command, sizeof(command), "rm -rf %s", w->dir);
  assert_int_equal(system(command), 0);
}

/* How many jobs are in this state; *first is a copy of the first one. */
static size_t jobs_in(work *w, const char *state, rt_value **first) {
  rt_report *report;
  rt_value *jobs;
  rt_error err = RT_ERROR_INIT;
  if (rt_report_open(&report, w->dir, "s", &err) != RT_OK)
    fail_msg("%s", err.message);
  if (rt_report_jobs(report, state, NULL, "", 1000, &jobs, &err) != RT_OK)
    fail_msg("%s", err.message);
  rt_view list = rt_view_get(rt_value_view(jobs), "jobs");
  size_t count = rt_view_count(list);
  if (count > 0 && first)
    assert_int_equal(rt_view_copy(first, rt_view_at(list, 0), NULL), RT_OK);
  rt_value_unref(jobs);
  rt_report_close(report);
  return count;
}

static void assert_reason(const rt_value *job, const char *wanted) {
  char *text = NULL;
  assert_int_equal(rt_value_to_json(&text, NULL, job, NULL), RT_OK);
  if (!strstr(text, wanted)) fail_msg("no '%s' in %s", wanted, text);
  free(text);
}

static void jobs_run_again_elsewhere(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  work w = {0};
  runner *r = runner_new_unsafe(2, 1);
  char *code =
      with_trap("return capability { name = 'work', input = { 'in' },\n"
                "  output = { 'out' }, retries = 0,\n"
                "  match = function(asset) return asset.value ~= '99' end,\n"
                "  invoke = function(job, asset)\n"
                "    if asset.value == '7' then STUCK\n"
                "      job:send { class = 'out', value = 'stale' } end\n"
                "    require('time').sleep(0.05)\n"
                "    job:send { class = 'out', value = asset.value }\n"
                "  end }",
                &g);
  open_session(&w, runner_runtime(r), code);
  for (int i = 0; i < 60; i++) dispatch(&w, "in", i);
  dispatch(&w, "in", 99);
  finish(&w);
  rt_value *failed = NULL;
  assert_int_equal(jobs_in(&w, "failed", &failed), 1);
  assert_reason(failed, "is stuck in C code");
  rt_value_unref(failed);
  assert_int_equal(jobs_in(&w, "completed", NULL), 59);
  assert_int_equal(jobs_in(&w, "skipped", NULL), 1);
  assert_int_equal(lost_count(w.rt), 1);
  trap_open(&g);
  wait_lost(w.rt, 0);
  close_session(&w);
  runner_free(r);
  free(code);
  trap_deinit(&g);
}

/* In `match` and where the file is loaded into a VM there is a batch, or other
 * jobs, behind it. */
static void a_stuck_match_is_skipped_with_its_reason(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  work w = {0};
  runner *r = runner_new_unsafe(2, 1);
  char *code =
      with_trap("return capability { name = 'work', input = { 'in' },\n"
                "  output = { 'out' }, rate = 100000,\n"
                "  rate_key = function(asset) return 'k' .. #asset.value end,\n"
                "  match = function(asset)\n"
                "    if asset.value == '7' then STUCK end return true end,\n"
                "  invoke = function(job, asset)\n"
                "    job:send { class = 'out', value = asset.value } end }",
                &g);
  open_session(&w, runner_runtime(r), code);
  for (int i = 0; i < 60; i++) dispatch(&w, "in", i);
  finish(&w);
  rt_value *skipped = NULL;
  assert_int_equal(jobs_in(&w, "skipped", &skipped), 1);
  assert_reason(skipped, "is stuck in C code");
  rt_value_unref(skipped);
  assert_int_equal(jobs_in(&w, "completed", NULL), 59);
  trap_open(&g);
  wait_lost(w.rt, 0);
  close_session(&w);
  runner_free(r);
  free(code);
  trap_deinit(&g);
}

static void a_file_that_is_stuck_while_it_loads_is_faulty(void **state) {
  (void)state;
  trap g;
  trap_init(&g);
  runner *r = runner_new_unsafe(2, 0.5);
  rt_registry *registry = rt_runtime_registry(runner_runtime(r));
  char *code = with_trap("STUCK return {}", &g);
  char path[] = "/tmp/rt-lost-cap-XXXXXX.lua";
  size_t loaded = 9;
  rt_error err = RT_ERROR_INIT;
  int fd = mkstemps(path, 4);
  assert_true(fd >= 0);
  assert_true(write(fd, code, strlen(code)) > 0);
  close(fd);
  assert_int_equal(rt_registry_load(registry, path, NULL, NULL, &loaded, &err),
                   RT_OK);
  assert_int_equal(loaded, 0);
  unlink(path);
  trap_open(&g);
  wait_lost(runner_runtime(r), 0);
  runner_free(r);
  free(code);
  trap_deinit(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(jobs_run_again_elsewhere),
      cmocka_unit_test(a_stuck_match_is_skipped_with_its_reason),
      cmocka_unit_test(a_file_that_is_stuck_while_it_loads_is_faulty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
