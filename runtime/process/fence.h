/* process/fence.h - what a job of an active capability may reach.
 *
 * A capability that declares `active = true` sends to its targets, so its
 * jobs, its setup and whatever processes they spawn stand behind a fence: the
 * network modules ask here before they look up a name, connect or send. Each
 * refusal is noted by the session, for `why`.
 *
 * Counted references, constant once made: any thread. The process that is
 * running is looked up by the worker's thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_FENCE_H
#define RT__PROCESS_FENCE_H

#include <lua.h>

#include "dispatcher/executor.h"
#include "dispatcher/scope.h"
#include "net/address.h"

struct rt__process;
typedef struct rt__fence rt__fence;

/* For a capability of a session, and the lease of a job of it (NULL: its
 * setup). NULL: it needs none; or memory is short, then *failed. */
rt__fence *rt__fence_new(rt_session *session, const rt_capability *capability,
                         const rt__lease *lease, bool *failed);
/* One with rules of its own, for tests: neither session nor capability. And is
 * an asset inside of such a one? */
rt_err rt__fence_alone(rt__fence **out, const char *const *rules, size_t count,
                       rt_error *err);
bool rt__fence_has(const rt__fence *fence, const char *class_,
                   const char *value, size_t size, char *why, size_t why_size);
rt__fence *rt__fence_ref(rt__fence *fence); /* NULL allowed */
void rt__fence_unref(rt__fence *fence);     /* NULL allowed */
/* Of the process that is running, or NULL. */
rt__fence *rt__fence_of(lua_State *L);
/* Put a process that has not run yet behind it, which is taken (NULL: none).
 * False: no memory, it must not run. */
bool rt__fence_process(struct rt__process *process, rt__fence *fence);
/* Do both stand behind the same session's? */
bool rt__fence_same(const rt__fence *a, const rt__fence *b);

/* May it go there? Else RT_EPERM in words, which the session is told. `host`,
 * `url` and `addr` may be NULL; a host that is a literal address is one. NULL
 * fence: it may. */
bool rt__fence_allows(const rt__fence *fence, const char *what,
                      const char *host, const char *url, const rt__addr *addr,
                      unsigned port, rt_error *err);
/* The same without telling the session, and telling it later. */
bool rt__fence_would_allow(const rt__fence *fence, const char *what,
                           const char *host, const char *url,
                           const rt__addr *addr, unsigned port, rt_error *err);
void rt__fence_note(const rt__fence *fence, const char *host, const char *url,
                    const rt__addr *addr, unsigned port, const rt_error *err);
/* Programs keep to no scope, nor would a capability that is registered or a
 * session that is opened. May it run one (which the session is told when not),
 * may it add such? NULL fence, or a session without rules: it may. */
bool rt__fence_lets_run(const rt__fence *fence, const char *program,
                        rt_error *err);
bool rt__fence_lets_add(const rt__fence *fence, rt_error *err);

#endif
