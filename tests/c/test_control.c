/* test_control.c - the socket of a running session: its verbs, hostile input,
 * and the calls behind it. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/console.c"
#include "cli/control.c"
#include "cli/control_address.c"
#include "cli/control_verbs.c"
/* Who waits for a socket naps here. */
static int nap(const struct timespec *moment, struct timespec *left);
#define nanosleep(moment, left) nap(moment, left)
#include "cli/control_connect.c"
#undef nanosleep

static const char code[] =
    "local time = require('time')\n"
    "return { capability { name = 'sleeper', input = { 'n' }, retries = 3,\n"
    "  invoke = function(job) job:progress(0.5) time.sleep(3600) end },\n"
    "  capability { name = 'quick', input = { 'n' }, output = { 'm' },\n"
    "  invoke = function(job, asset)\n"
    "    job:send { class = 'm', value = asset.value } end } }\n";

typedef struct fixture {
  cli c;
  char dir[200];
  rt_runtime *rt;
  rt_session *session;
  control *ctl;
  _Atomic(int) stops;
  char reason[200];
} fixture;

static void nothing(const char *text, void *arg) {
  (void)arg;
  fail_msg("%s", text);
}

static void on_stop(const char *reason, void *arg) {
  fixture *f = arg;
  snprintf(f->reason, sizeof(f->reason), "%s", reason);
  atomic_fetch_add(&f->stops, 1);
}

