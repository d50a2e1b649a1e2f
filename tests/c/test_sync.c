/* test_sync.c - fsync fails. A disk that could not take something says so once;
 * the system then forgets what it was, and the next sync succeeds. What a
 * session has confirmed is on the disk all the same: it is there after a loss
 * of power at any instant.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <sys/stat.h>

#include "diskfault.h"
#include "engine_kit.h"

#define MANY 200

static void fault_is(rt_session *s, const char *words) {
  rt_value *stats = NULL;
  rt_error why = RT_ERROR_INIT;
  for (int i = 0; i < 6000; i++) {
    rt_err rc = rt_session_stats(s, &stats, &why);
    rt_value_unref(stats);
    if (rc != RT_OK && strstr(why.message, words)) return;
    usleep(5000);
  }
  fail_msg("never: %s", words);
}

static void slow(kit_job *job, rt__end *end) {
  usleep(200);
  kit_expand(job, end);
}

static void a_sync_that_fails_is_waited_for(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = 2;
  rt_session *s = kit_open(k, "sync", &o);
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(kit_stat(s, "done") >= 3);
  for (int i = 0; i < 3; i++) {
    int64_t before = kit_assets(k, "sync");
    disk_is(DISK_SYNCS_FAIL);
    KIT_UNTIL(kit_dispatch(s, "node", "1") < 0);
    fault_is(s, "the disk reports an error");
    fault_is(s, "sync.sqlite"); /* and which file it is about */
    assert_true(disk_fired() > 0);
    disk_is(DISK_WELL);
    KIT_UNTIL(kit_dispatch(s, "node", "1") >= 0);
    assert_true(kit_assets(k, "sync") >= before);
  }
  kit_wait(s);
  assert_int_equal(kit_assets(k, "sync"), KIT_NODES);
  assert_int_equal(kit_stat(s, "done"), KIT_NODES);
  assert_int_equal(kit_stat(s, "failed"), 0);
  kit_close(s);
  kit_stop(k);
}

/* --- power ----------------------------------------------------------- */
static void in(const char *dir, const char *name, char *out) {
  snprintf(out, 200, "%s/%s", dir, name);
}

/* Everything that was confirmed up to now is in what is left. */
static void all_is_left(kit *k, const bool *confirmed, int count, int round) {
  char name[32], left[200], key[40];
  rt_report *report = NULL;
  snprintf(name, sizeof(name), "left-%d", round);
  in(k->dir, name, left);
  assert_int_equal(mkdir(left, 0700), 0);
  disk_lose_power(left);
  kit *other = kit_start_in(left);
  rt_session *s = kit_open(other, "power", NULL); /* recovers, and checks */
  KIT_OK(rt_report_open(&report, left, "power", err));
  for (int i = 0; i < count; i++) {
    rt_value *asset = NULL;
    snprintf(key, sizeof(key), "plain:%d", i);
    rt_err rc = rt_report_asset(report, key, &asset, NULL);
    rt_value_unref(asset);
    if (confirmed[i] && rc != RT_OK) {
      fail_msg("%s was confirmed and is lost (round %d)", key, round);
    }
  }
  rt_report_close(report);
  kit_close(s);
  kit_stop_keep(other);
}

typedef struct power {
  kit *k, *w;
  rt_session *s;
  bool confirmed[MANY];
} power;

static power *power_on(void) {
  power *p = calloc(1, sizeof(*p));
  char watched[200], kept[200];
  p->k = kit_start(NULL);
  in(p->k->dir, "watched", watched);
  in(p->k->dir, "kept", kept);
  assert_int_equal(mkdir(watched, 0700), 0);
  assert_int_equal(mkdir(kept, 0700), 0);
  disk_keep(watched, kept);
  p->w = kit_start_in(watched);
  p->s = kit_open(p->w, "power", NULL);
  return p;
}

static void power_off(power *p) {
  kit_close(p->s);
  all_is_left(p->k, p->confirmed, MANY, MANY);
  kit_stop_keep(p->w);
  disk_keep_end();
  kit_stop(p->k);
  free(p);
}

static bool store(power *p, int i) {
  char value[32];
  snprintf(value, sizeof(value), "%d", i);
  if (kit_dispatch(p->s, "plain", value) >= 0) p->confirmed[i] = true;
  return p->confirmed[i];
}

static void confirmed_is_on_the_disk(void **state) {
  (void)state;
  power *p = power_on();
  long fired = 0;
  for (int i = 0; i < MANY; i++) {
    if (i % 40 == 10) disk_is(DISK_OFTEN_SYNCS_FAIL);
    store(p, i);
    if (i % 40 != 30) continue;
    fired += disk_fired();
    disk_is(DISK_WELL);
    all_is_left(p->k, p->confirmed, i, i);
    KIT_UNTIL(store(p, 0) && kit_dispatch(p->s, "plain", "0") >= 0);
    all_is_left(p->k, p->confirmed, i, i + 1);
  }
  assert_true(fired > 0);
  power_off(p);
}

/* A transaction that could not be synced, but can be read until the power is
 * lost, must not be built on by who opens the file anew: whichever of its
 * attempts is the first to go well. */
static void no_hole_in_the_log(void **state) {
  (void)state;
  power *p = power_on();
  for (int i = 0; i < 3; i++) {
    assert_true(store(p, 10 * i));
    disk_fails_syncs(i + 1);
    for (int n = 1; n < 6; n++) store(p, 10 * i + n);
    KIT_UNTIL(store(p, 10 * i + 6));
    assert_int_equal(disk_fired(), i + 1);
    assert_true(store(p, 10 * i + 7));
    all_is_left(p->k, p->confirmed, 10 * i + 8, i);
  }
  disk_is(DISK_WELL);
  power_off(p);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_sync_that_fails_is_waited_for),
      cmocka_unit_test(confirmed_is_on_the_disk),
      cmocka_unit_test(no_hole_in_the_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
