/* rt/runtime.h - one runtime: workers, a bus, a registry and an engine.
 *
 * A runtime owns its threads: one worker per core (a libuv loop and a LuaJIT
 * VM each), the bus's dispatcher, the engine and a watchdog. Several may live
 * in one program. It installs no signal handler, never exits and prints
 * nothing: what scripts print and what is logged goes to the callbacks below.
 * [any] marks calls any thread may make; those that [wait] must not be made on
 * a thread of the runtime itself (inside a callback).
 *
 * Attached to a loop of the host (`loop`), it keeps its threads for the work,
 * and makes every callback on the thread that runs that loop, in the order in
 * which things happened: output, log, events, replies, ends, calls of functions
 * and capabilities in C. That thread may wait only where it is said to; it
 * frees the runtime, and lets the loop run once more before it closes it. The
 * loop stays alive until then. What waits for a loop that stands still is
 * bounded: 64 MiB of events for each subscription, 64 MiB of mail for each
 * process in C, 64 MiB of calls of functions in C, 16 MiB of log lines, 4 MiB
 * of output (who prints waits); besides one reply for each call that the host
 * made, one end for each process it started, one call for each running job.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_RUNTIME_H
#define RT_RUNTIME_H

#include "rt/bus.h"
#include "rt/value.h"

RT_BEGIN_DECL

struct uv_loop_s; /* uv_loop_t of <uv.h>, which is not needed here */
typedef struct rt_runtime rt_runtime;
typedef struct rt_registry rt_registry;

typedef enum rt_log_level {
  RT_LOG_DEBUG,
  RT_LOG_INFO,
  RT_LOG_WARN,
  RT_LOG_ERROR
} rt_log_level;

/* Called on any thread of the runtime, also on several at once (or on that of
 * the host's loop). `fields` is a map or NULL; both are [borrowed]. */
typedef void (*rt_log_fn)(rt_log_level level, const char *message,
                          const rt_value *fields, void *arg);
/* What a script prints: `fd` is 1 (print, io.write) or 2 (io.stderr); and whole
 * lines with RT_OUTPUT_RECORD, where the runtime records. */
typedef void (*rt_output_fn)(int fd, const char *text, size_t size, void *arg);

enum { RT_OUTPUT_RECORD = 3 };

/* Memory for scripts: as realloc(), with the old size (0: none, `block` is then
 * NULL) and the new one (0: release, returns NULL). Called on the runtime's
 * threads, several at once; NULL refuses, which a script sees as "not enough
 * memory". What is asked for with it is released with it. */
typedef void *(*rt_alloc_fn)(void *block, size_t old_size, size_t new_size,
                             void *arg);

typedef struct rt_runtime_opts {
  size_t size;          /* sizeof(rt_runtime_opts) as compiled */
  unsigned workers;     /* 0: one a core */
  bool unsafe;          /* scripts get the whole of Lua (ffi, debug, luv) */
  uint64_t vm_memory;   /* bytes a VM may use; 0: 1 GiB */
  const char *resolver; /* "HOST:PORT" of the DNS server; NULL: the system's */
  const char *script_dir; /* package.path begins with it; NULL: none */
  rt_log_fn log;          /* NULL: logs are dropped */
  void *log_arg;
  rt_output_fn output; /* NULL: output is dropped */
  void *output_arg;
  uint64_t bus_intake_bytes; /* as in rt_bus_opts, of the runtime's bus */
  uint32_t max_subscribers;
  /* What the whole program has in memory. More than `memory_excess` above what
   * was left after the last collection (0: 500 MB): all Lua heaps are collected
   * and malloc() is trimmed. Above `memory_ceiling` (0: 3/4 of the machine's or
   * the container's) sessions take no new work until it is less; what runs goes
   * on. Looked at every `memory_check` seconds (0: 10). */
  uint64_t memory_excess, memory_ceiling;
  double memory_check;
  /* A host's own loop: all callbacks come on the thread that runs it, which is
   * the one that calls rt_runtime_new(). NULL: on the runtime's threads. */
  struct uv_loop_s *loop;
  rt_alloc_fn alloc; /* where scripts get memory; NULL: malloc, and slabs */
  void *alloc_arg;
  uint32_t max_processes; /* living ones, in Lua; 0: what fits into memory */
  double stuck_after; /* seconds; with `unsafe`, C code of a script that holds
                         its worker for longer loses it (0: 3, negative:
                         never): its other processes are told, its jobs run
                         elsewhere */
  bool record;        /* jobs tell `output` of their I/O, in JSON lines */
  bool dry_run; /* jobs of capabilities in Lua end where they would be invoked,
                   after setup and match; their rates do not hold */
  const char *allow; /* what scripts may use: of "net,fs,exec,env", separated
                        by commas, or "none"; NULL: all. Not with `unsafe` */
} rt_runtime_opts;
#define RT_RUNTIME_OPTS_INIT                                                   \
  {                                                                            \
    sizeof(rt_runtime_opts), 0, false, 0, NULL, NULL, NULL, NULL, NULL, NULL,  \
        0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0, false, false, NULL              \
  }

