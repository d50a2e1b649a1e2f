/* store.h - one session's SQLite file, as its single writer sees it.
 *
 * The only room that speaks SQL. A store belongs to one thread (the engine's).
 * All changes between two commits are one transaction, begun by the first of
 * them; after a failed call the transaction must be rolled back and what was
 * held in memory read again. docs/schema.md explains the tables.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_STORE_H
#define RT__STORE_STORE_H

#include "rt/session.h"

typedef struct rt__store rt__store;

/* Bytes that are borrowed, not terminated; `at` NULL: none. */
typedef struct rt__text {
  const char *at;
  size_t size;
} rt__text;

/* How a fault begins or ends that only lasts as long as somebody's lock. */
#define RT__LOCKED_WORDS "the file is locked by another program"
#define RT__HELD_WORDS                                                         \
  "another program goes on reading the file, its journal has grown to"

/* A job's number: its asset and its capability. */
#define RT__CAPABILITIES_MAX 4096
#define RT__JOB_ID(asset, capability)                                          \
  ((uint64_t)(asset)*RT__CAPABILITIES_MAX + (capability))
/* Capabilities that may take one class: a bit each in an asset's masks. */
#define RT__LANES_MAX 62

rt_err rt__store_open(rt__store **out, const char *dir, const char *name,
                      rt_open_mode mode, bool sync_normal, rt_error *err);
/* Roll back what is open and release the file. NULL is allowed. */
void rt__store_close(rt__store *store);
/* The same, and when opening it made the file, the file goes too: for an
 * opening that came to nothing. NULL is allowed. */
void rt__store_abandon(rt__store *store);
bool rt__store_created(const rt__store *store);
/* The first change of a transaction begins it; RT_OK when one is open. */
rt_err rt__store_begin(rt__store *store, rt_error *err);
/* The same, for who can wait: RT_ETIMEOUT when another program holds the file
 * and does not let go of it within `patience_ms`. */
rt_err rt__store_lock(rt__store *store, int patience_ms, rt_error *err);
/* Is there something to commit? */
bool rt__store_dirty(const rt__store *store);
rt_err rt__store_commit(rt__store *store, rt_error *err);
void rt__store_rollback(rt__store *store);
/* Bytes of the log that cannot be moved into the file, since another program
 * goes on reading what was there before; 0: none. */
int64_t rt__store_held_bytes(const rt__store *store);
/* How large the log may become, for rt__store_log_full(); 0: no bound. */
void rt__store_bound_log(rt__store *store, int64_t bytes);
bool rt__store_log_full(const rt__store *store);
/* Outside of a transaction: RT_ETIMEOUT while another program reads from it. */
rt_err rt__store_empty_log(rt__store *store, rt_error *err);
/* Are the file and its log still those that were opened? RT_ENOTFOUND: the file
 * is gone, or another; RT_EINVAL: emptied; RT_EUNAVAIL: its log is gone. */
rt_err rt__store_present(const rt__store *store, rt_error *err);
/* After a fault: open the same file anew, and never another or an empty one.
 * It stays owned throughout. After a failure nothing can be read or written
 * until this succeeds. */
rt_err rt__store_reopen(rt__store *store, bool sync_normal, rt_error *err);
/* Did its last owner die? Until a commit that cleared what ran then. */
bool rt__store_died(const rt__store *store);
/* Leave words about what it waits for, for reports; NULL: for nothing. */
void rt__store_tell(rt__store *store, const char *words);

/* --- meta: named values ---------------------------------------------- */
int64_t rt__store_meta_int(rt__store *store, const char *name,
                           int64_t fallback);
/* A copy [free] or NULL. */
char *rt__store_meta_text(rt__store *store, const char *name);
rt_value *rt__store_meta_value(rt__store *store, const char *name);
rt_err rt__store_set_int(rt__store *store, const char *name, int64_t value,
                         rt_error *err);
rt_err rt__store_set_text(rt__store *store, const char *name, const char *text,
                          rt_error *err);
rt_err rt__store_set_value(rt__store *store, const char *name,
                           const rt_value *value, rt_error *err);

/* --- dictionaries and lanes ------------------------------------------ */
typedef struct rt__class_row {
  int64_t id, assets;
  const char *name;
} rt__class_row;
typedef struct rt__capability_row {
  int64_t id;
  const char *name;
} rt__capability_row;
/* A lane: what one capability has to do with one class. It concerns assets
 * from number `since` on; all up to `mark` are ended or have a row in job. */