static void make_file(const char *dir) {
  char path[300];
  snprintf(path, sizeof(path), "%s/caps.lua", dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(code, file);
  fclose(file);
}

static void begin_named(fixture *f, const char *name) {
  rt_error err = RT_ERROR_INIT;
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  char path[300];
  opts.name = name;
  opts.dir = f->dir;
  opts.grace = 0.5;
  make_file(f->dir);
  snprintf(path, sizeof(path), "%s/caps.lua", f->dir);
  console_init(&f->c.console);
  assert_int_equal(rt_runtime_new(&f->rt, NULL, &err), RT_OK);
  assert_int_equal(rt_registry_load(rt_runtime_registry(f->rt), path, nothing,
                                    NULL, NULL, &err),
                   RT_OK);
  assert_int_equal(rt_session_open(&f->session, f->rt, &opts, &err), RT_OK);
  f->ctl = control_start(&f->c, f->rt, f->session, f->dir, on_stop, f);
  assert_non_null(f->ctl);
}

static int setup(void **state) {
  fixture *f = calloc(1, sizeof(*f));
  strcpy(f->dir, "/tmp/rt-control-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  begin_named(f, "run");
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  char command[300];
  control_end(f->ctl);
  rt_session_close(f->session);
  rt_session_unref(f->session);
  rt_runtime_free(f->rt);
  console_deinit(&f->c.console);
  snprintf(command, sizeof(command), "rm -rf %s", f->dir);
  int rc = system(command);
  free(f);
  return rc;
}

/* --- reaching it --------------------------------------------------------- */

typedef void (*nap_fn)(fixture *f);
static nap_fn at_nap; /* what happens while somebody waits, once */
static fixture *napping;
static unsigned naps;

static int nap(const struct timespec *moment, struct timespec *left) {
  nap_fn fn = at_nap;
  at_nap = NULL;
  naps++;
  if (fn) fn(napping);
  return nanosleep(moment, left);
}

static void listens(fixture *f) {
  f->ctl = control_start(&f->c, f->rt, f->session, f->dir, on_stop, f);
  assert_non_null(f->ctl);
}

static void ends(fixture *f) {
  rt_session_close(f->session);
}

static void waits_for(fixture *f, nap_fn fn) {
  at_nap = fn;
  napping = f;
  naps = 0;
}

static void not_reached(fixture *f, const char *name, double seconds, rt_err rc,
                        const char *words) {
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(control_connect(f->dir, name, seconds, &err), -1);
  assert_int_equal(err.code, rc);
  if (!strstr(err.message, words)) fail_msg("%s", err.message);
}

/* A run has its session a moment before it listens, and longer than that. */
static void test_starting(void **state) {
  fixture *f = *state;
  rt_error err = RT_ERROR_INIT;
  control_end(f->ctl);
  f->ctl = NULL;
  waits_for(f, NULL);
  not_reached(f, "run", 0, RT_EUNAVAIL, "it is just starting or ending");
  not_reached(f, "other", 30, RT_ENOTFOUND, "'other' does not run");
  assert_int_equal(naps, 0);
  waits_for(f, listens);
  int fd = control_connect(f->dir, "run", 30, &err);
  if (fd < 0) fail_msg("%s", err.message);
  assert_int_equal(naps, 1);
  close(fd);
  control_end(f->ctl);
  f->ctl = NULL;
  waits_for(f, ends);
  not_reached(f, "run", 30, RT_ENOTFOUND, "'run' does not run");
  assert_int_equal(naps, 1);
}

static void test_owner(void **state) {
  fixture *f = *state;
  rt_error err = RT_ERROR_INIT;
  int64_t owner;
  assert_int_equal(rt_session_owner(f->dir, "run", &owner, &err), RT_OK);
  assert_int_equal(owner, getpid());
  assert_int_equal(rt_session_owner(f->dir, "other", &owner, &err), RT_OK);
  assert_int_equal(owner, 0);
  assert_int_equal(rt_session_owner(NULL, "no such session", &owner, &err),
                   RT_EINVAL);
  rt_session_close(f->session);
  assert_int_equal(rt_session_owner(f->dir, "run", &owner, &err), RT_OK);
  assert_int_equal(owner, 0);
}

/* --- a client ---------------------------------------------------------- */

static int connect_there(fixture *f) {
  struct sockaddr_un address;
  int dir_fd;
  assert_true(
      control_address(f->dir, rt_session_name(f->session), &address, &dir_fd));
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                   0);
  if (dir_fd >= 0) close(dir_fd);
  return fd;
}

/* All that comes until the other side closes; [own]. */
static char *read_all(int fd) {
  size_t size = 0, room = 1 << 20;
  char *text = malloc(room + 1);
  ssize_t n;
  while (size < room && (n = read(fd, text + size, room - size)) > 0) {
    size += (size_t)n;
  }
  text[size] = '\0';
  return text;
}

static void put(int fd, const char *text, size_t size) {
  assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

static char *ask(fixture *f, const char *line) {
  int fd = connect_there(f);
  put(fd, line, strlen(line));
  put(fd, "\n", 1);
  char *text = read_all(fd);
  close(fd);
  return text;
}

static void expect(fixture *f, const char *line, const char *wanted) {
  char *text = ask(f, line);
  if (!strstr(text, wanted)) fail_msg("%s: %s, not %s", line, text, wanted);
  free(text);
}

/* Ask until the answer has this in it. */
static void until(fixture *f, const char *line, const char *wanted) {
  double end = now() + 30;
  for (;;) {
    char *text = ask(f, line);
    bool there = strstr(text, wanted) != NULL;
    if (!there && now() > end) fail_msg("%s: %s, not %s", line, text, wanted);
    free(text);
    if (there) return;
    usleep(10000);
  }
}

static void seed(fixture *f, const char *json) {
  rt_value *value = NULL;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_value_from_json(&value, json, strlen(json), &err), RT_OK);
  assert_int_equal(rt_session_dispatch(f->session, value, NULL, NULL, &err),
                   RT_OK);
  rt_value_unref(value);
}

/* --- verbs ------------------------------------------------------------- */

static void test_stat_and_jobs(void **state) {
  fixture *f = *state;
  expect(f, "jobs", "{\"ok\":true}");
  seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
  until(f, "stat", "\"running\":1");
  until(f, "jobs", "\"fraction\":0.5");
  expect(f, "jobs", "\"capability\":\"sleeper\"");
  expect(f, "jobs", "\"value\":\"1\"");
  expect(f, "stat", "\n{\"ok\":true}\n");
}

static void test_kill(void **state) {
  fixture *f = *state;
  rt_error err = RT_ERROR_INIT;
  rt_value *jobs = NULL;
  char line[64];
  seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
  until(f, "jobs", "\"id\"");
  until(f, "stat", "\"work_items_completed\":1");
  assert_int_equal(rt_session_running(f->session, &jobs, &err), RT_OK);
  rt_view job = rt_view_at(rt_value_view(jobs), 0);
  snprintf(line, sizeof(line), "kill %lld",
           (long long)rt_view_int(rt_view_get(job, "id"), 0));
  rt_value_unref(jobs);
  expect(f, line, "{\"ok\":true}");
  assert_int_equal(rt_session_wait(f->session, 30, NULL, &err), RT_OK);
  expect(f, "stat", "\"failed\":1"); /* and was not tried again */
  expect(f, line, "does not run");
  expect(f, "kill", "expected the number of a job");
  expect(f, "kill 12x", "expected the number of a job");
  expect(f, "kill 99999999999999999999", "expected the number of a job");
}

static void test_scale(void **state) {
  fixture *f = *state;
  expect(f, "scale sleeper 0", "{\"ok\":true}");
  expect(f, "stat", "\"scaled\":{\"sleeper\":0}");
  seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
  seed(f, "{\"class\":\"n\",\"value\":\"2\"}");
  seed(f, "{\"class\":\"n\",\"value\":\"3\"}");
  until(f, "stat", "\"work_items_completed\":3");
  expect(f, "stat", "\"running\":0");
  expect(f, "scale sleeper 2", "{\"ok\":true}");
  until(f, "stat", "\"running\":2");
  expect(f, "scale sleeper default", "{\"ok\":true}");
  until(f, "stat", "\"running\":3");
  expect(f, "scale nobody 1", "no capability 'nobody'");
  expect(f, "scale sleeper", "expected CAPABILITY and N");
  expect(f, "scale sleeper -1", "expected CAPABILITY and N");
  expect(f, "scale sleeper 1 2", "expected CAPABILITY and N");
}

static void test_pause(void **state) {
  fixture *f = *state;
  expect(f, "pause", "{\"ok\":true}");
  until(f, "stat", "\"paused\":true");
  seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
  expect(f, "stat", "\"running\":0");
  expect(f, "resume", "{\"ok\":true}");
  until(f, "stat", "\"running\":1");
}

static void test_cancel(void **state) {
  fixture *f = *state;
  expect(f, "cancel time to go", "{\"ok\":true}");
  assert_string_equal(f->reason, "time to go");
  expect(f, "cancel", "{\"ok\":true}");
  assert_int_equal(atomic_load(&f->stops), 2);
}

static void test_trace(void **state) {
  fixture *f = *state;
  char text[20000] = "";
  size_t size = 0;
  int fd = connect_there(f);
  put(fd, "trace n:1\n", 10);
  double end = now() + 30;
  bool sent = false;
  while (!strstr(text, "job.started") || !strstr(text, "asset.discovered")) {
    if (now() > end) fail_msg("traced: %s", text);
    ssize_t n = recv(fd, text + size, sizeof(text) - 1 - size, MSG_DONTWAIT);
    if (n > 0) size += (size_t)n;
    text[size] = '\0';
    if (!sent && strstr(text, "{\"tracing\":true}")) {
      sent = true;
      seed(f, "{\"class\":\"n\",\"value\":\"2\"}");
      seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
    }
    usleep(1000);
  }
  close(fd);
  assert_non_null(strstr(text, "\"path\":\"run/n:1\""));
  assert_null(strstr(text, "n:2"));
  expect(f, "trace", "expected CLASS:VALUE");
  expect(f, "trace nocolon", "expected CLASS:VALUE");
}

/* --- hostile ----------------------------------------------------------- */

static void test_nonsense(void **state) {
  fixture *f = *state;
  static const char *const lines[] = {
      "",      "?",        "stat x", " stat",          "STAT",
      "statx", "\x01\xff", "{}",     "GET / HTTP/1.0", NULL};
  for (const char *const *at = lines; *at; at++) {
    expect(f, *at, "\"ok\":false");
  }
  int fd = connect_there(f); /* a NUL inside the line */
  put(fd, "stat\0x\n", 7);
  char *text = read_all(fd);
  assert_non_null(strstr(text, "\"ok\":false"));
  free(text);
  close(fd);
  expect(f, "stat", "{\"ok\":true}");
}

/* A line without end is read to its bound, and no further. */
static void test_endless_line(void **state) {
  fixture *f = *state;
  static char block[4096];
  memset(block, 'a', sizeof(block));
  int fd = connect_there(f);
  struct timeval limit = {30, 0};
  size_t sent = 0;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  for (;;) {
    ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += (size_t)n;
    assert_true(sent < 4 * 1024 * 1024);
  }
  assert_true(errno == EPIPE || errno == ECONNRESET);
  close(fd);
  expect(f, "stat", "{\"ok\":true}");
}

/* More clients than there is room for: the others are served when they left. */
static void test_many_clients(void **state) {
  fixture *f = *state;
  int fds[CONTROL_CLIENTS];
  for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
    fds[i] = connect_there(f);
    put(fds[i], "sta", 3);
  }
  int fd = connect_there(f);
  char *text = read_all(fd); /* refused, or its turn came to nothing */
  assert_string_equal(text, "");
  free(text);
  close(fd);
  for (size_t i = 0; i < CONTROL_CLIENTS; i++) close(fds[i]);
  until(f, "stat", "{\"ok\":true}");
}

