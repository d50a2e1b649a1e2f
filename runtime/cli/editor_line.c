/* cli/editor_line.c - editing of a line, by libedit.
 *
 * libedit asks us for each character, so the loop that waits for one is ours:
 * there what others print is shown above the line. Without libedit at build
 * time there is no editing, and lines are read as they come.
 *
 * SPDX-License-Identifier: MIT */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "editor_parts.h"

#ifdef RT_EDITLINE
#include <histedit.h>

struct editor_line {
  editor *ed;
  EditLine *el;
  History *history;
  char prompt[32];
  mbstate_t state;
};

static struct editor_line *line_of(EditLine *el) {
  struct editor_line *line = NULL;
  el_get(el, EL_CLIENTDATA, &line);
  return line;
}

static char *prompt_of(EditLine *el) {
  return line_of(el)->prompt;
}

static void put(const char *text, size_t size) {
  while (size > 0) {
    ssize_t n = write(1, text, size);
    if (n <= 0) return;
    text += n;
    size -= (size_t)n;
  }
}

/* --- above the line --------------------------------------------------------
 */

/* On which row below the prompt's own does the cursor stand? */
static unsigned cursor_row(struct editor_line *line, unsigned columns) {
  const LineInfo *info = el_line(line->el);
  unsigned row = 0, column = (unsigned)strlen(line->prompt);
  mbstate_t state = {0};
  for (const char *at = info->buffer; at < info->cursor;) {
    wchar_t c;
    size_t n = mbrtowc(&c, at, (size_t)(info->cursor - at), &state);
    if (n == 0 || n > (size_t)(info->cursor - at)) break;
    at += n;
    if (c == L'\n') {
      row++;
      column = 0;
      continue;
    }
    int width = c < 32 ? 2 : wcwidth(c);
    column += width > 0 ? (unsigned)width : 0;
    if (column >= columns) {
      row++;
      column -= columns;
    }
  }
  return row;
}

static void take_line_away(struct editor_line *line) {
  char up[32];
  unsigned row = cursor_row(line, editor_width(line->ed));
  int n = snprintf(up, sizeof(up), row ? "\r\033[%uA\033[J" : "\r\033[J", row);
  put(up, (size_t)n);
}

static void show_pending(editor *ed) {
  size_t size;
  char *text = editor_take_pending(ed, &size);
  if (!text) return;
  take_line_away(ed->line);
  for (size_t at = 0; at < size;) {
    const char *end = memchr(text + at, '\n', size - at);
    size_t part = end ? (size_t)(end - text) - at : size - at;
    put(text + at, part);
    put("\n", 1);
    at += part + 1;
  }
  free(text);
  el_set(ed->line->el, EL_REFRESH);
}

/* --- characters ------------------------------------------------------------
 */

static int next_character(EditLine *el, wchar_t *out) {
  struct editor_line *line = line_of(el);
  for (;;) {
    int byte = editor_byte(line->ed, show_pending);
    if (byte < 0) return atomic_load(&line->ed->canceled) ? -1 : 0;
    char c = (char)byte;
    size_t n = mbrtowc(out, &c, 1, &line->state);
    if (n == (size_t)-2) continue;
    if (n == (size_t)-1) { /* no character of this locale */
      memset(&line->state, 0, sizeof(line->state));
      *out = L'?';
    }
    if (n == 0) *out = L'\0';
    return 1;
  }
}

/* --- completion ------------------------------------------------------------
 */

static size_t word_size(const char *text, size_t size) {
  size_t n = 0;
  while (n < size) {
    unsigned char c = (unsigned char)text[size - 1 - n];
    if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
          (c >= 'A' && c <= 'Z')))
      break;
    n++;
  }
  return n;
}

/* How much all words have in common. */
static size_t common_prefix(const char *words) {
  size_t size = strcspn(words, "\n");
  for (const char *at = words; at; at = strchr(at, '\n')) {
    if (*at == '\n') at++;
    size_t n = 0;
    while (n < size && at[n] == words[n]) n++;
    size = n;
  }
  return size;
}

static void print_words(const char *words, unsigned columns) {
  size_t widest = 0, count = 0;
  for (const char *at = words; *at; count++) {
    size_t n = strcspn(at, "\n");
    if (n > widest) widest = n;
    at += n + (at[n] == '\n');
  }
  size_t across = columns / (widest + 2), i = 0;
  if (across == 0) across = 1;
  put("\n", 1);
  for (const char *at = words; *at; i++) {
    char cell[128];
    size_t n = strcspn(at, "\n");
    bool last = i + 1 == count || (i + 1) % across == 0;
    int made =
        snprintf(cell, sizeof(cell), "%-*.*s%s", last ? 0 : (int)(widest + 2),
                 (int)n, at, last ? "\n" : "");
    put(cell, made < (int)sizeof(cell) ? (size_t)made : sizeof(cell) - 1);
    at += n + (at[n] == '\n');
  }
}

