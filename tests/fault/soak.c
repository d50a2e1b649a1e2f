/* soak.c - random lives of processes for a time, then nothing may be left.
 *
 *   soak SECONDS [SEED]
 *
 * Rounds of soak.lua run one after another in one runtime, with two workers and
 * VMs that are full with forty processes. After each there may be no
 * process, timer, operation, subscription or hold; no more descriptors than
 * after the first, and no more references in the VMs; the memory of the whole
 * must not grow.
 *
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process/sched.h"

#define WORKERS   2
#define FULL      40
#define ROUND_S   3.0
#define WAIT_NS   30000000000u
#define RSS_SLACK (24u << 20)

typedef struct left {
  unsigned processes, timers, ops, descriptors, vms;
  uint64_t subscribers;
  size_t references, memory;
} left;

static char said[4096];
static uv_mutex_t lock;

static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)arg;
  uv_mutex_lock(&lock);
  if (fd == 1 && size < sizeof(said)) {
    memcpy(said, text, size);
    said[size] = 0;
  } else {
    fprintf(stderr, "%.*s", (int)size, text);
  }
  uv_mutex_unlock(&lock);
}

/* --- what is left ------------------------------------------------------------
 */

static unsigned count_descriptors(void) {
  unsigned count = 0;
  DIR *dir = opendir("/proc/self/fd");
  if (!dir) return 0;
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

static size_t resident(void) {
  unsigned long pages = 0, all = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  if (fscanf(file, "%lu %lu", &all, &pages) != 2) pages = 0;
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

typedef struct look_task {
  rt__task task;
  uv_sem_t done;
  left *found;
} look_task;

static size_t count_references(lua_State *L) {
  size_t count = 0;
  lua_pushnil(L);
  while (lua_next(L, LUA_REGISTRYINDEX)) {
    if (lua_type(L, -2) != LUA_TNUMBER || lua_type(L, -1) != LUA_TNUMBER)
      count++; /* else a place in the list of free references */
    lua_pop(L, 1);
  }
  return count;
}

/* On the worker's thread. */
static void look(rt__worker *worker, rt__task *task) {
  look_task *t = (look_task *)task;
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++) {
    t->found->vms++;
    t->found->processes += rt__pids_live(&vm->pids);
    if (!vm->L) continue;
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    t->found->references += count_references(vm->L);
    t->found->memory += vm->used;
  }
  t->found->timers += (unsigned)worker->timers.count;
  t->found->ops += (unsigned)worker->ops;
  uv_sem_post(&t->done);
}

static left look_at(rt_runtime *rt) {
  left found = {0};
  rt_bus_stats stats = {0};
  for (unsigned i = 0; i < WORKERS; i++) {
    look_task task = {.task.run = look, .found = &found};
    uv_sem_init(&task.done, 0);
    rt__worker_post(rt__runtime_worker(rt, i), &task.task);
    uv_sem_wait(&task.done);
    uv_sem_destroy(&task.done);
  }
  rt_bus_get_stats(rt_runtime_bus(rt), &stats);
  found.subscribers = stats.subscribers;
  found.descriptors = count_descriptors();
  return found;
}

static bool nothing(const left *l) {
  return l->processes + l->timers + l->ops == 0 && l->subscribers == 0;
}

/* What a process had open may be closed a moment after it. */
static left settle(rt_runtime *rt) {
  uint64_t end = uv_hrtime() + WAIT_NS;
  left found = look_at(rt);
  while (!nothing(&found) && uv_hrtime() < end) {
    uv_sleep(5);
    found = look_at(rt);
  }
  return found;
}

/* --- rounds
 * -------------------------------------------------------------------
 */

static int run_round(rt_runtime *rt, double seconds, unsigned seed) {
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  char length[32], number[32];
  const char *args[] = {length, number};
  int code = 1;
  snprintf(length, sizeof(length), "%.3f", seconds);
  snprintf(number, sizeof(number), "%u", seed);
  script.path = "tests/fault/soak.lua";
  script.args = args;
  script.arg_count = 2;
  if (rt_runtime_run(rt, &script, &code, &err) != RT_OK)
    fprintf(stderr, "soak: %s\n", err.message);
  return code;
}

static const char *compare(const left *first, const left *now) {
  if (!nothing(now)) return "something is left";
  if (now->descriptors > first->descriptors + 2) return "descriptors leak";
  /* Each VM that was added since has its own, a few hundred. */
  size_t each = first->references / first->vms;
  if (now->references > each * now->vms + each / 4 * now->vms + 64)
    return "references leak";
  return NULL;
}

static void show(const char *what, const left *l) {
  printf("# %s: %u processes, %u timers, %u operations, %llu subscribers, "
         "%u descriptors, %zu references and %zu KiB in %u VMs\n",
         what, l->processes, l->timers, l->ops,
         (unsigned long long)l->subscribers, l->descriptors, l->references,
         l->memory / 1024, l->vms);
}

static const char *soak(rt_runtime *rt, double seconds, unsigned seed) {
  uint64_t start = uv_hrtime(), end = start + (uint64_t)(seconds * 1e9);
  uint64_t warm = start + (uint64_t)(seconds * 1e9 / 4);
  size_t rss = 0;
  left first = {0}, now = {0};
  const char *why = NULL;
  double length = seconds / 6 < ROUND_S ? seconds / 6 : ROUND_S;
  for (unsigned round = 0; !why && (round < 2 || uv_hrtime() < end); round++) {
    if (run_round(rt, length, seed + round) != 0) return "a round failed";
    now = settle(rt);
    if (round == 0) first = now;
    why = compare(&first, &now);
    if (uv_hrtime() < warm || rss == 0) rss = resident();
    printf("# round %u: %s", round + 1, said);
    if (why) show("left", &now);
  }
  show("first", &first);
  show("last", &now);
  printf("# resident: %zu KiB after a quarter, %zu KiB at the end\n",
         rss / 1024, resident() / 1024);
  if (!why && resident() > rss + rss / 4 + RSS_SLACK) why = "memory grows";
  return why;
}

int main(int argc, char **argv) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_runtime *rt = NULL;
  rt_error err = RT_ERROR_INIT;
  double seconds = argc > 1 ? atof(argv[1]) : 12;
  unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10)
                           : (unsigned)time(NULL) & 0xffffff;
  setvbuf(stdout, NULL, _IOLBF, 0);
  uv_mutex_init(&lock);
  opts.workers = WORKERS;
  opts.script_dir = "tests/fault";
  opts.output = on_output;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) return 1;
  rt->vm_processes = FULL;
  printf("# seed %u\n", seed);
  const char *why = soak(rt, seconds, seed);
  rt_runtime_free(rt);
  uv_mutex_destroy(&lock);
  if (why)
    printf("not ok - soak with seed %u: %s\n", seed, why);
  else
    printf("ok - soak of %.0f s: nothing is left\n", seconds);
  return why ? 1 : 0;
}
