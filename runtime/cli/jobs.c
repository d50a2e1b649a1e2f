/* cli/jobs.c - `runtime jobs NAME`: the jobs of a session, and --retry.
 * SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

typedef struct fields {
  const char *data, *state, *capability;
  bool json, retry;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--state", 0, CLI_CHOICE, offsetof(fields, state),
     "queued|leased|running|completed|skipped|failed|retrying|canceled",
     "only jobs in this state", 0},
    {"--capability", 0, CLI_TEXT, offsetof(fields, capability), "NAME",
     "only jobs of this capability", 0},
    {"--retry", 0, CLI_FLAG, offsetof(fields, retry), "",
     "put failed jobs back; the next 'resume' runs them", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "JSON lines", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

enum { BATCH = 512 };

static void print_row(rt_view job, FILE *out) {
  static const char *const keys[] = {"state", "capability", "attempt", "target",
                                     "reason"};
  static const int widths[] = {-10, -18, 3, -32, 0};
  for (size_t i = 0; i < 5; i++) {
    char *text = cli_member(job, keys[i]);
    fprintf(out, "  %*s", widths[i], text ? text : "?");
    free(text);
  }
  fputc('\n', out);
}

static void print_json(rt_view job, FILE *out) {
  rt_value *copy = NULL;
  char *text = NULL;
  size_t size;
  if (rt_view_copy(&copy, job, NULL) == RT_OK &&
      rt_value_to_json(&text, &size, copy, NULL) == RT_OK) {
    fwrite(text, 1, size, out);
    fputc('\n', out);
  }
  rt_free(text);
  rt_value_unref(copy);
}

static int put_batch(cli *c, rt_view jobs, bool json) {
  char *text = NULL;
  size_t size;
  rt_view job;
  rt_iter iter = rt_iter_of(jobs);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  while (rt_iter_next(&iter, NULL, &job)) {
    (json ? print_json : print_row)(job, out);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int put_head(cli *c) {
  char *head = NULL;
  int n = asprintf(&head, "  %-10s  %-18s  %3s  %-32s  %s\n", "STATE",
                   "CAPABILITY", "TRY", "TARGET", "REASON");
  return cli_put_text(c, n < 0 ? NULL : head);
}

static int put_jobs(cli *c, rt_report *report, const fields *f) {
  rt_error err = RT_ERROR_INIT;
  char *cursor = strdup("");
  int status = f->json ? 0 : put_head(c);
  while (!status && cursor) {
    rt_value *answer = NULL;
    rt_err rc = rt_report_jobs(report, f->state, f->capability, cursor, BATCH,
                               &answer, &err);
    free(cursor);
    cursor = NULL;
    if (rc != RT_OK) return cli_fail(c, "%s", err.message);
    rt_view view = rt_value_view(answer);
    status = put_batch(c, rt_view_get(view, "jobs"), f->json);
    rt_view next = rt_view_get(view, "cursor");
    if (rt_view_type(next) == RT_STRING) cursor = cli_text(next);
    rt_value_unref(answer);
  }
  free(cursor);
  return status;
}

static int retry(cli *c, const fields *f, const char *name) {
  rt_error err = RT_ERROR_INIT;
  int64_t count = 0;
  rt_err rc = rt_session_retry(cli_data_dir(f->data), name, &count, &err);
  if (rc != RT_OK) return cli_fail(c, "%s", err.message);
  console_say(&c->console, "%" PRId64 " failed %s put back%s%s\n", count,
              count == 1 ? "job" : "jobs",
              count ? "; go on with: runtime resume " : "", count ? name : "");
  return 0;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_report *report = NULL;
  int status = cli_arguments(c, &cli_jobs, &parse, argc, argv, 1, 1);
  if (!status) status = cli_report(c, &report, f.data, parse.bare.items[0]);
  if (!status && !f.retry) status = put_jobs(c, report, &f);
  rt_report_close(report);
  if (!status && f.retry) status = retry(c, &f, parse.bare.items[0]);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_jobs = {
    "jobs", "NAME [--state S] [--capability NAME] [--retry] [--json]",
    "the jobs of a session, in order of creation", options, run};
