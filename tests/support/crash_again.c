/* crash_again.c - what one life does, see crash_again.h.
 * SPDX-License-Identifier: MIT */
#include "crash_again.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"
#include "rt/rt.h"

const char *const again_classes[CLASSES] = {"node", "leaf", "spreader",
                                            "extra"};
const again_cap again_caps[CAPS] = {
    {"early", "node", "node", "always", 2, NODE},
    {"sleepy", "node", "node", "always", 5, NODE},
    {"late", "node", NULL, "always", 9, NODE},
    {"once", "node", NULL, "once", 5, NODE},
    {"daily", "node", NULL, "after:24h", 5, NODE},
    {"fan", "spreader", "leaf", "once", 5, SPREADER},
    {"often", "leaf", NULL, "always", 5, LEAF},
    {"keep", "extra", NULL, "once", 5, EXTRA},
    {"keep_again", "extra", NULL, "always", 6, EXTRA}};

bool again_always(int cap) {
  return strcmp(again_caps[cap].rerun, "always") == 0;
}

/* The life of this process. */
static again_life of;
static int log_fd = -1;
static unsigned noise;

/* --- the graph: what EARLY and SLEEPY send ------------------------------- */
static long mix(int cap, long n, long i) {
  long h = (of.seed + n * 31 + cap * 7919 + i * 10473) % 65537;
  for (int k = 0; k < 3; k++) h = (h * 75 + 74) % 65537;
  return h;
}

static long child_count(int cap, long n) {
  return cap > SLEEPY ? 0 : mix(cap, n, 0) % 3;
}

static long child_of(int cap, long n, long i) {
  return mix(cap, n, i) % AGAIN_NODES + 1;
}

void again_closure(long seed, bool in[AGAIN_NODES + 1]) {
  long list[AGAIN_NODES];
  int count = 0;
  of.seed = seed;
  memset(in, 0, sizeof(bool) * (AGAIN_NODES + 1));
  in[1] = true;
  list[count++] = 1;
  for (int at = 0; at < count; at++)
    for (int cap = 0; cap <= SLEEPY; cap++)
      for (long i = 1; i <= child_count(cap, list[at]); i++) {
        long n = child_of(cap, list[at], i);
        if (in[n]) continue;
        in[n] = true;
        list[count++] = n;
      }
}

/* --- one life ------------------------------------------------------------ */
#define MUST(call)                                                             \
  do {                                                                         \
    rt_error err = RT_ERROR_INIT;                                              \
    if ((call) != RT_OK) {                                                     \
      fprintf(stderr, "%s: %s\n", #call, err.message);                         \
      exit(3);                                                                 \
    }                                                                          \
  } while (0)

static void note(char what, long a, long b, long c) {
  char line[AGAIN_LINE + 1], text[AGAIN_LINE];
  snprintf(text, sizeof(text), "%d %c %ld %ld %ld", of.life, what, a, b, c);
  snprintf(line, sizeof(line), "%-63s\n", text);
  if (write(log_fd, line, AGAIN_LINE) != AGAIN_LINE) exit(3);
}

static rt_value *asset_value(int class_, long n) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  char text[32];
  snprintf(text, sizeof(text), "%ld", n);
  rt_builder_begin_map(b);
  rt_builder_key(b, "class");
  rt_builder_string(b, again_classes[class_]);
  rt_builder_key(b, "value");
  rt_builder_string(b, text);
  rt_builder_end(b);
  MUST(rt_builder_finish(b, &value, &err));
  rt_builder_free(b);
  return value;
}

static void key_of(char key[32], long extra) {
  snprintf(key, 32, "%s:%ld", again_classes[EXTRA], extra);
}

static rt_err send_one(rt_job *job, int class_, long n, rt_error *failure) {
  rt_value *value = asset_value(class_, n);
  rt_err rc;
  while ((rc = rt_job_send(job, value, failure)) == RT_EFULL) usleep(1000);
  rt_value_unref(value);
  return rc;
}

/* SLEEPY sleeps once in a life on some nodes. */
static bool sleeps(int cap, long n) {
  static atomic_bool slept[AGAIN_NODES + 1];
  return cap == SLEEPY && mix(cap, n, 9) % 4 == 0 &&
         !atomic_exchange(&slept[n], true);
}

static void invoke(rt_job *job, void *arg) {
  int cap = (int)(intptr_t)arg;
  size_t size;
  rt_error failure = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  rt_view asset = rt_value_view(rt_job_asset(job));
  long n = atol(rt_view_string(rt_view_get(asset, "value"), &size));
  note('J', cap, n, (long)(rt_job_id(job) / 4096));
  for (long i = 1; i <= child_count(cap, n) && rc == RT_OK; i++)
    rc = send_one(job, NODE, child_of(cap, n, i), &failure);
  for (long i = 1; cap == FAN && i <= AGAIN_LEAVES && rc == RT_OK; i++)
    rc = send_one(job, LEAF, i, &failure);
  if (sleeps(cap, n)) {
    rt_job_snooze(job, 0.005);
    return;
  }
  rt_job_complete(job, rc == RT_OK ? NULL : &failure);
}

