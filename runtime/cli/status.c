/* cli/status.c - `runtime status NAME`: state and counts of a session.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "report.h"

typedef struct fields {
  const char *data;
  bool json;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "one JSON line", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

static void print_line(rt_view status, const char *label, const char *key,
                       FILE *out) {
  char *text = cli_member(status, key);
  if (rt_view_type(rt_view_get(status, key)) != RT_NIL) {
    fprintf(out, "  %-11s %s\n", label, text ? text : "?");
  }
  free(text);
}

static int put_status(cli *c, rt_view status) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  print_line(status, "session", "name", out);
  print_line(status, "state", "state", out);
  print_line(status, "reason", "reason", out);
  print_line(status, "owner", "owner", out);
  print_line(status, "work items", "work_items_total", out);
  print_line(status, "completed", "work_items_completed", out);
  print_line(status, "queued", "queued", out);
  print_line(status, "running", "running", out);
  print_line(status, "skipped", "skipped", out);
  print_line(status, "failed", "failed", out);
  fputc('\n', out);
  cli_print_stats(status, out);
  fclose(out);
  return cli_put_text(c, text);
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_error err = RT_ERROR_INIT;
  rt_report *report = NULL;
  rt_value *value = NULL;
  int status = cli_arguments(c, &cli_status, &parse, argc, argv, 1, 1);
  if (!status) status = cli_report(c, &report, f.data, parse.bare.items[0]);
  if (status) goto done;
  if (rt_report_status(report, &value, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        f.json ? cli_put_json(c, value) : put_status(c, rt_value_view(value));
  }
done:
  rt_value_unref(value);
  rt_report_close(report);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_status = {"status", "NAME [--data DIR] [--json]",
                                "state and counts of a session", options, run};
