/* test_idle.c - a runtime without work gives memory back, and then sleeps.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>

#include "process/sched.h"
#include "runner.h"
#include "sanitized.h"

#define PROCESSES (SANITIZED ? 5000 : 100000)
#define MB        ((size_t)1 << 20)

static uint64_t deadline(void) {
  return uv_hrtime() + 60u * 1000000000ull;
}

/* --- what is used ---------------------------------------------------------
 */

typedef struct look {
  rt__task task;
  size_t used;
  bool settled;
  atomic_bool done;
} look;

static void run_look(rt__worker *worker, rt__task *task) {
  look *l = (look *)task;
  rt__vm *vm;
  l->used = 0;
  l->settled = worker->tidy_due == 0 && !worker->trim;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++) {
    l->used += vm->used;
    if (vm->tidying) l->settled = false;
  }
  atomic_store(&l->done, true);
}

static look look_at(runner *r) {
  look l = {.task = {NULL, run_look}};
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &l.task);
  while (!atomic_load(&l.done)) uv_sleep(1);
  return l;
}

static size_t resident(void) {
  unsigned long size = 0, pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%lu %lu", &size, &pages), 2);
  fclose(file);
  return pages * 4096;
}

/* The most it has been: some may be given back before this thread looks. */
static size_t peak_resident(void) {
  struct rusage usage;
  assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
  return (size_t)usage.ru_maxrss * 1024;
}

static void memory_goes_back(void **state) {
  (void)state;
  char code[512];
  runner *r = runner_new(1, 0);
  assert_int_equal(runner_run(r, "return 1"), 0);
  size_t used = look_at(r).used, before = resident();
  snprintf(code, sizeof(code),
           "local left = %d\n"
           "local events = process.events()\n"
           "for i = 1, left do\n"
           "  local pid = process.spawn_monitored(function()\n"
           "    process.inbox():receive()\n"
           "  end)\n"
           "  process.registry.register('p' .. i, pid)\n"
           "end\n"
           "process.registry.register('main')\n"
           "for i = 1, left do process.send('p' .. i, 'end') end\n"
           "while left > 0 do events:receive() left = left - 1 end\n",
           PROCESSES);
  assert_int_equal(runner_run(r, code), 0);
  uint64_t end = deadline();
  size_t peak = peak_resident();
  look now = look_at(r);
  while ((!now.settled || now.used > used + 16 * MB) && uv_hrtime() < end) {
    uv_sleep(5);
    now = look_at(r);
  }
  assert_true(now.settled);
  assert_in_range(now.used, 1, used + 16 * MB);
  if (!SANITIZED) {
    assert_true(peak > before + 60 * MB);
    while (resident() > before + (peak - before) / 2 && uv_hrtime() < end)
      uv_sleep(20);
    assert_in_range(resident(), 1, before + (peak - before) / 2);
  }
  runner_free(r);
}

/* --- sleeping -------------------------------------------------------------
 * Each time a thread waits counts, so that a wake-up of ours is seen whatever
 * else the machine does. */

static long waits_of(const char *tid) {
  char path[300], line[256];
  long count = 0;
  snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  while (fgets(line, sizeof(line), file))
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1) break;
  fclose(file);
  return count;
}

/* Of all threads but this one. */
static long waits(void) {
  long sum = 0;
  char own[32];
  snprintf(own, sizeof(own), "%ld", (long)uv_os_getpid());
  DIR *dir = opendir("/proc/self/task");
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir)) != NULL;)
    if (e->d_name[0] != '.' && strcmp(e->d_name, own) != 0)
      sum += waits_of(e->d_name);
  closedir(dir);
  return sum;
}

/* Processes wait for messages, events, and for a time that is far. */
static const char parked[] =
    "for i = 1, 200 do\n"
    "  process.spawn(function()\n"
    "    local events = require('events')\n"
    "    local sub = events.subscribe('idle.**')\n"
    "    local far = require('time').after('1h')\n"
    "    channel.select({ process.inbox():case_receive(),\n"
    "      sub:channel():case_receive(), far:case_receive() })\n"
    "  end)\n"
    "end\n"
    "print('parked')\n"
    "process.inbox():receive()\n";

static void run_parked(void *arg) {
  runner_run(arg, parked);
}

static void an_idle_runtime_sleeps(void **state) {
  (void)state;
  enum { FEW = 4 };
  runner *r = runner_new(2, 0);
  uv_thread_t thread;
  uint64_t end = deadline();
  long most = SANITIZED ? 1000 : FEW, seen;
  assert_int_equal(uv_thread_create(&thread, run_parked, r), 0);
  assert_true(runner_wait(r, "parked"));
  do { /* until it has settled */
    long before = waits();
    uv_sleep(1000);
    seen = waits() - before;
  } while (seen > most && uv_hrtime() < end);
  assert_in_range(seen, 0, most);
  rt_runtime_interrupt(runner_runtime(r), 130);
  uv_thread_join(&thread);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_goes_back),
      cmocka_unit_test(an_idle_runtime_sleeps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
