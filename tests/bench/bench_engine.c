/* bench_engine.c - the durable queue, against the two patterns it must beat.
 *
 * In one run, on one disk, as items a second from dispatch to completed:
 *   per statement   one statement, one transaction an operation
 *   SQLite limit    asset rows with a hash index, completion as an update,
 *                   1,000 mixed steps a transaction, nothing else
 *   engine          dispatch, dedup, lease, no-op job, completed, FULL
 * and the time of one hop: result sent -> next job running.
 * Usage: bench_engine [ITEMS]
 * SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "bench_assets.h"
#include "dispatcher/session.h"

#define HOPS 2000

static char dir[200];

static double seconds(void) {
  return (double)rt__now_ns() * 1e-9;
}

static void must(sqlite3 *db, const char *sql) {
  char *why = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK) return;
  fprintf(stderr, "%s: %s\n", sql, why);
  exit(1);
}

static sqlite3 *open_db(const char *name, const char *schema) {
  char path[300];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/%s.db", dir, name);
  if (sqlite3_open(path, &db) != SQLITE_OK) exit(1);
  must(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
           "PRAGMA cache_size=-65536");
  must(db, schema);
  return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK) return stmt;
  fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
  exit(1);
}

static void run(sqlite3_stmt *stmt) {
  while (sqlite3_step(stmt) == SQLITE_ROW) {
  }
  sqlite3_reset(stmt);
}

/* --- one transaction a statement ------------------------------------- */
static double per_statement(long items) {
  sqlite3 *db = open_db(
      "statement",
      "CREATE TABLE element(id INTEGER PRIMARY KEY, created_at REAL,"
      " updated_at REAL, etype TEXT, entity_id TEXT UNIQUE, processed BOOL);"
      "CREATE INDEX e1 ON element(created_at);"
      "CREATE INDEX e2 ON element(etype);"
      "CREATE INDEX e3 ON element(processed)");
  sqlite3_stmt *has =
      prepare(db, "SELECT count(*) FROM element WHERE entity_id=?1");
  sqlite3_stmt *add =
      prepare(db, "INSERT INTO element(created_at,updated_at,etype,entity_id,"
                  "processed) VALUES(?2,?2,'node',?1,0)");
  sqlite3_stmt *done = prepare(
      db, "UPDATE element SET processed=1,updated_at=?2 WHERE entity_id=?1");
  double start = seconds();
  for (long i = 0; i < items; i++) {
    char key[64];
    snprintf(key, sizeof(key), "node:host-%ld.example", i);
    sqlite3_stmt *const all[] = {has, add, done};
    for (int k = 0; k < 3; k++) {
      sqlite3_bind_text(all[k], 1, key, -1, SQLITE_TRANSIENT);
      if (k > 0) sqlite3_bind_double(all[k], 2, seconds());
      run(all[k]);
    }
  }
  double rate = (double)items / (seconds() - start);
  sqlite3_finalize(has);
  sqlite3_finalize(add);
  sqlite3_finalize(done);
  sqlite3_close(db);
  return rate;
}

/* --- what SQLite can do ---------------------------------------------- */
static int64_t mix(int64_t n) {
  uint64_t x = (uint64_t)n * 0x9e3779b97f4a7c15ull;
  return (int64_t)(x ^ x >> 29);
}

static double sqlite_limit(long items) {
  sqlite3 *db = open_db(
      "limit", "CREATE TABLE asset(id INTEGER PRIMARY KEY, class INTEGER,"
               " value TEXT, hash INTEGER, parent INTEGER, capability INTEGER,"
               " done INTEGER, metadata, created INTEGER);"
               "CREATE INDEX asset_hash ON asset(hash)");
  sqlite3_stmt *find = prepare(db, "SELECT id,value FROM asset WHERE hash=?1");
  sqlite3_stmt *add =
      prepare(db, "INSERT INTO asset VALUES(?1,1,?2,?3,?4,1,0,NULL,?5)");
  sqlite3_stmt *done = prepare(db, "UPDATE asset SET done=1 WHERE id=?1");
  double start = seconds();
  must(db, "BEGIN");
  for (long i = 1; i <= items; i++) {
    char value[64];
    int size = snprintf(value, sizeof(value), "host-%ld.example", i);
    sqlite3_bind_int64(find, 1, mix(i));
    run(find);
    sqlite3_bind_int64(add, 1, i);
    sqlite3_bind_text(add, 2, value, size, SQLITE_STATIC);
    sqlite3_bind_int64(add, 3, mix(i));
    sqlite3_bind_int64(add, 4, i / 2);
    sqlite3_bind_int64(add, 5, 1700000000000 + i);
    run(add);
    if (i > 500) { /* completed half a transaction later */
      sqlite3_bind_int64(done, 1, i - 500);
      run(done);
    }
    if (i % 500 == 0) must(db, "COMMIT; BEGIN");
  }
  must(db, "COMMIT");
  double rate = (double)items / (seconds() - start);
  sqlite3_finalize(find);
  sqlite3_finalize(add);
  sqlite3_finalize(done);
  sqlite3_close(db);
  return rate;
}

/* --- the engine ------------------------------------------------------ */
/* An executor that ends jobs at once; a hop sends one result first. */
typedef struct bench {
  bool hop;
  long hops;
  double sent, times[HOPS];
} bench;

static void on_sent(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  (void)code, (void)err, (void)arg;
  rt_value_unref(result);
}

