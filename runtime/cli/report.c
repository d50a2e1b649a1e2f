/* cli/report.c - reading a stored session and showing values.
 * SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cli_arguments(cli *c, const cli_command *command, cli_parse *parse,
                  int argc, char **argv, size_t least, size_t most) {
  parse->command = command->name;
  parse->options = command->options;
  if (!cli_parse_args(parse, argc, argv, stderr)) return EXIT_USAGE;
  if (parse->bare.count > most) {
    return cli_usage(c, "%s: unexpected argument '%s'", command->name,
                     parse->bare.items[most]);
  }
  if (parse->bare.count < least) {
    return cli_usage(c, "usage: runtime %s %s", command->name,
                     command->synopsis);
  }
  return 0;
}

int cli_report(cli *c, rt_report **out, const char *data, const char *name) {
  rt_error err = RT_ERROR_INIT;
  const char *dir = cli_data_dir(data);
  if (!cli_is_session_name(name)) {
    return cli_usage(c,
                     "'%s' is no session name: letters, digits, '.', '_' and "
                     "'-', not beginning with '.', at most 100",
                     name);
  }
  rt_err rc = rt_report_open(out, dir, name, &err);
  if (rc == RT_ENOTFOUND) {
    return cli_fail(c, "no session '%s' in %s; 'runtime sessions' lists them",
                    name, dir);
  }
  return rc == RT_OK ? 0 : cli_fail(c, "%s", err.message);
}

const cli_option cli_reading_options[] = {
    {"--data", 0, CLI_TEXT, offsetof(cli_reading, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--json", 0, CLI_FLAG, offsetof(cli_reading, json), "", "as JSON, by line",
     0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

int cli_reading_begin(cli_reading *reading, cli *c, const cli_command *command,
                      int argc, char **argv, size_t least, size_t most) {
  memset(reading, 0, sizeof(*reading));
  cli_parse *parse = &reading->parse;
  parse->fields = reading;
  int status = cli_arguments(c, command, parse, argc, argv, least, most);
  if (status || least == 0) return status;
  return cli_report(c, &reading->report, reading->data, parse->bare.items[0]);
}

void cli_reading_end(cli_reading *reading) {
  rt_report_close(reading->report);
  cli_parse_free(&reading->parse);
}

/* --- values as text ---------------------------------------------------- */

static void defuse(char *text) {
  for (; *text; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte < 32 || byte == 127) *text = '?';
  }
}

static char *json_text(rt_view view) {
  rt_value *copy = NULL;
  char *json = NULL, *text = NULL;
  size_t size;
  if (rt_view_copy(&copy, view, NULL) == RT_OK &&
      rt_value_to_json(&json, &size, copy, NULL) == RT_OK) {
    text = strndup(json, size);
  }
  rt_free(json);
  rt_value_unref(copy);
  return text;
}

char *cli_text(rt_view view) {
  size_t size;
  if (rt_view_type(view) == RT_NIL) return strdup("-");
  const char *bytes = rt_view_string(view, &size);
  char *text = bytes ? malloc(size + 1) : json_text(view);
  if (!text) return NULL;
  if (bytes) {
    memcpy(text, bytes, size);
    text[size] = '\0';
    for (size_t i = 0; i < size; i++) {
      if (!text[i]) text[i] = '?';
    }
  }
  defuse(text);
  return text;
}

char *cli_member(rt_view map, const char *key) {
  return cli_text(rt_view_get(map, key));
}

char *cli_seconds(rt_view seconds) {
  char *text = NULL;
  double s = rt_view_number(seconds, -1);
  if (s < 0) return strdup("-");
  int n = s < 1 ? asprintf(&text, "%.3g ms", s * 1000)
                : asprintf(&text, "%.3g s", s);
  return n < 0 ? NULL : text;
}

/* --- standard output --------------------------------------------------- */

static int put(cli *c, const char *text, size_t size) {
  if (console_out(&c->console, text, size)) return 0;
  if (errno == EPIPE) return EXIT_STOPPED;
  return cli_fail(c, "cannot write to standard output: %s", strerror(errno));
}

int cli_put_text(cli *c, char *text) {
  if (!text) return cli_fail(c, "out of memory");
  int status = put(c, text, strlen(text));
  free(text);
  return status;
}

int cli_put_json(cli *c, const rt_value *value) {
  rt_error err = RT_ERROR_INIT;
  char *json = NULL, *line = NULL;
  size_t size;
  if (rt_value_to_json(&json, &size, value, &err) != RT_OK) {
    return cli_fail(c, "%s", err.message);
  }
  int n = asprintf(&line, "%.*s\n", (int)size, json);
  rt_free(json);
  return cli_put_text(c, n < 0 ? NULL : line);
}

