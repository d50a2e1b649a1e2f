/* process/embed.h - what a host adds to a runtime: its loop, processes and
 * modules written in C.
 *
 * Callbacks of the host come on the runtime's threads, or, when it gave us its
 * loop, as calls in the queue of base/host.h. All of it is reached through
 * rt_runtime.embed. Calls are [any] thread unless marked.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_EMBED_H
#define RT__PROCESS_EMBED_H

#include "base/host.h"
#include "base/map.h"
#include "process/late.h"
#include "process/sched.h"
#include "rt/module.h"

/* PIDs of processes in C have this worker. */
#define RT__NATIVE_WORKER 255u
static inline bool rt__pid_is_native(rt_pid pid) {
  return rt__pid_worker(pid) == RT__NATIVE_WORKER;
}

typedef struct rt__function {
  char *name; /* [own] */
  rt_call_fn fn;
  void *arg;
} rt__function;

/* Constant once it is in the list. */
typedef struct rt__module rt__module;
struct rt__module {
  rt__module *next;
  char *name;   /* [own] */
  char *source; /* [own] Lua text, or NULL */
  size_t source_size;
  rt__function *functions; /* [own] */
  size_t count;
};

/* A thread that waits for a main script. */
typedef struct rt__runner rt__runner;
struct rt__runner {
  rt__runner *next;
  uv_thread_t thread;
  struct running *running; /* the thread's */
  _Atomic(bool) done;      /* its callback has returned */
};

typedef struct rt__embed {
  rt__host *host; /* [own ref] or NULL */
  rt__late *late; /* [own ref] */
  /* the host's own callbacks, when they are called on its loop */
  rt_log_fn log;
  void *log_arg;
  rt_output_fn output;
  void *output_arg;
  atomic_size_t calls;    /* bytes of calls that wait for its loop */
  _Atomic(uint32_t) lost; /* lines of log, since the last one that was told */
  /* guarded by lock, a leaf */
  uv_mutex_t lock;
  rt__module *modules; /* only ever added */
  rt__map natives;     /* pid -> process in C */
  uint64_t serial;     /* processes in C ever started */
  bool closed;         /* no new ones */
  rt__runner *runners; /* [own] not joined yet */
} rt__embed;

/* The first and the last of a runtime's parts. */
rt_err rt__embed_new(rt_runtime *rt, rt_error *err);
void rt__embed_free(rt_runtime *rt);
/* While the runtime stops: who waits for messages in C is told; then the
 * threads that wait for main scripts are joined. */
void rt__embed_stop(rt_runtime *rt);
void rt__embed_join(rt_runtime *rt);
/* [host's thread] Run what is queued for the host; later refuse more. */
void rt__embed_drain(rt_runtime *rt);
void rt__embed_close(rt_runtime *rt);

/* How a process from C ended, told to the host where it wants to hear it. */
rt_err rt__embed_exit(rt_runtime *rt, rt_exit_fn *fn, void **arg);
/* It was not started after all. */
void rt__embed_forget_exit(rt_exit_fn fn, void *arg);

/* A main script: started; then waited for, whose exit code is the answer
 * (runtime.c). */
rt_err rt__runtime_begin_main(rt_runtime *rt, const rt_script *script,
                              rt_error *err);
int rt__runtime_wait_main(rt_runtime *rt);

/* --- processes in C (native.c) --------------------------------------------
 */
bool rt__native_alive(rt_runtime *rt, rt_pid pid);
/* Takes the package. RT_ENOTFOUND, RT_EFULL. */
rt_err rt__native_route(rt_runtime *rt, rt__package *package);
rt_err rt__native_terminate(rt_runtime *rt, rt_pid pid);
void rt__natives_stop(rt__embed *embed);
/* All end while the runtime's parts are still there, as their callbacks may
 * use them; none receives or sends any more: what is on its way ends. */
void rt__natives_end(rt__embed *embed);
void rt__natives_free(rt__embed *embed);

/* --- modules (module.c) ---------------------------------------------------
 */
/* NULL: none of this name. */
const rt__module *rt__module_find(rt_runtime *rt, const char *name);
void rt__modules_free(rt__embed *embed);
/* Begin a call of the running process with the values from `first` on; pushes
 * its operation, or raises. */
int rt__module_call(lua_State *L, const rt__function *function, int first);

#endif
