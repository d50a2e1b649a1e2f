/* command.h - work for the engine's thread, and the queue it comes through.
 *
 * Any thread posts; the engine's thread takes all there is at once and runs it
 * in order. Calls are the engine's thread's unless marked [any].
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_COMMAND_H
#define RT__DISPATCHER_COMMAND_H

#include "dispatcher/executor.h"

typedef struct rt__cmd rt__cmd;
typedef struct rt__port rt__port;

/* `run` is called once, on the engine's thread, or with `engine` NULL on the
 * poster's when the engine has ended; it frees the command. */
struct rt__cmd {
  rt__cmd *next;
  void (*run)(rt__engine *engine, rt__cmd *cmd);
  rt_session *session; /* [own ref] or NULL */
  size_t bytes;
  bool writes;  /* the session's file: it waits while that is locked */
  bool follows; /* those of its session that wait come before it */
};
/* [any] The queue into the engine; outlives it, by references. */
rt__port *rt__port_new(void);
rt__port *rt__port_ref(rt__port *port);
/* Once, before it is used: the loop that callbacks of sessions go to. */
struct rt__host;
void rt__port_set_host(rt__port *port, struct rt__host *host);
struct rt__host *rt__port_host(const rt__port *port);
void rt__port_unref(rt__port *port);
void rt__port_post(rt__port *port, rt__cmd *cmd);
/* A zeroed command of `size` bytes; takes a reference to the session. */
void *rt__cmd_new(size_t size, void (*run)(rt__engine *, rt__cmd *),
                  rt_session *session);
void rt__cmd_free(void *cmd);
/* [any] Is the intake beyond its bounds? */
bool rt__port_full(rt__port *port);
/* Engine's thread: what was posted, waiting until `deadline_ns`. */
rt__cmd *rt__port_take(rt__port *port, uint64_t deadline_ns);
void rt__port_close(rt__port *port);

#endif
