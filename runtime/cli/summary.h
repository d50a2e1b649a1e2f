/* cli/summary.h - what a run ends with on stderr.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_SUMMARY_H
#define CLI_SUMMARY_H

#include "cli.h"

/* Counts per class and capability, and failed jobs with their reasons.
 * `outcome` is a word like "finished"; `stats` as of API section 3. */
void cli_summary(cli *c, const char *dir, const char *name, const char *outcome,
                 double seconds, const rt_value *stats);
/* What scope and budgets kept out, by name; nothing when there is none. */
void cli_print_rejections(rt_view stats, FILE *out);

#endif
