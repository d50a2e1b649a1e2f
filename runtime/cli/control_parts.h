/* cli/control_parts.h - what the files of the control socket share.
 *
 *   bus thread --events of a trace--> out of a client (guarded by lock) --+
 *   control thread: requests --> verbs --> out of a client ---------------+-->
 * socket
 *
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CONTROL_PARTS_H
#define CLI_CONTROL_PARTS_H

#include <pthread.h>

#include "control.h"

enum {
  CONTROL_CLIENTS = 8,
  CONTROL_OUT_MAX = 8 * 1024 * 1024 /* what a slow reader may leave unread */
};

typedef struct control_client {
  struct control *ctl;
  /* control thread */
  int fd; /* -1: free */
  char *in;
  size_t in_size;
  bool ending; /* close it when all is written */
  double since;
  uint64_t trace; /* subscription, 0: none */
  char *path;     /* of the events it traces */
  /* guarded by the lock of the control */
  char *out;
  size_t out_size, out_room;
  bool lost; /* its reader is too slow */
} control_client;

struct control {
  /* constant */
  cli *c;
  rt_runtime *rt;
  rt_session *session;
  control_stop_fn stop;
  void *arg;
  struct sockaddr_un address;
  int dir_fd, listener, wake;
  pthread_t thread;
  /* guarded by lock, a leaf */
  pthread_mutex_t lock;
  bool quit;
  /* control thread; `out` as above */
  control_client clients[CONTROL_CLIENTS];
};

/* [any thread] One line for the client; takes nothing. */
void control_say(control_client *client, const char *text, size_t size);
/* Do what a request line says; answers are said to the client. */
void control_request(control_client *client, char *line);
/* The trace of a client ends. */
void control_untrace(control_client *client);

#endif
