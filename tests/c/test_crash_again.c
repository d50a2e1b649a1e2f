/* test_crash_again.c - kill -9 while jobs run again and assets are deleted.
 *
 * A session is worked on to its end. Then lives of a program open it again and
 * again (crash_again.h), so that what declares `rerun` runs once more, and
 * append and delete assets, in the open session or in its file; most of them
 * are killed at a random moment (crash.h). After each life: the changes that it
 * noted are so, the one it had begun is so or not, as a whole; a number belongs
 * to one key for ever, and one that is deleted is not seen again; nothing else
 * has come or gone; counters say what the rows say. Once a run is over each job
 * that was to run in it has run, and stages kept their order; what ran more
 * often did so after its lease was taken back.
 *
 * The program runs itself as a life: test_crash_again DIR SEED LIFE HOW N FLAGS
 * Environment: CRASH_ROUNDS (16: lives that may end early), CRASH_SEED (1; with
 * CRASH_ROUNDS another each time).
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "crash.h"
#include "crash_again.h"
#include "sanitized.h"

#define IDS     6000
#define ENDINGS 8 /* lives of a session that may end early */

static char self[512], dir[256];
static long seed;

/* --- what is known, from the outside ------------------------------------- */
typedef struct job {
  bool done, failed; /* as the file said after the last life; failed: leased at
                        three crashes */
  int64_t run;       /* in which it was done */
  bool due;          /* is to run in the run that is counted */
  int ran, ever, in_life; /* in that run, at all, in this life */
} job;

typedef struct known {
  bool wanted[AGAIN_NODES + 1];
  long leaves;
  long owner[IDS];               /* class * 10000 + value; 0: never seen */
  bool there[IDS], gone[IDS];    /* in the file; noted as deleted */
  long extra[AGAIN_EXTRAS + 1];  /* its number, 0: not there */
  int intents[AGAIN_EXTRAS + 1]; /* dispatches in this life */
  char pending; /* a change that was begun: 'A', 'D', 'P' or 0 */
  long pending_keys[AGAIN_GROUP];
  job jobs[CAPS][IDS];
  int64_t run, counting; /* the session's; the one whose jobs are counted */
  bool finished;
  int life, crashes;
  long log_at;
} known;

static known k;
static long in_runs, in_changes, given_up;

static void own(long id, int class_, long n) {
  long owner = class_ * 10000L + n + 1;
  if (id < 1 || id >= IDS) fail_msg("number %ld", id);
  if (k.owner[id] && k.owner[id] != owner)
    fail_msg("number %ld belongs to %ld and to %ld", id, k.owner[id], owner);
  if (k.gone[id]) fail_msg("number %ld was deleted and is seen again", id);
  k.owner[id] = owner;
}

static int class_of(long id) {
  return (int)((k.owner[id] - 1) / 10000);
}

/* --- the log of a life --------------------------------------------------- */
static void read_job(int cap, long n, long id) {
  own(id, again_caps[cap].class_, n);
  job *j = &k.jobs[cap][id];
  int most = cap == SLEEPY ? 2 : cap == KEEP_AGAIN ? 1 + k.intents[n] : 1;
  bool over = j->done && (!again_always(cap) || j->run == k.counting);
  if (over) most = cap == KEEP_AGAIN ? k.intents[n] : 0;
  j->ran++;
  j->ever++;
  if (++j->in_life > most)
    fail_msg("life %d: %s of %ld (%ld) ran %d times%s", k.life,
             again_caps[cap].name, n, id, j->in_life, over ? ", was done" : "");
  if (cap != SLEEPY && cap != LATE) return;
  for (int before = EARLY; before < cap; before++) {
    const job *b = &k.jobs[before][id];
    if (!b->ran && !b->failed)
      fail_msg("life %d: %s of %ld ran ahead of %s", k.life,
               again_caps[cap].name, n, again_caps[before].name);
  }
}

static void appended(long extra, long id, bool fresh) {
  long before = k.extra[extra];
  if (fresh ? before != 0 : before != id)
    fail_msg("life %d: extra %ld was %ld, is %ld", k.life, extra, before, id);
  if (fresh && k.there[id]) fail_msg("number %ld is taken", id);
  own(id, EXTRA, extra);
  k.extra[extra] = id;
}

static void deleted(long extra) {
  if (!k.extra[extra])
    fail_msg("life %d: extra %ld was deleted, was not there", k.life, extra);
  k.gone[k.extra[extra]] = true;
  k.extra[extra] = 0;
}

static void not_there(const long keys[AGAIN_GROUP]) {
  for (int i = 0; i < AGAIN_GROUP; i++)
    if (keys[i] && !k.extra[keys[i]]) return;
  fail_msg("life %d: extra %ld was not found, was there", k.life, keys[0]);
}

