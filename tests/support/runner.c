/* runner.c - a runtime whose output and log are kept.
 * SPDX-License-Identifier: MIT */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define WAIT_NS (30u * 1000000000ull)

typedef struct text {
  char *data;
  size_t size;
} text;

struct runner {
  rt_runtime *rt;
  uv_mutex_t lock;
  uv_cond_t changed;
  text output, log; /* guarded by lock */
  char *shown[2];
};

static void append(runner *r, text *t, const char *data, size_t size) {
  uv_mutex_lock(&r->lock);
  t->data = realloc(t->data, t->size + size + 1);
  if (!t->data) abort();
  memcpy(t->data + t->size, data, size);
  t->size += size;
  t->data[t->size] = 0;
  uv_cond_broadcast(&r->changed);
  uv_mutex_unlock(&r->lock);
}

static void on_output(int fd, const char *data, size_t size, void *arg) {
  runner *r = arg;
  (void)fd;
  append(r, &r->output, data, size);
}

static void on_log(rt_log_level level, const char *message,
                   const rt_value *fields, void *arg) {
  runner *r = arg;
  (void)level;
  (void)fields;
  append(r, &r->log, message, strlen(message));
  append(r, &r->log, "\n", 1);
}

static runner *make(rt_runtime_opts opts) {
  rt_error err = RT_ERROR_INIT;
  runner *r = calloc(1, sizeof(*r));
  if (!r) abort();
  uv_mutex_init(&r->lock);
  uv_cond_init(&r->changed);
  opts.output = on_output;
  opts.output_arg = r;
  opts.log = on_log;
  opts.log_arg = r;
  if (rt_runtime_new(&r->rt, &opts, &err) != RT_OK) {
    fprintf(stderr, "rt_runtime_new: %s\n", err.message);
    abort();
  }
  return r;
}

runner *runner_new(unsigned workers, uint64_t vm_memory) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  opts.workers = workers ? workers : 2;
  opts.vm_memory = vm_memory;
  return make(opts);
}

runner *runner_new_unsafe(unsigned workers, double stuck_after) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  opts.workers = workers;
  opts.unsafe = true;
  opts.stuck_after = stuck_after;
  return make(opts);
}

rt_runtime *runner_runtime(runner *r) {
  return r->rt;
}

int runner_run(runner *r, const char *code) {
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  int exit_code = -1;
  script.code = code;
  script.code_size = strlen(code);
  script.name = "test";
  if (rt_runtime_run(r->rt, &script, &exit_code, &err) != RT_OK) {
    fprintf(stderr, "rt_runtime_run: %s\n", err.message);
    return -1;
  }
  return exit_code;
}

static const char *show(runner *r, int which, const text *t) {
  uv_mutex_lock(&r->lock);
  free(r->shown[which]);
  r->shown[which] = strdup(t->data ? t->data : "");
  uv_mutex_unlock(&r->lock);
  return r->shown[which];
}

const char *runner_output(runner *r) {
  return show(r, 0, &r->output);
}
const char *runner_log(runner *r) {
  return show(r, 1, &r->log);
}

static bool wait_text(runner *r, const text *t, const char *wanted) {
  uint64_t end = uv_hrtime() + WAIT_NS;
  bool found = false;
  uv_mutex_lock(&r->lock);
  for (uint64_t now = uv_hrtime(); now < end; now = uv_hrtime()) {
    found = t->data && strstr(t->data, wanted);
    if (found) break;
    uv_cond_timedwait(&r->changed, &r->lock, end - now);
  }
  uv_mutex_unlock(&r->lock);
  return found;
}

bool runner_wait(runner *r, const char *wanted) {
  return wait_text(r, &r->output, wanted);
}

bool runner_wait_log(runner *r, const char *wanted) {
  return wait_text(r, &r->log, wanted);
}

void runner_free(runner *r) {
  rt_runtime_free(r->rt);
  free(r->output.data);
  free(r->log.data);
  free(r->shown[0]);
  free(r->shown[1]);
  uv_cond_destroy(&r->changed);
  uv_mutex_destroy(&r->lock);
  free(r);
}
