/* cli/printer.c - store -> lines of JSON -> standard output.
 *
 * Writes to a pipe are made in pieces that poll() says will fit, so that the
 * thread can always be stopped. After each batch the session is told how far
 * it got; that mark is where a resumed session goes on.
 *
 * SPDX-License-Identifier: MIT */
#include "printer.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "assets.h"

enum { BATCH = 256, PIECE = 4096 /* PIPE_BUF: fits when poll() says so */ };

struct printer {
  /* constant */
  console *con;
  rt_session *session;
  rt_report *report;
  printer_fn fn;
  void *arg;
  pthread_t thread;
  int wake;
  /* any thread */
  atomic_bool finish, stop;
  /* printer's thread, then printer_free() */
  int64_t printed;
  uint64_t lines;
};

/* Lines of a batch in one buffer. */
typedef struct batch {
  char *text;
  size_t size;
  uint32_t count;
  size_t ends[BATCH];
  int64_t ids[BATCH];
} batch;

static void empty_eventfd(int fd) {
  uint64_t ticks;
  ssize_t n = read(fd, &ticks, sizeof(ticks));
  (void)n;
}

/* Is there room for a piece? Waits for it. */
static printer_end wait_for_room(printer *p) {
  for (;;) {
    struct pollfd fds[] = {{1, POLLOUT, 0}, {p->wake, POLLIN, 0}};
    if (atomic_load(&p->stop)) return PRINTER_STOPPED;
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
      errno = EPIPE;
      return PRINTER_CLOSED;
    }
    if (fds[0].revents & POLLOUT) return PRINTER_DONE;
    empty_eventfd(p->wake);
  }
}

/* Writes as far as it can; *done bytes of it are out. */
static printer_end write_pieces(printer *p, const char *text, size_t size,
                                size_t *done) {
  if (p->con->out_missing || p->con->out_tty) {
    if (!console_out(p->con, text, size)) return PRINTER_CLOSED;
    *done = size;
    return PRINTER_DONE;
  }
  while (*done < size) {
    printer_end end = wait_for_room(p);
    if (end != PRINTER_DONE) return end;
    size_t left = size - *done;
    ssize_t n = write(1, text + *done, left < PIECE ? left : PIECE);
    if (n >= 0) {
      *done += (size_t)n;
    } else if (errno != EINTR && errno != EAGAIN) {
      return PRINTER_CLOSED;
    }
  }
  return PRINTER_DONE;
}

static printer_end write_batch(printer *p, const batch *b) {
  size_t done = 0;
  uint32_t whole = 0;
  printer_end end = write_pieces(p, b->text, b->size, &done);
  int why = errno;
  while (whole < b->count && b->ends[whole] <= done) whole++;
  if (whole > 0) {
    p->printed = b->ids[whole - 1];
    p->lines += whole;
    rt_session_set_mark(p->session, p->printed);
  }
  errno = why;
  return end;
}

/* --- reading ----------------------------------------------------------- */

static rt_err format(batch *b, rt_view rows, rt_error *err) {
  rt_view asset;
  rt_iter iter = rt_iter_of(rows);
  FILE *out = open_memstream(&b->text, &b->size);
  if (!out) return rt_fail(err, RT_ENOMEM, "out of memory");
  rt_err rc = RT_OK;
  while (rc == RT_OK && b->count < BATCH && rt_iter_next(&iter, NULL, &asset)) {
    char *line = NULL;
    size_t size = 0;
    rc = cli_asset_line(asset, &line, &size, err);
    if (rc != RT_OK) break;
    fwrite(line, 1, size, out);
    fputc('\n', out);
    rt_free(line);
    fflush(out);
    b->ends[b->count] = b->size;
    b->ids[b->count++] = rt_view_int(rt_view_get(asset, "id"), 0);
  }
  if (fclose(out) != 0 && rc == RT_OK) {
    rc = rt_fail(err, RT_ENOMEM, "out of memory");
  }
  return rc;
}

