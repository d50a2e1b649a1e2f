/* rt/registry.h - capabilities: who takes which class of asset.
 *
 * A registry belongs to its runtime. A capability is declared in a Lua file, a
 * Lua table or in C; every session of the runtime sees it at once. All calls
 * are [any] thread; those marked [waits] not on a thread of the runtime. `*out`
 * is [own] to the caller, NULL on failure; what is handed in is copied or
 * referenced. Any call may answer RT_ENOMEM.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_REGISTRY_H
#define RT_REGISTRY_H

#include "rt/runtime.h"

RT_BEGIN_DECL

typedef struct rt_job rt_job;

/* Does the work of a job, on a worker's thread (or that of the host's loop, see
 * rt/runtime.h), and must not wait there: it ends with rt_job_complete() or
 * rt_job_snooze(), now or later from any thread. One that is completed after
 * rt_runtime_free() is only released; its calls are good until then. */
typedef void (*rt_invoke_fn)(rt_job *job, void *arg);
/* A gate: true to run, or false with the reason written to `why`. Quick; on the
 * same thread as invoke. */
typedef bool (*rt_match_fn)(const rt_value *asset, char *why, size_t size,
                            void *arg);

typedef struct rt_capability_opts {
  size_t size; /* sizeof(rt_capability_opts) as compiled */
  const char *name, *description;
  const char *const *input; /* classes or patterns, at least one */
  size_t input_count;
  const char *const *output;
  size_t output_count;
  int priority;           /* 1 first .. 9 last; 0: 5 */
  uint32_t max_instances; /* over the whole runtime; 0: no bound of its own */
  double timeout;         /* seconds; 0: one hour; negative: none */
  uint32_t retries;
  double rate; /* starts a second; 0: no bound */
  rt_match_fn match;
  rt_invoke_fn invoke;
  void *arg;
  const char *version; /* told with its jobs and assets; NULL: none */
  /* When it runs again on an asset: "once" (NULL), "on_change", "always" or
   * "after:24h". */
  const char *rerun;
  bool backfill; /* also for the assets that open sessions have already */
  /* Runs by itself while its session is open: each so often ("1h"), or at the
   * times of a cron expression ("0 3 * * *"), on a tick, an asset of the class
   * tick.NAME; then it needs no input. NULL: it does not. */
  const char *every;
  /* It sends to its targets: nothing of the runtime sees its connections, so
   * its jobs ask rt_job_allows() before each of them. */
  bool active;
} rt_capability_opts;
#define RT_CAPABILITY_OPTS_INIT                                                \
  {                                                                            \
    sizeof(rt_capability_opts), NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, 0, 0,   \
        NULL, NULL, NULL, NULL, NULL, false, NULL, false                       \
  }

/* Add a capability written in C; `opts` is copied, its `arg` used until
 * rt_runtime_free(). RT_EINVAL names the field; RT_EEXIST. */
RT_API rt_err rt_registry_add(rt_registry *registry,
                              const rt_capability_opts *opts, rt_error *err);
/* One fault found while loading: `text` is one line with file, line or field
 * and what was expected. */
typedef void (*rt_fault_fn)(const char *text, void *arg);
/* [waits] Load capability files: `path` is a file or a folder (its *.lua files
 * by name, test files `*_test.lua` left out). Faulty ones are told to `fault`
 * and do not stop the others. Each may take 5 s. On the thread of the host's
 * loop a file cannot call functions of the host while it is loaded: use another
 * thread then. `*loaded` counts capabilities. RT_ENOTFOUND: no
 * such path; RT_ECLOSED: the runtime stops. */
RT_API rt_err rt_registry_load(rt_registry *registry, const char *path,
                               rt_fault_fn fault, void *arg, size_t *loaded,
                               rt_error *err);
/* [waits] The same with `size` bytes of Lua text that a file would have, which
 * are copied, shown as `name` in messages. Given again with the same name and
 * text it changes nothing. RT_EINVAL: no code or no name; faults are told. */
RT_API rt_err rt_registry_load_code(rt_registry *registry, const char *code,
                                    size_t size, const char *name,
                                    rt_fault_fn fault, void *arg,
                                    size_t *loaded, rt_error *err);
