/* cli/control.h - the socket through which a running session is controlled.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <sys/un.h>

#include "cli.h"
#include "rt/session.h"

typedef struct control control;

/* Somebody asks the run to stop, with this reason; any thread. */
typedef void (*control_stop_fn)(const char *reason, void *arg);

/* Listen for `runtime ctl`; NULL when that cannot be done (told as a warning:
 * the run goes on without). `dir` and `session` must outlive it. */
control *control_start(cli *c, rt_runtime *rt, rt_session *session,
                       const char *dir, control_stop_fn stop, void *arg);
/* Close all connections and remove the socket. NULL is fine. */
void control_end(control *ctl);

/* Where the socket of a session is: an address to bind or connect to. A folder
 * with a long path is reached through `*dir_fd` (else -1), which must stay open
 * as long as the address is used. */
bool control_address(const char *dir, const char *name,
                     struct sockaddr_un *address, int *dir_fd);

/* A connection to that socket. A run that has just taken its session has none
 * yet: as long as somebody has the session open it is waited for, `seconds` at
 * most. -1, and why in `err`. */
int control_connect(const char *dir, const char *name, double seconds,
                    rt_error *err);

/* Longest request: a value of an asset may have 64 KB. */
enum { CONTROL_LINE_MAX = 70000 };

#endif
