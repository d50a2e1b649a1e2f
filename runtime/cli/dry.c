/* cli/dry.c - `runtime plan --dry-run -s SEED...`: what a first step would do.
 *
 * A session in a folder of its own, which is gone afterwards, in a runtime
 * whose jobs end where their capability would be invoked: types, scope, the
 * choice of capabilities, setup and match decide as they would in a run.
 *
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dry.h"
#include "load.h"
#include "report.h"
#include "seeds.h"

enum { BATCH = 512, PATH_SIZE = 4096 };

typedef struct dry {
  cli *c;
  rt_runtime *rt;
  rt_session *session;
  rt_value *seeds, *options, *outcomes;
  char dir[PATH_SIZE];
  rt_builder *rows; /* {key, capability, runs, reason}... */
} dry;

/* --- the folder -------------------------------------------------------- */

static int make_folder(dry *d) {
  const char *base = getenv("TMPDIR");
  int n = snprintf(d->dir, sizeof(d->dir), "%s/runtime-plan-XXXXXX",
                   base && *base ? base : "/tmp");
  if (n < (int)sizeof(d->dir) && mkdtemp(d->dir)) return 0;
  int status = cli_fail(d->c, "cannot make a folder for the dry run, %s: %s",
                        d->dir, strerror(errno));
  d->dir[0] = '\0';
  return status;
}

static void remove_folder(const dry *d) {
  struct dirent *entry;
  DIR *folder = d->dir[0] ? opendir(d->dir) : NULL;
  while (folder && (entry = readdir(folder))) {
    if (entry->d_name[0] != '.') unlinkat(dirfd(folder), entry->d_name, 0);
  }
  if (folder) closedir(folder);
  if (d->dir[0]) rmdir(d->dir);
}

/* --- the session ------------------------------------------------------- */

static void on_signal(int signo, unsigned count, void *arg) {
  dry *d = arg;
  if (count > 2) _exit(128 + signo);
  rt_session_cancel_async(d->session, "interrupted", true, NULL, NULL);
}

static int open_session(dry *d, const cli_dry *asked) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  opts.name = "plan";
  opts.dir = d->dir;
  opts.mode = RT_OPEN_CREATE;
  opts.only = asked->only.items;
  opts.only_count = asked->only.count;
  opts.without = asked->without.items;
  opts.without_count = asked->without.count;
  opts.scope = asked->scope.items;
  opts.scope_count = asked->scope.count;
  opts.options = d->options;
  opts.sync_normal = true;
  opts.grace = 1;
  if (rt_session_open(&d->session, d->rt, &opts, &err) == RT_OK) return 0;
  return cli_fail(d->c, "%s", err.message);
}

/* The outcome of each seed, in their order, then the end of the round. */
static rt_err dispatch(dry *d, rt_error *err) {
  rt_view seed;
  rt_err rc = RT_OK;
  rt_iter iter = rt_iter_of(rt_value_view(d->seeds));
  rt_builder *outcomes = rt_builder_new();
  if (!outcomes) return rt_fail(err, RT_ENOMEM, "out of memory");
  rt_builder_begin_array(outcomes);
  while (rc == RT_OK && rt_iter_next(&iter, NULL, &seed)) {
    rt_value *asset = NULL;
    rt_outcome outcome = RT_QUEUED;
    rc = rt_view_copy(&asset, seed, err);
    if (rc == RT_OK) {
      rc = rt_session_dispatch(d->session, asset, NULL, &outcome, err);
    }
    rt_builder_string(outcomes, rt_outcome_text(outcome));
    rt_value_unref(asset);
  }
  rt_builder_end(outcomes);
  if (rc == RT_OK) rc = rt_builder_finish(outcomes, &d->outcomes, err);
  rt_builder_free(outcomes);
  return rc == RT_OK ? rt_session_wait(d->session, -1, NULL, err) : rc;
}

/* Nobody asks twice, so the jobs of all seeds are there at the end. */
static int go(dry *d, const cli_dry *asked) {
  rt_error err = RT_ERROR_INIT;
  int status = open_session(d, asked);
  if (status) return status;
  cli_on_signal(d->c, on_signal, d);
  rt_err rc = dispatch(d, &err);
  rt_session_close(d->session);
  if (rc == RT_OK) return 0;
  status = cli_fail(d->c, "%s", err.message);
  return rc == RT_ECANCELED ? EXIT_STOPPED : status;
}

/* --- what it says ------------------------------------------------------ */

static void put_member(rt_builder *b, const char *key, const char *text) {
  rt_builder_key(b, key);
  rt_builder_string(b, text ? text : "?");
}

static void add_row(dry *d, const char *key, const char *capability, bool runs,
                    const char *reason) {
  rt_builder_begin_map(d->rows);
  put_member(d->rows, "key", key);
  if (capability) put_member(d->rows, "capability", capability);
  rt_builder_key(d->rows, "runs");
  rt_builder_bool(d->rows, runs);
  if (reason) put_member(d->rows, "reason", reason);
  rt_builder_end(d->rows);
}

