/* cli/printer.h - the accepted assets of a session on standard output.
 *
 * A thread of its own reads them from the store as they are committed, so that
 * a slow reader holds up nothing but the printing, and costs no memory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_PRINTER_H
#define CLI_PRINTER_H

#include "cli.h"

typedef struct printer printer;

/* Why printing ended. */
typedef enum printer_end {
  PRINTER_DONE,    /* all is printed */
  PRINTER_CLOSED,  /* the reader went away, or writing failed */
  PRINTER_STOPPED, /* printer_stop() */
  PRINTER_FAILED   /* the store cannot be read */
} printer_end;

/* Called once on the printer's thread when it ends. */
typedef void (*printer_fn)(printer_end end, const char *why, void *arg);

/* Print what comes after row `after` of the open session. */
rt_err printer_new(printer **out, cli *c, rt_session *session, const char *dir,
                   int64_t after, printer_fn fn, void *arg, rt_error *err);
/* [any] There may be more to print. */
void printer_wake(printer *p);
/* [any] End when all that is committed now is printed. */
void printer_finish(printer *p);
/* [any] End now, if need be in the middle of a line. */
void printer_stop(printer *p);
/* Wait for the thread and release; returns how many lines were printed. The
 * session must be closed by then, so that no commit is told any more. */
uint64_t printer_free(printer *p);

#endif
