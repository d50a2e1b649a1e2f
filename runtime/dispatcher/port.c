/* port.c - the queue into the engine's thread.
 *
 *   any thread --post--> [ commands ] --take--> engine (all at once)
 *
 * It never refuses before it is closed: whoever sends waits for the reply, so
 * what is queued is bounded by those who send; rt__port_full() tells callers
 * who do not wait. It outlives the engine by references, so that a late call
 * finds it closed. `lock` is a leaf.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/clock.h"
#include "base/host.h"
#include "dispatcher/internal.h"

#define FULL_COUNT 65536
#define FULL_BYTES (64u << 20)

struct rt__port {
  atomic_uint refs;
  uv_mutex_t lock;
  uv_cond_t wake;
  struct rt__host *host; /* [own ref] constant once sessions open, or NULL */
  /* guarded by lock */
  rt__cmd *first, **last;
  size_t count, bytes;
  bool closed;
};

rt__port *rt__port_new(void) {
  rt__port *port = calloc(1, sizeof(*port));
  if (!port) return NULL;
  if (uv_mutex_init(&port->lock) < 0) goto free_port;
  if (uv_cond_init(&port->wake) < 0) goto destroy_lock;
  atomic_init(&port->refs, 1);
  port->last = &port->first;
  return port;

destroy_lock:
  uv_mutex_destroy(&port->lock);
free_port:
  free(port);
  return NULL;
}

rt__port *rt__port_ref(rt__port *port) {
  atomic_fetch_add(&port->refs, 1);
  return port;
}

void rt__port_unref(rt__port *port) {
  if (!port || atomic_fetch_sub(&port->refs, 1) != 1) return;
  rt__host_unref(port->host);
  uv_cond_destroy(&port->wake);
  uv_mutex_destroy(&port->lock);
  free(port);
}

void rt__port_set_host(rt__port *port, rt__host *host) {
  port->host = rt__host_ref(host);
}

rt__host *rt__port_host(const rt__port *port) {
  return port->host;
}

void rt__port_post(rt__port *port, rt__cmd *cmd) {
  uv_mutex_lock(&port->lock);
  bool closed = port->closed;
  if (!closed) {
    bool empty = port->first == NULL;
    cmd->next = NULL;
    *port->last = cmd;
    port->last = &cmd->next;
    port->count++;
    port->bytes += cmd->bytes;
    if (empty) uv_cond_signal(&port->wake);
  }
  uv_mutex_unlock(&port->lock);
  if (closed) cmd->run(NULL, cmd);
}

bool rt__port_full(rt__port *port) {
  uv_mutex_lock(&port->lock);
  bool full = port->count > FULL_COUNT || port->bytes > FULL_BYTES;
  uv_mutex_unlock(&port->lock);
  return full;
}

rt__cmd *rt__port_take(rt__port *port, uint64_t deadline_ns) {
  uv_mutex_lock(&port->lock);
  while (!port->first) {
    uint64_t now = rt__now_ns();
    if (now >= deadline_ns) break;
    uv_cond_timedwait(&port->wake, &port->lock, deadline_ns - now);
  }
  rt__cmd *list = port->first;
  port->first = NULL;
  port->last = &port->first;
  port->count = port->bytes = 0;
  uv_mutex_unlock(&port->lock);
  return list;
}

void rt__port_close(rt__port *port) {
  uv_mutex_lock(&port->lock);
  port->closed = true;
  uv_mutex_unlock(&port->lock);
}

void *rt__cmd_new(size_t size, void (*run)(rt__engine *, rt__cmd *),
                  rt_session *session) {
  rt__cmd *cmd = calloc(1, size);
  if (!cmd) return NULL;
  cmd->run = run;
  cmd->session = session ? rt_session_ref(session) : NULL;
  cmd->bytes = size;
  return cmd;
}

void rt__cmd_free(void *memory) {
  rt__cmd *cmd = memory;
  rt_session_unref(cmd->session);
  free(cmd);
}
