/* net/dial.h - a TCP connection to a host.
 *
 * The addresses of a name are tried in turn: the next one begins when the one
 * before has failed, or has not answered for a quarter of a second; the first
 * to connect wins. A connection to itself (a free local port may be chosen as
 * both ends) counts as refused. SPDX-License-Identifier: MIT */
#ifndef RT__NET_DIAL_H
#define RT__NET_DIAL_H

#include "net/net.h"

typedef struct rt__dial rt__dial;

/* `fd` is connected, non-blocking and the callee's; or -1 and why. */
typedef void (*rt__dial_fn)(void *arg, int fd, const rt__addr *peer,
                            const rt_error *err);

/* May it go to this address of the name? Else why; addresses it may not go to
 * are passed over. `arg` is good while the dial lasts. */
typedef struct rt__dial_gate {
  bool (*allows)(void *arg, const char *host, const rt__addr *addr,
                 rt_error *err);
  void *arg;
} rt__dial_gate;

/* Begin; `gate` may be NULL. `*out` is good until `fn` was called, which
 * happens once, perhaps before this returns (then *out is NULL); not at all
 * after a failure or rt__dial_cancel(). */
rt_err rt__dial_start(rt__dial **out, rt__net *net, const char *host,
                      unsigned port, const rt__dial_gate *gate, rt__dial_fn fn,
                      void *arg, rt_error *err);
void rt__dial_cancel(rt__dial *dial);

/* A non-blocking socket that is not inherited; -errno on failure. */
int rt__socket(int family, int type);

#endif
