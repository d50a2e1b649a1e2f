/* cli/repl.c - `runtime repl`: a prompt inside a live runtime.
 *
 * The main thread reads lines (editor.c) and hands chunks to an rt_prompt; the
 * signal thread breaks the chunk that runs, or drops the line being typed.
 * Elsewhere than on a terminal the same without prompts: a line reader.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "editor.h"

typedef struct repl {
  cli *c;
  rt_prompt *prompt;
  editor *ed;
  _Atomic bool running; /* a chunk */
  _Atomic int stop;     /* 0, or the exit code that a signal asks for */
  char *text;           /* the chunk so far */
  size_t size;
  int exit_code;
  bool failed; /* the last chunk */
} repl;

static void stop(repl *r, int code) {
  atomic_store(&r->stop, code);
  editor_quit(r->ed);
  rt_prompt_break(r->prompt);
}

static void on_signal(int signo, unsigned count, void *arg) {
  repl *r = arg;
  if (signo == 0) { /* nobody reads what is printed */
    stop(r, EXIT_STOPPED);
  } else if (signo == SIGINT && editor_is_interactive(r->ed)) {
    if (atomic_load(&r->running))
      rt_prompt_break(r->prompt);
    else
      editor_cancel(r->ed);
  } else {
    if (atomic_load(&r->stop) && count > 1) _exit(128 + signo);
    stop(r, 128 + signo);
  }
}

static char *complete(const char *text, size_t size, void *arg) {
  repl *r = arg;
  char *words = NULL, *copy = NULL;
  if (rt_prompt_complete(r->prompt, text, size, &words, NULL) == RT_OK)
    copy = strdup(words);
  rt_free(words);
  return copy;
}

/* --- chunks ----------------------------------------------------------------
 */

static bool add_line(repl *r, const char *line) {
  size_t more = strlen(line);
  char *grown = realloc(r->text, r->size + more + 2);
  if (!grown) return false;
  r->text = grown;
  if (r->size > 0) r->text[r->size++] = '\n';
  memcpy(r->text + r->size, line, more + 1);
  r->size += more;
  return true;
}

static bool is_blank(const char *text) {
  return !text || strspn(text, " \t\r\n") == strlen(text);
}

static void forget_chunk(repl *r) {
  free(r->text);
  r->text = NULL;
  r->size = 0;
}

/* Answers false at the end of the program. */
static bool run_chunk(repl *r) {
  if (is_blank(r->text)) {
    forget_chunk(r);
    return true;
  }
  atomic_store(&r->running, true);
  rt_prompt_outcome outcome = rt_prompt_run(r->prompt, r->text, r->size,
                                            editor_width(r->ed), &r->exit_code);
  atomic_store(&r->running, false);
  r->failed = outcome != RT_PROMPT_DONE;
  if (outcome == RT_PROMPT_MORE) return true;
  editor_remember(r->ed, r->text);
  forget_chunk(r);
  if (outcome == RT_PROMPT_EXIT) r->failed = false;
  return outcome != RT_PROMPT_EXIT && outcome != RT_PROMPT_CLOSED;
}

/* The input has ended: what is left of it is no chunk. Answers whether to read
 * on: on a terminal this only gives up what was begun. */
static bool at_end(repl *r) {
  if (r->size == 0 || atomic_load(&r->stop)) return false;
  console_say(&r->c->console, "the chunk is not complete\n");
  forget_chunk(r);
  return editor_is_interactive(r->ed);
}

static void read_chunks(repl *r) {
  char *line;
  for (bool go = true; go && !atomic_load(&r->stop);) {
    switch (editor_read(r->ed, r->size > 0 ? ">> " : "> ", &line)) {
    case EDITOR_LINE:
      go = add_line(r, line) && run_chunk(r);
      break;
    case EDITOR_CANCELED:
      forget_chunk(r);
      break;
    case EDITOR_END:
      go = at_end(r);
      break;
    }
    free(line);
  }
}

/* --- the command ------------------------------------------------------------
 */

static int finish(repl *r) {
  int code = r->exit_code;
  int lost = atomic_load(&r->c->console.out_error);
  if (code == EXIT_DONE && r->failed && !editor_is_interactive(r->ed))
    code = EXIT_FAILED;
  if (atomic_load(&r->stop)) code = atomic_load(&r->stop);
  if (lost && code == EXIT_DONE)
    code =
        cli_fail(r->c, "cannot write to standard output: %s", strerror(lost));
  return code;
}

static int run(repl *r) {
  r->ed = editor_new(&r->c->console, complete, r);
  if (!r->ed) return cli_fail(r->c, "no memory for a prompt");
  if (editor_is_interactive(r->ed))
    console_say(&r->c->console,
                "runtime %s: Ctrl-C stops what runs, Ctrl-D ends\n",
                rt_version());
  cli_on_signal(r->c, on_signal, r);
  read_chunks(r);
  cli_on_signal(r->c, NULL, NULL);
  int code = finish(r);
  editor_free(r->ed);
  forget_chunk(r);
  return code;
}

static int repl_run(cli *c, int argc, char **argv) {
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  repl r = {.c = c};
  int code;
  if (argc > 0) return cli_usage(c, "repl: unexpected argument '%s'", argv[0]);
  if (cli_check_common(c, &c->common)) return EXIT_USAGE;
  if (cli_runtime(c, &rt, NULL, false, &err) != RT_OK)
    return cli_fail(c, "%s", err.message);
  if (rt_prompt_open(&r.prompt, rt, &err) == RT_OK)
    code = run(&r);
  else
    code = cli_fail(c, "%s", err.message);
  rt_prompt_close(r.prompt);
  rt_runtime_stop(rt, 0);
  rt_runtime_free(rt);
  return code;
}

static const cli_option options[] = {{NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

const cli_command cli_repl = {"repl", "",
                              "a prompt inside a live runtime: chunks of Lua, "
                              "one after the other",
                              options, repl_run};
