/* cli/cli.h - what the commands of the program share.
 *
 * Only this folder touches argv, signals, exit codes and the terminal, and it
 * knows no more of the runtime than the public headers tell any embedder.
 * There is one `cli` a program run, on main()'s stack; commands run on the
 * main thread and may be interrupted through cli_on_signal().
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "console.h"
#include "options.h"
#include "rt/rt.h"

typedef struct cli cli;
typedef struct cli_command cli_command;

enum {
  EXIT_DONE = 0,
  EXIT_FAILED = 1,
  EXIT_USAGE = 2,
  EXIT_STOPPED = 3,
  EXIT_FAILED_JOBS = 4
};

/* Options that stand before the script or command, and in run and resume. */
typedef struct cli_common {
  bool unsafe;
  int64_t workers, memory; /* negative: not given */
  const char *resolver;
  const char *allow; /* what scripts may use, or NULL: all */
  const char *log_level;
  const char *log_format;
  const char *record; /* the file that gets what jobs do, or NULL */
  bool dry_run;       /* nothing is invoked */
} cli_common;

struct cli_command {
  const char *name;
  const char *synopsis; /* after the name */
  const char *summary;  /* one line */
  const cli_option *options;
  int (*run)(cli *c, int argc, char **argv);
};

/* Called on the signal thread, one at a time: `signo` is SIGINT or SIGTERM (or
 * 0: somebody called cli_wake), `count` the signals so far. */
typedef void (*cli_signal_fn)(int signo, unsigned count, void *arg);

struct cli {
  cli_common common;
  console console;
  struct cli_signals *signals;
  int record; /* its descriptor, or -1 */
};

/* Who is told of signals; NULL, the default: nobody, and the first signal ends
 * the program. On return the former handler does not run any more. */
void cli_on_signal(cli *c, cli_signal_fn fn, void *arg);
/* [any thread] Call the handler on the signal thread with signo 0. */
void cli_wake(cli *c);

/* "runtime: ..." on stderr; both return the exit code they are named for. */
int cli_usage(cli *c, const char *fmt, ...) RT_PRINTF(2, 3);
int cli_fail(cli *c, const char *fmt, ...) RT_PRINTF(2, 3);

/* A runtime with the common options, logging to the console. What scripts
 * print as fd 1 goes to stderr too when `print_to_stderr`. */
rt_err cli_runtime(cli *c, rt_runtime **out, const char *script_dir,
                   bool print_to_stderr, rt_error *err);
/* Check the values of the common options: 0, or an exit code after a message.
 */
int cli_check_common(cli *c, cli_common *common);
/* An address of a DNS server as HOST:PORT? */
bool cli_is_resolver(const char *text);
/* Words of what scripts may use, between commas? */
bool cli_is_allowed(const char *text);

/* The data folder: the option, else $RUNTIME_DATA, else ".runtime". */
const char *cli_data_dir(const char *option);
/* [A-Za-z0-9._-]+, not beginning with a dot, at most 100 bytes. */
bool cli_is_session_name(const char *name);
/* One for a session that was given none: the time and a random tail, so that
 * names sort by age. */
enum { CLI_FRESH_NAME = 64 };
void cli_fresh_name(char name[CLI_FRESH_NAME]);
/* Is it this text? */
bool cli_view_is(rt_view view, const char *text);

int cli_script(cli *c, int argc, char **argv);
int cli_code(cli *c, int argc, char **argv);

/* The commands, one file each. */
extern const cli_command cli_run, cli_resume, cli_sessions, cli_status,
    cli_assets, cli_jobs, cli_explain, cli_why, cli_plan, cli_graph, cli_repl,
    cli_test, cli_ctl, cli_diff, cli_delete;

#endif
