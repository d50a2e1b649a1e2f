/* test_worker.c - tasks, timers, operations and holds of workers.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

#define POSTERS 4
#define TASKS   2000
#define TIMERS  500

/* Waits until *count is `wanted`; false after 30 s. */
static bool wait_count(atomic_uint *count, unsigned wanted) {
  uint64_t end = uv_hrtime() + 30u * 1000000000ull;
  while (atomic_load(count) < wanted && uv_hrtime() < end) uv_sleep(1);
  return atomic_load(count) == wanted;
}

/* --- tasks ------------------------------------------------------------------
 */

typedef struct numbered {
  rt__task task;
  struct poster *poster;
  unsigned number;
} numbered;

typedef struct poster {
  rt__worker *worker;
  numbered tasks[TASKS];
  unsigned seen; /* worker's thread */
  atomic_uint done;
  bool ordered;
} poster;

static void run_numbered(rt__worker *worker, rt__task *task) {
  numbered *n = (numbered *)task;
  (void)worker;
  if (n->number != n->poster->seen) n->poster->ordered = false;
  n->poster->seen++;
  atomic_fetch_add(&n->poster->done, 1);
}

static void post_all(void *arg) {
  poster *p = arg;
  for (unsigned i = 0; i < TASKS; i++) {
    p->tasks[i] = (numbered){{NULL, run_numbered}, p, i};
    rt__worker_post(p->worker, &p->tasks[i].task);
  }
}

static void tasks_of_one_poster_keep_their_order(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  uv_thread_t threads[POSTERS];
  poster *posters = calloc(POSTERS, sizeof(*posters));
  assert_non_null(posters);
  for (int i = 0; i < POSTERS; i++) {
    posters[i].worker = rt__runtime_worker(runner_runtime(r), 0);
    posters[i].ordered = true;
    assert_int_equal(uv_thread_create(&threads[i], post_all, &posters[i]), 0);
  }
  for (int i = 0; i < POSTERS; i++) uv_thread_join(&threads[i]);
  for (int i = 0; i < POSTERS; i++) {
    assert_true(wait_count(&posters[i].done, TASKS));
    assert_true(posters[i].ordered);
  }
  runner_free(r);
  free(posters);
}

/* --- timers
 * ------------------------------------------------------------------- */

typedef struct timed {
  rt__timer timer;
  struct timers *all;
  bool stopped;
} timed;

typedef struct timers {
  rt__task task;
  timed list[TIMERS];
  uint64_t last;
  bool ordered, fired_stopped;
  atomic_uint fired;
} timers;

static void on_fire(rt__worker *worker, rt__timer *timer) {
  timed *t = (timed *)timer;
  (void)worker;
  if (t->stopped) t->all->fired_stopped = true;
  if (timer->due < t->all->last || timer->due > uv_hrtime())
    t->all->ordered = false;
  t->all->last = timer->due;
  atomic_fetch_add(&t->all->fired, 1);
}

static void start_timers(rt__worker *worker, rt__task *task) {
  timers *all = (timers *)task;
  for (int i = 0; i < TIMERS; i++) {
    timed *t = &all->list[i];
    t->all = all;
    t->timer.fire = on_fire;
    rt__timer_start(worker, &t->timer, (i * 7919 % TIMERS) / 10000.0);
  }
  for (int i = 0; i < TIMERS; i += 3) {
    all->list[i].stopped = true;
    rt__timer_stop(worker, &all->list[i].timer);
    rt__timer_stop(worker, &all->list[i].timer);
  }
}

static void timers_fire_in_order(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  timers *all = calloc(1, sizeof(*all));
  assert_non_null(all);
  all->ordered = true;
  all->task.run = start_timers;
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &all->task);
  assert_true(wait_count(&all->fired, TIMERS - (TIMERS + 2) / 3));
  assert_true(all->ordered);
  assert_false(all->fired_stopped);
  runner_free(r);
  free(all);
}

/* --- holds
 * ---------------------------------------------------------------------- */

typedef struct holder {
  runner *r;
  atomic_uint released;
} holder;

static void release_when_over(void *arg) {
  holder *h = arg;
  runner_wait(h->r, "over");
  uv_sleep(5); /* for a program that would wrongly end by now */
  atomic_store(&h->released, 1);
  rt__runtime_release(runner_runtime(h->r));
}

static void a_hold_keeps_the_program(void **state) {
  (void)state;
  holder h = {.r = runner_new(2, 0)};
  uv_thread_t thread;
  rt__runtime_hold(runner_runtime(h.r));
  assert_int_equal(uv_thread_create(&thread, release_when_over, &h), 0);
  assert_int_equal(runner_run(h.r, "print('over')"), 0);
  assert_int_equal(atomic_load(&h.released), 1);
  uv_thread_join(&thread);
  runner_free(h.r);
}

static void holds_return_to_none(void **state) {
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  for (int i = 0; i < 50; i++)
    assert_int_equal(runner_run(r,
                                "local pid = process.spawn_monitored(function()"
                                " require('time').sleep(0.001) end)\n"
                                "process.events():receive()"),
                     0);
  uint64_t end = uv_hrtime() + 30u * 1000000000ull;
  while (atomic_load(&rt->holds) != 0 && uv_hrtime() < end) uv_sleep(1);
  assert_int_equal(atomic_load(&rt->holds), 0);
  runner_free(r);
}

static void a_runtime_starts_and_ends_often(void **state) {
  (void)state;
  for (int i = 0; i < 30; i++) runner_free(runner_new(3, 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tasks_of_one_poster_keep_their_order),
      cmocka_unit_test(timers_fire_in_order),
      cmocka_unit_test(a_hold_keeps_the_program),
      cmocka_unit_test(holds_return_to_none),
      cmocka_unit_test(a_runtime_starts_and_ends_often),
  };
  return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
