/* sys/stdin.h - reading standard input without waiting and without changing it.
 *
 * Descriptor 0 is shared with whoever started us (a shell, a pipeline), so it
 * is never made non-blocking: a pipe or terminal is opened again for us alone,
 * a socket is read with MSG_DONTWAIT, and an epoll descriptor that holds it can
 * be given to a loop in its place. SPDX-License-Identifier: MIT */
#ifndef RT__SYS_STDIN_H
#define RT__SYS_STDIN_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct rt__stdin {
  int fd;    /* to read from */
  int epoll; /* readable when fd is; -1: never waits (a file, nothing) */
  bool own, socket;
} rt__stdin;

/* 0 or an errno. */
int rt__stdin_open(rt__stdin *in);
/* Bytes read, 0 at the end, or a negated errno (EAGAIN: not yet). */
ssize_t rt__stdin_read(rt__stdin *in, char *data, size_t size);
void rt__stdin_close(rt__stdin *in);

#endif
