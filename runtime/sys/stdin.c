/* stdin.c - reading standard input (sys/stdin.h).
 * SPDX-License-Identifier: MIT */
#include "sys/stdin.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same pipe or terminal with a status of its own, or 0. */
static int reopen(mode_t mode) {
  if (!S_ISFIFO(mode) && !S_ISCHR(mode)) return 0;
  int fd =
      open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return fd < 0 ? 0 : fd;
}

int rt__stdin_open(rt__stdin *in) {
  struct stat st;
  struct epoll_event event = {.events = EPOLLIN};
  *in = (rt__stdin){.fd = 0, .epoll = -1};
  if (fstat(0, &st) < 0) return errno;
  if (S_ISREG(st.st_mode)) return 0;
  in->socket = S_ISSOCK(st.st_mode);
  in->fd = reopen(st.st_mode);
  in->own = in->fd != 0;
  in->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (in->epoll < 0) {
    int number = errno;
    rt__stdin_close(in);
    return number;
  }
  /* /dev/null and the like cannot be waited for, and need not be */
  if (epoll_ctl(in->epoll, EPOLL_CTL_ADD, in->fd, &event) < 0) {
    close(in->epoll);
    in->epoll = -1;
  }
  return 0;
}

static bool is_readable(const rt__stdin *in) {
  struct epoll_event event;
  return in->epoll < 0 || epoll_wait(in->epoll, &event, 1, 0) != 0;
}

ssize_t rt__stdin_read(rt__stdin *in, char *data, size_t size) {
  if (!is_readable(in)) return -EAGAIN;
  for (;;) {
    ssize_t n = in->socket ? recv(in->fd, data, size, MSG_DONTWAIT)
                           : read(in->fd, data, size);
    if (n >= 0) return n;
    if (errno == EIO) return 0; /* a terminal that hung up */
    if (errno != EINTR) return -errno;
  }
}

void rt__stdin_close(rt__stdin *in) {
  if (in->epoll >= 0) close(in->epoll);
  if (in->own) close(in->fd);
  *in = (rt__stdin){.fd = -1, .epoll = -1};
}
