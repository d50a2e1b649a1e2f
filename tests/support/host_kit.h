/* host_kit.h - a program's own libuv loop, for tests: what does not come within
 * 30 s ends the test. SPDX-License-Identifier: MIT */
#ifndef HOST_KIT_H
#define HOST_KIT_H

#include <uv.h>

#include "rt/rt.h"

#define HOST_LIMIT_MS 30000

typedef struct host_loop {
  uv_loop_t loop;
  uv_timer_t limit;
  uv_thread_t thread;
} host_loop;

void host_loop_open(host_loop *l);
/* Runs what is left; no handle of others may be. */
void host_loop_close(host_loop *l);
/* Run until there are so many. */
void host_loop_until(host_loop *l, const unsigned *count, unsigned at_least);
/* Is this the loop's thread? */
bool host_loop_here(const host_loop *l);

/* A value [own] from JSON text. */
rt_value *host_json(const char *text);
/* A session's folder: made (dir has 64 bytes), removed. */
void host_make_dir(char *dir);
void host_remove_dir(const char *dir);

#endif
