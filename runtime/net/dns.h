/* net/dns.h - questions to DNS servers, through c-ares on the loop.
 *
 * Each server has a window: so many questions are in flight, the others wait
 * their turn, because a burst of datagrams is lost in somebody's receive
 * buffer. The time of a question runs from when it is sent.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_DNS_H
#define RT__NET_DNS_H

#include "net/net.h"

typedef struct rt__dns_query rt__dns_query;

typedef struct rt__dns_opts {
  const char *server; /* "ADDRESS:PORT"; NULL: the context's resolver */
  double timeout;     /* seconds for all tries together; 0: 5 */
  unsigned tries;     /* 0: 3 */
  bool search;        /* the system's search list applies */
} rt__dns_opts;

/* The whole answer, borrowed, or why there is none (then `packet` is NULL). No
 * records of the type asked for is an answer. */
typedef void (*rt__dns_fn)(void *arg, const unsigned char *packet, size_t size,
                           const rt_error *err);

/* Ask. `*out` is good until `fn` was called, which happens once, perhaps
 * before this returns (then *out is NULL); not at all after a failure or
 * rt__dns_cancel(). */
rt_err rt__dns_ask(rt__dns_query **out, rt__net *net, const char *name,
                   unsigned type, const rt__dns_opts *opts, rt__dns_fn fn,
                   void *arg, rt_error *err);
/* Forget it: `fn` will not be called. */
void rt__dns_cancel(rt__dns_query *query);
/* Part of rt__net_close(). */
void rt__dns_close(rt__net *net);

/* --- answers ----------------------------------------------------------- */
enum {
  RT__DNS_A = 1,
  RT__DNS_NS = 2,
  RT__DNS_CNAME = 5,
  RT__DNS_SOA = 6,
  RT__DNS_PTR = 12,
  RT__DNS_MX = 15,
  RT__DNS_TXT = 16,
  RT__DNS_AAAA = 28,
  RT__DNS_SRV = 33,
  RT__DNS_ANY = 255,
  RT__DNS_CAA = 257,
  RT__DNS_NAME = 1100 /* room of an expanded, escaped name */
};

/* A type's number and name; 0 or NULL when it is none of the above. */
unsigned rt__dns_type(const char *name);
const char *rt__dns_type_name(unsigned type);

typedef struct rt__dns_record {
  char name[RT__DNS_NAME];
  unsigned type, ttl;
  const unsigned char *data; /* the raw data, borrowed */
  size_t size;
  rt__addr address;          /* A, AAAA */
  char target[RT__DNS_NAME]; /* CNAME NS PTR MX SRV; SOA: primary */
  char admin[RT__DNS_NAME];  /* SOA */
  unsigned preference;       /* MX; SRV: priority; CAA: flags */
  unsigned weight, port;     /* SRV */
  uint32_t soa[5];           /* serial refresh retry expire minimum */
} rt__dns_record;

typedef struct rt__dns_reader {
  const unsigned char *packet, *at;
  size_t size;
  unsigned left;
} rt__dns_reader;

/* Walk the answer section: start, then next until 0 (the end) or -1 (the
 * packet is malformed there). Start answers false for a malformed header. */
bool rt__dns_read(rt__dns_reader *reader, const unsigned char *packet,
                  size_t size);
int rt__dns_next(rt__dns_reader *reader, rt__dns_record *record);
/* Character strings of a TXT record, one a call; `*offset` begins at 0. */
bool rt__dns_text(const rt__dns_record *record, size_t *offset,
                  const char **text, size_t *size);

#endif
