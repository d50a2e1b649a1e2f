/* rt/module.h - modules for scripts, from the host: functions in C, or Lua
 * text.
 *
 * What is added here is found by `require` in every process of the runtime. A
 * function in C gets its arguments as values and answers with values, at once
 * or later; the script that called it waits as a coroutine meanwhile.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_MODULE_H
#define RT_MODULE_H

#include "rt/process.h"

RT_BEGIN_DECL

/* One call of a function; alive until it is returned or failed. */
typedef struct rt_call rt_call;

/* Called on a worker's thread, several at once, or on the thread of the host's
 * loop when the runtime is attached to one; there 64 MiB of arguments may wait,
 * then calls fail (UNAVAILABLE). It must not wait there. `args` is
 * an array [borrowed until the call ends]. It ends with rt_call_return() or
 * rt_call_fail(), now or later, from any thread, exactly once; after
 * rt_runtime_free() that only releases it. */
typedef void (*rt_call_fn)(rt_call *call, const rt_value *args, void *arg);

typedef struct rt_function {
  const char *name;
  rt_call_fn fn;
  void *arg; /* [borrowed] until rt_runtime_free() */
} rt_function;

typedef struct rt_module_opts {
  size_t size;      /* sizeof(rt_module_opts) as compiled */
  const char *name; /* for require(), e.g. "shop" */
  const rt_function *functions;
  size_t function_count;
  const char *source; /* instead of functions: Lua text that returns it */
  size_t source_size;
} rt_module_opts;
#define RT_MODULE_OPTS_INIT                                                    \
  { sizeof(rt_module_opts), NULL, NULL, 0, NULL, 0 }

/* [any] Add a module; all of `opts` is copied. Processes that run already find
 * it too. It stays as long as the runtime. RT_EINVAL: no name, neither
 * functions nor source, or a function without name; RT_EEXIST: there is such a
 * module, ours included; RT_ENOMEM. On failure nothing was added. */
RT_API rt_err rt_runtime_add_module(rt_runtime *rt, const rt_module_opts *opts,
                                    rt_error *err);

/* [any] Answer a call: `results` is an array [borrowed], whose items are what
 * the function returns in Lua; NULL returns nothing. The call is gone. */
RT_API void rt_call_return(rt_call *call, const rt_value *results);
/* [any] The function returns nil and this error [borrowed]. The call is gone.
 */
RT_API void rt_call_fail(rt_call *call, const rt_error *failure);
/* [any] Does nobody wait for the answer any more (its process ended)? The call
 * must be returned all the same. */
RT_API bool rt_call_canceled(const rt_call *call);
/* [any] Who calls, until the call ends: the process, and its runtime
 * [borrowed, until it is freed]. Never fail. */
RT_API rt_pid rt_call_process(const rt_call *call);
RT_API rt_runtime *rt_call_runtime(const rt_call *call);

RT_END_DECL
#endif
