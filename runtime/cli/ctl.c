/* cli/ctl.c - `runtime ctl NAME VERB`: speak to a session that runs elsewhere.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "report.h"
#include "summary.h"

static const char *const verbs[] = {"stat",   "jobs", "pause", "resume",
                                    "cancel", "kill", "scale", "trace",
                                    "delete", NULL};

/* How many arguments a verb takes, at least and at most. */
static bool fits(const char *verb, size_t count) {
  if (!strcmp(verb, "kill") || !strcmp(verb, "trace") ||
      !strcmp(verb, "delete")) {
    return count == 1;
  }
  if (!strcmp(verb, "scale")) return count == 2;
  return count == 0 || !strcmp(verb, "cancel");
}

static bool is_verb(const char *word) {
  for (const char *const *at = verbs; *at; at++) {
    if (!strcmp(*at, word)) return true;
  }
  return false;
}

/* The verb and its arguments as a line, or NULL after a message. */
static char *line_of(cli *c, const cli_list *words, int *status) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  *status = EXIT_FAILED;
  if (!out) return NULL;
  for (size_t i = 1; i < words->count; i++) {
    fprintf(out, "%s%s", i > 1 ? " " : "", words->items[i]);
  }
  fclose(out);
  if (text && (strpbrk(text, "\n") || size >= CONTROL_LINE_MAX)) {
    free(text);
    *status = cli_usage(c, "ctl: an argument is too long, or has a line end");
    return NULL;
  }
  return text;
}

#define ANSWER_SECONDS 10
#define START_SECONDS  3 /* for one that has begun and does not listen yet */

/* --- the connection ---------------------------------------------------- */

static bool send_line(int fd, const char *line) {
  char *text = NULL;
  int size = asprintf(&text, "%s\n", line);
  int at = 0;
  while (size > 0 && at < size) {
    ssize_t n = send(fd, text + at, (size_t)(size - at), MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) at += (int)n;
  }
  if (size >= 0) free(text);
  return size > 0 && at == size;
}

/* One that was stopped (SIGSTOP) or hangs does not answer; a trace has no
 * limit once it has begun. */
static void set_limit(int fd, int seconds) {
  struct timeval limit = {.tv_sec = seconds};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* --- answers ----------------------------------------------------------- */

typedef struct answer {
  cli *c;
  const char *verb;
  bool json, head;
  int status; /* -1: not over */
  int fd;
} answer;

static int put_stat(cli *c, rt_view stats) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  if (rt_view_bool(rt_view_get(stats, "paused"), false)) {
    fputs("  paused\n", out);
  }
  fprintf(out, "  assets %lld, jobs %lld of %lld, running %lld, queued %lld\n",
          cli_sum(rt_view_get(stats, "assets")),
          cli_count(stats, "work_items_completed"),
          cli_count(stats, "work_items_total"), cli_count(stats, "running"),
          cli_count(stats, "queued"));
  rt_iter iter = rt_iter_of(rt_view_get(stats, "scaled"));
  rt_view name, count;
  while (rt_iter_next(&iter, &name, &count)) {
    char *text_of = cli_text(name);
    fprintf(out, "  %s: scaled to %lld\n", text_of ? text_of : "?",
            (long long)rt_view_int(count, 0));
    free(text_of);
  }
  cli_print_stats(stats, out);
  cli_print_rejections(stats, out);
  fclose(out);
  return cli_put_text(c, text);
}

static int put_job(answer *a, rt_view job) {
  char *id = cli_member(job, "id"), *by = cli_member(job, "capability");
  char *class_ = cli_member(job, "class"), *value = cli_member(job, "value");
  char *seconds = cli_seconds(rt_view_get(job, "seconds"));
  char *state = cli_member(job, "state"), *text = NULL;
  bool ending = rt_view_type(rt_view_get(job, "state")) != RT_NIL;
  int n = asprintf(
      &text, "%s  %-12s  %-18s  %3lld  %-8s  %3.0f%%  %s:%s%s%s\n",
      a->head ? ""
              : "  JOB           CAPABILITY          TRY  FOR       DONE  "
                "TARGET\n",
      id ? id : "?", by ? by : "?",
      (long long)rt_view_int(rt_view_get(job, "attempt"), 0),
      seconds ? seconds : "?",
      rt_view_number(rt_view_get(job, "fraction"), 0) * 100,
      class_ ? class_ : "?", value ? value : "?", ending ? "  " : "",
      ending ? state : "");
  a->head = true;
  free(id);
  free(by);
  free(class_);
  free(value);
  free(seconds);
  free(state);
  return cli_put_text(a->c, n < 0 ? NULL : text);
}

