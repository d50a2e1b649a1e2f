/* cli/plan_options.h - the options of loaded capabilities as a table.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_PLAN_OPTIONS_H
#define CLI_PLAN_OPTIONS_H

#include "cli.h"

/* On standard output, by name: type, default, description. */
int cli_plan_options(cli *c, rt_runtime *rt);

#endif
