/* cli/run.c - `runtime run` and `runtime resume`: a session from seeds to end.
 *
 * The main thread steps through the session's life and waits in between; what
 * it waits for comes from other threads and is written down in `work`:
 *
 *   engine's thread  --a reply--------------+
 *   printer's thread --printed, closed------+--> work, guarded by its lock
 *   signal thread    --stop, please---------+
 *
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "cycles.h"
#include "load.h"
#include "printer.h"
#include "progress.h"
#include "seeds.h"
#include "settings.h"
#include "summary.h"
#include "watch.h"

typedef struct work {
  /* main thread */
  cli *c;
  cli_settings settings;
  const char *dir;
  char fresh_name[CLI_FRESH_NAME];
  rt_value *seeds, *options, *config; /* [own] */
  rt_value *before;                   /* [own] stored status, when resuming */
  size_t stored_paths;                /* the first ones come from there */
  rt_runtime *rt;
  rt_session *session;
  printer *printer;
  progress *progress;
  control *control;
  watch *watch; /* of capability files, or NULL */
  double started;
  /* guarded by lock, a leaf */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool stop;          /* a signal, or nobody reads our output */
  const char *reason; /* of stop */
  char asked[400];    /* the reason, when somebody gave one */
  bool replied;       /* the engine, to the call under way */
  rt_err code;
  rt_error error;
  rt_value *result; /* [own] */
  bool printed;     /* the printer ended, so: */
  printer_end end;
} work;

/* --- waiting ----------------------------------------------------------- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void work_init(work *w, cli *c) {
  pthread_condattr_t attr;
  memset(w, 0, sizeof(*w));
  w->c = c;
  w->started = now();
  cli_settings_init(&w->settings, c);
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&w->changed, &attr);
  pthread_condattr_destroy(&attr);
}

static void work_deinit(work *w) {
  rt_value_unref(w->seeds);
  rt_value_unref(w->options);
  rt_value_unref(w->config);
  rt_value_unref(w->before);
  rt_value_unref(w->result);
  cli_settings_deinit(&w->settings);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
}

static void ask_stop(work *w, const char *reason) {
  pthread_mutex_lock(&w->lock);
  if (!w->stop) w->reason = reason;
  w->stop = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

/* Somebody's words: nothing in them may steer a terminal. */
static void keep_reason(work *w, const char *reason) {
  size_t size = 0;
  for (; reason[size] && size + 1 < sizeof(w->asked); size++) {
    unsigned char ch = (unsigned char)reason[size];
    w->asked[size] = ch < 32 || ch == 127 ? '?' : (char)ch;
  }
  w->asked[size] = 0;
}

/* From `runtime ctl`. */
static void on_control(const char *reason, void *arg) {
  work *w = arg;
  pthread_mutex_lock(&w->lock);
  if (!w->asked[0]) keep_reason(w, reason);
  pthread_mutex_unlock(&w->lock);
  ask_stop(w, w->asked);
}

