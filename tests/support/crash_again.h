/* crash_again.h - one life of a session whose work runs again while assets come
 * and go (tests/c/test_crash_again.c).
 *
 * A life opens the session, which begins a run or goes on with one, appends and
 * deletes assets of the class extra meanwhile, and waits for the end of the
 * run; or it prunes the file. What it does is in DIR/log, a line of AGAIN_LINE
 * bytes each: LIFE WHAT a b c. WHAT is J: a job (its capability, its asset's
 * value and number); A, D or P: about to append, delete or prune; a, d or p: it
 * has (a: extra, number, whether it was new); n: there was none of them, c: a
 * job of it was running.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_TEST_CRASH_AGAIN_H
#define RT_TEST_CRASH_AGAIN_H

#include <stdbool.h>

#define AGAIN_NAME   "again"
#define AGAIN_NODES  100
#define AGAIN_LEAVES 2300 /* more than are put aside in one transaction */
#define AGAIN_EXTRAS 8
#define AGAIN_OPS    10 /* appends and deletions of a life */
#define AGAIN_GROUP  3  /* keys that are pruned at once, at most */
#define AGAIN_LINE   64 /* a page has room for a whole number: none is cut */

enum { NODE, LEAF, SPREADER, EXTRA, CLASSES };
extern const char *const again_classes[CLASSES];

enum { EARLY, SLEEPY, LATE, ONCE, DAILY, FAN, OFTEN, KEEP, KEEP_AGAIN, CAPS };
typedef struct again_cap {
  const char *name, *input, *output, *rerun;
  int priority, class_;
} again_cap;
extern const again_cap again_caps[CAPS];
bool again_always(int cap);

/* How a life ends early: killed from outside, at the n-th write, in the middle
 * of it, at the n-th statement (n 0: it does not). */
enum { KILLED, AT_WRITE, TORN_WRITE, AT_STATEMENT, PRUNE_WRITE, PRUNE, HOWS };
enum {
  FIRST = 1,
  QUIET = 2,
  WIDE = 4
}; /* dispatches seeds; no extras; leaves */

typedef struct again_life {
  const char *dir;
  long seed, n;
  int life, how, flags;
} again_life;
/* Answers the exit code. */
int again_live(const again_life *l);

/* The nodes that a plain loop finds. */
void again_closure(long seed, bool in[AGAIN_NODES + 1]);

#endif
