/* process/worker.h - what a binding may ask of the worker that runs it.
 *
 * A worker is a thread with a libuv loop and one or more VMs; all that a VM
 * does happens on that thread. Calls are for the worker's own thread unless
 * marked [any]. How processes and fibers are scheduled is in sched.h, which
 * only this folder includes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_WORKER_H
#define RT__PROCESS_WORKER_H

#include <lua.h>
#include <stdatomic.h>
#include <uv.h>

#include "rt/process.h"

typedef struct rt__worker rt__worker;
typedef struct rt__process rt__process;

/* From a Lua state: its worker, runtime, and the process that is running (NULL
 * outside of one, e.g. while the library itself is loaded). */
rt__worker *rt__worker_of(lua_State *L);
rt_runtime *rt__runtime_of(lua_State *L);
rt__process *rt__process_of(lua_State *L);
rt_pid rt__process_pid(const rt__process *process);

uv_loop_t *rt__worker_loop(rt__worker *worker);
rt_runtime *rt__worker_runtime(rt__worker *worker);
/* [any] Workers by number, from 0. */
unsigned rt__runtime_worker_count(rt_runtime *rt);
rt__worker *rt__runtime_worker(rt_runtime *rt, unsigned index);

/* Work for a worker's thread. The task is the poster's memory (embed it) and
 * may be reused or freed from inside `run`. Tasks run in the order posted. */
typedef struct rt__task rt__task;
struct rt__task {
  rt__task *next;
  void (*run)(rt__worker *worker, rt__task *task);
};
/* [any] Never fails, never waits; wake-ups are coalesced. A posted task counts
 * as something that can still happen (see rt__runtime_hold). */
void rt__worker_post(rt__worker *worker, rt__task *task);

/* [any] A hold says that something can still happen (a timer, I/O, a message
 * on its way, open work in a session): while there is one, a finished main
 * script does not end the program. */
void rt__runtime_hold(rt_runtime *rt);
void rt__runtime_release(rt_runtime *rt);

/* [any] Mail from C to the library's half in a process: `topic` begins with
 * "@" and leads to what the library registered with task.inlet(topic, fn),
 * which gets the items of the array `payloads` (referenced, may be NULL). A
 * mail on its way is a hold. RT_ENOTFOUND: no such process. */
rt_err rt__process_mail(rt_runtime *rt, rt_pid to, const char *topic,
                        const rt_value *payloads);
/* [any] The runtime's DNS server "HOST:PORT", or NULL for the system's; as
 * long as the runtime. */
const char *rt__runtime_resolver(rt_runtime *rt);

/* What a process has open (a socket, a subscription, a watch). It is closed
 * when its process ends; `close` is called once, on the worker's thread, and
 * must not enter Lua. Embed it in the binding's object. */
typedef struct rt__resource rt__resource;
struct rt__resource {
  rt__resource *prev, *next; /* private */
  rt__process *owner;        /* private; NULL when not listed */
  void (*close)(rt__resource *resource);
};
void rt__resource_add(rt__process *process, rt__resource *resource);
void rt__resource_remove(
    rt__resource *resource); /* without close; idempotent */

/* What is still in the world when the worker is lost with its process (unsafe
 * scripts, process/lost.h): a child process, an open session. `lost` is called
 * once, on another thread, under a lock: it must not wait. Worker's thread;
 * both do nothing where no worker can be lost. */
typedef struct rt__legacy rt__legacy;
struct rt__legacy {
  rt__legacy *prev, *next; /* private */
  bool listed;             /* private */
  void (*lost)(rt__legacy *legacy);
};
void rt__legacy_add(rt__worker *worker, rt__legacy *legacy);
void rt__legacy_remove(rt__worker *worker, rt__legacy *legacy); /* idempotent */

/* Lua values <-> immutable values. Encoding refuses functions, userdata,
 * threads, cycles, what nests too deep and what is larger than a VM may be,
 * naming the key path that starts with `what` (`data.user.cb: function`). Where
 * the stack of the running coroutine cannot grow it raises: hold nothing that
 * would be lost. Decoding pushes one value. */
rt_err rt__lua_encode(lua_State *L, int index, const char *what, rt_value **out,
                      rt_error *err);
rt_err rt__lua_encode_into(lua_State *L, int index, const char *what,
                           rt_builder *builder, rt_error *err);
void rt__lua_decode(lua_State *L, rt_view view);

/* Push an error object (API 2.5) made of an rt_error, or nil and that object;
 * those that fail return 2 for `return rt__lua_fail(L, &err)`. From a map
 * {message, kind, retryable, details, stack}: rt__lua_push_error_value. And the
 * error object or any other value at `index` as such a map [own]. */
void rt__lua_push_error(lua_State *L, const rt_error *err);
int rt__lua_fail(lua_State *L, const rt_error *err);
int rt__lua_fail_text(lua_State *L, rt_err code, const char *text);
void rt__lua_push_error_value(lua_State *L, rt_view error);
rt_value *rt__lua_error_value(lua_State *L, int index);

#endif
