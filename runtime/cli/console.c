/* cli/console.c - the only writer of standard output and error.
 * SPDX-License-Identifier: MIT */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* A descriptor below 3 that is closed would be given to the next file opened,
 * which could be a database. */
static bool plug(int fd, int flags) {
  if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) return false;
  int null = open("/dev/null", flags);
  if (null >= 0 && null != fd) {
    dup2(null, fd);
    close(null);
  }
  return true;
}

void console_init(console *con) {
  memset(con, 0, sizeof(*con));
  plug(0, O_RDONLY);
  con->out_missing = plug(1, O_WRONLY);
  plug(2, O_WRONLY);
  con->out_tty = isatty(1);
  con->err_tty = isatty(2);
  con->log_level = RT_LOG_INFO;
  pthread_mutex_init(&con->lock, NULL);
}

void console_deinit(console *con) {
  console_progress(con, NULL);
  pthread_mutex_destroy(&con->lock);
}

static bool write_all(int fd, const char *text, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, text, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      struct pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (n < 0) return false;
    text += n;
    size -= (size_t)n;
  }
  return true;
}

/* --- the progress line ------------------------------------------------- */

static void hide_locked(console *con) {
  if (!con->drawn) return;
  write_all(2, "\r\033[K", 4);
  con->drawn = false;
}

static size_t columns(void) {
  struct winsize size;
  if (ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return size.ws_col;
  return 80;
}

static void show_locked(console *con) {
  if (!con->line[0] || con->drawn || con->middle) return;
  size_t size = strlen(con->line), width = columns() - 1;
  write_all(2, con->line, size < width ? size : width);
  con->drawn = true;
}

void console_progress(console *con, const char *line) {
  pthread_mutex_lock(&con->lock);
  if (!line) line = "";
  if (con->err_tty) {
    hide_locked(con);
    snprintf(con->line, sizeof(con->line), "%s", line);
    show_locked(con);
  } else if (*line) {
    char whole[sizeof(con->line) + 1];
    int size = snprintf(whole, sizeof(whole), "%s\n", line);
    write_all(2, whole, (size_t)size);
  }
  pthread_mutex_unlock(&con->lock);
}

/* --- text -------------------------------------------------------------- */

void console_divert(console *con, console_divert_fn fn, void *arg) {
  pthread_mutex_lock(&con->lock);
  con->divert = fn;
  con->divert_arg = arg;
  pthread_mutex_unlock(&con->lock);
}

static bool diverted_locked(console *con, const char *text, size_t size) {
  return con->divert && con->divert(text, size, con->divert_arg);
}

bool console_out(console *con, const char *text, size_t size) {
  if (size == 0) return true;
  if (con->out_missing) {
    errno = EBADF;
    return false;
  }
  /* Elsewhere than on a terminal it needs no place among the lines, and a slow
   * reader holds nobody else up. */
  if (!con->out_tty) return write_all(1, text, size);
  pthread_mutex_lock(&con->lock);
  bool ok = diverted_locked(con, text, size);
  if (!ok) {
    hide_locked(con);
    ok = write_all(1, text, size);
    con->middle = text[size - 1] != '\n';
    show_locked(con);
  }
  pthread_mutex_unlock(&con->lock);
  return ok;
}

void console_err(console *con, const char *text, size_t size) {
  if (size == 0) return;
  pthread_mutex_lock(&con->lock);
  if (!con->err_tty || !diverted_locked(con, text, size)) {
    hide_locked(con);
    write_all(2, text, size);
    con->middle = text[size - 1] != '\n';
    show_locked(con);
  }
  pthread_mutex_unlock(&con->lock);
}

void console_say(console *con, const char *fmt, ...) {
  char *text = NULL;
  va_list args;
  va_start(args, fmt);
  int size = vasprintf(&text, fmt, args);
  va_end(args);
  if (size > 0) console_err(con, text, (size_t)size);
  if (size >= 0) free(text);
}

/* --- the log ----------------------------------------------------------- */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool console_set_log(console *con, const char *level, const char *format) {
  if (format) con->log_json = !strcmp(format, "json");
  if (!level) return true;
  for (int i = 0; i < 4; i++) {
    if (strcmp(level, level_names[i])) continue;
    con->log_level = (rt_log_level)i;
    return true;
  }
  return false;
}

static void timestamp(char *out, size_t size) {
  struct timespec now;
  struct tm utc;
  char text[32];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(out, size, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* What a script logs may come from anywhere: keep it from steering the
 * terminal. */
static void defuse(char *text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if ((c < 32 && c != '\n' && c != '\t') || c == 127) *text = '?';
  }
}

static void put_field(FILE *out, rt_view key, rt_view item) {
  size_t size;
  const char *name = rt_view_string(key, &size);
  if (name) fprintf(out, " %.*s=", (int)size, name);
  const char *text = rt_view_string(item, &size);
  if (text) {
    fwrite(text, 1, size, out);
    return;
  }
  rt_value *copy = NULL;
  char *json = NULL;
  if (rt_view_copy(&copy, item, NULL) == RT_OK &&
      rt_value_to_json(&json, &size, copy, NULL) == RT_OK) {
    fwrite(json, 1, size, out);
  }
  rt_free(json);
  rt_value_unref(copy);
}

static char *text_line(rt_log_level level, const char *message,
                       const rt_value *fields) {
  char when[48], *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return NULL;
  timestamp(when, sizeof(when));
  fprintf(out, "%s %-5s %s", when, level_names[level], message);
  rt_view key, item;
  rt_iter iter = rt_iter_of(rt_value_view(fields));
  while (rt_iter_next(&iter, &key, &item)) put_field(out, key, item);
  fputc('\n', out);
  fclose(out);
  if (text) defuse(text);
  return text;
}

static char *json_line(rt_log_level level, const char *message,
                       const rt_value *fields) {
  char when[48], *json = NULL, *text = NULL;
  size_t size;
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  timestamp(when, sizeof(when));
  rt_builder_begin_map(b);
  rt_builder_key(b, "time");
  rt_builder_string(b, when);
  rt_builder_key(b, "level");
  rt_builder_string(b, level_names[level]);
  rt_builder_key(b, "message");
  rt_builder_string(b, message);
  if (fields) {
    rt_builder_key(b, "fields");
    rt_builder_value(b, fields);
  }
  rt_builder_end(b);
  if (rt_builder_finish(b, &value, NULL) == RT_OK &&
      rt_value_to_json(&json, &size, value, NULL) == RT_OK) {
    if (asprintf(&text, "%.*s\n", (int)size, json) < 0) text = NULL;
  }
  rt_free(json);
  rt_value_unref(value);
  rt_builder_free(b);
  return text;
}

void console_log(rt_log_level level, const char *message,
                 const rt_value *fields, void *arg) {
  console *con = arg;
  if (level < con->log_level) return;
  char *text = con->log_json ? json_line(level, message, fields)
                             : text_line(level, message, fields);
  if (text) console_err(con, text, strlen(text));
  free(text);
}
