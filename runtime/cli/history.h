/* cli/history.h - what was typed at the prompt, kept in a file.
 *
 * $XDG_STATE_HOME/runtime/history, else ~/.local/state/runtime/history; only
 * its owner may read it. An entry is a line, "\n" and "\\" inside it escaped.
 * Each is appended at once, so that prompts side by side and sudden ends lose
 * none; opening keeps the newest HISTORY_MAX of them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

enum { HISTORY_MAX = 1000 };

typedef struct history_file history_file;

/* NULL when memory is short. A file that cannot be read or written is none. */
history_file *history_open(void);
void history_close(history_file *history);
/* Entries, oldest first, as they were when it was opened. */
size_t history_count(const history_file *history);
const char *history_entry(const history_file *history, size_t index);
/* Append; false for what is not kept: blank, the same as the last, beginning
 * with a space, or longer than 64 KB. */
bool history_add(history_file *history, const char *text);

#endif
