/* net.c - the life of a VM's network context (net/net.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"
#include "net/hosts.h"
#include "net/http.h"
#include "net/tls.h"

rt_err rt__net_server(rt__net *net, const char *text,
                      char out[RT__ADDR_TEXT + 16], rt_error *err) {
  char host[RT__HOST_MAX], ip[RT__ADDR_TEXT];
  unsigned port = 53;
  rt__addr addr;
  if (!rt__host_port(text, host, &port))
    return rt_fail(err, RT_EINVAL, "'%s' is no HOST:PORT of a server", text);
  if (!rt__addr_parse(&addr, host, port) &&
      rt__hosts_find(net, host, &addr, 1) == 0)
    return rt_fail(err, RT_EINVAL, "DNS server '%s' is no address", host);
  rt__addr_text(&addr, ip);
  snprintf(out, RT__ADDR_TEXT + 16,
           addr.sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
  return RT_OK;
}

rt_err rt__net_new(rt__net **out, uv_loop_t *loop, const char *resolver,
                   rt_error *err) {
  rt_err rc = RT_OK;
  rt__net *net = calloc(1, sizeof(*net));
  *out = NULL;
  if (!net) return rt_fail(err, RT_ENOMEM, "net: no memory");
  net->loop = loop;
  net->refs = 1;
  if (resolver && *resolver)
    rc = rt__net_server(net, resolver, net->resolver, err);
  if (rc != RT_OK) {
    rt__net_unref(net);
    return rt_fail_context(err, "resolver");
  }
  *out = net;
  return RT_OK;
}

rt__net *rt__net_ref(rt__net *net) {
  net->refs++;
  return net;
}

void rt__net_unref(rt__net *net) {
  if (--net->refs > 0) return;
  rt__hosts_free(net->hosts);
  rt__tls_store_free(net->tls);
  free(net);
}

void rt__net_close(rt__net *net) {
  if (!net || net->closed) return;
  net->closed = true;
  rt__http_close(net);
  rt__dns_close(net);
  rt__net_unref(net);
}
