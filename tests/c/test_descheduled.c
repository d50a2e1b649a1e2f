/* test_descheduled.c - a worker that the system gives little of a core: what
 * counts is what its processes compute, not what time it is meanwhile.
 *
 * The worker has the lowest priority, on one core with a thread that never
 * pauses. Where that does not take the core from it the tests prove nothing,
 * and pass.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/sched.h"
#include "runner.h"

typedef struct slowed {
  rt__task task;
  runner *r;
  uv_thread_t burner;
  cpu_set_t core;
  atomic_bool ready, stop, ended;
  /* of the process */
  bool nowait;
  double deadline;
  uint64_t work; /* ns of CPU */
  bool armed;    /* the watchdog meant it */
  rt_err how;
} slowed;

static void burn(void *arg) {
  slowed *s = arg;
  pthread_setaffinity_np(pthread_self(), sizeof(s->core), &s->core);
  while (!atomic_load(&s->stop)) {
  }
}

static void slow_down(rt__worker *worker, rt__task *task) {
  slowed *s = (slowed *)task;
  (void)worker;
  pthread_setaffinity_np(pthread_self(), sizeof(s->core), &s->core);
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
  atomic_store(&s->ready, true);
}

static void start(slowed *s) {
  cpu_set_t all;
  memset(s, 0, sizeof(*s));
  CPU_ZERO(&s->core);
  assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
  for (int i = CPU_SETSIZE - 1; i >= 0 && CPU_COUNT(&s->core) == 0; i--)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &s->core);
  s->r = runner_new(1, 0);
  s->task.run = slow_down;
  rt__worker_post(rt__runtime_worker(runner_runtime(s->r), 0), &s->task);
  while (!atomic_load(&s->ready)) uv_sleep(1);
  assert_int_equal(uv_thread_create(&s->burner, burn, s), 0);
}

static void stop(slowed *s) {
  atomic_store(&s->stop, true);
  uv_thread_join(&s->burner);
  runner_free(s->r);
}

/* (slowed) -> false once it has computed enough: a bit of it */
static int l_work(lua_State *L) {
  slowed *s = lua_touserdata(L, 1);
  rt__worker *worker = rt__worker_of(L);
  uint64_t begin = rt__cpu_ns(), bit = 200000;
  while (rt__cpu_ns() - begin < bit) {
  }
  if (atomic_load(&worker->armed) == atomic_load(&worker->epoch))
    s->armed = true;
  s->work = s->work > bit ? s->work - bit : 0;
  lua_pushboolean(L, s->work > 0);
  return 1;
}

static void on_end(rt__process *process, rt_err how, rt_value *result,
                   rt_value *error, void *arg) {
  slowed *s = arg;
  (void)process, (void)result, (void)error;
  s->how = how;
  atomic_store(&s->ended, true);
}

static void start_process(rt__worker *worker, rt__task *task) {
  slowed *s = (slowed *)task;
  lua_State *L = worker->vm->L;
  rt__start spec = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  spec.on_exit = on_end;
  spec.exit_arg = s;
  spec.nowait = s->nowait;
  spec.deadline = s->deadline;
  luaL_loadstring(L, "local work, slowed = ... while work(slowed) do end");
  lua_pushcfunction(L, l_work);
  lua_pushlightuserdata(L, s);
  rt__process_start(NULL, worker->vm, &spec, 2, &err);
}

/* Answers how long it took, ns. */
static uint64_t run(slowed *s) {
  uint64_t begin = uv_hrtime();
  s->task.run = start_process;
  atomic_store(&s->ended, false);
  rt__worker_post(rt__runtime_worker(runner_runtime(s->r), 0), &s->task);
  while (!atomic_load(&s->ended)) uv_sleep(1);
  return uv_hrtime() - begin;
}

/* Which a turn of 3 ms is, however long it takes. */
static void a_short_turn_is_not_preempted(void **state) {
  (void)state;
  slowed s;
  start(&s);
  for (int i = 0; i < 4; i++) {
    s.work = 3000000;
    uint64_t took = run(&s);
    assert_int_equal(s.how, RT_OK);
    if (s.armed)
      fail_msg("interrupted after 3 ms of %d", (int)(took / 1000000));
  }
  stop(&s);
}

/* What may not wait has its time for computing. */
static void a_time_for_computing_is_given(void **state) {
  (void)state;
  slowed s;
  start(&s);
  s.nowait = true;
  s.deadline = 0.1;
  s.work = 15000000;
  uint64_t took = run(&s);
  if (s.how != RT_OK) fail_msg("ended, %d ms", (int)(took / 1000000));
  s.deadline = 0.01;
  s.work = 10000000000u;
  run(&s);
  assert_int_equal(s.how, RT_ETIMEOUT);
  stop(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_short_turn_is_not_preempted),
      cmocka_unit_test(a_time_for_computing_is_given),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