static void on_start(void *self, rt__order *order) {
  bench *b = self;
  rt__end end = {
      .lease = order->lease, .kind = RT__END_COMPLETED, .seconds = 1e-6};
  if (b->hop) {
    double now = seconds();
    if (b->hops > 0 && b->hops <= HOPS) b->times[b->hops - 1] = now - b->sent;
    if (b->hops++ < HOPS) {
      rt_value *asset = asset_of(1000000000 + b->hops);
      b->sent = seconds();
      rt__engine_send(order->engine, order->session, order->lease, asset,
                      on_sent, NULL);
      rt_value_unref(asset);
    }
  }
  rt__engine_end(order->engine, order->session, &end);
  rt__order_free(order);
}

static void on_prepare(void *self, rt__prepare *batch) {
  (void)self;
  rt__engine_prepared(batch->engine, batch);
}

static void on_cancel(void *self, rt_session *session, rt__lease lease,
                      const char *reason, bool kill) {
  (void)self, (void)session, (void)lease, (void)reason, (void)kill;
}

static void never(rt_job *job, void *arg) {
  (void)job, (void)arg;
}

static void fail(const rt_error *err) {
  fprintf(stderr, "bench_engine: %s\n", err->message);
  exit(1);
}

static rt_session *open_session(rt__engine *engine, const char *name) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_session *s = NULL;
  opts.name = name;
  opts.dir = dir;
  opts.concurrency = 1024;
  if (rt__session_open(&s, engine, &opts, &err) != RT_OK) fail(&err);
  return s;
}

typedef struct flow {
  uv_sem_t room;
} flow;

static void on_dispatched(rt_err code, const rt_error *err, rt_value *result,
                          void *arg) {
  (void)code, (void)err;
  rt_value_unref(result);
  uv_sem_post(&((flow *)arg)->room);
}

/* Dispatched one by one, 2,000 on their way. */
static double engine_rate(rt__engine *engine, long items) {
  flow f;
  rt_error err = RT_ERROR_INIT;
  uv_sem_init(&f.room, 2000);
  rt_session *s = open_session(engine, "rate");
  double start = seconds();
  for (long i = 0; i < items; i++) {
    rt_value *asset = asset_of(i);
    uv_sem_wait(&f.room);
    rt_session_dispatch_async(s, asset, NULL, on_dispatched, &f);
    rt_value_unref(asset);
  }
  for (int i = 0; i < 2000; i++) uv_sem_wait(&f.room);
  if (rt_session_wait(s, -1, NULL, &err) != RT_OK) fail(&err);
  double rate = (double)items / (seconds() - start);
  rt_session_close(s);
  rt_session_unref(s);
  uv_sem_destroy(&f.room);
  return rate;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void hop_times(rt__engine *engine, bench *b) {
  rt_error err = RT_ERROR_INIT;
  rt_session *s = open_session(engine, "hops");
  rt_value *seed = asset_of(0);
  b->hop = true;
  rt_session_dispatch(s, seed, NULL, NULL, &err);
  rt_value_unref(seed);
  if (rt_session_wait(s, -1, NULL, &err) != RT_OK) fail(&err);
  rt_session_close(s);
  rt_session_unref(s);
  qsort(b->times, HOPS, sizeof(double), by_size);
}

static double file_size(const char *name) {
  char path[300];
  struct stat st;
  snprintf(path, sizeof(path), "%s/%s", dir, name);
  return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

int main(int argc, char **argv) {
  long items = argc > 1 ? atol(argv[1]) : 300000;
  const char *tmp = getenv("TMP");
  snprintf(dir, sizeof(dir), "%s/bench-engine-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(dir)) return 1;
  bench *b = calloc(1, sizeof(*b));
  rt__executor executor = {b, on_start, on_prepare, on_cancel, NULL};
  rt__engine *engine = NULL;
  rt_registry *registry = NULL;
  rt_error err = RT_ERROR_INIT;
  const char *node = "node";
  rt_capability_opts cap = RT_CAPABILITY_OPTS_INIT;
  cap.name = "noop";
  cap.input = cap.output = &node;
  cap.input_count = cap.output_count = 1;
  cap.invoke = never;
  if (rt__registry_new(&registry, NULL, &err) != RT_OK ||
      rt__engine_new(&engine, NULL, NULL, registry, &executor, &err) != RT_OK ||
      rt_registry_add(registry, &cap, &err) != RT_OK) {
    fail(&err);
  }
  double slow = per_statement(items / 60 + 100);
  double limit = sqlite_limit(items);
  double ours = engine_rate(engine, items);
  printf("items, dispatched to completed, FULL    %ld\n", items);
  printf("per statement                           %.0f/s\n", slow);
  printf("SQLite limit, batches of 1,000          %.0f/s\n", limit);
  printf("engine                                  %.0f/s\n", ours);
  printf("engine / per statement                  %.1f\n", ours / slow);
  printf("engine / SQLite limit                   %.2f\n", ours / limit);
  printf("bytes on disk per asset                 %.0f\n",
         file_size("rate.sqlite") / (double)items);
  hop_times(engine, b);
  printf("hop, result sent to next job running    p50 %.2f ms  p99 %.2f ms\n",
         b->times[HOPS / 2] * 1e3, b->times[HOPS * 99 / 100] * 1e3);
  rt__engine_stop(engine, 1);
  rt__engine_free(engine);
  rt__registry_free(registry);
  free(b);
  char command[300];
  snprintf(command, sizeof(command), "rm -rf '%s'", dir);
  return system(command) == 0 ? 0 : 1;
}
