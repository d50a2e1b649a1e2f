/* cli/cycles.h - what may go on for ever. SPDX-License-Identifier: MIT */
#ifndef CLI_CYCLES_H
#define CLI_CYCLES_H

#include "settings.h"

/* Tell each cycle of the chosen capabilities that no budget of `s` bounds. */
void cli_warn_cycles(cli *c, rt_runtime *rt, const cli_settings *s);

#endif
