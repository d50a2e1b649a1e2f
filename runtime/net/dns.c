/* dns.c - questions, and the window of each server (net/dns.h).
 *
 *   ask --> server's queue --> at most WINDOW in flight --> its channels
 *
 * c-ares has one timeout and one number of tries for a channel, so a server
 * has a channel for each pair asked for; idle ones go when there are many.
 * SPDX-License-Identifier: MIT */
#include "net/dns.h"

#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns_channel.h"

enum {
  WINDOW = 256,
  MAX_IDLE = 64, /* servers kept though nobody asks them */
  MAX_TRIES = 10,
  DEFAULT_TRIES = 3,
  DEFAULT_TIMEOUT_MS = 5000
};

typedef struct dns_server {
  struct dns_server *next;
  char name[RT__ADDR_TEXT + 16]; /* "": the system's */
  rt__dns_channel *channels;
  rt__dns_query *first, *last; /* waiting for the window */
  size_t in_flight;
  bool sending;
} dns_server;

struct rt__dns {
  dns_server *servers;
  size_t count;
  bool closing;
};

struct rt__dns_query {
  rt__dns_query *next;
  rt__net *net;
  dns_server *server;
  rt__dns_channel *channel; /* NULL while it waits */
  rt__dns_fn fn;            /* NULL: nobody wants to know any more */
  void *arg;
  rt__dns_query **out; /* cleared before `fn` is called */
  unsigned type, timeout_ms, tries;
  bool search;
  char name[];
};

static bool is_idle(const dns_server *server) {
  if (server->in_flight > 0 || server->first || server->sending) return false;
  for (const rt__dns_channel *c = server->channels; c; c = c->next)
    if (c->busy) return false;
  return true;
}

static void free_server(dns_server *server) {
  while (server->channels) {
    rt__dns_channel *channel = server->channels;
    server->channels = channel->next;
    rt__dns_channel_free(channel);
  }
  free(server);
}

static void sweep(struct rt__dns *dns) {
  for (dns_server **at = &dns->servers; *at && dns->count > MAX_IDLE / 2;) {
    dns_server *server = *at;
    if (is_idle(server)) {
      *at = server->next;
      dns->count--;
      free_server(server);
    } else {
      at = &server->next;
    }
  }
}

static dns_server *server_of(rt__net *net, const char *name) {
  dns_server *server;
  if (!net->dns) net->dns = calloc(1, sizeof(*net->dns));
  if (!net->dns) return NULL;
  for (server = net->dns->servers; server; server = server->next)
    if (strcmp(server->name, name) == 0) return server;
  if (net->dns->count >= MAX_IDLE) sweep(net->dns);
  server = calloc(1, sizeof(*server));
  if (!server || strlen(name) >= sizeof(server->name)) {
    free(server);
    return NULL;
  }
  strcpy(server->name, name);
  server->next = net->dns->servers;
  net->dns->servers = server;
  net->dns->count++;
  return server;
}

/* c-ares doubles its timeout with each try; the first one is chosen so that
 * all of them together take what was asked for. */
static unsigned first_timeout(const rt__dns_query *query) {
  unsigned total = (1u << query->tries) - 1;
  unsigned first = query->timeout_ms / total;
  return first > 0 ? first : 1;
}

static rt__dns_channel *channel_of(rt__dns_query *query, rt_error *err) {
  dns_server *server = query->server;
  unsigned timeout = first_timeout(query);
  rt__dns_channel *c = server->channels;
  while (c && (c->timeout_ms != timeout || c->tries != query->tries))
    c = c->next;
  if (c) return c;
  if (rt__dns_channel_new(&c, query->net, server->name, timeout, query->tries,
                          err) != RT_OK)
    return NULL;
  c->next = server->channels;
  server->channels = c;
  return c;
}

static rt_err fail_of(rt_error *err, const rt__dns_query *query, int status) {
  const char *type = rt__dns_type_name(query->type);
  rt_err code = RT_EUNAVAIL;
  const char *text = ares_strerror(status);
  switch (status) {
  case ARES_ENOTFOUND:
    code = RT_ENOTFOUND;
    text = "no such name";
    break;
  case ARES_ETIMEOUT:
    code = RT_ETIMEOUT;
    text = "no answer";
    break;
  case ARES_ECONNREFUSED:
    code = RT_ETIMEOUT;
    text = "no answer (connection refused)";
    break;
  case ARES_EBADNAME:
    code = RT_EINVAL;
    text = "not a domain name";
    break;
  case ARES_ENOMEM:
    code = RT_ENOMEM;
    break;
  case ARES_EDESTRUCTION:
  case ARES_ECANCELLED:
    code = RT_ECANCELED;
    text = "canceled";
    break;
  default:
    break;
  }
  return rt_fail(err, code, "dns: %s (%s): %s%s%s", query->name,
                 type ? type : "?", text,
                 *query->server->name && code == RT_ETIMEOUT ? " from " : "",
                 code == RT_ETIMEOUT ? query->server->name : "");
}

/* Tell who asked, and forget the question. */
static void answer(rt__dns_query *query, int status, const unsigned char *data,
                   size_t size) {
  rt_error err = RT_ERROR_INIT;
  if (query->fn) {
    if (query->out) *query->out = NULL;
    if (data) {
      query->fn(query->arg, data, size, NULL);
    } else {
      fail_of(&err, query, status);
      query->fn(query->arg, NULL, 0, &err);
    }
  }
  free(query);
}

