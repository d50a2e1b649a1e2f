/* rt/session.h - durable sessions: assets become work, work finds assets.
 *
 * A session is one SQLite file, DIR/NAME.sqlite. The engine's thread owns it;
 * calls queue work there. Those marked [waits] must not be made on a thread of
 * the runtime; each has a twin ending in _async whose reply comes on the
 * engine's thread, or that of the host's loop, where it must not wait. All
 * calls are [any] thread. `*out` is [own] to the caller, NULL on failure; what
 * is handed in is copied or referenced. Calls on an open session may fail with
 * RT_ECANCELED: it was canceled or closed; RT_EUNAVAIL: its file cannot be
 * written, the reason is in the words; RT_ENOMEM.
 * A report reads a session's file, also while another process owns it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_SESSION_H
#define RT_SESSION_H

#include "rt/registry.h"
#include "rt/runtime.h"

RT_BEGIN_DECL

typedef struct rt_session rt_session;
typedef struct rt_report rt_report;

typedef enum rt_open_mode {
  RT_OPEN_ANY,    /* create it, or go on with it */
  RT_OPEN_CREATE, /* RT_EEXIST when it is there */
  RT_OPEN_RESUME  /* RT_ENOTFOUND when it is not */
} rt_open_mode;

typedef struct rt_session_opts {
  size_t size;      /* sizeof(rt_session_opts) as compiled */
  const char *name; /* [A-Za-z0-9._-]+, no dot first, at most 100 bytes */
  const char *dir;  /* made when missing; NULL: ".runtime" */
  rt_open_mode mode;
  /* Which registered capabilities take part (NULL: all): names, patterns of
   * names, or "tag:WORD". */
  const char *const *only;
  size_t only_count;
  const char *const *without;
  size_t without_count;
  const char *const *scope; /* rules of API section 3 */
  size_t scope_count;
  int64_t max_depth;       /* negative: no bound */
  int64_t max_assets;      /* negative: no bound */
  int64_t max_fanout;      /* negative: no bound */
  uint32_t concurrency;    /* jobs at once; 0: 256 */
  double deadline;         /* seconds from opening; 0: none */
  double grace;            /* seconds at cancel; 0: 5 */
  bool paused;             /* nothing runs until rt_session_resume() */
  bool sync_normal;        /* PRAGMA synchronous=NORMAL instead of FULL */
  const rt_value *options; /* map capability -> map of options, or NULL */
  const rt_value *config;  /* kept in the file as it is, for the opener */
  int64_t max_descendants; /* assets below one seed; negative: no bound */
  int64_t max_repeats; /* of a capability on the way from a seed; negative */
  /* Seconds for which a file that is damaged, gone or another one is waited
   * for before the session ends; 0: 60; negative: for ever. */
  double patience;
  /* Bytes of the file's log above which nothing more is written while other
   * programs read from it; 0: 512 MB; negative: no bound. */
  int64_t max_journal;
} rt_session_opts;
#define RT_SESSION_OPTS_INIT                                                   \
  {                                                                            \
    sizeof(rt_session_opts), NULL, NULL, RT_OPEN_ANY, NULL, 0, NULL, 0, NULL,  \
        0, -1, -1, -1, 0, 0, 0, false, false, NULL, NULL, -1, -1, 0, 0         \
  }

typedef enum rt_outcome {
  RT_QUEUED,
  RT_STARTED,
  RT_STORED,
  RT_DUPLICATE,
  RT_OUT_OF_SCOPE,
  RT_OVER_LIMIT
} rt_outcome;
/* "queued", "started", "stored", "duplicate", "out_of_scope", "over_limit";
 * static storage. */
RT_API const char *rt_outcome_text(rt_outcome outcome);

/* How an asynchronous call ended. `result` [own] may be NULL. For dispatch it
 * is an array of outcome texts. */
typedef void (*rt_reply_fn)(rt_err code, const rt_error *err, rt_value *result,
                            void *arg);

/* [waits] Open or create one. RT_EINVAL: a bad name or option; RT_ECONFLICT: it
 * is open elsewhere, and by whom; RT_EEXIST, RT_ENOTFOUND: as `mode` asks;
 * RT_ECLOSED: the runtime stops. A session that is refused leaves no file. */
