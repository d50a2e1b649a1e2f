/* test_fair.c - rates, keys, match before a rate, priorities, sessions side by
 * side, the session queue, and a disk that fails for a while.
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "engine_kit.h"

static void nothing(kit_job *job, rt__end *end) {
  (void)job, (void)end;
}

static void dispatch_text(rt_session *s, const char *class_, const char *fmt,
                          int count) {
  for (int i = 0; i < count; i++) {
    char value[64];
    snprintf(value, sizeof(value), "%d.%s", i, fmt);
    kit_dispatch(s, class_, value);
  }
}

/* 40 a second, the first 40 at once: 60 take no less than half a second. */
static void a_rate_is_kept(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "rated", (kit_opts){.input = "a", .rate = 40, .fn = nothing});
  rt_session *s = kit_open(k, "rated", NULL);
  rt_session_pause(s);
  dispatch_text(s, "a", "x", 60);
  uint64_t start = rt__now_ns();
  rt_session_resume(s);
  kit_wait(s);
  assert_true(rt__now_ns() - start > 450000000ull);
  assert_int_equal(kit_stat(s, "done"), 60);
  kit_close(s);
  kit_stop(k);
}

static rt_value *keyed_declaration(void) {
  static const char text[] =
      "{\"name\":\"keyed\",\"input\":[\"a\"],\"output\":[\"a\"],"
      "\"rate\":20,\"has_rate_key\":true,\"has_match\":true}";
  rt_value *value = NULL;
  KIT_OK(rt_value_from_json(&value, text, sizeof(text) - 1, err));
  return value;
}

static atomic_int free_done;

static void count_free(kit_job *job, rt__end *end) {
  (void)end;
  if (strncmp(job->value, "free", 4) == 0) atomic_fetch_add(&free_done, 1);
}

/* Each key has a bucket of its own, and what match refuses takes no token. */
static void each_key_has_its_rate(void **state) {
  kit *k = kit_start(state);
  rt_value *decl = keyed_declaration();
  KIT_OK(
      rt__registry_add_lua(k->registry, decl, "x.lua", "", 0, 1, false, err));
  rt_value_unref(decl);
  kit_fn_of(k, "keyed", nothing);
  rt_session *s = kit_open(k, "keyed", NULL);
  rt_session_pause(s);
  for (int i = 0; i < 30; i++) {
    char value[64];
    snprintf(value, sizeof(value), "slow.%d", i);
    kit_dispatch(s, "a", value);
    snprintf(value, sizeof(value), "x.%d", i);
    kit_dispatch(s, "a", value);
    snprintf(value, sizeof(value), "key%d.z", i);
    kit_dispatch(s, "a", value);
  }
  uint64_t start = rt__now_ns();
  rt_session_resume(s);
  kit_wait(s);
  assert_true(rt__now_ns() - start > 450000000ull); /* 30 of one key */
  assert_int_equal(kit_stat(s, "done"), 60);
  assert_int_equal(kit_stat(s, "skipped"), 30);
  kit_close(s);
  kit_stop(k);
}

/* A key with a long queue does not keep another waiting, nor fill memory. */
static void a_slow_key_is_parked(void **state) {
  kit *k = kit_start(state);
  rt_value *decl = keyed_declaration();
  KIT_OK(
      rt__registry_add_lua(k->registry, decl, "x.lua", "", 0, 1, false, err));
  rt_value_unref(decl);
  kit_fn_of(k, "keyed", count_free);
  atomic_store(&free_done, 0);
  rt_session *s = kit_open(k, "parked", NULL);
  rt_session_pause(s);
  for (int i = 0; i < 1500; i++) {
    char value[64];
    snprintf(value, sizeof(value), "slow.%d", i);
    kit_dispatch(s, "a", value);
  }
  kit_dispatch(s, "a", "free.1");
  rt_session_resume(s);
  KIT_UNTIL(atomic_load(&free_done) == 1);
  rt_report *report = NULL;
  rt_value *why = NULL;
  KIT_OK(rt_report_open(&report, k->dir, "parked", err));
  KIT_OK(rt_report_why(report, &why, err));
  rt_view reasons = rt_view_get(rt_value_view(why), "reasons");
  assert_true(rt_view_count(reasons) >= 1);
  rt_value_unref(why);
  rt_report_close(report);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  assert_int_equal(kit_stat(s, "queued"), 0);
  kit_close(s);
  kit_stop(k);
}