typedef struct rt__lane_row {
  int64_t class_id, capability, position, since, mark;
  int64_t total, completed, skipped, failed, canceled;
  int64_t loaded; /* is its capability there? */
} rt__lane_row;
typedef rt_err (*rt__class_fn)(const rt__class_row *row, void *arg);
typedef rt_err (*rt__capability_fn)(const rt__capability_row *row, void *arg);
typedef rt_err (*rt__lane_fn)(const rt__lane_row *row, void *arg);
rt_err rt__store_classes(rt__store *store, rt__class_fn fn, void *arg,
                         rt_error *err);
rt_err rt__store_capabilities(rt__store *store, rt__capability_fn fn, void *arg,
                              rt_error *err);
rt_err rt__store_lanes(rt__store *store, rt__lane_fn fn, void *arg,
                       rt_error *err);
rt_err rt__store_put_class(rt__store *store, const rt__class_row *row,
                           rt_error *err);
rt_err rt__store_put_capability(rt__store *store, const rt__capability_row *row,
                                rt_error *err);
rt_err rt__store_put_lane(rt__store *store, const rt__lane_row *row,
                          rt_error *err);
/* Durations seen, a histogram, for the statistics. */
rt_err rt__store_put_times(rt__store *store, int64_t capability,
                           const void *data, size_t size, rt_error *err);
bool rt__store_get_times(rt__store *store, int64_t capability, void *data,
                         size_t size);

/* --- assets, edges, rejections --------------------------------------- */
typedef struct rt__asset_row {
  int64_t id, parent, root, created; /* parent 0: a seed; created in ms */
  int64_t class_id, capability, depth;
  int64_t priority;    /* 0: that of each capability */
  rt__text value, key; /* key.at NULL: CLASS:VALUE */
  uint64_t done, aside;
  const rt_value *metadata; /* borrowed */
} rt__asset_row;
typedef rt_err (*rt__asset_fn)(const rt__asset_row *row, void *arg);

/* The hash under which a key is found. */
uint64_t rt__store_hash(const rt__store *store, rt__text key);
/* Insert with the next number, which goes to row->id. */
rt_err rt__store_insert(rt__store *store, rt__asset_row *row, uint64_t hash,
                        rt_error *err);
/* The asset with this hash and key text: row->id 0 when there is none. Its
 * texts and metadata are not filled in. */
rt_err rt__store_find(rt__store *store, uint64_t hash, rt__text key,
                      rt__asset_row *row, rt_error *err);
/* One asset by its number; `fn` is called with it when there is one. */
rt_err rt__store_load(rt__store *store, int64_t id, rt__asset_fn fn, void *arg,
                      rt_error *err);
/* How many assets there are below each seed. */
typedef rt_err (*rt__root_fn)(int64_t root, int64_t count, void *arg);
rt_err rt__store_roots(rt__store *store, rt__root_fn fn, void *arg,
                       rt_error *err);
/* Its key as text [free]; NULL when there is none. */
char *rt__store_key(rt__store *store, int64_t id);
/* Assets of a class after `after` up to `upto` on which the lane at bit `bit`
 * has not ended and which are not put aside, at most `limit`. */
rt_err rt__store_scan(rt__store *store, int64_t class_id, uint64_t bit,
                      int64_t after, int64_t upto, int64_t limit,
                      rt__asset_fn fn, void *arg, rt_error *err);
rt_err rt__store_set_masks(rt__store *store, int64_t id, uint64_t done,
                           uint64_t aside, rt_error *err);
/* Bring it nearer; *nearer is false when it is not farther now. */
rt_err rt__store_set_depth(rt__store *store, int64_t id, int64_t depth,
                           bool *nearer, rt_error *err);
/* With its jobs, the ways to it and what was rejected below it. */
rt_err rt__store_delete_asset(rt__store *store, int64_t id, rt_error *err);
/* Before that: when it is a seed, note its key, so that who keeps a list of
 * seeds does not bring it back. */
rt_err rt__store_note_deleted(rt__store *store, int64_t id, rt_error *err);
/* Before that, for each lane of its class: count its job no more. `done` are
 * the asset's bits; in memory there is no job of it. */
rt_err rt__store_uncount(rt__store *store, rt__lane_row *lane, int64_t asset,
                         uint64_t done, rt_error *err);
/* When the first asset numbered `id` or more was stored; 0: there is none. */
int64_t rt__store_created_ms(rt__store *store, int64_t id);
int64_t rt__store_last_asset(const rt__store *store);
/* Assets of a class with a number below `id`. Looks at all of them. */
rt_err rt__store_count_before(rt__store *store, int64_t class_id, int64_t id,
                              int64_t *count, rt_error *err);
/* A further way to an asset that is known; one that is stored is left. */
rt_err rt__store_edge(rt__store *store, int64_t to, int64_t from,
                      int64_t capability, rt_error *err);
