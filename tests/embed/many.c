/* many.c - runtimes are created, used and freed many times (argument: how
 * often); descriptors, threads and memory are the same afterwards. Prints
 * nothing when all is well. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <rt/rt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_UP    50
#define MEASURED   500 /* rounds: fewer, or a sanitizer, say nothing */
#define ALLOWED_KB 16384

static int entries(const char *path) {
  DIR *dir = opendir(path);
  int count = 0;
  if (!dir) return -1;
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

static long resident_kb(void) {
  char line[256];
  long kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (!file) return 0;
  while (fgets(line, sizeof(line), file))
    if (sscanf(line, "VmRSS: %ld kB", &kb) == 1) break;
  fclose(file);
  return kb;
}

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
  int rounds = argc > 1 ? atoi(argv[1]) : 1000, i, files = 0, threads = 0;
  long before = 0, after;
  rt_error err = RT_ERROR_INIT;
  for (i = 0; i < rounds; i++) {
    if (i == WARM_UP || (i == 0 && rounds <= WARM_UP)) {
      files = entries("/proc/self/fd");
      threads = entries("/proc/self/task");
      before = resident_kb();
    }
    if (once(i, &err)) {
      fprintf(stderr, "many: round %d: %s\n", i, err.message);
      return 1;
    }
  }
  after = resident_kb();
  if (rounds >= MEASURED && after - before > ALLOWED_KB) {
    fprintf(stderr, "many: %ld KB more after %d rounds\n", after - before,
            rounds);
    return 1;
  }
  if (entries("/proc/self/fd") != files ||
      entries("/proc/self/task") != threads) {
    fprintf(stderr, "many: %d descriptors, %d threads; there were %d and %d\n",
            entries("/proc/self/fd"), entries("/proc/self/task"), files,
            threads);
    return 1;
  }
  return 0;
}
