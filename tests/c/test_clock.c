/* test_clock.c - the wall clock is set back and forth: what is delayed stays
 * delayed as long as was meant, neither for ever nor not at all.
 * This program has a clock_gettime of its own, which counts its use.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine_kit.h"

static atomic_long shift; /* seconds the wall clock is wrong */
static atomic_long asked;

int clock_gettime(clockid_t clock, struct timespec *out) {
  int rc = (int)syscall(SYS_clock_gettime, clock, out);
  if (rc == 0 && clock == CLOCK_REALTIME) {
    out->tv_sec += atomic_load(&shift);
    atomic_fetch_add(&asked, 1);
  }
  return rc;
}

static atomic_int runs;

static void sleepy(kit_job *job, rt__end *end) {
  if (job->order->lease.attempt == 1 && atomic_fetch_add(&runs, 1) == 0) {
    end->kind = RT__END_SNOOZED;
    end->delay = atof(job->value);
  }
}

static void flaky(kit_job *job, rt__end *end) {
  (void)job;
  if (atomic_fetch_add(&runs, 1) > 0) return;
  end->kind = RT__END_FAILED;
  end->error = kit_error("again", "UNAVAILABLE", true);
}

static rt_session *begin(kit *k, kit_fn fn, const char *value) {
  atomic_store(&runs, 0);
  atomic_store(&asked, 0);
  kit_cap(k, "late", (kit_opts){.input = "a", .retries = 2, .fn = fn});
  rt_session *s = kit_open(k, "clock", NULL);
  assert_int_equal(kit_dispatch(s, "a", value), RT_QUEUED);
  KIT_UNTIL(atomic_load(&runs) == 1 && kit_stat(s, "running") == 0);
  return s;
}

static void end(kit *k, rt_session *s) {
  assert_true(atomic_load(&asked) > 0);
  atomic_store(&shift, 0);
  kit_close(s);
  kit_stop(k);
}

/* A retry comes within seconds, whatever the wall clock does meanwhile. */
static void set_back_while_it_runs(void **state) {
  kit *k = kit_start(state);
  rt_session *s = begin(k, flaky, "x");
  atomic_store(&shift, -86400);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 1);
  end(k, s);
}

static void set_forth_while_it_runs(void **state) {
  kit *k = kit_start(state);
  rt_session *s = begin(k, sleepy, "3600");
  atomic_store(&shift, 86400);
  assert_int_equal(rt_session_wait(s, 2.5, NULL, NULL), RT_ETIMEOUT);
  assert_int_equal(atomic_load(&runs), 1);
  end(k, s);
}

/* Set back by a day between two openings: it waits a second, not a day. */
static void set_back_in_between(void **state) {
  kit *k = kit_start(state);
  rt_session *s = begin(k, sleepy, "1");
  kit_close(s);
  atomic_store(&shift, -86400);
  s = kit_open(k, "clock", NULL);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 1);
  end(k, s);
}

/* And not at once either. */
static void what_sleeps_for_long_still_sleeps(void **state) {
  kit *k = kit_start(state);
  rt_session *s = begin(k, sleepy, "3600");
  kit_close(s);
  atomic_store(&shift, -86400);
  s = kit_open(k, "clock", NULL);
  assert_int_equal(rt_session_wait(s, 1.5, NULL, NULL), RT_ETIMEOUT);
  assert_int_equal(atomic_load(&runs), 1);
  end(k, s);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(set_back_while_it_runs),
      cmocka_unit_test(set_forth_while_it_runs),
      cmocka_unit_test(set_back_in_between),
      cmocka_unit_test(what_sleeps_for_long_still_sleeps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
