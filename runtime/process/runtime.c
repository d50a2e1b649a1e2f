/* runtime.c - a runtime: its parts, its main process, its end.
 *
 * rt_runtime_run() waits until the main process has ended. Each time the holds
 * fall to 0 it looks: nothing can happen any more, so the main process is
 * either done, or waits for what can never come.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "process/allow.h"
#include "process/embed.h"
#include "process/parts.h"
#include "process/spawn.h"

#define MAX_WORKERS 255

rt_bus *rt_runtime_bus(rt_runtime *rt) {
  return rt->bus;
}
rt_registry *rt_runtime_registry(rt_runtime *rt) {
  return rt->registry;
}
struct rt__engine *rt__runtime_engine(rt_runtime *rt) {
  return rt->engine;
}
struct rt__bridge *rt__runtime_bridge(rt_runtime *rt) {
  return rt->bridge;
}
unsigned rt__runtime_worker_count(rt_runtime *rt) {
  return rt->worker_count;
}
const char *rt__runtime_resolver(rt_runtime *rt) {
  return rt->resolver;
}
rt__worker *rt__runtime_worker(rt_runtime *rt, unsigned index) {
  return atomic_load_explicit(&rt->workers[index], memory_order_acquire);
}

/* --- holds ---------------------------------------------------------------- */

void rt__runtime_hold(rt_runtime *rt) {
  atomic_fetch_add(&rt->holds, 1);
}

void rt__runtime_release(rt_runtime *rt) {
  if (atomic_fetch_sub(&rt->holds, 1) != 1) return;
  uv_mutex_lock(&rt->lock);
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
}

/* --- output and log ---------------------------------------------------------
 */

void rt__runtime_output(rt_runtime *rt, int fd, const char *text, size_t size) {
  if (rt->opts.output) rt->opts.output(fd, text, size, rt->opts.output_arg);
}

void rt_runtime_log(rt_runtime *rt, rt_log_level level, const rt_value *fields,
                    const char *fmt, ...) {
  rt__log log = {rt->opts.log, rt->opts.log_arg};
  va_list args;
  va_start(args, fmt);
  rt__log_vwrite(&log, level, fields, fmt, args);
  va_end(args);
}

/* --- new --------------------------------------------------------------------
 */

static unsigned cores(void) {
  unsigned count = uv_available_parallelism();
  return count > 64 ? 64 : count;
}

static char *copy_text(const char *text) {
  return text ? strdup(text) : NULL;
}

static rt_err init(rt_runtime *rt, const rt_runtime_opts *opts) {
  rt->opts = (rt_runtime_opts)RT_RUNTIME_OPTS_INIT;
  if (opts)
    memcpy(&rt->opts, opts,
           opts->size < sizeof(rt->opts) ? opts->size : sizeof(rt->opts));
  rt->resolver = copy_text(rt->opts.resolver);
  rt->script_dir = copy_text(rt->opts.script_dir);
  rt->opts.resolver = rt->resolver;
  rt->opts.script_dir = rt->script_dir;
  rt->opts.allow = copy_text(rt->opts.allow);
  rt->worker_count = rt->opts.workers ? rt->opts.workers : cores();
  if (rt->worker_count > MAX_WORKERS) rt->worker_count = MAX_WORKERS;
  rt->vm_processes = RT__VM_PROCESSES;
  rt->workers = calloc(rt->worker_count, sizeof(*rt->workers));
  return rt->workers ? RT_OK : RT_ENOMEM;
}

/* Workers read the watchdog and each other from the start, so a runtime that
 * cannot be completed is taken down like a whole one. */
static rt_err start_workers(rt_runtime *rt, rt_error *err) {
  unsigned want = rt->worker_count;
  rt_err rc = RT_OK;
  for (unsigned i = 0; i < want && rc == RT_OK; i++) {
    rt__worker *worker;
    rc = rt__worker_new(&worker, rt, i, 0, err);
    if (rc == RT_OK) atomic_store(&rt->workers[i], worker);
  }
  for (unsigned i = 0; i < want && rc == RT_OK; i++)
    rc = rt__worker_start(rt__runtime_worker(rt, i), err);
  return rc;
}

rt_err rt_runtime_new(rt_runtime **out, const rt_runtime_opts *opts,
                      rt_error *err) {
  rt_err rc;
  *out = NULL;
  rt_runtime *rt = calloc(1, sizeof(*rt));
  if (!rt) return rt_fail(err, RT_ENOMEM, "no memory for a runtime");
  uv_mutex_init(&rt->lock);
  uv_cond_init(&rt->changed);
  rt__names_init(&rt->names);
  rt__depot_init(&rt->packages);
  rc = init(rt, opts);
  if (rc != RT_OK) rt_fail(err, rc, "no memory for a runtime");
  if (rc == RT_OK) rc = rt__allow_check(&rt->opts, err);
  if (rc == RT_OK) rc = rt__embed_new(rt, err);
  if (rc == RT_OK) rc = rt__parts_first(rt, err);
  if (rc == RT_OK) rc = start_workers(rt, err);
  if (rc == RT_OK) rc = rt__undertaker_start(rt, err);
  if (rc == RT_OK) rc = rt__watchdog_start(&rt->watchdog, rt, err);
  if (rc == RT_OK) rc = rt__parts_last(rt, err);
  if (rc != RT_OK) {
    rt_runtime_free(rt);
    return rc;
  }
  *out = rt;
  return RT_OK;
}

