/* attacks.c - hostile scripts beside an innocent one, on one worker and VM.
 *
 *   attacks terminate|deadline|shutdown [part of a name]
 *
 * Each attack of attacks.lua runs while the innocent process counts its
 * rounds; when that has gone on, the attack is ended the way the argument says,
 * and the innocent must go on. Nothing here asserts how fast: a round or an end
 * that never comes is the failure; how long they took is printed.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/sched.h"

#define VM_MEMORY (96u << 20)
#define ROUNDS    8
#define HANG_NS   60000000000u
#define MOST      128
#define DEADLINE  0.02

/* Of CPU, for a round of the innocent beside one that only computes: it waits
 * for its turn two or three times, and a turn is to be some 10 ms. */
#define ROUND_CPU 0.15
#define TRIES     5

typedef struct attack {
  char name[64];
  bool memory; /* may meet the limit of memory before it is ended */
  bool waits;  /* does not only compute: the log may not say where */
  bool held;   /* cannot be preempted: may be ended for holding up its worker */
} attack;

typedef struct fight {
  rt_runtime *rt;
  uv_mutex_t lock;
  uv_cond_t changed;
  /* guarded by lock */
  unsigned rounds;
  bool ended;
  uint64_t ended_at;
  char kind[32], message[256];
  char *log, *list; /* what is logged; what the main script prints */
  size_t log_size, list_size;
  /* the main thread */
  double quiet; /* seconds for a round of the innocent without attack */
  double slowest_end, slowest_round;
  const char *slowest_end_name, *slowest_round_name;
} fight;

/* --- what the runtime tells ---------------------------------------------- */

static void append(char **to, size_t *have, const char *text, size_t size) {
  *to = realloc(*to, *have + size + 1);
  if (!*to) abort();
  memcpy(*to + *have, text, size);
  *have += size;
  (*to)[*have] = 0;
}

static void on_output(int fd, const char *text, size_t size, void *arg) {
  fight *f = arg;
  (void)fd;
  uv_mutex_lock(&f->lock);
  if (size == 6 && memcmp(text, "round\n", 6) == 0)
    f->rounds++;
  else if (!f->ended && size > 2)
    append(&f->list, &f->list_size, text, size);
  uv_cond_broadcast(&f->changed);
  uv_mutex_unlock(&f->lock);
}

static void on_log(rt_log_level level, const char *message,
                   const rt_value *fields, void *arg) {
  fight *f = arg;
  (void)level;
  (void)fields;
  uv_mutex_lock(&f->lock);
  if (f->log_size < 1u << 20) {
    append(&f->log, &f->log_size, message, strlen(message));
    append(&f->log, &f->log_size, "\n", 1);
  }
  uv_mutex_unlock(&f->lock);
}

static void copy_field(char *to, size_t room, const rt_value *error,
                       const char *name) {
  size_t size = 0;
  const char *text = NULL;
  if (error)
    text = rt_view_string(rt_view_get(rt_value_view(error), name), &size);
  snprintf(to, room, "%.*s", (int)size, text ? text : "");
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  fight *f = arg;
  (void)pid;
  uv_mutex_lock(&f->lock);
  f->ended = true;
  f->ended_at = uv_hrtime();
  copy_field(f->kind, sizeof(f->kind), error, "kind");
  copy_field(f->message, sizeof(f->message), error, "message");
  uv_cond_broadcast(&f->changed);
  uv_mutex_unlock(&f->lock);
  rt_value_unref(result);
  rt_value_unref(error);
}

/* --- waiting -------------------------------------------------------------- */

/* Seconds until the innocent has made `count` more rounds; negative: never. */
static double wait_rounds(fight *f, unsigned count) {
  uint64_t begin = uv_hrtime(), end = begin + HANG_NS;
  uv_mutex_lock(&f->lock);
  unsigned until = f->rounds + count;
  for (uint64_t now = begin; f->rounds < until && now < end; now = uv_hrtime())
    uv_cond_timedwait(&f->changed, &f->lock, end - now);
  bool done = f->rounds >= until;
  uv_mutex_unlock(&f->lock);
  return done ? (double)(uv_hrtime() - begin) / 1e9 : -1;
}

