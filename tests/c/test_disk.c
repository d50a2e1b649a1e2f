/* test_disk.c - disks that are full, fail or cannot be written; files that are
 * damaged, foreign, lost, replaced. Each is a clear error or a pause that ends
 * with the fault; what was committed stays. The shims assert that they fired.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "diskfault.h"
#include "engine_kit.h"

static bool own_mounts; /* may this program mount something for itself? */

/* --- asking ---------------------------------------------------------- */
static bool fault_says(rt_session *s, const char *words) {
  char text[600] = "";
  size_t size = 0;
  rt_value *stats = NULL;
  rt_error why = RT_ERROR_INIT;
  if (rt_session_stats(s, &stats, &why) != RT_OK) {
    snprintf(text, sizeof(text), "%s", why.message);
  } else {
    const char *at =
        rt_view_string(rt_view_get(rt_value_view(stats), "fault"), &size);
    if (at) snprintf(text, sizeof(text), "%.*s", (int)size, at);
  }
  rt_value_unref(stats);
  return strstr(text, words) != NULL;
}

static void path_of(kit *k, const char *name, const char *suffix, char *out) {
  snprintf(out, 300, "%s/%s.sqlite%s", k->dir, name, suffix);
}

/* A session in the middle of its work: 2,000 nodes, each of which waits. */
static void slow(kit_job *job, rt__end *end) {
  usleep(200);
  kit_expand(job, end);
}

static rt_session *in_the_middle(kit *k, const char *name) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.concurrency = 2;
  rt_session *s = kit_open(k, name, &o);
  kit_dispatch(s, "node", "1");
  KIT_UNTIL(kit_stat(s, "done") >= 3);
  return s;
}

/* Everything is there, everything was done. */
static void ends_well(kit *k, rt_session *s, const char *name) {
  KIT_UNTIL(kit_dispatch(s, "node", "1") >= 0);
  kit_wait(s);
  assert_int_equal(kit_assets(k, name), KIT_NODES);
  assert_int_equal(kit_stat(s, "done"), KIT_NODES);
  assert_int_equal(kit_stat(s, "failed"), 0);
}

/* --- the disk -------------------------------------------------------- */
static void a_disk_that(disk_state state, const char *words) {
  kit *k = kit_start(NULL);
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "disk");
  int64_t before = kit_assets(k, "disk");
  disk_is(state);
  KIT_UNTIL(kit_dispatch(s, "node", "1") < 0); /* it has met the fault */
  KIT_UNTIL(fault_says(s, words));
  assert_true(disk_fired() > 0);
  disk_is(DISK_WELL);
  assert_true(kit_assets(k, "disk") >= before);
  ends_well(k, s, "disk");
  kit_close(s);
  kit_stop(k);
}

static void a_full_disk_is_waited_for(void **state) {
  (void)state;
  a_disk_that(DISK_FULL, "the disk is full");
}

static void errors_of_the_disk_are_waited_for(void **state) {
  (void)state;
  a_disk_that(DISK_WRITES_FAIL, "the disk reports an error");
  a_disk_that(DISK_READ_ONLY, "the file system is read-only");
}

/* Reads fail while the session is opened: told, and nothing is changed. */
static void what_cannot_be_read_is_told(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  rt_session *s = NULL;
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  s = in_the_middle(k, "unread");
  kit_close(s);
  o.name = "unread";
  o.dir = k->dir;
  disk_is(DISK_READS_FAIL);
  assert_int_equal(rt__session_open(&s, k->engine, &o, &why), RT_EUNAVAIL);
  assert_non_null(strstr(why.message, "unread"));
  assert_true(disk_fired() > 0);
  disk_is(DISK_WELL);
  s = kit_open(k, "unread", NULL);
  ends_well(k, s, "unread");
  kit_close(s);
  kit_stop(k);
}

/* As root by a mount that cannot be written, else by the file's mode. */
static bool read_only(const char *path, bool on) {
  if (geteuid() != 0) return chmod(path, on ? 0400 : 0600) == 0;
  if (!on) return umount2(path, MNT_DETACH) == 0;
  return own_mounts && mount(path, path, NULL, MS_BIND, NULL) == 0 &&
         mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0;
}

