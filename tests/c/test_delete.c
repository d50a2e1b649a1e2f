/* test_delete.c - assets taken out of a session: counters, pages and
 * queries afterwards, beside running work and in closed files.
 * SPDX-License-Identifier: MIT */
#include "engine_kit.h"
#include "rt/queue.h"

static void quiet(kit_job *job, rt__end *end) {
  (void)end;
  kit_send(job, "leaf", job->value);
}

static void spoilt(kit_job *job, rt__end *end) {
  if (job->value[0] != 'f') return;
  end->kind = RT__END_FAILED;
  end->error = kit_error("no", "INVALID", false);
}

static int64_t counted(rt_report *report, const char *class_pattern) {
  rt_asset_query q = RT_ASSET_QUERY_INIT;
  int64_t count = 0;
  uint32_t got;
  q.class_pattern = class_pattern;
  do {
    rt_value *page = NULL;
    KIT_OK(rt_report_query(report, &q, 7, &page, err));
    rt_view list = rt_value_view(page);
    got = rt_view_count(list);
    if (got)
      q.after = rt_view_int(rt_view_get(rt_view_at(list, got - 1), "id"), 0);
    count += got;
    rt_value_unref(page);
  } while (got);
  return count;
}

static int64_t edges(rt_report *report) {
  int64_t after = 0, count = 0;
  uint32_t got;
  do {
    rt_value *page = NULL;
    KIT_OK(rt_report_edges(report, after, 7, &page, err));
    rt_view list = rt_value_view(page);
    got = rt_view_count(list);
    if (got)
      after = rt_view_int(rt_view_get(rt_view_at(list, got - 1), "id"), 0);
    count += got;
    rt_value_unref(page);
  } while (got);
  return count;
}

static int64_t jobs(rt_report *report, const char *state) {
  rt_value *page = NULL;
  KIT_OK(rt_report_jobs(report, state, NULL, "", 10000, &page, err));
  int64_t count = rt_view_count(rt_view_get(rt_value_view(page), "jobs"));
  rt_value_unref(page);
  return count;
}

static rt_report *report_of(kit *k, const char *name) {
  rt_report *report = NULL;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  return report;
}

/* Counters say what the rows say. */
static void check_counts(kit *k, const char *name) {
  rt_report *report = report_of(k, name);
  rt_value *status = NULL;
  KIT_OK(rt_report_status(report, &status, err));
  rt_view view = rt_value_view(status);
  assert_int_equal(rt_view_int(rt_view_get(view, "work_items_total"), -1),
                   jobs(report, NULL));
  assert_int_equal(rt_view_int(rt_view_get(view, "done"), -1),
                   jobs(report, "completed"));
  assert_int_equal(rt_view_int(rt_view_get(view, "failed"), -1),
                   jobs(report, "failed"));
  assert_int_equal(rt_view_int(rt_view_get(view, "canceled"), -1),
                   jobs(report, "canceled"));
  assert_int_equal(rt_view_int(rt_view_get(view, "queued"), -1),
                   jobs(report, "queued"));
  rt_view assets = rt_view_get(view, "assets");
  assert_int_equal(rt_view_int(rt_view_get(assets, "node"), -1),
                   counted(report, "node"));
  rt_value_unref(status);
  rt_report_close(report);
}

static void key_of(char *key, size_t size, const char *class_, int i) {
  snprintf(key, size, "%s:%c%d", class_, i % 5 ? 'n' : 'f', i);
}

static void fill(rt_session *s, int count) {
  char key[32];
  for (int i = 0; i < count; i++) {
    key_of(key, sizeof(key), "node", i);
    assert_int_equal(kit_dispatch(s, "node", key + 5), RT_QUEUED);
  }
}

