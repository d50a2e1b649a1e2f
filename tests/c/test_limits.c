/* test_limits.c - depth, assets, fanout, scope, and what became of the rest.
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <stdatomic.h>
#include <uv.h>

#include "dispatcher/scope.h"
#include "engine_kit.h"

/* --- scope rules -------------------------------------------------------------
 */
static bool in_scope(const char *const *rules, size_t count, const char *class_,
                     const char *value) {
  rt__scope scope;
  char why[300] = "";
  KIT_OK(rt__scope_init(&scope, rules, count, err));
  bool has =
      rt__scope_has(&scope, class_, value, strlen(value), why, sizeof(why));
  assert_true(has == (why[0] == '\0'));
  rt__scope_deinit(&scope);
  return has;
}

static void scope_rules(void **state) {
  (void)state;
  const char *names[] = {"**.lab.test", "!secret.lab.test", "lab.test"};
  assert_true(in_scope(names, 3, "domain", "a.b.lab.test"));
  assert_true(in_scope(names, 3, "domain", "lab.test"));
  assert_false(in_scope(names, 3, "domain", "secret.lab.test"));
  assert_false(in_scope(names, 3, "domain", "lab.other"));
  const char *nets[] = {"127.0.0.0/8", "2001:db8::/32", "!127.0.0.9"};
  assert_true(in_scope(nets, 3, "ipv4", "127.1.2.3"));
  assert_true(in_scope(nets, 3, "port", "127.1.2.3:80"));
  assert_true(in_scope(nets, 3, "url", "http://127.1.2.3:8080/x"));
  assert_true(in_scope(nets, 3, "cidr", "127.4.0.0/16"));
  assert_false(in_scope(nets, 3, "cidr", "0.0.0.0/0"));
  assert_true(in_scope(nets, 3, "ipv6", "2001:db8::1"));
  assert_true(in_scope(nets, 3, "port", "[2001:db8::1]:443"));
  assert_false(in_scope(nets, 3, "ipv4", "127.0.0.9"));
  assert_false(in_scope(nets, 3, "port", "127.0.0.9:80"));
  assert_false(in_scope(nets, 3, "ipv4", "10.0.0.1"));
  assert_false(in_scope(nets, 3, "domain", "127.example"));
  const char *classes[] = {"ipv4:10.0.0.0/8", "!domain:internal.*"};
  assert_true(in_scope(classes, 2, "ipv4", "10.9.9.9"));
  assert_false(in_scope(classes, 2, "ipv4", "11.0.0.1"));
  assert_true(in_scope(classes, 2, "domain", "www.example"));
  assert_false(in_scope(classes, 2, "domain", "internal.example"));
  const char *odd[] = {"::1", "http://x.test/"};
  assert_true(in_scope(odd, 2, "ipv6", "::1"));
  assert_true(in_scope(odd, 2, "url", "http://x.test/"));
  assert_true(in_scope(NULL, 0, "any", "thing"));
  rt__scope scope;
  const char *empty[] = {"!"};
  assert_int_equal(rt__scope_init(&scope, empty, 1, NULL), RT_EINVAL);
  const char *const faulty[] = {
      "10.0.0.0/33", "!10.0.0.0/240", "::1/129",    "ipv4:10.0.0.0/99",
      "!10.0.0/8",   "300.0.0.1/8",   "10.0.0.0/-1"};
  for (size_t i = 0; i < sizeof(faulty) / sizeof(*faulty); i++) {
    rt_error err = RT_ERROR_INIT;
    assert_int_equal(rt__scope_init(&scope, &faulty[i], 1, &err), RT_EINVAL);
    assert_non_null(strstr(err.message, faulty[i]));
  }
  const char *paths[] = {"10.0.0.1/a", "http://10.0.0.1/99", "10.0.0.1/"};
  assert_true(in_scope(paths, 3, "path", "10.0.0.1/a"));
  const char *ratios[] = {"11/21", "1.5/x"};
  assert_true(in_scope(ratios, 2, "ratio", "11/21"));
  assert_true(in_scope(ratios, 2, "ratio", "1.5/x"));
}

/* --- depth ----------------------------------------------------------- */
/* N leads to N+1, and "s" straight to 5. */
static void chain(kit_job *job, rt__end *end) {
  char text[32];
  (void)end;
  if (strcmp(job->value, "s") == 0) {
    kit_send(job, "node", "1");
    return;
  }
  if (strcmp(job->value, "short") == 0) {
    kit_send(job, "node", "5");
    return;
  }
  snprintf(text, sizeof(text), "%ld", atol(job->value) + 1);
  kit_send(job, "node", text);
}