static bool wait_end(fight *f) {
  uint64_t end = uv_hrtime() + HANG_NS;
  uv_mutex_lock(&f->lock);
  for (uint64_t now = uv_hrtime(); !f->ended && now < end; now = uv_hrtime())
    uv_cond_timedwait(&f->changed, &f->lock, end - now);
  bool done = f->ended;
  uv_mutex_unlock(&f->lock);
  return done;
}

/* The same, with how much the worker computed meanwhile for each. */
static double wait_rounds_cpu(fight *f, unsigned count, double *cpu) {
  rt__worker *worker = rt__runtime_worker(f->rt, 0);
  uint64_t begin = rt__worker_cpu(worker);
  double took = wait_rounds(f, count);
  *cpu = (double)(rt__worker_cpu(worker) - begin) / 1e9 / count;
  return took;
}

static bool has_ended(fight *f) {
  uv_mutex_lock(&f->lock);
  bool ended = f->ended;
  uv_mutex_unlock(&f->lock);
  return ended;
}

/* Does the innocent keep its turns? One measurement of some may be bad. */
static bool keeps_rate(fight *f, const attack *a, double cpu) {
  if (a->memory || a->held || !strcmp(rt_luajit(), "packaged")) return true;
  for (int i = 0; i < TRIES && cpu > ROUND_CPU && !has_ended(f); i++)
    if (wait_rounds_cpu(f, ROUNDS, &cpu) < 0) return false;
  return cpu <= ROUND_CPU || has_ended(f);
}

/* It takes the name "attack" before it attacks. */
static bool wait_begun(fight *f, rt_pid pid) {
  uint64_t end = uv_hrtime() + HANG_NS;
  while (rt_process_lookup(f->rt, "attack") != pid && !has_ended(f)) {
    if (uv_hrtime() > end) return false;
    uv_sleep(1);
  }
  return true;
}

static unsigned population(fight *f) {
  unsigned sum = 0;
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(rt__runtime_worker(f->rt, 0), i));
       i++)
    sum += rt__pids_live(&vm->pids);
  return sum;
}

/* What an attack has made goes with it. */
static bool wait_alone(fight *f) {
  uint64_t end = uv_hrtime() + HANG_NS;
  while (population(f) > 2) {
    if (uv_hrtime() > end) return false;
    uv_sleep(2);
  }
  return true;
}

/* --- one fight ------------------------------------------------------------ */

static bool start(fight *f) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_pid pid;
  opts.workers = 1;
  opts.vm_memory = VM_MEMORY;
  opts.script_dir = "tests/fault";
  opts.output = on_output;
  opts.log = on_log;
  opts.output_arg = opts.log_arg = f;
  if (rt_runtime_new(&f->rt, &opts, &err) != RT_OK) return false;
  rt_err rc = rt_process_spawn(f->rt, &pid, "tests/fault/innocent.lua", NULL,
                               NULL, NULL, &err);
  if (rc != RT_OK || wait_rounds(f, 2) < 0) return false;
  f->quiet = wait_rounds(f, ROUNDS) / ROUNDS;
  return f->quiet > 0;
}

static rt_value *one_number(size_t n) {
  rt_value *args = NULL;
  rt_builder *builder = rt_builder_new();
  rt_builder_begin_array(builder);
  rt_builder_number(builder, (double)n);
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &args, NULL) != RT_OK) abort();
  rt_builder_free(builder);
  return args;
}

typedef struct limit_task {
  rt__task task;
  rt_pid pid;
} limit_task;

static void set_limit(rt__worker *worker, rt__task *task) {
  rt_pid pid = ((limit_task *)task)->pid;
  rt__process *process = rt__process_find(worker, pid);
  if (process) rt__process_set_deadline(process, DEADLINE);
  free(task);
}

