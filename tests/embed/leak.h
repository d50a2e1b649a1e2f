/* leak.h - what a program has in use: descriptors, threads, memory.
 * SPDX-License-Identifier: MIT */
#ifndef LEAK_H
#define LEAK_H

#include <dirent.h>
#include <stdio.h>
#include <time.h>

#define WARM_UP    50  /* rounds before the first measure, at most */
#define MEASURED   500 /* rounds: fewer, or a sanitizer, say nothing */
#define ALLOWED_KB 16384

typedef struct usage {
  int files, threads;
  long kb;
} usage;

/* What is made once in a program's life, as libuv's pipe for signals, is there
 * after the first round. */
static int warm_up(int rounds) {
  return rounds > WARM_UP ? WARM_UP : 1;
}

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

static void measure(usage *u) {
  u->files = entries("/proc/self/fd");
  u->threads = entries("/proc/self/task");
  u->kb = resident_kb();
}

/* A thread that was joined is in the system's list for a moment longer. */
static void measure_again(usage *now, const usage *before) {
  const struct timespec moment = {0, 1000000};
  int tries = 0;
  measure(now);
  while (now->threads > before->threads && tries++ < 30000) {
    nanosleep(&moment, NULL);
    measure(now);
  }
}

/* After so many rounds: 1, which is told, when there is more than before. */
static int grown(const char *who, const usage *before, int rounds) {
  usage now;
  measure_again(&now, before);
  if (rounds >= MEASURED && now.kb - before->kb > ALLOWED_KB) {
    fprintf(stderr, "%s: %ld KB more after %d rounds\n", who,
            now.kb - before->kb, rounds);
    return 1;
  }
  if (now.files == before->files && now.threads <= before->threads) return 0;
  fprintf(stderr, "%s: %d descriptors, %d threads; there were %d and %d\n", who,
          now.files, now.threads, before->files, before->threads);
  return 1;
}

#endif
