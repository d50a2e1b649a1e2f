/* cli/delete.c - `runtime delete NAME KEY...`: assets of a session that nobody
 * has open. SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "report.h"

typedef struct fields {
  const char *data;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_error err = RT_ERROR_INIT;
  int status = cli_arguments(c, &cli_delete, &parse, argc, argv, 2, SIZE_MAX);
  if (!status) {
    const char *name = parse.bare.items[0];
    size_t count = parse.bare.count - 1;
    rt_err rc = rt_session_prune(cli_data_dir(f.data), name,
                                 parse.bare.items + 1, count, &err);
    if (rc == RT_ECONFLICT) {
      status = cli_fail(c, "%s (runtime ctl %s delete CLASS:VALUE)",
                        err.message, name);
    } else if (rc != RT_OK) {
      status = cli_fail(c, "%s", err.message);
    } else {
      console_say(&c->console, "%zu %s deleted\n", count,
                  count == 1 ? "asset" : "assets");
    }
  }
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_delete = {
    "delete", "NAME CLASS:VALUE... [--data DIR]",
    "delete assets of a session for good, with their jobs", options, run};