/* Numbers of the assets that `from` led to: `fn` with id and depth only. */
rt_err rt__store_children(rt__store *store, int64_t from, rt__asset_fn fn,
                          void *arg, rt_error *err);
/* What was not taken; *fresh: it was not there yet. `kind` is scope, depth,
 * assets or fanout. */
rt_err rt__store_reject(rt__store *store, const rt__asset_row *row,
                        uint64_t hash, const char *kind, const char *reason,
                        bool *fresh, rt_error *err);
/* How many rows there are of a kind. Looks at all of them. */
int64_t rt__store_count_rejected(rt__store *store, const char *kind);
/* What depth rejected below `parent`; the rows are removed by the second. */
rt_err rt__store_rejected(rt__store *store, int64_t parent, rt__asset_fn fn,
                          void *arg, rt_error *err);
rt_err rt__store_unreject(rt__store *store, int64_t parent, rt_error *err);

/* Named value: how many were rejected, a map by kind. */
#define RT__META_REJECTIONS "rejections"
/* Named value: how often it was opened anew after a fault. */
#define RT__META_FAULTS "faults"
/* Named value: the last asset when work was given up. What a lane that has
 * canceled jobs had not ended of those before is canceled, without a row. */
#define RT__META_DISCARDED "discarded"
/* Named value: the last number of an asset, when that one was deleted. */
#define RT__META_HIGHEST "highest"
/* Named value: this, and a capability's name: its max_instances. */
#define RT__META_INSTANCES "instances:"
/* The same: when its next tick is due, in ms; 0: it has none. */
#define RT__META_TICK "every:"
/* The same: how many instances run in other sessions, while they are missed. */
#define RT__META_ELSEWHERE "elsewhere:"
/* The same: what its owner has scaled it to, and one; 0: it has not. */
#define RT__META_SCALED "scaled:"
/* The same: it was not chosen (1); its priority; its jobs wait for a token. */
#define RT__META_LEFT_OUT "left_out:"
#define RT__META_PRIORITY "priority:"
#define RT__META_WAITS    "waits:"
/* 1 while the session is paused. */
#define RT__META_PAUSED "paused"
/* When it was last looked at what is delayed, in ms. */
#define RT__META_CLOCK "clock"
/* This, a capability's name, and for one of its rate keys ":KEY": until when
 * nothing of it starts, in ms. */
#define RT__META_HOLD "hold:"
/* Those of a capability; `key` is NULL for all of its jobs. */
typedef void (*rt__hold_fn)(const char *key, int64_t until, void *arg);
rt_err rt__store_hold(rt__store *store, const char *capability, const char *key,
                      int64_t until, rt_error *err);
rt_err rt__store_holds(rt__store *store, const char *capability, rt__hold_fn fn,
                       void *arg, rt_error *err);
rt_err rt__store_drop_holds(rt__store *store, int64_t now, rt_error *err);

/* The reason of a delayed job that is no retry. */
#define RT__WAITS_FOR_RATE "waits for its rate"
/* The reason of a skip because a capability is not there. */
#define RT__NOT_REGISTERED "capability not registered"
/* --- jobs that are no uneventful success ----------------------------- */
typedef enum rt__job_state {
  RT__JOB_QUEUED,  /* put aside, can be taken */
  RT__JOB_TAKEN,   /* in memory, or running */
  RT__JOB_DELAYED, /* until `due`: a retry or a snooze */
  RT__JOB_HELD,    /* runs again when an earlier stage has */
  RT__JOB_COMPLETED,
  RT__JOB_SKIPPED,
  RT__JOB_FAILED,
  RT__JOB_CANCELED
} rt__job_state;
typedef struct rt__job_row {
  int64_t asset, capability;
  int64_t class_id; /* when read; known by the asset when written */
  rt__job_state state;
  int64_t attempt, crashes, fanout, priority, ended;
  int64_t again;          /* when its capability may run again by time, in ms */
  int64_t run;            /* in which it ended */
  int64_t version;        /* of its capability; 0: none, or the first */
  double due;             /* unix seconds */
  const char *reason;     /* NULL: none */
  const rt_value *errors; /* array of maps, or NULL; borrowed */
} rt__job_row;
typedef rt_err (*rt__job_fn)(const rt__job_row *row, void *arg);

const char *rt__job_state_text(rt__job_state state);
rt_err rt__store_put_job(rt__store *store, const rt__job_row *row,
                         rt_error *err);
rt_err rt__store_job(rt__store *store, int64_t asset, int64_t capability,
                     rt__job_fn fn, void *arg, rt_error *err);
rt_err rt__store_delete_job(rt__store *store, int64_t asset, int64_t capability,
                            rt_error *err);
/* Rows put aside for a capability on a class, in working order; each is marked
 * taken by the caller (rt__store_take_job). */
