/* cli/control_connect.c - from `runtime ctl` to the socket of a running
 * session.
 *
 * A run takes its session first, and listens a moment later; at its end it
 * stops listening a moment before it lets the session go. So while somebody
 * has the session open and nobody listens, that is waited for.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

/* A descriptor, or -1 and *error. */
static int try_connect(const char *dir, const char *name, int *error) {
  struct sockaddr_un address;
  int dir_fd, fd = -1;
  errno = 0;
  if (control_address(dir, name, &address, &dir_fd)) {
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  } else {
    errno = errno ? errno : ENAMETOOLONG;
  }
  bool there =
      fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
  *error = errno;
  if (dir_fd >= 0) close(dir_fd);
  if (there) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static double since(const struct timespec *start) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - start->tv_sec) +
         (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* Nobody listens: why, or false when it may be a moment too early. */
static bool give_up(const char *dir, const char *name, bool late,
                    rt_error *err) {
  int64_t owner = 0;
  rt_err rc = rt_session_owner(dir, name, &owner, err);
  if (rc != RT_OK) return true;
  if (owner == 0) {
    rt_fail(err, RT_ENOTFOUND, "session '%s' does not run in %s", name, dir);
  } else if (late) {
    rt_fail(err, RT_EUNAVAIL,
            "session '%s' is open in process %lld, which takes no commands: "
            "it is just starting or ending, or is no `runtime run`",
            name, (long long)owner);
  }
  return owner == 0 || late;
}

int control_connect(const char *dir, const char *name, double seconds,
                    rt_error *err) {
  const struct timespec moment = {0, 10 * 1000000};
  struct timespec start;
  int error;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    bool late = since(&start) >= seconds;
    int fd = try_connect(dir, name, &error);
    if (fd >= 0) return fd;
    if (error != ENOENT && error != ECONNREFUSED) {
      rt_fail(err, RT_EUNAVAIL, "cannot reach session '%s': %s", name,
              strerror(error));
      return -1;
    }
    if (give_up(dir, name, late, err)) return -1;
    nanosleep(&moment, NULL);
  }
}
