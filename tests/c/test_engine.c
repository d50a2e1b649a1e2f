/* test_engine.c - the engine with an executor of our own: expansion, ends of
 * jobs, retries, stages, rates, instances, control.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "engine_kit.h"
#include "registry/capability.h"

/* --- a graph that expands itself ------------------------------------- */
static void on_finished(const rt_event *event, void *arg) {
  if (strcmp(event->kind, "session.finished") == 0) {
    atomic_fetch_add((atomic_int *)arg, 1);
  }
}

static void expands_to_the_exact_set(void **state) {
  kit *k = kit_start(state);
  atomic_int finished = 0;
  uint64_t id;
  KIT_OK(rt_bus_subscribe(k->bus, &id, "session", "session.finished",
                          on_finished, &finished, err));
  kit_cap(k, "left", (kit_opts){0});
  kit_cap(k, "right", (kit_opts){0});
  rt_session *s = kit_open(k, "exp", NULL);
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_QUEUED);
  kit_wait(s);
  assert_int_equal(kit_assets(k, "exp"), KIT_NODES);
  assert_int_equal(kit_stat(s, "failed"), 0);
  assert_int_equal(kit_stat(s, "work_items_completed"), 2 * KIT_NODES);
  KIT_UNTIL(atomic_load(&finished) == 1);
  assert_int_equal(kit_dispatch(s, "node", "7"), RT_DUPLICATE);
  kit_wait(s); /* a round of its own */
  KIT_UNTIL(atomic_load(&finished) == 2);
  kit_close(s);
  kit_stop(k);
}

static void seeds_without_work_finish(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "left", (kit_opts){0});
  const char *scope[] = {"*.lab.test"};
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.scope = scope;
  o.scope_count = 1;
  rt_session *s = kit_open(k, "none", &o);
  assert_int_equal(kit_dispatch(s, "thing", "a.lab.test"), RT_STORED);
  assert_int_equal(kit_dispatch(s, "thing", "a.lab.test"), RT_DUPLICATE);
  assert_int_equal(kit_dispatch(s, "node", "elsewhere"), RT_OUT_OF_SCOPE);
  assert_int_equal(kit_dispatch(s, "no class", "x"), RT_EINVAL);
  assert_int_equal(kit_dispatch(s, "thing", ""), RT_EINVAL);
  assert_int_equal(kit_dispatch(s, "thing", "a\nb"), RT_EINVAL);
  assert_int_equal(kit_dispatch(s, "thing", "\xff"), RT_EINVAL);
  kit_wait(s);
  kit_close(s);
  kit_stop(k);
}

/* --- ends of jobs ---------------------------------------------------- */
static void flaky(kit_job *job, rt__end *end) {
  if (job->order->lease.attempt < 3) {
    end->kind = RT__END_FAILED;
    end->error = kit_error("not yet", "UNAVAILABLE", true);
  }
}

static void broken(kit_job *job, rt__end *end) {
  (void)job;
  end->kind = RT__END_FAILED;
  end->error = kit_error("no way", "INTERNAL", false);
}

static void undeclared(kit_job *job, rt__end *end) {
  (void)end;
  assert_string_equal(kit_send(job, "ghost", "boo"), "INVALID");
}

static void dozing(kit_job *job, rt__end *end) {
  static atomic_int times;
  assert_int_equal(job->order->lease.attempt, 1);
  if (atomic_fetch_add(&times, 1) > 0) return;
  end->kind = RT__END_SNOOZED;
  end->delay = 0.02;
}

static void unwilling(kit_job *job, rt__end *end) {
  (void)job;
  end->kind = RT__END_SKIPPED;
  end->reason = strdup("not today");
}

static int64_t jobs_in(kit *k, const char *session, const char *state,
                       const char *reason) {
  rt_report *report = NULL;
  rt_value *page = NULL;
  int64_t count = 0;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  KIT_OK(rt_report_jobs(report, state, NULL, "", 1000, &page, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(page), "jobs"));
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) {
    size_t size = 0;
    const char *text = rt_view_string(rt_view_get(item, "reason"), &size);
    if (reason) {
      assert_non_null(text);
      assert_int_equal(size, strlen(reason));
      assert_memory_equal(text, reason, size);
    }
    count++;
  }
  rt_value_unref(page);
  rt_report_close(report);
  return count;
}

