/* relay/names.h - names of processes, one table per runtime; any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__RELAY_NAMES_H
#define RT__RELAY_NAMES_H

#include <uv.h>

#include "rt/process.h"

typedef struct rt__name rt__name;
typedef struct rt__names {
  uv_mutex_t lock;
  rt__name **buckets; /* by text; as many again by process */
  size_t count, room;
} rt__names;

rt_err rt__names_init(rt__names *names);
void rt__names_deinit(rt__names *names);
/* RT_EEXIST: taken (also by the same process); RT_ENOMEM. */
rt_err rt__names_add(rt__names *names, const char *name, size_t size,
                     rt_pid pid);
/* 0: unknown. */
rt_pid rt__names_find(rt__names *names, const char *name, size_t size);
/* Remove the name of this process. RT_ENOTFOUND; RT_EPERM: it is another's,
 * whose PID is then in *owner (may be NULL). */
rt_err rt__names_remove(rt__names *names, const char *name, size_t size,
                        rt_pid pid, rt_pid *owner);
/* Call `fn` with each name, under the lock, until it answers false. */
typedef bool (*rt__name_fn)(rt_pid pid, const char *name, size_t size,
                            void *arg);
void rt__names_each(rt__names *names, rt__name_fn fn, void *arg);
/* All names of a process that ended. */
void rt__names_drop(rt__names *names, rt_pid pid);

#endif
