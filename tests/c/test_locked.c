/* test_locked.c - somebody's sqlite3 on the file of a session that runs: it
 * pauses, says so, goes on; no job fails or runs twice, others notice nothing.
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "engine_kit.h"

#define WORDS   "the file is locked by another program"
#define OPEN_NS 4000000000u /* opening waits for longer than this */

/* --- the other program ------------------------------------------------------
 */
static sqlite3 *other_open(kit *k, const char *name) {
  char path[300];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/%s.sqlite", k->dir, name);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_busy_timeout(db, 30000);
  return db;
}

static void other_does(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
    fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  }
}

/* --- what is seen of it -------------------------------------------------- */
static bool has_fault(rt_session *s, const char *words) {
  size_t size = 0;
  rt_value *stats = kit_stats(s);
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(stats), "fault"), &size);
  bool same = text && size == strlen(words) && !memcmp(text, words, size);
  rt_value_unref(stats);
  return same;
}

static bool why_says(kit *k, const char *name, const char *words) {
  rt_report *report = NULL;
  rt_value *why = NULL;
  rt_view item;
  bool said = false;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_why(report, &why, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(why), "reasons"));
  while (rt_iter_next(&iter, NULL, &item)) {
    size_t size = 0;
    const char *text = rt_view_string(rt_view_get(item, "what"), &size);
    said = said || (text && size >= strlen(words) &&
                    memcmp(text, words, strlen(words)) == 0);
  }
  rt_value_unref(why);
  rt_report_close(report);
  return said;
}

typedef struct heard {
  atomic_int paused, resumed, failed, retrying;
} heard;

static void on_event(const rt_event *event, void *arg) {
  heard *h = arg;
  if (!strcmp(event->kind, "session.paused")) atomic_fetch_add(&h->paused, 1);
  if (!strcmp(event->kind, "session.resumed")) atomic_fetch_add(&h->resumed, 1);
  if (!strcmp(event->kind, "job.failed")) atomic_fetch_add(&h->failed, 1);
  if (!strcmp(event->kind, "job.retrying")) atomic_fetch_add(&h->retrying, 1);
}

/* --- jobs ------------------------------------------------------------ */
static atomic_int runs[KIT_NODES + 1];

static void counted(kit_job *job, rt__end *end) {
  atomic_fetch_add(&runs[atol(job->value)], 1);
  usleep(200);
  kit_expand(job, end);
}

static void forget_runs(void) {
  for (int i = 0; i <= KIT_NODES; i++) atomic_store(&runs[i], 0);
}

static void each_ran_once(void) {
  for (int i = 1; i <= KIT_NODES; i++) {
    if (atomic_load(&runs[i]) != 1) {
      fail_msg("%d ran %d times", i, atomic_load(&runs[i]));
    }
  }
}

/* Something that must be written, whatever else there is to do. */
static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  (void)err;
  rt_value_unref(result);
  atomic_store((atomic_int *)arg, code == RT_OK ? 1 : -1);
}

static void dispatch_later(rt_session *s, atomic_int *answered) {
  static const char json[] = "{\"class\":\"other\",\"value\":\"late\"}";
  rt_value *asset = NULL;
  atomic_store(answered, 0);
  KIT_OK(rt_value_from_json(&asset, json, sizeof(json) - 1, err));
  rt_session_dispatch_async(s, asset, NULL, on_reply, answered);
  rt_value_unref(asset);
}

/* --- tests ----------------------------------------------------------- */
static void lock_and_let_go(const char *begin) {
  kit *k = kit_start(NULL);
  heard h = {0};
  uint64_t id;
  atomic_int answered;
  forget_runs();
  kit_cap(k, "counted", (kit_opts){.fn = counted});
  KIT_OK(rt_bus_subscribe(k->bus, &id, "session", NULL, on_event, &h, err));
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = 2; /* those who wait for an outcome leave threads to others */
  rt_session *s = kit_open(k, "held", &o);
  sqlite3 *db = other_open(k, "held");
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_QUEUED);
  KIT_UNTIL(kit_stat(s, "done") >= 5);
  other_does(db, begin);
  dispatch_later(s, &answered);
  KIT_UNTIL(has_fault(s, WORDS));
  assert_true(why_says(k, "held", WORDS));
  int64_t done = kit_stat(s, "done");
  kit_fn_of(k, "counted", NULL); /* another session is not held up */
  rt_session *t = kit_open(k, "free", NULL);
  assert_int_equal(kit_dispatch(t, "node", "1"), RT_QUEUED);
  kit_wait(t);
  kit_close(t);
  assert_int_equal(kit_stat(s, "done"), done);
  assert_true(has_fault(s, WORDS));
  assert_int_equal(atomic_load(&answered), 0);
  other_does(db, "ROLLBACK");
  KIT_UNTIL(atomic_load(&answered) == 1);
  kit_wait(s);
  assert_false(has_fault(s, WORDS));
  assert_false(why_says(k, "held", WORDS));
  assert_int_equal(kit_stat(s, "done"), KIT_NODES);
  assert_int_equal(kit_stat(s, "failed"), 0);
  assert_int_equal(kit_assets(k, "held"), KIT_NODES + 1);
  KIT_UNTIL(atomic_load(&h.resumed) == 1);
  assert_int_equal(atomic_load(&h.paused), 1);
  assert_int_equal(atomic_load(&h.failed) + atomic_load(&h.retrying), 0);
  sqlite3_close(db);
  kit_close(s);
  rt_bus_unsubscribe(k->bus, id);
  kit_stop(k);
}

