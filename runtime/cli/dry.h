/* cli/dry.h - what capabilities would do with seeds, without doing it.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_DRY_H
#define CLI_DRY_H

#include "cli.h"

/* As given to `run`. */
typedef struct cli_dry {
  cli_list seeds, sets, only, without, scope;
} cli_dry;

/* In a runtime made with `dry_run` and loaded: a row on stdout for each seed
 * and capability that takes it, or a JSON array of them. An exit code. */
int cli_dry_run(cli *c, rt_runtime *rt, const cli_dry *asked, bool json);

#endif