RT_API rt_err rt_session_open(rt_session **out, rt_runtime *rt,
                              const rt_session_opts *opts, rt_error *err);
/* `fn` gets the session [own], or NULL. */
typedef void (*rt_session_fn)(rt_err code, const rt_error *err,
                              rt_session *session, void *arg);
/* The same, told to `fn`, which may also be called before this returns. */
RT_API void rt_session_open_async(rt_runtime *rt, const rt_session_opts *opts,
                                  rt_session_fn fn, void *arg);
/* One reference more (returns its argument) or less: of the handle, which does
 * not close the session. NULL allowed. */
RT_API rt_session *rt_session_ref(rt_session *session);
RT_API void rt_session_unref(rt_session *session);
/* [borrowed] as long as the handle. */
RT_API const char *rt_session_name(const rt_session *session);

typedef struct rt_dispatch_opts {
  size_t size;
  bool meta;                  /* goes to the pipeline at once */
  const rt_value *meta_value; /* what its events carry as `meta`, or NULL */
  int priority;               /* 0: the capability's */
  const char *name;           /* a label that its events carry, or NULL */
} rt_dispatch_opts;
#define RT_DISPATCH_OPTS_INIT                                                  \
  { sizeof(rt_dispatch_opts), false, NULL, 0, NULL }
/* [waits] One asset {class, value, key?, metadata?}. `opts`, `outcome` may be
 * NULL. RT_EINVAL: it is no asset. */
RT_API rt_err rt_session_dispatch(rt_session *session, const rt_value *asset,
                                  const rt_dispatch_opts *opts,
                                  rt_outcome *outcome, rt_error *err);
/* `fn` (may be NULL) gets an array of outcomes. One asset or an array of them,
 * applied in order; when the intake is full the
 * reply comes once there was room. An empty array is a round with nothing
 * in it, which finishes at once. */
RT_API void rt_session_dispatch_async(rt_session *session,
                                      const rt_value *assets,
                                      const rt_dispatch_opts *opts,
                                      rt_reply_fn fn, void *arg);

/* [waits] Until the round is finished; `*summary` [own] may be NULL.
 * RT_ETIMEOUT after `timeout` seconds (negative: none), RT_ECANCELED; RT_EINVAL
 * on the thread of the host's loop. */
RT_API rt_err rt_session_wait(rt_session *session, double timeout,
                              rt_value **summary, rt_error *err);
/* The reply comes when the round is finished or the session canceled. */
RT_API void rt_session_wait_async(rt_session *session, rt_reply_fn fn,
                                  void *arg);
/* [waits] Counters, as of s:stats() in docs/sessions.md, a map. */
RT_API rt_err rt_session_stats(rt_session *session, rt_value **out,
                               rt_error *err);
RT_API void rt_session_stats_async(rt_session *session, rt_reply_fn fn,
                                   void *arg);
/* Start no new jobs; start them again. Takes effect soon, and never fails. */
RT_API void rt_session_pause(rt_session *session);
RT_API void rt_session_resume(rt_session *session);
/* Drain: no new jobs start, running ones are asked, after the grace ended; the
 * rest stays queued. The reply comes when nothing runs any more. With
 * `discard` what is queued is canceled for good. */
RT_API void rt_session_cancel_async(rt_session *session, const char *reason,
                                    bool discard, rt_reply_fn fn, void *arg);
/* [waits] The same, at most the grace time. */
RT_API rt_err rt_session_cancel(rt_session *session, const char *reason,
                                bool discard, rt_error *err);
/* Canceled or closed? */
RT_API bool rt_session_done(const rt_session *session);
/* [waits] Drain, commit, release the file. The handle stays valid until
 * rt_session_unref(). */
RT_API void rt_session_close(rt_session *session);
RT_API void rt_session_close_async(rt_session *session, rt_reply_fn fn,
                                   void *arg);

/* [waits] Delete the asset with this key, its jobs and the ways to it, for
 * good: the answer comes after the commit. Queued jobs of it are gone, ended
 * ones are no longer counted. What it led to stays, and is without that parent.
 * Found again it is new. RT_ENOTFOUND; RT_ECONFLICT: a job of it is running. */
