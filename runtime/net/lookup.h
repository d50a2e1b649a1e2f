/* net/lookup.h - from the name of a host to its addresses.
 *
 * A literal address, /etc/hosts, then A and AAAA questions side by side. IPv4
 * comes first. When IPv4 addresses are there, IPv6 ones are waited for only a
 * moment. SPDX-License-Identifier: MIT */
#ifndef RT__NET_LOOKUP_H
#define RT__NET_LOOKUP_H

#include "net/dns.h"

typedef struct rt__lookup rt__lookup;

enum { RT__LOOKUP_MAX = 32 };

/* The addresses (their port is 0), or why there are none (count 0). */
typedef void (*rt__lookup_fn)(void *arg, const rt__addr *addrs, size_t count,
                              const rt_error *err);

/* Look `host` up. `*out` is good until `fn` was called, which happens once,
 * perhaps before this returns (then *out is NULL); not at all after a failure
 * or rt__lookup_cancel(). */
rt_err rt__lookup_start(rt__lookup **out, rt__net *net, const char *host,
                        const rt__dns_opts *opts, rt__lookup_fn fn, void *arg,
                        rt_error *err);
void rt__lookup_cancel(rt__lookup *lookup);

#endif
