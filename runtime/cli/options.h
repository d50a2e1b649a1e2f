/* cli/options.h - a table of options, and the arguments that match it.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum cli_kind {
  CLI_FLAG,     /* bool */
  CLI_TEXT,     /* const char *: a value that is not empty */
  CLI_LIST,     /* cli_list: may be given more than once, takes one or more */
  CLI_INTEGER,  /* int64_t: not below `least` */
  CLI_SIZE,     /* int64_t: bytes, not below `least` */
  CLI_DURATION, /* double: seconds, not below `least` */
  CLI_CHOICE    /* const char *: one of `value`, "a|b|c" */
} cli_kind;

typedef struct cli_list {
  const char **items;
  size_t count;
} cli_list;

typedef struct cli_option {
  const char *name; /* "--session" */
  char letter;      /* 's' for -s, or 0 */
  cli_kind kind;
  size_t offset;     /* of the field in the command's struct */
  const char *value; /* how help calls the value: "NAME" */
  const char *help;
  int64_t least;
} cli_option;

typedef struct cli_parse {
  const char *command; /* for messages: "run" */
  const cli_option *options;
  void *fields;      /* the command's struct */
  size_t wanted;     /* bare arguments that come before lists grow */
  bool stop_at_bare; /* leave the first bare argument and all after it */
  cli_list bare;     /* result: the bare arguments */
  int used;          /* result: arguments looked at */
  bool help;         /* result: --help was given */
} cli_parse;

/* Parse argv[0..argc). On a mistake writes one line to `say` and returns
 * false. The lists belong to the caller (cli_list_free). */
bool cli_parse_args(cli_parse *parse, int argc, char **argv, FILE *say);
void cli_parse_free(cli_parse *parse);

bool cli_list_add(cli_list *list, const char *item);
void cli_list_free(cli_list *list);

/* Seconds of "0.25", "250ms", "5s", "1h30m"; false for anything else. */
bool cli_duration(const char *text, double *seconds);
/* Bytes of "1048576", "800K", "512M", "1.5G"; false for anything else. */
bool cli_size(const char *text, int64_t *bytes);
/* The one of `names` (NULL ends them) nearest to `word`, or NULL when none is
 * near. */
const char *cli_nearest(const char *word, const char *const *names);
/* The same by distance: how many letters must change. */
size_t cli_distance(const char *a, const char *b);
void cli_print_options(FILE *out, const cli_option *options);

#endif