/* Prints one batch; *count is its size. */
static printer_end print_some(printer *p, uint32_t *count, rt_error *err) {
  batch *b = calloc(1, sizeof(*b));
  rt_value *rows = NULL;
  printer_end end = PRINTER_FAILED;
  rt_err rc = b ? RT_OK : rt_fail(err, RT_ENOMEM, "out of memory");
  if (rc == RT_OK) {
    rc = rt_report_assets(p->report, p->printed, NULL, BATCH, &rows, err);
  }
  if (rc == RT_OK) rc = format(b, rt_value_view(rows), err);
  if (rc == RT_OK) {
    *count = b->count;
    end = b->count ? write_batch(p, b) : PRINTER_DONE;
    if (end == PRINTER_CLOSED) {
      rt_fail(err, RT_ECLOSED, "standard output: %s", strerror(errno));
    }
  }
  if (b) free(b->text);
  free(b);
  rt_value_unref(rows);
  return end;
}

/* Nothing to print: wait for more, or for the reader to go away. */
static bool reader_left(printer *p) {
  struct pollfd fds[] = {{1, 0, 0}, {p->wake, POLLIN, 0}};
  if (p->con->out_missing) return true;
  if (poll(fds, 2, -1) < 0) return false;
  if (fds[1].revents) empty_eventfd(p->wake);
  return (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

static printer_end print_all(printer *p, rt_error *err) {
  for (;;) {
    uint32_t count = 0;
    bool last = atomic_load(&p->finish);
    if (atomic_load(&p->stop)) return PRINTER_STOPPED;
    printer_end end = print_some(p, &count, err);
    if (end != PRINTER_DONE) return end;
    if (count > 0) continue;
    if (last) return PRINTER_DONE;
    if (reader_left(p)) {
      rt_fail(err, RT_ECLOSED, "standard output is closed");
      return PRINTER_CLOSED;
    }
  }
}

static void *run(void *arg) {
  printer *p = arg;
  rt_error err = RT_ERROR_INIT;
  printer_end end = print_all(p, &err);
  rt_report_close(p->report); /* now: the last to close tidies the file up */
  p->fn(end, err.message, p->arg);
  return NULL;
}

/* --- life -------------------------------------------------------------- */

static void on_commit(int64_t last_asset, void *arg) {
  (void)last_asset;
  printer_wake(arg);
}

rt_err printer_new(printer **out, cli *c, rt_session *session, const char *dir,
                   int64_t after, printer_fn fn, void *arg, rt_error *err) {
  printer *p = calloc(1, sizeof(*p));
  *out = NULL;
  if (!p) return rt_fail(err, RT_ENOMEM, "out of memory");
  p->con = &c->console;
  p->session = session;
  p->fn = fn;
  p->arg = arg;
  p->printed = after;
  rt_err rc = rt_report_open(&p->report, dir, rt_session_name(session), err);
  if (rc != RT_OK) goto free_printer;
  p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (p->wake < 0 || pthread_create(&p->thread, NULL, run, p) != 0) {
    rc = rt_fail(err, RT_EUNAVAIL, "cannot start the printer: %s",
                 strerror(errno));
    goto close_report;
  }
  rt_session_on_commit(session, on_commit, p);
  printer_wake(p);
  *out = p;
  return RT_OK;

close_report:
  if (p->wake >= 0) close(p->wake);
  rt_report_close(p->report);
free_printer:
  free(p);
  return rc;
}

void printer_wake(printer *p) {
  uint64_t one = 1;
  ssize_t n = write(p->wake, &one, sizeof(one));
  (void)n; /* fails only when it is signaled already */
}

void printer_finish(printer *p) {
  atomic_store(&p->finish, true);
  printer_wake(p);
}

void printer_stop(printer *p) {
  atomic_store(&p->stop, true);
  printer_wake(p);
}

uint64_t printer_free(printer *p) {
  uint64_t lines;
  if (!p) return 0;
  rt_session_on_commit(p->session, NULL, NULL);
  pthread_join(p->thread, NULL);
  lines = p->lines;
  close(p->wake);
  free(p);
  return lines;
}
