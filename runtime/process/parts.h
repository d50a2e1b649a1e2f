/* process/parts.h - what a runtime is made of besides workers: bus, bridge,
 * registry, engine, executor, in the order in which they start and end.
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_PARTS_H
#define RT__PROCESS_PARTS_H

#include "process/sched.h"

rt_err rt__parts_first(rt_runtime *rt, rt_error *err); /* before the workers */
rt_err rt__parts_last(rt_runtime *rt, rt_error *err);  /* once they run */
void rt__parts_drain(rt_runtime *rt, double grace);    /* the engine ends */
/* After the workers' threads have ended; false: a subscriber does not return.
 */
bool rt__parts_stop(rt_runtime *rt);
/* On each worker's thread, when its processes have ended. */
void rt__parts_leave(rt__worker *worker);
/* heaps.c: have the engine look at the memory of scripts. */
void rt__parts_watch(rt_runtime *rt);
void rt__parts_free(rt_runtime *rt); /* after the VMs */

#endif
