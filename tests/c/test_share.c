/* test_share.c - who gets how much: capabilities of one class, sessions of
 * very different sizes, sessions that end beside others, an intake that is
 * full.
 * SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "dispatcher/internal.h"
#include "engine_kit.h"

static atomic_int ran_slow, ran_quick, ran[3];
static atomic_int least[3], nap_us; /* see by_session() */
static atomic_bool let_go;
static const int sizes[] = {2000, 200, 20};

static void slow(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  atomic_fetch_add(&ran_slow, 1);
}

static void quick(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  atomic_fetch_add(&ran_quick, 1);
}

static void held(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  KIT_UNTIL(atomic_load(&let_go));
}

static void lower(atomic_int *to, int value) {
  int is = atomic_load(to);
  while (value < is && !atomic_compare_exchange_weak(to, &is, value)) continue;
}

/* Sessions are called "0", "1", "2". Of each is kept how many of the first one
 * had run at most when half of its own had: whoever waits for its end from
 * outside may be told late. */
static void by_session(kit_job *job, rt__end *end) {
  (void)end;
  int i = rt_session_name(job->order->session)[0] - '0';
  int large = atomic_load(&ran[0]);
  if (atomic_fetch_add(&ran[i], 1) >= sizes[i] / 2) lower(&least[i], large);
  usleep(i == 1 ? (unsigned)atomic_load(&nap_us) : 300);
}

static void forget_runs(int nap) {
  atomic_store(&nap_us, nap);
  for (int i = 0; i < 3; i++) {
    atomic_store(&ran[i], 0);
    atomic_store(&least[i], INT_MAX);
  }
}

static rt_value *assets(int count) {
  rt_value *list = NULL;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_array(b);
  for (int i = 0; i < count; i++) {
    char value[20];
    snprintf(value, sizeof(value), "%d", i);
    rt_builder_begin_map(b);
    rt_builder_key(b, "class");
    rt_builder_string(b, "a");
    rt_builder_key(b, "value");
    rt_builder_string(b, value);
    rt_builder_end(b);
  }
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &list, err));
  rt_builder_free(b);
  return list;
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  (void)err;
  assert_int_equal(code, RT_OK);
  rt_value_unref(result);
  atomic_fetch_add((atomic_int *)arg, 1);
}

static void dispatch_many(rt_session *s, int count) {
  atomic_int replies = 0;
  rt_value *list = assets(count);
  rt_session_dispatch_async(s, list, NULL, on_reply, &replies);
  KIT_UNTIL(atomic_load(&replies) == 1);
  rt_value_unref(list);
}

/* --- jobs of a session that are in memory, as the engine knows -------------
 */
typedef struct question {
  rt__cmd cmd;
  size_t *lives;
  uv_sem_t *told;
} question;

static void answer(rt__engine *engine, rt__cmd *cmd) {
  question *q = (question *)cmd;
  (void)engine;
  *q->lives = cmd->session->lives.count;
  uv_sem_t *told = q->told;
  rt__cmd_free(cmd);
  uv_sem_post(told);
}

static size_t lives_of(rt_session *s) {
  size_t lives = 0;
  uv_sem_t told;
  uv_sem_init(&told, 0);
  question *q = rt__cmd_new(sizeof(*q), answer, s);
  q->lives = &lives;
  q->told = &told;
  rt__port_post(s->port, &q->cmd);
  uv_sem_wait(&told);
  uv_sem_destroy(&told);
  return lives;
}

/* --- one class, a slow and a quick capability ------------------------------
 */
/* Few, as this is about who waits for whom; as many as SHARE_ITEMS says. */
static int slow_items(void) {
  const char *items = getenv("SHARE_ITEMS");
  return items ? atoi(items) : 3000;
}

static void a_slow_capability_holds_up_nobody(void **state) {
  kit *k = kit_start(state);
  atomic_store(&ran_slow, 0);
  atomic_store(&ran_quick, 0);
  kit_cap(k, "slow", (kit_opts){.input = "a", .rate = 10, .fn = slow});
  kit_cap(k, "quick", (kit_opts){.input = "a", .fn = quick});
  rt_session *s = kit_open(k, "both", NULL);
  uint64_t start = rt__now_ns();
  int items = slow_items();
  dispatch_many(s, items);
  KIT_UNTIL(atomic_load(&ran_quick) == items);
  int done = atomic_load(&ran_slow);
  double seconds = (double)(rt__now_ns() - start) * 1e-9;
  assert_true(done <= 10 + 10 * seconds + 1);
  /* The rest waits in the file: no more than a window is in memory. */
  size_t lives = lives_of(s);
  assert_true(lives >= 1 && lives <= RT__WINDOW_MAX + 300); /* some end */
  KIT_UNTIL(kit_stat(s, "queued") <= items);
  assert_true(kit_stat(s, "queued") > items - 1000);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  assert_int_equal(kit_stat(s, "queued"), 0);
  kit_close(s);
  kit_stop(k);
}

/* --- sessions of very different sizes --------------------------------------
 */