/* --- the main process --------------------------------------------------------
 */

static void print_error(rt_runtime *rt, rt_err how, const rt_value *error) {
  size_t size = 0, traced = 0;
  rt_view view = rt_value_view(error);
  const char *text = rt_view_string(rt_view_get(view, "message"), &size);
  const char *stack = rt_view_string(rt_view_get(view, "stack"), &traced);
  if (size == 0 && how == RT_ENOMEM) { /* too little memory for words */
    text = rt_status_text(how);
    size = strlen(text);
  }
  size_t room = size + traced + 32;
  char *line = malloc(room);
  if (!line) return;
  int n = snprintf(line, room, "runtime: %.*s%s%.*s\n", (int)size,
                   text ? text : "error", traced ? "\n" : "", (int)traced,
                   stack ? stack : "");
  if (n > 0) rt__runtime_output(rt, 2, line, (size_t)n);
  free(line);
}

void rt__runtime_main_returned(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  rt->main_returned = true;
  uv_mutex_unlock(&rt->lock);
}

void rt__runtime_main_ended(rt_runtime *rt, rt_err how, rt_value *error,
                            const rt__process *process) {
  bool asked = process && process->exit_asked;
  uv_mutex_lock(&rt->lock);
  bool quiet = how == RT_OK || asked || (rt->interrupted && how != RT_EUNKNOWN);
  rt->exit_code = asked ? process->exit_code : how == RT_OK ? 0 : 1;
  if (rt->interrupted) rt->exit_code = rt->interrupt_code;
  uv_mutex_unlock(&rt->lock);
  if (!quiet) print_error(rt, how, error);
  uv_mutex_lock(&rt->lock);
  rt->main_ended = true;
  uv_cond_broadcast(&rt->changed);
  uv_mutex_unlock(&rt->lock);
}

typedef struct main_task {
  rt__task task;
  rt_pid pid;
  bool returned;
} main_task;

/* Nothing can happen any more. */
static void end_quiet(rt__worker *worker, rt__task *task) {
  main_task *quiet = (main_task *)task;
  rt__process *process = rt__process_find(worker, quiet->pid);
  if (process && quiet->returned) {
    rt__process_end(process, RT_OK, NULL, NULL);
  } else if (process) {
    rt_value *error = rt__error_map(
        RT_EUNKNOWN, "deadlock: the main process waits for what can never come",
        NULL);
    rt__process_end(process, RT_EUNKNOWN, NULL, error);
    rt_value_unref(error);
  }
  free(task);
}

static bool post_main(rt_runtime *rt, rt_pid pid, bool returned,
                      void (*run)(rt__worker *, rt__task *)) {
  main_task *task = malloc(sizeof(*task));
  if (!task) return false;
  task->task.run = run;
  task->pid = pid;
  task->returned = returned;
  rt__worker_post(rt__runtime_worker(rt, rt__pid_worker(pid)), &task->task);
  return true;
}

int rt__runtime_wait_main(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  while (!rt->main_ended) {
    if (atomic_load(&rt->holds) == 0 && !rt->ending) {
      rt->ending = true;
      bool returned = rt->main_returned;
      uv_mutex_unlock(&rt->lock);
      post_main(rt, rt->main, returned, end_quiet);
      uv_mutex_lock(&rt->lock);
      continue;
    }
    uv_cond_wait(&rt->changed, &rt->lock);
  }
  int code = rt->exit_code;
  rt->main_running = false;
  uv_mutex_unlock(&rt->lock);
  return code;
}

static char *read_file(const char *path, size_t *size, rt_error *err) {
  FILE *file = fopen(path, "rbe");
  char *text = NULL;
  size_t room = 0, n;
  *size = 0;
  if (!file) {
    rt_fail(err, errno == ENOENT ? RT_ENOTFOUND : RT_EPERM,
            "cannot open %s: %s", path, strerror(errno));
    return NULL;
  }
  do {
    if (room - *size < 4096) {
      room = room * 2 + 16384;
      char *grown = realloc(text, room);
      if (!grown) break;
      text = grown;
    }
    n = fread(text + *size, 1, room - *size, file);
    *size += n;
  } while (n > 0);
  if (ferror(file) || *size == room) {
    rt_fail(err, RT_EUNAVAIL, "cannot read %s: %s", path, strerror(errno));
    free(text);
    text = NULL;
  }
  fclose(file);
  return text;
}

