/* cli/watch.h - capability files that change while a session runs (`--watch`).
 *
 * Main thread only. SPDX-License-Identifier: MIT */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli.h"

typedef struct watch watch;

/* Watch what was loaded from these paths. NULL, after a message, when that
 * cannot be done. */
watch *watch_new(cli *c, rt_runtime *rt, const cli_list *paths);
/* Take in what has changed and come to rest; NULL: nothing. */
void watch_tick(watch *w);
void watch_free(watch *w);

#endif
