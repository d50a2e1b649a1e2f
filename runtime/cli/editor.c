/* cli/editor.c - reading lines (editor.h): the input, and what is printed
 * while a line is being edited. Editing itself is in editor_line.c.
 *
 * Input is read byte by byte: what a chunk reads from standard input begins
 * right after its own line.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "editor_parts.h"

#define PENDING_MAX (1u << 20)
#define HOLD_BACK   4096 /* bytes of a line that is not ended yet */

static void poke(editor *ed) {
  uint64_t one = 1;
  ssize_t n = write(ed->wake, &one, sizeof(one));
  (void)n; /* fails only when it is signaled already */
}

/* --- what others print -----------------------------------------------------
 */

static bool append_locked(editor *ed, const char *text, size_t size) {
  if (ed->pending_room - ed->pending_size < size) {
    size_t room = ed->pending_size + size + 4096;
    char *grown = realloc(ed->pending, room);
    if (!grown) return false;
    ed->pending = grown;
    ed->pending_room = room;
  }
  memcpy(ed->pending + ed->pending_size, text, size);
  ed->pending_size += size;
  return true;
}

/* The console's divert: who prints faster than it is shown waits. */
static bool take_text(const char *text, size_t size, void *arg) {
  editor *ed = arg;
  while (ed->editing && ed->pending_size > PENDING_MAX)
    pthread_cond_wait(&ed->shown, &ed->con->lock);
  if (!ed->editing || !append_locked(ed, text, size)) return false;
  poke(ed);
  return true;
}

static size_t whole_lines_locked(const editor *ed) {
  const char *last = ed->pending_size > 0
                         ? memrchr(ed->pending, '\n', ed->pending_size)
                         : NULL;
  size_t whole = last ? (size_t)(last - ed->pending) + 1 : 0;
  return ed->pending_size - whole > HOLD_BACK ? ed->pending_size : whole;
}

char *editor_take_pending(editor *ed, size_t *size) {
  pthread_mutex_lock(&ed->con->lock);
  *size = whole_lines_locked(ed);
  char *text = *size > 0 ? malloc(*size) : NULL;
  if (text) {
    memcpy(text, ed->pending, *size);
    memmove(ed->pending, ed->pending + *size, ed->pending_size - *size);
    ed->pending_size -= *size;
    pthread_cond_broadcast(&ed->shown);
  }
  pthread_mutex_unlock(&ed->con->lock);
  return text;
}

static void begin_editing(editor *ed) {
  pthread_mutex_lock(&ed->con->lock);
  bool middle = ed->con->middle;
  ed->con->middle = false;
  ed->editing = true;
  pthread_mutex_unlock(&ed->con->lock);
  if (!middle) return;
  ssize_t n = write(1, "\n", 1);
  (void)n;
}

static void end_editing(editor *ed) {
  pthread_mutex_lock(&ed->con->lock);
  char *text = ed->pending;
  size_t size = ed->pending_size;
  ed->pending = NULL;
  ed->pending_size = ed->pending_room = 0;
  ed->editing = false;
  pthread_cond_broadcast(&ed->shown);
  pthread_mutex_unlock(&ed->con->lock);
  console_out(ed->con, text, size);
  free(text);
}

/* --- input -------------------------------------------------------------- */

/* 1: a byte, 0: nothing yet, -1: the end. */
static int read_byte(const editor *ed, unsigned char *byte) {
  ssize_t n = read(ed->input, byte, 1);
  if (n > 0) return 1;
  return n < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : -1;
}

int editor_byte(editor *ed, void (*show)(editor *ed)) {
  for (;;) {
    unsigned char byte;
    uint64_t ticks;
    struct pollfd fds[] = {{ed->input, POLLIN, 0}, {ed->wake, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents && read(ed->wake, &ticks, sizeof(ticks)) > 0) {
      if (atomic_load(&ed->canceled) || atomic_load(&ed->quit)) return -1;
      if (show) show(ed);
    }
    int got = fds[0].revents ? read_byte(ed, &byte) : 0;
    if (got != 0) return got > 0 ? byte : -1;
  }
}

static char *read_plain(editor *ed, const char *prompt) {
  size_t size = 0, room = 0;
  char *line = NULL;
  int byte;
  if (ed->interactive) console_out(ed->con, prompt, strlen(prompt));
  while ((byte = editor_byte(ed, NULL)) >= 0 && byte != '\n') {
    if (room - size < 2) {
      room = room * 2 + 256;
      char *grown = realloc(line, room);
      if (!grown) break;
      line = grown;
    }
    line[size++] = (char)byte;
  }
  if (byte < 0 && (size == 0 || atomic_load(&ed->canceled))) {
    free(line);
    return NULL;
  }
  if (!line) return strdup("");
  line[size] = 0;
  return line;
}

editor_result editor_read(editor *ed, const char *prompt, char **line) {
  atomic_store(&ed->canceled, false);
  *line = NULL;
  if (atomic_load(&ed->quit)) return EDITOR_END;
  if (ed->line) {
    begin_editing(ed);
    *line = editor_line_read(ed->line, prompt);
    end_editing(ed);
  } else {
    *line = read_plain(ed, prompt);
  }
  if (*line && !atomic_load(&ed->quit)) return EDITOR_LINE;
  free(*line);
  *line = NULL;
  if (atomic_load(&ed->quit)) return EDITOR_END;
  return atomic_load(&ed->canceled) ? EDITOR_CANCELED : EDITOR_END;
}

void editor_cancel(editor *ed) {
  atomic_store(&ed->canceled, true);
  poke(ed);
}

void editor_quit(editor *ed) {
  atomic_store(&ed->quit, true);
  poke(ed);
}

void editor_remember(editor *ed, const char *text) {
  if (!ed->line) return;
  if (history_add(ed->history, text)) editor_line_remember(ed->line, text);
}

/* --- new and free --------------------------------------------------------- */

bool editor_is_interactive(const editor *ed) {
  return ed->interactive;
}

unsigned editor_width(const editor *ed) {
  struct winsize size;
  if (!ed->con->out_tty || ioctl(1, TIOCGWINSZ, &size) != 0) return 80;
  return size.ws_col > 20 ? size.ws_col : 80;
}

/* The terminal once more, not to block in it: what was there to be read is gone
 * when Ctrl-C came meanwhile, as the terminal forgets it. The flag is for this
 * opening alone; whoever else has our standard input must not meet it. */
static int open_input(void) {
  int fd =
      open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return fd < 0 ? 0 : fd;
}

editor *editor_new(console *con, editor_complete_fn complete, void *arg) {
  editor *ed = calloc(1, sizeof(*ed));
  if (!ed) return NULL;
  ed->con = con;
  ed->complete = complete;
  ed->complete_arg = arg;
  ed->interactive = isatty(0) && con->out_tty;
  ed->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_cond_init(&ed->shown, NULL);
  if (ed->wake < 0) {
    editor_free(ed);
    return NULL;
  }
  if (!ed->interactive) return ed;
  ed->input = open_input();
  ed->history = history_open();
  ed->line = editor_line_new(ed);
  if (ed->line) console_divert(con, take_text, ed);
  return ed;
}

void editor_free(editor *ed) {
  if (!ed) return;
  if (ed->line) console_divert(ed->con, NULL, NULL);
  editor_line_free(ed->line);
  history_close(ed->history);
  if (ed->wake >= 0) close(ed->wake);
  if (ed->input > 0) close(ed->input);
  pthread_cond_destroy(&ed->shown);
  free(ed->pending);
  free(ed);
}
