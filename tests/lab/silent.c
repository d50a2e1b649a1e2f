/* tests/lab/silent.c - a host that never answers.
 *
 * Listens on each ADDRESS:PORT given, with a backlog that it fills up itself,
 * so that the kernel drops every further connection request without a word.
 * Writes "ready" to standard output, then waits to be killed.
 *
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int parse(const char *text, struct sockaddr_in *out) {
  char host[64];
  const char *colon = strrchr(text, ':');
  size_t size = colon ? (size_t)(colon - text) : 0;
  if (!colon || size >= sizeof(host)) return -1;
  memcpy(host, text, size);
  host[size] = '\0';
  memset(out, 0, sizeof(*out));
  out->sin_family = AF_INET;
  out->sin_port = htons((unsigned short)atoi(colon + 1));
  return inet_pton(AF_INET, host, &out->sin_addr) == 1 ? 0 : -1;
}

/* Connect until one attempt is left without an answer for half a second. */
static int fill(const struct sockaddr_in *to) {
  for (int i = 0; i < 64; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
        errno != EINPROGRESS) {
      return -1;
    }
    struct pollfd wait = {fd, POLLOUT, 0};
    if (poll(&wait, 1, 500) == 0) {
      close(fd); /* it is full; our own attempt would only repeat itself */
      return 0;
    }
  }
  return -1;
}

static int be_silent(const char *text) {
  struct sockaddr_in at;
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || parse(text, &at) < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) return -1;
  if (listen(fd, 0) < 0) return -1;
  return fill(&at);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (be_silent(argv[i]) == 0) continue;
    fprintf(stderr, "silent: %s: %s\n", argv[i], strerror(errno));
    return 1;
  }
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
