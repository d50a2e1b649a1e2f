/* cli/options.c - arguments against a table of options.
 *
 * Bare arguments fill what the command wants first; then they lengthen the
 * list option that stands in front of them (`--only a b c`).
 *
 * SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rt/status.h"

bool cli_list_add(cli_list *list, const char *item) {
  const char **items =
      realloc(list->items, (list->count + 1) * sizeof(*list->items));
  if (!items) return false;
  list->items = items;
  list->items[list->count++] = item;
  return true;
}

void cli_list_free(cli_list *list) {
  free(list->items);
  *list = (cli_list){NULL, 0};
}

/* --- values ------------------------------------------------------------ */

static double unit_seconds(const char *unit, size_t size) {
  static const struct {
    const char *name;
    double seconds;
  } units[] = {{"us", 1e-6}, {"ms", 1e-3},  {"s", 1},
               {"m", 60},    {"h", 3600.0}, {"d", 86400.0}};
  for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
    if (strlen(units[i].name) == size && !strncmp(units[i].name, unit, size)) {
      return units[i].seconds;
    }
  }
  return -1;
}

/* One plain decimal number at *at; moves *at behind it. */
static bool plain_number(const char **at, double *out) {
  size_t digits = strspn(*at, "0123456789");
  size_t size = digits;
  if ((*at)[size] == '.') {
    size_t more = strspn(*at + size + 1, "0123456789");
    digits += more;
    size += more + 1;
  }
  if (digits == 0) return false;
  *out = strtod(*at, NULL);
  *at += size;
  return isfinite(*out);
}

/* Ten thousand days: more is a slip, and would overflow a clock. */
#define LONGEST 864e6

static bool parse_duration(const char *text, double *seconds) {
  double total = 0, number;
  if (!plain_number(&text, &number)) return false;
  if (!*text) {
    *seconds = number;
    return true;
  }
  for (;;) {
    size_t size = strcspn(text, "0123456789.");
    double unit = unit_seconds(text, size);
    if (unit < 0) return false;
    total += number * unit;
    text += size;
    if (!*text) break;
    if (!plain_number(&text, &number)) return false;
  }
  *seconds = total;
  return true;
}

bool cli_duration(const char *text, double *seconds) {
  return parse_duration(text, seconds) && *seconds <= LONGEST;
}

static bool integer(const char *text, int64_t *out) {
  char *end;
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || text[digits]) return false;
  errno = 0;
  *out = strtoll(text, &end, 10);
  return errno == 0;
}

bool cli_size(const char *text, int64_t *bytes) {
  static const char units[] = "KMGT";
  double number;
  if (!plain_number(&text, &number)) return false;
  const char *unit = *text ? strchr(units, *text) : NULL;
  if (*text && (!unit || text[1])) return false;
  for (; unit && unit >= units; unit--) number *= 1024;
  if (number > 1e18) return false;
  *bytes = (int64_t)number;
  return true;
}

static bool is_choice(const char *choices, const char *text) {
  size_t size = strlen(text);
  for (const char *at = choices; size > 0;) {
    size_t one = strcspn(at, "|");
    if (one == size && !strncmp(at, text, size)) return true;
    if (!at[one]) return false;
    at += one + 1;
  }
  return false;
}

/* --- spelling ---------------------------------------------------------- */

static size_t least_of(size_t a, size_t b, size_t c) {
  size_t low = a < b ? a : b;
  return low < c ? low : c;
}

size_t cli_distance(const char *a, const char *b) {
  size_t row[64];
  size_t width = strlen(b);
  if (width >= sizeof(row) / sizeof(*row) || strlen(a) > 200) return 1000;
  for (size_t j = 0; j <= width; j++) row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= width; j++) {
      size_t above = row[j];
      size_t change = diagonal + (a[i - 1] != b[j - 1]);
      row[j] = least_of(above + 1, row[j - 1] + 1, change);
      diagonal = above;
    }
  }
  return row[width];
}

static size_t near_enough(const char *word) {
  size_t size = strlen(word);
  return size <= 3 ? 1 : size <= 6 ? 2 : 3;
}

const char *cli_nearest(const char *word, const char *const *names) {
  const char *best = NULL;
  size_t least = near_enough(word) + 1;
  for (; *names; names++) {
    size_t distance = cli_distance(word, *names);
    if (distance >= least) continue;
    least = distance;
    best = *names;
  }
  return best;
}

static const char *nearest_option(const cli_option *options, const char *word) {
  const char *names[64];
  size_t count = 0;
  for (; options->name && count < 62; options++) names[count++] = options->name;
  names[count++] = "--help";
  names[count] = NULL;
  return cli_nearest(word, names);
}

/* --- parsing ----------------------------------------------------------- */

typedef struct reader {
  cli_parse *parse;
  FILE *say;
  int argc, at;
  char **argv;
  cli_list *open; /* the list that a bare argument lengthens */
} reader;

RT_PRINTF(2, 3)
static bool complain(const reader *s, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("runtime", s->say);
  if (s->parse->command) fprintf(s->say, " %s", s->parse->command);
  fputs(": ", s->say);
  vfprintf(s->say, fmt, args);
  fputc('\n', s->say);
  va_end(args);
  return false;
}

