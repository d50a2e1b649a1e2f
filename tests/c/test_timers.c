/* test_timers.c - the timers of a worker, and those of its processes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

/* --- the heap: whatever is started and stopped, all fire once, in order ------
 */

enum { TIMERS = 3000, STEPS = 60000 };

typedef struct probe {
  rt__timer timer;
  bool armed;
} probe;

static uint64_t last_due;
static size_t fired;

static void on_probe(rt__worker *worker, rt__timer *timer) {
  probe *p = (probe *)timer;
  (void)worker;
  assert_true(p->armed);
  assert_int_equal(timer->at, 0);
  assert_true(timer->due >= last_due);
  last_due = timer->due;
  p->armed = false;
  fired++;
}

static uint32_t next_random(void) {
  static uint32_t seed = 4711;
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static void start(rt__worker *worker, probe *p, double seconds) {
  assert_int_equal(rt__timer_start(worker, &p->timer, seconds), RT_OK);
  p->armed = true;
}

static size_t count_armed(const probe *all) {
  size_t count = 0;
  for (int i = 0; i < TIMERS; i++) count += all[i].armed;
  return count;
}

static void run_until(rt__worker *worker, size_t wanted) {
  uint64_t end = uv_hrtime() + 60u * 1000000000ull;
  last_due = fired = 0;
  while (fired < wanted && uv_hrtime() < end) {
    rt__timers_run(worker);
    last_due = 0; /* some start while others fire: in order within one run */
  }
  assert_int_equal(fired, wanted);
}

static void all_fire_once_in_order(void **state) {
  (void)state;
  rt__worker *worker = calloc(1, sizeof(*worker));
  probe *all = calloc(TIMERS, sizeof(*all));
  assert_non_null(worker);
  assert_non_null(all);
  for (int i = 0; i < TIMERS; i++) all[i].timer.fire = on_probe;
  for (int i = 0; i < STEPS; i++) {
    probe *p = &all[next_random() % TIMERS];
    if (next_random() % 3 > 0) {
      start(worker, p, (next_random() % 1000) * 1e-9);
    } else {
      rt__timer_stop(worker, &p->timer);
      p->armed = false;
    }
    assert_int_equal(worker->timers.count > 0,
                     rt__timers_due(&worker->timers) != UINT64_MAX);
  }
  size_t armed = count_armed(all);
  assert_int_equal(worker->timers.count, armed);
  run_until(worker, armed);
  assert_int_equal(count_armed(all), 0);
  assert_int_equal(rt__timers_run(worker), UINT64_MAX);
  for (int i = 0; i < TIMERS; i++) start(worker, &all[i], 3600);
  for (int i = 0; i < TIMERS; i++) rt__timer_stop(worker, &all[i].timer);
  assert_int_equal(worker->timers.count, 0);
  assert_in_range(worker->timers.room, 0, TIMERS / 4); /* given back */
  free(worker->timers.heap);
  free(worker);
  free(all);
}

/* --- of processes: none outlives its own ------------------------------------
 */

typedef struct look {
  rt__task task;
  size_t timers;
  atomic_bool done;
} look;

static void run_look(rt__worker *worker, rt__task *task) {
  look *l = (look *)task;
  l->timers = worker->timers.count;
  atomic_store(&l->done, true);
}

static size_t timers_of(runner *r) {
  look l = {.task = {NULL, run_look}};
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &l.task);
  while (!atomic_load(&l.done)) uv_sleep(1);
  return l.timers;
}

static void none_outlives_its_process(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  assert_int_equal(
      runner_run(r, "local time = require('time')\n"
                    "local events = process.events()\n"
                    "local function fn(how, parent)\n"
                    "  local time, all = require('time'), {}\n"
                    "  for i = 1, 300 do\n"
                    "    all[i] = time.timer(i % 3 == 0 and 0 or 3600)\n"
                    "    if i % 5 == 0 then all[i]:stop() end\n"
                    "  end\n"
                    "  local ticker = time.ticker(0.001)\n"
                    "  ticker:channel():receive()\n"
                    "  if how == 'error' then error('x') end\n"
                    "  process.send(parent, 'ready')\n"
                    "  if how == 'wait' then time.after('1h'):receive() end\n"
                    "end\n"
                    "local ready = process.listen('ready')\n"
                    "for i = 1, 60 do\n"
                    "  local how = ({'return', 'error', 'wait'})[i % 3 + 1]\n"
                    "  local pid = process.spawn_monitored(fn, how,\n"
                    "    process.pid())\n"
                    "  if how ~= 'error' then ready:receive() end\n"
                    "  if how == 'wait' then process.terminate(pid) end\n"
                    "  events:receive()\n"
                    "end"),
      0);
  assert_int_equal(timers_of(r), 0);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_fire_once_in_order),
      cmocka_unit_test(none_outlives_its_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