static atomic_bool let_go;

static void held(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  KIT_UNTIL(atomic_load(&let_go));
}

/* How many jobs does `why` count under these words? */
static int64_t why_count(kit *k, const char *session, const char *words) {
  rt_report *report = NULL;
  rt_value *why = NULL;
  rt_view reason;
  int64_t count = 0;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  KIT_OK(rt_report_why(report, &why, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(why), "reasons"));
  while (rt_iter_next(&iter, NULL, &reason)) {
    size_t size = 0;
    const char *what = rt_view_string(rt_view_get(reason, "what"), &size);
    if (size != strlen(words) || memcmp(what, words, size) != 0) continue;
    count += rt_view_int(rt_view_get(reason, "count"), 0);
  }
  rt_value_unref(why);
  rt_report_close(report);
  return count;
}

static void why_knows_instances(void **state) {
  kit *k = kit_start(state);
  atomic_store(&let_go, false);
  kit_cap(k, "one", (kit_opts){.input = "a", .max_instances = 1, .fn = held});
  rt_session *s = kit_open(k, "why", NULL);
  rt_session_pause(s);
  dispatch_text(s, "a", "x", 3);
  assert_int_equal(why_count(k, "why", "queued"), 3);
  assert_int_equal(why_count(k, "why", "waits for an instance"), 0);
  rt_session_resume(s);
  KIT_UNTIL(why_count(k, "why", "running") == 1);
  KIT_UNTIL(why_count(k, "why", "waits for an instance") == 2);
  assert_int_equal(why_count(k, "why", "queued"), 0);
  atomic_store(&let_go, true);
  kit_wait(s);
  kit_close(s);
  kit_stop(k);
}

/* One session has the instance, the other misses it. */
static void why_knows_instances_elsewhere(void **state) {
  kit *k = kit_start(state);
  atomic_store(&let_go, false);
  kit_cap(k, "one", (kit_opts){.input = "a", .max_instances = 1, .fn = held});
  rt_session *s = kit_open(k, "has", NULL), *t = kit_open(k, "misses", NULL);
  dispatch_text(s, "a", "x", 1);
  KIT_UNTIL(why_count(k, "has", "running") == 1);
  dispatch_text(t, "a", "y", 2);
  KIT_UNTIL(why_count(k, "misses", "waits for an instance") == 2);
  assert_int_equal(why_count(k, "misses", "queued"), 0);
  rt_session_pause(t);
  atomic_store(&let_go, true);
  kit_wait(s);
  KIT_UNTIL(why_count(k, "misses", "queued") == 2);
  rt_session_resume(t);
  kit_wait(t);
  kit_close(s);
  kit_close(t);
  kit_stop(k);
}

/* --- sessions side by side ------------------------------------------- */
static atomic_int turns[2];

static void turn(kit_job *job, rt__end *end) {
  (void)end;
  bool second = strcmp(rt_session_name(job->order->session), "two") == 0;
  atomic_fetch_add(&turns[second], 1);
  usleep(20000);
}

static void one_backlog_does_not_hold_up_another(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "turn", (kit_opts){.input = "a", .max_instances = 2, .fn = turn});
  rt_session *s = kit_open(k, "one", NULL);
  rt_session *t = kit_open(k, "two", NULL);
  rt_session_pause(s);
  dispatch_text(s, "a", "x", 1500);
  rt_session_resume(s);
  dispatch_text(t, "a", "x", 20);
  kit_wait(t);
  assert_int_equal(kit_stat(t, "done"), 20);
  assert_true(atomic_load(&turns[0]) < 1500);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  kit_close(s);
  kit_close(t);
  kit_stop(k);
}

/* --- the session queue ----------------------------------------------- */
typedef struct reply {
  atomic_bool done;
  rt_err code;
  rt_value *result;
} reply;

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  reply *r = arg;
  (void)err;
  r->code = code;
  r->result = result;
  atomic_store(&r->done, true);
}