/* Pages go on behind gaps of any length; counters follow. */
static void leaves_the_rest(void **state) {
  kit *k = kit_start(state);
  char key[32];
  kit_cap(k, "quiet", (kit_opts){.output = "leaf", .fn = quiet});
  kit_cap(k, "spoilt", (kit_opts){.fn = spoilt});
  rt_session *s = kit_open(k, "gaps", NULL);
  fill(s, 100);
  kit_wait(s);
  check_counts(k, "gaps");
  for (int i = 0; i < 100; i++) {
    if (i >= 10 && i < 80) {
      key_of(key, sizeof(key), "node", i);
      KIT_OK(rt_session_delete(s, key, err));
    }
  }
  rt_error why = RT_ERROR_INIT;
  assert_int_equal(rt_session_delete(s, "node:n11", &why), RT_ENOTFOUND);
  assert_string_equal(why.message, "no asset 'node:n11'");
  assert_int_equal(rt_session_delete(s, "", &why), RT_ENOTFOUND);
  kit_wait(s);
  check_counts(k, "gaps");
  assert_int_equal(kit_stat(s, "failed"), 6);
  rt_report *report = report_of(k, "gaps");
  assert_int_equal(counted(report, NULL), 30 + 100);
  assert_int_equal(counted(report, "leaf"), 100);
  assert_int_equal(edges(report), 30);
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

/* What waits is dropped wherever it stands; what is left is worked on. */
static void beside_work(void **state) {
  kit *k = kit_start(state);
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  char key[32];
  int refused = 0;
  kit_cap(k, "quiet", (kit_opts){.output = "leaf", .fn = quiet, .priority = 1});
  kit_cap(k, "spoilt", (kit_opts){.fn = spoilt, .match = true, .priority = 9});
  kit_cap(k, "slow", (kit_opts){.fn = spoilt, .match = true, .rate = 2000});
  opts.concurrency = 2;
  rt_session *s = kit_open(k, "busy", &opts);
  fill(s, 2000);
  for (int i = 0; i < 2000; i += 2) {
    rt_error why = RT_ERROR_INIT;
    key_of(key, sizeof(key), "node", i);
    rt_err rc = rt_session_delete(s, key, &why);
    if (rc == RT_ECONFLICT) refused++;
    if (rc != RT_OK && rc != RT_ECONFLICT) fail_msg("%s", why.message);
  }
  kit_wait(s);
  check_counts(k, "busy");
  assert_int_equal(kit_stat(s, "queued"), 0);
  rt_report *report = report_of(k, "busy");
  assert_int_equal(counted(report, "node"), 1000 + refused);
  assert_int_equal(jobs(report, NULL), 3 * (1000 + refused));
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

/* In a file that is closed, after its queue was given up, and failed jobs. */
static void in_a_closed_file(void **state) {
  kit *k = kit_start(state);
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  const char *const some[] = {"node:f0", "node:n1", "node:n2"};
  const char *const mixed[] = {"node:n3", "node:never"};
  rt_error why = RT_ERROR_INIT;
  int64_t count = 0;
  kit_cap(k, "spoilt", (kit_opts){.fn = spoilt});
  rt_session *s = kit_open(k, "shut", NULL);
  fill(s, 20);
  kit_wait(s);
  assert_int_equal(rt_session_prune(k->dir, "shut", some, 3, &why),
                   RT_ECONFLICT);
  kit_close(s);
  KIT_OK(rt_session_prune(k->dir, "shut", some, 3, err));
  check_counts(k, "shut");
  assert_int_equal(rt_session_prune(k->dir, "shut", mixed, 2, &why),
                   RT_ENOTFOUND);
  assert_non_null(strstr(why.message, "node:never"));
  assert_int_equal(rt_session_prune(k->dir, "none", some, 3, &why),
                   RT_ENOTFOUND);
  check_counts(k, "shut");
  KIT_OK(rt_session_retry(k->dir, "shut", &count, err));
  assert_int_equal(count, 3);
  opts.paused = true;
  s = kit_open(k, "shut", &opts);
  for (int i = 20; i < 40; i++) {
    char key[32];
    key_of(key, sizeof(key), "node", i);
    assert_int_equal(kit_dispatch(s, "node", key + 5), RT_QUEUED);
  }
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  check_counts(k, "shut");
  KIT_OK(rt_session_prune(
      k->dir, "shut", (const char *const[]){"node:n21", "node:n4"}, 2, err));
  check_counts(k, "shut");
  s = kit_open(k, "shut", NULL);
  KIT_OK(rt_session_delete(s, "node:n22", err));
  kit_close(s);
  check_counts(k, "shut");
  kit_stop(k);
}

static int64_t of_state(kit *k, const char *name, const char *state) {
  rt_report *report = report_of(k, name);
  int64_t count = jobs(report, state);
  rt_report_close(report);
  return count;
}

/* What was given up stays so, beside a capability that comes later: in a later
 * stage here, which does not wait for it. */
static void among_given_up_work(void **state) {
  kit *k = kit_start(state);
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  opts.paused = true;
  kit_cap(k, "early", (kit_opts){.fn = spoilt, .priority = 1});
  rt_session *s = kit_open(k, "given", &opts);
  fill(s, 6);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  kit_cap(k, "late", (kit_opts){.fn = spoilt, .priority = 9});
  s = kit_open(k, "given", &opts);
  assert_int_equal(of_state(k, "given", "canceled"), 6);
  assert_int_equal(of_state(k, "given", "queued"), 6);
  KIT_OK(rt_session_delete(s, "node:n2", err));
  rt_session_resume(s);
  kit_wait(s);
  check_counts(k, "given");
  assert_int_equal(of_state(k, "given", "canceled"), 5);
  assert_int_equal(of_state(k, "given", "completed"), 3); /* f0, f5: failed */
  KIT_OK(rt_registry_remove(k->registry, "late", err));
  kit_dispatch(s, "node", "n6"); /* all of the class is looked at once more */
  kit_wait(s);
  assert_int_equal(of_state(k, "given", "canceled"), 5);
  kit_close(s);
  check_counts(k, "given");
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(leaves_the_rest),
      cmocka_unit_test(beside_work),
      cmocka_unit_test(in_a_closed_file),
      cmocka_unit_test(among_given_up_work),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