static bool store_number(const reader *s, const cli_option *o, const char *text,
                         void *field) {
  if (o->kind == CLI_INTEGER) {
    int64_t value;
    if (!integer(text, &value) || value < o->least) {
      return complain(s, "%s: '%s' is not a whole number from %lld up", o->name,
                      text, (long long)o->least);
    }
    *(int64_t *)field = value;
    return true;
  }
  if (o->kind == CLI_SIZE) {
    if (!cli_size(text, field) || *(int64_t *)field < o->least) {
      return complain(s, "%s: '%s' is not a size like 800K, 512M or 1.5G",
                      o->name, text);
    }
    return true;
  }
  double seconds;
  if (!cli_duration(text, &seconds) || seconds < (double)o->least) {
    return complain(s, "%s: '%s' is not a duration like 0.5, 250ms or 1h30m",
                    o->name, text);
  }
  *(double *)field = seconds;
  return true;
}

static bool store(reader *s, const cli_option *o, const char *text) {
  void *field = (char *)s->parse->fields + o->offset;
  switch (o->kind) {
  case CLI_FLAG:
    *(bool *)field = true;
    return true;
  case CLI_INTEGER:
  case CLI_SIZE:
  case CLI_DURATION:
    return store_number(s, o, text, field);
  case CLI_CHOICE:
    if (!is_choice(o->value, text)) {
      return complain(s, "%s: '%s' is none of %s", o->name, text, o->value);
    }
    *(const char **)field = text;
    return true;
  case CLI_TEXT:
    if (!*text) return complain(s, "%s: the value is empty", o->name);
    *(const char **)field = text;
    return true;
  case CLI_LIST:
    s->open = field;
    return cli_list_add(field, text) || complain(s, "out of memory");
  }
  return false;
}

static const cli_option *by_name(const cli_option *options, const char *name,
                                 size_t size) {
  for (; options->name; options++) {
    if (strlen(options->name) == size && !strncmp(options->name, name, size)) {
      return options;
    }
  }
  return NULL;
}

static const cli_option *by_letter(const cli_option *options, char letter) {
  for (; options->name; options++) {
    if (options->letter == letter) return options;
  }
  return NULL;
}

/* The option that argument `word` names; *value is what it carries with it
 * ("--name=value", "-svalue") or NULL. */
static const cli_option *identify(const reader *s, const char *word,
                                  const char **value) {
  const cli_option *options = s->parse->options;
  *value = NULL;
  if (word[1] == '-') {
    size_t size = strcspn(word, "=");
    if (word[size]) *value = word + size + 1;
    return by_name(options, word, size);
  }
  const cli_option *o = by_letter(options, word[1]);
  if (o && word[2]) *value = word + 2;
  return o;
}

static bool unknown(const reader *s, const char *word) {
  char name[64];
  snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
  const char *near = nearest_option(s->parse->options, name);
  if (!near) return complain(s, "unknown option '%s'", name);
  return complain(s, "unknown option '%s'; did you mean '%s'?", name, near);
}

static bool take_option(reader *s, const char *word) {
  const char *value;
  const cli_option *o = identify(s, word, &value);
  if (!o) return unknown(s, word);
  s->open = NULL;
  if (o->kind == CLI_FLAG) {
    if (value) return complain(s, "%s takes no value", o->name);
    return store(s, o, NULL);
  }
  if (!value) {
    if (s->at >= s->argc) {
      return complain(s, "%s needs a value: %s %s", word, word, o->value);
    }
    value = s->argv[s->at++];
  }
  return store(s, o, value);
}

static bool take_bare(reader *s, const char *word) {
  cli_parse *p = s->parse;
  cli_list *list = &p->bare;
  if (s->open && p->bare.count >= p->wanted) list = s->open;
  return cli_list_add(list, word) || complain(s, "out of memory");
}

bool cli_parse_args(cli_parse *parse, int argc, char **argv, FILE *say) {
  reader s = {parse, say, argc, 0, argv, NULL};
  bool options = true, ok = true;
  while (ok && s.at < argc) {
    const char *word = argv[s.at];
    bool bare = !options || word[0] != '-' || !word[1];
    if (bare && parse->stop_at_bare) break;
    s.at++;
    if (bare) {
      ok = take_bare(&s, word);
    } else if (!strcmp(word, "--")) {
      options = false;
      s.open = NULL;
    } else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
      parse->help = true;
      break;
    } else {
      ok = take_option(&s, word);
    }
  }
  parse->used = s.at;
  return ok;
}

void cli_parse_free(cli_parse *parse) {
  cli_list_free(&parse->bare);
  for (const cli_option *o = parse->options; o->name; o++) {
    if (o->kind != CLI_LIST) continue;
    cli_list_free((cli_list *)((char *)parse->fields + o->offset));
  }
}

void cli_print_options(FILE *out, const cli_option *options) {
  for (; options->name; options++) {
    char left[128];
    const char *value = options->kind == CLI_FLAG ? "" : options->value;
    int used = options->letter
                   ? snprintf(left, sizeof(left), "-%c, ", options->letter)
                   : snprintf(left, sizeof(left), "    ");
    snprintf(left + used, sizeof(left) - (size_t)used, "%s%s%s", options->name,
             *value ? " " : "", value);
    fprintf(out, "  %-34s %s\n", left, options->help);
  }
}
