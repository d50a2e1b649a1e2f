/* net/net.h - the network context of one VM.
 *
 * It owns what connections share: the resolver's channels, /etc/hosts,
 * libcurl's multi handle, OpenSSL's contexts and a receive buffer. Everything
 * made with it holds a reference, so that it outlives its last libuv handle;
 * after rt__net_close() the loop has to run until no handle is left.
 *
 *     lookup --> dns --> c-ares          tcp:  dial --> conn
 *        ^                               tls:  dial --> conn + tls
 *        +-- dial, udp, http             http: lookup --> libcurl
 *
 * All calls are for the thread of `loop`. SPDX-License-Identifier: MIT */
#ifndef RT__NET_NET_H
#define RT__NET_NET_H

#include <uv.h>

#include "net/address.h"
#include "net/fault.h"
#include "rt/status.h"

typedef struct rt__net rt__net;
struct rt__dns;
struct rt__hosts;
struct rt__http;
struct rt__http_request;
struct rt__tls_store;

/* Bytes taken from a socket at once. */
enum { RT__NET_SCRATCH = 64 * 1024 };

struct rt__net {
  uv_loop_t *loop;
  unsigned refs;
  bool closed;
  char resolver[RT__ADDR_TEXT + 16]; /* "ADDRESS:PORT"; "": the system's */
  struct rt__dns *dns;               /* these are made when needed */
  struct rt__hosts *hosts;
  struct rt__http *http;
  struct rt__http_request *requests; /* under way */
  struct rt__tls_store *tls;
  char scratch[RT__NET_SCRATCH];
};

/* `resolver`: "HOST:PORT" of the DNS server for every name, or NULL for the
 * system's. RT_EINVAL when it is no such thing. */
rt_err rt__net_new(rt__net **out, uv_loop_t *loop, const char *resolver,
                   rt_error *err);
/* Cancel questions and transfers; everything waiting is told. NULL allowed. */
void rt__net_close(rt__net *net);
rt__net *rt__net_ref(rt__net *net);
void rt__net_unref(rt__net *net);

/* "HOST[:PORT]" as "ADDRESS:PORT": a literal address, or a name in /etc/hosts.
 * RT_EINVAL for anything else. */
rt_err rt__net_server(rt__net *net, const char *text,
                      char out[RT__ADDR_TEXT + 16], rt_error *err);

#endif
