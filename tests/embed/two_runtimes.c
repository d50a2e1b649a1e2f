/* two_runtimes.c - an embedding program: two runtimes at once, public headers
 * only. Each runs a script; what they print arrives in its own buffer. Compiled
 * as C and as C++. Prints nothing when all is well.
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sink {
  char text[256];
  size_t size;
} sink;

/* Only the main process prints here, so no lock is needed. */
static void on_output(int fd, const char *text, size_t size, void *arg) {
  sink *s = (sink *)arg;
  if (fd != 1) {
    fwrite(text, 1, size, stderr);
    return;
  }
  if (size > sizeof(s->text) - 1 - s->size)
    size = sizeof(s->text) - 1 - s->size;
  memcpy(s->text + s->size, text, size);
  s->size += size;
}

static int die(const char *what, const rt_error *err) {
  fprintf(stderr, "two_runtimes: %s: %s\n", what, err->message);
  return 1;
}

int main(void) {
  static const char code[] = "local name = ... "
                             "who = (who or '') .. name "
                             "print('I am ' .. who) "
                             "require('time').sleep(0.01) "
                             "print(process.pid() ~= nil)";
  const char *names[2] = {"one", "two"};
  rt_runtime *rt[2] = {NULL, NULL};
  sink sinks[2];
  rt_error err;
  int i, round;
  memset(sinks, 0, sizeof(sinks));
  memset(&err, 0, sizeof(err));
  for (i = 0; i < 2; i++) {
    rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
    opts.workers = 1;
    opts.output = on_output;
    opts.output_arg = &sinks[i];
    if (rt_runtime_new(&rt[i], &opts, &err) != RT_OK) return die("new", &err);
  }
  for (round = 0; round < 2; round++)
    for (i = 0; i < 2; i++) {
      rt_script script = RT_SCRIPT_INIT;
      int exit_code = -1;
      char want[64];
      script.code = code;
      script.code_size = sizeof(code) - 1;
      script.name = "=embedded";
      script.args = &names[i];
      script.arg_count = 1;
      sinks[i].size = 0;
      memset(sinks[i].text, 0, sizeof(sinks[i].text));
      if (rt_runtime_run(rt[i], &script, &exit_code, &err) != RT_OK)
        return die("run", &err);
      snprintf(want, sizeof(want), "I am %s\ntrue\n", names[i]);
      if (exit_code != 0 || strcmp(sinks[i].text, want) != 0) {
        fprintf(stderr, "two_runtimes: exit code %d, printed: %s\n", exit_code,
                sinks[i].text);
        return 1;
      }
    }
  for (i = 0; i < 2; i++) rt_runtime_free(rt[i]);
  return 0;
}
