/* test_memory.c - a program above its ceiling takes no new work, says so, goes
 * on when there is room again, and ends also when there never is.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "engine_kit.h"

#define CEILING 1000000u

/* What the engine is told that the program has; how often it was collected. */
static atomic_uint_fast64_t resident;
static atomic_int collections, at_once, most, ran;
static atomic_bool let_go;

static uint64_t tell_resident(void *self) {
  (void)self;
  return atomic_load(&resident);
}

static void count_collection(void *self) {
  (void)self;
  atomic_fetch_add(&collections, 1);
}

static kit *start(void **state, uint64_t excess) {
  kit *k = kit_start(state);
  rt__heaps heaps = {.collect = count_collection, .resident = tell_resident};
  rt__memory_opts opts = {excess, CEILING, 0.005, 3600};
  atomic_store(&resident, CEILING / 2);
  atomic_store(&collections, 0);
  atomic_store(&most, 0);
  atomic_store(&ran, 0);
  atomic_store(&let_go, false);
  rt__engine_watch(k->engine, &heaps, &opts);
  return k;
}

/* How many run at once, from now on? */
static void counted(kit_job *job, rt__end *end) {
  int now = atomic_fetch_add(&at_once, 1) + 1;
  if (now > atomic_load(&most)) atomic_store(&most, now);
  kit_expand(job, end);
  atomic_fetch_sub(&at_once, 1);
}

static void held(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  atomic_fetch_add(&ran, 1);
  KIT_UNTIL(atomic_load(&let_go));
}

static rt_view memory_of(rt_value *stats) {
  return rt_view_get(rt_value_view(stats), "memory");
}

static int64_t number(rt_session *s, const char *name) {
  rt_value *stats = kit_stats(s);
  int64_t n = rt_view_int(rt_view_get(memory_of(stats), name), -1);
  rt_value_unref(stats);
  return n;
}

static bool paused(rt_session *s) {
  rt_value *stats = kit_stats(s);
  bool flag = rt_view_bool(rt_view_get(memory_of(stats), "paused"), false);
  rt_value_unref(stats);
  return flag;
}

/* --- dispatches that do not wait ------------------------------------------ */
typedef struct replies {
  atomic_int good, bad;
  rt_err code;
} replies;

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  replies *r = arg;
  (void)err;
  rt_value_unref(result);
  if (code != RT_OK) r->code = code;
  atomic_fetch_add(code == RT_OK ? &r->good : &r->bad, 1);
}

static void post(rt_session *s, const char *value, replies *r) {
  char json[100];
  rt_value *asset = NULL;
  int size = snprintf(json, sizeof(json),
                      "{\"class\":\"node\",\"value\":\"%s\"}", value);
  KIT_OK(rt_value_from_json(&asset, json, (size_t)size, err));
  rt_session_dispatch_async(s, asset, NULL, on_reply, r);
  rt_value_unref(asset);
}

/* --- never enough ----------------------------------------------------------
 */
static void it_ends_though_there_is_never_room(void **state) {
  kit *k = start(state, 0);
  replies r = {.code = RT_OK};
  kit_cap(k, "left", (kit_opts){.fn = counted});
  rt_session *s = kit_open(k, "tiny", NULL);
  atomic_store(&resident, CEILING * 2);
  KIT_UNTIL(paused(s));
  for (int i = 1; i <= 20; i++) {
    char value[20];
    snprintf(value, sizeof(value), "%d", i);
    post(s, value, &r);
  }
  KIT_UNTIL(atomic_load(&r.good) == 20);
  kit_wait(s);
  assert_int_equal(kit_assets(k, "tiny"), KIT_NODES);
  assert_int_equal(atomic_load(&most), 1);
  assert_true(paused(s));
  assert_true(number(s, "pauses") == 1);
  assert_true(atomic_load(&collections) > 0);
  kit_close(s);
  kit_stop(k);
}

/* --- for a while -----------------------------------------------------------
 */
typedef struct heard {
  atomic_int paused, resumed;
} heard;

static void on_event(const rt_event *event, void *arg) {
  heard *h = arg;
  size_t size = 0;
  const char *reason =
      rt_view_string(rt_view_get(rt_value_view(event->data), "reason"), &size);
  if (!reason || size < 7 || memcmp(reason, "memory:", 7) != 0) return;
  if (strcmp(event->kind, "session.paused") == 0)
    atomic_fetch_add(&h->paused, 1);
  if (strcmp(event->kind, "session.resumed") == 0)
    atomic_fetch_add(&h->resumed, 1);
}

