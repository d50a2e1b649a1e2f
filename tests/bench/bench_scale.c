/* bench_scale.c - what a session costs when it grows.
 *
 *   flow   ITEMS assets, dispatched one by one, each run as a no-op and
 *          completed, 2,000 on their way: speed of each tenth, memory, bytes
 *   open   a session with ITEMS queued jobs whose owner was killed while a
 *          reader made its log grow: how long until it is open, until its first
 *          job runs, until all have run
 *   slow   A at 10 a second and B without a rate, on the same ITEMS / 5 assets:
 *          B's time beside that of a session with B alone, memory
 *
 * Usage: bench_scale [flow|open|slow|all [ITEMS]]; the size also by
 * BENCH_SCALE. CPU time is steadier than the clock on a machine that others
 * use too.
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "bench_assets.h"
#include "dispatcher/session.h"

#define FLIGHT 2000
#define PARTS  10

static char dir[200];

static double seconds(void) {
  return (double)rt__now_ns() * 1e-9;
}

/* Of the program, on all cores. */
static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double file_mb(const char *name) {
  char path[300];
  struct stat st;
  snprintf(path, sizeof(path), "%s/%s", dir, name);
  return stat(path, &st) == 0 ? (double)st.st_size / 1e6 : 0;
}

/* A line of /proc/self/status, in MB. */
static double status_mb(const char *name) {
  char line[200];
  double kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof(line), file)) {
    if (strncmp(line, name, strlen(name)) == 0) {
      kb = strtod(line + strlen(name) + 1, NULL);
    }
  }
  if (file) fclose(file);
  return kb / 1024;
}

static void check(rt_err rc, const rt_error *err) {
  if (rc == RT_OK) return;
  fprintf(stderr, "bench_scale: %s\n", err->message);
  exit(1);
}

/* --- an engine whose jobs do nothing --------------------------------- */
typedef struct bench {
  rt__engine *engine;
  rt_registry *registry;
  atomic_long ran_a, ran_b;
  atomic_llong first_ns; /* when the first job ran */
  long want_b;
  bool flow; /* there is room again when a job runs, not when it is queued */
  uv_sem_t b_through, room;
} bench;

static void on_start(void *self, rt__order *order) {
  bench *b = self;
  rt__end end = {
      .lease = order->lease, .kind = RT__END_COMPLETED, .seconds = 1e-6};
  long long none = 0;
  atomic_compare_exchange_strong(&b->first_ns, &none, (long long)rt__now_ns());
  if (strcmp(order->capability->name, "slow") == 0) {
    atomic_fetch_add(&b->ran_a, 1);
  } else if (atomic_fetch_add(&b->ran_b, 1) + 1 == b->want_b) {
    uv_sem_post(&b->b_through);
  }
  rt__engine_end(order->engine, order->session, &end);
  rt__order_free(order);
  if (b->flow) uv_sem_post(&b->room);
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

static void add_cap(bench *b, const char *name, double rate) {
  rt_error err = RT_ERROR_INIT;
  const char *node = "node";
  rt_capability_opts cap = RT_CAPABILITY_OPTS_INIT;
  cap.name = name;
  cap.input = cap.output = &node;
  cap.input_count = cap.output_count = 1;
  cap.rate = rate;
  cap.invoke = never;
  check(rt_registry_add(b->registry, &cap, &err), &err);
}

static bench *bench_new(void) {
  bench *b = calloc(1, sizeof(*b));
  rt__executor executor = {b, on_start, on_prepare, on_cancel, NULL};
  rt_error err = RT_ERROR_INIT;
  uv_sem_init(&b->b_through, 0);
  uv_sem_init(&b->room, FLIGHT);
  check(rt__registry_new(&b->registry, NULL, &err), &err);
  check(rt__engine_new(&b->engine, NULL, NULL, b->registry, &executor, &err),
        &err);
  return b;
}

static void bench_free(bench *b) {
  rt__engine_stop(b->engine, 1);
  rt__engine_free(b->engine);
  rt__registry_free(b->registry);
  uv_sem_destroy(&b->b_through);
  uv_sem_destroy(&b->room);
  free(b);
}

static rt_session *open_session(bench *b, const char *name, bool paused) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_session *s = NULL;
  opts.name = name;
  opts.dir = dir;
  opts.concurrency = 1024;
  opts.paused = paused;
  check(rt__session_open(&s, b->engine, &opts, &err), &err);
  return s;
}