static void every_end_has_its_state(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "flaky", (kit_opts){.input = "a", .retries = 2, .fn = flaky});
  kit_cap(k, "broken", (kit_opts){.input = "b", .retries = 2, .fn = broken});
  kit_cap(k, "ghost", (kit_opts){.input = "c", .fn = undeclared});
  kit_cap(k, "dozing", (kit_opts){.input = "d", .fn = dozing});
  kit_cap(k, "unwilling", (kit_opts){.input = "e", .fn = unwilling});
  kit_cap(k, "tired", (kit_opts){.input = "f", .retries = 1, .fn = flaky});
  rt_session *s = kit_open(k, "ends", NULL);
  const char *classes[] = {"a", "b", "c", "d", "e", "f"};
  for (int i = 0; i < 6; i++) kit_dispatch(s, classes[i], "x");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 2);
  assert_int_equal(kit_stat(s, "failed"), 3);
  assert_int_equal(kit_stat(s, "skipped"), 1);
  assert_int_equal(jobs_in(k, "ends", "completed", NULL), 2);
  assert_int_equal(jobs_in(k, "ends", "failed", NULL), 3);
  assert_int_equal(jobs_in(k, "ends", "skipped", "not today"), 1);
  kit_close(s);
  int64_t count = 0;
  KIT_OK(rt_session_retry(k->dir, "ends", &count, err));
  assert_int_equal(count, 3);
  s = kit_open(k, "ends", NULL);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "failed"), 3);
  kit_close(s);
  kit_stop(k);
}

/* A lease is over when its job has ended. */
static rt__order last_order;

static void remembered(kit_job *job, rt__end *end) {
  (void)end;
  last_order = *job->order;
}

static void a_stale_lease_is_refused(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "remembered", (kit_opts){.input = "a", .fn = remembered});
  rt_session *s = kit_open(k, "stale", NULL);
  kit_dispatch(s, "a", "x");
  kit_wait(s);
  kit_job late = {.k = k, .order = &last_order};
  last_order.session = s;
  assert_string_equal(kit_send(&late, "node", "too late"), "CANCELED");
  rt__end end = {.lease = last_order.lease, .kind = RT__END_COMPLETED};
  rt__engine_end(k->engine, s, &end);
  assert_int_equal(kit_stat(s, "work_items_completed"), 1);
  assert_int_equal(kit_assets(k, "stale"), 1);
  rt_session_close(s);
  assert_string_equal(kit_send(&late, "node", "later still"), "CANCELED");
  rt_session_unref(s);
  kit_stop(k);
}

/* --- stages, instances, rates ---------------------------------------- */
static atomic_int first_stage, second_stage, at_once, most_at_once;

static void first(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  usleep(200);
  atomic_fetch_add(&first_stage, 1);
}

/* Both of the first stage have ended on this asset. */
static void second(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  atomic_fetch_add(&second_stage, 1);
  assert_true(atomic_load(&first_stage) >= atomic_load(&second_stage) * 2 ||
              atomic_load(&first_stage) >= 2);
}

static void counted(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  int now = atomic_fetch_add(&at_once, 1) + 1;
  int most = atomic_load(&most_at_once);
  while (now > most &&
         !atomic_compare_exchange_weak(&most_at_once, &most, now)) {
  }
  usleep(500);
  atomic_fetch_sub(&at_once, 1);
}

static void dispatch_many(rt_session *s, const char *class_, int count) {
  for (int i = 0; i < count; i++) {
    char value[32];
    snprintf(value, sizeof(value), "%d", i);
    assert_int_equal(kit_dispatch(s, class_, value), RT_QUEUED);
  }
}

static void stages_follow_each_other(void **state) {
  kit *k = kit_start(state);
  atomic_store(&first_stage, 0);
  atomic_store(&second_stage, 0);
  kit_cap(k, "b", (kit_opts){.input = "a", .priority = 9, .fn = second});
  kit_cap(k, "a1", (kit_opts){.input = "a", .priority = 1, .fn = first});
  kit_cap(k, "a2", (kit_opts){.input = "a", .priority = 1, .fn = first});
  rt_session *s = kit_open(k, "stages", NULL);
  dispatch_many(s, "a", 1);
  kit_wait(s);
  assert_int_equal(atomic_load(&second_stage), 1);
  for (int i = 1; i < 1500; i++) { /* beyond a window */
    char value[32];
    snprintf(value, sizeof(value), "%d", i);
    kit_dispatch(s, "a", value);
  }
  kit_wait(s);
  assert_int_equal(atomic_load(&first_stage), 3000);
  assert_int_equal(atomic_load(&second_stage), 1500);
  kit_close(s);
  kit_stop(k);
}