/* A script: a file (`path`), or `code` of `code_size` bytes shown as `name` in
 * error messages. */
typedef struct rt_script {
  size_t size; /* sizeof(rt_script) as compiled */
  const char *path;
  const char *code;
  size_t code_size;
  const char *name;
  const char *const *args; /* become arg[1]... and `...` */
  size_t arg_count;
} rt_script;
#define RT_SCRIPT_INIT                                                         \
  { sizeof(rt_script), NULL, NULL, 0, NULL, NULL, 0 }

/* [any, with `loop` its thread] Start a runtime and its threads; `*out` is
 * [own] and goes to rt_runtime_free(). `opts` may be NULL; its texts are
 * copied. RT_EINVAL: `allow` is not as above; RT_ENOMEM, RT_EINTERNAL,
 * RT_EUNAVAIL: no memory or threads; then `*out` is NULL and nothing is left.
 */
RT_API rt_err rt_runtime_new(rt_runtime **out, const rt_runtime_opts *opts,
                             rt_error *err);
/* [any, waits] Stop in stages: sessions drain, processes are cancelled, after
 * `grace` seconds terminated; threads end. Always returns; a callback of the
 * host that does not return holds it up 10 s and is then left behind. May be
 * called again. */
RT_API void rt_runtime_stop(rt_runtime *rt, double grace);
/* [any, waits; with `loop` its thread, also inside a callback there, but that
 * of match] Stop with no grace when that was not done, make the callbacks that
 * are due, then release. NULL allowed. Nothing of the runtime may be used
 * afterwards but session handles, which only answer that they are closed. */
RT_API void rt_runtime_free(rt_runtime *rt);

/* [any] Its parts [borrowed], good until rt_runtime_free(). */
RT_API rt_bus *rt_runtime_bus(rt_runtime *rt);
RT_API rt_registry *rt_runtime_registry(rt_runtime *rt);

/* [any, waits] Run a script as the main process until its main function has
 * returned and nothing can happen any more. `*exit_code`: 0, 1 after an
 * uncaught error (whose traceback goes to output as fd 2), or what the script
 * gave to os.exit(). RT_ENOTFOUND, RT_EPERM: the file; RT_EINVAL: neither path
 * nor code, or on the thread of the host's loop; RT_ECONFLICT: one runs
 * already. */
RT_API rt_err rt_runtime_run(rt_runtime *rt, const rt_script *script,
                             int *exit_code, rt_error *err);
/* A main script has ended. It may free the runtime on the host's loop, not on a
 * thread of the runtime. */
typedef void (*rt_main_fn)(rt_runtime *rt, int exit_code, void *arg);
/* [any] The same without waiting: `fn` (may be NULL) is called once when it has
 * ended, on the host's thread or, without a loop, on one of the runtime's. It
 * is not called when starting fails: RT_ENOTFOUND, RT_EPERM, RT_EINVAL,
 * RT_ECONFLICT as above, RT_ENOMEM. */
RT_API rt_err rt_runtime_run_async(rt_runtime *rt, const rt_script *script,
                                   rt_main_fn fn, void *arg, rt_error *err);
/* [any] Ask the running main process to end: the first call cancels it, a
 * second terminates it. rt_runtime_run() then returns `exit_code`. */
RT_API void rt_runtime_interrupt(rt_runtime *rt, int exit_code);

/* [any] Write a line to the runtime's log. */
RT_API void rt_runtime_log(rt_runtime *rt, rt_log_level level,
                           const rt_value *fields, const char *fmt, ...)
    RT_PRINTF(4, 5);

RT_END_DECL
#endif
