/* test_crash.c - kill -9 at any instant, resume, the same set (property test).
 *
 * Random graphs that expand themselves, from a printed seed, one for each of
 * two sessions, are worked on by capabilities in Lua and in C. Meanwhile the
 * sessions are paused, resumed, canceled and opened again. A life of the
 * program ends at a random moment: killed from outside, at a write of SQLite's,
 * in the middle of a write, or between two statements of a transaction. The
 * next life goes on. In the end: the assets are those a plain loop computes,
 * each once; every job ran; what had been completed in one life did not run in
 * a later one; what was known in one life still is; within a life a job runs
 * again only after its lease was taken back.
 *
 * The program runs itself as the life that ends: test_crash life HOW N
 * Environment: CRASH_ROUNDS (20: lives that end early), CRASH_SEED (1; with
 * CRASH_ROUNDS another each time).
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "crash.h"
#include "rt/rt.h"

#define SESSIONS 2
#define NODES    200 /* of each session */
#define ALL      (SESSIONS * NODES)
#define PAGE     500
#define SEED_N   3    /* how many nodes it begins with */
#define TAKEN    CAPS /* in the log: all leases of a session were taken back */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOWER 4
#else
#define SLOWER 1
#endif

enum { SLOW, FLAKY, SLEEPY, DIRECT, LATE, GATED, CAPS };
static const char *const cap_names[CAPS] = {"slow",   "flaky", "sleepy",
                                            "direct", "late",  "gated"};
static const char *const names[SESSIONS] = {"crash", "twin"};
enum { KILLED, AT_WRITE, TORN_WRITE, AT_STATEMENT, HOWS };

static char self[512], dir[256];
static long seed;

/* --- the graph ---------------------------------------------------------------
 */

/* As in tests/support/crash_caps.lua. */
static long mix(int cap, long n, long i) {
  long h = (seed + n * 31 + cap * 7919 + i * 10473) % 65537;
  for (int k = 0; k < 3; k++) h = (h * 75 + 74) % 65537;
  return h;
}

static long child_count(int cap, long n) {
  return cap > DIRECT ? 0 : mix(cap, n, 0) % 3;
}

static long child_of(int cap, long n, long i) {
  return mix(cap, n, i) % NODES + 1 + (n - 1) / NODES * NODES;
}

static long first_node(int session, int i) {
  return mix(40 + session, i, 7) % NODES + 1 + (long)session * NODES;
}

/* The set a plain loop computes; its size. */
static int closure(bool in[ALL + 1]) {
  int list[ALL], count = 0;
  memset(in, 0, sizeof(bool) * (ALL + 1));
  for (int i = 0; i < SESSIONS * SEED_N; i++) {
    long first = first_node(i / SEED_N, i % SEED_N);
    if (in[first]) continue;
    in[first] = true;
    list[count++] = (int)first;
  }
  for (int at = 0; at < count; at++)
    for (int cap = 0; cap < CAPS; cap++)
      for (long i = 1; i <= child_count(cap, list[at]); i++) {
        long n = child_of(cap, list[at], i);
        if (in[n]) continue;
        in[n] = true;
        list[count++] = (int)n;
      }
  return count;
}

/* --- one life ----------------------------------------------------------------
 */

#define MUST(call)                                                             \
  do {                                                                         \
    rt_error err = RT_ERROR_INIT;                                              \
    if ((call) != RT_OK) {                                                     \
      fprintf(stderr, "%s: %s\n", #call, err.message);                         \
      exit(3);                                                                 \
    }                                                                          \
  } while (0)

static rt_value *node_value(long n) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  char text[32];
  snprintf(text, sizeof(text), "%ld", n);
  rt_builder_begin_map(b);
  rt_builder_key(b, "class");
  rt_builder_string(b, "node");
  rt_builder_key(b, "value");
  rt_builder_string(b, text);
  rt_builder_end(b);
  MUST(rt_builder_finish(b, &value, &err));
  rt_builder_free(b);
  return value;
}

static void note(int cap, long n, unsigned attempt) {
  char path[300], line[80];
  int size = snprintf(line, sizeof(line), "%s %d %ld %u\n",
                      getenv("CRASH_LIFE"), cap, n, attempt);
  snprintf(path, sizeof(path), "%s/log", dir);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, line, (size_t)size) != size) exit(3);
  close(fd);
}