static void what_cannot_be_written_is_told(void **state) {
  kit *k = kit_start(state);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  char path[300];
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "kept");
  kit_close(s);
  path_of(k, "kept", "", path);
  if (!read_only(path, true)) {
    print_message("not tried: this program may not mount\n");
    kit_stop(k);
    return;
  }
  o.name = "kept";
  o.dir = k->dir;
  assert_int_equal(rt__session_open(&s, k->engine, &o, &why), RT_EPERM);
  assert_non_null(strstr(why.message, "kept.sqlite cannot be written"));
  /* Reading goes on; it may leave a log of the same mode behind. */
  if (geteuid() == 0) assert_true(kit_assets(k, "kept") > 0);
  assert_true(read_only(path, false));
  s = kit_open(k, "kept", NULL);
  ends_well(k, s, "kept");
  kit_close(s);
  kit_stop(k);
}

/* A disk that fails all the time, for a while. */
static void a_disk_that_often_fails(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "slow", (kit_opts){.fn = slow, .retries = 2});
  rt_session *s = in_the_middle(k, "often");
  for (int i = 0; i < 3; i++) {
    int64_t before = kit_assets(k, "often");
    disk_is(DISK_OFTEN_FAILS);
    KIT_UNTIL(kit_dispatch(s, "node", "1") < 0 && disk_fired() > 0);
    disk_is(DISK_WELL);
    KIT_UNTIL(kit_dispatch(s, "node", "1") >= 0);
    assert_true(kit_assets(k, "often") >= before);
  }
  ends_well(k, s, "often");
  kit_close(s);
  kit_stop(k);
}

static bool fill(const char *path) {
  static char block[65536];
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  while (write(fd, block, sizeof(block)) > 0) continue;
  while (write(fd, block, 512) > 0) continue;
  close(fd);
  return errno == ENOSPC;
}

/* The real thing: a small file system in memory, where it may be mounted. */
static void a_small_file_system_is_full(void **state) {
  kit *k = kit_start(state);
  char path[300];
  if (!own_mounts || mount("tmpfs", k->dir, "tmpfs", 0, "size=64m")) {
    print_message("not tried: this program may not mount\n");
    kit_stop(k);
    return;
  }
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "small");
  snprintf(path, sizeof(path), "%s/ballast", k->dir);
  assert_true(fill(path));
  KIT_UNTIL(fill(path) && fault_says(s, "the disk is full"));
  assert_int_equal(unlink(path), 0);
  ends_well(k, s, "small");
  kit_close(s);
  char dir[64];
  memcpy(dir, k->dir, sizeof(dir));
  kit_stop_keep(k);
  umount2(dir, MNT_DETACH);
  rmdir(dir);
}

static bool has_met_faults(kit *k, const char *name) {
  char path[300];
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  path_of(k, name, "", path);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_prepare_v2(db, "SELECT 1 FROM meta WHERE name='faults'", -1, &stmt,
                     NULL);
  int code = sqlite3_step(stmt);
  assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return code == SQLITE_ROW;
}

/* One that is much smaller than the log may become elsewhere: the log does not
 * take the room of the data. */
static void a_small_disk_is_enough(void **state) {
  kit *k = kit_start(state);
  if (!own_mounts || mount("tmpfs", k->dir, "tmpfs", 0, "size=4m")) {
    print_message("not tried: this program may not mount\n");
    kit_stop(k);
    return;
  }
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "little");
  ends_well(k, s, "little");
  assert_false(has_met_faults(k, "little"));
  kit_close(s);
  char dir[64];
  memcpy(dir, k->dir, sizeof(dir));
  kit_stop_keep(k);
  umount2(dir, MNT_DETACH);
  rmdir(dir);
}