rt_err rt__store_aside_jobs(rt__store *store, int64_t class_id,
                            int64_t capability, int64_t limit, rt__job_fn fn,
                            void *arg, rt_error *err);
rt_err rt__store_due_jobs(rt__store *store, double now, int64_t limit,
                          rt__job_fn fn, void *arg, rt_error *err);
/* When the next delayed job is due; 0: there is none. */
double rt__store_next_due(rt__store *store);
rt_err rt__store_take_job(rt__store *store, int64_t asset, int64_t capability,
                          rt_error *err);
/* Bring all that is delayed nearer: the clock was set back. */
rt_err rt__store_shift_due(rt__store *store, double seconds, rt_error *err);
/* At opening: what was taken is put aside again. */
rt_err rt__store_untake(rt__store *store, rt_error *err);
/* Give up all that is put aside. */
rt_err rt__store_cancel_jobs(rt__store *store, rt_error *err);
/* Failed ones, for a retry by command. */
rt_err rt__store_failed_jobs(rt__store *store, int64_t limit, rt__job_fn fn,
                             void *arg, rt_error *err);

/* --- running again ----------------------------------------------------- */
/* Named value: the run there is: its number, the last asset before it and its
 * begin in ms. Named value: this, and a capability's name: its rule. */
#define RT__META_RUN   "run"
#define RT__META_RERUN "rerun:"
/* An asset that was found again in a later run, changed, or is gone. */
typedef struct rt__found_row {
  int64_t asset, run, seen;          /* when it was found, in ms */
  int64_t version, changed, changes; /* how often, in this run */
  int64_t gone;
  rt_value *fresh; /* what this run found of its metadata [own] */
} rt__found_row;
/* row->version is 0 when there is none. */
rt_err rt__store_get_found(rt__store *store, int64_t asset, rt__found_row *row,
                           rt_error *err);
rt_err rt__store_put_found(rt__store *store, const rt__found_row *row,
                           rt_error *err);
rt_err rt__store_set_metadata(rt__store *store, int64_t id,
                              const rt_value *metadata, rt_error *err);
/* Let a job that is held be taken; *released: it was held. */
rt_err rt__store_release(rt__store *store, int64_t asset, int64_t capability,
                         bool *released, rt_error *err);
/* A lane, and which of its jobs are stale: those that ended up to `before` (ms)
 * and not in `run`, if that is not negative. `bit` is its own, `earlier` those
 * of the stages before it. */
typedef struct rt__stale {
  int64_t class_id, capability, before, now, run;
  uint64_t bit, earlier;
} rt__stale;
/* Of a lane all that are held for no reason any more, of assets after `after`
 * up to `upto`. */
rt_err rt__store_unhold(rt__store *store, const rt__stale *lane, int64_t after,
                        int64_t upto, rt_error *err);
/* Put what is stale aside, some `limit` jobs, the oldest ones; *more: there are
 * others. `counts` of those that were completed, skipped and failed. */
rt_err rt__store_stale(rt__store *store, const rt__stale *lane, int64_t limit,
                       int64_t counts[3], bool *more, rt_error *err);
/* The rule of a capability is another now: so many ms after a job has ended;
 * negative: not by time. */
rt_err rt__store_adopt(rt__store *store, const rt__stale *lane, int64_t after,
                       rt_error *err);
/* The number of a capability's version, noted when it is new; *several: it is
 * not the first. */
rt_err rt__store_version(rt__store *store, int64_t capability,
                         const char *version, int64_t *id, bool *several,
                         rt_error *err);
/* Assets up to `upto` that run `run` did not find, though all jobs that had
 * found them have run in it. Looks at some `limit` assets from *at on, and
 * leaves there where it came to; *more: it has not seen all. */
typedef struct rt__gone_at {
  int64_t asset, capability; /* a job of the run */
  int64_t child;             /* the last asset of it that was looked at */
} rt__gone_at;
rt_err rt__store_gone(rt__store *store, int64_t run, int64_t upto,
                      int64_t limit, rt__gone_at *at, rt__asset_fn fn,
                      void *arg, bool *more, rt_error *err);

/* --- what is running: lists of [job, attempt, fanout] ---------------- */
typedef struct rt__running {
  uint64_t job;
  uint32_t attempt, fanout;
} rt__running;
rt_err rt__store_put_running(rt__store *store, int64_t segment,
                             const rt__running *list, size_t count,
                             rt_error *err);
/* What ran when the file was last written; then forgotten with the second. */
rt_err rt__store_get_running(rt__store *store, rt__running **list,
                             size_t *count, rt_error *err);
rt_err rt__store_clear_running(rt__store *store, rt_error *err);

#endif
