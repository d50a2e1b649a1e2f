/* cli/test.c - `runtime test FILE...`: capabilities alone, with fakes.
 *
 * The work is done by the Lua module `testing`; here are the options.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli.h"

typedef struct fields {
  const char *filter;
  bool json;
} fields;

static const cli_option test_options[] = {
    {"--filter", 0, CLI_TEXT, offsetof(fields, filter), "TEXT",
     "only cases that have this in their names", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "",
     "a JSON line for each case", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

/* Arguments are the filter, "json" or "", and the paths. */
static const char code[] = "local filter, form = ...\n"
                           "local paths = { select(3, ...) }\n"
                           "local opts = { json = form == 'json' }\n"
                           "if filter ~= '' then opts.filter = filter end\n"
                           "os.exit(require('testing').main(paths, opts))\n";

static int run(cli *c, int argc, char **argv) {
  fields f = {NULL, false};
  cli_parse p = {.command = "test", .options = test_options, .fields = &f};
  p.wanted = (size_t)-1;
  int status = EXIT_USAGE;
  if (cli_parse_args(&p, argc, argv, stderr)) {
    char **all = calloc(p.bare.count + 4, sizeof(*all));
    if (!all) {
      status = cli_fail(c, "out of memory");
    } else if (!p.bare.count) {
      status = cli_usage(c, "usage: runtime test %s", cli_test.synopsis);
    } else {
      all[0] = (char *)code;
      all[1] = (char *)(f.filter ? f.filter : "");
      all[2] = (char *)(f.json ? "json" : "text");
      for (size_t i = 0; i < p.bare.count; i++) {
        all[i + 3] = (char *)p.bare.items[i];
      }
      status = cli_code(c, (int)p.bare.count + 3, all);
    }
    free(all);
  }
  cli_list_free(&p.bare);
  return status;
}

const cli_command cli_test = {
    "test", "FILE...", "test capabilities alone, with fakes for the world",
    test_options, run};