static void invoke(rt_job *job, void *arg) {
  int cap = (int)(intptr_t)arg;
  size_t size;
  rt_error failure = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  rt_view asset = rt_value_view(rt_job_asset(job));
  long n = atol(rt_view_string(rt_view_get(asset, "value"), &size));
  note(cap, n, rt_job_attempt(job));
  for (long i = 1; i <= child_count(cap, n) && rc == RT_OK; i++) {
    rt_value *value = node_value(child_of(cap, n, i));
    while ((rc = rt_job_send(job, value, &failure)) == RT_EFULL) usleep(1000);
    rt_value_unref(value);
  }
  rt_job_complete(job, rc == RT_OK ? NULL : &failure);
}

static void add_capabilities(rt_runtime *rt) {
  static const char *const node[] = {"node"};
  size_t loaded = 0;
  MUST(rt_registry_load(rt_runtime_registry(rt), "tests/support/crash_caps.lua",
                        NULL, NULL, &loaded, &err));
  for (int cap = DIRECT; cap <= LATE; cap++) {
    rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
    o.name = cap_names[cap];
    o.input = o.output = node;
    o.input_count = o.output_count = 1;
    o.invoke = invoke;
    o.arg = (void *)(intptr_t)cap;
    if (cap == LATE) {
      o.priority = 9;
      o.max_instances = 4;
    }
    MUST(rt_registry_add(rt_runtime_registry(rt), &o, &err));
  }
}

static unsigned noise;

static void open_one(rt_runtime *rt, rt_session **s, int i) {
  rt_session_opts so = RT_SESSION_OPTS_INIT;
  so.name = names[i];
  so.dir = dir;
  so.grace = 0.1;
  so.concurrency = 4u << (rand_r(&noise) % 5);
  MUST(rt_session_open(s, rt, &so, &err));
  for (int k = 0; k < SEED_N; k++) {
    rt_value *value = node_value(first_node(i, k));
    rt_outcome outcome;
    MUST(rt_session_dispatch(*s, value, NULL, &outcome, &err));
    rt_value_unref(value);
  }
}

static void close_one(rt_session **s) {
  rt_session_close(*s);
  rt_session_unref(*s);
  *s = NULL;
}

/* Pause, resume, or cancel and open again. */
static void disturb(rt_runtime *rt, rt_session **s, int i) {
  int what = rand_r(&noise) % 8;
  if (what == 0) rt_session_pause(*s);
  if (what < 3) usleep((unsigned)rand_r(&noise) % 10000);
  if (what == 1) MUST(rt_session_cancel(*s, "for now", false, &err));
  if (what == 1 || what == 2) {
    close_one(s);
    note(TAKEN, i + 1, 0);
    open_one(rt, s, i);
  }
  rt_session_resume(*s);
}

static int live(const char *how, long n) {
  rt_runtime_opts ro = RT_RUNTIME_OPTS_INIT;
  rt_runtime *rt = NULL;
  rt_session *s[SESSIONS];
  bool over[SESSIONS] = {false};
  noise = (unsigned)seed ^ (unsigned)atoi(getenv("CRASH_LIFE")) * 40503u;
  if (atoi(how) == AT_WRITE || atoi(how) == TORN_WRITE)
    crash_at_write(n, atoi(how) == TORN_WRITE);
  if (atoi(how) == AT_STATEMENT) crash_at_statement(n);
  ro.workers = 2;
  MUST(rt_runtime_new(&rt, &ro, &err));
  add_capabilities(rt);
  for (int i = 0; i < SESSIONS; i++) open_one(rt, &s[i], i);
  for (int turn = 0; !over[0] || !over[1]; turn++) {
    int i = turn % SESSIONS;
    if (over[i]) continue;
    if (turn < 40) disturb(rt, &s[i], i);
    rt_err rc = rt_session_wait(s[i], turn < 40 ? 0.01 : 120, NULL, NULL);
    over[i] = rc == RT_OK;
    if (rc != RT_OK && (rc != RT_ETIMEOUT || turn > 50)) return 3;
  }
  for (int i = 0; i < SESSIONS; i++) close_one(&s[i]);
  rt_runtime_stop(rt, 0);
  rt_runtime_free(rt);
  return 0;
}

