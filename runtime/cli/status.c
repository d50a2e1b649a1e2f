/* cli/status.c - `runtime status NAME`: state and counts of a session.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "report.h"

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
  print_line(status, "waits", "fault", out);
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
  cli_reading r;
  rt_error err = RT_ERROR_INIT;
  rt_value *value = NULL;
  int status = cli_reading_begin(&r, c, &cli_status, argc, argv, 1, 1);
  if (status) goto done;
  if (rt_report_status(r.report, &value, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        r.json ? cli_put_json(c, value) : put_status(c, rt_value_view(value));
  }
done:
  rt_value_unref(value);
  cli_reading_end(&r);
  return status;
}

const cli_command cli_status = {"status", "NAME [--data DIR] [--json]",
                                "state and counts of a session",
                                cli_reading_options, run};