RT_API rt_err rt_session_delete(rt_session *session, const char *key,
                                rt_error *err);
RT_API void rt_session_delete_async(rt_session *session, const char *key,
                                    rt_reply_fn fn, void *arg);

/* --- a hand on what runs: it lasts as long as the runtime ------------- */
/* [waits] The running jobs, oldest first: an array [own] of {id, capability,
 * class, key, value, attempt, seconds, fraction, state?}. */
RT_API rt_err rt_session_running(rt_session *session, rt_value **out,
                                 rt_error *err);
RT_API void rt_session_running_async(rt_session *session, rt_reply_fn fn,
                                     void *arg);
/* [waits] End a running job, which fails and is not tried again. Answers before
 * it has ended. RT_ENOTFOUND: it does not run. */
RT_API rt_err rt_session_kill(rt_session *session, uint64_t job,
                              const char *reason, rt_error *err);
RT_API void rt_session_kill_async(rt_session *session, uint64_t job,
                                  const char *reason, rt_reply_fn fn,
                                  void *arg);
/* [waits] Of a capability at most `instances` jobs at once, in all sessions of
 * the runtime, instead of its max_instances; 0: no new ones start; negative: as
 * declared. RT_ENOTFOUND: no such capability. */
RT_API rt_err rt_session_scale(rt_session *session, const char *capability,
                               int64_t instances, rt_error *err);
RT_API void rt_session_scale_async(rt_session *session, const char *capability,
                                   int64_t instances, rt_reply_fn fn,
                                   void *arg);

/* Called on the engine's thread (or the host's: then several commits may make
 * one call) after commits that stored assets, with the row id of the last;
 * quick, must not wait. */
typedef void (*rt_commit_fn)(int64_t last_asset, void *arg);
/* Set it, or take it away with NULL: when this returns, the one before does not
 * run and will not. From inside of it only on the host's loop. */
RT_API void rt_session_on_commit(rt_session *session, rt_commit_fn fn,
                                 void *arg);
/* Remember how far the opener has printed assets (kept with the next commit);
 * the mark is in rt_report_status() as "printed". */
RT_API void rt_session_set_mark(rt_session *session, int64_t asset);

/* The session queue (see rt/queue.h): `verb` is "has", "append", "next",
 * "processed" or "delete"; `args` an array of its arguments. */
RT_API void rt_session_queue_async(rt_session *session, const char *verb,
                                   const rt_value *args, rt_reply_fn fn,
                                   void *arg);

/* --- reports: read only, each call [waits] on the disk only --------------
 * One thread at a time for a report. Any may fail with RT_EUNAVAIL: the file
 * cannot be read; RT_ENOMEM. */
/* RT_ENOTFOUND: no such session; RT_EINVAL: no name of one. */
RT_API rt_err rt_report_open(rt_report **out, const char *dir, const char *name,
                             rt_error *err);
/* NULL allowed. */
RT_API void rt_report_close(rt_report *report);
/* {name, state, owner, printed, config, counters...}; stats as of API 3. */
RT_API rt_err rt_report_status(rt_report *report, rt_value **out,
                               rt_error *err);
/* Rows with an id above `after`, at most `limit`, in order of creation; `out`
 * [own] is an array of maps that have an `id`. `class_pattern` may be NULL. */
RT_API rt_err rt_report_assets(rt_report *report, int64_t after,
                               const char *class_pattern, uint32_t limit,
                               rt_value **out, rt_error *err);
/* Which assets are wanted: those for which all that is given holds. */
typedef struct rt_asset_query {
  size_t size;
  int64_t after;                             /* an id: only later ones */
  const char *class_pattern, *value_pattern; /* API section 2.4, or NULL */
  const char *value_prefix;                  /* how the value begins, or NULL */
  const char *capability; /* a name: one of the ways to it is its, or NULL */
  const char *parent;     /* a key: one of the ways begins there, or NULL */
  /* A map of fields of its metadata, or NULL. A text also fits a number or a
   * boolean that is written so: "80" fits 80. */
  const rt_value *metadata;
  double since, before; /* stored in this time, unix seconds; 0: any */
  int64_t max_depth;    /* negative: any */
  double changed_since; /* stored, changed or gone then or later; 0: any */
} rt_asset_query;
#define RT_ASSET_QUERY_INIT                                                    \
  { sizeof(rt_asset_query), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, -1, 0 }
