/* test_rerun.c - running again: rules, merges in any order, clocks, files of
 * older formats.
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <stdatomic.h>

#include "dispatcher/internal.h"
#include "engine_kit.h"

/* --- rules ------------------------------------------------------------- */
static void rules_are_read(void **state) {
  static const struct {
    const char *text;
    bool good;
    rt__rerun rerun;
    double seconds;
  } rows[] = {
      {"once", true, RT__RERUN_ONCE, 0},
      {"on_change", true, RT__RERUN_ON_CHANGE, 0},
      {"always", true, RT__RERUN_ALWAYS, 0},
      {"after:24h", true, RT__RERUN_AFTER, 86400},
      {"after:1h30m", true, RT__RERUN_AFTER, 5400},
      {"after:.5s", true, RT__RERUN_AFTER, 0.5},
      {"after:250ms", true, RT__RERUN_AFTER, 0.25},
      {"after:99999999d", true, RT__RERUN_AFTER, 1e10},
      {"after:", false, 0, 0},
      {"after:0s", false, 0, 0},
      {"after:1", false, 0, 0},
      {"after:1h ", false, 0, 0},
      {"after:-1h", false, 0, 0},
      {"after:1.2.3s", false, 0, 0},
      {"after:.s", false, 0, 0},
      {"after:1fortnight", false, 0, 0},
      {"Always", false, 0, 0},
      {"", false, 0, 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    rt__rerun rerun;
    double seconds;
    bool good = rt__rerun_parse(rows[i].text, &rerun, &seconds);
    if (good != rows[i].good) fail_msg("'%s'", rows[i].text);
    if (!good) continue;
    assert_int_equal(rerun, rows[i].rerun);
    assert_true(seconds >= rows[i].seconds - 1e-9);
    assert_true(seconds <= rows[i].seconds + 1e-9);
  }
}

static void a_bad_rule_is_refused(void **state) {
  kit *k = kit_start(state);
  const char *input = "node";
  rt_error err = RT_ERROR_INIT;
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  o.name = "bad";
  o.input = &input;
  o.input_count = 1;
  o.invoke = kit_never;
  o.rerun = "sometimes";
  assert_int_equal(rt_registry_add(k->registry, &o, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "rerun: expected once, on_change"));
  kit_stop(k);
}

static void inputs_name_events(void **state) {
  static const struct {
    const char *input, *class_;
    bool takes;
  } rows[] = {
      {"asset.gone:port", "asset.gone:port", true},
      {"asset.gone:port", "asset.gone:host", false},
      {"asset.gone:port", "asset.new:port", false},
      {"asset.gone:(a|b)", "asset.gone:b", true},
      {"asset.gone:**", "asset.gone:b", true},
      {"asset.gone", "asset.gone:b", true},
      {"asset.gone:b", "b", false},
      {"asset.gone", "asset", false},
      {"**", "asset.gone:b", false},
      {"*", "asset.gone:b", false},
      {"asset.*", "asset.gone:b", false},
      {"**", "b", true},
      {"asset.goner:b", "asset.gone:b", false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    const char *class_ = rows[i].class_;
    if (rt__input_takes(rows[i].input, class_, strlen(class_)) !=
        rows[i].takes) {
      fail_msg("%s takes %s", rows[i].input, class_);
    }
  }
}

/* --- merges ------------------------------------------------------------ */
static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* Text of any kind of value; few of each, so that they meet. */
static const char *const VALUES[] = {"null",
                                     "true",
                                     "false",
                                     "0",
                                     "1",
                                     "-1",
                                     "1.5",
                                     "9007199254740",
                                     "\"\"",
                                     "\"a\"",
                                     "\"ab\"",
                                     "\"b\"",
                                     "[]",
                                     "[1]",
                                     "[1,2]",
                                     "[\"a\"]",
                                     "{}",
                                     "{\"x\":1}",
                                     "{\"x\":2}",
                                     "{\"y\":1}",
                                     "{\"x\":1,\"y\":2}",
                                     "{\"y\":2,\"x\":1}"};
enum { VALUE_COUNT = sizeof(VALUES) / sizeof(*VALUES) };

static rt_value *json(const char *text) {
  rt_value *value = NULL;
  KIT_OK(rt_value_from_json(&value, text, strlen(text), err));
  return value;
}

static void values_have_an_order(void **state) {
  rt_value *all[VALUE_COUNT];
  int order[VALUE_COUNT][VALUE_COUNT];
  (void)state;
  for (int i = 0; i < VALUE_COUNT; i++) all[i] = json(VALUES[i]);
  for (int i = 0; i < VALUE_COUNT; i++) {
    for (int j = 0; j < VALUE_COUNT; j++) {
      int c = rt__view_compare(rt_value_view(all[i]), rt_value_view(all[j]));
      order[i][j] = (c > 0) - (c < 0);
    }
  }
  for (int i = 0; i < VALUE_COUNT; i++) {
    assert_int_equal(order[i][i], 0);
    for (int j = 0; j < VALUE_COUNT; j++) {
      assert_int_equal(order[i][j], -order[j][i]);
      for (int m = 0; m < VALUE_COUNT; m++) {
        if (order[i][j] <= 0 && order[j][m] <= 0) assert_true(order[i][m] <= 0);
      }
    }
    rt_value_unref(all[i]);
  }
}

static rt_value *random_metadata(uint32_t *seed) {
  char text[200] = "{";
  for (char key = 'p'; key <= 's'; key++) {
    if (next_random(seed) % 2) continue;
    size_t used = strlen(text);
    snprintf(text + used, sizeof(text) - used, "%s\"%c\":%s",
             used > 1 ? "," : "", key, VALUES[next_random(seed) % VALUE_COUNT]);
  }
  strcat(text, "}");
  return json(text);
}

static rt_value *merged(rt_value *const *finds, const int *order, int count) {
  rt_value *all = rt_value_ref(finds[order[0]]);
  for (int i = 1; i < count; i++) {
    rt_value *more = rt__metadata_merge(all, finds[order[i]], false);
    assert_non_null(more);
    rt_value_unref(all);
    all = more;
  }
  return all;
}

static void merges_do_not_depend_on_the_order(void **state) {
  uint32_t seed = 1;
  (void)state;
  for (int round = 0; round < 500; round++) {
    rt_value *finds[5];
    int order[5] = {0, 1, 2, 3, 4}, other[5] = {0, 1, 2, 3, 4};
    for (int i = 0; i < 5; i++) finds[i] = random_metadata(&seed);
    for (int i = 4; i > 0; i--) {
      int j = (int)(next_random(&seed) % (uint32_t)(i + 1)), kept = other[i];
      other[i] = other[j];
      other[j] = kept;
    }
    rt_value *a = merged(finds, order, 5), *b = merged(finds, other, 5);
    assert_int_equal(rt__view_compare(rt_value_view(a), rt_value_view(b)), 0);
    for (int i = 0; i < 5; i++) { /* each is in it already */
      rt_value *same = rt__metadata_merge(a, finds[i], false);
      assert_int_equal(rt__view_compare(rt_value_view(a), rt_value_view(same)),
                       0);
      rt_value_unref(same);
      rt_value_unref(finds[i]);
    }
    rt_value_unref(a);
    rt_value_unref(b);
  }
}

/* As many keys as a megabyte has room for; `from` is the first one's number.
 */
static rt_value *wide_metadata(int from, int count) {
  char name[16];
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_map(b);
  for (int i = from; i < from + count; i++) {
    snprintf(name, sizeof(name), "k%d", i);
    rt_builder_key(b, name);
    rt_builder_int(b, i);
  }
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &value, err));
  rt_builder_free(b);
  return value;
}

