/* test_schema.c - the queries of docs/schema.md, asked of a session's file, and
 * the views: what they say is what reports say.
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>

#include "engine_kit.h"

static sqlite3 *open_file(kit *k, const char *name) {
  char path[200];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, name);
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
                   SQLITE_OK);
  sqlite3_busy_timeout(db, 30000);
  return db;
}

static int64_t ask(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  }
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

/* Each statement of the text, to its last row. */
static int run_all(sqlite3 *db, const char *sql) {
  int count = 0;
  while (*sql) {
    sqlite3_stmt *stmt = NULL;
    const char *tail = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, &tail) != SQLITE_OK) {
      fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    sql = tail;
    if (!stmt) continue;
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) continue;
    assert_int_equal(code, SQLITE_DONE);
    sqlite3_finalize(stmt);
    count++;
  }
  return count;
}

static void documented_queries(void **state) {
  kit *k = kit_start(state);
  char line[1000], sql[8000] = "";
  bool inside = false;
  int count = 0;
  FILE *doc = fopen("docs/schema.md", "r");
  kit_cap(k, "expand", (kit_opts){0});
  rt_session *s = kit_open(k, "asked", NULL);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  sqlite3 *db = open_file(k, "asked");
  assert_non_null(doc); /* run in the folder of the sources */
  while (fgets(line, sizeof(line), doc)) {
    if (inside && strncmp(line, "```", 3) == 0) {
      count += run_all(db, sql);
      sql[0] = '\0';
      inside = false;
    } else if (inside) {
      assert_true(strlen(sql) + strlen(line) < sizeof(sql));
      strcat(sql, line);
    } else {
      inside = strncmp(line, "```sql", 6) == 0;
    }
  }
  assert_true(count >= 5);
  fclose(doc);
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

/* Edges of a parent that was deleted are in no view. */
static void views_after_a_deletion(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "expand", (kit_opts){0});
  rt_session *s = kit_open(k, "views", NULL);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  KIT_OK(rt_session_delete(s, "node:2", err));
  KIT_OK(rt_session_delete(s, "node:7", err));
  sqlite3 *db = open_file(k, "views");
  assert_int_equal(ask(db, "SELECT count(*) FROM assets"), KIT_NODES - 2);
  assert_int_equal(ask(db, "SELECT count(*) FROM edges WHERE asset NOT IN"
                           " (SELECT id FROM assets)"),
                   0);
  assert_int_equal(ask(db, "SELECT count(*) FROM edges e JOIN assets a"
                           " ON a.id=e.parent WHERE a.key='node:2'"),
                   0);
  assert_int_equal(ask(db, "SELECT count(*) FROM jobs"), KIT_NODES - 2);
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

/* --- jobs -------------------------------------------------------------- */
static void by_value(kit_job *job, rt__end *end) {
  bool retries = job->value[0] == 'r';
  if (job->value[0] != 'f' && !retries) return;
  end->kind = RT__END_FAILED;
  end->error = kit_error("no", "INTERNAL", retries);
}

static int64_t state_of(sqlite3 *db, int64_t id, const char *state) {
  char sql[120];
  snprintf(sql, sizeof(sql),
           "SELECT count(*) FROM jobs WHERE id=%lld AND state='%s'",
           (long long)id, state);
  return ask(db, sql);
}

/* Of each job the view and the reports say the same; how many there are. */
static int agree(kit *k, const char *name) {
  rt_report *report = NULL;
  rt_value *page = NULL;
  rt_view item;
  int count = 0;
  sqlite3 *db = open_file(k, name);
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_jobs(report, NULL, NULL, "", 100, &page, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(page), "jobs"));
  while (rt_iter_next(&iter, NULL, &item)) {
    char state[20];
    size_t size = 0;
    const char *text = rt_view_string(rt_view_get(item, "state"), &size);
    int64_t id = rt_view_int(rt_view_get(item, "id"), 0);
    snprintf(state, sizeof(state), "%.*s", (int)size, text);
    if (!state_of(db, id, state)) fail_msg("job %d is %s", (int)id, state);
    count++;
  }
  assert_int_equal(ask(db, "SELECT count(*) FROM jobs"), count);
  rt_value_unref(page);
  rt_report_close(report);
  sqlite3_close(db);
  return count;
}

static int64_t in_view(kit *k, const char *name, const char *state) {
  char sql[120];
  sqlite3 *db = open_file(k, name);
  snprintf(sql, sizeof(sql), "SELECT count(*) FROM jobs WHERE state='%s'",
           state);
  int64_t count = ask(db, sql);
  sqlite3_close(db);
  return count;
}

/* Of all states; of what was given up only the file as a whole tells. */
static void the_view_of_jobs(void **state) {
  static const char *const values[] = {"done", "fails", "retries", "xskipped"};
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  kit_cap(k, "first",
          (kit_opts){
              .fn = by_value, .match = true, .max_instances = 9, .retries = 9});
  rt_session *s = kit_open(k, "jobs", NULL);
  for (int i = 0; i < 4; i++) kit_dispatch(s, "node", values[i]);
  KIT_UNTIL(in_view(k, "jobs", "completed") == 1 &&
            in_view(k, "jobs", "failed") == 1 &&
            in_view(k, "jobs", "skipped") == 1 &&
            in_view(k, "jobs", "retrying") == 1);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  o.paused = true;
  s = kit_open(k, "jobs", &o);
  kit_dispatch(s, "node", "never");
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  assert_int_equal(in_view(k, "jobs", "canceled"), 2);
  kit_cap(k, "late", (kit_opts){.fn = by_value});
  s = kit_open(k, "jobs", &o);
  assert_int_equal(in_view(k, "jobs", "queued"), 5);
  assert_int_equal(agree(k, "jobs"), 10);
  KIT_OK(rt_registry_remove(k->registry, "late", err));
  kit_dispatch(s, "node", "one more");
  assert_true(in_view(k, "jobs", "skipped") >= 6);
  int count = agree(k, "jobs");
  assert_true(count >= 11);
  sqlite3 *db = open_file(k, "jobs");
  kit_close(s);
  run_all(db, "DROP VIEW jobs; CREATE VIEW jobs AS SELECT 1 AS id;"
              "PRAGMA user_version=3");
  sqlite3_close(db);
  kit_close(kit_open(k, "jobs", &o)); /* a file of before is brought to it */
  assert_int_equal(agree(k, "jobs"), count);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(documented_queries),
      cmocka_unit_test(views_after_a_deletion),
      cmocka_unit_test(the_view_of_jobs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
