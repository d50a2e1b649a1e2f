/* cli/seeds.c - the first assets of a session.
 *
 * All are read and checked before there is a session, so that a bad one leaves
 * nothing behind.
 *
 * SPDX-License-Identifier: MIT */
#include "seeds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 65536 };

typedef struct reading {
  cli *c;
  rt_builder *out;
  size_t line; /* of standard input; 0: from the command line */
} reading;

/* --- checks ------------------------------------------------------------ */

/* Bytes of the UTF-8 character at `s`, 0 when it is none. */
static size_t utf8_char(const unsigned char *s, size_t left) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t size = s[0] < 0x80   ? 1
                : s[0] < 0xC2 ? 0
                : s[0] < 0xE0 ? 2
                : s[0] < 0xF0 ? 3
                : s[0] < 0xF5 ? 4
                              : 0;
  if (size < 2) return size;
  if (size > left) return 0;
  uint32_t code = s[0] & (0x7Fu >> size);
  for (size_t i = 1; i < size; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
    code = code << 6 | (s[i] & 0x3F);
  }
  bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < least[size] || code > 0x10FFFF || surrogate ? 0 : size;
}

/* What is wrong with a value, or NULL. */
static const char *value_fault(const char *value, size_t size) {
  const unsigned char *s = (const unsigned char *)value;
  if (size == 0) return "the value is empty";
  if (size > VALUE_MAX) return "the value is longer than 64 KB";
  for (size_t at = 0; at < size;) {
    size_t one = utf8_char(s + at, size - at);
    if (!one) return "the value is not UTF-8";
    bool control = s[at] < 32 || s[at] == 127 ||
                   (s[at] == 0xC2 && one == 2 && s[at + 1] < 0xA0);
    if (control) return "the value has a control character";
    at += one;
  }
  return NULL;
}

static const char *class_fault(const char *text, size_t size) {
  if (size == 0) return "the class is empty";
  for (size_t i = 0; i < size; i++) {
    char ch = text[i];
    bool fine = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                (ch >= '0' && ch <= '9') || ch == '_' || ch == '-';
    if (!fine) return "a class has only letters, digits, '_' and '-'";
  }
  return NULL;
}

/* As much of a bad seed as fits a line, with nothing that steers a terminal. */
static void excerpt(char *out, size_t room, const char *text, size_t size) {
  size_t n = 0;
  for (; n < size && n + 4 < room; n++) {
    unsigned char ch = (unsigned char)text[n];
    out[n] = ch < 32 || ch > 126 ? '?' : (char)ch;
  }
  strcpy(out + n, n < size ? "..." : "");
}

static int bad_seed(const reading *r, const char *text, size_t size,
                    const char *why) {
  char shown[80], where[40] = "";
  excerpt(shown, sizeof(shown), text, size);
  if (r->line) snprintf(where, sizeof(where), " (input line %zu)", r->line);
  return cli_usage(r->c, "bad seed '%s'%s: %s", shown, where, why);
}

static int add_seed(reading *r, const char *text, size_t size) {
  const char *colon = memchr(text, ':', size);
  const char *why = "expected CLASS:VALUE";
  if (colon) {
    size_t class_size = (size_t)(colon - text);
    why = class_fault(text, class_size);
    if (!why) why = value_fault(colon + 1, size - class_size - 1);
  }
  if (why) return bad_seed(r, text, size, why);
  rt_builder_begin_map(r->out);
  rt_builder_key(r->out, "class");
  rt_builder_lstring(r->out, text, (size_t)(colon - text));
  rt_builder_key(r->out, "value");
  rt_builder_lstring(r->out, colon + 1, size - (size_t)(colon - text) - 1);
  rt_builder_end(r->out);
  return 0;
}

/* --- standard input ---------------------------------------------------- */

static bool is_blank(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (text[i] != ' ' && text[i] != '\t') return false;
  }
  return true;
}