static void a_writer_pauses_the_session(void **state) {
  (void)state;
  lock_and_let_go("BEGIN IMMEDIATE");
  lock_and_let_go("BEGIN EXCLUSIVE");
}

/* Locks that come and go all the time: every job runs once all the same. */
static void many_short_locks(void **state) {
  kit *k = kit_start(state);
  forget_runs();
  kit_cap(k, "counted", (kit_opts){.fn = counted});
  rt_session *s = kit_open(k, "teased", NULL);
  sqlite3 *db = other_open(k, "teased");
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_QUEUED);
  int locks = 0;
  do {
    other_does(db, "BEGIN IMMEDIATE");
    usleep(locks % 4 ? 3000 : 80000);
    other_does(db, "ROLLBACK");
    locks++;
  } while (rt_session_wait(s, 0.005, NULL, NULL) == RT_ETIMEOUT);
  each_ran_once();
  assert_int_equal(kit_stat(s, "failed"), 0);
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

static int asset_count(sqlite3 *db) {
  sqlite3_stmt *stmt = NULL;
  sqlite3_prepare_v2(db, "SELECT count(*) FROM asset", -1, &stmt, NULL);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  int count = sqlite3_column_int(stmt, 0);
  sqlite3_finalize(stmt);
  return count;
}

/* Canceled or stopped while locked: in time, and what was on disk stays. Often
 * enough to show that it does not count as a crash of the jobs that ran. */
static void ends_in_time_while_locked(void **state) {
  kit *k = kit_start(state);
  char dir[64];
  atomic_int answered = 0;
  memcpy(dir, k->dir, sizeof(dir));
  for (int round = 0; round < 5; round++) {
    forget_runs();
    kit_cap(k, "counted", (kit_opts){.fn = counted});
    rt_session_opts o = RT_SESSION_OPTS_INIT;
    o.grace = 0.2;
    rt_session *s = kit_open(k, "stopped", &o);
    sqlite3 *db = other_open(k, "stopped");
    kit_dispatch(s, "node", "1");
    KIT_UNTIL(atomic_load(&runs[1]) > 0 || round > 0);
    other_does(db, "BEGIN IMMEDIATE");
    int count = asset_count(db);
    if (round < 4) {
      dispatch_later(s, &answered);
      KIT_UNTIL(has_fault(s, WORDS));
    }
    if (round % 2) KIT_OK(rt_session_cancel(s, "enough", false, err));
    if (round % 2) assert_true(rt_session_done(s));
    if (round < 3) kit_close(s);
    kit_stop_keep(k);
    if (round >= 3) rt_session_unref(s);
    other_does(db, "ROLLBACK");
    assert_int_equal(asset_count(db), count);
    sqlite3_close(db);
    if (round < 4) assert_int_equal(atomic_load(&answered), -1);
    k = kit_start_in(dir);
  }
  kit_cap(k, "counted", (kit_opts){.fn = counted});
  rt_session *s = kit_open(k, "stopped", NULL);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(kit_assets(k, "stopped"), KIT_NODES);
  assert_int_equal(kit_stat(s, "done"), KIT_NODES);
  assert_int_equal(kit_stat(s, "failed"), 0);
  kit_close(s);
  kit_stop(k);
}

/* What is asked for while it is locked is done afterwards, in order. */
static void commands_wait_in_order(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "first", (kit_opts){.input = "a", .fn = counted});
  rt_session *s = kit_open(k, "order", NULL);
  sqlite3 *db = other_open(k, "order");
  kit_dispatch(s, "a", "1");
  kit_wait(s);
  other_does(db, "BEGIN IMMEDIATE");
  kit_cap(k, "second", (kit_opts){.input = "a", .fn = counted});
  KIT_OK(rt_registry_remove(k->registry, "first", err));
  rt_session_set_mark(s, 1);
  KIT_UNTIL(has_fault(s, WORDS));
  rt_session_pause(s);
  rt_session_resume(s);
  other_does(db, "COMMIT");
  kit_dispatch(s, "a", "2");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 2);
  assert_int_equal(kit_stat(s, "skipped"), 1);
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

