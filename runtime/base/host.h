/* base/host.h - callbacks on the thread of the host's own loop.
 *
 *   any thread --post--> [ notes ] --uv_async--> the loop's thread runs them
 *
 * One queue for a runtime or a bus that was attached to a loop: whatever it has
 * to tell arrives in the order in which it happened. Shared by reference, so
 * that a late call finds it closed. Calls are [any] thread unless marked.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__BASE_HOST_H
#define RT__BASE_HOST_H

#include <uv.h>

#include "rt/status.h"

typedef struct rt__host rt__host;

/* One call to be made on the host's thread; embed it. `run` owns it. */
typedef struct rt__host_call rt__host_call;
struct rt__host_call {
  rt__host_call *next;
  size_t size; /* bytes it holds, for the bounds */
  void (*run)(rt__host_call *note);
};

/* [loop's thread] Attach to its loop, which stays alive until the close. */
rt_err rt__host_new(rt__host **out, uv_loop_t *loop, rt_error *err);
rt__host *rt__host_ref(rt__host *host); /* NULL allowed, here and below */
void rt__host_unref(rt__host *host);
/* Queue a note. False, and it is still the caller's, when it is closed. */
bool rt__host_post(rt__host *host, rt__host_call *note);
/* Queue it, or run it here when the host is closed. */
void rt__host_tell(rt__host *host, rt__host_call *note);
/* Is this the loop's thread? */
bool rt__host_here(const rt__host *host);
/* [loop's thread] Has it been closed? Then what it belonged to may be gone. */
bool rt__host_closed(rt__host *host);
/* How many bytes wait to be run. */
size_t rt__host_waiting(rt__host *host);
/* Wait until less than `bytes` wait, or nobody can be expected to take them:
 * the host is closed, or waits itself for what the runtime does. */
void rt__host_await_room(rt__host *host, size_t bytes);
/* [loop's thread] Between these two it waits for the runtime. */
void rt__host_enter_wait(rt__host *host);
void rt__host_leave_wait(rt__host *host);
/* From now on nobody waits for room: the runtime stops, on whatever thread. */
void rt__host_let_go(rt__host *host);
/* [loop's thread] Run all that is queued. */
void rt__host_drain(rt__host *host);
/* [loop's thread] Run all that is queued, refuse more, let go of the loop once
 * that runs again. */
void rt__host_close(rt__host *host);

#endif
