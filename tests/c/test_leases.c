/* test_leases.c - a lease speaks for one run of a job: not for a later attempt,
 * not for a later run of the same attempt, not for another opening.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "engine_kit.h"

static rt__order first_order;
static atomic_int runs;
static atomic_bool remembered, let_go;

static void remember(const rt__order *order) {
  first_order = *order;
  atomic_store(&remembered, true);
}

/* The first run is remembered, and ends as `how`; the second stays. */
static void runs_twice(kit_job *job, rt__end *end, int how) {
  if (atomic_fetch_add(&runs, 1) == 0) {
    remember(job->order);
    end->kind = how;
    end->delay = 0.001;
    if (how == RT__END_FAILED) end->error = kit_error("again", "TIMEOUT", true);
    return;
  }
  KIT_UNTIL(atomic_load(&let_go));
}

static void fails_first(kit_job *job, rt__end *end) {
  runs_twice(job, end, RT__END_FAILED);
}

static void snoozes_first(kit_job *job, rt__end *end) {
  runs_twice(job, end, RT__END_SNOOZED);
}

static void stays(kit_job *job, rt__end *end) {
  (void)end;
  if (atomic_fetch_add(&runs, 1) == 0) remember(job->order);
  KIT_UNTIL(atomic_load(&let_go));
}

/* Neither a result nor an end by the first lease, while the second run stays.
 */
static void refused(kit *k, rt_session *s) {
  KIT_UNTIL(atomic_load(&remembered) && atomic_load(&runs) == 2);
  kit_job late = {.k = k, .order = &first_order};
  rt__end end = {.lease = first_order.lease, .kind = RT__END_COMPLETED};
  first_order.session = s;
  assert_string_equal(kit_send(&late, "b", "too late"), "CANCELED");
  rt__engine_end(k->engine, s, &end);
  assert_int_equal(kit_stat(s, "running"), 1);
  assert_int_equal(kit_stat(s, "work_items_completed"), 0);
  atomic_store(&let_go, true);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "work_items_completed"), 1);
}

static void one_run_after_another(void **state, kit_fn fn) {
  kit *k = kit_start(state);
  atomic_store(&runs, 0);
  atomic_store(&remembered, false);
  atomic_store(&let_go, false);
  kit_cap(k, "twice",
          (kit_opts){.input = "a", .output = "b", .retries = 1, .fn = fn});
  rt_session *s = kit_open(k, "twice", NULL);
  kit_dispatch(s, "a", "x");
  refused(k, s);
  assert_int_equal(kit_assets(k, "twice"), 1);
  kit_close(s);
  kit_stop(k);
}

static void of_an_earlier_attempt(void **state) {
  one_run_after_another(state, fails_first);
}

static void of_the_same_attempt(void **state) {
  one_run_after_another(state, snoozes_first);
}

static void of_an_earlier_opening(void **state) {
  kit *k = kit_start(state);
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  atomic_store(&runs, 0);
  atomic_store(&remembered, false);
  atomic_store(&let_go, false);
  opts.grace = 0.05;
  kit_cap(k, "stays", (kit_opts){.input = "a", .output = "b", .fn = stays});
  rt_session *s = kit_open(k, "twice", &opts);
  kit_dispatch(s, "a", "x");
  KIT_UNTIL(atomic_load(&runs) == 1);
  rt_session_close(s); /* its job does not end: the lease is taken back */
  rt_session_unref(s);
  s = kit_open(k, "twice", NULL);
  refused(k, s);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_an_earlier_attempt),
      cmocka_unit_test(of_the_same_attempt),
      cmocka_unit_test(of_an_earlier_opening),
  };
  kit_main(argc, argv);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