/* As rt_report_assets(), with more to choose by; a `capability` or `parent`
 * that is not there gives none. Looks at each asset after `after`. */
RT_API rt_err rt_report_query(rt_report *report, const rt_asset_query *query,
                              uint32_t limit, rt_value **out, rt_error *err);
/* The one with this key. RT_ENOTFOUND. */
RT_API rt_err rt_report_asset(rt_report *report, const char *key,
                              rt_value **out, rt_error *err);
/* Was there a seed with this key that was deleted? It may be there again. */
RT_API rt_err rt_report_deleted(rt_report *report, const char *key,
                                bool *deleted, rt_error *err);
/* {id, from, to, capability, job} */
RT_API rt_err rt_report_edges(rt_report *report, int64_t after, uint32_t limit,
                              rt_value **out, rt_error *err);
/* Edges as triples, `from` - `capability` - `to`: those for which all that is
 * given (keys and a name, or NULL) holds. */
typedef struct rt_edge_query {
  size_t size;
  int64_t after; /* an id: only later ones */
  const char *from, *capability, *to;
} rt_edge_query;
#define RT_EDGE_QUERY_INIT                                                     \
  { sizeof(rt_edge_query), 0, NULL, NULL, NULL }
RT_API rt_err rt_report_ways(rt_report *report, const rt_edge_query *query,
                             uint32_t limit, rt_value **out, rt_error *err);
/* Jobs of API 3; `cursor` is "" first, then the `cursor` member of the answer
 * {jobs = [...], cursor = text or nil at the end}. */
RT_API rt_err rt_report_jobs(rt_report *report, const char *state,
                             const char *capability, const char *cursor,
                             uint32_t limit, rt_value **out, rt_error *err);
/* The chain [{key, capability, depth}...] from a seed to this asset. */
RT_API rt_err rt_report_explain(rt_report *report, const char *key,
                                rt_value **out, rt_error *err);
/* What holds the session open: {state, reasons=[{what, count, ...}]}. */
RT_API rt_err rt_report_why(rt_report *report, rt_value **out, rt_error *err);
/* {answer=text, state=, cause=word, reason=, errors=...}. `cause` is one of
 * done duplicate running queued stage instance scaled rate paused held stopped
 * retrying asleep failed canceled gate setup unselected unregistered late type
 * scope depth assets fanout descendants repeats unknown (docs/sessions.md). */
RT_API rt_err rt_report_why_not(rt_report *report, const char *capability,
                                const char *key, rt_value **out, rt_error *err);

/* --- the files ----------------------------------------------------------
 * Each call [waits] on the disk only. RT_EUNAVAIL: it cannot be read or
 * written. */
/* Sessions in a folder: array of {name, state, assets, jobs...}, by name. */
RT_API rt_err rt_session_list(const char *dir, rt_value **out, rt_error *err);
/* The process that has the session open: its number, 0 when nobody does, -1
 * while it takes it. RT_EINVAL: no name of a session. */
RT_API rt_err rt_session_owner(const char *dir, const char *name,
                               int64_t *process, rt_error *err);
/* RT_ECONFLICT while it is open somewhere. */
RT_API rt_err rt_session_remove(const char *dir, const char *name,
                                rt_error *err);
/* Where the control socket of a session stands, while a program that serves one
 * has it: DIR/NAME.sock (`dir` NULL: the default folder); in place of a name of
 * more than 60 bytes, as a socket's path is short, its hash. Memory for
 * rt_free(); NULL: none is left. */
RT_API char *rt_session_socket(const char *dir, const char *name);
/* Put failed jobs back into the queue of a closed session; `*count` of them. */
RT_API rt_err rt_session_retry(const char *dir, const char *name,
                               int64_t *count, rt_error *err);

/* Delete assets of a closed session, as rt_session_delete(): all of these keys,
 * or none. RT_ENOTFOUND names the one that is not there. */
RT_API rt_err rt_session_prune(const char *dir, const char *name,
                               const char *const *keys, size_t count,
                               rt_error *err);

RT_END_DECL
#endif