/* Had each key to be searched for, this would take minutes, on the thread that
 * all sessions share. */
static void wide_maps_merge(void **state) {
  enum { WIDE = 80000 };
  rt_value *a = wide_metadata(0, WIDE), *b = wide_metadata(WIDE / 2, WIDE);
  (void)state;
  for (int round = 0; round < 3; round++) {
    rt_value *all = rt__metadata_merge(a, b, round % 2);
    assert_non_null(all);
    assert_int_equal(rt_view_count(rt_value_view(all)), WIDE + WIDE / 2);
    rt_value_unref(all);
  }
  rt_value_unref(a);
  rt_value_unref(b);
}

/* --- sessions over time ------------------------------------------------ */
static sqlite3 *open_file(const kit *k, const char *name) {
  char path[200];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, name);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_busy_timeout(db, 30000);
  return db;
}

static void sql(sqlite3 *db, const char *text) {
  char *why = NULL;
  if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
    fail_msg("%s: %s", text, why);
  }
}

static void change(const kit *k, const char *name, const char *text) {
  sqlite3 *db = open_file(k, name);
  sql(db, text);
  sqlite3_close(db);
}

static int64_t ask(const kit *k, const char *name, const char *text) {
  sqlite3 *db = open_file(k, name);
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK) {
    fail_msg("%s: %s", text, sqlite3_errmsg(db));
  }
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return value;
}