/* Nobody reads what was asked for; and nothing is harmed. */
static void test_leaves_early(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 50; i++) {
    int fd = connect_there(f);
    const char *line = i % 2 ? "stat\n" : "trace n:1\n";
    ssize_t n = send(fd, line, strlen(line), MSG_NOSIGNAL);
    (void)n; /* it may have been refused */
    close(fd);
  }
  seed(f, "{\"class\":\"n\",\"value\":\"1\"}");
  until(f, "stat", "\"running\":1");
}

/* --- the socket itself ------------------------------------------------- */

static void test_mode_and_end(void **state) {
  fixture *f = *state;
  struct stat st;
  char path[300];
  snprintf(path, sizeof(path), "%s/run.sock", f->dir);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  control_end(f->ctl);
  assert_int_equal(stat(path, &st), -1);
  /* one that a killed run left behind */
  f->ctl = control_start(&f->c, f->rt, f->session, f->dir, on_stop, f);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un left = f->ctl->address;
  control_end(f->ctl);
  assert_int_equal(bind(fd, (struct sockaddr *)&left, sizeof(left)), 0);
  close(fd);
  f->ctl = control_start(&f->c, f->rt, f->session, f->dir, on_stop, f);
  assert_non_null(f->ctl);
  expect(f, "stat", "{\"ok\":true}");
}

