/* test_stale.c - much that runs again, much that is gone: put aside and noted
 * in parts, so that nobody waits for all of it, and who is cut short goes on.
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <stdatomic.h>

#include "engine_kit.h"

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

/* What is stale is put aside in parts, each in a transaction. When that is cut
 * short, the run has begun, and the next opening goes on with the rest. */
#define PARTS 41001
static void make_many_stale(kit *k) {
  kit_cap(k, "all", (kit_opts){.input = "leaf", .fn = idle, .rerun = "always"});
  begin(k, "parts", 1);
  change(k, "parts",
         "BEGIN; WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n"
         " WHERE i<41001) INSERT INTO asset SELECT i,class,i,NULL,i,NULL,NULL,"
         "0,i,done,aside,NULL,NULL,created FROM n, asset WHERE id=1;"
         "INSERT INTO job(asset,capability,class,state,attempt,crashes,fanout,"
         "priority,ended,again,run) SELECT a.id,j.capability,j.class,j.state,1,"
         "0,0,0,j.ended-a.id,j.again-a.id,j.run FROM asset a, job j"
         " WHERE a.id>1;"
         "UPDATE class SET assets=41001;"
         "UPDATE lane SET total=41001,completed=41001,mark=41001; COMMIT");
}

static void many_are_stale(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = NULL;
  make_many_stale(k);
  change(k, "parts",
         "CREATE TRIGGER cut BEFORE UPDATE ON job WHEN old.asset=3 AND"
         " new.state='queued' BEGIN SELECT RAISE(ABORT,'cut short'); END");
  o.name = "parts";
  o.dir = k->dir;
  assert_int_not_equal(rt__session_open(&s, k->engine, &o, NULL), RT_OK);
  int64_t left =
      ask(k, "parts", "SELECT count(*) FROM job WHERE state='completed'");
  assert_in_range(left, 1, PARTS - 20000);
  assert_int_equal(ask(k, "parts", "SELECT completed FROM lane"), left);
  change(k, "parts", "DROP TRIGGER cut");
  assert_int_equal(again(k, "parts"), left);
  assert_int_equal(ask(k, "parts",
                       "SELECT count(*) FROM job WHERE run=2 AND"
                       " state='completed'"),
                   PARTS);
  assert_int_equal(ask(k, "parts", "SELECT completed FROM lane"), PARTS);
  kit_stop(k);
}

/* While "parts" is opened, another session is asked for one thing after the
 * other, by the replies themselves: all of it on the engine's thread. */
typedef struct beside {
  kit *k;
  rt_session *other, *opened;
  rt_value *asset;
  bool registers;
  int turns, at_open; /* engine's thread */
  atomic_int turned;  /* while it is opened */
  rt_err code;
  atomic_bool over;
} beside;

static void on_beside(rt_err code, const rt_error *err, rt_session *s,
                      void *arg) {
  beside *b = arg;
  (void)err;
  b->code = code;
  b->opened = s;
  atomic_store(&b->over, true);
}

static void on_turn(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  beside *b = arg;
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  (void)err;
  rt_value_unref(result);
  if (atomic_load(&b->over) || code != RT_OK) return;
  if (++b->turns == 3) {
    b->at_open = b->turns;
    o.name = "parts";
    o.dir = b->k->dir;
    o.paused = true;
    rt__session_open_async(b->k->engine, &o, on_beside, b);
  }
  if (b->turns == 8 && b->registers) {
    kit_cap(b->k, "late", (kit_opts){.input = "leaf", .fn = idle});
  }
  if (b->at_open) atomic_store(&b->turned, b->turns - b->at_open);
  rt__session_dispatch_async(b->other, b->asset, NULL, on_turn, b);
}

static void begin_beside(beside *b) {
  rt_builder *builder = rt_builder_new();
  rt_builder_begin_map(builder);
  rt_builder_key(builder, "class");
  rt_builder_string(builder, "none");
  rt_builder_key(builder, "value");
  rt_builder_string(builder, "1");
  rt_builder_end(builder);
  KIT_OK(rt_builder_finish(builder, &b->asset, err));
  rt_builder_free(builder);
  make_many_stale(b->k);
  b->other = kit_open(b->k, "other", NULL);
  rt__session_dispatch_async(b->other, b->asset, NULL, on_turn, b);
}