static int64_t depth_of(kit *k, const char *session, const char *key) {
  rt_report *report = NULL;
  rt_value *asset = NULL;
  int64_t depth = -1;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  if (rt_report_asset(report, key, &asset, NULL) == RT_OK) {
    depth = rt_view_int(rt_view_get(rt_value_view(asset), "depth"), -2);
  }
  rt_value_unref(asset);
  rt_report_close(report);
  return depth;
}

/* The number that a column of `asset` has for a value of node. */
static int64_t column_of(kit *k, const char *session, const char *value,
                         const char *column) {
  char path[200], sql[200];
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, session);
  snprintf(sql, sizeof(sql), "SELECT %s FROM asset WHERE value='%s'", column,
           value);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_busy_timeout(db, 30000);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int64_t number = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return number;
}

static void a_shorter_path_admits_more(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_depth = 6;
  kit_cap(k, "chain", (kit_opts){.fn = chain});
  rt_session *s = kit_open(k, "depth", &o);
  kit_dispatch(s, "node", "s");
  kit_wait(s);
  assert_int_equal(kit_assets(k, "depth"), 7);
  assert_int_equal(depth_of(k, "depth", "node:6"), 6);
  assert_int_equal(depth_of(k, "depth", "node:7"), -1);
  kit_dispatch(s, "node", "short"); /* 5 is at 1 now, 6 at 2, and so on */
  kit_wait(s);
  assert_int_equal(depth_of(k, "depth", "node:5"), 1);
  assert_int_equal(depth_of(k, "depth", "node:6"), 2);
  assert_int_equal(depth_of(k, "depth", "node:10"), 6);
  assert_int_equal(depth_of(k, "depth", "node:11"), -1);
  /* 6 was admitted below 5, which the first seed had led to; so were 7... */
  int64_t seed = column_of(k, "depth", "s", "id");
  assert_int_equal(column_of(k, "depth", "5", "root"), seed);
  assert_int_equal(column_of(k, "depth", "7", "root"), seed);
  assert_int_equal(column_of(k, "depth", "10", "root"), seed);
  assert_int_equal(column_of(k, "depth", "short", "root"),
                   column_of(k, "depth", "short", "id"));
  assert_int_equal(kit_assets(k, "depth"), 12);
  kit_close(s);
  kit_stop(k);
}

/* --- the other limits ------------------------------------------------ */
static void wide(kit_job *job, rt__end *end) {
  (void)end;
  for (int i = 0; i < 10; i++) {
    char text[64];
    snprintf(text, sizeof(text), "%.40s.%d", job->value, i);
    const char *outcome = kit_send(job, "leaf", text);
    assert_string_equal(outcome, i < 4 ? "stored" : "over_limit");
  }
}

static void fanout_bounds_a_job(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_fanout = 4;
  kit_cap(k, "wide", (kit_opts){.output = "leaf", .fn = wide});
  rt_session *s = kit_open(k, "fan", &o);
  kit_dispatch(s, "node", "x");
  kit_wait(s);
  assert_int_equal(kit_assets(k, "fan"), 5);
  rt_report *report = NULL;
  rt_value *why = NULL;
  size_t size = 0;
  KIT_OK(rt_report_open(&report, k->dir, "fan", err));
  KIT_OK(rt_report_why_not(report, "wide", "leaf:x.7", &why, err));
  const char *reason =
      rt_view_string(rt_view_get(rt_value_view(why), "reason"), &size);
  assert_non_null(reason);
  assert_memory_equal(reason, "fanout", 6);
  rt_value_unref(why);
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

static void assets_bound_a_session(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_assets = 100;
  kit_cap(k, "left", (kit_opts){0});
  rt_session *s = kit_open(k, "many", &o);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(kit_assets(k, "many"), 100);
  assert_int_equal(kit_dispatch(s, "node", "999999"), RT_OVER_LIMIT);
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_DUPLICATE);
  kit_close(s);
  kit_stop(k);
}

/* --- reports --------------------------------------------------------- */
static void explain_names_the_chain(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "chain", (kit_opts){.fn = chain});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_depth = 3;
  rt_session *s = kit_open(k, "explain", &o);
  kit_dispatch(s, "node", "s");
  kit_wait(s);
  rt_report *report = NULL;
  rt_value *links = NULL, *edges = NULL, *none = NULL;
  KIT_OK(rt_report_open(&report, k->dir, "explain", err));
  KIT_OK(rt_report_explain(report, "node:3", &links, err));
  assert_int_equal(rt_view_count(rt_value_view(links)), 4);
  rt_view last = rt_view_at(rt_value_view(links), 3);
  assert_int_equal(rt_view_int(rt_view_get(last, "depth"), -1), 3);
  assert_int_equal(rt_report_explain(report, "node:99", &none, NULL),
                   RT_ENOTFOUND);
  KIT_OK(rt_report_edges(report, 0, 100, &edges, err));
  assert_int_equal(rt_view_count(rt_value_view(edges)), 3);
  rt_value_unref(links);
  rt_value_unref(edges);
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

