/* test_repl.c - `runtime repl` on a terminal: the program itself, seen and
 * typed at through a pseudo terminal. Environment: RUNTIME, the program.
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_S 30

typedef struct terminal {
  pid_t pid;
  int fd;
  char state[200]; /* XDG_STATE_HOME */
  char text[1 << 16];
  size_t size, seen; /* what came, and how much of it was expected */
} terminal;

static void start(terminal *t) {
  struct winsize size = {24, 80, 0, 0};
  t->size = t->seen = 0;
  t->pid = forkpty(&t->fd, NULL, NULL, &size);
  assert_true(t->pid >= 0);
  if (t->pid > 0) return;
  setenv("TERM", "xterm", 1);
  setenv("LC_ALL", "C.UTF-8", 1);
  setenv("HOME", t->state, 1);
  setenv("XDG_STATE_HOME", t->state, 1);
  execl(getenv("RUNTIME"), "runtime", "repl", (char *)NULL);
  _exit(127);
}

static bool take_more(terminal *t, time_t end) {
  struct pollfd wait = {t->fd, POLLIN, 0};
  time_t left = end - time(NULL);
  if (left <= 0 || poll(&wait, 1, (int)left * 1000) <= 0) return false;
  if (t->size + 1 == sizeof(t->text)) { /* what was expected is forgotten */
    memmove(t->text, t->text + t->seen, t->size - t->seen);
    t->size -= t->seen;
    t->seen = 0;
    if (t->size + 1 == sizeof(t->text)) t->size = 0;
  }
  ssize_t n = read(t->fd, t->text + t->size, sizeof(t->text) - 1 - t->size);
  if (n <= 0) return false;
  t->size += (size_t)n;
  t->text[t->size] = 0;
  return true;
}

/* Wait until `text` comes, after all that was expected before. */
static void expect(terminal *t, const char *text) {
  time_t end = time(NULL) + WAIT_S;
  t->text[t->size] = 0;
  for (;;) {
    char *found =
        memmem(t->text + t->seen, t->size - t->seen, text, strlen(text));
    if (found) {
      t->seen = (size_t)(found - t->text) + strlen(text);
      return;
    }
    if (!take_more(t, end)) break;
  }
  fail_msg("expected: %s\n  got: %s", text, t->text + t->seen);
}