static void instances_are_honoured(void **state) {
  kit *k = kit_start(state);
  atomic_store(&most_at_once, 0);
  kit_cap(k, "two",
          (kit_opts){.input = "a", .max_instances = 2, .fn = counted});
  kit_cap(k, "any", (kit_opts){.input = "a", .fn = unwilling});
  rt_session *s = kit_open(k, "inst1", NULL);
  rt_session *t = kit_open(k, "inst2", NULL);
  rt_session_pause(s); /* so that there is enough for more than two */
  rt_session_pause(t);
  dispatch_many(s, "a", 60);
  dispatch_many(t, "a", 60);
  rt_session_resume(s);
  rt_session_resume(t);
  kit_wait(s);
  kit_wait(t);
  assert_in_range(atomic_load(&most_at_once), 1, 2);
  assert_int_equal(kit_stat(s, "done"), 60);
  assert_int_equal(kit_stat(t, "done"), 60);
  kit_close(s);
  kit_close(t);
  kit_stop(k);
}

/* A slow capability does not keep another of its class waiting. */
static void a_rate_starves_nobody(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "slow", (kit_opts){.input = "a", .rate = 5, .fn = unwilling});
  kit_cap(k, "fast", (kit_opts){.input = "a", .fn = counted});
  rt_session *s = kit_open(k, "rate", NULL);
  dispatch_many(s, "a", 1200);
  KIT_UNTIL(kit_stat(s, "done") == 1200);
  assert_true(kit_stat(s, "skipped") < 1200);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  kit_stop(k);
}

/* --- control --------------------------------------------------------- */
static atomic_bool stuck_may_end;
static atomic_int stuck_running;

static void stuck(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  atomic_fetch_add(&stuck_running, 1);
  while (!atomic_load(&stuck_may_end)) usleep(1000);
}

static void cancel_returns_with_a_stuck_job(void **state) {
  kit *k = kit_start(state);
  atomic_store(&stuck_may_end, false);
  atomic_store(&stuck_running, 0);
  kit_cap(k, "stuck", (kit_opts){.input = "a", .fn = stuck});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.grace = 0.2;
  rt_session *s = kit_open(k, "stuck", &o);
  dispatch_many(s, "a", 300);
  KIT_UNTIL(atomic_load(&stuck_running) > 0);
  KIT_OK(rt_session_cancel(s, "tired of it", false, err));
  assert_true(rt_session_done(s));
  assert_int_equal(kit_dispatch(s, "a", "late"), RT_ECANCELED);
  assert_int_equal(rt_session_wait(s, -1, NULL, NULL), RT_ECANCELED);
  atomic_store(&stuck_may_end, true);
  kit_close(s);
  s = kit_open(k, "stuck", NULL); /* what was left is done now */
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 300);
  kit_close(s);
  kit_stop(k);
}

static void what_was_given_up_stays_so(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "left", (kit_opts){0});
  rt_session *s = kit_open(k, "given", NULL);
  rt_session_pause(s);
  kit_dispatch(s, "node", "1");
  KIT_OK(rt_session_cancel(s, "no more", true, err));
  kit_close(s);
  assert_int_equal(jobs_in(k, "given", "canceled", NULL), 1);
  s = kit_open(k, "given", NULL);
  kit_wait(s); /* nothing is left */
  assert_int_equal(kit_dispatch(s, "node", "1999"), RT_QUEUED);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 1);
  assert_int_equal(kit_stat(s, "canceled"), 1);
  kit_close(s);
  kit_stop(k);
}

static void pause_holds_and_resume_goes_on(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "left", (kit_opts){0});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.paused = true;
  rt_session *s = kit_open(k, "paused", &o);
  kit_dispatch(s, "node", "1");
  assert_int_equal(rt_session_wait(s, 0.05, NULL, NULL), RT_ETIMEOUT);
  assert_int_equal(kit_stat(s, "done"), 0);
  rt_session_resume(s);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), KIT_NODES);
  kit_close(s);
  kit_stop(k);
}

static void capabilities_come_and_go(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "early", (kit_opts){.input = "a", .fn = counted});
  rt_session *s = kit_open(k, "reg", NULL);
  dispatch_many(s, "a", 50);
  kit_wait(s);
  kit_cap(k, "later", (kit_opts){.input = "a", .fn = counted});
  kit_dispatch(s, "a", "new");
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 52); /* no backfill */
  rt_session_pause(s);
  kit_dispatch(s, "a", "newer");
  KIT_OK(rt_registry_remove(k->registry, "later", err));
  rt_session_resume(s);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 53);
  assert_int_equal(kit_stat(s, "skipped"), 1);
  assert_int_equal(jobs_in(k, "reg", "skipped", "capability not registered"),
                   1);
  kit_close(s);
  kit_cap(k, "later", (kit_opts){.input = "a", .fn = counted});
  kit_cap(k, "brand-new", (kit_opts){.input = "a", .fn = counted});
  s = kit_open(k, "reg", NULL); /* one revived, 52 for the new one */
  kit_wait(s);
  assert_int_equal(kit_stat(s, "skipped"), 0);
  assert_int_equal(kit_stat(s, "done"), 54 + 52);
  kit_close(s);
  kit_stop(k);
}

