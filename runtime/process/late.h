/* process/late.h - what the host's code ends, after the runtime, too.
 *
 * A call of a function in C, or a job, is in the hands of the host until that
 * ends it, which may be after rt_runtime_free(). It holds a reference here:
 *
 *   open     its end is posted to its worker
 *   closing  workers go away: the end is kept until they are gone
 *   gone     nobody is left to hear of it: it is released at once
 *
 * All calls are [any] thread but the two that change the state, which are the
 * thread's that frees the runtime. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_LATE_H
#define RT__PROCESS_LATE_H

#include "process/worker.h"

typedef struct rt__late rt__late;

rt__late *rt__late_new(void); /* NULL when memory is short */
rt__late *rt__late_ref(rt__late *late);
void rt__late_unref(rt__late *late); /* NULL allowed */
/* Post an end, whose `run` is set; `release` instead of that, with no worker,
 * once the runtime is gone. */
void rt__late_post(rt__late *late, rt__worker *worker, rt__task *task,
                   void (*release)(rt__worker *none, rt__task *task));
/* True: the parts of the runtime stay until rt__late_leave(); quick. */
bool rt__late_enter(rt__late *late);
void rt__late_leave(rt__late *late);
void rt__late_closing(rt__late *late);
void rt__late_gone(rt__late *late);

#endif