static rt_err queue(rt_session *s, const char *verb, const char *json,
                    rt_value **out) {
  reply r = {.result = NULL};
  rt_value *args = NULL;
  KIT_OK(rt_value_from_json(&args, json, strlen(json), err));
  rt_session_queue_async(s, verb, args, on_reply, &r);
  KIT_UNTIL(atomic_load(&r.done));
  rt_value_unref(args);
  if (out) {
    *out = r.result;
  } else {
    rt_value_unref(r.result);
  }
  return r.code;
}

static bool truth(rt_session *s, const char *verb, const char *json) {
  rt_value *out = NULL;
  assert_int_equal(queue(s, verb, json, &out), RT_OK);
  bool flag = rt_view_bool(rt_value_view(out), false);
  rt_value_unref(out);
  return flag;
}

#define ASSET_A "[{\"class\":\"q\",\"value\":\"a\"}]"
#define ASSET_B "[{\"class\":\"q\",\"value\":\"b\"}]"

static uint32_t next_count(rt_session *s) {
  rt_value *out = NULL;
  assert_int_equal(queue(s, "next", "[\"q\",10]", &out), RT_OK);
  uint32_t count = rt_view_count(rt_value_view(out));
  rt_value_unref(out);
  return count;
}

static void the_queue_by_hand(void **state) {
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "queue", NULL);
  assert_false(truth(s, "has", ASSET_A));
  assert_true(truth(s, "processed", ASSET_A));
  assert_true(truth(s, "delete", ASSET_A));
  assert_true(truth(s, "append", ASSET_A));
  assert_true(truth(s, "append", ASSET_B));
  assert_int_equal(queue(s, "append", ASSET_A, NULL), RT_EEXIST);
  assert_true(truth(s, "has", ASSET_A));
  assert_int_equal(next_count(s), 2);
  assert_int_equal(next_count(s), 2);
  assert_true(truth(s, "processed", ASSET_A));
  assert_int_equal(next_count(s), 1);
  assert_true(truth(s, "has", ASSET_A));
  assert_true(truth(s, "delete", ASSET_A));
  assert_false(truth(s, "has", ASSET_A));
  assert_true(truth(s, "append", ASSET_A));
  assert_int_equal(next_count(s), 2);
  assert_int_equal(queue(s, "append", "[{\"class\":\"q\"}]", NULL), RT_EINVAL);
  kit_close(s);
  kit_stop(k);
}

/* --- names and disks ------------------------------------------------- */
static void hostile_names_are_refused(void **state) {
  kit *k = kit_start(state);
  const char *names[] = {"../x", "a/b", "",   ".hidden", "a b",
                         "a\n",  "..",  "a%", "\xc3\xa4"};
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = NULL;
  o.dir = k->dir;
  for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
    o.name = names[i];
    assert_int_equal(rt__session_open(&s, k->engine, &o, NULL), RT_EINVAL);
    assert_int_equal(rt_session_remove(k->dir, names[i], NULL), RT_EINVAL);
  }
  o.name = "there";
  o.mode = RT_OPEN_RESUME;
  assert_int_equal(rt__session_open(&s, k->engine, &o, NULL), RT_ENOTFOUND);
  o.mode = RT_OPEN_CREATE;
  KIT_OK(rt__session_open(&s, k->engine, &o, err));
  kit_close(s);
  assert_int_equal(rt__session_open(&s, k->engine, &o, NULL), RT_EEXIST);
  kit_stop(k);
}

static void foreign_files_are_left_alone(void **state) {
  kit *k = kit_start(state);
  char path[200];
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  rt_session *s = NULL;
  snprintf(path, sizeof(path), "%s/foreign.sqlite", k->dir);
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 1000; i++) fputs("this is no database\n", f);
  fclose(f);
  o.name = "foreign";
  o.dir = k->dir;
  assert_int_equal(rt__session_open(&s, k->engine, &o, &why), RT_EINVAL);
  o.name = "there";
  o.dir = "/proc/nowhere";
  assert_int_not_equal(rt__session_open(&s, k->engine, &o, &why), RT_OK);
  assert_non_null(strstr(why.message, "/proc/nowhere"));
  kit_stop(k);
}

