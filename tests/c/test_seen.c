/* test_seen.c - which keys a store knows: in memory, on their way into the
 * table, in the table; after a reopening, a rollback, a deletion, an upgrade.
 * SPDX-License-Identifier: MIT */
#include "engine_kit.h"
#include "store/db.h"
#include "store/schema.h"

#define MANY 4000 /* some batches */

static char dir[64];

static rt__store *open_store(void) {
  rt__store *store = NULL;
  KIT_OK(rt__store_open(&store, dir, "seen", RT_OPEN_ANY, true, err));
  return store;
}

static int begin(void **state) {
  (void)state;
  strcpy(dir, "/tmp/rt-seen-XXXXXX");
  return mkdtemp(dir) ? 0 : -1;
}

static int clean(void **state) {
  char command[100];
  (void)state;
  snprintf(command, sizeof(command), "rm -rf '%s'", dir);
  return system(command);
}

static rt__text key_of(int n, char *text) {
  return (rt__text){text, (size_t)sprintf(text, "n:key-%d", n)};
}

static int64_t add_as(rt__store *store, int n, uint64_t hash) {
  char text[40];
  rt__text key = key_of(n, text);
  rt__asset_row row = {.class_id = 1, .value = {"v", 1}, .key = key};
  KIT_OK(rt__store_insert(store, &row, hash, err));
  return row.id;
}

static int64_t add(rt__store *store, int n) {
  char text[40];
  rt__text key = key_of(n, text);
  return add_as(store, n, rt__store_hash(store, key));
}

static int64_t find_as(rt__store *store, int n, uint64_t hash) {
  char text[40];
  rt__asset_row row;
  KIT_OK(rt__store_find(store, hash, key_of(n, text), &row, err));
  return row.id;
}

static int64_t find(rt__store *store, int n) {
  char text[40];
  return find_as(store, n, rt__store_hash(store, key_of(n, text)));
}

/* A class to belong to. */
static void add_class(rt__store *store) {
  rt__class_row row = {1, 0, "n"};
  KIT_OK(rt__store_put_class(store, &row, err));
}

static int64_t number(rt__store *store, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  assert_int_equal(sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL),
                   SQLITE_OK);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

static void all_are_found(rt__store *store, int count) {
  for (int n = 1; n <= count; n++) assert_int_equal(find(store, n), n);
  assert_int_equal(find(store, count + 1), 0);
}

static void keys_are_found_wherever_they_are(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= MANY; n++) {
    assert_int_equal(find(store, n), 0);
    assert_int_equal(add(store, n), n);
    if (n % 97 == 0) KIT_OK(rt__store_commit(store, err));
    if (n % 501 == 0) all_are_found(store, n);
  }
  all_are_found(store, MANY);
  KIT_OK(rt__store_commit(store, err));
  int64_t there = number(store, "SELECT count(*) FROM seen");
  assert_true(there > MANY / 2 && there < MANY);
  assert_true(store->seen.mark > 0 && store->seen.mark < MANY);
  for (int i = 0; i < 3; i++) {
    rt__store_close(store);
    store = open_store();
    all_are_found(store, MANY);
  }
  rt__store_close(store);
}

/* Two keys may have one hash. */
static void keys_of_one_hash_stay_apart(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= 1500; n++) add_as(store, n, (uint64_t)n / 3);
  for (int n = 1; n <= 1500; n++)
    assert_int_equal(find_as(store, n, (uint64_t)n / 3), n);
  assert_int_equal(find_as(store, 2000, 7), 0);
  /* A cluster over the end of what is in memory, back at its beginning. */
  for (int n = 1501; n <= 1520; n++) add_as(store, n, UINT64_MAX);
  for (int n = 1501; n <= 1520; n++)
    assert_int_equal(find_as(store, n, UINT64_MAX), n);
  KIT_OK(rt__store_commit(store, err));
  rt__store_close(store);
  store = open_store();
  for (int n = 1; n <= 1500; n++)
    assert_int_equal(find_as(store, n, (uint64_t)n / 3), n);
  for (int n = 1501; n <= 1520; n++)
    assert_int_equal(find_as(store, n, UINT64_MAX), n);
  rt__store_close(store);
}

/* What was not committed is not known after the next opening, in the middle of
 * a batch or behind it. */
static void a_rollback_takes_keys_along(void **state) {
  (void)state;
  for (int lost = 100; lost < 1200; lost += 211) {
    rt__store *store = open_store();
    int64_t before = rt__store_last_asset(store);
    if (before == 0) add_class(store);
    for (int n = 1; n <= 300; n++) add(store, (int)before + n);
    KIT_OK(rt__store_commit(store, err));
    for (int n = 1; n <= lost; n++) add(store, (int)before + 300 + n);
    rt__store_rollback(store);
    rt__store_close(store);
    store = open_store();
    all_are_found(store, (int)before + 300);
    rt__store_close(store);
  }
}