/* The last line. */
static int verdict(answer *a, rt_view line) {
  if (rt_view_bool(rt_view_get(line, "ok"), false)) {
    if (!a->json && !strcmp(a->verb, "jobs") && !a->head) {
      console_say(&a->c->console, "no job runs\n");
    }
    return EXIT_DONE;
  }
  char *why = cli_member(line, "error");
  int status = cli_fail(a->c, "%s", why ? why : "?");
  free(why);
  return status;
}

static void take_line(answer *a, const char *text, size_t size) {
  rt_value *value = NULL;
  if (rt_value_from_json(&value, text, size, NULL) != RT_OK) {
    a->status = cli_fail(a->c, "the session answers what is no JSON");
    return;
  }
  rt_view line = rt_value_view(value);
  int put = 0;
  if (rt_view_type(rt_view_get(line, "ok")) == RT_BOOL) {
    a->status = verdict(a, line);
  } else if (rt_view_type(rt_view_get(line, "tracing")) == RT_BOOL) {
    set_limit(a->fd, 0);
    console_say(&a->c->console, "tracing; Ctrl-C ends it\n");
  } else if (a->json || !strcmp(a->verb, "trace")) {
    put = cli_put_json(a->c, value);
  } else if (!strcmp(a->verb, "stat")) {
    put = put_stat(a->c, line);
  } else {
    put = put_job(a, line);
  }
  if (put && a->status < 0) a->status = put;
  rt_value_unref(value);
}

static int read_answer(answer *a, int fd) {
  a->fd = fd;
  FILE *in = fdopen(fd, "r");
  char *line = NULL;
  size_t room = 0;
  ssize_t n;
  if (!in) {
    close(fd);
    return cli_fail(a->c, "out of memory");
  }
  while (a->status < 0 && (n = getline(&line, &room, in)) > 0) {
    if (line[n - 1] == '\n') n--;
    take_line(a, line, (size_t)n);
  }
  bool late = a->status < 0 && ferror(in) && errno == EAGAIN;
  free(line);
  fclose(in);
  if (a->status >= 0) return a->status;
  if (late)
    return cli_fail(a->c, "the session does not answer within %d s",
                    ANSWER_SECONDS);
  if (!strcmp(a->verb, "trace")) {
    console_say(&a->c->console, "the session has ended\n");
    return EXIT_DONE;
  }
  return cli_fail(a->c, "the session ended before it answered");
}

/* --- the command ------------------------------------------------------- */

static int check(cli *c, const cli_list *words) {
  const char *verb = words->items[1];
  if (!is_verb(verb)) {
    const char *near = cli_nearest(verb, verbs);
    if (near) {
      return cli_usage(c, "ctl: no verb '%s'; did you mean '%s'?", verb, near);
    }
    return cli_usage(c, "ctl: no verb '%s'; usage: runtime ctl %s", verb,
                     cli_ctl.synopsis);
  }
  if (fits(verb, words->count - 2)) return 0;
  return cli_usage(c, "usage: runtime ctl %s", cli_ctl.synopsis);
}

static int run(cli *c, int argc, char **argv) {
  cli_reading r = {0};
  answer a = {.c = c, .status = -1};
  rt_error err = RT_ERROR_INIT;
  int fd = -1;
  char *line = NULL;
  cli_parse *p = &r.parse;
  *p = (cli_parse){.command = "ctl", .options = cli_reading_options};
  p->fields = &r;
  p->wanted = (size_t)-1;
  int status = cli_parse_args(p, argc, argv, stderr) ? 0 : EXIT_USAGE;
  if (!status && p->bare.count < 2) {
    status = cli_usage(c, "usage: runtime ctl %s", cli_ctl.synopsis);
  }
  const char *name = status ? NULL : p->bare.items[0];
  if (!status && !cli_is_session_name(name)) {
    status = cli_usage(c, "'%s' is no session name", name);
  }
  if (!status) status = check(c, &p->bare);
  if (!status) line = line_of(c, &p->bare, &status);
  if (line) {
    status = EXIT_FAILED;
    fd = control_connect(cli_data_dir(r.data), name, START_SECONDS, &err);
    if (fd < 0) cli_fail(c, "%s", err.message);
  }
  if (fd >= 0) {
    a.verb = p->bare.items[1];
    a.json = r.json;
    /* A cancel is answered when what runs has had its grace. */
    if (strcmp(a.verb, "cancel")) set_limit(fd, ANSWER_SECONDS);
    if (!send_line(fd, line)) console_say(&c->console, "runtime: not sent\n");
    status = read_answer(&a, fd);
  }
  free(line);
  cli_parse_free(p);
  return status;
}

const cli_command cli_ctl = {
    "ctl",
    "NAME stat|jobs|pause|resume|cancel [REASON]|kill JOB|scale CAPABILITY "
    "N|trace CLASS:VALUE|delete CLASS:VALUE",
    "control a session that runs in another process", cli_reading_options, run};
