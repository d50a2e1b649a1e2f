/* internal.h - what the engine's files share: sessions, the engine, and what
 * each file does for the others. Commands are in command.h, what there is to do
 * in work.h. Everything here belongs to the engine's thread unless marked
 * otherwise.
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_INTERNAL_H
#define RT__DISPATCHER_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/map.h"
#include "dispatcher/command.h"
#include "dispatcher/executor.h"
#include "dispatcher/idmap.h"
#include "dispatcher/scope.h"
#include "dispatcher/work.h"
#include "store/counts.h"
#include "store/store.h"

/* The window of a lane: read more below MIN, up to MAX over live sessions. */
#define RT__WINDOW_MIN 100
#define RT__WINDOW_MAX 500
/* Asset rows looked at in one go while searching for work. */
#define RT__SCAN_ROWS 20000
/* Asset values above this are read again when their job starts. */
#define RT__KEEP_BYTES 4096
/* Jobs of a lane that wait in memory for tokens of their keys. */
#define RT__WAITING_MAX 1000
#define RT__CRASHES_MAX 3
#define RT__BUDGETS     6
#define RT__SEGMENT     64 /* running jobs in one row of the store */
/* --- sessions -------------------------------------------------------- */
typedef struct rt__reply {
  struct rt__reply *next;
  rt_reply_fn fn;
  void *arg;
  rt_value *result;
} rt__reply;

typedef struct rt__note { /* an event to be sent after the commit */
  struct rt__note *next;
  const char *kind;
  char *path;
  rt_value *data;
} rt__note;

struct rt_session {
  /* constant */
  char *name, *dir;
  rt__port *port;
  rt_open_mode mode;
  bool sync_normal;
  char **only, **without;
  size_t only_count, without_count;
  int64_t max_depth, max_assets, max_fanout, max_descendants, max_repeats;
  uint32_t concurrency;
  double deadline, grace, patience;
  int64_t max_journal;
  rt_value *options, *config;
  rt__scope scope;
  /* [any] */
  atomic_uint refs;
  atomic_bool done;
  /* engine's thread */
  rt__engine *engine; /* NULL once closed */
  rt_session *next;
  rt__store *store;
  uint32_t epoch;
  rt__class **classes;
  size_t class_count;
  rt__map class_index;
  rt__known **known; /* by number - 1 */
  size_t known_count;
  rt__lane **lanes;
  size_t lane_count;
  rt__idmap items, lives;
  rt__item *dirty_items;
  int64_t assets;
  uint32_t running;
  uint64_t grants; /* leases ever given */
  bool alone;      /* the one that runs has its last chance */
  rt__live *starting;
  rt__live **slots; /* running jobs by slot */
  size_t slot_room;
  uint32_t *free_slots;
  size_t free_count;
  bool *segments;   /* changed since the last commit */
  double wall_base; /* unix seconds at mono_base, so clock jumps do no harm */
  uint64_t mono_base;
  double next_due;                    /* 0: nothing delayed */
  rt__reply *replies, **replies_last; /* after the commit */
  rt__reply *waiters;
  rt__reply *closers; /* cancel and close */
  rt__note *notes, **notes_last;
  const char *label;    /* of what is being dispatched, borrowed */
  const rt_value *meta; /* likewise */
  /* guarded by commit_lock, which is held while the callback runs */
  uv_mutex_t commit_lock;
  rt_commit_fn on_commit;
  void *on_commit_arg;
  /* engine's thread */
  rt_session_fn opened; /* who opened it, to be told */
  void *opened_arg;
  int64_t told_asset;
  int64_t round;
  int64_t run, run_first, run_began; /* as RT__META_RUN */
  int64_t gone_run, reruns;          /* looked for what is gone; jobs again */
  rt__gone_at gone_at;               /* so far, in this run */
  int64_t unheld;                    /* while stale: looked at up to this one */
  bool run_open;
  bool rerunning, watched; /* a capability runs again, or takes events */
  bool round_open, paused, touched, held, discard;
  bool draining, drained, closing, failed, loaded, rescanned, killed;
  bool stale;   /* being opened: more is to be put aside, to run again */
  bool refused; /* its opening came to nothing */
  bool locked;  /* another program holds the file */
  enum { RT__FAREWELL_NONE, RT__FAREWELL_ASKED, RT__FAREWELL_DONE } farewell;
  uint32_t holds_kept; /* in the file, since those that are over were removed */
  double wall_last;    /* unix seconds, when schedules were last looked at */
  uint64_t farewell_ns; /* it ends without */
  bool lock_logged, held_told, memory_told, paused_told;
  uint64_t scales_told;                  /* of the engine's */
  char lock_words[160], held_words[160]; /* what it waits for, or suffers */
  uint64_t unlock_ns, lock_log_ns, open_until_ns;
  rt__cmd *parked, **parked_last; /* commands that wait for the file */
  char *reason;                   /* why it is draining */
  rt_error fault;                 /* while failed */
  uint64_t lost_ns, well_ns;      /* no use to wait longer; goes on since */
  bool lost;                      /* it was, and the session has ended */
  uint64_t wake_ns, kill_ns, giveup_ns, deadline_ns, retry_ns, times_ns;
  int64_t rejections[RT__BUDGETS]; /* by name, as of the next commit */
  bool rejected;                   /* they changed */
  rt__idmap roots; /* assets below each seed, once that is asked for */
  bool roots_known;
  rt__buf scratch, item_scratch;
};

