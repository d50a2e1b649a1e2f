/* support/lost_kit.h - C code of scripts that does not return until it may, and
 * the workers that are lost by it. SPDX-License-Identifier: MIT */
#ifndef RT_TEST_LOST_KIT_H
#define RT_TEST_LOST_KIT_H

#include <stdbool.h>
#include <uv.h>

#include "rt/process.h"

#define PATIENCE_NS 60000000000ull

typedef struct trap {
  uv_mutex_t lock;
  uv_cond_t changed;
  int inside, ended; /* who came in; processes that ended without */
  bool open;
} trap;

void trap_init(trap *g);
void trap_open(trap *g);
void trap_deinit(trap *g);
/* Have so many come in? False: a process has ended instead. */
bool trap_await(trap *g, int inside, int ended);
int trap_ended(trap *g);
/* For rt_process_spawn(): counts it as ended. */
void trap_on_end(rt_pid pid, rt_value *result, rt_value *error, void *arg);
/* Lua that waits in a trap; the text is good until the next call. */
const char *call_trap(trap *g);
/* `code` [own], where STUCK stands for that. */
char *with_trap(const char *code, trap *g);

/* Threads that are lost and not back; wait until there are so many. */
unsigned lost_count(rt_runtime *rt);
void wait_lost(rt_runtime *rt, unsigned count);
void wait_lost_least(rt_runtime *rt, unsigned count);

#endif
