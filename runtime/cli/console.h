/* cli/console.h - standard output and error, the log and the progress line.
 *
 * Every call is [any thread] unless marked: one lock keeps lines whole, and the
 * progress line, always the last one of a terminal, out of their way.
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "rt/runtime.h"

/* Take text for the terminal, or answer false: it is written as ever. Called
 * under the console's lock. */
typedef bool (*console_divert_fn)(const char *text, size_t size, void *arg);

typedef struct console {
  /* constant after console_init() */
  bool out_tty, err_tty, out_missing; /* missing: closed when we started */
  /* main thread, before a runtime exists */
  rt_log_level log_level;
  bool log_json;
  /* guarded by lock, a leaf */
  pthread_mutex_t lock;
  char line[400];           /* the progress line, or empty */
  bool drawn;               /* it is on the screen */
  bool middle;              /* the screen's last line is not ended */
  console_divert_fn divert; /* NULL: none */
  void *divert_arg;
  /* [any] why a script could not print (errno), or 0 */
  _Atomic(int) out_error;
  _Atomic(int) record_error; /* why --record could not be written, or 0 */
} console;

void console_init(console *con);
void console_deinit(console *con);

/* Write all of it; false when that cannot be done (errno says why). */
bool console_out(console *con, const char *text, size_t size);
void console_err(console *con, const char *text, size_t size);
/* Formatted, to stderr. */
void console_say(console *con, const char *fmt, ...) RT_PRINTF(2, 3);
/* From now on text for the terminal goes to `fn` first (NULL: no more). */
void console_divert(console *con, console_divert_fn fn, void *arg);
/* Show this line until the next one; NULL takes it away. */
void console_progress(console *con, const char *line);

bool console_set_log(console *con, const char *level, const char *format);
/* An rt_log_fn; `arg` is the console. */
void console_log(rt_log_level level, const char *message,
                 const rt_value *fields, void *arg);

#endif
