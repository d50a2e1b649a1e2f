/* embed.c - a runtime's ties to its host: whose thread its callbacks come on.
 *
 * Without a loop of the host they are called where things happen. With one,
 * each becomes a call in its queue, in the order in which they happened. Lines
 * of log beyond a bound are counted and dropped, as the threads that log may
 * not wait; who prints beyond a bound waits for the host.
 *
 * SPDX-License-Identifier: MIT */
#include "process/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX    ((size_t)16 << 20) /* bytes that wait for the host */
#define OUTPUT_MAX ((size_t)4 << 20)

struct rt__host *rt__runtime_host(rt_runtime *rt) {
  return rt->embed->host;
}

/* --- log and output ------------------------------------------------------- */

typedef struct line {
  rt__host_call call;
  rt__embed *embed;
  rt_log_level level; /* of a line of log */
  rt_value *fields;   /* [own] */
  int fd;             /* of output */
  size_t size;
  char text[];
} line;

static line *line_new(rt__embed *embed, const char *text, size_t size) {
  line *made = calloc(1, sizeof(*made) + size + 1);
  if (!made) return NULL;
  made->embed = embed;
  made->size = size;
  made->call.size = sizeof(*made) + size;
  memcpy(made->text, text, size);
  return made;
}

static void free_line(line *gone) {
  rt_value_unref(gone->fields);
  free(gone);
}

static void run_log(rt__host_call *call) {
  line *l = (line *)call;
  rt__embed *embed = l->embed;
  rt__host *host = rt__host_ref(embed->host);
  uint32_t lost = atomic_exchange(&embed->lost, 0);
  if (lost > 0) {
    char text[64];
    snprintf(text, sizeof(text), "%u lines of log were lost", lost);
    embed->log(RT_LOG_WARN, text, NULL, embed->log_arg);
  }
  /* that one may have freed the runtime */
  if (lost == 0 || !rt__host_closed(host))
    embed->log(l->level, l->text, l->fields, embed->log_arg);
  rt__host_unref(host);
  free_line(l);
}

static void on_log(rt_log_level level, const char *message,
                   const rt_value *fields, void *arg) {
  rt__embed *embed = arg;
  line *l = rt__host_waiting(embed->host) < LOG_MAX
                ? line_new(embed, message, strlen(message))
                : NULL;
  if (l) {
    l->call.run = run_log;
    l->level = level;
    l->fields = rt_value_ref(fields);
    if (rt__host_post(embed->host, &l->call)) return;
    free_line(l);
  }
  atomic_fetch_add(&embed->lost, 1);
}

static void run_output(rt__host_call *call) {
  line *l = (line *)call;
  l->embed->output(l->fd, l->text, l->size, l->embed->output_arg);
  free_line(l);
}

static void on_output(int fd, const char *text, size_t size, void *arg) {
  rt__embed *embed = arg;
  line *l = line_new(embed, text, size);
  if (!l) return;
  l->call.run = run_output;
  l->fd = fd;
  if (!rt__host_post(embed->host, &l->call)) free_line(l);
  rt__host_await_room(embed->host, OUTPUT_MAX);
}

/* --- the end of a process ------------------------------------------------- */

typedef struct ending {
  rt__host_call call;
  rt__host *host; /* [own ref] */
  rt_exit_fn fn;
  void *arg;
  rt_pid pid;
  rt_value *result, *error; /* [own] */
} ending;

static void run_exit(rt__host_call *call) {
  ending *e = (ending *)call;
  rt__host *host = e->host;
  e->fn(e->pid, e->result, e->error, e->arg);
  free(e);
  rt__host_unref(host);
}

static void on_exit_posted(rt_pid pid, rt_value *result, rt_value *error,
                           void *arg) {
  ending *e = arg;
  e->pid = pid;
  e->result = result;
  e->error = error;
  e->call.run = run_exit;
  e->call.size = sizeof(*e) + (result ? rt_value_size(result) : 0);
  rt__host_tell(e->host, &e->call);
}

rt_err rt__embed_exit(rt_runtime *rt, rt_exit_fn *fn, void **arg) {
  if (!rt->embed->host || !*fn) return RT_OK;
  ending *e = calloc(1, sizeof(*e));
  if (!e) return RT_ENOMEM;
  e->host = rt__host_ref(rt->embed->host);
  e->fn = *fn;
  e->arg = *arg;
  *fn = on_exit_posted;
  *arg = e;
  return RT_OK;
}

void rt__embed_forget_exit(rt_exit_fn fn, void *arg) {
  ending *e = fn == on_exit_posted ? arg : NULL;
  if (!e) return;
  rt__host_unref(e->host);
  free(e);
}

/* --- a main script that nobody waits for -----------------------------------
 */

