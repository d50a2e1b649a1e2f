/* rt/process.h - Lua processes as seen from C.
 *
 * A process is an isolated unit of Lua code in one of the runtime's VMs, with
 * a PID. Processes exchange copied messages. All calls are [any] thread.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_PROCESS_H
#define RT_PROCESS_H

#include "rt/runtime.h"

RT_BEGIN_DECL

/* 0 is no process. Ids are not used again. */
typedef uint64_t rt_pid;
#define RT_PID_TEXT 32

/* The PID as scripts see it, and back (0 when `text` is no PID). */
RT_API void rt_pid_text(rt_pid pid, char out[RT_PID_TEXT]);
RT_API rt_pid rt_pid_parse(const char *text);

/* How a process ended: `result` [own] is its first result, or NULL with what
 * went wrong in `error` (a map {message, kind, retryable, stack}) [own]. */
typedef void (*rt_exit_fn)(rt_pid pid, rt_value *result, rt_value *error,
                           void *arg);

/* Start a process. `source`: a path (with "/" or ".lua") or a module name;
 * `args`: an array of arguments or NULL; `on_exit` (may be NULL) is called once
 * on a worker's thread and must not wait. */
RT_API rt_err rt_process_spawn(rt_runtime *rt, rt_pid *out, const char *source,
                               const rt_value *args, rt_exit_fn on_exit,
                               void *arg, rt_error *err);
/* Send a message; `payloads` is an array of values or NULL. RT_ENOTFOUND: no
 * such process; RT_EINVAL: a reserved topic ("@..."), or more than 4,000
 * payloads; RT_EFULL: it has 64 MiB of messages that it did not read, or
 * less when all processes of its VM together did not read a quarter of
 * `vm_memory`. */
RT_API rt_err rt_process_send(rt_runtime *rt, rt_pid to, const char *topic,
                              const rt_value *payloads, rt_error *err);
/* The process registered under `name`, or 0. */
RT_API rt_pid rt_process_lookup(rt_runtime *rt, const char *name);
/* Ask to end (delivers CANCEL), or end, also in a tight loop. */
RT_API rt_err rt_process_cancel(rt_runtime *rt, rt_pid pid, const char *reason);
RT_API rt_err rt_process_terminate(rt_runtime *rt, rt_pid pid);

RT_END_DECL
#endif