static void close_session(rt_session *s) {
  rt_session_close(s);
  rt_session_unref(s);
}

static void on_dispatched(rt_err code, const rt_error *err, rt_value *result,
                          void *arg) {
  bench *b = arg;
  rt_value_unref(result);
  check(code, err);
  if (!b->flow) uv_sem_post(&b->room);
}

static void dispatch(bench *b, rt_session *s, long from, long upto) {
  for (long i = from; i < upto; i++) {
    rt_value *asset = asset_of(i);
    uv_sem_wait(&b->room);
    rt_session_dispatch_async(s, asset, NULL, on_dispatched, b);
    rt_value_unref(asset);
  }
}

static void all_dispatched(bench *b) {
  for (int i = 0; i < FLIGHT; i++) uv_sem_wait(&b->room);
  for (int i = 0; i < FLIGHT; i++) uv_sem_post(&b->room);
}

/* --- flow ------------------------------------------------------------ */
static void flow(long items) {
  bench *b = bench_new();
  rt_error err = RT_ERROR_INIT;
  double first = 0, last = 0, first_cpu = 1, last_cpu = 1, begin = seconds();
  b->flow = true;
  add_cap(b, "noop", 0);
  rt_session *s = open_session(b, "flow", false);
  printf("%10s %12s %10s %10s %10s %10s\n", "assets", "assets/s", "CPU us",
         "RSS MB", "file MB", "log MB");
  for (int part = 0; part < PARTS; part++) {
    double start = seconds(), cpu = cpu_seconds();
    dispatch(b, s, items / PARTS * part, items / PARTS * (part + 1));
    all_dispatched(b);
    if (part == PARTS - 1) check(rt_session_wait(s, -1, NULL, &err), &err);
    last = (double)(items / PARTS) / (seconds() - start);
    last_cpu = (cpu_seconds() - cpu) / (double)(items / PARTS) * 1e6;
    if (part == 0) first = last, first_cpu = last_cpu;
    printf("%10ld %12.0f %10.1f %10.0f %10.0f %10.0f\n",
           items / PARTS * (part + 1), last, last_cpu, status_mb("VmRSS:"),
           file_mb("flow.sqlite"), file_mb("flow.sqlite-wal"));
    fflush(stdout);
  }
  printf("dispatched to completed, FULL           %.0f/s\n",
         (double)items / (seconds() - begin));
  printf("last tenth / first tenth                %.2f\n", last / first);
  printf("the same by CPU time                    %.2f\n",
         first_cpu / last_cpu);
  printf("resident at its most                    %.0f MB\n",
         status_mb("VmHWM:"));
  close_session(s);
  bench_free(b);
  printf("bytes on disk per asset                 %.0f\n",
         file_mb("flow.sqlite") * 1e6 / (double)items);
}

/* --- open ------------------------------------------------------------ */
/* Somebody who reads from now on: the log cannot be taken into the file. */
static void hold_log(void) {
  char path[300];
  sqlite3 *db = NULL;
  snprintf(path, sizeof(path), "%s/open.sqlite", dir);
  if (sqlite3_open(path, &db) != SQLITE_OK ||
      sqlite3_exec(db, "BEGIN; SELECT max(id) FROM asset", NULL, NULL, NULL) !=
          SQLITE_OK) {
    exit(1);
  }
}

/* Queues ITEMS, the last of them while the log grows, and waits to be killed.
 */
static void queue_up(long items, int tell) {
  bench *b = bench_new();
  add_cap(b, "noop", 0);
  rt_session *s = open_session(b, "open", true);
  long held = items / 5 < 100000 ? items / 5 : 100000;
  dispatch(b, s, 0, items - held);
  all_dispatched(b);
  hold_log();
  dispatch(b, s, items - held, items);
  all_dispatched(b);
  if (write(tell, "x", 1) != 1) exit(1);
  for (;;) pause();
}