/* --- the file -------------------------------------------------------- */
static void refused(kit *k, const char *name, rt_err code, const char *words) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  rt_session *s = NULL;
  rt_report *report = NULL;
  o.name = name;
  o.dir = k->dir;
  rt_err rc = rt__session_open(&s, k->engine, &o, &why);
  if (rc != code || !strstr(why.message, words) || !strstr(why.message, name)) {
    fail_msg("%s: %d %s", name, rc, why.message);
  }
  assert_int_equal(rt_report_open(&report, k->dir, name, &why), code);
  assert_non_null(strstr(why.message, words));
}

static void write_text(const char *path, const char *text, int times) {
  FILE *f = fopen(path, "we");
  assert_non_null(f);
  for (int i = 0; i < times; i++) fputs(text, f);
  fclose(f);
}

static void write_sql(const char *path, const char *sql) {
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static long size_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

static void foreign_files_are_left_alone(void **state) {
  kit *k = kit_start(state);
  char path[300], other[300];
  path_of(k, "text", "", path);
  write_text(path, "this is no database\n", 1000);
  refused(k, "text", RT_EINVAL, "not a session file");
  assert_int_equal(size_of(path), 20000);
  path_of(k, "short", "", path);
  write_text(path, "hello\n", 1);
  refused(k, "short", RT_EINVAL, "not a session file");
  assert_int_equal(size_of(path), 6);
  path_of(k, "other", "", path);
  write_sql(path, "CREATE TABLE mail(text)");
  long size = size_of(path);
  refused(k, "other", RT_EINVAL, "is not a session file");
  assert_int_equal(size_of(path), size);
  kit_close(kit_open(k, "future", NULL));
  path_of(k, "future", "", path);
  write_sql(path, "PRAGMA user_version=77");
  refused(k, "future", RT_EINVAL, "has format 77");
  path_of(k, "folder", "", path);
  assert_int_equal(mkdir(path, 0700), 0);
  refused(k, "folder", RT_EINVAL, "is not a session file");
  rmdir(path);
  path_of(k, "future", "", other);
  path_of(k, "linked", "", path);
  assert_int_equal(symlink(other, path), 0);
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = NULL;
  o.name = "linked";
  o.dir = k->dir;
  assert_int_not_equal(rt__session_open(&s, k->engine, &o, NULL), RT_OK);
  kit_stop(k);
}

static void overwrite(const char *path, long at, const void *data, size_t n) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, n, at), n);
  close(fd);
}

static void read_bytes(const char *path, long at, void *data, size_t n) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(pread(fd, data, n, at), n);
  close(fd);
}

/* Damage in the first page is told at once, damage of a table when it is met;
 * with the bytes put back the session is as it was. */
static void a_damaged_file_is_told(void **state) {
  static char kept[3 * 4096], junk[3 * 4096];
  kit *k = kit_start(state);
  char path[300];
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "damaged");
  kit_close(s);
  path_of(k, "damaged", "", path);
  memset(junk, 0x5a, sizeof(junk));
  read_bytes(path, 0, kept, 4096);
  overwrite(path, 100, junk, 3000);
  refused(k, "damaged", RT_EINVAL, "damaged");
  overwrite(path, 0, kept, 4096);
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_prepare_v2(db,
                     "SELECT rootpage FROM sqlite_schema WHERE name='rejected'",
                     -1, &stmt, NULL);
  assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
  long page = sqlite3_column_int(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  read_bytes(path, (page - 1) * 4096, kept, 4096);
  overwrite(path, (page - 1) * 4096, junk, 4096);
  static const char *const rules[] = {"!bad"};
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  o.scope = rules;
  o.scope_count = 1;
  s = kit_open(k, "damaged", &o);
  KIT_UNTIL(kit_dispatch(s, "node", "bad") < 0);
  KIT_UNTIL(fault_says(s, "the file is damaged"));
  overwrite(path, (page - 1) * 4096, kept, 4096);
  KIT_UNTIL(kit_dispatch(s, "node", "bad") == RT_OUT_OF_SCOPE);
  ends_well(k, s, "damaged");
  kit_close(s);
  kit_stop(k);
}

