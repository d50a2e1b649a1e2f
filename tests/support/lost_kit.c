/* lost_kit.c - see lost_kit.h. SPDX-License-Identifier: MIT */
#include "lost_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "process/sched.h"

/* --- C code that does not return until it may ------------------------------
 */

void trap_init(trap *g) {
  uv_mutex_init(&g->lock);
  uv_cond_init(&g->changed);
  g->inside = g->ended = 0;
  g->open = false;
}

static void trap_pass(void *arg) {
  trap *g = arg;
  uv_mutex_lock(&g->lock);
  g->inside++;
  uv_cond_broadcast(&g->changed);
  while (!g->open) uv_cond_wait(&g->changed, &g->lock);
  uv_mutex_unlock(&g->lock);
}

/* Have so many come in? False: a process has ended instead. */
bool trap_await(trap *g, int inside, int ended) {
  uint64_t end = uv_hrtime() + PATIENCE_NS, now = 0;
  uv_mutex_lock(&g->lock);
  while (g->inside < inside && g->ended == ended && (now = uv_hrtime()) < end)
    uv_cond_timedwait(&g->changed, &g->lock, end - now);
  bool all = g->inside >= inside;
  uv_mutex_unlock(&g->lock);
  if (now >= end) fail_msg("a process neither runs nor ends");
  return all;
}

void trap_on_end(rt_pid pid, rt_value *result, rt_value *error, void *arg) {
  trap *g = arg;
  (void)pid;
  rt_value_unref(result);
  rt_value_unref(error);
  uv_mutex_lock(&g->lock);
  g->ended++;
  uv_cond_broadcast(&g->changed);
  uv_mutex_unlock(&g->lock);
}

int trap_ended(trap *g) {
  uv_mutex_lock(&g->lock);
  int ended = g->ended;
  uv_mutex_unlock(&g->lock);
  return ended;
}

void trap_open(trap *g) {
  uv_mutex_lock(&g->lock);
  g->open = true;
  uv_cond_broadcast(&g->changed);
  uv_mutex_unlock(&g->lock);
}

void trap_deinit(trap *g) {
  uv_cond_destroy(&g->changed);
  uv_mutex_destroy(&g->lock);
}

/* Lua that calls trap_pass(g); `text` is good until the next call. */
const char *call_trap(trap *g) {
  static char text[200];
  snprintf(text, sizeof(text),
           "require('ffi').cast('void (*)(void *)', 0x%llxULL)("
           "require('ffi').cast('void *', 0x%llxULL))",
           (unsigned long long)(uintptr_t)trap_pass,
           (unsigned long long)(uintptr_t)g);
  return text;
}

/* In `code`, STUCK stands for that call. */
char *with_trap(const char *code, trap *g) {
  const char *call = call_trap(g), *at;
  size_t room = strlen(code) + 10 * strlen(call) + 1;
  char *made = calloc(1, room);
  if (!made) abort();
  while ((at = strstr(code, "STUCK")) != NULL) {
    strncat(made, code, (size_t)(at - code));
    strcat(made, call);
    code = at + 5;
  }
  return strcat(made, code);
}

/* --- waiting ----------------------------------------------------------------
 */

unsigned lost_count(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  unsigned count = rt->lost_count;
  uv_mutex_unlock(&rt->lock);
  return count;
}

void wait_lost(rt_runtime *rt, unsigned count) {
  uint64_t end = uv_hrtime() + PATIENCE_NS;
  while (lost_count(rt) != count) {
    if (uv_hrtime() > end)
      fail_msg("%u lost threads, not %u", lost_count(rt), count);
    usleep(2000);
  }
}

void wait_lost_least(rt_runtime *rt, unsigned count) {
  uint64_t end = uv_hrtime() + PATIENCE_NS;
  while (lost_count(rt) < count) {
    if (uv_hrtime() > end)
      fail_msg("%u lost threads, not %u", lost_count(rt), count);
    usleep(2000);
  }
}
