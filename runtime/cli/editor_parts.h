/* cli/editor_parts.h - between editor.c and editor_line.c.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_EDITOR_PARTS_H
#define CLI_EDITOR_PARTS_H

#include "editor.h"
#include "history.h"

struct editor_line; /* what stands on libedit */

struct editor {
  /* constant */
  console *con;
  editor_complete_fn complete;
  void *complete_arg;
  bool interactive;
  int input; /* 0, or the terminal of that, which then does not block */
  int wake;  /* eventfd: there is something in the fields below */
  struct editor_line *line; /* NULL: no editing here */
  history_file *history;
  _Atomic bool canceled, quit;
  /* guarded by the console's lock */
  bool editing;
  char *pending; /* printed meanwhile, not shown yet */
  size_t pending_size, pending_room;
  pthread_cond_t shown;
};

/* Waits for input; the next byte, or -1: the end, or asked to stop. `show` is
 * called when others have printed something. */
int editor_byte(editor *ed, void (*show)(editor *ed));
/* Text others have printed, up to the last whole line [own], or NULL. */
char *editor_take_pending(editor *ed, size_t *size);

/* NULL: this terminal, or this build, has no editing. */
struct editor_line *editor_line_new(editor *ed);
void editor_line_free(struct editor_line *line);
/* A line [own], or NULL when editor_byte() answered -1. */
char *editor_line_read(struct editor_line *line, const char *prompt);
void editor_line_remember(struct editor_line *line, const char *text);

#endif