static void open_killed(long items) {
  int tell[2];
  char word;
  if (pipe(tell) != 0) exit(1);
  double start = seconds();
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) queue_up(items, tell[1]);
  if (child < 0 || read(tell[0], &word, 1) != 1) exit(1);
  printf("queued while paused                     %.0f/s\n",
         (double)items / (seconds() - start));
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  double log = file_mb("open.sqlite-wal");
  bench *b = bench_new();
  add_cap(b, "noop", 0);
  start = seconds();
  long long begin = (long long)rt__now_ns();
  rt_session *s = open_session(b, "open", false);
  double opened = seconds() - start;
  while (!atomic_load(&b->first_ns)) usleep(200);
  printf("open with %ld queued, log of %.0f MB  %.0f ms\n", items, log,
         opened * 1e3);
  printf("first job after                         %.0f ms\n",
         (double)(atomic_load(&b->first_ns) - begin) * 1e-6);
  start = seconds();
  rt_value *stats = NULL;
  rt_error err = RT_ERROR_INIT;
  check(rt_session_stats(s, &stats, &err), &err);
  printf("stats                                   %.1f ms\n",
         (seconds() - start) * 1e3);
  rt_value_unref(stats);
  start = seconds();
  check(rt_session_wait(s, -1, NULL, &err), &err);
  printf("queued ones run and completed           %.0f/s\n",
         (double)items / (seconds() - start));
  printf("resident at its most                    %.0f MB\n",
         status_mb("VmHWM:"));
  close_session(s);
  bench_free(b);
  close(tell[0]);
  close(tell[1]);
}

/* --- slow ------------------------------------------------------------ */
static double beside(long items, bool with_slow, long *ran_a) {
  bench *b = bench_new();
  b->want_b = items;
  if (with_slow) add_cap(b, "slow", 10);
  add_cap(b, "quick", 0);
  rt_session *s = open_session(b, with_slow ? "beside" : "alone", false);
  double start = seconds();
  dispatch(b, s, 0, items);
  uv_sem_wait(&b->b_through);
  double rate = (double)items / (seconds() - start);
  *ran_a = atomic_load(&b->ran_a);
  rt_error err = RT_ERROR_INIT;
  all_dispatched(b);
  check(rt_session_cancel(s, "enough", true, &err), &err);
  close_session(s);
  bench_free(b);
  return rate;
}

static void slow(long items) {
  long ran_a;
  double alone = beside(items, false, &ran_a);
  double before = status_mb("VmRSS:");
  double with = beside(items, true, &ran_a);
  printf("B alone, %ld assets                 %.0f/s\n", items, alone);
  printf("B beside A at 10/s                      %.0f/s, %.2f of that\n", with,
         with / alone);
  printf("A's jobs when B was through             %ld\n", ran_a);
  printf("resident, before and with A waiting     %.0f, %.0f MB\n", before,
         status_mb("VmRSS:"));
}

static void clean(void) {
  char command[300];
  snprintf(command, sizeof(command), "rm -rf '%s'", dir);
  if (system(command) != 0) exit(1);
}

int main(int argc, char **argv) {
  const char *tmp = getenv("TMP"), *size = getenv("BENCH_SCALE");
  const char *what = argc > 1 ? argv[1] : "all";
  long items = argc > 2 ? atol(argv[2]) : size ? atol(size) : 500000;
  bool all = strcmp(what, "all") == 0;
  snprintf(dir, sizeof(dir), "%s/bench-scale-XXXXXX", tmp ? tmp : "/tmp");
  if (items < PARTS || !mkdtemp(dir)) return 1;
  if (all || strcmp(what, "flow") == 0) flow(items);
  if (all || strcmp(what, "open") == 0) open_killed(items);
  if (all || strcmp(what, "slow") == 0) slow(items / 5);
  clean();
  return 0;
}