/* --- what is known, from the outside ----------------------------------------
 */

typedef struct known {
  bool wanted[ALL + 1], asset[ALL + 1];
  int wanted_count;
  int done_in[CAPS][ALL + 1]; /* the life in which it was completed, or 0 */
  int runs[CAPS][ALL + 1], lives[CAPS][ALL + 1]; /* from the log */
  int crashes;
} known;

static int cap_of(rt_view name) {
  size_t size;
  const char *text = rt_view_string(name, &size);
  for (int cap = 0; cap < CAPS; cap++)
    if (text && strlen(cap_names[cap]) == size &&
        memcmp(text, cap_names[cap], size) == 0)
      return cap;
  fail_msg("an unknown capability");
  return -1;
}

static long node_at(rt_view map, const char *name, size_t skip) {
  size_t size = 0;
  const char *text = rt_view_string(rt_view_get(map, name), &size);
  assert_non_null(text);
  long n = strtol(text + skip, NULL, 10);
  if (n < 1 || n > ALL) fail_msg("node %ld", n);
  return n;
}

static bool is_text(rt_view view, const char *text) {
  size_t size = 0;
  const char *got = rt_view_string(view, &size);
  return got && size == strlen(text) && memcmp(got, text, size) == 0;
}

/* Every asset is wanted, is there once, and none has gone. */
static int read_assets(rt_report *report, known *k, int session) {
  bool seen[ALL + 1] = {false};
  int64_t after = 0;
  int count = 0;
  for (;;) {
    rt_value *page = NULL;
    rt_view item;
    MUST(rt_report_assets(report, after, NULL, PAGE, &page, &err));
    rt_iter iter = rt_iter_of(rt_value_view(page));
    size_t got = iter.left;
    while (rt_iter_next(&iter, NULL, &item)) {
      long n = node_at(item, "value", 0);
      after = rt_view_int(rt_view_get(item, "id"), 0);
      if ((n - 1) / NODES != session) fail_msg("node %ld is foreign", n);
      if (seen[n]) fail_msg("node %ld is there twice", n);
      if (!k->wanted[n]) fail_msg("node %ld is not wanted", n);
      seen[n] = true;
      count++;
    }
    rt_value_unref(page);
    if (got < PAGE) break;
  }
  for (int n = session * NODES + 1; n <= (session + 1) * NODES; n++) {
    if (k->asset[n] && !seen[n]) fail_msg("node %d was lost", n);
    k->asset[n] = seen[n];
  }
  return count;
}

typedef void (*job_fn)(known *k, int cap, long n, rt_view job, int life);

static void each_job(rt_report *report, known *k, int life, job_fn fn) {
  char cursor[200] = "";
  do {
    rt_value *page = NULL;
    rt_view item;
    size_t size = 0;
    MUST(rt_report_jobs(report, NULL, NULL, cursor, PAGE, &page, &err));
    rt_view view = rt_value_view(page);
    rt_iter iter = rt_iter_of(rt_view_get(view, "jobs"));
    while (rt_iter_next(&iter, NULL, &item))
      fn(k, cap_of(rt_view_get(item, "capability")),
         node_at(item, "target", strlen("node:")), item, life);
    const char *text = rt_view_string(rt_view_get(view, "cursor"), &size);
    snprintf(cursor, sizeof(cursor), "%.*s", (int)size, text ? text : "");
    rt_value_unref(page);
  } while (*cursor);
}

static void note_completed(known *k, int cap, long n, rt_view job, int life) {
  bool done = is_text(rt_view_get(job, "state"), "completed");
  if (k->done_in[cap][n] && !done)
    fail_msg("%s of %ld is not completed any more", cap_names[cap], n);
  if (done && !k->done_in[cap][n]) k->done_in[cap][n] = life;
}

static long middles[CRASH_MIDDLES];

