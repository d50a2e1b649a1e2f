/* crash.h - ends this program, as kill -9 does, inside what SQLite does.
 *
 * Both count down from now on, over all databases of the program: the `n`-th
 * write to a file (`torn`: half of it is written), or the beginning of the
 * `n`-th statement, so also between the statements of one transaction.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_TEST_CRASH_H
#define RT_TEST_CRASH_H

#include <stdbool.h>
#include <sys/types.h>

void crash_at_write(long n, bool torn);
void crash_at_statement(long n);

/* In the middle of what did a session's file end? Adds up jobs that had sent
 * something, that waited for a retry or slept, ways to an asset known before.
 */
enum {
  CRASH_MID_SEND,
  CRASH_MID_RETRY,
  CRASH_MID_SNOOZE,
  CRASH_TWICE,
  CRASH_MIDDLES
};
void crash_middles(const char *path, long counts[CRASH_MIDDLES]);

/* This program's own path. */
bool crash_self(char *self, size_t size);
/* Start it with these arguments. */
pid_t crash_begin(char *const argv[]);
/* Answers whether it ended by itself, and well; `may_die`: or was killed. All
 * else, and more than two minutes, fails the test. */
bool crash_end(pid_t pid, bool may_die);
/* A new folder for its files; away with it, and them. */
void crash_folder(char *dir, size_t size);
void crash_remove(const char *dir);

#endif
