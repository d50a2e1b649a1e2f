/* engine_kit.h - an engine with an executor made of a few threads, for tests.
 *
 * What a job does is a function of its capability: kit_fn, run on a thread.
 * Of those that are asked first, match refuses values that begin with "x", and
 * the rate key is the value up to a dot.
 * SPDX-License-Identifier: MIT */
#ifndef ENGINE_KIT_H
#define ENGINE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/executor.h"
#include "dispatcher/session.h"

#define KIT_NODES 2000

typedef struct kit kit;
typedef struct kit_job {
  kit *k;
  rt__order *order;
  char value[256]; /* of its asset */
} kit_job;
/* Does the job's work on a thread of the kit; NULL ends it as completed. */
typedef void (*kit_fn)(kit_job *job, rt__end *end);

typedef struct kit_opts {
  const char *input;  /* default: node */
  const char *output; /* default: node */
  int priority;
  uint32_t max_instances, retries;
  double rate;
  kit_fn fn; /* default: expand */
  bool match;
  const char *rerun, *version;
} kit_opts;

struct kit {
  rt__engine *engine;
  rt_registry *registry;
  rt_bus *bus;
  char dir[64];
  void *pool;
};

kit *kit_start(void **state);
kit *kit_start_in(const char *dir);
void kit_stop(kit *k);      /* and removes the folder */
void kit_stop_keep(kit *k); /* leaves it */
void kit_cap(kit *k, const char *name, kit_opts opts);
/* What a capability registered otherwise does. */
void kit_fn_of(kit *k, const char *name, kit_fn fn);
rt_session *kit_open(kit *k, const char *name, const rt_session_opts *opts);
int kit_dispatch(rt_session *s, const char *class_, const char *value);
void kit_wait(rt_session *s);
/* The reply to a wait that must end well; `arg`, an atomic_int, becomes the
 * number of jobs done. */
void kit_on_waited(rt_err code, const rt_error *err, rt_value *result,
                   void *arg);
rt_value *kit_stats(rt_session *s);
int64_t kit_stat(rt_session *s, const char *name);
int64_t kit_assets(kit *k, const char *session);
void kit_close(rt_session *s);
/* From a job: send one asset, wait for the outcome's text (static). */
const char *kit_send(kit_job *job, const char *class_, const char *value);
void kit_expand(kit_job *job, rt__end *end);
rt_value *kit_error(const char *message, const char *kind, bool retryable);
void kit_never(rt_job *job, void *arg); /* an invoke that is not called */
/* Hang guard, and options of the program. */
void kit_main(int argc, char **argv);
/* Repeat until true; fails the test after a minute. */
#define KIT_UNTIL(cond)                                                        \
  do {                                                                         \
    for (int kit_i = 0; !(cond); kit_i++) {                                    \
      if (kit_i > 12000) fail_msg("never: %s", #cond);                         \
      usleep(5000);                                                            \
    }                                                                          \
  } while (0)
#define KIT_OK(call)                                                           \
  do {                                                                         \
    rt_error kit_err = RT_ERROR_INIT;                                          \
    rt_error *err = &kit_err;                                                  \
    if ((call) != RT_OK) fail_msg("%s: %s", #call, kit_err.message);           \
  } while (0)

#endif