static void on_signal(int signo, unsigned count, void *arg) {
  work *w = arg;
  if (count > 1) _exit(128 + signo);
  if (signo == SIGINT) ask_stop(w, "SIGINT");
  if (signo == SIGTERM) ask_stop(w, "SIGTERM");
  if (signo == SIGHUP) ask_stop(w, "SIGHUP");
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  work *w = arg;
  pthread_mutex_lock(&w->lock);
  w->replied = true;
  w->code = code;
  if (err) w->error = *err;
  rt_value_unref(w->result);
  w->result = result; /* takes result */
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

static void on_printed(printer_end end, const char *why, void *arg) {
  work *w = arg;
  bool early = end == PRINTER_CLOSED || end == PRINTER_FAILED;
  const char *reason = "standard output is closed";
  if (early && strcmp(why, reason) != 0) {
    console_say(&w->c->console, "runtime: %s\n", why);
    reason = end == PRINTER_FAILED ? "the session cannot be read"
                                   : "standard output cannot be written";
  }
  pthread_mutex_lock(&w->lock);
  w->printed = true;
  w->end = end;
  if (early && !w->stop) w->reason = reason;
  if (early) w->stop = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

/* A moment, or until something changed. */
static void nap_locked(work *w) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += 50 * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  pthread_cond_timedwait(&w->changed, &w->lock, &until);
}

/* Wait until *flag, or a stop (when `stoppable`), or for `limit` seconds
 * (negative: none). Says whether *flag came. */
static bool wait_for(work *w, const bool *flag, bool stoppable, double limit) {
  double end = now() + limit;
  pthread_mutex_lock(&w->lock);
  while (!*flag && !(stoppable && w->stop) && (limit < 0 || now() < end)) {
    nap_locked(w);
    pthread_mutex_unlock(&w->lock);
    progress_tick(w->progress);
    watch_tick(w->watch);
    pthread_mutex_lock(&w->lock);
  }
  bool came = *flag;
  pthread_mutex_unlock(&w->lock);
  return came;
}

static bool stopping(work *w) {
  pthread_mutex_lock(&w->lock);
  bool stop = w->stop;
  pthread_mutex_unlock(&w->lock);
  return stop;
}

/* --- before there is a session ----------------------------------------- */

static int check_names(work *w, const char *option, const cli_list *names) {
  int status = 0;
  for (size_t i = 0; i < names->count && !status; i++) {
    const char *word = names->items[i];
    status = cli_check_choice(
        w->c, w->rt, cli_settings_source(&w->settings, option, word), word);
  }
  return status;
}

static const char *set_source(const char *item, void *arg) {
  return cli_settings_source(arg, "--set", item);
}

static int start_runtime(work *w) {
  rt_error err = RT_ERROR_INIT;
  cli *c = w->c;
  c->common = w->settings.common;
  if (cli_runtime(c, &w->rt, NULL, true, &err) != RT_OK) {
    return cli_fail(c, "%s", err.message);
  }
  int status = cli_load(c, w->rt, &w->settings.paths);
  if (!status) status = check_names(w, "--only", &w->settings.only);
  if (!status) status = check_names(w, "--without", &w->settings.without);
  if (!status) {
    status = cli_typed_options(c, w->rt, &w->settings.sets, set_source,
                               &w->settings, &w->options);
  }
  return status;
}

static int open_failed(work *w, rt_err rc, const rt_error *err) {
  const char *name = w->settings.session;
  if (rc == RT_EEXIST) {
    return cli_fail(w->c,
                    "session '%s' exists in %s; go on with it: runtime resume "
                    "%s%s",
                    name, w->dir, name[0] == '-' ? "--session " : "", name);
  }
  if (rc == RT_ENOTFOUND) {
    return cli_fail(w->c, "no session '%s' in %s", name, w->dir);
  }
  if (rc == RT_EINVAL && strncmp(err->message, "scope rule", 10) == 0) {
    const char *source = "--scope";
    for (size_t i = 0; i < w->settings.scope.count; i++) {
      const char *rule = w->settings.scope.items[i];
      if (strstr(err->message, rule))
        source = cli_settings_source(&w->settings, "--scope", rule);
    }
    return cli_usage(w->c, "%s: %s", source, err->message);
  }
  return cli_fail(w->c, "%s", err->message);
}

/* A new session needs something to begin with. */
static int check_begin(work *w) {
  rt_value *list = NULL;
  rt_view item;
  bool scheduled = false;
  if (w->settings.seeds.count) return 0;
  rt_registry_list(rt_runtime_registry(w->rt), &list, NULL);
  rt_iter iter = rt_iter_of(rt_value_view(list));
  while (rt_iter_next(&iter, NULL, &item)) {
    if (rt_view_type(rt_view_get(item, "every")) != RT_NIL) scheduled = true;
  }
  rt_value_unref(list);
  if (scheduled) return 0;
  return cli_usage(w->c, "run: no seeds: -s CLASS:VALUE, or -s - to read them "
                         "from standard input");
}

static int open_session(work *w, rt_open_mode mode) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_err rc = cli_settings_store(&w->settings, w->seeds, &w->config, &err);
  if (rc != RT_OK) return cli_fail(w->c, "%s", err.message);
  for (int tries = 0; tries < 5; tries++) {
    bool fresh = !w->settings.session;
    if (fresh) {
      cli_fresh_name(w->fresh_name);
      w->settings.session = w->fresh_name;
    }
    cli_settings_open(&w->settings, &opts);
    opts.mode = mode;
    opts.options = w->options;
    opts.config = w->config;
    rc = rt_session_open(&w->session, w->rt, &opts, &err);
    if (fresh && rc == RT_OK) {
      console_say(&w->c->console, "session %s\n", w->settings.session);
    }
    if (!fresh || rc != RT_EEXIST) break;
    w->settings.session = NULL;
  }
  return rc == RT_OK ? 0 : open_failed(w, rc, &err);
}

/* --- the session's life ------------------------------------------------ */

static int start_output(work *w) {
  rt_error err = RT_ERROR_INIT;
  rt_view status = rt_value_view(w->before);
  int64_t after = rt_view_int(rt_view_get(status, "printed"), 0);
  if (printer_new(&w->printer, w->c, w->session, w->dir, after, on_printed, w,
                  &err) != RT_OK) {
    return cli_fail(w->c, "%s", err.message);
  }
  w->progress = progress_new(w->c, w->session, w->settings.progress);
  return 0;
}

/* How far a step of the session came. */
typedef enum step { STEP_ON, STEP_STOP, STEP_FAILED } step;