/* What reports tell of it. */
static bool told(kit *k, const char *session) {
  rt_report *report = NULL;
  rt_value *why = NULL, *status = NULL;
  rt_view reason;
  bool in_why = false;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  KIT_OK(rt_report_why(report, &why, err));
  KIT_OK(rt_report_status(report, &status, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(why), "reasons"));
  while (rt_iter_next(&iter, NULL, &reason)) {
    size_t size = 0;
    const char *what = rt_view_string(rt_view_get(reason, "what"), &size);
    if (size > 7 && memcmp(what, "memory:", 7) == 0) in_why = true;
  }
  rt_view fault = rt_view_get(rt_value_view(status), "fault");
  assert_int_equal(rt_view_type(fault) == RT_STRING, in_why);
  rt_value_unref(why);
  rt_value_unref(status);
  rt_report_close(report);
  return in_why;
}

static void it_pauses_and_goes_on(void **state) {
  kit *k = start(state, 0);
  heard h = {0};
  replies r = {.code = RT_OK};
  uint64_t sub = 0;
  KIT_OK(rt_bus_subscribe(k->bus, &sub, "session", NULL, on_event, &h, err));
  kit_cap(k, "held", (kit_opts){.fn = held});
  rt_session *s = kit_open(k, "while", NULL);
  rt_session *t = kit_open(k, "other", NULL);
  kit_dispatch(s, "node", "a");
  KIT_UNTIL(atomic_load(&ran) == 1);
  atomic_store(&resident, CEILING + 1);
  KIT_UNTIL(paused(s) && paused(t));
  KIT_UNTIL(atomic_load(&h.paused) == 2);
  assert_true(told(k, "while"));
  assert_true(atomic_load(&collections) > 0);
  post(s, "b", &r);
  post(t, "c", &r);
  for (int i = 0; i < 20; i++) assert_int_equal(kit_stat(s, "queued"), 0);
  assert_int_equal(atomic_load(&r.good), 0);
  assert_int_equal(atomic_load(&ran), 1);
  atomic_store(&resident, CEILING - 1); /* not enough below */
  for (int i = 0; i < 20; i++) assert_true(paused(s));
  atomic_store(&resident, CEILING / 2);
  KIT_UNTIL(atomic_load(&r.good) == 2);
  KIT_UNTIL(atomic_load(&ran) == 3);
  assert_false(paused(s));
  KIT_UNTIL(atomic_load(&h.resumed) == 2);
  assert_false(told(k, "while"));
  atomic_store(&let_go, true);
  kit_wait(s);
  kit_wait(t);
  assert_int_equal(kit_stat(s, "done"), 2);
  assert_int_equal(kit_stat(t, "done"), 1);
  kit_close(s);
  kit_close(t);
  rt_bus_unsubscribe(k->bus, sub);
  kit_stop(k);
}

/* Who waits for room when its session ends is told. */
static void what_waits_ends_with_its_session(void **state) {
  kit *k = start(state, 0);
  replies r = {.code = RT_OK}, late = {.code = RT_OK};
  kit_cap(k, "held", (kit_opts){.fn = held});
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.grace = 0.2;
  rt_session *s = kit_open(k, "canceled", &o);
  rt_session *t = kit_open(k, "stopped", NULL);
  kit_dispatch(s, "node", "a");
  KIT_UNTIL(atomic_load(&ran) == 1);
  atomic_store(&resident, CEILING + 1);
  KIT_UNTIL(paused(s));
  post(s, "b", &r);
  post(t, "c", &late);
  KIT_OK(rt_session_cancel(s, "enough", false, err));
  KIT_UNTIL(atomic_load(&r.bad) == 1);
  assert_int_equal(r.code, RT_ECANCELED);
  kit_close(s);
  kit_close(t);
  KIT_UNTIL(atomic_load(&late.bad) + atomic_load(&late.good) == 1);
  atomic_store(&let_go, true);
  kit_stop(k);
}

/* A job that sends work to a session and waits for it, which nothing else can
 * do for it: slow, but it ends. */
static rt_session *inner;

static void outer_job(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  kit_dispatch(inner, "inner", "9001");
  kit_wait(inner);
  atomic_fetch_add(&ran, 1);
}

static void who_waits_for_work_gets_it_done(void **state) {
  kit *k = start(state, 0);
  rt__memory_opts opts = {.stall = 0.02};
  rt__engine_watch(k->engine, NULL, &opts);
  kit_cap(k, "outer", (kit_opts){.input = "outer", .fn = outer_job});
  kit_cap(k, "inner", (kit_opts){.input = "inner"});
  rt_session *s = kit_open(k, "around", NULL);
  inner = kit_open(k, "within", NULL);
  atomic_store(&resident, CEILING * 2);
  KIT_UNTIL(paused(s));
  kit_dispatch(s, "outer", "1");
  kit_wait(s);
  assert_int_equal(atomic_load(&ran), 1);
  assert_int_equal(kit_stat(inner, "done"), 1);
  kit_close(inner);
  kit_close(s);
  kit_stop(k);
}

