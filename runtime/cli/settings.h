/* cli/settings.h - the options of run and resume, and how a session keeps them.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli.h"

typedef struct cli_settings {
  const char *session, *data, *progress, *config, *patience;
  bool watch;
  cli_list paths, seeds, sets, only, without, scope;
  int64_t concurrency, max_depth, max_assets, max_fanout; /* <0: not given */
  int64_t max_descendants, max_repeats, max_journal;
  double deadline, grace; /* <0: not given */
  cli_common common;
  cli_list from_config; /* of those in the lists above, by address */
  cli_list kept; /* strings [own] that came from a stored configuration */
} cli_settings;

extern const cli_option cli_run_options[], cli_resume_options[];

void cli_settings_init(cli_settings *s, const cli *c);
void cli_settings_deinit(cli_settings *s);
/* Values that one option alone decides: 0, or an exit code after a message. */
int cli_settings_check(cli *c, cli_settings *s);
/* Make paths absolute, so that resume finds them from anywhere. */
bool cli_settings_absolute(cli_settings *s);

/* How a message calls this value: `option`, or the configuration that it is
 * from. Good until the settings go. */
const char *cli_settings_source(cli_settings *s, const char *option,
                                const char *value);
/* As the map that a session stores; `seeds` is an array of assets. */
rt_err cli_settings_store(const cli_settings *s, const rt_value *seeds,
                          rt_value **out, rt_error *err);
/* Take from a stored map what was not given: its paths and --set come before
 * those given, everything else gives way. */
bool cli_settings_merge(cli_settings *s, rt_view stored);

/* Options for opening; borrows from `s`. */
void cli_settings_open(const cli_settings *s, rt_session_opts *out);

#endif
