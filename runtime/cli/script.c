/* cli/script.c - `runtime SCRIPT`, `runtime -` and `runtime -e CODE`.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static void on_signal(int signo, unsigned count, void *arg) {
  rt_runtime *rt = arg;
  if (signo == 0) { /* nobody reads what the script prints */
    rt_runtime_interrupt(rt, EXIT_STOPPED);
    rt_runtime_interrupt(rt, EXIT_STOPPED);
    return;
  }
  if (count > 2) _exit(128 + signo);
  rt_runtime_interrupt(rt, 128 + signo);
}

static int run_script(cli *c, const rt_script *script, const char *dir) {
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  int code = EXIT_FAILED;
  if (cli_check_common(c, &c->common)) return EXIT_USAGE;
  if (cli_runtime(c, &rt, dir, false, &err) != RT_OK) {
    return cli_fail(c, "%s", err.message);
  }
  cli_on_signal(c, on_signal, rt);
  if (rt_runtime_run(rt, script, &code, &err) != RT_OK) {
    code = cli_fail(c, "%s", err.message);
  }
  cli_on_signal(c, NULL, NULL);
  rt_runtime_stop(rt, 0);
  rt_runtime_free(rt);
  int lost = atomic_load(&c->console.out_error);
  if (lost && code == EXIT_DONE)
    code = cli_fail(c, "cannot write to standard output: %s", strerror(lost));
  return code;
}

/* All of standard input [own], or NULL with errno. */
static char *read_all(int fd, size_t *size) {
  size_t room = 0;
  char *text = NULL;
  *size = 0;
  for (;;) {
    if (*size == room) {
      room = room ? room * 2 : 65536;
      char *more = realloc(text, room);
      if (!more) break;
      text = more;
    }
    ssize_t n = read(fd, text + *size, room - *size);
    if (n == 0) return text;
    if (n < 0 && errno != EINTR) break;
    if (n > 0) *size += (size_t)n;
  }
  free(text);
  return NULL;
}

static int from_input(cli *c, rt_script *script) {
  size_t size;
  char *code = read_all(0, &size);
  if (!code) return cli_fail(c, "cannot read a script: %s", strerror(errno));
  script->code = code;
  script->code_size = size;
  script->name = "stdin";
  int status = run_script(c, script, ".");
  free(code);
  return status;
}

static int from_file(cli *c, rt_script *script, const char *path) {
  char *dir = strdup(path);
  if (!dir) return cli_fail(c, "out of memory");
  char *slash = strrchr(dir, '/');
  if (slash) *(slash == dir ? slash + 1 : slash) = '\0';
  script->path = path;
  int status = run_script(c, script, slash ? dir : ".");
  free(dir);
  return status;
}

/* argv[0] is the script. */
int cli_script(cli *c, int argc, char **argv) {
  rt_script script = RT_SCRIPT_INIT;
  script.args = (const char *const *)argv + 1;
  script.arg_count = (size_t)argc - 1;
  if (!strcmp(argv[0], "-")) return from_input(c, &script);
  if (access(argv[0], R_OK) != 0) {
    return cli_fail(c, "cannot open %s: %s", argv[0], strerror(errno));
  }
  return from_file(c, &script, argv[0]);
}

/* argv[0] is the code. */
int cli_code(cli *c, int argc, char **argv) {
  rt_script script = RT_SCRIPT_INIT;
  script.args = (const char *const *)argv + 1;
  script.arg_count = (size_t)argc - 1;
  script.code = argv[0];
  script.code_size = strlen(argv[0]);
  script.name = "(command line)";
  return run_script(c, &script, ".");
}