/* memory.c: what the program has, against its bounds. */
typedef struct rt__memory {
  rt__heaps heaps;
  uint64_t excess, ceiling, every_ns;
  uint64_t next_ns, full_ns;    /* a short look, a whole one */
  uint64_t lua, heap, resident; /* as of the last look */
  uint64_t target;              /* what was left after the last collection */
  uint64_t collections, pauses;
  bool collected;                 /* the next look finds what was left */
  bool over;                      /* above the ceiling: no new work */
  char words[120];                /* about that */
  bool releasing;                 /* one that waited is run */
  bool one_job, one_dispatch;     /* one more, all the same */
  uint64_t stall_ns, moved_ns;    /* moved: a job ended, or something began */
  rt__cmd *parked, **parked_last; /* dispatches that wait for it to end */
} rt__memory;

struct rt__engine {
  rt_runtime *rt;
  rt_bus *bus;
  rt_registry *registry;
  rt__executor executor;
  rt__port *port;
  uv_thread_t thread;
  bool thread_runs;
  /* engine's thread */
  rt_session *sessions;
  size_t session_count;
  size_t live_count; /* those with work, as of this step */
  rt__cap *caps;
  rt__cmd *todo;    /* taken, not yet run */
  rt__cmd *opening; /* what is to be opened again, or is being opened */
  uint64_t now;     /* monotonic ns at the start of this step */
  uint64_t wake_ns, tick_ns;
  uint64_t scales; /* how often something was scaled */
  rt__memory memory;
  bool stopping;
  uint64_t stop_ns; /* by then it is to have stopped */
};

/* open.c: reading a session's file, letting it go. */
rt_err rt__session_load(rt_session *s, rt_error *err);
/* While s->stale: the next part of what runs again. */
rt_err rt__session_load_stale(rt_session *s, rt_error *err);
void rt__session_clear(rt_session *s); /* what is in memory */
void rt__session_unload(rt_session *s);
/* session.c: the handle. */
rt_err rt__session_new(rt_session **out, rt__port *port,
                       const rt_session_opts *opts, rt_error *err);
/* locked.c */
/* Begin the transaction; false: the file is locked, nothing may change. */
bool rt__session_gate(rt_session *s);
/* Run a command of a session, or park it while its file is locked. */
void rt__session_run(rt__engine *engine, rt__cmd *cmd);
/* Run what was parked, as the session is now. */
void rt__session_unpark(rt__engine *engine, rt_session *s);
/* In each step: is it free (again)? Then what was parked has run. */
bool rt__session_unlocked(rt_session *s);
void rt__session_tell_held(rt_session *s);
/* What reports say that it waits for: the gravest there is. */
void rt__session_tell(rt_session *s);
/* Takes the command that opens, when its file is locked and there is time. */
bool rt__session_open_later(rt__engine *engine, rt__cmd *cmd,
                            const rt_error *err);
