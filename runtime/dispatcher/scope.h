/* scope.h - which assets belong to a session: rules on values.
 *
 * A rule is a pattern on the value, an address or a network; "!" in front
 * excludes, "CLASS:" limits it to a class. An asset is in scope when no
 * excluding rule fits and, if there are including rules for its class, one of
 * them does. Constant once made: any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_SCOPE_H
#define RT__DISPATCHER_SCOPE_H

#include "rt/status.h"

typedef struct rt__rule rt__rule;
typedef struct rt__scope {
  rt__rule *rules;
  size_t count;
} rt__scope;

rt_err rt__scope_init(rt__scope *scope, const char *const *rules, size_t count,
                      rt_error *err);
void rt__scope_deinit(rt__scope *scope);
/* In scope? Else `why` says which rule decided. */
bool rt__scope_has(const rt__scope *scope, const char *class_name,
                   const char *value, size_t size, char *why, size_t why_size);

/* What a connection goes to: a name, an address, or a name at an address. */
typedef struct rt__target {
  const char *host;             /* a name; NULL: only an address is known */
  const char *url;              /* NULL, or what is asked for */
  int family;                   /* AF_INET, AF_INET6; 0: not known yet */
  const unsigned char *address; /* 4 or 16 bytes */
  unsigned port;                /* 0: none */
} rt__target;

/* May a connection go there? An excluding rule that fits the name, the address
 * or the URL refuses. Of the including rules, those on addresses decide about
 * the address and the others about the name; a part that no rule is about is
 * let through when a rule includes the other one. A rule for a class counts
 * for the part such assets stand for: domain and host the name, ipv4 and ipv6
 * the address, url the URL, port either with the port; a network always. An
 * address alone is asked about only where its own asset would be. */
bool rt__scope_reaches(const rt__scope *scope, const rt__target *target,
                       char *why, size_t why_size);

#endif
