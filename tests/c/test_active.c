/* test_active.c - capabilities in C that ask where they may go: the scope of
 * their session, from any thread, told to `why`. Public headers only.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "host_kit.h"
#include "rt/rt.h"

#define PATIENCE 30

typedef struct question {
  const char *host, *address;
  unsigned port;
  const char *url;
  rt_err answer;
  const char *words; /* part of the error's */
} question;

typedef struct fixture {
  char dir[64];
  rt_runtime *rt;
  rt_session *session;
  const question *questions; /* until one without host and address */
  unsigned asked;
  int64_t rejections; /* by the scope, of the session that has ended */
  rt_job *job;
  uv_thread_t thread;
  bool threaded;
  uv_sem_t begun, release;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof(*f));
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  host_make_dir(f->dir);
  opts.workers = 2;
  if (rt_runtime_new(&f->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  uv_sem_init(&f->begun, 0);
  uv_sem_init(&f->release, 0);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  if (f->threaded) uv_thread_join(&f->thread);
  rt_runtime_free(f->rt);
  rt_session_unref(f->session);
  uv_sem_destroy(&f->begun);
  uv_sem_destroy(&f->release);
  host_remove_dir(f->dir);
  free(f);
  return 0;
}

static void add(fixture *f, rt_invoke_fn invoke, bool active) {
  static const char *const input[] = {"ipv4"};
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  o.name = "probe";
  o.input = input;
  o.input_count = 1;
  o.invoke = invoke;
  o.arg = f;
  o.active = active;
  if (rt_registry_add(rt_runtime_registry(f->rt), &o, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void begin(fixture *f, const char *const *scope, size_t count) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_outcome outcome = RT_STORED;
  rt_value *asset = host_json("{\"class\":\"ipv4\",\"value\":\"10.0.0.1\"}");
  opts.name = "s";
  opts.dir = f->dir;
  opts.scope = scope;
  opts.scope_count = count;
  if (rt_session_open(&f->session, f->rt, &opts, &err) != RT_OK ||
      rt_session_dispatch(f->session, asset, NULL, &outcome, &err) != RT_OK)
    fail_msg("%s", err.message);
  assert_int_equal(outcome, RT_QUEUED);
  rt_value_unref(asset);
}

static void end(fixture *f) {
  rt_error err = RT_ERROR_INIT;
  rt_value *stats = NULL;
  if (rt_session_wait(f->session, PATIENCE, NULL, &err) != RT_OK)
    fail_msg("%s", err.message);
  assert_int_equal(rt_session_stats(f->session, &stats, &err), RT_OK);
  rt_view refused = rt_view_get(rt_value_view(stats), "rejections");
  f->rejections = rt_view_int(rt_view_get(refused, "scope"), 0);
  rt_value_unref(stats);
  rt_session_close(f->session);
}

static void ask(rt_job *job, const question *q) {
  rt_target target = RT_TARGET_INIT;
  rt_error err = RT_ERROR_INIT;
  target.host = q->host;
  target.address = q->address;
  target.port = q->port;
  target.url = q->url;
  rt_err got = rt_job_allows(job, &target, &err);
  if (got != q->answer || (q->words && !strstr(err.message, q->words)))
    fail_msg("%s %s: %d, %s", q->host ? q->host : "", q->address, got,
             err.message);
  assert_int_equal(got, err.code);
}

static void ask_all(void *arg) {
  fixture *f = arg;
  for (const question *q = f->questions; q->host || q->address; q++) {
    ask(f->job, q);
    f->asked++;
  }
  rt_job_complete(f->job, NULL);
}

static void on_own_thread(rt_job *job, void *arg) {
  fixture *f = arg;
  f->job = job;
  f->threaded = true;
  uv_thread_create(&f->thread, ask_all, f);
}

/* --- what is told to why ---------------------------------------------------
 */
static rt_report *report_of(fixture *f) {
  rt_report *report;
  rt_error err = RT_ERROR_INIT;
  if (rt_report_open(&report, f->dir, "s", &err) != RT_OK)
    fail_msg("%s", err.message);
  return report;
}

static void assert_refused(fixture *f, const char *target, const char *why) {
  rt_report *report = report_of(f);
  rt_value *answer = NULL;
  char *text = NULL;
  size_t size;
  assert_int_equal(rt_report_why_not(report, "probe", target, &answer, NULL),
                   RT_OK);
  assert_int_equal(rt_value_to_json(&text, &size, answer, NULL), RT_OK);
  if (!strstr(text, "\"rejected\"") || !strstr(text, why))
    fail_msg("%s: %s", target, text);
  rt_free(text);
  rt_value_unref(answer);
  rt_report_close(report);
}

/* --- cases ------------------------------------------------------------------
 */
static void the_scope_decides(void **state) {
  static const char *const scope[] = {"10.0.0.0/8", "!10.0.0.9", "**.lab.test",
                                      "!url:**/secret"};
  static const question questions[] = {
      {"10.0.0.1", NULL, 80, NULL, RT_OK, NULL},
      {NULL, "10.0.0.1", 0, NULL, RT_OK, NULL},
      {"10.0.0.9", NULL, 80, NULL, RT_EPERM, "excluded by !10.0.0.9"},
      {NULL, "::ffff:10.0.0.9", 81, NULL, RT_EPERM, "excluded by"},
      {NULL, "192.0.2.1", 443, NULL, RT_EPERM, "no rule includes the address"},
      {"WWW.lab.test", NULL, 443, NULL, RT_OK, NULL},
      {"www.lab.test", "10.0.0.5", 443, NULL, RT_OK, NULL},
      {"www.lab.test", "192.0.2.5", 443, NULL, RT_EPERM, "at 192.0.2.5"},
      {"www.other.test", NULL, 443, NULL, RT_EPERM, "includes the name"},
      {NULL, "localhost", 1, NULL, RT_EINVAL, "'localhost' is no address"},
      {"10.0.0.1", NULL, 65616, NULL, RT_EINVAL, "65616 is no port"},
      {NULL, NULL, 0, NULL, RT_OK, NULL}};
  fixture *f = *state;
  f->questions = questions;
  add(f, on_own_thread, true);
  begin(f, scope, 3);
  end(f);
  assert_int_equal(f->asked, 11);
  assert_refused(f, "target:10.0.0.9:80", "excluded by !10.0.0.9");
  assert_refused(f, "target:www.other.test:443", "includes the name");
  assert_int_equal(f->rejections, 5);
}

static void urls_too(void **state) {
  static const char *const scope[] = {"!url:http://www.lab.test/secret"};
  static const question questions[] = {
      {"www.lab.test", NULL, 80, "http://www.lab.test/", RT_OK, NULL},
      {"www.lab.test", NULL, 80, "http://www.lab.test/secret", RT_EPERM,
       "excluded by"},
      {NULL, NULL, 0, NULL, RT_OK, NULL}};
  fixture *f = *state;
  f->questions = questions;
  add(f, on_own_thread, true);
  begin(f, scope, 1);
  end(f);
  assert_int_equal(f->asked, 2);
}

static void without_rules_all_is_allowed(void **state) {
  static const question questions[] = {
      {"www.other.test", "192.0.2.1", 443, NULL, RT_OK, NULL},
      {NULL, NULL, 0, NULL, RT_OK, NULL}};
  fixture *f = *state;
  f->questions = questions;
  add(f, on_own_thread, true);
  begin(f, NULL, 0);
  end(f);
  assert_int_equal(f->asked, 1);
  assert_int_equal(f->rejections, 0);
}

static void ask_nothing(rt_job *job, void *arg) {
  fixture *f = arg;
  rt_target older = RT_TARGET_INIT;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_job_allows(job, &older, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "expected a host or an address"));
  older.size = offsetof(rt_target, port); /* what is behind is not looked at */
  older.host = "10.0.0.1";
  older.port = 99999;
  assert_int_equal(rt_job_allows(job, &older, &err), RT_OK);
  f->asked++;
  rt_job_complete(job, NULL);
}

static void a_target_says_something(void **state) {
  fixture *f = *state;
  add(f, ask_nothing, true);
  begin(f, NULL, 0);
  end(f);
  assert_int_equal(f->asked, 1);
}

/* Who asks without having declared it is told: only RT_OK means yes. */
static void it_must_be_declared(void **state) {
  static const question questions[] = {
      {"10.0.0.1", NULL, 80, NULL, RT_EINVAL, "'probe' is not declared active"},
      {NULL, NULL, 0, NULL, RT_OK, NULL}};
  fixture *f = *state;
  rt_value *declared = NULL;
  f->questions = questions;
  add(f, on_own_thread, false);
  begin(f, NULL, 0);
  end(f);
  assert_int_equal(f->asked, 1);
  rt_registry *registry = rt_runtime_registry(f->rt);
  assert_int_equal(rt_registry_get(registry, "probe", &declared, NULL), RT_OK);
  assert_false(
      rt_view_bool(rt_view_get(rt_value_view(declared), "active"), true));
  rt_value_unref(declared);
  assert_int_equal(rt_registry_remove(registry, "probe", NULL), RT_OK);
  add(f, on_own_thread, true);
  assert_int_equal(rt_registry_get(registry, "probe", &declared, NULL), RT_OK);
  assert_true(
      rt_view_bool(rt_view_get(rt_value_view(declared), "active"), false));
  rt_value_unref(declared);
}

static void ask_when_released(void *arg) {
  fixture *f = arg;
  static const question late = {"10.0.0.1", NULL,         80,
                                NULL,       RT_ECANCELED, "has been ended"};
  uv_sem_wait(&f->release);
  ask(f->job, &late);
  rt_job_complete(f->job, NULL);
}

static void hang(rt_job *job, void *arg) {
  fixture *f = arg;
  f->job = job;
  f->threaded = true;
  uv_thread_create(&f->thread, ask_when_released, f);
  uv_sem_post(&f->begun);
}

/* One that was ended sends nothing more, wherever to; also after the runtime.
 */
static void not_after_its_end(void **state) {
  fixture *f = *state;
  add(f, hang, true);
  begin(f, NULL, 0);
  uv_sem_wait(&f->begun);
  rt_runtime_stop(f->rt, 0);
  rt_runtime_free(f->rt);
  f->rt = NULL;
  uv_sem_post(&f->release);
  uv_thread_join(&f->thread);
  f->threaded = false;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_scope_decides, setup, teardown),
      cmocka_unit_test_setup_teardown(urls_too, setup, teardown),
      cmocka_unit_test_setup_teardown(without_rules_all_is_allowed, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_target_says_something, setup, teardown),
      cmocka_unit_test_setup_teardown(it_must_be_declared, setup, teardown),
      cmocka_unit_test_setup_teardown(not_after_its_end, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