/* Takes it, to be run again in the next step. */
void rt__session_open_on(rt__engine *engine, rt__cmd *cmd);
void rt__engine_open_again(rt__engine *engine);
/* control.c */
/* What the clock asks for while the file is locked. */
void rt__session_locked_timers(rt_session *s);
void rt__session_fail(rt_session *s, const rt_error *err);
void rt__session_drain(rt_session *s, const char *reason, double grace);
rt_err rt__session_timers(rt_session *s, rt_error *err);
/* Is a round or a drain at its end? Before the commit, and after it. */
rt_err rt__session_settle(rt_session *s, bool *finished, rt_error *err);
void rt__session_settled(rt_session *s, bool finished);
/* A round begins with a dispatch. */
rt_err rt__session_round(rt_session *s, rt_error *err);
void rt__session_wait(rt_session *s, rt_reply_fn fn, void *arg);
void rt__session_hold(rt_session *s);
void rt__session_reply(rt__reply **list, rt_err code, const rt_error *err);
/* lanes.c */
rt__class *rt__session_class(rt_session *s, const char *name, size_t size,
                             rt_error *err);
rt__lane *rt__session_lane(rt_session *s, rt__class *cls, uint32_t capability);
rt_err rt__session_add_cap(rt_session *s, rt__cap *cap, bool backfill,
                           rt_error *err);
rt_err rt__session_drop_cap(rt_session *s, rt__cap *cap, rt_error *err);
bool rt__session_wants(const rt_session *s, const rt_capability *decl);
rt_err rt__lane_new(rt_session *s, rt__class *cls, const rt__lane_row *row,
                    rt__lane **out, rt_error *err);
rt_err rt__class_new(rt_session *s, const rt__class_row *row, rt__class **out,
                     rt_error *err);
rt_err rt__known_new(rt_session *s, const rt__capability_row *row,
                     rt__known **out, rt_error *err);
void rt__lane_free(rt__lane *lane);
void rt__class_rescan(rt__class *cls);
/* tell.c: for reports. */
rt_err rt__tell_capability(rt_session *s, const rt__cap *cap, rt_error *err);
/* Now and then: for which instances and tokens do jobs wait? */
rt_err rt__tell_waits(rt_session *s, rt_error *err);
/* What was scaled since it was told last. */
rt_err rt__tell_scales(rt_session *s, rt_error *err);
rt_err rt__tell_paused(rt_session *s, rt_error *err);
/* items.c */
rt__item *rt__item_get(rt_session *s, int64_t id);
rt__item *rt__item_of_row(rt_session *s, const rt__asset_row *row,
                          rt__text parent_key);
rt__item *rt__item_load(rt_session *s, int64_t id, rt_error *err);
void rt__item_changed(rt_session *s, rt__item *item);
void rt__item_unref(rt_session *s, rt__item *item);
rt__live *rt__live_new(rt_session *s, rt__lane *lane, rt__item *item);
void rt__live_free(rt_session *s, rt__live *live);   /* from wherever it is */
void rt__live_forget(rt_session *s, rt__live *live); /* out of its queue */
bool rt__live_queue(rt_session *s, rt__live *live);
/* refill.c */
rt_err rt__item_advance(rt_session *s, rt__item *item, bool at_once,
                        rt_error *err);
bool rt__item_open_for(const rt__item *item, const rt__lane *lane);
/* *more: there is more to read at once. */
rt_err rt__session_refill(rt_session *s, bool *more, rt_error *err);
/* Is there a window to fill, and room for what would be read? */
bool rt__session_hungry(const rt_session *s);
rt_err rt__session_due(rt_session *s, rt_error *err);
/* intake.c */
rt_err rt__session_take(rt_session *s, rt_view asset, rt__live *from,
                        const rt_dispatch_opts *opts, rt_outcome *outcome,
                        rt_error *err);
/* A target that a job of an active capability was refused. */
rt_err rt__session_refuse(rt_session *s, rt__live *live, const char *target,
                          const char *why, rt_error *err);
