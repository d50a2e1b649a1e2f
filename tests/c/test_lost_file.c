/* test_lost_file.c - a file that is damaged, emptied or taken away while its
 * session runs, and does not come back: the session says so, waits as long as
 * it was told to, and ends. And a log that readers keep from being emptied.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "engine_kit.h"
#include "store/store.h"

#define LOG_MAX (1 << 20)
#define JOBS    700

/* --- what is seen of it ---------------------------------------------- */
typedef struct heard {
  atomic_int paused, canceled, empty;
  char why[600]; /* of the end */
} heard;

static void on_event(const rt_event *event, void *arg) {
  heard *h = arg;
  size_t size = 0;
  const char *why =
      rt_view_string(rt_view_get(rt_value_view(event->data), "reason"), &size);
  if (!strcmp(event->kind, "session.paused")) {
    atomic_fetch_add(&h->paused, 1);
    if (why && memmem(why, size, "it is empty", 11))
      atomic_fetch_add(&h->empty, 1);
  }
  if (strcmp(event->kind, "session.canceled") != 0) return;
  snprintf(h->why, sizeof(h->why), "%.*s", (int)size, why ? why : "");
  atomic_fetch_add(&h->canceled, 1);
}

static bool status_says(kit *k, const char *name, const char *words) {
  rt_report *report = NULL;
  rt_value *status = NULL;
  rt_error why = RT_ERROR_INIT;
  char text[600] = "";
  size_t size = 0;
  if (rt_report_open(&report, k->dir, name, &why) != RT_OK ||
      rt_report_status(report, &status, &why) != RT_OK) {
    snprintf(text, sizeof(text), "%s", why.message);
  } else {
    const char *at =
        rt_view_string(rt_view_get(rt_value_view(status), "fault"), &size);
    if (at) snprintf(text, sizeof(text), "%.*s", (int)size, at);
  }
  rt_value_unref(status);
  rt_report_close(report);
  return strstr(text, words) != NULL;
}

static void slow(kit_job *job, rt__end *end) {
  usleep(200);
  kit_expand(job, end);
}

/* And sends what is refused; so slowly that it is not over before the file is
 * harmed. */
static void refused(kit_job *job, rt__end *end) {
  usleep(10000);
  kit_expand(job, end);
  kit_send(job, "node", "bad");
}

static void path_of(kit *k, const char *name, const char *suffix, char *out) {
  snprintf(out, 300, "%s/%s.sqlite%s", k->dir, name, suffix);
}

/* --- it does not come back ------------------------------------------- */
typedef void (*harm_fn)(const char *path);

static void remove_it(const char *path) {
  assert_int_equal(unlink(path), 0);
}

/* The table of refusals, which is met when something is refused. */
static void damage_it(const char *path) {
  static char junk[4096];
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  memset(junk, 0x5a, sizeof(junk));
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_prepare_v2(db,
                     "SELECT rootpage FROM sqlite_schema WHERE name='rejected'",
                     -1, &stmt, NULL);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  off_t page = sqlite3_column_int(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_true(pwrite(fd, junk, sizeof(junk), (page - 1) * 4096) == 4096);
  close(fd);
}

/* `before`: while nobody has it open, to be met later. */
static void ends_for(harm_fn before, harm_fn harm, const char *words) {
  static const char *const rules[] = {"!bad"};
  kit *k = kit_start(NULL);
  heard h = {.why = ""};
  uint64_t id;
  char path[300];
  kit_cap(k, "slow", (kit_opts){.fn = refused});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = 2;
  o.patience = 1.5;
  o.scope = rules;
  o.scope_count = 1;
  path_of(k, "lost", "", path);
  rt_session *s = kit_open(k, "lost", &o);
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(kit_stat(s, "done") >= 3);
  kit_close(s);
  if (before) before(path);
  KIT_OK(rt_bus_subscribe(k->bus, &id, "session", NULL, on_event, &h, err));
  s = kit_open(k, "lost", &o);
  if (harm) harm(path);
  kit_dispatch(s, "node", "bad");
  KIT_UNTIL(status_says(k, "lost", words));
  rt_error why = RT_ERROR_INIT;
  assert_int_equal(rt_session_wait(s, 60, NULL, &why), RT_EUNAVAIL);
  if (!strstr(why.message, words) || !strstr(why.message, "lost.sqlite")) {
    fail_msg("%s", why.message);
  }
  assert_true(rt_session_done(s));
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_EUNAVAIL);
  assert_int_equal(rt_session_wait(s, 60, NULL, &why), RT_EUNAVAIL);
  KIT_UNTIL(atomic_load(&h.canceled) == 1);
  assert_true(atomic_load(&h.paused) >= 1);
  assert_non_null(strstr(h.why, words));
  struct stat st;
  if (harm == remove_it) assert_int_not_equal(stat(path, &st), 0);
  rt_session *t = kit_open(k, "other", NULL); /* nobody else notices */
  kit_dispatch(t, "node", "1");
  kit_wait(t);
  kit_close(t);
  kit_close(s);
  rt_bus_unsubscribe(k->bus, id);
  kit_stop(k);
}