static void type(terminal *t, const char *text) {
  assert_int_equal(write(t->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* A chunk and what it prints, up to the next prompt. */
static void enter(terminal *t, const char *chunk, const char *printed) {
  type(t, chunk);
  type(t, "\r");
  expect(t, printed);
  expect(t, "> ");
}

static int leave(terminal *t) {
  int status = 0;
  time_t end = time(NULL) + WAIT_S;
  while (take_more(t, end)) {
  }
  while (waitpid(t->pid, &status, WNOHANG) == 0) {
    if (time(NULL) >= end) fail_msg("it does not end: %s", t->text + t->seen);
    poll(NULL, 0, 5);
  }
  close(t->fd);
  t->pid = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int setup(void **state) {
  terminal *t = calloc(1, sizeof(*t));
  const char *tmp = getenv("TMP");
  snprintf(t->state, sizeof(t->state), "%s/repl.XXXXXX", tmp ? tmp : "/tmp");
  assert_non_null(mkdtemp(t->state));
  start(t);
  *state = t;
  expect(t, "> ");
  return 0;
}

static int teardown(void **state) {
  terminal *t = *state;
  char path[300];
  if (t->pid > 0) {
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
    close(t->fd);
  }
  snprintf(path, sizeof(path), "%s/runtime/history", t->state);
  unlink(path);
  snprintf(path, sizeof(path), "%s/runtime", t->state);
  rmdir(path);
  rmdir(t->state);
  free(t);
  return 0;
}

/* --- cases ------------------------------------------------------------------
 */

static void test_chunks(void **state) {
  terminal *t = *state;
  enter(t, "40 + 2", "42\r\n");
  type(t, "for i = 7, 8 do\r");
  expect(t, ">> ");
  enter(t, "print(i * 11) end", "77\r\n88\r\n");
  enter(t, "error('oh' .. 'no')", "prompt:1: ohno\r\nstack traceback:");
  type(t, "x =\r");
  expect(t, ">> ");
  enter(t, "5", "\n");
  enter(t, "x * 3", "15\r\n");
  enter(t, "process.list()", "state    mailbox");
  type(t, "\x04");
  assert_int_equal(leave(t), 0);
}

static void test_exit(void **state) {
  terminal *t = *state;
  type(t, "os.exit(3)\r");
  assert_int_equal(leave(t), 3);
}

static void test_interrupt(void **state) {
  terminal *t = *state;
  type(t, "print('go' .. 1) while true do end\r");
  expect(t, "go1");
  type(t, "\x03");
  expect(t, "interrupted");
  expect(t, "> ");
  type(t, "print('go' .. 2) time.sleep(1000)\r");
  expect(t, "go2");
  type(t, "\x03");
  expect(t, "interrupted");
  expect(t, "> ");
  enter(t, "40 + 2", "42\r\n");
  kill(t->pid, SIGTERM);
  assert_int_equal(leave(t), 143);
}

static void test_hangup_while_running(void **state) {
  terminal *t = *state;
  type(t, "print('go' .. 1) while true do end\r");
  expect(t, "go1");
  kill(t->pid, SIGHUP);
  assert_int_equal(leave(t), 129);
}

#ifdef RT_EDITLINE

static void test_cancel(void **state) {
  terminal *t = *state;
  type(t, "x = 5 +");
  expect(t, "5 +");
  type(t, "\x03");
  expect(t, "^C\r\n");
  expect(t, "> ");
  type(t, "for i = 1, 2 do\r");
  expect(t, ">> ");
  type(t, "\x03");
  expect(t, "^C\r\n> ");
  enter(t, "x", "nil\r\n");
}

/* What a process prints meanwhile comes above the line, which stays. */
static void test_background(void **state) {
  terminal *t = *state;
  enter(t,
        "p = process.spawn(function() while true do print('tick' .. 1) "
        "require('time').sleep(0.05) end end)",
        "\n");
  type(t, "40 + ");
  expect(t, "40 + ");
  for (int i = 0; i < 3; i++) {
    expect(t, "tick1\r\n");
    expect(t, "> 40 + ");
  }
  type(t, "2\r");
  expect(t, "42\r\n");
  type(t, "process.terminate(p)\r");
  expect(t, "true\r\n");
  /* more than one row of the terminal */
  enter(t,
        "p = process.spawn(function() while true do print('tock' .. 1) "
        "require('time').sleep(0.05) end end)",
        "\n");
  for (int i = 0; i < 100; i++) type(t, "1");
  expect(t, "tock1\r\n");
  expect(t, "> 11111");
  type(t, "\x03");
  expect(t, "^C\r\n");
}

static void test_history(void **state) {
  terminal *t = *state;
  char path[300], kept[200] = "";
  struct stat st;
  enter(t, "40 + 2", "42\r\n");
  type(t, "for i = 5, 6 do\r");
  expect(t, ">> ");
  enter(t, "print(i * 11) end", "55\r\n66\r\n");
  enter(t, " 'a secret'", "a secret\r\n");
  type(t, "\x04");
  assert_int_equal(leave(t), 0);
  snprintf(path, sizeof(path), "%s/runtime/history", t->state);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  size_t n = fread(kept, 1, sizeof(kept) - 1, file);
  fclose(file);
  kept[n] = 0;
  assert_string_equal(kept, "40 + 2\nfor i = 5, 6 do\\nprint(i * 11) end\n");

  start(t);
  expect(t, "> ");
  type(t, "\x1b[A");
  expect(t, "print(i * 11) end");
  type(t, "\x1b[A");
  expect(t, "40 + 2");
  type(t, "\r");
  expect(t, "42\r\n");
  expect(t, "> ");
}

static void test_completion(void **state) {
  terminal *t = *state;
  enter(t, "unlikely = { value = 40 + 2 }", "\n");
  type(t, "unli\t.va\t\r");
  expect(t, "42\r\n");
  expect(t, "> ");
  type(t, "string.\t");
  expect(t, "byte");
  expect(t, "upper");
  expect(t, "> string.");
}

static void test_wide_characters(void **state) {
  terminal *t = *state;
  enter(t, "#'\xc3\xa9\xe6\xbc\xa2' * 11", "55\r\n");
}

#endif

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(test_chunks),          CASE(test_exit),
      CASE(test_interrupt),       CASE(test_hangup_while_running),
#ifdef RT_EDITLINE
      CASE(test_cancel),          CASE(test_background),
      CASE(test_history),         CASE(test_completion),
      CASE(test_wide_characters),
#endif
  };
  int fd = posix_openpt(O_RDWR | O_NOCTTY);
  if (fd < 0 || !getenv("RUNTIME")) {
    puts("pending - no pseudo terminals here, or RUNTIME is not set");
    return 0;
  }
  close(fd);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