/* grant.c */
void rt__session_prepare(rt_session *s);
/* Start one job; *started tells whether there was one that could. */
rt_err rt__session_grant(rt_session *s, bool *started, rt_error *err);
void rt__caps_wake(rt__engine *engine);
rt__lease rt__live_lease(const rt_session *s, const rt__live *live);
void rt__session_hand_over(rt_session *s);
void rt__live_stopped(rt_session *s, rt__live *live);
/* ending.c */
rt_err rt__live_end(rt_session *s, rt__live *live, rt__end *end, rt_error *err);
rt_err rt__live_settle(rt_session *s, rt__live *live, rt__job_state state,
                       const char *reason, rt_error *err);
/* More wait for tokens of rate keys than are kept in memory: those go into the
 * store until about their turn. */
bool rt__live_must_park(rt_session *s, rt__live *live);
rt_err rt__live_park(rt_session *s, rt__live *live, rt_error *err);
rt_err rt__live_put_back(rt_session *s, rt__live *live, rt_error *err);
/* schedule.c */
bool rt__session_scheduled(const rt_session *s);
rt_err rt__session_ticks(rt_session *s, rt_error *err);
/* It is not registered any more. */
rt_err rt__session_unschedule(rt_session *s, const rt__cap *cap, rt_error *err);
/* intake.c: a tick, for which there are no rules. */
rt_err rt__session_take_tick(rt_session *s, rt__class *cls, const char *value,
                             rt_error *err);
/* farewell.c: has every finish been run, or its time run out? */
bool rt__session_said_goodbye(rt_session *s);
/* hold.c: in the file; what other sessions and earlier runs were told. */
rt_err rt__hold_keep(rt_session *s, const rt__cap *cap, const char *key,
                     double delay, rt_error *err);
rt_err rt__hold_read(rt_session *s, rt__cap *cap, rt_error *err);
/* What waits in memory, in any session, for a key that is held. */
void rt__engine_park_held(rt__engine *engine, rt__cap *cap, const char *key);
/* commit.c */
rt_err rt__session_commit(rt_session *s, rt_error *err);
void rt__session_announce(rt_session *s);
/* memory.c */
void rt__memory_init(rt__memory *memory);
/* In each step: is it time to look? */
void rt__memory_look(rt__engine *engine);
/* May another job start? */
bool rt__memory_room(const rt__engine *engine);
/* A job has begun, or ended. */
void rt__memory_moved(rt__engine *engine, bool begun);
/* Takes a dispatch that has to wait. */
bool rt__memory_parks(rt__engine *engine, rt__cmd *cmd);
/* Takes one that comes after a dispatch of its session that waits. */
bool rt__memory_follows(rt__engine *engine, rt__cmd *cmd);
/* At the end of a step: run those whose wait is over; true: one was. */
bool rt__memory_unpark(rt__engine *engine);
void rt__memory_stats(rt_builder *b, const rt__engine *engine);
/* stats.c */
rt_value *rt__session_stats_value(rt_session *s);
int64_t rt__session_open_jobs(const rt_session *s);
void rt__known_time(rt__known *known, double seconds);
/* events.c: kept until the commit; nothing when nobody listens. */
void rt__note_session(rt_session *s, const char *kind, const char *reason);
void rt__note_asset(rt_session *s, const char *kind, rt__text key,
                    const rt__asset_row *row, const char *class_name,
                    const char *reason);
void rt__note_job(rt_session *s, const char *kind, const rt__live *live,
                  const char *reason, double seconds);
void rt__note_queued(rt_session *s, const rt__class *cls, rt__text key,
                     int64_t asset);
void rt__notes_send(rt_session *s);
void rt__notes_drop(rt_session *s);
/* An asset that the engine makes: of `row` its value, key, metadata, parent,
 * depth and root count. */
rt_err rt__session_put(rt_session *s, rt__class *cls, rt__asset_row *row,
                       rt_error *err);
/* again.c: jobs that run again. */
/* Each round is a run; before its first asset. */
rt_err rt__again_begin(rt_session *s, rt_error *err);
void rt__again_read(rt_session *s);
/* A capability was attached: its version and its rule. */
rt_err rt__again_known(rt_session *s, rt__known *known, rt_error *err);
/* At opening: what is stale is queued, a part of it; *more: there is more. */
rt_err rt__again_stale(rt_session *s, bool *more, rt_error *err);
/* A capability is gone: nobody waits for it. */
rt_err rt__again_unhold(rt_session *s, rt__class *cls, rt_error *err);
/* One job, which has ended. */
rt_err rt__again_run(rt_session *s, rt__item *item, rt__lane *lane,
                     rt_error *err);
