/* cli/report.h - what the commands that only read a session share.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli.h"

/* Parse a command's arguments; `least` and `most` bare ones are wanted, called
 * `names` in messages. 0, or an exit code after a message. */
int cli_arguments(cli *c, const cli_command *command, cli_parse *parse,
                  int argc, char **argv, size_t least, size_t most);

/* Open a stored session: 0, or an exit code after a message. */
int cli_report(cli *c, rt_report **out, const char *data, const char *name);

/* Where those begin that have no options but --data and --json: their `fields`
 * and options, the arguments parsed, and, when a name is wanted (`least` above
 * 0), the session that the first one names. End it whatever it answers. */
typedef struct cli_reading {
  const char *data;
  bool json;
  cli_parse parse;
  rt_report *report; /* NULL when no name is wanted */
} cli_reading;
extern const cli_option cli_reading_options[];
int cli_reading_begin(cli_reading *reading, cli *c, const cli_command *command,
                      int argc, char **argv, size_t least, size_t most);
void cli_reading_end(cli_reading *reading);

/* What is shown of a view, [own] with free(): a string as it is but for what
 * would steer a terminal, "-" for nil, JSON for a table. */
char *cli_text(rt_view view);
/* The same of a member of a map. */
char *cli_member(rt_view map, const char *key);

/* One JSON line on stdout. 0, or an exit code (after a message, but for a
 * reader that went away). */
int cli_put_json(cli *c, const rt_value *value);
int cli_put_view(cli *c, rt_view view);
/* Text on stdout, the same way; takes `text` (malloc). */
int cli_put_text(cli *c, char *text);

/* Columns of text: each row ends a line, the last column is not padded. */
typedef struct cli_table {
  size_t columns, count, room;
  char **cells; /* [own] */
} cli_table;
void cli_table_init(cli_table *table, size_t columns);
void cli_table_add(cli_table *table, char *cell); /* takes it */
void cli_table_text(cli_table *table, const char *cell);
void cli_table_print(const cli_table *table, FILE *out);
void cli_table_deinit(cli_table *table);

/* graph.html, which the build puts into the program. */
extern const char cli_graph_page[];

/* "3 ms", "1.25 s", "-" [own]. */
char *cli_seconds(rt_view seconds);

/* Of stats (API section 3): one count, 0 when it is not there; the sum of a map
 * of counts; counts per class and per capability, as tables. */
long long cli_count(rt_view stats, const char *key);
long long cli_sum(rt_view counts);
void cli_print_stats(rt_view stats, FILE *out);

#endif
