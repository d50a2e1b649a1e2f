/* many.c - runtimes are created, used and freed many times (argument: how
 * often); descriptors, threads and memory are the same afterwards. Prints
 * nothing when all is well. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include <rt/rt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leak.h"

static void on_event(const rt_event *event, void *arg) {
  (void)event;
  ++*(int *)arg;
}

static int once(int round, rt_error *err) {
  static const char code[] = "require('events').send('many', 'round', '1')\n"
                             "local t = {}\n"
                             "for i = 1, 1000 do t[i] = i .. '' end";
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_runtime *rt = NULL;
  int exit_code = 1, heard = 0;
  uint64_t id;
  opts.workers = round % 4 == 0 ? 2 : 1;
  if (rt_runtime_new(&rt, &opts, err) != RT_OK) return 1;
  script.code = code;
  script.code_size = strlen(code);
  script.name = "many";
  if (rt_bus_subscribe(rt_runtime_bus(rt), &id, "many", NULL, on_event, &heard,
                       err) == RT_OK)
    rt_runtime_run(rt, &script, &exit_code, err);
  rt_runtime_free(rt); /* delivers what is queued */
  return exit_code != 0 || heard != 1;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1000, i;
  usage before = {0, 0, 0};
  rt_error err = RT_ERROR_INIT;
  for (i = 0; i < rounds; i++) {
    if (i == warm_up(rounds)) measure(&before);
    if (once(i, &err)) {
      fprintf(stderr, "many: round %d: %s\n", i, err.message);
      return 1;
    }
  }
  return grown("many", &before, rounds);
}
