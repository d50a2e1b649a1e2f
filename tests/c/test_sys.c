/* test_sys.c - files, programs and error numbers, without Lua.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/exec.h"
#include "sys/fs.h"
#include "sys/sys_error.h"

/* --- files -------------------------------------------------------------- */

static rt__fs run(rt__fs fs) {
  rt__fs_run(&fs);
  return fs;
}

static char *path_in(const char *dir, const char *name) {
  char *path = malloc(strlen(dir) + strlen(name) + 2);
  assert_non_null(path);
  strcpy(path, dir);
  strcat(path, "/");
  return strcat(path, name);
}

static void files(void **state) {
  (void)state;
  rt__fs dir = run((rt__fs){.kind = RT__FS_TEMP_DIR,
                            .path = strdup("/tmp/test-sys-XXXXXX")});
  assert_int_equal(dir.code, RT_OK);
  const char *at = dir.data;

  rt__fs fs = run((rt__fs){.kind = RT__FS_WRITE,
                           .path = path_in(at, "b"),
                           .data = strdup("hello"),
                           .size = 5,
                           .mode = 0600});
  assert_int_equal(fs.code, RT_OK);
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_READ, .path = path_in(at, "b"), .max = 5});
  assert_int_equal(fs.code, RT_OK);
  assert_int_equal(fs.size, 5);
  assert_memory_equal(fs.data, "hello", 5);
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_READ, .path = path_in(at, "b"), .max = 4});
  assert_int_equal(fs.code, RT_EINVAL);
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_READ, .path = path_in(at, "no"), .max = 4});
  assert_int_equal(fs.code, RT_ENOTFOUND);
  assert_non_null(strstr(fs.error.message, "/no"));
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_MKDIR,
                    .path = path_in(at, "a/x/y"),
                    .mode = 0700,
                    .parents = true});
  assert_int_equal(fs.code, RT_OK);
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_LIST, .path = strdup(at)});
  assert_int_equal(fs.code, RT_OK);
  assert_int_equal(fs.count, 2);
  assert_string_equal(fs.entries[0].name, "a");
  assert_string_equal(rt__fs_type_name(fs.entries[0].type), "directory");
  assert_string_equal(fs.entries[1].name, "b");
  rt__fs_deinit(&fs);

  fs = run((rt__fs){.kind = RT__FS_REMOVE, .path = strdup(at)});
  assert_int_equal(fs.code, RT_ECONFLICT);
  rt__fs_deinit(&fs);
  fs = run(
      (rt__fs){.kind = RT__FS_REMOVE, .path = strdup(at), .recursive = true});
  assert_int_equal(fs.code, RT_OK);
  rt__fs_deinit(&fs);
  rt__fs_deinit(&dir);
}

static void error_numbers(void **state) {
  (void)state;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt__sys_code(0), RT_OK);
  assert_int_equal(rt__sys_code(ENOENT), RT_ENOTFOUND);
  assert_int_equal(rt__sys_code(-EACCES), RT_EPERM);
  assert_int_equal(rt__sys_fail(&err, ENOENT, "cannot %s", "do"), RT_ENOTFOUND);
  assert_string_equal(err.message, "cannot do: No such file or directory");
}

/* --- programs ----------------------------------------------------------- */

static void note_done(rt__exec *exec) {
  ++*(int *)exec->arg;
}

/* Runs a shell command to its end; `kill_it` at once. */
static rt__exec shell(const char *command, const char *input, bool kill_it) {
  uv_loop_t loop;
  int done = 0;
  char *argv[] = {"sh", "-c", (char *)command, NULL};
  rt__child_spec spec = {.file = "sh", .argv = argv};
  rt__exec exec = {.max = 1000, .done = note_done, .arg = &done};
  exec.input = input;
  exec.input_size = input ? strlen(input) : 0;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(rt__exec_start(&exec, &loop, &spec, NULL), RT_OK);
  if (kill_it) rt__exec_kill(&exec);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(done, 1);
  assert_int_equal(uv_loop_close(&loop), 0);
  return exec;
}

static void programs(void **state) {
  (void)state;
  rt__exec exec = shell("cat; echo err >&2; exit 3", "in", false);
  assert_int_equal(exec.code, 3);
  assert_int_equal(exec.signal, 0);
  assert_int_equal(exec.out[0].size, 2);
  assert_memory_equal(exec.out[0].data, "in", 2);
  assert_int_equal(exec.out[1].size, 4);
  rt__exec_deinit(&exec);

  exec = shell("sleep 600 & sleep 600", NULL, true);
  assert_int_equal(exec.signal, SIGKILL);
  assert_int_equal(exec.code, 128 + SIGKILL);
  rt__exec_deinit(&exec);

  exec = shell("yes", NULL, false);
  assert_int_equal(exec.rc, RT_EFULL);
  rt__exec_deinit(&exec);
}

static void no_program(void **state) {
  (void)state;
  uv_loop_t loop;
  int done = 0;
  rt_error err = RT_ERROR_INIT;
  char *argv[] = {"no-such-program", NULL};
  rt__child_spec spec = {.file = argv[0], .argv = argv};
  rt__exec exec = {.max = 10, .done = note_done, .arg = &done};
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(rt__exec_start(&exec, &loop, &spec, &err), RT_ENOTFOUND);
  assert_non_null(strstr(err.message, "no-such-program"));
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(done, 0);
  assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files),
      cmocka_unit_test(error_numbers),
      cmocka_unit_test(programs),
      cmocka_unit_test(no_program),
  };
  /* as the runtime's threads do */
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
