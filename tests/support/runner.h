/* support/runner.h - a runtime whose output and log are kept, for C units.
 * SPDX-License-Identifier: MIT */
#ifndef RT_TEST_RUNNER_H
#define RT_TEST_RUNNER_H

#include "rt/process.h"
#include "rt/runtime.h"

typedef struct runner runner;

/* Start one; aborts with the reason when that fails. `workers` 0: 2.
 * `vm_memory` 0: the default. */
runner *runner_new(unsigned workers, uint64_t vm_memory);
/* One whose scripts are unsafe, and whose workers are given up when stuck for
 * `stuck_after` seconds. */
runner *runner_new_unsafe(unsigned workers, double stuck_after);
rt_runtime *runner_runtime(runner *r);
/* Run a script's text as the main process and return its exit code. */
int runner_run(runner *r, const char *code);
/* What was printed (fd 1 and 2 together) or logged until now; the string is
 * good until the next call. */
const char *runner_output(runner *r);
const char *runner_log(runner *r);
/* Wait until the output holds `text`; false after 30 s. */
bool runner_wait(runner *r, const char *text);
bool runner_wait_log(runner *r, const char *text); /* likewise of the log */
void runner_free(runner *r);

#endif