static void add_job(dry *d, rt_view job) {
  rt_view why = rt_view_get(job, "reason");
  char *target = cli_member(job, "target"), *state = cli_member(job, "state");
  char *name = cli_member(job, "capability");
  char *reason = rt_view_type(why) == RT_STRING ? cli_text(why) : NULL;
  bool runs = state && !strcmp(state, "completed");
  add_row(d, target, name, runs, runs ? NULL : reason ? reason : state);
  free(target);
  free(state);
  free(name);
  free(reason);
}

static int add_jobs(dry *d, rt_report *report) {
  rt_error err = RT_ERROR_INIT;
  char *cursor = strdup("");
  while (cursor) {
    rt_value *answer = NULL;
    rt_view job;
    rt_err rc =
        rt_report_jobs(report, NULL, NULL, cursor, BATCH, &answer, &err);
    free(cursor);
    cursor = NULL;
    if (rc != RT_OK) return cli_fail(d->c, "%s", err.message);
    rt_view view = rt_value_view(answer), next = rt_view_get(view, "cursor");
    rt_iter iter = rt_iter_of(rt_view_get(view, "jobs"));
    while (rt_iter_next(&iter, NULL, &job)) add_job(d, job);
    if (rt_view_type(next) == RT_STRING) cursor = cli_text(next);
    rt_value_unref(answer);
  }
  return 0;
}

/* Seeds that start nothing have no job that could say so. */
static void add_idle(dry *d) {
  rt_view seed, outcome;
  rt_iter seeds = rt_iter_of(rt_value_view(d->seeds));
  rt_iter outcomes = rt_iter_of(rt_value_view(d->outcomes));
  while (rt_iter_next(&seeds, NULL, &seed) &&
         rt_iter_next(&outcomes, NULL, &outcome)) {
    char *text = cli_text(outcome), *key = NULL;
    char *class_ = cli_member(seed, "class"),
         *value = cli_member(seed, "value");
    if (asprintf(&key, "%s:%s", class_ ? class_ : "?", value ? value : "?") < 0)
      key = NULL;
    if (text && !strcmp(text, "out_of_scope")) {
      add_row(d, key, NULL, false, "out of scope");
    } else if (text && !strcmp(text, "stored")) {
      add_row(d, key, NULL, false, "no capability takes this class");
    }
    free(key);
    free(text);
    free(class_);
    free(value);
  }
}

static void print_rows(rt_view rows, FILE *out) {
  static const char *const heads[] = {"SEED", "CAPABILITY", "RUNS", "REASON"};
  cli_table table;
  rt_view row;
  rt_iter iter = rt_iter_of(rows);
  cli_table_init(&table, 4);
  for (size_t i = 0; i < 4; i++) cli_table_text(&table, heads[i]);
  while (rt_iter_next(&iter, NULL, &row)) {
    bool runs = rt_view_bool(rt_view_get(row, "runs"), false);
    cli_table_add(&table, cli_member(row, "key"));
    cli_table_add(&table, cli_member(row, "capability"));
    cli_table_text(&table, runs ? "yes" : "no");
    cli_table_add(&table, cli_member(row, "reason"));
  }
  cli_table_print(&table, out);
  cli_table_deinit(&table);
}

static int put_rows(cli *c, const rt_value *rows, bool json) {
  char *text = NULL;
  size_t size;
  if (json) return cli_put_json(c, rows);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  print_rows(rt_value_view(rows), out);
  fclose(out);
  return cli_put_text(c, text);
}

static int tell(dry *d, bool json) {
  rt_error err = RT_ERROR_INIT;
  rt_report *report = NULL;
  rt_value *rows = NULL;
  int status = cli_report(d->c, &report, d->dir, "plan");
  if (status) return status;
  d->rows = rt_builder_new();
  if (!d->rows) status = cli_fail(d->c, "out of memory");
  if (!status) {
    rt_builder_begin_array(d->rows);
    status = add_jobs(d, report);
    add_idle(d);
    rt_builder_end(d->rows);
  }
  if (!status && rt_builder_finish(d->rows, &rows, &err) != RT_OK) {
    status = cli_fail(d->c, "%s", err.message);
  }
  if (!status) status = put_rows(d->c, rows, json);
  rt_value_unref(rows);
  rt_builder_free(d->rows);
  rt_report_close(report);
  return status;
}

int cli_dry_run(cli *c, rt_runtime *rt, const cli_dry *asked, bool json) {
  dry d = {.c = c, .rt = rt};
  int status = cli_seeds(c, &asked->seeds, &d.seeds);
  for (size_t i = 0; i < asked->only.count && !status; i++) {
    status = cli_check_choice(c, rt, "--only", asked->only.items[i]);
  }
  for (size_t i = 0; i < asked->without.count && !status; i++) {
    status = cli_check_choice(c, rt, "--without", asked->without.items[i]);
  }
  if (!status)
    status = cli_typed_options(c, rt, &asked->sets, NULL, NULL, &d.options);
  if (!status) status = make_folder(&d);
  if (!status) status = go(&d, asked);
  if (!status) status = tell(&d, json);
  remove_folder(&d);
  cli_on_signal(c, NULL, NULL);
  rt_session_unref(d.session);
  rt_value_unref(d.seeds);
  rt_value_unref(d.options);
  rt_value_unref(d.outcomes);
  return status;
}