static void send_waiting(dns_server *server);

static void on_answer(void *arg, int status, int timeouts, unsigned char *data,
                      int size) {
  rt__dns_query *query = arg;
  dns_server *server = query->server;
  bool closing = query->net->dns->closing;
  bool answered = status == ARES_SUCCESS || status == ARES_ENODATA;
  (void)timeouts;
  rt__dns_channel_end(query->channel);
  server->in_flight--;
  if (answered && !(data && size > 0)) {
    /* ares_search() keeps the packet of an empty answer to itself. */
    static const unsigned char empty[12];
    data = (unsigned char *)empty;
    size = sizeof(empty);
  }
  answer(query, status, answered ? data : NULL, answered ? (size_t)size : 0);
  if (!closing) send_waiting(server);
}

static void send_query(rt__dns_query *query) {
  rt_error err = RT_ERROR_INIT;
  bool was_busy;
  rt__dns_channel *channel = channel_of(query, &err);
  if (!channel) {
    answer(query, ARES_ENOMEM, NULL, 0);
    return;
  }
  query->channel = channel;
  query->server->in_flight++;
  rt__dns_channel_begin(channel);
  was_busy = channel->busy;
  channel->busy = true;
  if (query->search)
    ares_search(channel->ares, query->name, ns_c_in, (int)query->type,
                on_answer, query);
  else
    ares_query(channel->ares, query->name, ns_c_in, (int)query->type, on_answer,
               query);
  channel->busy = was_busy;
}

/* A question may be answered while it is being sent: hence the loop. */
static void send_waiting(dns_server *server) {
  if (server->sending) return;
  server->sending = true;
  while (server->first && server->in_flight < WINDOW) {
    rt__dns_query *query = server->first;
    server->first = query->next;
    if (!server->first) server->last = NULL;
    send_query(query);
  }
  server->sending = false;
}

static rt__dns_query *new_query(rt__net *net, const char *name, unsigned type,
                                const rt__dns_opts *opts) {
  size_t size = strlen(name) + 1;
  rt__dns_query *query = calloc(1, sizeof(*query) + size);
  double ms = opts->timeout * 1000;
  if (!query) return NULL;
  memcpy(query->name, name, size);
  query->net = net;
  query->type = type;
  query->tries = opts->tries ? opts->tries : DEFAULT_TRIES;
  if (query->tries > MAX_TRIES) query->tries = MAX_TRIES;
  query->timeout_ms = opts->timeout <= 0 ? DEFAULT_TIMEOUT_MS
                      : ms < 1           ? 1
                      : ms > 3600e3      ? 3600000
                                         : (unsigned)ms;
  query->search = opts->search;
  return query;
}

/* Labels of 1 to 63 bytes, 253 together; c-ares would read a backslash as the
 * beginning of an escape, which nobody means. */
static bool is_name(const char *name) {
  size_t label = 0, total = strlen(name);
  if (total > 0 && name[total - 1] == '.') total--;
  if (strcmp(name, ".") == 0) return true;
  if (total == 0 || total > 253) return false;
  for (size_t i = 0; i < total; i++) {
    if (name[i] == '.' ? label == 0 : label >= 63) return false;
    if (name[i] == '\\') return false;
    label = name[i] == '.' ? 0 : label + 1;
  }
  return label > 0;
}

rt_err rt__dns_ask(rt__dns_query **out, rt__net *net, const char *name,
                   unsigned type, const rt__dns_opts *opts, rt__dns_fn fn,
                   void *arg, rt_error *err) {
  const char *server = opts->server ? opts->server : net->resolver;
  rt__dns_query *query;
  *out = NULL;
  if (net->closed) return rt_fail(err, RT_ECLOSED, "dns: closed");
  if (!is_name(name))
    return rt_fail(err, RT_EINVAL, "dns: '%.300s' is not a domain name", name);
  query = new_query(net, name, type, opts);
  if (!query) return rt_fail(err, RT_ENOMEM, "dns: no memory");
  query->server = server_of(net, server);
  if (!query->server) {
    free(query);
    return rt_fail(err, RT_ENOMEM, "dns: no memory");
  }
  query->fn = fn;
  query->arg = arg;
  query->out = out;
  *out = query;
  if (query->server->last)
    query->server->last->next = query;
  else
    query->server->first = query;
  query->server->last = query;
  send_waiting(query->server);
  return RT_OK;
}

static void remove_waiting(rt__dns_query *query) {
  dns_server *server = query->server;
  rt__dns_query *before = NULL, *at = server->first;
  while (at != query) {
    before = at;
    at = at->next;
  }
  if (before)
    before->next = query->next;
  else
    server->first = query->next;
  if (server->last == query) server->last = before;
  free(query);
}

void rt__dns_cancel(rt__dns_query *query) {
  if (!query) return;
  query->fn = NULL;
  query->out = NULL;
  if (!query->channel) remove_waiting(query);
}

void rt__dns_close(rt__net *net) {
  struct rt__dns *dns = net->dns;
  if (!dns) return;
  dns->closing = true;
  while (dns->servers) {
    dns_server *server = dns->servers;
    dns->servers = server->next;
    while (server->first) {
      rt__dns_query *query = server->first;
      server->first = query->next;
      answer(query, ARES_ECANCELLED, NULL, 0);
    }
    server->last = NULL;
    free_server(server);
  }
  net->dns = NULL;
  free(dns);
}
