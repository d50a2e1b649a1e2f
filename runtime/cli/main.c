/* cli/main.c - the program: its command line, its signals, its exit codes.
 *
 * SIGINT, SIGTERM and SIGHUP (unless it is ignored, as under nohup) are blocked
 * in every thread and read by one thread of ours from a signalfd, so that no
 * code ever runs inside a signal handler. What a command wants done about a
 * signal it says with cli_on_signal(). SIGPIPE and SIGXFSZ (a file at its size
 * limit: the write fails) are ignored here and nowhere else.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static const cli_command *const commands[] = {
    &cli_run,    &cli_resume, &cli_sessions, &cli_status,
    &cli_assets, &cli_jobs,   &cli_explain,  &cli_why,
    &cli_plan,   &cli_graph,  &cli_test,     &cli_ctl,
    &cli_diff,   &cli_delete, &cli_repl,     NULL};

static const cli_option global_options[] = {
    {"--unsafe", 0, CLI_FLAG, offsetof(cli_common, unsafe), "",
     "scripts get the whole of Lua (ffi, debug, luv)", 0},
    {"--allow", 0, CLI_TEXT, offsetof(cli_common, allow), "LIST",
     "what scripts may use: of net,fs,exec,env, or none", 0},
    {"--workers", 0, CLI_INTEGER, offsetof(cli_common, workers), "N",
     "worker threads (default: one a core)", 1},
    {"--memory", 0, CLI_SIZE, offsetof(cli_common, memory), "SIZE",
     "above it no new work is started (default: 3/4)", 1},
    {"--resolver", 0, CLI_TEXT, offsetof(cli_common, resolver), "HOST:PORT",
     "the DNS server (default: the system's)", 0},
    {"--log-level", 0, CLI_CHOICE, offsetof(cli_common, log_level),
     "debug|info|warn|error", "least level that is logged (default: info)", 0},
    {"--log-format", 0, CLI_CHOICE, offsetof(cli_common, log_format),
     "text|json", "how log lines look", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

/* --- signals ----------------------------------------------------------- */

struct cli_signals {
  /* constant */
  pthread_t thread;
  int signals, wake, quit;
  /* guarded by lock, which is held while the handler runs: it only asks other
   * threads for something and returns */
  pthread_mutex_t lock;
  cli_signal_fn fn;
  void *arg;
  unsigned count;
};

static void deliver(struct cli_signals *s, int signo) {
  pthread_mutex_lock(&s->lock);
  if (signo) s->count++;
  if (s->fn) {
    s->fn(signo, s->count, s->arg);
  } else if (signo) {
    _exit(128 + signo);
  }
  pthread_mutex_unlock(&s->lock);
}

