/* cli/control_address.c - where the socket of a session is.
 *
 * It stands beside the session's file: DIR/NAME.sock. A socket's path has at
 * most 107 bytes; a longer one is reached through a descriptor of its folder,
 * and a name that is long itself is replaced by its hash.
 *
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control.h"

enum { NAME_MAX_PLAIN = 60 };

static uint64_t hash_of(const char *text) {
  uint64_t hash = 14695981039346656037u;
  for (; *text; text++) {
    hash = (hash ^ (unsigned char)*text) * 1099511628211u;
  }
  return hash;
}

bool control_address(const char *dir, const char *name,
                     struct sockaddr_un *address, int *dir_fd) {
  char file[80];
  size_t room = sizeof(address->sun_path);
  *dir_fd = -1;
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  if (strlen(name) <= NAME_MAX_PLAIN) {
    snprintf(file, sizeof(file), "%s.sock", name);
  } else {
    snprintf(file, sizeof(file), ".%016llx.sock",
             (unsigned long long)hash_of(name));
  }
  int n = snprintf(address->sun_path, room, "%s/%s", dir, file);
  if (n > 0 && (size_t)n < room) return true;
  *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*dir_fd < 0) return false;
  n = snprintf(address->sun_path, room, "/proc/self/fd/%d/%s", *dir_fd, file);
  return n > 0 && (size_t)n < room;
}
