/* test_model.c - anything at any time: jobs that end in every way, assets
 * deleted, sessions paused, resumed, drained and opened again; then the sums
 * must be right, and what the rows say.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <uv.h>

#include "engine_kit.h"

#define SESSIONS 3
#define NODES    300
#define STEPS    60

static atomic_uint noise;

static unsigned any(unsigned below) {
  unsigned x = atomic_fetch_add(&noise, 0x9e3779b9u);
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  return x % below;
}

static void send_children(kit_job *job, long upto) {
  long n = atol(job->value);
  for (long child = 2 * n; child <= upto && child <= 2 * n + 1; child++) {
    char text[32];
    snprintf(text, sizeof(text), "%ld", child);
    kit_send(job, "node", text);
  }
}

/* Ends somehow, half of its results sent; at last it sends all of them. */
static void moody(kit_job *job, rt__end *end) {
  unsigned mood = any(12);
  if (mood < 6 && job->order->lease.attempt <= 2) {
    send_children(job, mood < 3 ? NODES : 0);
  }
  if (mood < 2 && job->order->lease.attempt <= 2) {
    end->kind = RT__END_FAILED;
    end->error = kit_error("moody", "UNAVAILABLE", true);
  } else if (mood == 2) {
    end->kind = RT__END_SNOOZED;
    end->delay = 0.001 * any(20);
  } else if (mood == 3) {
    end->kind = RT__END_INTERRUPTED;
  } else {
    if (mood == 4) usleep(any(2000));
    send_children(job, NODES);
  }
}

static void picky(kit_job *job, rt__end *end) {
  if (atol(job->value) % 3 == 0) {
    end->kind = RT__END_SKIPPED;
    end->reason = strdup("a third");
  } else if (atol(job->value) % 7 == 0) {
    end->kind = RT__END_FAILED;
    end->error = kit_error("no", "INTERNAL", false);
  }
}

static void quiet(kit_job *job, rt__end *end) {
  (void)job, (void)end;
}

static const char *const names[SESSIONS] = {"a", "b", "c"};

static rt_session *open_one(kit *k, int i) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = i == 0 ? 3 : 64;
  o.grace = 20; /* what runs ends by itself */
  return kit_open(k, names[i], &o);
}

/* Wherever its jobs stand; one of them may be running. */
static void delete_one(rt_session *s) {
  char key[32];
  rt_error why = RT_ERROR_INIT;
  snprintf(key, sizeof(key), "node:%u", 1 + any(NODES));
  rt_err rc = rt_session_delete(s, key, &why);
  if (rc != RT_OK && rc != RT_ENOTFOUND && rc != RT_ECONFLICT) {
    fail_msg("%s: %s", key, why.message);
  }
}

static void disturb(kit *k, rt_session **s, int i) {
  switch (any(8)) {
  case 0:
    rt_session_pause(*s);
    break;
  case 1:
    rt_session_resume(*s);
    break;
  case 2:
    KIT_OK(rt_session_cancel(*s, "for now", false, err));
    kit_close(*s);
    *s = open_one(k, i);
    break;
  case 3:
    kit_close(*s);
    *s = open_one(k, i);
    break;
  case 4:
  case 5:
    for (unsigned n = any(20); n > 0; n--) delete_one(*s);
    break;
  default:
    rt_session_resume(*s);
    kit_dispatch(*s, "node", "1");
    usleep(any(10000));
  }
}

static int64_t expected_skipped(void) {
  return NODES / 3;
}

static int64_t expected_failed(void) {
  int64_t count = 0;
  for (int i = 1; i <= NODES; i++) count += i % 3 != 0 && i % 7 == 0;
  return count;
}

static int64_t rows(kit *k, const char *name, const char *state) {
  rt_report *report = NULL;
  rt_value *page = NULL;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_jobs(report, state, NULL, "", 10000, &page, err));
  int64_t count = rt_view_count(rt_view_get(rt_value_view(page), "jobs"));
  rt_value_unref(page);
  rt_report_close(report);
  return count;
}

/* What was deleted may have led to nothing yet: all are dispatched. */
static void check(kit *k, rt_session *s, int i) {
  char text[32];
  rt_session_resume(s);
  for (int n = 1; n <= NODES; n++) {
    snprintf(text, sizeof(text), "%d", n);
    kit_dispatch(s, "node", text);
  }
  kit_wait(s);
  assert_int_equal(kit_assets(k, names[i]), NODES);
  assert_int_equal(kit_stat(s, "work_items_total"), 3 * NODES);
  assert_int_equal(kit_stat(s, "work_items_completed"), 3 * NODES);
  assert_int_equal(kit_stat(s, "queued"), 0);
  assert_int_equal(kit_stat(s, "running"), 0);
  assert_int_equal(kit_stat(s, "skipped"), expected_skipped());
  assert_int_equal(kit_stat(s, "failed"), expected_failed());
  assert_int_equal(rows(k, names[i], NULL), 3 * NODES);
  assert_int_equal(rows(k, names[i], "skipped"), expected_skipped());
  assert_int_equal(rows(k, names[i], "failed"), expected_failed());
}

static void the_sums_are_right(void **state) {
  kit *k = kit_start(state);
  rt_session *s[SESSIONS];
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)atol(given) : 1;
  atomic_store(&noise, seed);
  print_message("seed %u\n", seed);
  kit_cap(k, "moody", (kit_opts){.retries = 5, .fn = moody});
  kit_cap(k, "picky",
          (kit_opts){.fn = picky, .priority = 7, .max_instances = 3});
  kit_cap(k, "last", (kit_opts){.priority = 9, .rate = 2000, .fn = quiet});
  for (int i = 0; i < SESSIONS; i++) s[i] = open_one(k, i);
  for (int step = 0; step < STEPS; step++) {
    int i = (int)any(SESSIONS);
    disturb(k, &s[i], i);
  }
  for (int i = 0; i < SESSIONS; i++) check(k, s[i], i);
  for (int i = 0; i < SESSIONS; i++) kit_close(s[i]);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_sums_are_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