static void read_change(char what, const long v[AGAIN_GROUP]) {
  k.pending = strchr("ADP", what) ? what : 0;
  memcpy(k.pending_keys, v, sizeof(k.pending_keys));
  if (what == 'A') k.intents[v[0]]++;
  if (what == 'a') appended(v[0], v[1], v[2] != 0);
  if (what == 'd') deleted(v[0]);
  for (int i = 0; what == 'p' && i < AGAIN_GROUP; i++)
    if (v[i]) deleted(v[i]);
  if (what == 'n') not_there(v);
  if (what == 'c' && !k.extra[v[0]])
    fail_msg("life %d: extra %ld runs, was not there", k.life, v[0]);
}

static void read_log(void) {
  char path[300], line[AGAIN_LINE + 1] = "";
  snprintf(path, sizeof(path), "%s/log", dir);
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  assert_int_equal(fseek(file, k.log_at, SEEK_SET), 0);
  memset(k.intents, 0, sizeof(k.intents));
  for (int cap = 0; cap < CAPS; cap++)
    for (int id = 0; id < IDS; id++) k.jobs[cap][id].in_life = 0;
  k.pending = 0;
  for (; fread(line, AGAIN_LINE, 1, file) == 1; k.log_at += AGAIN_LINE) {
    int life;
    char what;
    long v[AGAIN_GROUP];
    assert_int_equal(
        sscanf(line, "%d %c %ld %ld %ld", &life, &what, &v[0], &v[1], &v[2]),
        2 + AGAIN_GROUP);
    assert_int_equal(life, k.life);
    if (what == 'J')
      read_job((int)v[0], v[1], v[2]);
    else
      read_change(what, v);
  }
  fclose(file);
}

/* --- the file after a life ----------------------------------------------- */
static sqlite3 *db;

static sqlite3_stmt *ask(const char *sql) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
    fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  return stmt;
}

static bool row(sqlite3_stmt *stmt) {
  int rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) fail_msg("%s", sqlite3_errmsg(db));
  sqlite3_finalize(stmt);
  return false;
}

static const char *text(sqlite3_stmt *stmt, int column) {
  const char *at = (const char *)sqlite3_column_text(stmt, column);
  return at ? at : "";
}

static int class_named(const char *name) {
  for (int i = 0; i < CLASSES; i++)
    if (strcmp(name, again_classes[i]) == 0) return i;
  fail_msg("class %s", name);
  return -1;
}

static int cap_named(const char *name) {
  for (int i = 0; i < CAPS; i++)
    if (strcmp(name, again_caps[i].name) == 0) return i;
  fail_msg("capability %s", name);
  return -1;
}

/* The change that was begun last is about it. */
static bool is_open(long extra) {
  for (int i = 0; k.pending && i < (k.pending == 'P' ? AGAIN_GROUP : 1); i++)
    if (k.pending_keys[i] == extra) return true;
  return false;
}

static void look_at_extras(const long now[AGAIN_EXTRAS + 1]) {
  for (long e = 1; e <= AGAIN_EXTRAS; e++) {
    long before = k.extra[e];
    bool open = is_open(e);
    if (now[e] == before) continue;
    if (!open || (k.pending == 'A') != (before == 0) || (before && now[e]))
      fail_msg("life %d: extra %ld was %ld, is %ld", k.life, e, before, now[e]);
    if (before) k.gone[before] = true;
    k.extra[e] = now[e];
  }
  in_changes += k.pending != 0;
}

/* All of the keys, or none: some may not have been there, then none is gone. */
static void look_at_group(const long now[AGAIN_EXTRAS + 1]) {
  bool all = true;
  int went = 0, count = 0;
  for (int i = 0; k.pending == 'P' && i < AGAIN_GROUP; i++) {
    long e = k.pending_keys[i];
    if (!e) continue;
    count++;
    all = all && k.extra[e];
    went += k.extra[e] && !now[e];
  }
  if (went && (!all || went != count))
    fail_msg("life %d: %d of %d were deleted", k.life, went, count);
}

