/* sys/exec.h - run a program: feed it, collect what it prints, see it end.
 *
 * It is over when the program has ended and its output is closed, by all who
 * hold it; or, once killed, when it has ended. Loop's thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__SYS_EXEC_H
#define RT__SYS_EXEC_H

#include "base/buffer.h"
#include "sys/child.h"

typedef struct rt__exec rt__exec;
struct rt__exec {
  /* set by the caller, zeroed otherwise */
  const char *input; /* for its standard input, alive until the end; or NULL */
  size_t input_size;
  size_t max; /* bytes of each output that are kept; more is a failure */
  /* Instead of collecting, for each `fd` (1, 2) whose bit is set in `forwards`.
   */
  unsigned forwards;
  void (*forward)(rt__exec *exec, int fd, const char *data, size_t size);
  void (*done)(rt__exec *exec); /* once; then the memory may go */
  void *arg;
  /* results, good when done */
  int code, signal;
  rt__buf out[2];
  rt_err rc;
  rt_error error;
  /* private */
  rt__child child;
  uv_pipe_t pipe[3];
  uv_write_t write;
  bool pipe_open[3], killed, finished;
  unsigned handles;
};

/* Start it; spec->stdio is filled in here. On failure `done` is not called. */
rt_err rt__exec_start(rt__exec *exec, uv_loop_t *loop, rt__child_spec *spec,
                      rt_error *err);
/* Kill the whole group; it is done soon. Idempotent. */
void rt__exec_kill(rt__exec *exec);
/* Release the results. */
void rt__exec_deinit(rt__exec *exec);

#endif
