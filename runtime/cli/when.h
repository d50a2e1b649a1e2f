/* cli/when.h - points in time as they are given on the command line.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdbool.h>

/* Unix seconds of "1h30m" (so long ago), "2026-01-31", "2026-01-31 12:00",
 * "2026-01-31T12:00:00" (local time, or UTC with a "Z" behind), "@1700000000";
 * false for anything else. */
bool cli_when(const char *text, double *out);

#endif