static void a_removed_file_ends_its_session(void **state) {
  (void)state;
  ends_for(NULL, remove_it, "is gone");
}

static void a_damaged_file_ends_its_session(void **state) {
  (void)state;
  ends_for(damage_it, NULL, "damaged");
}

#define FREE 3 /* jobs that do not wait; they find twice as many and one */

static atomic_bool hold; /* the others wait while it is set */

static void held(kit_job *job, rt__end *end) {
  while (atol(job->value) > FREE && atomic_load(&hold)) usleep(1000);
  slow(job, end);
}

/* What the log holds is written into it; whether that is all decides. Jobs wait
 * meanwhile: their results would be written to the file, which then is not
 * empty when it is looked at. */
static void an_emptied_file_is_told(void **state) {
  kit *k = kit_start(state);
  char path[300];
  heard h = {.why = ""};
  uint64_t id;
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = 2;
  o.patience = 1.5;
  kit_cap(k, "slow", (kit_opts){.fn = held});
  KIT_OK(rt_bus_subscribe(k->bus, &id, "session", NULL, on_event, &h, err));
  path_of(k, "empty", "", path);
  rt_session *s = kit_open(k, "empty", &o);
  atomic_store(&hold, true);
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(kit_stat(s, "done") == FREE && kit_stat(s, "running") == 2);
  KIT_UNTIL(kit_assets(k, "empty") == 2 * FREE + 1);
  assert_int_equal(truncate(path, 0), 0);
  KIT_UNTIL(atomic_load(&h.empty) > 0);
  atomic_store(&hold, false);
  rt_error why = RT_ERROR_INIT;
  rt_err rc = rt_session_wait(s, 60, NULL, &why);
  if (rc == RT_OK) {
    assert_int_equal(kit_assets(k, "empty"), KIT_NODES);
  } else if (rc != RT_EUNAVAIL || !strstr(why.message, "damaged")) {
    fail_msg("%d %s", rc, why.message);
  }
  kit_close(s);
  rt_bus_unsubscribe(k->bus, id);
  kit_stop(k);
}

/* Who has a session keeps it while its file is away. */
static void it_stays_owned(void **state) {
  kit *k = kit_start(state);
  char path[300], away[320];
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  rt_session *s = kit_open(k, "mine", NULL), *t = NULL;
  kit_dispatch(s, "plain", "1");
  path_of(k, "mine", "", path);
  snprintf(away, sizeof(away), "%s/away", k->dir);
  assert_int_equal(rename(path, away), 0);
  KIT_UNTIL(status_says(k, "mine", "is gone"));
  kit *l = kit_start_in(k->dir);
  o.name = "mine";
  o.dir = k->dir;
  for (int i = 0; i < 15; i++) {
    assert_int_equal(rt__session_open(&t, l->engine, &o, &why), RT_ECONFLICT);
    usleep(100000); /* some attempts of its owner long */
  }
  assert_int_equal(rename(away, path), 0);
  KIT_UNTIL(kit_dispatch(s, "plain", "2") >= 0);
  assert_false(status_says(k, "mine", "is gone"));
  assert_int_equal(kit_assets(k, "mine"), 2);
  kit_stop_keep(l);
  kit_close(s);
  kit_stop(k);
}

/* --- a full log ------------------------------------------------------ */
static void large(kit_job *job, rt__end *end) {
  (void)end;
  char value[4000], *at = value;
  long n = atol(job->value);
  at += snprintf(value, sizeof(value), "%ld-", n + 1);
  while (at < value + sizeof(value) - 1) *at++ = 'x';
  *at = '\0';
  kit_send(job, "large", value);
  snprintf(value, sizeof(value), "%ld", n + 1);
  if (n < JOBS) kit_send(job, "node", value);
}

static void other_does(sqlite3 *db, const char *sql) {
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static bool has_fault(rt_session *s, const char *words) {
  size_t size = 0;
  rt_value *stats = kit_stats(s);
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(stats), "fault"), &size);
  bool same =
      text && size >= strlen(words) && !memcmp(text, words, strlen(words));
  rt_value_unref(stats);
  return same;
}

static off_t size_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? st.st_size : 0;
}