/* Open it, let it finish; how many ran again. */
static int64_t again(kit *k, const char *name) {
  rt_session *s = kit_open(k, name, NULL);
  kit_wait(s);
  int64_t count = kit_stat(s, "reruns");
  assert_int_equal(kit_stat(s, "queued"), 0);
  assert_int_equal(kit_stat(s, "work_items_total"),
                   kit_stat(s, "work_items_completed"));
  kit_close(s);
  return count;
}

static void begin(kit *k, const char *name, int assets) {
  rt_session *s = kit_open(k, name, NULL);
  for (int i = 1; i <= assets; i++) {
    char value[20];
    snprintf(value, sizeof(value), "%d", i);
    kit_dispatch(s, "leaf", value);
  }
  kit_wait(s);
  kit_close(s);
}

static void idle(kit_job *job, rt__end *end) {
  (void)job, (void)end;
}

static void clocks_may_jump(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "hourly",
          (kit_opts){.input = "leaf", .fn = idle, .rerun = "after:1h"});
  begin(k, "clock", 5);
  assert_int_equal(again(k, "clock"), 0);
  /* As if it had been two hours ago, for some of them. */
  change(k, "clock", "UPDATE job SET ended=ended-7200000 WHERE asset<=2");
  assert_int_equal(again(k, "clock"), 2);
  assert_int_equal(again(k, "clock"), 0);
  /* As if the clock had been set back by a day since. */
  change(k, "clock",
         "UPDATE job SET ended=ended+86400000,again=again+86400000");
  assert_int_equal(again(k, "clock"), 0);
  assert_int_equal(
      ask(k, "clock", "SELECT count(*) FROM job WHERE ended/1000>unixepoch()"),
      0);
  assert_int_equal(
      ask(k, "clock", "SELECT count(*) FROM job WHERE again=ended+3600000"), 5);
  change(k, "clock", "UPDATE job SET ended=ended-3600001");
  assert_int_equal(again(k, "clock"), 5);
  kit_stop(k);
}

/* Stages of what runs again: a later one is never ahead of an earlier one. */
static atomic_int first_done[64], wrong;
static void first(kit_job *job, rt__end *end) {
  (void)end;
  usleep(500);
  atomic_fetch_add(&first_done[atoi(job->value)], 1);
}
static void second(kit_job *job, rt__end *end) {
  (void)end;
  static atomic_int mine[64];
  int n = atoi(job->value);
  if (atomic_fetch_add(&mine[n], 1) >= atomic_load(&first_done[n])) {
    atomic_fetch_add(&wrong, 1);
  }
}

static void stages_keep_their_order(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "later",
          (kit_opts){
              .input = "leaf", .priority = 8, .fn = second, .rerun = "always"});
  kit_cap(k, "earlier",
          (kit_opts){.input = "leaf",
                     .priority = 2,
                     .fn = first,
                     .rerun = "always",
                     .max_instances = 3});
  begin(k, "stages", 60);
  for (int i = 0; i < 3; i++) assert_int_equal(again(k, "stages"), 120);
  assert_int_equal(atomic_load(&wrong), 0);
  assert_int_equal(
      ask(k, "stages", "SELECT count(*) FROM job WHERE state='completed'"),
      120);
  kit_stop(k);
}

/* A run that is stopped goes on where it was: what has run again does not do
 * so once more. */
static void a_stopped_run_goes_on(void **state) {
  kit *k = kit_start(state);
  kit_cap(
      k, "slow",
      (kit_opts){
          .input = "leaf", .fn = first, .rerun = "always", .max_instances = 1});
  begin(k, "stopped", 60);
  rt_session *s = kit_open(k, "stopped", NULL);
  assert_int_equal(kit_stat(s, "reruns"), 60);
  KIT_UNTIL(kit_stat(s, "work_items_completed") >= 5);
  kit_close(s);
  bool ended =
      ask(k, "stopped", "SELECT value='finished' FROM meta WHERE name='state'");
  assert_int_equal(again(k, "stopped"), ended ? 60 : 0);
  assert_int_equal(ask(k, "stopped", "SELECT count(*) FROM job"), 60);
  kit_stop(k);
}

/* --- files of older formats -------------------------------------------- */
#define SEEN                                                                   \
  "CREATE TABLE seen(hash INTEGER NOT NULL, asset INTEGER NOT NULL,"           \
  " PRIMARY KEY(hash, asset)) WITHOUT ROWID;"
