/* net/dns_channel.h - between dns.c (questions, windows) and dns_channel.c
 * (a c-ares channel on the loop).
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_DNS_CHANNEL_H
#define RT__NET_DNS_CHANNEL_H

#include <ares.h>

#include "net/dns.h"

typedef struct rt__dns_channel {
  struct rt__dns_channel *next; /* of the same server */
  rt__net *net;                 /* referenced by its handles */
  unsigned timeout_ms, tries;   /* what it was made for */
  ares_channel ares;
  struct rt__dns_poll *polls; /* its open sockets */
  uv_timer_t *timer;          /* ticks while questions are in flight */
  size_t in_flight;
  bool busy; /* inside c-ares: may not be destroyed */
} rt__dns_channel;

/* `server` may be "", the system's. */
rt_err rt__dns_channel_new(rt__dns_channel **out, rt__net *net,
                           const char *server, unsigned timeout_ms,
                           unsigned tries, rt_error *err);
/* Unanswered questions get ARES_EDESTRUCTION. */
void rt__dns_channel_free(rt__dns_channel *channel);
/* Around each question: keeps the clock of retries going. */
void rt__dns_channel_begin(rt__dns_channel *channel);
void rt__dns_channel_end(rt__dns_channel *channel);

#endif
