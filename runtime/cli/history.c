/* cli/history.c - the file of what was typed (history.h).
 * SPDX-License-Identifier: MIT */
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_MAX 65536
#define FILE_MAX  (8u << 20)

struct history_file {
  char path[PATH_MAX]; /* "": none */
  char **entries;
  size_t count, room;
  char *last;
};

/* --- where ------------------------------------------------------------------
 */

/* Makes the folders of `path`, which is whole again afterwards. */
static void make_folders(char *path) {
  for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
    *at = 0;
    mkdir(path, 0700);
    *at = '/';
  }
}

static bool find_path(char *out, size_t size) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  int n = -1;
  if (state && *state == '/')
    n = snprintf(out, size, "%s/runtime/history", state);
  else if (home && *home == '/')
    n = snprintf(out, size, "%s/.local/state/runtime/history", home);
  if (n > 0 && (size_t)n < size) return true;
  *out = 0;
  return false;
}

/* --- entries
 * ------------------------------------------------------------------
 */

static char *escape(const char *text, size_t *size) {
  char *made = malloc(strlen(text) * 2 + 2), *to = made;
  if (!made) return NULL;
  for (; *text; text++) {
    if (*text == '\n' || *text == '\\') *to++ = '\\';
    *to++ = *text == '\n' ? 'n' : *text;
  }
  *to++ = '\n';
  *size = (size_t)(to - made);
  return made;
}

static void unescape(char *text) {
  char *to = text;
  for (; *text; text++) {
    if (*text == '\\' && text[1])
      text++, *to++ = *text == 'n' ? '\n' : *text;
    else
      *to++ = *text;
  }
  *to = 0;
}

static bool put(history_file *h, char *entry) {
  if (h->count == h->room) {
    size_t room = h->room ? h->room * 2 : 64;
    char **grown = realloc(h->entries, room * sizeof(*grown));
    if (!grown) return false;
    h->entries = grown;
    h->room = room;
  }
  h->entries[h->count++] = entry;
  return true;
}

static void keep_newest(history_file *h) {
  if (h->count <= HISTORY_MAX) return;
  size_t gone = h->count - HISTORY_MAX;
  for (size_t i = 0; i < gone; i++) free(h->entries[i]);
  memmove(h->entries, h->entries + gone, HISTORY_MAX * sizeof(*h->entries));
  h->count = HISTORY_MAX;
}

/* --- the file
 * -----------------------------------------------------------------
 */

static bool read_file(history_file *h) {
  struct stat st;
  FILE *file = fopen(h->path, "rbe");
  char *line = NULL;
  size_t room = 0;
  ssize_t size;
  if (!file) return false;
  if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode) ||
      st.st_size > FILE_MAX) {
    fclose(file);
    return false;
  }
  while ((size = getline(&line, &room, file)) > 0) {
    if (line[size - 1] == '\n') line[--size] = 0;
    char *entry = size > 0 && size <= 2 * ENTRY_MAX ? strdup(line) : NULL;
    if (!entry) continue;
    unescape(entry);
    if (!put(h, entry)) free(entry);
  }
  free(line);
  fclose(file);
  return true;
}

static bool append(const char *path, const char *text, size_t size, int flags) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0600);
  if (fd < 0) return false;
  bool ok = fchmod(fd, 0600) == 0 && write(fd, text, size) == (ssize_t)size;
  return close(fd) == 0 && ok;
}

/* The file with the newest entries alone, in place of the old one. */
static void rewrite(const history_file *h) {
  char path[PATH_MAX + 16];
  bool ok = true;
  snprintf(path, sizeof(path), "%s.%ld", h->path, (long)getpid());
  unlink(path);
  for (size_t i = 0; i < h->count && ok; i++) {
    size_t size;
    char *text = escape(h->entries[i], &size);
    ok = text && append(path, text, size, O_APPEND);
    free(text);
  }
  if (!ok || rename(path, h->path) != 0) unlink(path);
}

history_file *history_open(void) {
  history_file *h = calloc(1, sizeof(*h));
  if (!h) return NULL;
  if (!find_path(h->path, sizeof(h->path))) return h;
  make_folders(h->path);
  if (!read_file(h) && errno != ENOENT) h->path[0] = 0;
  bool long_file = h->count > 2 * HISTORY_MAX;
  keep_newest(h);
  if (long_file) rewrite(h);
  return h;
}

void history_close(history_file *h) {
  if (!h) return;
  for (size_t i = 0; i < h->count; i++) free(h->entries[i]);
  free(h->entries);
  free(h->last);
  free(h);
}

size_t history_count(const history_file *h) {
  return h ? h->count : 0;
}

const char *history_entry(const history_file *h, size_t index) {
  return h->entries[index];
}

static bool is_kept(const history_file *h, const char *text) {
  if (*text == ' ' || strspn(text, " \t\n") == strlen(text)) return false;
  if (strlen(text) > ENTRY_MAX) return false;
  const char *last = h->last        ? h->last
                     : h->count > 0 ? h->entries[h->count - 1]
                                    : NULL;
  return !last || strcmp(last, text) != 0;
}

bool history_add(history_file *h, const char *text) {
  if (!h || !is_kept(h, text)) return false;
  free(h->last);
  h->last = strdup(text);
  if (!h->path[0]) return true;
  size_t size;
  char *line = escape(text, &size);
  if (line) append(h->path, line, size, O_APPEND);
  free(line);
  return true;
}
