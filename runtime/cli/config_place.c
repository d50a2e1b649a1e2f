/* cli/config_place.c - where in a configuration file a setting stands, for
 * messages. The file has been evaluated by then, so its text is looked through
 * for the field's name before a "=".
 * SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

enum { MOST_BYTES = 1 << 20 };

static char *text_of(const char *path) {
  FILE *file = fopen(path, "re");
  char *text = file ? malloc(MOST_BYTES + 1) : NULL;
  if (text) text[fread(text, 1, MOST_BYTES, file)] = '\0';
  if (file) fclose(file);
  return text;
}

static bool in_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* The name, or ["name"], before a "="; "-" and "_" are one. */
static bool stands_at(const char *text, const char *at, const char *name,
                      size_t size) {
  for (size_t i = 0; i < size; i++) {
    bool same = at[i] == name[i] || (at[i] == '_' && name[i] == '-');
    if (!same) return false;
  }
  if (at > text && in_word(at[-1])) return false;
  at += size;
  if (*at == '"' || *at == '\'') at++;
  while (isspace((unsigned char)*at)) at++;
  if (*at == ']') at++;
  while (isspace((unsigned char)*at)) at++;
  return at[0] == '=' && at[1] != '=';
}

static const char *find(const char *text, const char *from, const char *name,
                        size_t size) {
  for (const char *at = from; *at; at++)
    if (stands_at(text, at, name, size)) return at;
  return NULL;
}

void cli_config_place(const char *path, const char *group, const char *field,
                      char *out, size_t size) {
  char *text = text_of(path);
  const char *at = NULL, *from = text;
  snprintf(out, size, "%s", path);
  if (text && group) from = find(text, text, group, strlen(group));
  if (text && from) at = find(text, from, field, strlen(field));
  if (text && !at) at = from != text ? from : NULL;
  if (at) {
    unsigned line = 1;
    for (const char *c = text; c < at; c++) line += *c == '\n';
    snprintf(out, size, "%s:%u", path, line);
  }
  free(text);
}