static void look_at_assets(void) {
  long now[AGAIN_EXTRAS + 1] = {0}, leaves = 0, counts[CLASSES] = {0};
  bool nodes[AGAIN_NODES + 1] = {false};
  sqlite3_stmt *stmt = ask("SELECT id, class, value FROM assets");
  memset(k.there, 0, sizeof(k.there));
  while (row(stmt)) {
    long id = (long)sqlite3_column_int64(stmt, 0);
    int class_ = class_named(text(stmt, 1));
    long n = atol(text(stmt, 2));
    own(id, class_, n);
    counts[class_]++;
    k.there[id] = true;
    if (class_ == EXTRA && now[n]) fail_msg("extra %ld is there twice", n);
    if (class_ == NODE && nodes[n]) fail_msg("node %ld is there twice", n);
    if (class_ == EXTRA) now[n] = id;
    if (class_ == NODE) nodes[n] = true;
    leaves += class_ == LEAF;
  }
  for (int n = 1; n <= AGAIN_NODES; n++)
    if (nodes[n] != k.wanted[n]) fail_msg("life %d: node %d", k.life, n);
  assert_int_equal(leaves, k.leaves);
  look_at_group(now);
  look_at_extras(now);
  stmt = ask("SELECT name, assets FROM class");
  while (row(stmt))
    assert_int_equal(sqlite3_column_int64(stmt, 1),
                     counts[class_named(text(stmt, 0))]);
}

/* Of each capability: all, completed, failed. */
typedef long tally[CAPS][3];

static void look_at_job(sqlite3_stmt *stmt, tally counted) {
  long id = (long)sqlite3_column_int64(stmt, 0);
  int cap = cap_named(text(stmt, 1));
  job *j = &k.jobs[cap][id];
  j->done = strcmp(text(stmt, 2), "completed") == 0;
  j->run = sqlite3_column_int64(stmt, 3);
  counted[cap][0]++;
  counted[cap][1] += j->done;
  counted[cap][2] += j->failed;
  if (!k.there[id])
    fail_msg("%s of %ld without asset", again_caps[cap].name, id);
  if (j->done && !j->ever)
    fail_msg("%s of %ld never ran", again_caps[cap].name, id);
  if (strcmp(text(stmt, 2), "failed") != 0) return;
  assert_true(j->failed);
  if (strcmp(text(stmt, 4), "crashed the runtime") != 0 || k.crashes < 3)
    fail_msg("%s of %ld: %s", again_caps[cap].name, id, text(stmt, 4));
}

static void look_at_jobs(void) {
  tally counted = {{0}};
  sqlite3_stmt *stmt =
      ask("SELECT v.id >> 12, v.capability, v.state, j.run, v.reason"
          " FROM jobs v LEFT JOIN job j ON j.asset = v.id >> 12"
          " AND j.capability = v.id & 4095");
  while (row(stmt)) look_at_job(stmt, counted);
  stmt = ask("SELECT p.name, l.total, l.completed, l.failed FROM lane l"
             " JOIN capability p ON p.id = l.capability");
  while (row(stmt)) {
    int cap = cap_named(text(stmt, 0));
    for (int i = 0; i < 3; i++)
      if (sqlite3_column_int64(stmt, i + 1) != counted[cap][i])
        fail_msg("life %d: %s: %ld of %d, counted as %ld", k.life,
                 again_caps[cap].name, counted[cap][i], i,
                 (long)sqlite3_column_int64(stmt, i + 1));
  }
  stmt = ask("SELECT count(*) FROM job WHERE asset NOT IN"
             " (SELECT id FROM asset)");
  while (row(stmt)) assert_int_equal(sqlite3_column_int64(stmt, 0), 0);
}

/* What was leased at three crashes is given up. Before the log is read: that
 * was when the life began. */
static void look_at_failed(void) {
  sqlite3_stmt *stmt =
      ask("SELECT j.asset, p.name FROM job j JOIN capability p ON"
          " p.id = j.capability WHERE j.state = 'failed'");
  for (int cap = 0; cap < CAPS; cap++)
    for (int id = 1; id < IDS; id++) k.jobs[cap][id].failed = false;
  while (row(stmt)) {
    int64_t id = sqlite3_column_int64(stmt, 0);
    assert_in_range(id, 1, IDS - 1);
    k.jobs[cap_named(text(stmt, 1))][id].failed = true;
  }
}

static void look_at_state(void) {
  sqlite3_stmt *stmt = ask("SELECT name, value FROM meta"
                           " WHERE name IN ('state', 'run')");
  while (row(stmt)) {
    if (strcmp(text(stmt, 0), "run") == 0)
      k.run = atol(text(stmt, 1));
    else
      k.finished = strcmp(text(stmt, 1), "finished") == 0;
  }
}

/* --- runs ---------------------------------------------------------------- */
/* Which run the next life that opens the session is in, and what is to run. */
static void begin_run(void) {
  int64_t next = k.finished ? k.run + 1 : k.run;
  if (next == k.counting) return;
  k.counting = next;
  for (int cap = 0; cap < CAPS; cap++)
    for (int id = 1; id < IDS; id++) {
      job *j = &k.jobs[cap][id];
      j->ran = 0;
      j->due = k.there[id] && again_always(cap) &&
               class_of(id) == again_caps[cap].class_ &&
               !(j->done && j->run == next);
    }
}