/* Who canceled the session said why; guarded by lock. */
static const char *canceled_for(work *w) {
  const char *why = strstr(w->error.message, "was canceled: ");
  if (!why) return "deadline";
  keep_reason(w, why + 14);
  return w->asked;
}

static step reply_step(work *w) {
  pthread_mutex_lock(&w->lock);
  rt_err code = w->code;
  bool stopped = code == RT_ECANCELED || code == RT_ETIMEOUT;
  if (stopped && !w->stop) w->reason = canceled_for(w);
  pthread_mutex_unlock(&w->lock);
  if (code == RT_OK) return STEP_ON;
  if (stopped) return STEP_STOP;
  cli_fail(w->c, "%s", w->error.message);
  return STEP_FAILED;
}

/* Had the session finished when it was resumed? Its seeds are all in then. */
static bool was_finished(const work *w) {
  rt_view state = rt_view_get(rt_value_view(w->before), "state");
  return cli_view_is(state, "finished");
}

/* No seeds are a round too, which ends at once. */
static step dispatch_seeds(work *w) {
  if (was_finished(w)) return STEP_ON;
  w->replied = false;
  rt_session_dispatch_async(w->session, w->seeds, NULL, on_reply, w);
  wait_for(w, &w->replied, false, -1);
  step next = reply_step(w);
  if (next == STEP_ON) {
    cli_seeds_refused(w->c, rt_value_view(w->seeds), rt_value_view(w->result));
  }
  return next;
}

static step wait_finished(work *w) {
  w->replied = false;
  rt_session_wait_async(w->session, on_reply, w);
  if (!wait_for(w, &w->replied, true, -1)) return STEP_STOP;
  return reply_step(w);
}

/* All that waits for the engine has replied when this returns. */
static void drain(work *w, bool waiting) {
  double grace = w->settings.grace < 0 ? 5 : w->settings.grace;
  if (waiting) {
    console_say(&w->c->console,
                "runtime: %s: stopping, running jobs get %g s\n", w->reason,
                grace);
  }
  rt_session_cancel(w->session, w->reason, false, NULL);
  if (waiting) wait_for(w, &w->replied, false, -1);
}

/* Print the rest: as long as the reader takes, but when stopping no longer
 * than the grace. */
static void finish_output(work *w) {
  double grace = w->settings.grace < 0 ? 5 : w->settings.grace;
  printer_finish(w->printer);
  bool done = wait_for(w, &w->printed, true, -1) ||
              wait_for(w, &w->printed, false, grace);
  if (!done) {
    printer_stop(w->printer);
    wait_for(w, &w->printed, false, -1);
  }
}

static int64_t completed(const rt_value *stats) {
  return rt_view_int(rt_view_get(rt_value_view(stats), "work_items_completed"),
                     0);
}

static int exit_code(work *w, step last, const rt_value *stats) {
  rt_view view = rt_value_view(stats);
  if (last == STEP_FAILED) return EXIT_FAILED;
  if (last == STEP_STOP || w->end != PRINTER_DONE) return EXIT_STOPPED;
  bool idle = was_finished(w) && completed(stats) == completed(w->before) &&
              rt_view_int(rt_view_get(view, "reruns"), 0) == 0;
  if (idle) return EXIT_DONE;
  return rt_view_int(rt_view_get(view, "failed"), 0) > 0 ? EXIT_FAILED_JOBS
                                                         : EXIT_DONE;
}

static void say_outcome(work *w, int status, char *out, size_t size) {
  pthread_mutex_lock(&w->lock);
  const char *reason = w->reason ? w->reason : "canceled";
  if (status == EXIT_STOPPED) {
    snprintf(out, size, "stopped (%s)", reason);
  } else {
    snprintf(out, size, "%s", status == EXIT_FAILED ? "failed" : "finished");
  }
  pthread_mutex_unlock(&w->lock);
}

static int live(work *w) {
  rt_value *stats = NULL;
  w->control = control_start(w->c, w->rt, w->session, w->dir, on_control, w);
  int status = start_output(w);
  if (status) {
    control_end(w->control);
    return status;
  }
  if (w->settings.watch) w->watch = watch_new(w->c, w->rt, &w->settings.paths);
  step last = dispatch_seeds(w);
  if (last == STEP_ON) last = wait_finished(w);
  watch_free(w->watch);
  w->watch = NULL;
  if (last != STEP_ON) drain(w, stopping(w));
  finish_output(w);
  progress_end(w->progress);
  control_end(w->control);
  rt_session_stats(w->session, &stats, NULL);
  status = exit_code(w, last, stats);
  rt_session_close(w->session);
  char outcome[sizeof(w->asked) + 16];
  say_outcome(w, status, outcome, sizeof(outcome));
  cli_summary(w->c, w->dir, w->settings.session, outcome, now() - w->started,
              stats);
  if (status == EXIT_STOPPED) {
    console_say(&w->c->console, "go on with: runtime resume %s%s%s%s\n",
                w->settings.session[0] == '-' ? "--session " : "",
                w->settings.session, w->settings.data ? " --data " : "",
                w->settings.data ? w->settings.data : "");
  }
  printer_free(w->printer);
  rt_value_unref(stats);
  return status;
}

