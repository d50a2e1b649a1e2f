/* net/address.h - socket addresses and their text.
 *
 * Pure functions, any thread. Names are not looked up here: see lookup.h.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_ADDRESS_H
#define RT__NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef union rt__addr {
  struct sockaddr sa;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} rt__addr;

enum { RT__ADDR_TEXT = 64, RT__HOST_MAX = 256 };

socklen_t rt__addr_len(const rt__addr *addr);
bool rt__addr_equal(const rt__addr *a, const rt__addr *b);
/* From a literal ("127.0.0.1", "::1", "[::1]", "fe80::1%eth0"); false when
 * `host` is none. */
bool rt__addr_parse(rt__addr *out, const char *host, unsigned port);
/* The address without its port; an IPv6 one without brackets. */
void rt__addr_text(const rt__addr *addr, char out[RT__ADDR_TEXT]);
unsigned rt__addr_port(const rt__addr *addr);
void rt__addr_set_port(rt__addr *addr, unsigned port);

/* "HOST", "HOST:PORT", "[V6]:PORT" or a bare IPv6 address; without a port
 * `*port` keeps its value. False when it is none of these. */
bool rt__host_port(const char *text, char host[RT__HOST_MAX], unsigned *port);

#endif
