/* cli/config.h - a file of settings for run and resume.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "settings.h"

/* Take from the file that --config names what was not given on the command
 * line: 0, or an exit code after a message. */
int cli_config(cli *c, cli_settings *settings);
/* "PATH:LINE" of a field, in the table `group` unless that is NULL; the path
 * alone when it is not found. */
void cli_config_place(const char *path, const char *group, const char *field,
                      char *out, size_t size);

#endif