static unsigned char insert(EditLine *el, const char *text, size_t size) {
  char word[256];
  if (size == 0 || size >= sizeof(word)) return CC_REFRESH_BEEP;
  memcpy(word, text, size);
  word[size] = 0;
  return el_insertstr(el, word) < 0 ? CC_REFRESH_BEEP : CC_REFRESH;
}

static unsigned char complete(EditLine *el, int c) {
  struct editor_line *line = line_of(el);
  const LineInfo *info = el_line(el);
  size_t size = (size_t)(info->cursor - info->buffer);
  size_t typed = word_size(info->buffer, size);
  (void)c;
  if (strspn(info->buffer, " \t\n") >= size) return insert(el, "  ", 2);
  char *words = line->ed->complete(info->buffer, size, line->ed->complete_arg);
  unsigned char done = CC_REFRESH_BEEP;
  if (words && *words) {
    size_t common = common_prefix(words);
    if (common > typed) {
      done = insert(el, words + typed, common - typed);
    } else if (strchr(words, '\n')) {
      print_words(words, editor_width(line->ed));
      done = CC_REDISPLAY;
    }
  }
  free(words);
  return done;
}

/* --- lines -----------------------------------------------------------------
 */

char *editor_line_read(struct editor_line *line, const char *prompt) {
  int count = 0;
  snprintf(line->prompt, sizeof(line->prompt), "%s", prompt);
  memset(&line->state, 0, sizeof(line->state));
  el_resize(line->el);
  /* Else a key pressed right when the prompt appears is lost. */
  el_set(line->el, EL_PREP_TERM, 1);
  const char *text = el_gets(line->el, &count);
  if (!text || count <= 0) {
    el_reset(line->el);
    put(atomic_load(&line->ed->canceled) ? "^C\n" : "\n",
        atomic_load(&line->ed->canceled) ? 3 : 1);
    return NULL;
  }
  size_t size = (size_t)count;
  if (text[size - 1] == '\n') size--;
  return strndup(text, size);
}

void editor_line_remember(struct editor_line *line, const char *text) {
  HistEvent event;
  history(line->history, &event, H_ENTER, text);
}

/* Characters of more than one byte need a locale that knows them. */
static void set_locale(void) {
  if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
    setlocale(LC_CTYPE, "C.UTF-8");
}

static bool can_edit(void) {
  const char *term = getenv("TERM");
  return term && *term && strcmp(term, "dumb") != 0;
}

struct editor_line *editor_line_new(editor *ed) {
  HistEvent event;
  if (!can_edit()) return NULL;
  struct editor_line *line = calloc(1, sizeof(*line));
  if (!line) return NULL;
  set_locale();
  line->ed = ed;
  line->history = history_init();
  line->el = el_init("runtime", stdin, stdout, stderr);
  if (!line->el || !line->history) {
    editor_line_free(line);
    return NULL;
  }
  history(line->history, &event, H_SETSIZE, HISTORY_MAX);
  for (size_t i = 0; i < history_count(ed->history); i++)
    editor_line_remember(line, history_entry(ed->history, i));
  el_set(line->el, EL_CLIENTDATA, line);
  el_set(line->el, EL_PROMPT, prompt_of);
  el_set(line->el, EL_SIGNAL, 0);
  el_set(line->el, EL_EDITOR, "emacs");
  el_set(line->el, EL_HIST, history, line->history);
  el_set(line->el, EL_GETCFN, next_character);
  /* The narrow call would keep copies of the names for ever. */
  el_wset(line->el, EL_ADDFN, L"complete", L"complete the name", complete);
  el_set(line->el, EL_BIND, "^I", "complete", NULL);
  el_set(line->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_source(line->el, NULL);
  return line;
}

void editor_line_free(struct editor_line *line) {
  if (!line) return;
  if (line->el) el_end(line->el);
  if (line->history) history_end(line->history);
  free(line);
}

#else

struct editor_line *editor_line_new(editor *ed) {
  (void)ed;
  return NULL;
}
void editor_line_free(struct editor_line *line) {
  (void)line;
}
char *editor_line_read(struct editor_line *line, const char *prompt) {
  (void)line, (void)prompt;
  return NULL;
}
void editor_line_remember(struct editor_line *line, const char *text) {
  (void)line, (void)text;
}

#endif