/* From a checked command line to the end. */
static int go(work *w, rt_open_mode mode) {
  int status = cli_moved_paths(w->c, &w->settings.paths, w->stored_paths);
  if (!status) status = cli_check_paths(w->c, &w->settings.paths);
  if (!status && !cli_settings_absolute(&w->settings)) {
    status = cli_fail(w->c, "out of memory");
  }
  if (!status) status = start_runtime(w);
  if (!status && mode == RT_OPEN_CREATE) status = check_begin(w);
  if (!status) {
    cli_warn_cycles(w->c, w->rt, &w->settings);
    cli_on_signal(w->c, on_signal, w);
    status = open_session(w, mode);
  }
  if (w->session) {
    status = live(w);
    rt_session_unref(w->session);
  }
  if (w->rt) {
    rt_runtime_stop(w->rt, 1);
    rt_runtime_free(w->rt);
  }
  cli_on_signal(w->c, NULL, NULL);
  return status;
}

/* --- the two commands -------------------------------------------------- */

static int parse(work *w, cli_parse *p, const cli_command *command, int argc,
                 char **argv) {
  p->command = command->name;
  p->options = command->options;
  p->fields = &w->settings;
  if (!cli_parse_args(p, argc, argv, stderr)) return EXIT_USAGE;
  int status = cli_config(w->c, &w->settings);
  return status ? status : cli_settings_check(w->c, &w->settings);
}

static int run(cli *c, int argc, char **argv) {
  work w;
  cli_parse p = {0};
  work_init(&w, c);
  int status = parse(&w, &p, &cli_run, argc, argv);
  if (!status && p.bare.count) {
    status = cli_usage(c,
                       "run: unexpected argument '%s' (capabilities: -c PATH, "
                       "seeds: -s CLASS:VALUE)",
                       p.bare.items[0]);
  }
  if (!status) status = cli_seeds(c, &w.settings.seeds, &w.seeds);
  w.dir = cli_data_dir(w.settings.data);
  if (!status) status = go(&w, RT_OPEN_CREATE);
  cli_list_free(&p.bare);
  work_deinit(&w);
  return status;
}

/* The stored status, with the options and seeds in it. */
static int recall(work *w) {
  rt_error err = RT_ERROR_INIT;
  rt_report *report = NULL;
  rt_err rc = rt_report_open(&report, w->dir, w->settings.session, &err);
  if (rc == RT_OK) rc = rt_report_status(report, &w->before, &err);
  rt_view config = rt_view_get(rt_value_view(w->before), "config");
  rt_view seeds = rt_view_get(config, "seeds");
  if (rc == RT_OK) rc = cli_seeds_left(report, seeds, &w->seeds, &err);
  rt_report_close(report);
  if (rc != RT_OK) return open_failed(w, rc, &err);
  if (!cli_settings_merge(&w->settings, config)) {
    return cli_fail(w->c, "out of memory");
  }
  rt_view paths = rt_view_get(config, "capabilities");
  w->stored_paths = rt_view_count(paths);
  return cli_settings_check(w->c, &w->settings);
}

static int resume(cli *c, int argc, char **argv) {
  work w;
  cli_parse p = {.wanted = 1};
  work_init(&w, c);
  int status = parse(&w, &p, &cli_resume, argc, argv);
  const char *name = p.bare.count ? p.bare.items[0] : w.settings.session;
  if (!status && p.bare.count > 1) {
    status = cli_usage(c, "resume: unexpected argument '%s'", p.bare.items[1]);
  } else if (!status && !name) {
    status = cli_usage(c, "usage: runtime resume %s", cli_resume.synopsis);
  } else if (!status && w.settings.session &&
             strcmp(name, w.settings.session)) {
    status = cli_usage(c, "resume: two names, '%s' and '%s'", name,
                       w.settings.session);
  }
  w.settings.session = name;
  w.dir = cli_data_dir(w.settings.data);
  if (!status) status = cli_settings_check(c, &w.settings);
  if (!status) status = recall(&w);
  if (!status) status = go(&w, RT_OPEN_RESUME);
  cli_list_free(&p.bare);
  work_deinit(&w);
  return status;
}

const cli_command cli_run = {
    "run", "[-c PATH]... [-s CLASS:VALUE]... [options]",
    "work on seeds until nothing is left; assets as JSON lines on stdout",
    cli_run_options, run};

const cli_command cli_resume = {
    "resume", "NAME [options]",
    "go on with an interrupted session (options add to those stored)",
    cli_resume_options, resume};