#define INDEXED "CREATE INDEX asset_hash ON asset(hash);"
#define TABLES(SEEN)                                                           \
  "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"             \
  "CREATE TABLE class(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"      \
  " assets INTEGER NOT NULL DEFAULT 0);"                                       \
  "CREATE TABLE capability(id INTEGER PRIMARY KEY,"                            \
  " name TEXT NOT NULL UNIQUE, times BLOB);"                                   \
  "CREATE TABLE lane(class INTEGER NOT NULL, capability INTEGER NOT NULL,"     \
  " position INTEGER NOT NULL, since INTEGER NOT NULL,"                        \
  " mark INTEGER NOT NULL, total INTEGER NOT NULL,"                            \
  " completed INTEGER NOT NULL, skipped INTEGER NOT NULL,"                     \
  " failed INTEGER NOT NULL, canceled INTEGER NOT NULL,"                       \
  " loaded INTEGER NOT NULL,"                                                  \
  " PRIMARY KEY(class, capability)) WITHOUT ROWID;"                            \
  "CREATE TABLE asset(id INTEGER PRIMARY KEY, class INTEGER NOT NULL,"         \
  " value TEXT NOT NULL, key TEXT, hash INTEGER NOT NULL, parent INTEGER,"     \
  " capability INTEGER, depth INTEGER NOT NULL, root INTEGER NOT NULL,"        \
  " done INTEGER NOT NULL, aside INTEGER NOT NULL, priority INTEGER,"          \
  " metadata, created INTEGER NOT NULL);" SEEN                                 \
  "CREATE TABLE edge(asset INTEGER NOT NULL, parent INTEGER NOT NULL,"         \
  " capability INTEGER NOT NULL, id INTEGER NOT NULL,"                         \
  " PRIMARY KEY(asset, parent, capability)) WITHOUT ROWID;"                    \
  "CREATE INDEX edge_id ON edge(id);"                                          \
  "CREATE TABLE rejected(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL,"     \
  " capability INTEGER NOT NULL, class INTEGER NOT NULL,"                      \
  " value TEXT NOT NULL, key TEXT, hash INTEGER NOT NULL,"                     \
  " depth INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,"         \
  " priority INTEGER, metadata, created INTEGER NOT NULL);"                    \
  "CREATE UNIQUE INDEX rejected_once"                                          \
  " ON rejected(parent, hash, capability);"                                    \
  "CREATE TABLE job(asset INTEGER NOT NULL, capability INTEGER NOT NULL,"      \
  " class INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,"    \
  " crashes INTEGER NOT NULL, fanout INTEGER NOT NULL,"                        \
  " priority INTEGER NOT NULL, due REAL, reason TEXT, errors,"                 \
  " ended INTEGER, PRIMARY KEY(asset, capability)) WITHOUT ROWID;"             \
  "CREATE INDEX job_aside ON job(class, capability, priority, asset)"          \
  " WHERE state='queued';"                                                     \
  "CREATE INDEX job_due ON job(due) WHERE state='delayed';"                    \
  "CREATE INDEX job_taken ON job(state) WHERE state='taken';"                  \
  "CREATE INDEX job_failed ON job(asset) WHERE state='failed';"                \
  "CREATE TABLE running(segment INTEGER PRIMARY KEY, jobs TEXT NOT NULL);"
static const char VIEWS[] =
    "CREATE VIEW assets AS SELECT a.id AS id,"
    " coalesce(a.key, c.name || ':' || a.value) AS key, c.name AS class,"
    " a.value AS value, a.depth AS depth, a.parent AS parent,"
    " p.name AS capability, a.metadata AS metadata,"
    " datetime(a.created / 1000, 'unixepoch') AS created"
    " FROM asset a JOIN class c ON c.id = a.class"
    " LEFT JOIN capability p ON p.id = a.capability;"
    "CREATE VIEW edges AS"
    " SELECT e.asset AS asset, e.parent AS parent, p.name AS capability"
    " FROM (SELECT id AS asset, parent, capability FROM asset"
    " WHERE parent IS NOT NULL UNION ALL"
    " SELECT asset, parent, capability FROM edge) e"
    " LEFT JOIN capability p ON p.id = e.capability;"
    "CREATE VIEW jobs AS SELECT a.id * 4096 + l.capability AS id,"
    " p.name AS capability, c.name || ':' || a.value AS target,"
    " CASE WHEN j.state IS NOT NULL THEN j.state"
    " WHEN (a.done >> l.position) & 1 THEN 'completed'"
    " ELSE 'queued' END AS state,"
    " coalesce(j.attempt, 1) AS attempt, j.reason AS reason,"
    " j.errors AS errors"
    " FROM asset a JOIN lane l ON l.class = a.class AND a.id >= l.since"
    " JOIN class c ON c.id = a.class"
    " JOIN capability p ON p.id = l.capability"
    " LEFT JOIN job j ON j.asset = a.id AND j.capability = l.capability;";