/* Moved away and back; another session's in its place; its log removed. */
static void a_lost_file_is_waited_for(void **state) {
  kit *k = kit_start(state);
  char path[300], away[300], log[300], other[300];
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  kit_close(in_the_middle(k, "other"));
  rt_session *s = in_the_middle(k, "lost");
  int64_t before = kit_assets(k, "lost");
  path_of(k, "lost", "", path);
  path_of(k, "lost", "-wal", log);
  path_of(k, "other", "", other);
  snprintf(away, sizeof(away), "%s/away", k->dir);
  assert_int_equal(rename(path, away), 0);
  KIT_UNTIL(fault_says(s, "is gone"));
  assert_int_equal(rename(other, path), 0);
  KIT_UNTIL(fault_says(s, "was replaced by another"));
  assert_int_equal(rename(path, other), 0);
  assert_int_equal(rename(away, path), 0);
  KIT_UNTIL(kit_dispatch(s, "node", "1") >= 0);
  assert_true(kit_assets(k, "lost") >= before);
  before = kit_assets(k, "lost");
  assert_int_equal(unlink(log), 0);
  KIT_UNTIL(access(log, F_OK) == 0); /* noticed, and opened anew */
  ends_well(k, s, "lost");
  assert_true(kit_assets(k, "lost") >= before);
  kit_close(s);
  s = kit_open(k, "other", NULL);
  ends_well(k, s, "other");
  kit_close(s);
  kit_stop(k);
}

static bool is_paused(rt_session *s) {
  rt_value *stats = kit_stats(s);
  bool paused =
      rt_view_bool(rt_view_get(rt_value_view(stats), "paused"), false);
  rt_value_unref(stats);
  return paused;
}

/* What the user says while a fault lasts holds afterwards, both ways. */
static void pausing_during_a_fault_counts(void **state) {
  kit *k = kit_start(state);
  char path[300], away[300];
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = in_the_middle(k, "said");
  path_of(k, "said", "", path);
  snprintf(away, sizeof(away), "%s/away", k->dir);
  for (int pause = 1; pause >= 0; pause--) {
    assert_int_equal(rename(path, away), 0);
    KIT_UNTIL(fault_says(s, "is gone"));
    if (pause) {
      rt_session_pause(s);
    } else {
      rt_session_resume(s);
    }
    assert_true(fault_says(s, "is gone")); /* it has come by now */
    assert_int_equal(rename(away, path), 0);
    KIT_UNTIL(!fault_says(s, "is gone"));
    assert_int_equal(is_paused(s), pause);
  }
  ends_well(k, s, "said");
  kit_close(s);
  kit_stop(k);
}

/* Nothing is open after the fault: who began to wait during it is told. */
static void on_waited(rt_err code, const rt_error *err, rt_value *result,
                      void *arg) {
  (void)err;
  rt_value_unref(result);
  atomic_store((atomic_int *)arg, code == RT_OK ? 1 : -1);
}

static void waiting_ends_when_nothing_was_taken(void **state) {
  kit *k = kit_start(state);
  atomic_int waited = 0;
  kit_cap(k, "slow", (kit_opts){.fn = slow});
  rt_session *s = kit_open(k, "idle", NULL);
  kit_dispatch(s, "node", "9001");
  kit_wait(s);
  disk_is(DISK_FULL);
  KIT_UNTIL(kit_dispatch(s, "node", "9002") < 0);
  rt_session_wait_async(s, on_waited, &waited);
  disk_is(DISK_WELL);
  KIT_UNTIL(atomic_load(&waited) == 1);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  own_mounts = unshare(CLONE_NEWNS) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_full_disk_is_waited_for),
      cmocka_unit_test(errors_of_the_disk_are_waited_for),
      cmocka_unit_test(what_cannot_be_read_is_told),
      cmocka_unit_test(what_cannot_be_written_is_told),
      cmocka_unit_test(a_disk_that_often_fails),
      cmocka_unit_test(a_small_file_system_is_full),
      cmocka_unit_test(a_small_disk_is_enough),
      cmocka_unit_test(foreign_files_are_left_alone),
      cmocka_unit_test(a_damaged_file_is_told),
      cmocka_unit_test(a_lost_file_is_waited_for),
      cmocka_unit_test(pausing_during_a_fault_counts),
      cmocka_unit_test(waiting_ends_when_nothing_was_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
