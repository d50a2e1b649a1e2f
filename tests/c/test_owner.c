/* test_owner.c - whose a session is, and how its commits reach the disk.
 *
 * The program runs itself as another one that has a session open:
 *   test_owner child DIR SESSION FD
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "dispatcher/internal.h"
#include "engine_kit.h"
#include "store/db.h"
#include "store/paths.h"

static char self[512];
extern char **environ;

/* --- two processes --------------------------------------------------- */
static int child(const char *dir, const char *name, int tell) {
  kit *k = kit_start_in(dir);
  rt_session *s = kit_open(k, name, NULL);
  kit_dispatch(s, "none", "theirs");
  if (write(tell, "x", 1) != 1) return 1;
  for (;;) pause();
}

/* Another process that has it open by now. */
static pid_t start_owner(const char *dir, const char *name) {
  int tell[2];
  char fd[20], word;
  pid_t pid = 0;
  assert_int_equal(pipe(tell), 0);
  snprintf(fd, sizeof(fd), "%d", tell[1]);
  char *argv[] = {self, "child", (char *)dir, (char *)name, fd, NULL};
  assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
  close(tell[1]);
  assert_int_equal(read(tell[0], &word, 1), 1);
  close(tell[0]);
  return pid;
}

static void assert_conflict(rt_err rc, const rt_error *err, pid_t owner,
                            const char *after) {
  char words[120];
  assert_int_equal(rc, RT_ECONFLICT);
  snprintf(words, sizeof(words), "session 'mine' is open in process %ld%s",
           (long)owner, after);
  assert_string_equal(err->message, words);
}

static void another_process_is_named(void **state) {
  kit *k = kit_start(state);
  pid_t owner = start_owner(k->dir, "mine");
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = NULL;
  rt_error why = RT_ERROR_INIT;
  int64_t count = 0;
  o.name = "mine";
  o.dir = k->dir;
  rt_err rc = rt__session_open(&s, k->engine, &o, &why);
  assert_conflict(rc, &why, owner, "");
  assert_null(s);
  assert_conflict(rt_session_remove(k->dir, "mine", &why), &why, owner, "");
  assert_conflict(rt_session_retry(k->dir, "mine", &count, &why), &why, owner,
                  "");
  /* Its death is enough: nobody has to clean up. */
  assert_int_equal(kill(owner, SIGKILL), 0);
  assert_int_equal(waitpid(owner, NULL, 0), owner);
  s = kit_open(k, "mine", NULL);
  assert_int_equal(kit_assets(k, "mine"), 1);
  kit_close(s);
  kit_stop(k);
}

/* --- two runtimes of one program ------------------------------------- */
static void another_runtime_is_named(void **state) {
  char dir[] = "/tmp/owner-XXXXXX";
  rt_runtime *first = NULL, *second = NULL;
  rt_session *s = NULL, *t = NULL;
  rt_error why = RT_ERROR_INIT;
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  (void)state;
  assert_non_null(mkdtemp(dir));
  o.name = "mine";
  o.dir = dir;
  KIT_OK(rt_runtime_new(&first, NULL, err));
  KIT_OK(rt_runtime_new(&second, NULL, err));
  KIT_OK(rt_session_open(&s, first, &o, err));
  rt_err rc = rt_session_open(&t, second, &o, &why);
  assert_conflict(rc, &why, getpid(), ", this one");
  rc = rt_session_open(&t, first, &o, &why);
  assert_conflict(rc, &why, getpid(), ", this one");
  rt_session_close(s);
  KIT_OK(rt_session_open(&t, second, &o, err));
  rt_session_unref(s);
  rt_session_close(t);
  rt_session_unref(t);
  rt_runtime_free(first);
  rt_runtime_free(second);
  KIT_OK(rt_session_remove(dir, "mine", err));
  assert_int_equal(rmdir(dir), 0); /* nothing is left behind */
}

/* --- how commits reach the disk -------------------------------------- */
typedef struct question {
  rt__cmd cmd;
  int *synchronous;
  char *journal; /* of 10 */
  uv_sem_t *told;
} question;

static void pragma(sqlite3 *db, const char *sql, char *out, size_t size) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
      sqlite3_step(stmt) == SQLITE_ROW) {
    snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
  }
  sqlite3_finalize(stmt);
}

static void answer(rt__engine *engine, rt__cmd *cmd) {
  question *q = (question *)cmd;
  char number[10] = "-1";
  (void)engine;
  sqlite3 *db = cmd->session->store->db;
  pragma(db, "PRAGMA synchronous", number, sizeof(number));
  pragma(db, "PRAGMA journal_mode", q->journal, 10);
  *q->synchronous = atoi(number);
  uv_sem_t *told = q->told;
  rt__cmd_free(cmd);
  uv_sem_post(told);
}

/* As the engine's own connection has it. */
static int synchronous_of(rt_session *s) {
  int synchronous = -1;
  char journal[10] = "";
  uv_sem_t told;
  uv_sem_init(&told, 0);
  question *q = rt__cmd_new(sizeof(*q), answer, s);
  q->synchronous = &synchronous;
  q->journal = journal;
  q->told = &told;
  rt__port_post(s->port, &q->cmd);
  uv_sem_wait(&told);
  uv_sem_destroy(&told);
  assert_string_equal(journal, "wal");
  return synchronous;
}

static void commits_are_full_unless_asked_otherwise(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = kit_open(k, "full", NULL);
  kit_dispatch(s, "none", "1");
  assert_int_equal(synchronous_of(s), 2);
  kit_close(s);
  o.sync_normal = true;
  s = kit_open(k, "normal", &o);
  kit_dispatch(s, "none", "1");
  assert_int_equal(synchronous_of(s), 1);
  kit_close(s);
  /* It is not a property of the file. */
  s = kit_open(k, "normal", NULL);
  assert_int_equal(synchronous_of(s), 2);
  assert_int_equal(kit_assets(k, "normal"), 1);
  kit_close(s);
  kit_stop(k);
}

/* What a session leaves beside its file goes with it, also after a crash: the
 * socket of a long name has another name. */
static void removed_with_all_that_is_its_own(void **state) {
  kit *k = kit_start(state);
  char name[101], path[300], k_dir[sizeof(k->dir)];
  snprintf(k_dir, sizeof(k_dir), "%s", k->dir);
  for (size_t size = 60; size <= 100; size += 40) {
    memset(name, 'n', size);
    name[size] = '\0';
    kit_close(kit_open(k, name, NULL));
    char *socket = rt_session_socket(k->dir, name);
    assert_non_null(socket);
    snprintf(path, sizeof(path), "%s/%s.sock", k->dir, name);
    assert_int_equal(strcmp(path, socket) == 0, size == 60);
    FILE *file = fopen(socket, "w");
    assert_non_null(file);
    fclose(file);
    KIT_OK(rt_session_remove(k->dir, name, err));
    assert_int_equal(access(socket, F_OK), -1);
    free(socket);
  }
  kit_stop_keep(k);
  assert_int_equal(rmdir(k_dir), 0); /* nothing is left behind */
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (n <= 0) return 1;
  if (argc == 5) return child(argv[2], argv[3], atoi(argv[4]));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(another_process_is_named),
      cmocka_unit_test(another_runtime_is_named),
      cmocka_unit_test(commits_are_full_unless_asked_otherwise),
      cmocka_unit_test(removed_with_all_that_is_its_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
