/* hello.c - the smallest host: run a script, take what it prints.
 *   cc hello.c $(pkg-config --cflags --libs runtime) -o hello && ./hello
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <string.h>

/* Called on a thread of the runtime; the library itself prints nothing. */
static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)arg;
  fwrite(text, 1, size, fd == 1 ? stdout : stderr);
}

int main(int argc, char **argv) {
  static const char code[] = "local name = ...\n"
                             "require('time').sleep('1ms')\n"
                             "print('hello, ' .. (name or 'world'))\n";
  const char *args[1];
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  int exit_code = 1;

  opts.workers = 1;
  opts.output = on_output;
  args[0] = argc > 1 ? argv[1] : "host";
  script.code = code;
  script.code_size = strlen(code);
  script.name = "hello";
  script.args = args;
  script.arg_count = 1;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK ||
      rt_runtime_run(rt, &script, &exit_code, &err) != RT_OK)
    fprintf(stderr, "hello: %s\n", err.message);
  rt_runtime_free(rt);
  return exit_code;
}