/* After a life has ended, whichever way. */
static void look(known *k, int life) {
  for (int i = 0; i < SESSIONS; i++) {
    rt_report *report = NULL;
    rt_error err = RT_ERROR_INIT;
    rt_err rc = rt_report_open(&report, dir, names[i], &err);
    if (rc != RT_OK) { /* it was killed before there was a session */
      for (int n = i * NODES + 1; n <= (i + 1) * NODES; n++)
        if (k->asset[n]) fail_msg("the session is gone: %s", err.message);
      continue;
    }
    read_assets(report, k, i);
    each_job(report, k, life, note_completed);
    rt_report_close(report);
    char path[300];
    snprintf(path, sizeof(path), "%s/%s.sqlite", dir, names[i]);
    crash_middles(path, middles);
  }
}

/* --- in the end
 * --------------------------------------------------------------- */

static void read_log(known *k) {
  static int last_life[CAPS][ALL + 1], last_attempt[CAPS][ALL + 1];
  static int same[CAPS][ALL + 1], last_taken[CAPS][ALL + 1];
  char path[300];
  int life, cap, attempt, taken[SESSIONS] = {0};
  long n;
  memset(last_life, 0, sizeof(last_life));
  memset(k->runs, 0, sizeof(k->runs));
  memset(k->lives, 0, sizeof(k->lives));
  snprintf(path, sizeof(path), "%s/log", dir);
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  while (fscanf(file, "%d %d %ld %d", &life, &cap, &n, &attempt) == 4) {
    assert_in_range(n, 1, ALL);
    if (cap == TAKEN) {
      taken[n - 1]++;
      continue;
    }
    int now = taken[(n - 1) / NODES];
    bool again = last_life[cap][n] == life && last_attempt[cap][n] == attempt &&
                 last_taken[cap][n] == now;
    last_taken[cap][n] = now;
    same[cap][n] = again ? same[cap][n] + 1 : 1;
    if (same[cap][n] > (cap == SLEEPY ? 2 : 1))
      fail_msg("%s of %ld ran again in one life", cap_names[cap], n);
    if (k->done_in[cap][n] && life > k->done_in[cap][n])
      fail_msg("%s of %ld ran in life %d, was completed in %d", cap_names[cap],
               n, life, k->done_in[cap][n]);
    k->lives[cap][n] += last_life[cap][n] != life;
    k->runs[cap][n]++;
    last_life[cap][n] = life;
    last_attempt[cap][n] = attempt;
  }
  fclose(file);
}

static bool crashed_often;

/* What was leased in three crashes may have been given up (it need not have
 * come to its line in the log each time); else all is done. */
static void check_job(known *k, int cap, long n, rt_view job, int life) {
  rt_view state = rt_view_get(job, "state");
  (void)life;
  if (is_text(state, "failed") && k->crashes >= 3 &&
      is_text(rt_view_get(job, "reason"), "crashed the runtime")) {
    crashed_often = true;
    return;
  }
  bool skipped = cap == GATED && n % 2 == 1;
  if (!is_text(state, skipped ? "skipped" : "completed")) {
    size_t size = 0, more = 0;
    const char *is = rt_view_string(state, &size);
    const char *why = rt_view_string(rt_view_get(job, "reason"), &more);
    fail_msg("%s of %ld is %.*s (%.*s), ran %d times in %d lives",
             cap_names[cap], n, (int)size, is ? is : "", (int)more,
             why ? why : "", k->runs[cap][n], k->lives[cap][n]);
  }
  if (!skipped && k->runs[cap][n] < 1)
    fail_msg("%s of %ld never ran", cap_names[cap], n);
}

/* Answers false when jobs were put back and another life is needed. */
static bool verify(known *k) {
  int count = 0;
  bool again = false;
  read_log(k);
  for (int i = 0; i < SESSIONS; i++) {
    rt_report *report = NULL;
    rt_value *status = NULL;
    crashed_often = false;
    MUST(rt_report_open(&report, dir, names[i], &err));
    count += read_assets(report, k, i);
    each_job(report, k, 0, check_job);
    MUST(rt_report_status(report, &status, &err));
    rt_view queued = rt_view_get(rt_value_view(status), "queued");
    assert_int_equal(rt_view_int(queued, -1), 0);
    rt_value_unref(status);
    rt_report_close(report);
    if (!crashed_often) continue;
    int64_t put_back = 0;
    MUST(rt_session_retry(dir, names[i], &put_back, &err));
    assert_true(put_back > 0);
    again = true;
  }
  if (!again) assert_int_equal(count, k->wanted_count);
  return !again;
}