static void deleted_keys_may_come_again(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= 1400; n++) add(store, n);
  for (int n = 10; n <= 1400; n += 10) {
    KIT_OK(rt__store_delete_asset(store, n, err));
    assert_int_equal(find(store, n), 0);
    assert_int_equal(find(store, n - 1), n - 1);
  }
  assert_int_equal(add(store, 10), 1401);
  assert_int_equal(find(store, 10), 1401);
  for (int n = 2000; n < 3000; n++) add(store, n);
  assert_int_equal(find(store, 10), 1401);
  assert_int_equal(find(store, 20), 0);
  KIT_OK(rt__store_commit(store, err));
  rt__store_close(store);
  store = open_store();
  assert_int_equal(find(store, 10), 1401);
  assert_int_equal(find(store, 20), 0);
  assert_int_equal(find(store, 21), 21);
  rt__store_close(store);
}

/* Those at the end are deleted: their numbers stay used. */
static void numbers_are_given_once(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= 1100; n++) add(store, n);
  int64_t mark = store->seen.mark;
  assert_true(mark > 100);
  for (int n = 1100; n > 50; n--) KIT_OK(rt__store_delete_asset(store, n, err));
  KIT_OK(rt__store_commit(store, err));
  rt__store_close(store);
  store = open_store();
  assert_int_equal(add(store, 5000), 1101);
  KIT_OK(rt__store_commit(store, err));
  rt__store_close(store);
  store = open_store();
  assert_int_equal(find(store, 5000), 1101);
  assert_int_equal(find(store, 60), 0);
  rt__store_close(store);
}

static int64_t reported(const char *key) {
  rt_report *report = NULL;
  rt_value *asset = NULL;
  KIT_OK(rt_report_open(&report, dir, "seen", err));
  rt_err rc = rt_report_asset(report, key, &asset, NULL);
  int64_t id =
      rc == RT_OK ? rt_view_int(rt_view_get(rt_value_view(asset), "id"), 0) : 0;
  rt_value_unref(asset);
  rt_report_close(report);
  return id;
}

static void reports_find_all(int count) {
  char text[40];
  for (int n = 1; n <= count; n += 37) {
    rt__text key = key_of(n, text);
    assert_int_equal(reported(key.at), n);
  }
  key_of(count, text);
  assert_int_equal(reported(text), count);
  assert_int_equal(reported("n:none"), 0);
}

static void reports_find_keys_wherever_they_are(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= 1900; n++) add(store, n);
  KIT_OK(rt__store_commit(store, err));
  assert_true(store->seen.mark > 0 && store->seen.mark < 1800);
  reports_find_all(1900);
  rt__store_close(store);
  reports_find_all(1900);
}

/* Format 1 had an index on asset(hash) instead of the table. */
static void an_older_file_is_brought_up_to_date(void **state) {
  (void)state;
  rt__store *store = open_store();
  add_class(store);
  for (int n = 1; n <= 1900; n++) add(store, n);
  KIT_OK(rt__store_commit(store, err));
  KIT_OK(rt__sql_exec(store->db,
                      "DROP TABLE seen; CREATE INDEX asset_hash ON asset(hash);"
                      "DELETE FROM meta WHERE name='seen';"
                      "DROP VIEW assets; DROP VIEW jobs;"
                      "DROP TABLE found; DROP TABLE version;"
                      "DROP INDEX job_again; DROP INDEX job_held;"
                      "ALTER TABLE job DROP COLUMN again;"
                      "ALTER TABLE job DROP COLUMN run;"
                      "ALTER TABLE job DROP COLUMN version;"
                      "PRAGMA user_version=1",
                      err));
  rt__store_close(store);
  reports_find_all(1900);
  for (int i = 0; i < 2; i++) {
    store = open_store();
    assert_int_equal(number(store, "PRAGMA user_version"), RT__SCHEMA_VERSION);
    assert_int_equal(number(store, "SELECT count(*) FROM sqlite_schema WHERE"
                                   " name='asset_hash'"),
                     0);
    all_are_found(store, 1900);
    assert_int_equal(store->seen.mark, 1900);
    rt__store_close(store);
  }
  reports_find_all(1900);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, clean)
  const struct CMUnitTest tests[] = {
      TEST(keys_are_found_wherever_they_are),
      TEST(keys_of_one_hash_stay_apart),
      TEST(a_rollback_takes_keys_along),
      TEST(deleted_keys_may_come_again),
      TEST(numbers_are_given_once),
      TEST(reports_find_keys_wherever_they_are),
      TEST(an_older_file_is_brought_up_to_date),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
