/* net/udp.h - a UDP socket.
 *
 * Datagrams stay in the kernel's buffer until somebody waits for one.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_UDP_H
#define RT__NET_UDP_H

#include "net/net.h"

typedef struct rt__udp rt__udp;

/* Somebody who waits to receive or to send. The caller's memory. A receiver
 * finds its datagram in `data`, `size` and `peer` when `fn` is called, or
 * `err`.
 */
typedef struct rt__udp_wait {
  void (*fn)(struct rt__udp_wait *wait);
  void *arg;
  char *data; /* receiving: [own, free()]; sending: what is to be sent */
  size_t size;
  rt__addr peer;
  rt_error err;
  struct rt__udp_wait *next;
} rt__udp_wait;

/* Bound to `host` (as rt__listener_new) and `port`; 0 chooses one. */
rt_err rt__udp_new(rt__udp **out, rt__net *net, const char *host, unsigned port,
                   rt_error *err);
void rt__udp_close(rt__udp *udp); /* idempotent */
/* Counted: the memory goes with the last reference, after the close. */
rt__udp *rt__udp_ref(rt__udp *udp);
void rt__udp_unref(rt__udp *udp);
const rt__addr *rt__udp_address(const rt__udp *udp);

/* `fn` may be called before these return. */
void rt__udp_receive(rt__udp *udp, rt__udp_wait *wait);
void rt__udp_send(rt__udp *udp, rt__udp_wait *wait);
void rt__udp_stop(rt__udp *udp, rt__udp_wait *wait);

#endif
