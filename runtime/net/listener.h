/* net/listener.h - a listening TCP socket.
 *
 * Connections are accepted only while somebody waits for one; the others stay
 * in the kernel's backlog. SPDX-License-Identifier: MIT */
#ifndef RT__NET_LISTENER_H
#define RT__NET_LISTENER_H

#include "net/net.h"

typedef struct rt__listener rt__listener;

/* Somebody who waits to accept. The caller's memory; `fd` and `peer` or, when
 * `fd` is -1, `err` are filled before `fn` is called. The fd is the callee's.
 */
typedef struct rt__acceptor {
  void (*fn)(struct rt__acceptor *acceptor);
  void *arg;
  int fd;
  rt__addr peer;
  rt_error err;
  struct rt__acceptor *next;
} rt__acceptor;

/* `host` is a literal address, a name in /etc/hosts, or "" or "*" for any;
 * `backlog` 0 is a good one. */
rt_err rt__listener_new(rt__listener **out, rt__net *net, const char *host,
                        unsigned port, int backlog, rt_error *err);
/* Idempotent; who waits gets RT_ECLOSED. */
void rt__listener_close(rt__listener *listener);
/* Counted: the memory goes with the last reference, after the close. */
rt__listener *rt__listener_ref(rt__listener *listener);
void rt__listener_unref(rt__listener *listener);
/* Wait for the next connection; `fn` may be called before this returns. */
void rt__listener_accept(rt__listener *listener, rt__acceptor *acceptor);
void rt__listener_stop(rt__listener *listener, rt__acceptor *acceptor);
/* Where it listens. */
const rt__addr *rt__listener_address(const rt__listener *listener);

/* A bound socket of `type`, and where it is bound; -1 and `err` when not. */
int rt__net_bind(rt__net *net, int type, const char *host, unsigned port,
                 rt__addr *local, rt_error *err);

#endif