/* Who waits after a dispatch that waits for the file waits for both. */
static void waiting_keeps_its_place(void **state) {
  kit *k = kit_start(state);
  atomic_int answered, done = 0;
  kit_cap(k, "late", (kit_opts){.input = "other"});
  rt_session *s = kit_open(k, "place", NULL);
  sqlite3 *db = other_open(k, "place");
  kit_dispatch(s, "other", "9001");
  kit_wait(s);
  other_does(db, "BEGIN IMMEDIATE");
  dispatch_later(s, &answered);
  rt_session_wait_async(s, kit_on_waited, &done);
  KIT_UNTIL(has_fault(s, WORDS));
  assert_int_equal(atomic_load(&done), 0);
  other_does(db, "COMMIT");
  KIT_UNTIL(atomic_load(&done) == 2);
  assert_int_equal(atomic_load(&answered), 1);
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

typedef struct opening {
  atomic_bool done;
  rt_err code;
  rt_session *session;
  char words[512];
} opening;

static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  opening *o = arg;
  o->code = code;
  o->session = session;
  snprintf(o->words, sizeof(o->words), "%s", err ? err->message : "");
  atomic_store(&o->done, true);
}

static void opening_waits_a_while(void **state) {
  kit *k = kit_start(state);
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  kit_close(kit_open(k, "late", NULL));
  sqlite3 *db = other_open(k, "late");
  for (int patient = 0; patient < 2; patient++) {
    opening o = {.code = RT_OK};
    bool early = true; /* else it may be given up by then */
    opts.name = "late";
    opts.dir = k->dir;
    other_does(db, "BEGIN IMMEDIATE");
    uint64_t begin = rt__now_ns();
    rt__session_open_async(k->engine, &opts, on_opened, &o);
    if (!patient) {
      rt_session *t = kit_open(k, "meanwhile", NULL);
      kit_close(t);
      bool done = atomic_load(&o.done);
      other_does(db, "COMMIT");
      early = rt__now_ns() - begin < OPEN_NS;
      assert_false(early && done);
    }
    KIT_UNTIL(atomic_load(&o.done));
    if (patient || (!early && o.code != RT_OK)) {
      assert_int_equal(o.code, RT_EUNAVAIL);
      assert_non_null(strstr(o.words, WORDS));
      if (patient) other_does(db, "COMMIT");
    } else {
      assert_int_equal(o.code, RT_OK);
      kit_close(o.session);
    }
  }
  sqlite3_close(db);
  kit_stop(k);
}

/* --- a reader that stays --------------------------------------------- */
static void large(kit_job *job, rt__end *end) {
  (void)end;
  long n = atol(job->value);
  rt_value *asset = NULL;
  rt_builder *b = rt_builder_new();
  char *text = malloc(900001), value[32];
  memset(text, 'x', 900000);
  text[900000] = '\0';
  snprintf(value, sizeof(value), "%ld", n + 1);
  rt_builder_begin_map(b);
  rt_builder_key(b, "class");
  rt_builder_string(b, n < 110 ? "node" : "last");
  rt_builder_key(b, "value");
  rt_builder_string(b, value);
  rt_builder_key(b, "metadata");
  rt_builder_begin_map(b);
  rt_builder_key(b, "text");
  rt_builder_string(b, text);
  rt_builder_end(b);
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &asset, err));
  rt_builder_free(b);
  rt__engine_send(job->order->engine, job->order->session, job->order->lease,
                  asset, NULL, NULL);
  rt_value_unref(asset);
  free(text);
}

static void a_reader_lets_the_journal_grow(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "large", (kit_opts){.output = "*", .fn = large});
  rt_session *s = kit_open(k, "read", NULL);
  sqlite3 *db = other_open(k, "read");
  other_does(db, "BEGIN; SELECT count(*) FROM asset");
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 110);
  KIT_UNTIL(kit_stat(s, "journal_bytes") > 16 << 20);
  KIT_UNTIL(why_says(k, "read", "another program goes on reading"));
  other_does(db, "COMMIT");
  for (int i = 0; kit_stat(s, "journal_bytes") > 0 && i < 3000; i++) {
    char value[32];
    snprintf(value, sizeof(value), "again-%d", i);
    kit_dispatch(s, "other", value); /* a commit looks at it anew */
    usleep(10000);
  }
  assert_int_equal(kit_stat(s, "journal_bytes"), -1);
  KIT_UNTIL(!why_says(k, "read", "another program"));
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_writer_pauses_the_session),
      cmocka_unit_test(many_short_locks),
      cmocka_unit_test(ends_in_time_while_locked),
      cmocka_unit_test(commands_wait_in_order),
      cmocka_unit_test(waiting_keeps_its_place),
      cmocka_unit_test(opening_waits_a_while),
      cmocka_unit_test(a_reader_lets_the_journal_grow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
