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

#endif