int cli_put_view(cli *c, rt_view view) {
  rt_error err = RT_ERROR_INIT;
  rt_value *copy = NULL;
  if (rt_view_copy(&copy, view, &err) != RT_OK) {
    return cli_fail(c, "%s", err.message);
  }
  int status = cli_put_json(c, copy);
  rt_value_unref(copy);
  return status;
}

/* --- tables ------------------------------------------------------------ */

void cli_table_init(cli_table *table, size_t columns) {
  *table = (cli_table){columns, 0, 0, NULL};
}

void cli_table_add(cli_table *table, char *cell) {
  if (table->count == table->room) {
    size_t room = table->room ? table->room * 2 : 64;
    char **cells = realloc(table->cells, room * sizeof(*cells));
    if (!cells) {
      free(cell);
      return;
    }
    table->cells = cells;
    table->room = room;
  }
  table->cells[table->count++] = cell;
}

void cli_table_text(cli_table *table, const char *cell) {
  cli_table_add(table, strdup(cell));
}

/* Characters of UTF-8 text. */
static size_t width_of(const char *text) {
  size_t width = 0;
  for (; text && *text; text++) width += (*text & 0xC0) != 0x80;
  return width;
}

static size_t column_width(const cli_table *table, size_t column) {
  size_t most = 0;
  for (size_t i = column; i < table->count; i += table->columns) {
    size_t width = width_of(table->cells[i]);
    if (width > most) most = width;
  }
  return most;
}

void cli_table_print(const cli_table *table, FILE *out) {
  size_t widths[16] = {0};
  for (size_t i = 0; i < table->columns; i++) {
    widths[i] = column_width(table, i);
  }
  for (size_t i = 0; i < table->count; i++) {
    const char *cell = table->cells[i] ? table->cells[i] : "?";
    size_t column = i % table->columns;
    fputs(column ? "  " : "  ", out);
    fputs(cell, out);
    if (column + 1 == table->columns) {
      fputc('\n', out);
    } else {
      fprintf(out, "%*s", (int)(widths[column] - width_of(cell)), "");
    }
  }
}

void cli_table_deinit(cli_table *table) {
  for (size_t i = 0; i < table->count; i++) free(table->cells[i]);
  free(table->cells);
  cli_table_init(table, table->columns);
}

/* --- counts ------------------------------------------------------------ */

static void print_classes(rt_view classes, FILE *out) {
  cli_table table;
  rt_view key, item;
  rt_iter iter = rt_iter_of(classes);
  cli_table_init(&table, 2);
  cli_table_text(&table, "CLASS");
  cli_table_text(&table, "ASSETS");
  while (rt_iter_next(&iter, &key, &item)) {
    cli_table_add(&table, cli_text(key));
    cli_table_add(&table, cli_text(item));
  }
  if (table.count > 2) cli_table_print(&table, out);
  cli_table_deinit(&table);
}

static void add_count(cli_table *table, rt_view row, const char *key) {
  char *text = NULL;
  int n =
      asprintf(&text, "%lld", (long long)rt_view_int(rt_view_get(row, key), 0));
  cli_table_add(table, n < 0 ? NULL : text);
}

static void print_capabilities(rt_view capabilities, FILE *out) {
  static const char *const heads[] = {"CAPABILITY", "DONE",   "SKIPPED",
                                      "FAILED",     "QUEUED", "RUNNING",
                                      "P50",        "P95"};
  static const char *const counts[] = {"done", "skipped", "failed", "queued",
                                       "running"};
  cli_table table;
  rt_view key, item;
  rt_iter iter = rt_iter_of(capabilities);
  cli_table_init(&table, 8);
  for (size_t i = 0; i < 8; i++) cli_table_text(&table, heads[i]);
  while (rt_iter_next(&iter, &key, &item)) {
    cli_table_add(&table, cli_text(key));
    for (size_t i = 0; i < 5; i++) add_count(&table, item, counts[i]);
    cli_table_add(&table, cli_seconds(rt_view_get(item, "p50")));
    cli_table_add(&table, cli_seconds(rt_view_get(item, "p95")));
  }
  if (table.count > 8) cli_table_print(&table, out);
  cli_table_deinit(&table);
}

long long cli_count(rt_view stats, const char *key) {
  return (long long)rt_view_int(rt_view_get(stats, key), 0);
}

long long cli_sum(rt_view counts) {
  long long total = 0;
  rt_view item;
  rt_iter iter = rt_iter_of(counts);
  while (rt_iter_next(&iter, NULL, &item)) total += rt_view_int(item, 0);
  return total;
}

void cli_print_stats(rt_view stats, FILE *out) {
  print_classes(rt_view_get(stats, "assets"), out);
  print_capabilities(rt_view_get(stats, "capabilities"), out);
}
