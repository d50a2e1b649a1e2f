/* sys/child.h - a child process in a process group of its own.
 *
 * Started with posix_spawn: no signal handler, an empty signal mask, default
 * dispositions, and of our descriptors only the three given. Its end is told by
 * a pidfd; it stays a zombie, its id and group reserved, until
 * rt__child_close(). Loop's thread. SPDX-License-Identifier: MIT */
#ifndef RT__SYS_CHILD_H
#define RT__SYS_CHILD_H

#include <sys/types.h>
#include <uv.h>

#include "rt/status.h"

typedef struct rt__child_spec {
  const char *file;  /* with a "/", or looked up in our PATH */
  char *const *argv; /* argv[0] included, NULL at the end */
  char *const *envp; /* NULL: ours */
  const char *cwd;   /* NULL: ours */
  int stdio[3];      /* -1: /dev/null; stays the caller's */
} rt__child_spec;

typedef struct rt__child rt__child;
struct rt__child {
  pid_t pid; /* 0: none */
  int pidfd; /* -1: this kernel has none, and the timer looks instead */
  bool exited;
  union {
    uv_handle_t handle;
    uv_poll_t poll;
    uv_timer_t timer;
  } as;
  void (*on_exit)(rt__child *child); /* once */
  void (*on_close)(rt__child *child);
};

/* Start it. On failure nothing needs closing. */
rt_err rt__child_spawn(rt__child *child, uv_loop_t *loop,
                       const rt__child_spec *spec,
                       void (*on_exit)(rt__child *child), rt_error *err);
/* Signal the whole group; 0 or an errno. */
int rt__child_kill(rt__child *child, int signal);
/* Once exited: collect it. `*signal` is 0 when it was not killed; then `*code`
 * is its exit code, else 128 + signal. */
void rt__child_reap(rt__child *child, int *code, int *signal);
/* Watch it no more; `on_close` is called later, then its memory is free. */
void rt__child_close(rt__child *child, void (*on_close)(rt__child *child));

#endif