/* Who waits after a dispatch that waits itself waits for both. */
static void waiting_keeps_its_place(void **state) {
  kit *k = start(state, 0);
  replies r = {.code = RT_OK};
  atomic_int done = 0;
  kit_cap(k, "held", (kit_opts){.input = "long", .fn = held});
  kit_cap(k, "other", (kit_opts){0});
  rt_session *s = kit_open(k, "first", NULL);
  rt_session *t = kit_open(k, "second", NULL);
  kit_dispatch(t, "node", "9001");
  kit_wait(t);
  kit_dispatch(s, "long", "a");
  KIT_UNTIL(atomic_load(&ran) == 1);
  atomic_store(&resident, CEILING * 2);
  KIT_UNTIL(paused(t));
  post(t, "9002", &r);
  rt_session_wait_async(t, kit_on_waited, &done);
  for (int i = 0; i < 20; i++) assert_int_equal(kit_stat(t, "done"), 1);
  assert_int_equal(atomic_load(&done), 0);
  atomic_store(&let_go, true);
  KIT_UNTIL(atomic_load(&done) == 2);
  assert_int_equal(atomic_load(&r.good), 1);
  kit_wait(s);
  kit_close(s);
  kit_close(t);
  kit_stop(k);
}

/* --- below the ceiling -----------------------------------------------------
 */
static void what_piles_up_is_collected(void **state) {
  kit *k = start(state, 1000);
  rt_session *s = kit_open(k, "excess", NULL);
  KIT_UNTIL(number(s, "target") == CEILING / 2);
  assert_int_equal(atomic_load(&collections), 0);
  atomic_store(&resident, CEILING / 2 + 1000);
  KIT_UNTIL(number(s, "resident") == CEILING / 2 + 1000);
  assert_int_equal(atomic_load(&collections), 0);
  atomic_store(&resident, CEILING / 2 + 1001);
  KIT_UNTIL(atomic_load(&collections) == 1);
  /* What is left after it is the new target. */
  KIT_UNTIL(number(s, "target") == CEILING / 2 + 1001);
  atomic_store(&resident, CEILING / 4);
  KIT_UNTIL(number(s, "target") == CEILING / 4);
  assert_false(paused(s));
  assert_int_equal(number(s, "ceiling"), CEILING);
  assert_int_equal(number(s, "collections"), 1);
  kit_close(s);
  kit_stop(k);
}

/* --- the heaps of scripts --------------------------------------------------
 */
static void show(int fd, const char *text, size_t size, void *arg) {
  (void)fd, (void)arg;
  fwrite(text, 1, size, stderr);
}

/* Always above the ceiling, so it is collected again and again; also on a
 * worker whose only process computes and allocates nothing. */
static void lua_heaps_are_collected(void **state) {
  static const char code[] =
      "local session, time = require('session'), require('time')\n"
      "local s = assert(session.open { name = 'heap', dir = arg[1],\n"
      "  capabilities = {} })\n"
      "local function lua() return s:stats().memory.lua end\n"
      "local before = lua()\n"
      "local busy = process.spawn(function(main)\n"
      "  local t = {}\n"
      "  for i = 1, 400000 do t[i] = { i } end\n"
      "  process.send(main, 'made')\n"
      "  process.inbox():receive()\n"
      "  t = nil\n"
      "  process.send(main, 'dropped')\n"
      "  while true do end end, process.pid())\n"
      "process.inbox():receive()\n"
      "while lua() < 10e6 do time.sleep(0.01) end\n"
      "process.send(busy, 'go')\n"
      "process.inbox():receive()\n"
      "while lua() > 8e6 do time.sleep(0.01) end\n"
      "assert(s:stats().memory.collections > 1)\n"
      "assert(s:stats().memory.paused)\n"
      "process.terminate(busy)\n"
      "assert(s:close())";
  char dir[] = "/tmp/memory-XXXXXX", command[100];
  const char *const args[] = {dir};
  rt_runtime *rt = NULL;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  int exit_code = -1;
  (void)state;
  assert_non_null(mkdtemp(dir));
  opts.workers = 2;
  opts.output = show;
  opts.memory_ceiling = 1;
  opts.memory_check = 0.01;
  KIT_OK(rt_runtime_new(&rt, &opts, err));
  script.code = code;
  script.code_size = sizeof(code) - 1;
  script.name = "heap";
  script.args = args;
  script.arg_count = 1;
  KIT_OK(rt_runtime_run(rt, &script, &exit_code, err));
  assert_int_equal(exit_code, 0);
  rt_runtime_free(rt);
  snprintf(command, sizeof(command), "rm -rf '%s'", dir);
  assert_int_equal(system(command), 0);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_ends_though_there_is_never_room),
      cmocka_unit_test(it_pauses_and_goes_on),
      cmocka_unit_test(what_waits_ends_with_its_session),
      cmocka_unit_test(who_waits_for_work_gets_it_done),
      cmocka_unit_test(waiting_keeps_its_place),
      cmocka_unit_test(what_piles_up_is_collected),
      cmocka_unit_test(lua_heaps_are_collected),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