/* --- lives ------------------------------------------------------------------
 */

static unsigned dice;

static long below(long n) {
  return rand_r(&dice) % n;
}

static pid_t begin(int life, int how, long n) {
  char hows[16], ns[32], lives[16];
  char *argv[] = {self, "life", hows, ns, NULL};
  snprintf(hows, sizeof(hows), "%d", how);
  snprintf(ns, sizeof(ns), "%ld", n);
  snprintf(lives, sizeof(lives), "%d", life);
  setenv("CRASH_LIFE", lives, 1);
  return crash_begin(argv);
}

static bool live_once(int life, int how) {
  long n = how == AT_STATEMENT ? 1 + below(below(2) ? 40 : 1500)
                               : 1 + below(below(2) ? 15 : 150);
  pid_t pid = begin(life, how, n);
  if (how == KILLED) {
    usleep((useconds_t)(1000 + below(below(3) ? 150000 : 900000)) * SLOWER);
    kill(pid, SIGKILL);
  }
  return crash_end(pid, true);
}

static void make_dir(void) {
  char text[32];
  crash_folder(dir, sizeof(dir));
  setenv("CRASH_DIR", dir, 1);
  snprintf(text, sizeof(text), "%ld", seed);
  setenv("CRASH_SEED", text, 1);
}

/* One graph to its end. Adds what crashed, and how, to `fired`. */
static void run_graph(int fired[HOWS], int rounds) {
  static known k;
  int life = 1;
  bool finished = false;
  memset(&k, 0, sizeof(k));
  seed = below(60000);
  k.wanted_count = closure(k.wanted);
  make_dir();
  for (; !finished && fired[HOWS] < rounds; life++) {
    int how = fired[HOWS] % HOWS;
    finished = live_once(life, how);
    look(&k, life);
    if (finished) break;
    fired[how]++;
    fired[HOWS]++;
    k.crashes++;
  }
  for (int last = 0; !finished || !verify(&k); last++) {
    assert_true(last < 4);
    life++;
    finished = crash_end(begin(life, KILLED, 0), false);
    look(&k, life);
  }
  print_message("graph %ld: %d nodes, %d crashes\n", seed, k.wanted_count,
                k.crashes);
  crash_remove(dir);
}

static void crash_and_resume_keeps_the_set(void **state) {
  const char *given = getenv("CRASH_ROUNDS"), *from = getenv("CRASH_SEED");
  int rounds = given ? atoi(given) : 20 / SLOWER, fired[HOWS + 1] = {0};
  (void)state;
  dice = from    ? (unsigned)atol(from)
         : given ? (unsigned)time(NULL) ^ ((unsigned)getpid() << 8)
                 : 1;
  print_message("CRASH_SEED=%u\n", dice);
  while (fired[HOWS] < rounds) run_graph(fired, rounds);
  print_message("killed %d, at a write %d, in a write %d, at a statement %d\n",
                fired[KILLED], fired[AT_WRITE], fired[TORN_WRITE],
                fired[AT_STATEMENT]);
  print_message("in the middle of sending %ld, of a retry %ld, asleep %ld; "
                "found again %ld\n",
                middles[CRASH_MID_SEND], middles[CRASH_MID_RETRY],
                middles[CRASH_MID_SNOOZE], middles[CRASH_TWICE]);
  for (int i = 0; i < CRASH_MIDDLES && rounds >= 100; i++)
    assert_true(middles[i] > 0);
  for (int how = 0; how < HOWS && rounds >= 2 * HOWS; how++)
    assert_true(fired[how] > 0);
}

int main(int argc, char **argv) {
  if (!crash_self(self, sizeof(self))) return 1;
  if (argc == 4 && strcmp(argv[1], "life") == 0) {
    snprintf(dir, sizeof(dir), "%s", getenv("CRASH_DIR"));
    seed = atol(getenv("CRASH_SEED"));
    return live(argv[2], atol(argv[3]));
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(crash_and_resume_keeps_the_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