#define ROWS                                                                   \
  "INSERT INTO meta SELECT * FROM new.meta WHERE name NOT LIKE 'run%';"        \
  "INSERT INTO class SELECT * FROM new.class;"                                 \
  "INSERT INTO capability SELECT * FROM new.capability;"                       \
  "INSERT INTO lane SELECT * FROM new.lane;"                                   \
  "INSERT INTO asset SELECT * FROM new.asset;"                                 \
  "INSERT INTO edge SELECT * FROM new.edge;"                                   \
  "DETACH new; PRAGMA application_id=0x52744c73;"

/* The same session as a program of that time would have left it. */
static void write_old(const kit *k, int version) {
  char path[300], attach[400];
  sqlite3 *db = open_file(k, "old");
  snprintf(path, sizeof(path), "%s/fresh.sqlite", k->dir);
  snprintf(attach, sizeof(attach), "ATTACH '%s' AS new", path);
  sql(db, version == 1 ? TABLES(INDEXED) : TABLES(SEEN));
  sql(db, VIEWS);
  sql(db, attach);
  if (version == 2) sql(db, "INSERT INTO seen SELECT * FROM new.seen");
  sql(db, ROWS);
  if (version == 1) sql(db, "DELETE FROM meta WHERE name='seen'");
  sql(db, version == 1 ? "PRAGMA user_version=1" : "PRAGMA user_version=2");
  sqlite3_close(db);
}

static void old_is_brought_up_to_date(kit *k, int version) {
  rt_report *report = NULL;
  rt_value *out = NULL;
  write_old(k, version);
  KIT_OK(rt_report_open(&report, k->dir, "old", err)); /* as it is */
  KIT_OK(rt_report_asset(report, "leaf:7", &out, err));
  assert_int_equal(rt_view_int(rt_view_get(rt_value_view(out), "version"), 0),
                   1);
  rt_value_unref(out);
  KIT_OK(rt_report_why_not(report, "daily", "leaf:7", &out, err));
  rt_value_unref(out);
  KIT_OK(rt_report_jobs(report, NULL, NULL, "", 100, &out, err));
  rt_value_unref(out);
  rt_report_close(report);
  assert_int_equal(ask(k, "old", "PRAGMA user_version"), version);
  rt_session *s = kit_open(k, "old", NULL); /* all were done before: stale */
  kit_dispatch(s, "leaf", "7");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "work_items_total"), 20);
  assert_int_equal(kit_stat(s, "work_items_completed"), 20);
  assert_true(kit_stat(s, "reruns") >= 20);
  kit_close(s);
  assert_int_equal(ask(k, "old", "PRAGMA user_version"), 4);
  assert_int_equal(ask(k, "old", "SELECT count(*) FROM jobs"), 20);
  assert_int_equal(ask(k, "old", "SELECT count(*) FROM assets"), 20);
  assert_int_equal(ask(k, "old", "SELECT count(*) FROM jobs WHERE version='2'"),
                   20);
}

static void older_formats(void **state) {
  for (int version = 1; version <= 2; version++) {
    kit *k = kit_start(state);
    kit_cap(k, "daily", (kit_opts){.input = "leaf", .fn = idle});
    begin(k, "fresh", 20);
    KIT_OK(rt_registry_remove(k->registry, "daily", err));
    kit_cap(
        k, "daily",
        (kit_opts){
            .input = "leaf", .fn = idle, .rerun = "always", .version = "2"});
    old_is_brought_up_to_date(k, version);
    assert_int_equal(
        ask(k, "old", "SELECT count(*) FROM sqlite_schema WHERE type<>'index'"),
        ask(k, "fresh",
            "SELECT count(*) FROM sqlite_schema WHERE type<>'index'"));
    kit_stop(k);
  }
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules_are_read),
      cmocka_unit_test(a_bad_rule_is_refused),
      cmocka_unit_test(inputs_name_events),
      cmocka_unit_test(values_have_an_order),
      cmocka_unit_test(merges_do_not_depend_on_the_order),
      cmocka_unit_test(wide_maps_merge),
      cmocka_unit_test(clocks_may_jump),
      cmocka_unit_test(stages_keep_their_order),
      cmocka_unit_test(a_stopped_run_goes_on),
      cmocka_unit_test(older_formats),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