static int add_lines(reading *r) {
  char *line = NULL;
  size_t room = 0;
  ssize_t n;
  int status = 0;
  while (!status && (n = getline(&line, &room, stdin)) >= 0) {
    size_t size = (size_t)n;
    r->line++;
    if (size && line[size - 1] == '\n') size--;
    if (size && line[size - 1] == '\r') size--;
    if (!is_blank(line, size)) status = add_seed(r, line, size);
  }
  if (!status && ferror(stdin)) {
    status = cli_fail(r->c, "cannot read seeds: %s", strerror(errno));
  }
  free(line);
  r->line = 0;
  return status;
}

int cli_seeds(cli *c, const cli_list *seeds, rt_value **out) {
  rt_error err = RT_ERROR_INIT;
  reading r = {c, rt_builder_new(), 0};
  int status = 0;
  *out = NULL;
  if (!r.out) return cli_fail(c, "out of memory");
  rt_builder_begin_array(r.out);
  for (size_t i = 0; i < seeds->count && !status; i++) {
    const char *seed = seeds->items[i];
    status =
        strcmp(seed, "-") ? add_seed(&r, seed, strlen(seed)) : add_lines(&r);
  }
  rt_builder_end(r.out);
  if (!status && rt_builder_finish(r.out, out, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  }
  rt_builder_free(r.out);
  return status;
}

/* --- stored ones ------------------------------------------------------- */

static rt_err was_deleted(rt_report *report, rt_view seed, bool *deleted,
                          rt_error *err) {
  size_t class_size = 0, size = 0;
  char *key = NULL;
  const char *class_ = rt_view_string(rt_view_get(seed, "class"), &class_size);
  const char *value = rt_view_string(rt_view_get(seed, "value"), &size);
  *deleted = false;
  if (!class_ || !value) return RT_OK;
  if (asprintf(&key, "%.*s:%.*s", (int)class_size, class_, (int)size, value) <
      0) {
    return rt_fail(err, RT_ENOMEM, "out of memory");
  }
  rt_err rc = rt_report_deleted(report, key, deleted, err);
  free(key);
  return rc;
}

rt_err cli_seeds_left(rt_report *report, rt_view seeds, rt_value **out,
                      rt_error *err) {
  rt_builder *b = rt_builder_new();
  rt_iter iter = rt_iter_of(seeds);
  rt_view seed;
  rt_err rc = RT_OK;
  *out = NULL;
  if (!b) return rt_fail(err, RT_ENOMEM, "out of memory");
  rt_builder_begin_array(b);
  while (rc == RT_OK && rt_iter_next(&iter, NULL, &seed)) {
    bool deleted;
    rc = was_deleted(report, seed, &deleted, err);
    if (!deleted) rt_builder_view(b, seed);
  }
  rt_builder_end(b);
  if (rc == RT_OK) rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  return rc;
}

/* --- what became of them ------------------------------------------------ */

void cli_seeds_refused(cli *c, rt_view seeds, rt_view outcomes) {
  unsigned scope = 0, limit = 0, idle = 0;
  rt_view outcome, seed, odd = {0};
  rt_iter at = rt_iter_of(outcomes), of = rt_iter_of(seeds);
  while (rt_iter_next(&at, NULL, &outcome) && rt_iter_next(&of, NULL, &seed)) {
    if (cli_view_is(outcome, "out_of_scope")) scope++;
    if (cli_view_is(outcome, "over_limit")) limit++;
    if (cli_view_is(outcome, "stored") && idle++ == 0) odd = seed;
  }
  if (idle) {
    size_t size = 0;
    const char *class_ = rt_view_string(rt_view_get(odd, "class"), &size);
    console_say(&c->console,
                "runtime: seeds that no capability takes: %u (class '%.*s')\n",
                idle, (int)size, class_ ? class_ : "");
  }
  if (scope)
    console_say(&c->console, "runtime: seeds out of scope: %u\n", scope);
  if (limit)
    console_say(&c->console, "runtime: seeds over a limit: %u\n", limit);
}
