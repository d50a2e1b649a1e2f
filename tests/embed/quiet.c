/* quiet.c - a runtime leaves its host alone: no output, no exit, no signal
 * handler, no mask, no child left behind. Its scripts print, fail, run
 * programs, write to closed connections and call os.exit(). Prints nothing when
 * all is well. SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <rt/rt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNALS 64

static const char script[] =
    "local exec, tcp, log = require('exec'), require('tcp'), require('log')\n"
    "print('printed') io.write('written') io.stderr:write('to stderr')\n"
    "log.error('logged')\n"
    "assert(exec.run('true').code == 0)\n"
    "assert(exec.run('sh', {'-c', 'echo out; echo err >&2; exit 3'}).code == 3)"
    "local server = assert(tcp.listen('127.0.0.1', 0))\n"
    "coroutine.spawn(function()\n"
    "  local peer = server:accept() peer:close() server:close()\n"
    "end)\n"
    "local conn = assert(tcp.connect('127.0.0.1', server:port()))\n"
    "for i = 1, 50 do\n"
    "  if not conn:write(('x'):rep(100000)) then break end\n"
    "end\n"
    "local child = process.spawn_monitored(function() error('a child') end)\n"
    "assert(process.events():receive().from == child)\n"
    "process.spawn(function() while true do end end)\n"
    "os.exit(9)\n";

static int file_size(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (int)info.st_size : -1;
}

static int run(void) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script main_script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  int exit_code = -1;
  opts.workers = 2;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) return -1;
  main_script.code = script;
  main_script.code_size = strlen(script);
  main_script.name = "quiet";
  if (rt_runtime_run(rt, &main_script, &exit_code, &err) != RT_OK)
    exit_code = -2;
  rt_runtime_log(rt, RT_LOG_ERROR, NULL, "to nobody");
  main_script.code = "error('uncaught')";
  main_script.code_size = strlen(main_script.code);
  if (exit_code == 9 &&
      (rt_runtime_run(rt, &main_script, &exit_code, &err) != RT_OK ||
       exit_code != 1))
    exit_code = -3;
  rt_runtime_free(rt);
  return exit_code;
}

static int same_action(const struct sigaction *a, const struct sigaction *b) {
  return a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags;
}

int main(int argc, char **argv) {
  struct sigaction before[SIGNALS + 1], after;
  sigset_t mask_before, mask_after;
  int saved = dup(2), exit_code, i;
  FILE *say = saved >= 0 ? fdopen(saved, "w") : NULL;
  const char *capture = argc > 1 ? argv[1] : "quiet.out";
  if (!say || !freopen(capture, "w", stdout) || dup2(1, 2) < 0) return 2;
  for (i = 1; i <= SIGNALS; i++) sigaction(i, NULL, &before[i]);
  pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
  exit_code = run();
  if (exit_code != 1) {
    fprintf(say, "exit code %d\n", exit_code);
    return 1;
  }
  pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
  for (i = 1; i <= SIGNALS; i++) {
    if (sigaction(i, NULL, &after) == 0 && !same_action(&before[i], &after)) {
      fprintf(say, "the action of signal %d has changed\n", i);
      return 1;
    }
    if (sigismember(&mask_before, i) != sigismember(&mask_after, i)) {
      fprintf(say, "the mask of signal %d has changed\n", i);
      return 1;
    }
  }
  if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) {
    fprintf(say, "a child was left behind\n");
    return 1;
  }
  fflush(stdout);
  if (file_size(capture) != 0) {
    fprintf(say, "something was printed, see %s\n", capture);
    return 1;
  }
  return 0;
}
