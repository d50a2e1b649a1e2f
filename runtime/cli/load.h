/* cli/load.h - capability files into a registry.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include "cli.h"

/* Every path must exist: 0, or an exit code after a message. */
int cli_check_paths(cli *c, const cli_list *paths);
/* The first `stored` paths come from a session that is resumed. One that is
 * gone is replaced by a path that was given behind them, which is told; without
 * such a path: an exit code after a message. */
int cli_moved_paths(cli *c, cli_list *paths, size_t stored);
/* Load all; faulty files are told on stderr, one line each. Fails when there
 * were paths and nothing of them loaded. */
int cli_load(cli *c, rt_runtime *rt, const cli_list *paths);
/* Is there a capability of this name? If not: exit code 2 after a message that
 * starts with `option` and names the nearest one. */
/* The same for a word of --only and --without: a name, a pattern of names, or
 * "tag:WORD". */
int cli_check_choice(cli *c, rt_runtime *rt, const char *option,
                     const char *word);
int cli_check_capability(cli *c, rt_runtime *rt, const char *option,
                         const char *name);
/* Does such a word choose this capability, as the registry describes it? */
bool cli_chooses(const char *word, rt_view capability);
/* What a message calls one of the settings. */
typedef const char *(*cli_source_fn)(const char *item, void *arg);
/* "CAPABILITY.OPTION=VALUE"... as a map capability -> option -> value [own],
 * typed like the declared defaults; `source` may be NULL. NULL when there are
 * none. */
int cli_typed_options(cli *c, rt_runtime *rt, const cli_list *sets,
                      cli_source_fn source, void *arg, rt_value **out);

#endif
