/* cli/editor.h - lines of input: edited on a terminal, plain from elsewhere.
 *
 * While a line is being edited, what other threads print for the terminal is
 * put above it: the console hands the text over, the editing thread takes the
 * line away, prints, and draws the line again. So the terminal has one writer
 * at any time. Calls are for one thread but those marked [any].
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include "console.h"

typedef enum editor_result {
  EDITOR_LINE,
  EDITOR_CANCELED, /* editor_cancel() */
  EDITOR_END       /* of the input, or editor_quit() */
} editor_result;

/* What the last word of `text` may go on as: words, one a line [own], or NULL.
 */
typedef char *(*editor_complete_fn)(const char *text, size_t size, void *arg);

typedef struct editor editor;

/* NULL when memory or descriptors are short. */
editor *editor_new(console *con, editor_complete_fn complete, void *arg);
void editor_free(editor *ed);
/* Is the input a terminal with somebody at it? */
bool editor_is_interactive(const editor *ed);
/* Read a line, without its end, into *line [own]. */
editor_result editor_read(editor *ed, const char *prompt, char **line);
/* Put an input, of one or more lines, into the history. */
void editor_remember(editor *ed, const char *text);
/* Columns of the terminal, 80 elsewhere. */
unsigned editor_width(const editor *ed);
/* [any] Drop the line that is being read / let reads answer EDITOR_END. */
void editor_cancel(editor *ed);
void editor_quit(editor *ed);

#endif
