/* cli/explain.c - `runtime explain NAME CLASS:VALUE`: how an asset was found.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "report.h"

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
    bool gone = rt_view_number(rt_view_get(step, "gone"), 0) > 0;
    fprintf(out, "  %3d  %-16s  %s%s\n", hop++, how, key ? key : "?",
            gone ? "  (gone)" : "");
    free(key);
    free(by);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int run(cli *c, int argc, char **argv) {
  cli_reading r;
  rt_error err = RT_ERROR_INIT;
  rt_value *chain = NULL;
  int status = cli_reading_begin(&r, c, &cli_explain, argc, argv, 2, 2);
  if (status) goto done;
  const char *key = r.parse.bare.items[1];
  rt_err rc = rt_report_explain(r.report, key, &chain, &err);
  if (rc == RT_ENOTFOUND) {
    status = cli_fail(c, "no asset '%s' in session '%s'", key,
                      r.parse.bare.items[0]);
  } else if (rc != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        r.json ? cli_put_json(c, chain) : put_chain(c, rt_value_view(chain));
  }
done:
  rt_value_unref(chain);
  cli_reading_end(&r);
  return status;
}

const cli_command cli_explain = {
    "explain", "NAME CLASS:VALUE [--data DIR] [--json]",
    "the chain of capabilities from a seed to this asset", cli_reading_options,
    run};
