/* test_queue.c - the session queue by hand: what it says is on disk before it
 * is said, and the number of an asset is never given to another.
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "diskfault.h"
#include "engine_kit.h"

#define ASSET_1 "[{\"class\":\"node\",\"value\":\"9001\"}]"
#define ASSET_2 "[{\"class\":\"node\",\"value\":\"9002\"}]"

/* --- asking ---------------------------------------------------------- */
typedef struct reply {
  atomic_bool done;
  rt_err code;
  bool truth;
} reply;

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  reply *r = arg;
  (void)err;
  r->code = code;
  r->truth = rt_view_bool(rt_value_view(result), false);
  rt_value_unref(result);
  atomic_store(&r->done, true);
}

static void ask(rt_session *s, const char *verb, const char *json,
                rt_reply_fn fn, void *arg) {
  rt_value *args = NULL;
  KIT_OK(rt_value_from_json(&args, json, strlen(json), err));
  rt_session_queue_async(s, verb, args, fn, arg);
  rt_value_unref(args);
}

static reply queue(rt_session *s, const char *verb, const char *json) {
  reply r = {.code = RT_OK};
  ask(s, verb, json, on_reply, &r);
  KIT_UNTIL(atomic_load(&r.done));
  return r;
}

static bool truth(rt_session *s, const char *verb, const char *json) {
  reply r = queue(s, verb, json);
  assert_int_equal(r.code, RT_OK);
  return r.truth;
}

/* --- numbers --------------------------------------------------------- */
static void by_sql(kit *k, const char *name, const char *sql) {
  char path[300];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, name);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static int64_t done_of(rt_session *s, const char *capability) {
  rt_value *stats = kit_stats(s);
  rt_view all = rt_view_get(rt_value_view(stats), "capabilities");
  rt_view one = rt_view_get(all, capability);
  int64_t done = rt_view_int(rt_view_get(one, "done"), -1);
  rt_value_unref(stats);
  return done;
}

static int64_t last_number(kit *k, const char *name) {
  rt_report *report = NULL;
  rt_value *page = NULL;
  int64_t id = 0;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_assets(report, 0, NULL, 100, &page, err));
  rt_iter iter = rt_iter_of(rt_value_view(page));
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) {
    id = rt_view_int(rt_view_get(item, "id"), 0);
  }
  rt_value_unref(page);
  rt_report_close(report);
  return id;
}

/* The last asset is deleted, then the file opened again: a capability that
 * was registered after that asset, and whoever had printed it, must see the
 * next one. */
static void a_number_is_never_used_again(void **state) {
  (void)state;
  for (int sql = 0; sql < 2; sql++) {
    kit *k = kit_start(NULL);
    kit_cap(k, "early", (kit_opts){.input = "node"});
    rt_session *s = kit_open(k, "again", NULL);
    assert_int_equal(kit_dispatch(s, "node", "9001"), RT_QUEUED);
    kit_wait(s);
    kit_cap(k, "late", (kit_opts){.input = "node"});
    rt_session_set_mark(s, 1);
    if (!sql) assert_true(truth(s, "delete", ASSET_1));
    kit_close(s);
    if (sql) by_sql(k, "again", "DELETE FROM asset; DELETE FROM seen");
    s = kit_open(k, "again", NULL);
    assert_int_equal(kit_dispatch(s, "node", "9001"), RT_QUEUED);
    kit_wait(s);
    assert_true(last_number(k, "again") > 1);
    assert_int_equal(done_of(s, "late"), 1);
    kit_close(s);
    kit_stop(k);
  }
}

/* The same without anything but the deletion to tell that it was there, and
 * with one that is taken back. */
static void a_deleted_number_is_remembered(void **state) {
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "deleted", NULL);
  assert_true(truth(s, "append", ASSET_1));
  assert_true(truth(s, "append", ASSET_2));
  assert_true(truth(s, "delete", ASSET_1));
  assert_true(truth(s, "delete", ASSET_2));
  kit_close(s);
  s = kit_open(k, "deleted", NULL);
  disk_is(DISK_FULL);
  KIT_UNTIL(queue(s, "append", ASSET_1).code == RT_EUNAVAIL);
  disk_is(DISK_WELL);
  KIT_UNTIL(queue(s, "append", ASSET_2).code == RT_OK);
  assert_int_equal(last_number(k, "deleted"), 3);
  kit_close(s);
  kit_stop(k);
}

/* --- what is said is on disk ----------------------------------------- */
static void said_after_the_commit(void **state) {
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "said", NULL);
  assert_true(truth(s, "append", ASSET_1));
  disk_is(DISK_FULL);
  assert_int_equal(queue(s, "append", ASSET_2).code, RT_EUNAVAIL);
  assert_true(disk_fired() > 0);
  disk_is(DISK_WELL);
  KIT_UNTIL(queue(s, "has", ASSET_1).code == RT_OK); /* it goes on */
  assert_true(truth(s, "has", ASSET_1));
  assert_false(truth(s, "has", ASSET_2));
  disk_is(DISK_FULL);
  assert_int_equal(queue(s, "delete", ASSET_1).code, RT_EUNAVAIL);
  disk_is(DISK_WELL);
  KIT_UNTIL(queue(s, "has", ASSET_1).code == RT_OK);
  assert_true(truth(s, "has", ASSET_1));
  kit_close(s);
  kit_stop(k);
}

static void die(rt_err code, const rt_error *err, rt_value *result, void *arg) {
  (void)code, (void)err, (void)result, (void)arg;
  raise(SIGKILL);
}

static void child(const char *dir, const char *verb) {
  kit *k = kit_start_in(dir);
  rt_session *s = kit_open(k, "killed", NULL);
  ask(s, verb, ASSET_1, die, NULL);
  for (;;) pause();
}

/* Killed when told: it is there, or gone, all the same. */
static void said_and_killed(void **state) {
  static const char *const verbs[] = {"append", "delete"};
  char dir[64];
  kit *k = kit_start(state);
  memcpy(dir, k->dir, sizeof(dir));
  for (int i = 0; i < 2; i++) {
    int status = 0;
    kit_stop_keep(k);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) child(dir, verbs[i]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    k = kit_start_in(dir);
    rt_session *s = kit_open(k, "killed", NULL);
    assert_int_equal(truth(s, "has", ASSET_1), i == 0);
    kit_close(s);
  }
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_number_is_never_used_again),
      cmocka_unit_test(a_deleted_number_is_remembered),
      cmocka_unit_test(said_after_the_commit),
      cmocka_unit_test(said_and_killed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