static void *watch_signals(void *arg) {
  struct cli_signals *s = arg;
  for (;;) {
    struct signalfd_siginfo info;
    uint64_t ticks;
    struct pollfd fds[] = {
        {s->signals, POLLIN, 0}, {s->wake, POLLIN, 0}, {s->quit, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0) continue;
    if (fds[2].revents) return NULL;
    if (fds[0].revents && read(s->signals, &info, sizeof(info)) > 0) {
      deliver(s, (int)info.ssi_signo);
    }
    if (fds[1].revents && read(s->wake, &ticks, sizeof(ticks)) > 0) {
      deliver(s, 0);
    }
  }
}

static bool is_ignored(int signo) {
  struct sigaction now;
  return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static bool start_signals(struct cli_signals *s) {
  sigset_t set;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (!is_ignored(SIGHUP)) sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_mutex_init(&s->lock, NULL);
  s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  s->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return s->signals >= 0 && s->wake >= 0 && s->quit >= 0 &&
         pthread_create(&s->thread, NULL, watch_signals, s) == 0;
}

/* A thousand jobs that wait at once need more than the usual 1,024. */
static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void poke(int fd) {
  uint64_t one = 1;
  ssize_t n = write(fd, &one, sizeof(one));
  (void)n; /* fails only when it is signaled already */
}

static void stop_signals(struct cli_signals *s) {
  poke(s->quit);
  pthread_join(s->thread, NULL);
  close(s->signals);
  close(s->wake);
  close(s->quit);
  pthread_mutex_destroy(&s->lock);
}

void cli_on_signal(cli *c, cli_signal_fn fn, void *arg) {
  struct cli_signals *s = c->signals;
  pthread_mutex_lock(&s->lock);
  s->fn = fn;
  s->arg = arg;
  pthread_mutex_unlock(&s->lock);
}

void cli_wake(cli *c) {
  poke(c->signals->wake);
}

/* --- messages ---------------------------------------------------------- */

static void say(cli *c, const char *fmt, va_list args) {
  char *text = NULL;
  if (vasprintf(&text, fmt, args) < 0) return;
  console_say(&c->console, "runtime: %s\n", text);
  free(text);
}

int cli_usage(cli *c, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  say(c, fmt, args);
  va_end(args);
  return EXIT_USAGE;
}

int cli_fail(cli *c, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  say(c, fmt, args);
  va_end(args);
  return EXIT_FAILED;
}

static void print_help(FILE *out) {
  fputs("runtime - Lua processes, an event bus and durable sessions of work\n\n"
        "usage:\n"
        "  runtime [OPTIONS] SCRIPT.lua [ARG...]   run a script ('-': from "
        "standard input)\n"
        "  runtime [OPTIONS] -e CODE [ARG...]      run a chunk\n"
        "  runtime COMMAND ...                     see 'runtime COMMAND "
        "--help'\n\ncommands:\n",
        out);
  for (const cli_command *const *at = commands; *at; at++) {
    fprintf(out, "  %-9s %s\n", (*at)->name, (*at)->summary);
  }
  fputs("\noptions, before the script or command:\n", out);
  cli_print_options(out, global_options);
  fputs("      --help, --version\n\n"
        "exit codes: 0 finished, 1 failed, 2 wrong usage, 3 stopped and can be "
        "resumed,\n4 finished with failed jobs, 130/143 on a second signal\n",
        out);
}

static void print_command_help(const cli_command *command, FILE *out) {
  fprintf(out, "usage: runtime %s %s\n\n%s\n\noptions:\n", command->name,
          command->synopsis, command->summary);
  cli_print_options(out, command->options);
  fputs("  -h, --help\n", out);
}

/* --- which command ----------------------------------------------------- */

static bool wants_help(int argc, char **argv) {
  for (int i = 0; i < argc && strcmp(argv[i], "--"); i++) {
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
  }
  return false;
}

static int run_command(cli *c, const cli_command *command, int argc,
                       char **argv) {
  if (wants_help(argc, argv)) {
    print_command_help(command, stdout);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
  }
  return command->run(c, argc, argv);
}

/* A word that is no file and does not look like the name of one? */
static bool is_bare_word(const char *word) {
  struct stat st;
  return strcmp(word, "-") && !strpbrk(word, "/.") && stat(word, &st) != 0;
}

/* The command it may be meant for, or NULL. */
static const char *meant_command(const char *word) {
  const char *names[32];
  size_t count = 0;
  if (!is_bare_word(word)) return NULL;
  for (const cli_command *const *at = commands; *at; at++) {
    names[count++] = (*at)->name;
  }
  names[count] = NULL;
  return cli_nearest(word, names);
}

static int run_word(cli *c, int argc, char **argv);

/* `runtime help [COMMAND]`. */
static int run_help(cli *c, int argc, char **argv) {
  char *asked[] = {argv[0], (char *)"--help"};
  if (argc == 0) {
    print_help(stdout);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
  }
  for (const cli_command *const *at = commands; *at; at++)
    if (!strcmp((*at)->name, argv[0])) return run_word(c, 2, asked);
  const char *meant = meant_command(argv[0]);
  if (meant)
    return cli_usage(c, "help: no command '%s'; did you mean '%s'?", argv[0],
                     meant);
  return cli_usage(c, "help: no command '%s' (runtime --help)", argv[0]);
}

static int run_word(cli *c, int argc, char **argv) {
  struct stat there;
  if (!strcmp(argv[0], "help") && stat("help", &there) != 0)
    return run_help(c, argc - 1, argv + 1);
  for (const cli_command *const *at = commands; *at; at++) {
    if (!strcmp((*at)->name, argv[0])) {
      return run_command(c, *at, argc - 1, argv + 1);
    }
  }
  const char *meant = meant_command(argv[0]);
  if (meant) {
    return cli_usage(c, "unknown command '%s'; did you mean '%s'?", argv[0],
                     meant);
  }
  if (is_bare_word(argv[0])) {
    return cli_usage(c, "'%s' is no command and no file (runtime --help)",
                     argv[0]);
  }
  return cli_script(c, argc, argv);
}

static int run_rest(cli *c, int argc, char **argv) {
  if (argc < 1) {
    print_help(stderr);
    return EXIT_USAGE;
  }
  return run_word(c, argc, argv);
}

/* -e and --version end the options; everything else is in the table. */
static int special(const char *word) {
  if (!strcmp(word, "-e")) return 'e';
  if (!strcmp(word, "--version") || !strcmp(word, "-v")) return 'v';
  return 0;
}

static int print_version(void) {
  printf("runtime %s\n", rt_version());
  if (!strcmp(rt_luajit(), "packaged"))
    puts("packaged LuaJIT: scripts are not compiled");
  return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* The first argument that is not a global option. */
static int first_special(int argc, char **argv) {
  int i = 0;
  for (; i < argc; i++) {
    if (special(argv[i]) || argv[i][0] != '-' || !argv[i][1]) return i;
    for (const cli_option *o = global_options; o->name; o++) {
      if (!strcmp(argv[i], o->name) && o->kind != CLI_FLAG) i++;
    }
  }
  return i < argc ? i : argc;
}

static int run_program(cli *c, int argc, char **argv) {
  cli_parse parse = {NULL, global_options, &c->common, 0,
                     true, {NULL, 0},      0,          false};
  int head = first_special(argc, argv);
  if (!cli_parse_args(&parse, head, argv, stderr)) return EXIT_USAGE;
  if (parse.help) {
    print_help(stdout);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
  }
  argc -= head;
  argv += head;
  if (argc < 1 || !special(argv[0])) return run_rest(c, argc, argv);
  if (special(argv[0]) == 'v') return print_version();
  if (argc < 2) return cli_usage(c, "-e needs a value: -e CODE");
  return cli_code(c, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
  struct cli_signals signals = {0};
  cli c = {
      {false, -1, -1, NULL, NULL, NULL, NULL, NULL, false}, {0}, &signals, -1};
  console_init(&c.console);
  raise_descriptors();
  if (!start_signals(&signals)) {
    return cli_fail(&c, "cannot watch signals: %s", strerror(errno));
  }
  int code = run_program(&c, argc - 1, argv + 1);
  stop_signals(&signals);
  console_deinit(&c.console);
  return code;
}
