/* cli/explain.c - `runtime explain NAME CLASS:VALUE`: how an asset was found.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

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

static int put_chain(cli *c, rt_view chain) {
  char *text = NULL;
  size_t size;
  rt_view step;
  int hop = 0;
  rt_iter iter = rt_iter_of(chain);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  while (rt_iter_next(&iter, NULL, &step)) {
    char *key = cli_member(step, "key");
    char *by = cli_member(step, "capability");
    const char *how = by && strcmp(by, "-") ? by : "seed";
    fprintf(out, "  %3d  %-16s  %s\n", hop++, how, key ? key : "?");
    free(key);
    free(by);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_error err = RT_ERROR_INIT;
  rt_report *report = NULL;
  rt_value *chain = NULL;
  int status = cli_arguments(c, &cli_explain, &parse, argc, argv, 2, 2);
  if (!status) status = cli_report(c, &report, f.data, parse.bare.items[0]);
  if (status) goto done;
  const char *key = parse.bare.items[1];
  rt_err rc = rt_report_explain(report, key, &chain, &err);
  if (rc == RT_ENOTFOUND) {
    status =
        cli_fail(c, "no asset '%s' in session '%s'", key, parse.bare.items[0]);
  } else if (rc != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        f.json ? cli_put_json(c, chain) : put_chain(c, rt_value_view(chain));
  }
done:
  rt_value_unref(chain);
  rt_report_close(report);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_explain = {
    "explain", "NAME CLASS:VALUE [--data DIR] [--json]",
    "the chain of capabilities from a seed to this asset", options, run};
