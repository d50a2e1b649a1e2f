/* lookup.c - names to addresses (net/lookup.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "net/hosts.h"

enum { IPV6_GRACE_MS = 100, V4 = 0, V6 = 1 };

typedef struct half {
  rt__dns_query *query;
  rt__lookup *lookup;
  rt__addr addrs[RT__LOOKUP_MAX / 2];
  size_t count;
  rt_error err;
  bool done;
} half;

struct rt__lookup {
  uv_timer_t timer; /* first: freed with it */
  rt__net *net;
  half halves[2];
  rt__lookup_fn fn;
  void *arg;
  rt__lookup **out;
  char host[RT__HOST_MAX];
};

static void on_closed(uv_handle_t *handle) {
  rt__lookup *lookup = (rt__lookup *)handle;
  rt__net_unref(lookup->net);
  free(lookup);
}

static void close_lookup(rt__lookup *lookup) {
  lookup->fn = NULL;
  for (int i = V4; i <= V6; i++) rt__dns_cancel(lookup->halves[i].query);
  uv_close((uv_handle_t *)&lookup->timer, on_closed);
}

static void finish(rt__lookup *lookup) {
  rt__addr all[RT__LOOKUP_MAX];
  const half *v4 = &lookup->halves[V4], *v6 = &lookup->halves[V6];
  const rt_error *why = v4->err.code ? &v4->err : &v6->err;
  rt_error none = RT_ERROR_INIT;
  size_t count = v4->count + v6->count;
  rt__lookup_fn fn = lookup->fn;
  if (!fn) return;
  memcpy(all, v4->addrs, v4->count * sizeof(*all));
  memcpy(all + v4->count, v6->addrs, v6->count * sizeof(*all));
  if (count == 0 && !why->code) {
    rt_fail(&none, RT_ENOTFOUND, "%s: the name has no address", lookup->host);
    why = &none;
  }
  *lookup->out = NULL;
  fn(lookup->arg, all, count, count > 0 ? NULL : why);
  close_lookup(lookup);
}

static void on_grace(uv_timer_t *timer) {
  finish((rt__lookup *)timer);
}

static void collect(half *part, const unsigned char *packet, size_t size) {
  unsigned type = part == &part->lookup->halves[V4] ? RT__DNS_A : RT__DNS_AAAA;
  rt__dns_reader reader;
  rt__dns_record record;
  int more = rt__dns_read(&reader, packet, size) ? 1 : -1;
  while (more > 0 && part->count < RT__LOOKUP_MAX / 2 &&
         (more = rt__dns_next(&reader, &record)) > 0)
    if (record.type == type) part->addrs[part->count++] = record.address;
  if (more < 0 && part->count == 0)
    rt_fail(&part->err, RT_EUNAVAIL, "dns: %s: malformed answer",
            part->lookup->host);
}

static void on_half(void *arg, const unsigned char *packet, size_t size,
                    const rt_error *err) {
  half *part = arg;
  rt__lookup *lookup = part->lookup;
  part->done = true;
  if (err)
    part->err = *err;
  else
    collect(part, packet, size);
  if (lookup->halves[V4].done && lookup->halves[V6].done)
    finish(lookup);
  else if (part == &lookup->halves[V4] && part->count > 0)
    uv_timer_start(&lookup->timer, on_grace, IPV6_GRACE_MS, 0);
}

static rt_err ask_servers(rt__lookup *lookup, const rt__dns_opts *opts,
                          rt_error *err) {
  static const unsigned types[] = {RT__DNS_A, RT__DNS_AAAA};
  for (int i = V4; i <= V6; i++) {
    half *part = &lookup->halves[i];
    rt_err rc;
    part->lookup = lookup;
    rc = rt__dns_ask(&part->query, lookup->net, lookup->host, types[i], opts,
                     on_half, part, err);
    if (rc != RT_OK) return rc;
  }
  return RT_OK;
}

static size_t known(rt__net *net, const char *host, rt__addr *out) {
  if (rt__addr_parse(&out[0], host, 0)) return 1;
  return rt__hosts_find(net, host, out, RT__LOOKUP_MAX);
}

static rt__lookup *new_lookup(rt__net *net, const char *host, rt__lookup_fn fn,
                              void *arg, rt__lookup **out) {
  rt__lookup *lookup = calloc(1, sizeof(*lookup));
  if (!lookup) return NULL;
  lookup->net = rt__net_ref(net);
  lookup->fn = fn;
  lookup->arg = arg;
  lookup->out = out;
  strcpy(lookup->host, host);
  uv_timer_init(net->loop, &lookup->timer);
  return lookup;
}

rt_err rt__lookup_start(rt__lookup **out, rt__net *net, const char *host,
                        const rt__dns_opts *opts, rt__lookup_fn fn, void *arg,
                        rt_error *err) {
  static const rt__dns_opts none = {NULL, 0, 0, false};
  rt__addr found[RT__LOOKUP_MAX];
  size_t count;
  rt__dns_opts asked = opts ? *opts : none;
  rt__lookup *lookup;
  rt_err rc;
  *out = NULL;
  if (strlen(host) >= RT__HOST_MAX || *host == '\0')
    return rt_fail(err, RT_EINVAL, "'%.300s' is no host", host);
  count = known(net, host, found);
  if (count > 0) {
    fn(arg, found, count, NULL);
    return RT_OK;
  }
  if (!asked.server && !*net->resolver) asked.search = true;
  lookup = new_lookup(net, host, fn, arg, out);
  if (!lookup) return rt_fail(err, RT_ENOMEM, "lookup: no memory");
  *out = lookup;
  rc = ask_servers(lookup, &asked, err);
  if (rc != RT_OK) {
    *out = NULL;
    close_lookup(lookup);
  }
  return rc;
}

void rt__lookup_cancel(rt__lookup *lookup) {
  if (lookup) close_lookup(lookup);
}
