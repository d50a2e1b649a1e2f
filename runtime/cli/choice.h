/* cli/choice.h - the options that choose among the assets of a session.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CHOICE_H
#define CLI_CHOICE_H

#include "report.h"

typedef struct cli_choice {
  const char *class_, *value, *prefix, *from, *parent, *since, *before;
  const char *changed_since;
  cli_list meta;
  int64_t depth;      /* negative: any */
  rt_value *metadata; /* [own] */
} cli_choice;
#define CLI_CHOICE_INIT                                                        \
  { .depth = -1 }

/* For a table of options: `member` is that of the command's struct `type`. */
#define CLI_CHOICE_AT(type, member, field)                                     \
  (offsetof(type, member) + offsetof(cli_choice, field))
/* clang-format off */
#define CLI_CHOICE_OPTIONS(type, member)                                       \
  {"--class", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, class_), "PATTERN",     \
   "only these classes", 0},                                                   \
  {"--value", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, value), "PATTERN",      \
   "only values that fit: dotted segments, as everywhere", 0},                 \
  {"--prefix", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, prefix), "TEXT",       \
   "only values that begin so", 0},                                            \
  {"--meta", 0, CLI_LIST, CLI_CHOICE_AT(type, member, meta), "NAME=VALUE...",  \
   "only assets with these fields in their metadata", 0},                      \
  {"--from", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, from), "CAPABILITY",     \
   "only what this capability has found", 0},                                  \
  {"--parent", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, parent),               \
   "CLASS:VALUE", "only what was found from this asset", 0},                   \
  {"--since", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, since), "WHEN",         \
   "stored then or later: a date, or a time ago like 1h30m", 0},               \
  {"--before", 0, CLI_TEXT, CLI_CHOICE_AT(type, member, before), "WHEN",       \
   "stored before that", 0},                                                   \
  {"--changed-since", 0, CLI_TEXT,                                             \
   CLI_CHOICE_AT(type, member, changed_since), "WHEN",                         \
   "stored, changed or gone then or later", 0},                                \
  {"--depth", 0, CLI_INTEGER, CLI_CHOICE_AT(type, member, depth), "N",         \
   "at most so many steps from a seed", 0}
/* clang-format on */

/* Was anything given? */
bool cli_choice_given(const cli_choice *choice);
/* What it asks for, as long as it lives. 0, or an exit code after a message. */
int cli_choice_query(cli_choice *choice, cli *c, rt_asset_query *query);
/* A parent that is not there is a mistake, not a list with nothing in it. */
int cli_choice_check(const cli_choice *choice, cli *c, rt_report *report);
void cli_choice_deinit(cli_choice *choice);

#endif