typedef struct running {
  rt__host_call call;
  rt_runtime *rt;
  rt_main_fn fn;
  void *arg;
  int exit_code;
} running;

static void run_ended(rt__host_call *call) {
  running *r = (running *)call;
  if (r->fn) r->fn(r->rt, r->exit_code, r->arg);
  free(r);
}

static void wait_for_main(void *arg) {
  rt__runner *self = arg;
  running *r = self->running;
  r->exit_code = rt__runtime_wait_main(r->rt);
  r->call.run = run_ended;
  r->call.size = sizeof(*r);
  rt__host_tell(r->rt->embed->host, &r->call);
  atomic_store(&self->done, true);
}

/* Those that are done, or all. A callback may start the next script on its own
 * thread, which is not done then. */
static void join_runners(rt__embed *embed, bool all) {
  rt__runner *gone = NULL;
  uv_mutex_lock(&embed->lock);
  for (rt__runner **at = &embed->runners; *at;) {
    rt__runner *r = *at;
    if (!all && !atomic_load(&r->done)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    r->next = gone;
    gone = r;
  }
  uv_mutex_unlock(&embed->lock);
  while (gone) {
    rt__runner *r = gone;
    gone = r->next;
    uv_thread_join(&r->thread);
    free(r);
  }
}

void rt__embed_join(rt_runtime *rt) {
  if (rt->embed) join_runners(rt->embed, true);
}

/* Its thread is known before it can be joined. */
static bool start_runner(rt__embed *embed, rt__runner *runner) {
  uv_mutex_lock(&embed->lock);
  int rc = uv_thread_create(&runner->thread, wait_for_main, runner);
  if (rc == 0) {
    runner->next = embed->runners;
    embed->runners = runner;
  }
  uv_mutex_unlock(&embed->lock);
  return rc == 0;
}

rt_err rt_runtime_run_async(rt_runtime *rt, const rt_script *script,
                            rt_main_fn fn, void *arg, rt_error *err) {
  running *r = calloc(1, sizeof(*r));
  rt__runner *runner = calloc(1, sizeof(*runner));
  rt_err rc = RT_ENOMEM;
  if (!r || !runner) {
    rt_fail(err, rc, "no memory");
    goto fail;
  }
  r->rt = rt;
  r->fn = fn;
  r->arg = arg;
  runner->running = r;
  rc = rt__runtime_begin_main(rt, script, err);
  if (rc != RT_OK) goto fail;
  join_runners(rt->embed, false);
  if (start_runner(rt->embed, runner)) return RT_OK;
  rt_runtime_interrupt(rt, 1);
  rt_runtime_interrupt(rt, 1);
  rt__runtime_wait_main(rt);
  rc = rt_fail(err, RT_EUNAVAIL, "cannot start a thread");

fail:
  free(runner);
  free(r);
  return rc;
}

/* --- life ----------------------------------------------------------------- */

static void take_callbacks(rt_runtime *rt, rt__embed *embed) {
  embed->log = rt->opts.log;
  embed->log_arg = rt->opts.log_arg;
  embed->output = rt->opts.output;
  embed->output_arg = rt->opts.output_arg;
  if (rt->opts.log) rt->opts.log = on_log;
  if (rt->opts.output) rt->opts.output = on_output;
  rt->opts.log_arg = rt->opts.output_arg = embed;
}

rt_err rt__embed_new(rt_runtime *rt, rt_error *err) {
  rt_err rc = RT_OK;
  rt__embed *embed = calloc(1, sizeof(*embed));
  if (!embed) return rt_fail(err, RT_ENOMEM, "no memory for a runtime");
  embed->late = rt__late_new();
  if (!embed->late || uv_mutex_init(&embed->lock) != 0) {
    rt__late_unref(embed->late);
    free(embed);
    return rt_fail(err, RT_EINTERNAL, "cannot create a lock");
  }
  rt->embed = embed;
  if (rt->opts.loop) rc = rt__host_new(&embed->host, rt->opts.loop, err);
  if (embed->host) take_callbacks(rt, embed);
  return rc;
}

void rt__embed_stop(rt_runtime *rt) {
  if (rt->embed) rt__natives_stop(rt->embed);
}

void rt__embed_drain(rt_runtime *rt) {
  if (rt->embed) rt__host_drain(rt->embed->host);
}

void rt__embed_close(rt_runtime *rt) {
  if (rt->embed) rt__host_close(rt->embed->host);
}

void rt__embed_free(rt_runtime *rt) {
  rt__embed *embed = rt->embed;
  if (!embed) return;
  rt__natives_free(embed);
  rt__modules_free(embed);
  rt__host_unref(embed->host);
  rt__late_unref(embed->late);
  uv_mutex_destroy(&embed->lock);
  free(embed);
}
