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

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(documented_queries),
      cmocka_unit_test(views_after_a_deletion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