static void a_full_log_holds_writers_back(void **state) {
  kit *k = kit_start(state);
  char path[300], log[300];
  sqlite3 *db = NULL;
  kit_cap(k, "large", (kit_opts){.output = "*", .fn = large});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_journal = LOG_MAX;
  rt_session *s = kit_open(k, "full", &o);
  path_of(k, "full", "", path);
  path_of(k, "full", "-wal", log);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  other_does(db, "BEGIN; SELECT count(*) FROM asset");
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(has_fault(s, "another program goes on reading the file"));
  assert_true(status_says(k, "full", "another program goes on reading"));
  assert_true(kit_stat(s, "journal_bytes") >= LOG_MAX);
  off_t size = size_of(log);
  int64_t done = kit_stat(s, "done");
  for (int i = 0; i < 50; i++) { /* it stays as it is, however long */
    assert_true(has_fault(s, "another program goes on reading the file"));
    usleep(10000);
  }
  assert_int_equal(kit_stat(s, "done"), done);
  assert_int_equal(size_of(log), size);
  assert_true(size < 4 * LOG_MAX);
  other_does(db, "COMMIT");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), JOBS);
  assert_int_equal(kit_stat(s, "failed"), 0);
  assert_true(size_of(log) < 4 * LOG_MAX);
  KIT_UNTIL(!status_says(k, "full", "another program"));
  sqlite3_close(db);
  kit_close(s);
  kit_stop(k);
}

/* A full log that nobody reads is no fault: the next commit empties it. */
static void a_full_log_needs_a_reader(void **state) {
  kit *k = kit_start(state);
  char path[300], value[64];
  rt__store *store = NULL;
  sqlite3 *db = NULL;
  KIT_OK(rt__store_open(&store, k->dir, "bare", RT_OPEN_ANY, true, err));
  rt__store_bound_log(store, 64 << 10);
  for (int i = 0; !rt__store_log_full(store); i++) {
    snprintf(value, sizeof(value), "%d", i);
    KIT_OK(rt__store_set_text(store, value, "some text", err));
    KIT_OK(rt__store_commit(store, err));
  }
  assert_int_equal(rt__store_held_bytes(store), 0);
  path_of(k, "bare", "", path);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  other_does(db, "BEGIN; SELECT count(*) FROM asset");
  assert_int_equal(rt__store_empty_log(store, NULL), RT_ETIMEOUT);
  assert_true(rt__store_held_bytes(store) >= 64 << 10);
  other_does(db, "COMMIT");
  KIT_OK(rt__store_empty_log(store, err));
  assert_int_equal(rt__store_held_bytes(store), 0);
  sqlite3_close(db);
  rt__store_close(store);
  kit_stop(k);
}

/* Readers that come and go, one always there: it gets through all the same. */
static void readers_that_take_turns(void **state) {
  kit *k = kit_start(state);
  char path[300], log[300];
  sqlite3 *db[2] = {NULL, NULL};
  kit_cap(k, "large", (kit_opts){.output = "*", .fn = large});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_journal = LOG_MAX;
  rt_session *s = kit_open(k, "turns", &o);
  path_of(k, "turns", "", path);
  path_of(k, "turns", "-wal", log);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(sqlite3_open(path, &db[i]), SQLITE_OK);
    sqlite3_busy_timeout(db[i], 30000);
  }
  kit_dispatch(s, "node", "501"); /* 200 of them */
  other_does(db[1], "BEGIN; SELECT count(*) FROM asset");
  for (int i = 0; rt_session_wait(s, 0.02, NULL, NULL) == RT_ETIMEOUT; i++) {
    other_does(db[i % 2], "BEGIN; SELECT count(*) FROM asset");
    other_does(db[1 - i % 2], "COMMIT");
    assert_true(size_of(log) < 4 * LOG_MAX);
  }
  assert_int_equal(kit_stat(s, "done"), JOBS - 500);
  for (int i = 0; i < 2; i++) sqlite3_close(db[i]);
  kit_close(s);
  kit_stop(k);
}

/* Canceled while the log is full: in time, and what ran is there. */
static void ends_with_a_full_log(void **state) {
  kit *k = kit_start(state);
  char path[300];
  sqlite3 *db = NULL;
  kit_cap(k, "large", (kit_opts){.output = "*", .fn = large});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.max_journal = LOG_MAX;
  rt_session *s = kit_open(k, "ends", &o);
  path_of(k, "ends", "", path);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  other_does(db, "BEGIN; SELECT count(*) FROM asset");
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(has_fault(s, "another program goes on reading the file"));
  KIT_OK(rt_session_cancel(s, "enough", false, err));
  kit_close(s);
  other_does(db, "COMMIT");
  sqlite3_close(db);
  s = kit_open(k, "ends", NULL);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), JOBS);
  assert_int_equal(kit_stat(s, "failed"), 0);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_removed_file_ends_its_session),
      cmocka_unit_test(a_damaged_file_ends_its_session),
      cmocka_unit_test(an_emptied_file_is_told),
      cmocka_unit_test(it_stays_owned),
      cmocka_unit_test(a_full_log_holds_writers_back),
      cmocka_unit_test(a_full_log_needs_a_reader),
      cmocka_unit_test(readers_that_take_turns),
      cmocka_unit_test(ends_with_a_full_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