/* The asset was found again, by a seed or otherwise: what is stale runs. */
rt_err rt__again_found(rt_session *s, int64_t asset, const rt__class *cls,
                       bool seed, rt_error *err);
/* Its metadata changed by a result of `by`, or a seed (NULL). */
rt_err rt__again_changed(rt_session *s, int64_t asset, const rt__class *cls,
                         const rt__live *by, rt_error *err);
bool rt__again_by_time(const rt__cap *cap);
/* In ms after it has ended; negative: not by time. */
int64_t rt__again_after(const rt__cap *cap);
/* merge.c: a total order of data; 0: the same. */
int rt__view_compare(rt_view a, rt_view b);
/* Of two values those of `more` stay when it is newer, else the greater. */
rt_value *rt__metadata_merge(const rt_value *base, const rt_value *more,
                             bool newer);
/* found.c: assets that are found again, change, or are gone. */
typedef struct rt__sighting {
  rt__asset_row *found; /* as rt__store_find() */
  rt__class *cls;
  rt__text key, value, own_key; /* own_key.at NULL: CLASS:VALUE */
  uint64_t hash;
  rt_value *metadata; /* what it was found with; NULL: nothing */
  rt__live *by;       /* the job that found it; NULL: a seed */
} rt__sighting;
rt_err rt__session_sighted(rt_session *s, const rt__sighting *seen,
                           rt_error *err);
/* Found by this run as well, but turned away: not gone, and nothing else. */
rt_err rt__session_refound(rt_session *s, uint64_t hash, rt__text key,
                           rt_error *err);
/* A new one: an event in each run after the first. */
rt_err rt__session_event_new(rt_session *s, const rt__asset_row *row,
                             const rt__class *cls, rt__text key, rt_error *err);
/* Before a round ends: what did it not find any more? *all: it has looked at
 * all there is, else there is more in the next step. */
rt_err rt__session_gone(rt_session *s, bool *all, rt_error *err);
/* budgets.c: the name of the budget that stands against a result of a job (or a
 * seed, live NULL) and why, or NULL. */
const char *rt__budget_over(rt_session *s, rt__live *live, int64_t depth,
                            int64_t root, char *why, size_t size);
void rt__budget_count(rt_session *s, int64_t root); /* one more was stored */
/* Is this rejection kept as a row, or only counted? */
bool rt__budget_keeps(const rt__live *live, const char *kind);
void rt__budget_tripped(rt_session *s, rt__live *live, const char *kind);
/* A result of the job was there already. */
void rt__budget_met(rt_session *s, rt__live *live);
/* Why a job that floods has failed [free]; NULL: no memory. */
char *rt__budget_flood_words(const rt_session *s, const rt__live *live);
void rt__budgets_read(rt_session *s);
rt_err rt__budgets_write(rt_session *s, rt_error *err);
void rt__budget_stats(const rt_session *s, rt_builder *b);
void rt__budgets_clear(rt_session *s);
/* remove.c: take an asset out; RT_ECONFLICT while a job of it runs. */
rt_err rt__asset_delete(rt_session *s, const rt__asset_row *found,
                        rt_error *err);
/* operate.c */
bool rt__cap_has_room(const rt__cap *cap);
void rt__operate_stats(const rt_session *s, rt_builder *b);
/* engine.c */
void rt__engine_hold(rt__engine *engine);
void rt__engine_release(rt__engine *engine);
void rt__engine_touch_all(rt__engine *engine);
rt__cap *rt__engine_cap(rt__engine *engine, const char *name);
void rt__wake_at(uint64_t *wake, uint64_t when);
uint64_t rt__ns(double seconds);             /* 0 for what is not above 0 */
double rt__session_now(const rt_session *s); /* unix seconds, only forward */
void rt__session_log(rt_session *s, rt_log_level level, const char *fmt, ...)
    RT_PRINTF(3, 4);

#endif