static void opening_keeps_nobody_waiting(void **state) {
  beside b = {.k = kit_start(state), .registers = true};
  begin_beside(&b);
  KIT_UNTIL(atomic_load(&b.over));
  assert_int_equal(b.code, RT_OK);
  assert_true(atomic_load(&b.turned) >= PARTS / 2000 - 2);
  assert_int_equal(kit_stat(b.opened, "reruns"), PARTS);
  assert_int_equal(kit_stat(b.opened, "queued"), PARTS);
  /* What came meanwhile is known to it. */
  assert_int_equal(kit_dispatch(b.opened, "leaf", "new"), RT_QUEUED);
  KIT_UNTIL(ask(b.k, "parts", "SELECT sum(total) FROM lane") == PARTS + 2);
  kit_close(b.opened);
  kit_close(b.other);
  rt_value_unref(b.asset);
  kit_stop(b.k);
}

/* The runtime stops while it is opened: who opens it is told, at once. */
static void opening_ends_with_the_runtime(void **state) {
  beside b = {.k = kit_start(state)};
  begin_beside(&b);
  KIT_UNTIL(atomic_load(&b.turned) >= 2);
  char dir[64];
  memcpy(dir, b.k->dir, sizeof(dir));
  kit_stop_keep(b.k);
  assert_true(atomic_load(&b.over));
  assert_true(b.code == RT_OK || b.code == RT_ECLOSED);
  rt_session_unref(b.opened);
  rt_session_unref(b.other);
  rt_value_unref(b.asset);
  kit *k = kit_start_in(dir);
  kit_cap(k, "all", (kit_opts){.input = "leaf", .fn = idle, .rerun = "always"});
  again(k, "parts");
  assert_int_equal(ask(k, "parts",
                       "SELECT count(*) FROM job WHERE run=2 AND"
                       " state='completed'"),
                   PARTS);
  kit_stop(k);
}

/* What a round did not find any more is noted in parts too: a job's 2,500
 * finds, of which the last cannot be written for a while. */
#define LOST 2500
static void many_are_gone(void **state) {
  kit *k = kit_start(state);
  rt_error why = RT_ERROR_INIT;
  kit_cap(k, "all", (kit_opts){.input = "leaf", .fn = idle, .rerun = "always"});
  kit_cap(k, "watch", (kit_opts){.input = "asset.gone:thing", .fn = idle});
  begin(k, "gone", 1);
  change(k, "gone",
         "BEGIN; INSERT INTO class VALUES((SELECT 1+max(id) FROM class),"
         "'thing',2500);"
         "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n"
         " WHERE i<2501) INSERT INTO asset SELECT i,(SELECT id FROM class"
         " WHERE name='thing'),i,NULL,i,1,j.capability,1,1,0,0,NULL,NULL,"
         "created FROM n, asset, job j WHERE asset.id=1 AND j.asset=1;"
         "CREATE TRIGGER cut BEFORE INSERT ON found WHEN new.asset=2500"
         " BEGIN SELECT RAISE(ABORT,'cut short'); END; COMMIT");
  rt_session *s = kit_open(k, "gone", NULL);
  KIT_UNTIL(ask(k, "gone", "SELECT count(*) FROM found") > 0);
  KIT_UNTIL(kit_dispatch(s, "none", "1") < 0); /* it waits */
  int64_t noted = ask(k, "gone", "SELECT count(*) FROM found");
  assert_in_range(noted, 1000, LOST - 2);
  change(k, "gone", "DROP TRIGGER cut");
  KIT_UNTIL(rt_session_wait(s, 30, NULL, &why) == RT_OK);
  assert_int_equal(
      ask(k, "gone", "SELECT count(*) FROM found WHERE gone IS NOT NULL"),
      LOST);
  assert_int_equal(ask(k, "gone",
                       "SELECT count(*) FROM assets WHERE"
                       " class='asset.gone:thing'"),
                   LOST);
  assert_int_equal(kit_stat(s, "work_items_completed"), LOST + 1);
  kit_close(s);
  assert_int_equal(again(k, "gone"), 1); /* and no loss is told twice */
  assert_int_equal(ask(k, "gone",
                       "SELECT count(*) FROM assets WHERE"
                       " class='asset.gone:thing'"),
                   LOST);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_are_stale),
      cmocka_unit_test(opening_keeps_nobody_waiting),
      cmocka_unit_test(opening_ends_with_the_runtime),
      cmocka_unit_test(many_are_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
