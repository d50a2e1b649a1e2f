/* crash.c - fail points in SQLite's own system calls and statements (crash.h).
 * SPDX-License-Identifier: MIT */
#include "crash.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

static _Atomic long writes_left, statements_left;
static bool tears;

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Is this the one? */
static bool counts_out(_Atomic long *left) {
  return atomic_load(left) > 0 && atomic_fetch_sub(left, 1) == 1;
}

static ssize_t failing_write(int fd, const void *data, size_t size) {
  if (counts_out(&writes_left)) {
    if (tears) size = (size_t)write(fd, data, size / 2);
    die();
  }
  return write(fd, data, size);
}

static ssize_t failing_pwrite(int fd, const void *data, size_t size, off_t at) {
  if (counts_out(&writes_left)) {
    if (tears) size = (size_t)pwrite(fd, data, size / 2, at);
    die();
  }
  return pwrite(fd, data, size, at);
}

static int failing_truncate(int fd, off_t size) {
  if (counts_out(&writes_left)) die();
  return ftruncate(fd, size);
}

static void replace(const char *name, sqlite3_syscall_ptr fn) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
  if (vfs->xSetSystemCall(vfs, name, fn) != SQLITE_OK) abort();
}

void crash_at_write(long n, bool torn) {
  tears = torn;
  atomic_store(&writes_left, n);
  replace("write", (sqlite3_syscall_ptr)failing_write);
  replace("pwrite", (sqlite3_syscall_ptr)failing_pwrite);
  replace("pwrite64", (sqlite3_syscall_ptr)failing_pwrite);
  replace("ftruncate", (sqlite3_syscall_ptr)failing_truncate);
}

static int on_statement(unsigned what, void *arg, void *stmt, void *text) {
  (void)what, (void)arg, (void)stmt, (void)text;
  if (counts_out(&statements_left)) die();
  return 0;
}

static int on_open(sqlite3 *db, char **error, const void *api) {
  (void)error, (void)api;
  return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

void crash_at_statement(long n) {
  atomic_store(&statements_left, n);
  if (sqlite3_auto_extension((void (*)(void))on_open) != SQLITE_OK) abort();
}

void crash_middles(const char *path, long counts[CRASH_MIDDLES]) {
  static const char sql[] =
      "SELECT (SELECT count(*) FROM running,json_each(jobs) WHERE"
      " value->>2>0),"
      " (SELECT count(*) FROM job WHERE state='delayed' AND"
      " reason IS NOT 'snoozed'),"
      " (SELECT count(*) FROM job WHERE state='delayed' AND reason='snoozed'),"
      " (SELECT count(*) FROM edge)";
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
      sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
      sqlite3_step(stmt) == SQLITE_ROW) {
    for (int i = 0; i < CRASH_MIDDLES; i++) {
      counts[i] += (long)sqlite3_column_int64(stmt, i);
    }
  }
  sqlite3_finalize(stmt);
  sqlite3_close(db);
}

/* --- lives
 * -------------------------------------------------------------------- */
bool crash_self(char *self, size_t size) {
  ssize_t n = readlink("/proc/self/exe", self, size - 1);
  if (n > 0) self[n] = 0;
  return n > 0;
}

pid_t crash_begin(char *const argv[]) {
  pid_t pid = 0;
  assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
  return pid;
}

bool crash_end(pid_t pid, bool may_die) {
  int status = 0;
  for (time_t until = time(NULL) + 150; waitpid(pid, &status, WNOHANG) == 0;) {
    if (time(NULL) > until) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      fail_msg("a life does not end");
    }
    usleep(1000);
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && may_die)
    return false;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail_msg("a life ended with status %x", (unsigned)status);
  return true;
}

void crash_folder(char *dir, size_t size) {
  const char *tmp = getenv("TMP");
  snprintf(dir, size, "%s/crash.XXXXXX", tmp ? tmp : "/tmp");
  assert_non_null(mkdtemp(dir));
}

void crash_remove(const char *dir) {
  DIR *folder = opendir(dir);
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder));)
    unlinkat(dirfd(folder), entry->d_name, 0);
  closedir(folder);
  rmdir(dir);
}