/* --- floods ---------------------------------------------------------- */
#define FLOOD 3000

static void flood(kit_job *job, rt__end *end) {
  char value[32];
  (void)end;
  for (int i = 0; i < FLOOD; i++) {
    snprintf(value, sizeof(value), "bad-%d", i);
    kit_send(job, "node", value);
  }
}

static int64_t refused_by(rt_session *s, const char *kind) {
  rt_value *stats = kit_stats(s);
  rt_view all = rt_view_get(rt_value_view(stats), "rejections");
  int64_t count = rt_view_int(rt_view_get(all, kind), 0);
  rt_value_unref(stats);
  return count;
}

/* Sends thousands at a time until it is refused, whatever it is told. */
#define FLOOD_MANY 1000
static atomic_int batches;

static rt_value *many_nodes(int from) {
  rt_value *list = NULL;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_array(b);
  for (int i = from; i < from + FLOOD_MANY; i++) {
    char value[20];
    snprintf(value, sizeof(value), "%d", i);
    rt_builder_begin_map(b);
    rt_builder_key(b, "class");
    rt_builder_string(b, "leaf");
    rt_builder_key(b, "value");
    rt_builder_string(b, value);
    rt_builder_end(b);
  }
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &list, err));
  rt_builder_free(b);
  return list;
}

typedef struct sending {
  uv_sem_t sent;
  rt_err code;
} sending;

static void on_sent(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  sending *one = arg;
  (void)err;
  one->code = code;
  rt_value_unref(result);
  uv_sem_post(&one->sent);
}

static void send_for_ever(kit_job *job, bool the_same) {
  sending one = {.code = RT_OK};
  uv_sem_init(&one.sent, 0);
  for (int i = 0; one.code == RT_OK; i++) {
    rt_value *list = many_nodes(the_same ? 0 : i * FLOOD_MANY);
    rt__engine_send(job->order->engine, job->order->session, job->order->lease,
                    list, on_sent, &one);
    uv_sem_wait(&one.sent);
    rt_value_unref(list);
    atomic_fetch_add(&batches, 1);
  }
  assert_int_equal(one.code, RT_ECANCELED);
  uv_sem_destroy(&one.sent);
}

static void endless(kit_job *job, rt__end *end) {
  (void)end;
  send_for_ever(job, false);
}

static void repeating(kit_job *job, rt__end *end) {
  (void)end;
  send_for_ever(job, true);
}

static void failed_with(kit *k, const char *name, const char *words) {
  rt_report *report = NULL;
  rt_value *jobs = NULL;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_jobs(report, "failed", NULL, "", 10, &jobs, err));
  rt_view all = rt_view_get(rt_value_view(jobs), "jobs");
  assert_int_equal(rt_view_count(all), 1);
  rt_view failed = rt_view_at(all, 0);
  assert_int_equal(rt_view_int(rt_view_get(failed, "attempt"), 0), 1);
  size_t size = 0;
  const char *why = rt_view_string(rt_view_get(failed, "reason"), &size);
  assert_non_null(why);
  if (size < strlen(words) || memcmp(why, words, strlen(words)) != 0) {
    fail_msg("%.*s", (int)size, why);
  }
  rt_value_unref(jobs);
  rt_report_close(report);
}

/* Nothing but duplicates, thousands at a time: so many that it is no longer
 * told from one that knows no end. */
static void sends_the_same(kit *k, const char *name, int64_t fanout,
                           int expected) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_fanout = fanout;
  atomic_store(&batches, 0);
  rt_session *s = kit_open(k, name, &o);
  rt_value *list = many_nodes(0);
  KIT_OK(rt_session_dispatch(s, list, NULL, NULL, err));
  rt_value_unref(list);
  kit_dispatch(s, "node", "x");
  kit_wait(s);
  assert_int_equal(atomic_load(&batches), expected);
  assert_int_equal(kit_stat(s, "failed"), 1);
  assert_int_equal(kit_assets(k, name), FLOOD_MANY + 1);
  kit_close(s);
  failed_with(k, name, "fanout: the job sends without end: of its results ");
}