/* Decide that it ends; the moment of that decision. */
static uint64_t end_it(fight *f, rt_pid pid, const char *way) {
  if (strcmp(way, "terminate") == 0) {
    uint64_t at = uv_hrtime();
    rt_process_terminate(f->rt, pid);
    return at;
  }
  if (strcmp(way, "deadline") == 0) {
    limit_task *limit = calloc(1, sizeof(*limit));
    limit->task.run = set_limit;
    limit->pid = pid;
    rt__worker_post(rt__runtime_worker(f->rt, 0), &limit->task);
    return uv_hrtime() + (uint64_t)(DEADLINE * 1e9);
  }
  uint64_t at = uv_hrtime();
  rt_runtime_stop(f->rt, 0);
  return at;
}

/* Did it end for a reason it may end for? */
static bool right_end(const fight *f, const attack *a, const char *way) {
  const char *wanted = strcmp(way, "deadline") == 0 ? "TIMEOUT" : "CANCELED";
  if (strstr(f->message, "memory") || strstr(f->message, "mailbox is full"))
    return a->memory;
  if (a->held && strcmp(f->kind, "TIMEOUT") == 0) return true;
  if (strcmp(way, "shutdown") == 0)
    return strstr(f->message, "stopping") ||
           strstr(f->message, "no such process"); /* one linked not started */
  return strcmp(f->kind, wanted) == 0;
}

/* Does the log say where in the script it was ended? */
static bool is_named(fight *f) {
  uv_mutex_lock(&f->lock);
  bool named = f->log && strstr(f->log, "ended in function") &&
               strstr(f->log, "attacks.lua:");
  uv_mutex_unlock(&f->lock);
  return named;
}

static void note(double value, double *most, const attack *a,
                 const char **name) {
  if (value <= *most) return;
  *most = value;
  *name = a->name;
}

/* While memory is short, after the attack before, it is refused. */
static bool start_attack(fight *f, size_t number, rt_pid *pid) {
  uint64_t end = uv_hrtime() + HANG_NS;
  rt_error err = RT_ERROR_INIT;
  rt_value *args = one_number(number);
  rt_err rc;
  do {
    rc = rt_process_spawn(f->rt, pid, "tests/fault/attack.lua", args,
                          on_exit_of, f, &err);
    if (rc != RT_OK) uv_sleep(2);
  } while (rc == RT_EUNAVAIL && uv_hrtime() < end);
  rt_value_unref(args);
  return rc == RT_OK;
}

/* NULL, or what went wrong. */
static const char *run(fight *f, const attack *a, size_t number,
                       const char *way) {
  rt_pid pid;
  f->ended = false;
  f->log_size = 0;
  if (f->log) *f->log = 0;
  f->kind[0] = f->message[0] = 0;
  if (!start_attack(f, number, &pid) || !wait_begun(f, pid))
    return "cannot be started";
  double cpu, took = wait_rounds_cpu(f, ROUNDS, &cpu) / ROUNDS;
  if (took < 0) return "the innocent made no rounds any more";
  bool keeps = keeps_rate(f, a, cpu);
  uint64_t decided = end_it(f, pid, way);
  if (!wait_end(f)) return "it did not end";
  double ending =
      f->ended_at > decided ? (double)(f->ended_at - decided) / 1e9 : 0;
  printf("# %-34s rate %4.0f %% (%4.0f ms CPU), ended after %6.1f ms: %s\n",
         a->name, 100 * f->quiet / took, cpu * 1e3, ending * 1e3, f->message);
  note(ending, &f->slowest_end, a, &f->slowest_end_name);
  note(took / f->quiet, &f->slowest_round, a, &f->slowest_round_name);
  if (!keeps) return "the innocent lost its rate";
  if (!right_end(f, a, way)) return "it ended for another reason";
  if (!a->waits && !a->memory && !is_named(f))
    return "the log does not say where";
  if (strcmp(way, "shutdown") == 0) return NULL;
  if (wait_rounds(f, 2) < 0) return "the innocent did not go on";
  if (!wait_alone(f)) return "not all it made went with it";
  return NULL;
}