static void add_capabilities(rt_runtime *rt) {
  for (int cap = 0; cap < CAPS; cap++) {
    rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
    o.name = again_caps[cap].name;
    o.input = &again_caps[cap].input;
    o.output = &again_caps[cap].output;
    o.input_count = 1;
    o.output_count = again_caps[cap].output != NULL;
    o.rerun = again_caps[cap].rerun;
    o.priority = again_caps[cap].priority;
    o.invoke = invoke;
    o.arg = (void *)(intptr_t)cap;
    MUST(rt_registry_add(rt_runtime_registry(rt), &o, &err));
  }
}

static rt_outcome dispatch(rt_session *s, int class_, long n) {
  rt_value *value = asset_value(class_, n);
  rt_outcome outcome;
  MUST(rt_session_dispatch(s, value, NULL, &outcome, &err));
  rt_value_unref(value);
  return outcome;
}

static void append(rt_session *s, rt_report *report, long extra) {
  char key[32];
  rt_value *out = NULL;
  key_of(key, extra);
  note('A', extra, 0, 0);
  rt_outcome outcome = dispatch(s, EXTRA, extra);
  if (outcome != RT_QUEUED && outcome != RT_DUPLICATE) exit(3);
  MUST(rt_report_asset(report, key, &out, &err));
  int64_t id = rt_view_int(rt_view_get(rt_value_view(out), "id"), 0);
  rt_value_unref(out);
  note('a', extra, (long)id, outcome == RT_QUEUED);
}

static void take_away(rt_session *s, long extra) {
  char key[32];
  rt_error err = RT_ERROR_INIT;
  key_of(key, extra);
  note('D', extra, 0, 0);
  rt_err rc = rt_session_delete(s, key, &err);
  if (rc != RT_OK && rc != RT_ENOTFOUND && rc != RT_ECONFLICT) {
    fprintf(stderr, "delete: %s\n", err.message);
    exit(3);
  }
  note(rc == RT_OK ? 'd' : rc == RT_ENOTFOUND ? 'n' : 'c', extra, 0, 0);
}

static int prune(void) {
  char keys[AGAIN_GROUP][32];
  const char *list[AGAIN_GROUP];
  long first = rand_r(&noise) % AGAIN_EXTRAS, k[AGAIN_GROUP];
  int count = 1 + rand_r(&noise) % AGAIN_GROUP;
  rt_error err = RT_ERROR_INIT;
  for (int i = 0; i < AGAIN_GROUP; i++) {
    k[i] = i < count ? (first + i) % AGAIN_EXTRAS + 1 : 0;
    key_of(keys[i], k[i]);
    list[i] = keys[i];
  }
  note('P', k[0], k[1], k[2]);
  rt_err rc = rt_session_prune(of.dir, AGAIN_NAME, list, (size_t)count, &err);
  if (rc == RT_OK || rc == RT_ENOTFOUND) {
    note(rc == RT_OK ? 'p' : 'n', k[0], k[1], k[2]);
    return 0;
  }
  fprintf(stderr, "prune: %s\n", err.message);
  return 3;
}

/* What is taken away is often what came last, whose number is the highest. */
static void change_one(rt_session *s, rt_report *report) {
  static long last = 1;
  long extra = rand_r(&noise) % AGAIN_EXTRAS + 1;
  if (rand_r(&noise) % 2) {
    append(s, report, last = extra);
  } else {
    take_away(s, rand_r(&noise) % 2 ? last : extra);
  }
}

static int work(int flags) {
  rt_runtime_opts ro = RT_RUNTIME_OPTS_INIT;
  rt_session_opts so = RT_SESSION_OPTS_INIT;
  rt_runtime *rt = NULL;
  rt_session *s = NULL;
  rt_report *report = NULL;
  ro.workers = 2;
  MUST(rt_runtime_new(&rt, &ro, &err));
  add_capabilities(rt);
  so.name = AGAIN_NAME;
  so.dir = of.dir;
  so.paused = !(flags & QUIET) && rand_r(&noise) % 2;
  so.concurrency = 4u << (rand_r(&noise) % 5);
  MUST(rt_session_open(&s, rt, &so, &err));
  if (flags & FIRST) dispatch(s, NODE, 1);
  if ((flags & FIRST) && (flags & WIDE)) dispatch(s, SPREADER, 1);
  MUST(rt_report_open(&report, of.dir, AGAIN_NAME, &err));
  for (int i = 0; !(flags & QUIET) && i < AGAIN_OPS; i++) {
    if (rand_r(&noise) % 2) usleep((unsigned)rand_r(&noise) % 5000);
    if (rand_r(&noise) % 5 == 0) rt_session_resume(s);
    change_one(s, report);
  }
  rt_session_resume(s);
  MUST(rt_session_wait(s, 120, NULL, &err));
  rt_report_close(report);
  rt_session_close(s);
  rt_session_unref(s);
  rt_runtime_stop(rt, 0);
  rt_runtime_free(rt);
  return 0;
}

int again_live(const again_life *l) {
  char path[300];
  of = *l;
  snprintf(path, sizeof(path), "%s/log", of.dir);
  log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  noise = (unsigned)of.seed ^ (unsigned)of.life * 40503u;
  bool prunes = of.how == PRUNE || of.how == PRUNE_WRITE;
  if (of.n && (of.how == PRUNE || of.how == AT_STATEMENT)) {
    crash_at_statement(of.n);
  } else if (of.n) {
    crash_at_write(of.n, of.how == TORN_WRITE);
  }
  return prunes ? prune() : work(of.flags);
}