static void who_sends_the_same_for_ever_is_ended(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "repeating",
          (kit_opts){.output = "leaf", .retries = 3, .fn = repeating});
  sends_the_same(k, "seven", 7, 21); /* 20,000 duplicates; then it is told */
  sends_the_same(k, "many", -1, 1001);
  kit_stop(k);
}

static void who_floods_for_ever_is_ended(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_fanout = 7;
  atomic_store(&batches, 0);
  kit_cap(k, "endless",
          (kit_opts){.output = "leaf", .retries = 3, .fn = endless});
  rt_session *s = kit_open(k, "flood", &o);
  kit_dispatch(s, "node", "x");
  kit_wait(s);
  assert_int_equal(atomic_load(&batches), 22); /* 7 taken, 20,993 refused */
  assert_int_equal(kit_stat(s, "failed"), 1);
  assert_int_equal(refused_by(s, "fanout"), 21 * FLOOD_MANY - 7);
  kit_close(s);
  failed_with(k, "flood", "fanout: the job has sent its 7");
  kit_stop(k);
}

static int64_t status_rejected(kit *k, const char *name) {
  rt_report *report = NULL;
  rt_value *status = NULL;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_status(report, &status, err));
  int64_t count =
      rt_view_int(rt_view_get(rt_value_view(status), "rejected"), -1);
  rt_value_unref(status);
  rt_report_close(report);
  return count;
}

static int64_t rows_of(kit *k, const char *name) {
  char path[300];
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, name);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_prepare_v2(db, "SELECT count(*) FROM rejected", -1, &stmt, NULL);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int64_t count = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return count;
}

/* The first of a job are kept as they are, all are counted, for good. What
 * depth refuses is kept: it may be admitted later. */
static void a_flood_is_counted(void **state) {
  static const char *const rules[] = {"!bad-**", "!bad-*", "1"};
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.scope = rules;
  o.scope_count = 3;
  kit_cap(k, "flood", (kit_opts){.fn = flood});
  rt_session *s = kit_open(k, "flood", &o);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(refused_by(s, "scope"), FLOOD);
  assert_int_equal(status_rejected(k, "flood"), FLOOD);
  assert_int_equal(rows_of(k, "flood"), 1000);
  kit_close(s);
  s = kit_open(k, "flood", &o);
  assert_int_equal(refused_by(s, "scope"), FLOOD);
  kit_close(s);
  o.scope_count = 0;
  o.max_depth = 0;
  s = kit_open(k, "deep", &o);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(refused_by(s, "depth"), FLOOD);
  assert_int_equal(rows_of(k, "deep"), FLOOD);
  kit_close(s);
  kit_stop(k);
}

/* --- what waits for the engine ----------------------------------------------
 */
typedef struct holding {
  uv_sem_t held, go_on;
} holding;

static void hold_engine(rt_err code, const rt_error *err, rt_value *result,
                        void *arg) {
  holding *h = arg;
  (void)code, (void)err;
  rt_value_unref(result);
  uv_sem_post(&h->held);
  uv_sem_wait(&h->go_on);
}

/* Texts of progress count among it: a job in C may send them without end. */
static void long_texts_fill_the_engine(void **state) {
  static char text[1 << 20];
  const rt__lease nobody = {0, 0, 0, 0};
  holding h;
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "texts", NULL);
  rt_value *list = many_nodes(0);
  int sent = 0;
  uv_sem_init(&h.held, 0);
  uv_sem_init(&h.go_on, 0);
  memset(text, 'x', sizeof(text) - 1);
  rt__session_dispatch_async(s, list, NULL, hold_engine, &h);
  uv_sem_wait(&h.held);
  while (sent < 100 && !rt__engine_full(k->engine)) {
    rt__engine_progress(k->engine, s, nobody, 0.5, text);
    sent++;
  }
  uv_sem_post(&h.go_on);
  assert_in_range(sent, 1, 99);
  rt_value_unref(list);
  kit_close(s);
  kit_stop(k);
  uv_sem_destroy(&h.held);
  uv_sem_destroy(&h.go_on);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scope_rules),
      cmocka_unit_test(a_shorter_path_admits_more),
      cmocka_unit_test(fanout_bounds_a_job),
      cmocka_unit_test(a_flood_is_counted),
      cmocka_unit_test(who_floods_for_ever_is_ended),
      cmocka_unit_test(who_sends_the_same_for_ever_is_ended),
      cmocka_unit_test(long_texts_fill_the_engine),
      cmocka_unit_test(assets_bound_a_session),
      cmocka_unit_test(explain_names_the_chain),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
