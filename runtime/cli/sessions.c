/* cli/sessions.c - `runtime sessions`: what is stored in a data folder.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "report.h"

static int put_lines(cli *c, rt_view list) {
  rt_view item;
  rt_iter iter = rt_iter_of(list);
  int status = 0;
  while (!status && rt_iter_next(&iter, NULL, &item)) {
    status = cli_put_view(c, item);
  }
  return status;
}

static int put_table(cli *c, rt_view list) {
  static const char *const heads[] = {"SESSION", "STATE", "ASSETS", "QUEUED",
                                      "FAILED"};
  static const char *const keys[] = {"name", "state", "assets", "queued",
                                     "failed"};
  cli_table table;
  rt_view item;
  rt_iter iter = rt_iter_of(list);
  char *text = NULL;
  size_t size;
  cli_table_init(&table, 5);
  for (size_t i = 0; i < 5; i++) cli_table_text(&table, heads[i]);
  while (rt_iter_next(&iter, NULL, &item)) {
    for (size_t i = 0; i < 5; i++) {
      cli_table_add(&table, cli_member(item, keys[i]));
    }
  }
  FILE *out = open_memstream(&text, &size);
  if (out) {
    cli_table_print(&table, out);
    fclose(out);
  }
  cli_table_deinit(&table);
  return cli_put_text(c, text);
}

static int run(cli *c, int argc, char **argv) {
  cli_reading r;
  rt_error err = RT_ERROR_INIT;
  rt_value *list = NULL;
  int status = cli_reading_begin(&r, c, &cli_sessions, argc, argv, 0, 0);
  if (status) goto done;
  if (rt_session_list(cli_data_dir(r.data), &list, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
    goto done;
  }
  rt_view view = rt_value_view(list);
  if (r.json) {
    status = put_lines(c, view);
  } else if (rt_view_count(view) == 0) {
    console_say(&c->console, "no sessions in %s\n", cli_data_dir(r.data));
  } else {
    status = put_table(c, view);
  }
done:
  rt_value_unref(list);
  cli_reading_end(&r);
  return status;
}

const cli_command cli_sessions = {"sessions", "[--data DIR] [--json]",
                                  "list the stored sessions",
                                  cli_reading_options, run};