static void three_sessions_share_evenly(void **state) {
  kit *k = kit_start(state);
  rt_session *s[3];
  kit_cap(k, "turn",
          (kit_opts){.input = "a", .max_instances = 3, .fn = by_session});
  forget_runs(300);
  for (int i = 0; i < 3; i++) {
    char name[2] = {(char)('0' + i), 0};
    s[i] = kit_open(k, name, NULL);
    rt_session_pause(s[i]);
    dispatch_many(s[i], sizes[i]);
  }
  for (int i = 0; i < 3; i++) rt_session_resume(s[i]);
  /* The small ones do not wait for the large one's backlog. */
  kit_wait(s[2]);
  assert_int_equal(atomic_load(&ran[2]), sizes[2]);
  assert_in_range(atomic_load(&least[2]), 0, 800);
  assert_true(lives_of(s[0]) <= RT__WINDOW_MAX + 10);
  /* One that is canceled and closed disturbs nobody. */
  KIT_OK(rt_session_cancel(s[2], "done", false, err));
  kit_close(s[2]);
  kit_wait(s[1]);
  assert_int_equal(atomic_load(&ran[1]), sizes[1]);
  assert_in_range(atomic_load(&least[1]), 0, sizes[0] - 1);
  kit_close(s[1]);
  kit_wait(s[0]);
  assert_int_equal(atomic_load(&ran[0]), sizes[0]);
  assert_int_equal(kit_stat(s[0], "done"), sizes[0]);
  kit_close(s[0]);
  kit_stop(k);
}

/* One is canceled in the middle, with jobs that run and many that wait: its own
 * take so long that it is not over by then. */
static void one_that_is_canceled_leaves_the_others(void **state) {
  kit *k = kit_start(state);
  rt_session *s[3];
  kit_cap(k, "turn",
          (kit_opts){.input = "a", .max_instances = 3, .fn = by_session});
  forget_runs(20000);
  for (int i = 0; i < 3; i++) {
    char name[2] = {(char)('0' + i), 0};
    s[i] = kit_open(k, name, NULL);
    rt_session_pause(s[i]);
    dispatch_many(s[i], 300);
  }
  for (int i = 0; i < 3; i++) rt_session_resume(s[i]);
  KIT_UNTIL(atomic_load(&ran[1]) > 20);
  KIT_OK(rt_session_cancel(s[1], "enough", false, err));
  kit_close(s[1]);
  kit_wait(s[0]);
  kit_wait(s[2]);
  assert_int_equal(atomic_load(&ran[0]), 300);
  assert_int_equal(atomic_load(&ran[2]), 300);
  int before = atomic_load(&ran[1]);
  assert_true(before < 300);
  /* What it had left is there when it is opened again. */
  atomic_store(&nap_us, 300);
  s[1] = kit_open(k, "1", NULL);
  kit_wait(s[1]);
  assert_int_equal(atomic_load(&ran[1]), 300);
  for (int i = 0; i < 3; i++) kit_close(s[i]);
  kit_stop(k);
}

/* Only who has work takes a share of what is kept in memory. */
static void idle_sessions_take_no_share(void **state) {
  kit *k = kit_start(state);
  rt_session *idle[12];
  atomic_store(&let_go, false);
  kit_cap(k, "held", (kit_opts){.input = "a", .max_instances = 1, .fn = held});
  for (int i = 0; i < 12; i++) {
    char name[20];
    snprintf(name, sizeof(name), "idle%d", i);
    idle[i] = kit_open(k, name, NULL);
  }
  rt_session *s = kit_open(k, "busy", NULL);
  dispatch_many(s, 2000);
  KIT_UNTIL(lives_of(s) > RT__WINDOW_MAX / 2);
  assert_true(lives_of(s) <= RT__WINDOW_MAX + 10);
  KIT_OK(rt_session_cancel(idle[0], "not needed", false, err));
  atomic_store(&let_go, true);
  kit_wait(s);
  assert_int_equal(kit_stat(s, "done"), 2000);
  kit_close(s);
  for (int i = 0; i < 12; i++) kit_close(idle[i]);
  kit_stop(k);
}

/* --- an intake that is full ------------------------------------------------
 */
typedef struct gate {
  uv_sem_t entered, leave;
  atomic_int times;
} gate;

static void on_commit(int64_t last_asset, void *arg) {
  gate *g = arg;
  (void)last_asset;
  if (atomic_fetch_add(&g->times, 1) > 0) return;
  uv_sem_post(&g->entered);
  uv_sem_wait(&g->leave);
}

#define SENT 70000

/* While the engine is kept from its work nobody gets an answer, who asks is
 * told that it is full, and all is applied in the end. */
static void a_full_intake_lets_senders_wait(void **state) {
  kit *k = kit_start(state);
  gate g = {.times = 0};
  atomic_int replies = 0, first = 0;
  uv_sem_init(&g.entered, 0);
  uv_sem_init(&g.leave, 0);
  rt_session *s = kit_open(k, "full", NULL);
  rt_session_on_commit(s, on_commit, &g);
  rt_value *one = assets(1), *two = assets(2);
  rt_session_dispatch_async(s, one, NULL, on_reply, &first);
  uv_sem_wait(&g.entered);
  assert_false(rt__engine_full(k->engine));
  for (int i = 0; i < SENT; i++) {
    rt_session_dispatch_async(s, two, NULL, on_reply, &replies);
  }
  assert_true(rt__engine_full(k->engine));
  assert_int_equal(atomic_load(&replies), 0);
  uv_sem_post(&g.leave);
  KIT_UNTIL(atomic_load(&replies) == SENT);
  assert_false(rt__engine_full(k->engine));
  assert_int_equal(atomic_load(&first), 1);
  assert_int_equal(kit_assets(k, "full"), 2);
  rt_session_on_commit(s, NULL, NULL);
  rt_value_unref(one);
  rt_value_unref(two);
  kit_close(s);
  kit_stop(k);
  uv_sem_destroy(&g.entered);
  uv_sem_destroy(&g.leave);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_slow_capability_holds_up_nobody),
      cmocka_unit_test(three_sessions_share_evenly),
      cmocka_unit_test(one_that_is_canceled_leaves_the_others),
      cmocka_unit_test(idle_sessions_take_no_share),
      cmocka_unit_test(a_full_intake_lets_senders_wait),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
