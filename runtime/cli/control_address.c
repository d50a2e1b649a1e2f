/* cli/control_address.c - where the socket of a session is.
 *
 * It stands beside the session's file: DIR/NAME.sock. A socket's path has at
 * most 107 bytes; a longer one is reached through a descriptor of its folder,
 * and a name that is long itself is replaced by its hash.
 *
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control.h"

bool control_address(const char *dir, const char *name,
                     struct sockaddr_un *address, int *dir_fd) {
  char *path = rt_session_socket(dir, name);
  size_t room = sizeof(address->sun_path);
  int n = -1;
  *dir_fd = -1;
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  if (!path) return false;
  if (strlen(path) < room) {
    n = snprintf(address->sun_path, room, "%s", path);
  } else if ((*dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0) {
    n = snprintf(address->sun_path, room, "/proc/self/fd/%d%s", *dir_fd,
                 strrchr(path, '/'));
  }
  rt_free(path);
  return n > 0 && (size_t)n < room;
}