static rt_value *args_value(const rt_script *script) {
  rt_value *args = NULL;
  rt_builder *builder = rt_builder_new();
  if (!builder) return NULL;
  rt_builder_begin_array(builder);
  for (size_t i = 0; i < script->arg_count; i++)
    rt_builder_string(builder, script->args[i]);
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &args, NULL) != RT_OK) args = NULL;
  rt_builder_free(builder);
  return args;
}

/* Lua's chunk names: "@path", "=anything else". */
static char *chunk_name(const rt_script *script) {
  const char *name = script->name ? script->name : "code";
  const char *text = script->path ? script->path : name;
  size_t size = strlen(text) + 2;
  char *made = malloc(size);
  if (made)
    snprintf(made, size, "%s%s",
             script->path                   ? "@"
             : *text == '@' || *text == '=' ? ""
                                            : "=",
             text);
  return made;
}

static rt__recipe *main_recipe(const rt_script *script, rt_error *err) {
  char *name = chunk_name(script);
  char *text = NULL;
  size_t size = script->code_size;
  rt_value *args = args_value(script);
  rt__recipe *recipe = NULL;
  if (script->path) {
    text = read_file(script->path, &size, err);
    if (!text) goto done;
  }
  if (name)
    recipe = rt__recipe_new(
        NULL, rt__code_new(name, text ? text : script->code, size), args);
  if (!recipe) rt_fail(err, RT_ENOMEM, "no memory for the script");
done:
  free(text);
  free(name);
  rt_value_unref(args);
  if (recipe) {
    recipe->is_main = true;
    recipe->kind = "main";
  }
  return recipe;
}

static bool claim_main(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  bool free_now = !rt->main_running && !rt->stopping;
  if (free_now) {
    rt->main_running = true;
    rt->main_returned = rt->main_ended = rt->ending = rt->interrupted = false;
    rt->main = 0;
    rt->exit_code = 1;
  }
  uv_mutex_unlock(&rt->lock);
  return free_now;
}

rt_err rt__runtime_begin_main(rt_runtime *rt, const rt_script *script,
                              rt_error *err) {
  rt_script copy = RT_SCRIPT_INIT;
  rt_pid pid = 0;
  memcpy(&copy, script,
         script->size < sizeof(copy) ? script->size : sizeof(copy));
  if (!copy.path && !copy.code)
    return rt_fail(err, RT_EINVAL, "a script needs a path or code");
  rt__recipe *recipe = main_recipe(&copy, err);
  if (!recipe) return err ? err->code : RT_EUNAVAIL;
  if (!claim_main(rt)) {
    rt__recipe_free(recipe);
    return rt_fail(err, RT_ECONFLICT, "a main process is running already");
  }
  rt__runtime_hold(rt);
  rt_err rc =
      rt__spawn(rt, rt__runtime_worker(rt, 0)->vm, NULL, 0, recipe, &pid, err);
  uv_mutex_lock(&rt->lock);
  rt->main = pid;
  if (rc != RT_OK) rt->main_running = false;
  uv_mutex_unlock(&rt->lock);
  rt__runtime_release(rt);
  return rc;
}

rt_err rt_runtime_run(rt_runtime *rt, const rt_script *script, int *exit_code,
                      rt_error *err) {
  *exit_code = 1;
  if (rt__host_here(rt->embed->host))
    return rt_fail(err, RT_EINVAL,
                   "it would block its own loop: use rt_runtime_run_async()");
  rt_err rc = rt__runtime_begin_main(rt, script, err);
  if (rc == RT_OK) *exit_code = rt__runtime_wait_main(rt);
  return rc;
}

/* --- interrupt
 * ---------------------------------------------------------------- */

static void run_interrupt(rt__worker *worker, rt__task *task) {
  main_task *ask = (main_task *)task;
  rt__process *process = rt__process_find(worker, ask->pid);
  if (process && process->reads_events)
    rt__process_cancel_from(worker->rt, worker, 0, ask->pid, "interrupted",
                            false);
  else if (process)
    rt__process_kill(process, RT_ECANCELED, NULL);
  free(task);
}

void rt_runtime_interrupt(rt_runtime *rt, int exit_code) {
  uv_mutex_lock(&rt->lock);
  bool again = rt->interrupted;
  rt_pid pid = rt->main_running ? rt->main : 0;
  if (pid) {
    rt->interrupted = true;
    rt->interrupt_code = exit_code;
  }
  uv_mutex_unlock(&rt->lock);
  if (!pid) return;
  if (again || !post_main(rt, pid, false, run_interrupt))
    rt_process_terminate(rt, pid);
}
