/* cli/seeds.h - "CLASS:VALUE" from the command line and standard input.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_SEEDS_H
#define CLI_SEEDS_H

#include "cli.h"

/* All seeds as an array of assets [own], "-" replaced by the lines of standard
 * input. 0, or exit code 2 after a message that names the bad one. */
int cli_seeds(cli *c, const cli_list *seeds, rt_value **out);
/* Of stored seeds those that nobody has deleted since, as an array [own]. */
rt_err cli_seeds_left(rt_report *report, rt_view seeds, rt_value **out,
                      rt_error *err);
/* Tells of seeds that scope or limits kept out, or that nobody takes: they are
 * easily taken for a run that found nothing. */
void cli_seeds_refused(cli *c, rt_view seeds, rt_view outcomes);

#endif