static void test_long_paths(void **state) {
  (void)state;
  fixture f = {0};
  char name[101], deep[80];
  memset(deep, 'd', sizeof(deep) - 1);
  deep[sizeof(deep) - 1] = '\0';
  memset(name, 'n', 100);
  name[100] = '\0';
  strcpy(f.dir, "/tmp/rt-control-XXXXXX");
  assert_non_null(mkdtemp(f.dir));
  char top[200];
  strcpy(top, f.dir);
  snprintf(f.dir + strlen(f.dir), 100, "/%s", deep);
  assert_int_equal(mkdir(f.dir, 0700), 0);
  begin_named(&f, name);
  expect(&f, "stat", "{\"ok\":true}");
  control_end(f.ctl);
  rt_session_close(f.session);
  rt_session_unref(f.session);
  rt_runtime_free(f.rt);
  console_deinit(&f.c.console);
  char command[300];
  snprintf(command, sizeof(command), "rm -rf %s", top);
  assert_int_equal(system(command), 0);
}

int main(void) {
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
  const struct CMUnitTest tests[] = {
      EACH(test_stat_and_jobs), EACH(test_kill),
      EACH(test_starting),      EACH(test_owner),
      EACH(test_scale),         EACH(test_pause),
      EACH(test_cancel),        EACH(test_trace),
      EACH(test_nonsense),      EACH(test_endless_line),
      EACH(test_many_clients),  EACH(test_leaves_early),
      EACH(test_mode_and_end),  cmocka_unit_test(test_long_paths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