static int64_t done_of(rt_session *s, const char *capability) {
  rt_value *stats = kit_stats(s);
  rt_view all = rt_view_get(rt_value_view(stats), "capabilities");
  int64_t done =
      rt_view_int(rt_view_get(rt_view_get(all, capability), "done"), -1);
  rt_value_unref(stats);
  return done;
}

static void add_counted(kit *k, bool backfill) {
  static const char json[] =
      "{\"name\":\"again\",\"input\":[\"a\"],\"output\":[]}";
  rt_value *decl = NULL;
  KIT_OK(rt_value_from_json(&decl, json, sizeof(json) - 1, err));
  KIT_OK(rt__registry_add_lua(k->registry, decl, "again.lua", "", 0, 0,
                              backfill, err));
  rt_value_unref(decl);
}

/* Registered late, taken away, registered again: what was stored meanwhile is
 * taken in, with backfill what was there before as well, each asset once. */
static void registered_again(void **state) {
  kit *k = kit_start(state);
  kit_fn_of(k, "again", counted);
  rt_session *s = kit_open(k, "again", NULL);
  for (int i = 0; i < 50; i++) {
    char value[32];
    snprintf(value, sizeof(value), "%d", i);
    assert_int_equal(kit_dispatch(s, "a", value), RT_STORED);
  }
  add_counted(k, false);
  kit_dispatch(s, "a", "with");
  kit_wait(s);
  assert_int_equal(done_of(s, "again"), 1);
  KIT_OK(rt_registry_remove(k->registry, "again", err));
  kit_dispatch(s, "a", "without");
  add_counted(k, false);
  KIT_UNTIL(done_of(s, "again") == 2);
  KIT_OK(rt_registry_remove(k->registry, "again", err));
  add_counted(k, true);
  KIT_UNTIL(done_of(s, "again") == 52);
  KIT_OK(rt_registry_remove(k->registry, "again", err));
  add_counted(k, true); /* nothing is left to take in */
  kit_wait(s);
  kit_close(s);
  s = kit_open(k, "again", NULL);
  kit_dispatch(s, "a", "last");
  kit_wait(s);
  assert_int_equal(done_of(s, "again"), 53);
  assert_int_equal(kit_stat(s, "work_items_total"), 53);
  kit_close(s);
  kit_stop(k);
}

static void add_from_c(kit *k, const char *name, bool backfill) {
  const char *input = "a";
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  kit_fn_of(k, name, counted);
  o.name = name;
  o.input = &input;
  o.input_count = 1;
  o.invoke = kit_never;
  o.backfill = backfill;
  KIT_OK(rt_registry_add(k->registry, &o, err));
}

static void registered_from_c(void **state) {
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "from-c", NULL);
  for (int i = 0; i < 10; i++) {
    char value[32];
    snprintf(value, sizeof(value), "%d", i);
    assert_int_equal(kit_dispatch(s, "a", value), RT_STORED);
  }
  add_from_c(k, "later", false);
  add_from_c(k, "of-old", true);
  kit_dispatch(s, "a", "new");
  kit_wait(s);
  assert_int_equal(done_of(s, "later"), 1);
  assert_int_equal(done_of(s, "of-old"), 11);
  kit_close(s);
  kit_stop(k);
}

static void a_deadline_stops_the_session(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "slow", (kit_opts){.input = "a", .rate = 1, .fn = unwilling});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.deadline = 0.2;
  rt_session *s = kit_open(k, "dead", &o);
  for (int i = 0; i < 50; i++) {
    char value[32];
    snprintf(value, sizeof(value), "%d", i);
    if (kit_dispatch(s, "a", value) == RT_ECANCELED) break; /* a slow machine */
  }
  rt_error why = RT_ERROR_INIT;
  assert_int_equal(rt_session_wait(s, 30, NULL, &why), RT_ECANCELED);
  assert_non_null(strstr(why.message, "deadline"));
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(expands_to_the_exact_set),
      cmocka_unit_test(seeds_without_work_finish),
      cmocka_unit_test(every_end_has_its_state),
      cmocka_unit_test(a_stale_lease_is_refused),
      cmocka_unit_test(stages_follow_each_other),
      cmocka_unit_test(instances_are_honoured),
      cmocka_unit_test(a_rate_starves_nobody),
      cmocka_unit_test(cancel_returns_with_a_stuck_job),
      cmocka_unit_test(what_was_given_up_stays_so),
      cmocka_unit_test(pause_holds_and_resume_goes_on),
      cmocka_unit_test(capabilities_come_and_go),
      cmocka_unit_test(registered_again),
      cmocka_unit_test(registered_from_c),
      cmocka_unit_test(a_deadline_stops_the_session),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