/* --- all -------------------------------------------------------------------
 */

static const char list_code[] =
    "for _, a in ipairs(require('attacks')) do\n"
    "  print(('%s\\t%s %s %s'):format(a.name, a.memory and 'memory' or '',\n"
    "    a.held and 'held' or '', a.waits and 'waits' or '')) end";

static size_t list_attacks(attack *attacks) {
  fight f = {0};
  rt_script script = RT_SCRIPT_INIT;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  int code = 1;
  size_t count = 0;
  uv_mutex_init(&f.lock);
  uv_cond_init(&f.changed);
  opts.workers = 1;
  opts.script_dir = "tests/fault";
  opts.output = on_output;
  opts.output_arg = &f;
  script.code = list_code;
  script.code_size = strlen(list_code);
  if (rt_runtime_new(&f.rt, &opts, NULL) != RT_OK) abort();
  rt_runtime_run(f.rt, &script, &code, NULL);
  rt_runtime_free(f.rt);
  if (code != 0) fprintf(stderr, "%s\n", f.list ? f.list : "");
  char *rest = NULL;
  for (char *line = strtok_r(f.list, "\n", &rest); line && code == 0;
       line = strtok_r(NULL, "\n", &rest)) {
    char *tab = strchr(line, '\t');
    if (!tab || count == MOST) continue;
    *tab = 0;
    attack *a = &attacks[count++];
    snprintf(a->name, sizeof(a->name), "%s", line);
    a->memory = strstr(tab + 1, "memory");
    a->waits = strstr(tab + 1, "waits");
    a->held = strstr(tab + 1, "held");
  }
  free(f.list);
  uv_cond_destroy(&f.changed);
  uv_mutex_destroy(&f.lock);
  return count;
}

/* The packaged LuaJIT looks at nothing while it searches a string. */
static bool is_search(const char *name) {
  return strstr(name, "catastrophic") || strstr(name, "plain search");
}

static void leave(fight *f) {
  rt_runtime_free(f->rt);
  f->rt = NULL;
}

int main(int argc, char **argv) {
  static attack attacks[MOST];
  fight f = {0};
  int failed = 0;
  const char *way = argc > 1 ? argv[1] : "terminate";
  setvbuf(stdout, NULL, _IOLBF, 0);
  size_t count = list_attacks(attacks);
  if (count == 0) return 1;
  uv_mutex_init(&f.lock);
  uv_cond_init(&f.changed);
  for (size_t i = 0; i < count; i++) {
    if (argc > 2 && !strstr(attacks[i].name, argv[2])) continue;
    if (!strcmp(rt_luajit(), "packaged") && is_search(attacks[i].name)) {
      printf("pending - %s: %s (needs the check in our build of LuaJIT)\n", way,
             attacks[i].name);
      continue;
    }
    const char *why = NULL;
    if (!f.rt && !start(&f)) why = "the runtime does not start";
    if (!why) why = run(&f, &attacks[i], i + 1, way);
    if (why) {
      printf("not ok - %s: %s: %s\n%s\n%s\n", way, attacks[i].name, why,
             f.message, f.log && f.log_size < 4000 ? f.log : "");
      failed++;
      break;
    }
    printf("ok - %s: %s\n", way, attacks[i].name);
    if (strcmp(way, "shutdown") == 0) leave(&f);
  }
  if (!failed) leave(&f);
  printf("# slowest end: %.1f ms (%s); innocent slowed most: %.1f times (%s)\n",
         f.slowest_end * 1e3, f.slowest_end_name, f.slowest_round,
         f.slowest_round_name);
  return failed ? 1 : 0;
}