static bool refused_for(rt_session *s, const char *words) {
  static const char json[] = "{\"class\":\"node\",\"value\":\"1\"}";
  rt_error why = RT_ERROR_INIT;
  rt_value *asset = NULL;
  KIT_OK(rt_value_from_json(&asset, json, sizeof(json) - 1, err));
  rt_err rc = rt_session_dispatch(s, asset, NULL, NULL, &why);
  rt_value_unref(asset);
  return rc == RT_EUNAVAIL && strstr(why.message, words);
}

/* Files may not grow for a while: the session waits, and then goes on. */
static void a_full_disk_is_waited_for(void **state) {
  kit *k = kit_start(state);
  struct rlimit before, small;
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 200000;
  kit_cap(k, "left", (kit_opts){0});
  rt_session *s = kit_open(k, "full", NULL);
  setrlimit(RLIMIT_FSIZE, &small);
  KIT_UNTIL(refused_for(s, "the limit of its size"));
  setrlimit(RLIMIT_FSIZE, &before);
  KIT_UNTIL(kit_dispatch(s, "node", "1") >= 0);
  kit_wait(s);
  assert_int_equal(kit_assets(k, "full"), KIT_NODES);
  kit_close(s);
  kit_stop(k);
}

static void too_many_for_a_class_are_told(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  rt_session *s = NULL;
  for (int i = 0; i < 63; i++) {
    char name[32];
    const char *input = "crowded";
    rt_capability_opts cap = RT_CAPABILITY_OPTS_INIT;
    snprintf(name, sizeof(name), "c%d", i);
    cap.name = name;
    cap.input = &input;
    cap.input_count = 1;
    cap.invoke = kit_never;
    KIT_OK(rt_registry_add(k->registry, &cap, err));
  }
  o.name = "crowd";
  o.dir = k->dir;
  assert_int_equal(rt__session_open(&s, k->engine, &o, &why), RT_EINVAL);
  assert_non_null(strstr(why.message, "crowded"));
  char path[200];
  snprintf(path, sizeof(path), "%s/crowd.sqlite", k->dir);
  assert_int_not_equal(access(path, F_OK), 0);
  KIT_OK(rt_registry_remove(k->registry, "c5", err));
  s = kit_open(k, "crowd", NULL);
  kit_close(s);
  kit_stop(k);
}

/* Its file is taken away for good: the deadline is met all the same. */
static void a_lost_file_ends_with_the_deadline(void **state) {
  kit *k = kit_start(state);
  char path[200];
  rt_error why = RT_ERROR_INIT;
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.deadline = 3;
  kit_cap(k, "rated", (kit_opts){.input = "a", .rate = 1, .fn = nothing});
  rt_session *s = kit_open(k, "lost", &o);
  dispatch_text(s, "a", "x", 20);
  snprintf(path, sizeof(path), "%s/lost.sqlite", k->dir);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rt_session_wait(s, 60, NULL, &why), RT_ECANCELED);
  kit_close(s);
  assert_int_equal(mkfifo(path, 0600), 0);
  rt_report *report = NULL;
  assert_int_equal(rt_report_open(&report, k->dir, "lost", NULL), RT_EINVAL);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_rate_is_kept),
      cmocka_unit_test(each_key_has_its_rate),
      cmocka_unit_test(a_slow_key_is_parked),
      cmocka_unit_test(why_knows_instances),
      cmocka_unit_test(why_knows_instances_elsewhere),
      cmocka_unit_test(one_backlog_does_not_hold_up_another),
      cmocka_unit_test(the_queue_by_hand),
      cmocka_unit_test(hostile_names_are_refused),
      cmocka_unit_test(foreign_files_are_left_alone),
      cmocka_unit_test(a_full_disk_is_waited_for),
      cmocka_unit_test(too_many_for_a_class_are_told),
      cmocka_unit_test(a_lost_file_ends_with_the_deadline),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