static void check_run(void) {
  if (k.run < k.counting || (k.run == k.counting && !k.finished)) return;
  for (int cap = 0; cap < CAPS; cap++)
    for (int id = 1; id < IDS; id++) {
      const job *j = &k.jobs[cap][id];
      if (!j->due || !k.there[id]) continue;
      given_up += !j->ran && j->failed;
      if (!j->ran && !j->failed)
        fail_msg("life %d: %s of %d did not run in run %ld", k.life,
                 again_caps[cap].name, id, (long)k.counting);
    }
}

static void look(void) {
  char path[300];
  snprintf(path, sizeof(path), "%s/" AGAIN_NAME ".sqlite", dir);
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
                   SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  look_at_failed();
  read_log();
  look_at_assets();
  look_at_jobs();
  look_at_state();
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  check_run();
  begin_run();
}

/* --- lives --------------------------------------------------------------- */
static unsigned dice;

static long below(long n) {
  return rand_r(&dice) % n;
}

static bool live_once(int how, long n, int flags) {
  char text[5][32];
  char *argv[] = {self, dir, text[0], text[1], text[2], text[3], text[4], NULL};
  k.life++;
  snprintf(text[0], sizeof(text[0]), "%ld", seed);
  snprintf(text[1], sizeof(text[1]), "%d", k.life);
  snprintf(text[2], sizeof(text[2]), "%d", how);
  snprintf(text[3], sizeof(text[3]), "%ld", how == KILLED ? 0 : n);
  snprintf(text[4], sizeof(text[4]), "%d", flags);
  pid_t pid = crash_begin(argv);
  if (how == KILLED && n) {
    usleep((useconds_t)n);
    kill(pid, SIGKILL);
  }
  bool ended = crash_end(pid, n != 0);
  k.crashes += !ended;
  look();
  in_runs += !ended && !k.finished;
  return ended;
}

static long when(int how) {
  switch (how) {
  case KILLED:
    return (1000 + below(below(3) ? 60000 : 250000)) * (SANITIZED ? 4 : 1);
  case AT_STATEMENT:
    return 1 + below(below(2) ? 100 : 6000);
  case PRUNE_WRITE:
    return 1 + below(12);
  case PRUNE:
    return 1 + below(60);
  default:
    return 1 + below(below(2) ? 15 : 150);
  }
}

/* One session to its end; `fired` counts how its lives ended early. */
static void run_session(int fired[HOWS], int lives, bool wide) {
  memset(&k, 0, sizeof(k));
  seed = below(60000);
  again_closure(seed, k.wanted);
  k.leaves = wide ? AGAIN_LEAVES : 0;
  crash_folder(dir, sizeof(dir));
  assert_true(live_once(KILLED, 0, FIRST | (wide ? WIDE : 0)));
  for (int i = 0; i < lives; i++) {
    int how = (int)below(HOWS);
    fired[how] += !live_once(how, when(how), 0);
  }
  assert_true(live_once(KILLED, 0, 0));
  assert_true(k.finished);
  assert_true(live_once(KILLED, 0, QUIET));
  assert_true(k.finished);
  print_message("graph %ld: %d crashes, run %ld\n", seed, k.crashes,
                (long)k.run);
  crash_remove(dir);
}

static void what_runs_again_is_not_lost(void **state) {
  const char *given = getenv("CRASH_ROUNDS"), *from = getenv("CRASH_SEED");
  int rounds = given ? atoi(given) : 2 * ENDINGS, fired[HOWS] = {0};
  (void)state;
  dice = from    ? (unsigned)atol(from)
         : given ? (unsigned)time(NULL) ^ ((unsigned)getpid() << 8)
                 : 1;
  print_message("CRASH_SEED=%u\n", dice);
  for (int at = 0; at < rounds; at += ENDINGS)
    run_session(fired, rounds - at < ENDINGS ? rounds - at : ENDINGS,
                at / ENDINGS % 2 == 0);
  print_message("killed %d, at a write %d, in a write %d, at a statement %d, "
                "pruning %d and %d\n",
                fired[KILLED], fired[AT_WRITE], fired[TORN_WRITE],
                fired[AT_STATEMENT], fired[PRUNE_WRITE], fired[PRUNE]);
  print_message("in a run %ld, in a change %ld; given up %ld\n", in_runs,
                in_changes, given_up);
}

int main(int argc, char **argv) {
  if (argc == 7) {
    again_life l = {argv[1],       atol(argv[2]), atol(argv[5]),
                    atoi(argv[3]), atoi(argv[4]), atoi(argv[6])};
    return again_live(&l);
  }
  if (!crash_self(self, sizeof(self))) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_runs_again_is_not_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