/* [waits] The same after files have changed: what is new is added, what a file
 * declares otherwise than before takes the place of that, for the jobs that
 * begin from now on; those that run end as they began. What a file or the
 * folder declares no longer is taken away; a changed module that a file
 * requires counts as a change of it. A faulty one is told, and what was there
 * before stays. `*changed` counts all of these. */
RT_API rt_err rt_registry_reload(rt_registry *registry, const char *path,
                                 rt_fault_fn fault, void *arg, size_t *changed,
                                 rt_error *err);
/* Take one away; jobs of it that run go on. RT_ENOTFOUND. */
RT_API rt_err rt_registry_remove(rt_registry *registry, const char *name,
                                 rt_error *err);
/* Maps with what was declared, and `file`; the list in order of registration.
 * RT_ENOTFOUND: no such capability. */
RT_API rt_err rt_registry_get(rt_registry *registry, const char *name,
                              rt_value **out, rt_error *err);
RT_API rt_err rt_registry_list(rt_registry *registry, rt_value **out,
                               rt_error *err);
/* An array of the names that take `class_name`, by priority, then registration.
 */
RT_API rt_err rt_registry_target_tasks(rt_registry *registry,
                                       const char *class_name, rt_value **out,
                                       rt_error *err);
/* The flow the declarations imply: {capabilities, edges, cycles, warnings}. */
RT_API rt_err rt_registry_plan(rt_registry *registry, rt_value **out,
                               rt_error *err);

/* --- a job of a capability in C --------------------------------------- */
/* [borrowed] until rt_job_complete(): {key, class, value, metadata, depth,
 * parent}; and the options map, or NULL. */
RT_API const rt_value *rt_job_asset(const rt_job *job);
RT_API const rt_value *rt_job_options(const rt_job *job);
/* Which try it is, from 1; the number by which reports and rt_session_kill()
 * know it; the name of its session [borrowed] likewise. */
RT_API uint32_t rt_job_attempt(const rt_job *job);
RT_API uint64_t rt_job_id(const rt_job *job);
RT_API const char *rt_job_session(const rt_job *job);
/* Has it been asked to end? */
RT_API bool rt_job_canceled(const rt_job *job);
/* Where a job is about to connect or send to: a name, an address, or a name and
 * the address it was looked up to. */
typedef struct rt_target {
  size_t size;         /* sizeof(rt_target) as compiled */
  const char *host;    /* a name or a literal address; NULL: none is known */
  const char *address; /* a literal one, or NULL: not known yet */
  unsigned port;       /* 0: none */
  const char *url;     /* what is asked for there, or NULL */
} rt_target;
#define RT_TARGET_INIT                                                         \
  { sizeof(rt_target), NULL, NULL, 0, NULL }

/* May a job of an `active` capability go there, by the rules on targets of
 * docs/capabilities.md? Ask before a name is looked up, and again with the
 * address it has. RT_EPERM: it is out of the session's scope, why in `err`,
 * which the session stores for `why`; RT_ECANCELED: the job has been ended and
 * is to send nothing; RT_EINVAL: neither host nor address, one that is none, or
 * the capability is not declared `active`. Only RT_OK means yes. */
RT_API rt_err rt_job_allows(rt_job *job, const rt_target *target,
                            rt_error *err);
/* Stream one result {class, value, key?, metadata?}. RT_EINVAL: malformed or
 * undeclared; RT_EFULL: try later; RT_ECANCELED: the lease is gone. */
RT_API rt_err rt_job_send(rt_job *job, const rt_value *asset, rt_error *err);
/* Tell how far it is: `fraction` from 0 to 1, `text` may be NULL. That is the
 * event `job.progress`, and nothing is stored. */
RT_API void rt_job_progress(rt_job *job, double fraction, const char *text);
/* Done (`failure` NULL) or failed. The job is gone afterwards. */
RT_API void rt_job_complete(rt_job *job, const rt_error *failure);
/* Instead of completing it: it runs again after so many seconds (negative: 0),
 * which uses up no attempt. The job is gone afterwards. */
RT_API void rt_job_snooze(rt_job *job, double seconds);

RT_END_DECL
#endif
