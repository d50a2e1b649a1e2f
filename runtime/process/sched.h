/* process/sched.h - how a worker runs processes; for this folder and bind/.
 *
 *   runtime --has--> workers --each has--> VMs --have--> processes --> fibers
 *
 * A fiber is a coroutine the scheduler resumes; a process is a group of them
 * with one mailbox, one set of globals, and one fate. The worker keeps two
 * queues of processes that can run: those whose last turn was short, and those
 * that compute for long or have not had a turn yet. Each gets half the time
 * when both want it, so that however many compute, who only waits and answers
 * keeps its rate. A process keeps a queue of its ready fibers. A fiber that the
 * hook stopped half-way (preempted) goes on before anything else of its process
 * runs, so that what the library keeps for one process is never seen half-way
 * by another fiber.
 *
 * Thread rule: everything belongs to the worker's thread, but what is marked
 * [any] or [atomic]. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_SCHED_H
#define RT__PROCESS_SCHED_H

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <time.h>
#include <uv.h>

#include "process/blocks.h"
#include "process/op.h"
#include "process/peers.h"
#include "process/stuck.h"
#include "process/worker.h"
#include "relay/mailbox.h"
#include "relay/names.h"
#include "relay/pids.h"

typedef struct rt__vm rt__vm;
typedef struct rt__fiber rt__fiber;
typedef struct rt__watchdog rt__watchdog;
typedef struct rt__timer rt__timer;

#define RT__SLICE      64        /* ready fibers of a process in its turn */
#define RT__PREEMPT_NS 10000000u /* one fiber, then the watchdog interrupts */

#define RT__UNBORN       256    /* then who starts more waits behind them */
#define RT__SPARES       64     /* coroutines that a VM keeps */
#define RT__SLOW         2      /* then a process waits in the second queue */
#define RT__VMS          16     /* of a worker, at most: four bits of a PID */
#define RT__VM_PROCESSES 100000 /* then another VM is made */

/* --- timers: a heap per worker ----------------------------------------- */
struct rt__timer {
  uint64_t due; /* uv_hrtime() */
  size_t at;    /* place in the heap + 1; 0: not armed */
  void (*fire)(rt__worker *worker, rt__timer *timer);
};
typedef struct rt__timer_entry {
  uint64_t due;
  rt__timer *timer;
} rt__timer_entry;
typedef struct rt__timers {
  rt__timer_entry *heap;
  size_t count, room;
} rt__timers;
/* Arm, also again; RT_ENOMEM. `seconds` may be 0. */
rt_err rt__timer_start(rt__worker *worker, rt__timer *timer, double seconds);
void rt__timer_stop(rt__worker *worker, rt__timer *timer);
/* When the next is due, or UINT64_MAX. */
uint64_t rt__timers_due(const rt__timers *timers);
/* Fire what is due, up to a bound; then when the next is. */
uint64_t rt__timers_run(rt__worker *worker);

/* --- fibers ------------------------------------------------------------- */
typedef enum rt__fiber_state {
  RT__FIBER_READY,
  RT__FIBER_RUNNING, /* or preempted */
  RT__FIBER_PARKED
} rt__fiber_state;

/* The library's handle of it is a number: a slot of the VM and its generation,
 * so that a handle outlives its fiber. Freed as soon as it has ended. */
struct rt__fiber {
  rt__process *process;
  lua_State *co;
  rt__fiber *ready_next;
  rt__op *op; /* what it awaits */
  rt__timer timer;
  uint32_t slot;
  uint32_t ticket;  /* of its wait for a channel; 0: no such wait */
  int ref;          /* of `co` in the VM's table `fibers` */
  uint16_t args;    /* values on `co` to resume with */
  uint8_t state;    /* rt__fiber_state */
  bool parking : 1; /* said it will wait; its yield is still to come */
  bool woken : 1;   /* was woken before that yield came */
  bool timed_out : 1;
  bool preempted : 1;
  rt__fiber *prev, *next; /* all of the process */
};

typedef struct rt__fiber_slot {
  rt__fiber *fiber; /* NULL: free */
  uint32_t generation, next_free;
} rt__fiber_slot;
typedef struct rt__fiber_slots {
  rt__fiber_slot *at;
  uint32_t used, room, free; /* `free`: the first free one + 1; 0: none */
} rt__fiber_slots;

/* --- processes ---------------------------------------------------------- */
/* How a process ended: RT_OK returned (`result`, first value, may be NULL),
 * RT_EUNKNOWN an error was raised, RT_ECANCELED terminated, RT_ETIMEOUT past
 * its deadline, RT_ENOMEM out of the VM's memory, RT_ECLOSED shutdown; the
 * `error` map is [borrowed]. Worker thread; must not enter Lua. */
typedef void (*rt__ended_fn)(rt__process *process, rt_err how, rt_value *result,
                             rt_value *error, void *arg);

/* What few processes have: made when it is first needed. */
typedef struct rt__rare {
  rt__process *process;
  rt__ended_fn on_exit;
  void *exit_arg, *user, *public_arg;
  rt_exit_fn public_exit;
  struct rt__fence *fence; /* [own] what it may reach; NULL: anything */
  rt__peer *watchers, *links;
  rt__mailbox notes;     /* for the library's inlets: topics with "@" */
  struct rt__held *held; /* messages for channels that are full */
  uint64_t deadline;     /* uv_hrtime(), or `by_work`; 0: none */
  rt__timer deadline_timer;
  rt_value *end_error; /* [own] map, may be NULL */
  char *where;         /* [own] it was computing when it had to end, or NULL */
  struct rt__clocks *clocks; /* a resource of it, may be NULL */
  bool by_work;              /* `deadline` is one of its worker's CPU time */
} rt__rare;

struct rt__process { /* first what each turn and message looks at */
  rt_pid pid;
  rt__vm *vm;
  rt__rare *rare; /* never NULL; to be read only: rt__process_rare() */
  rt__process *run_prev, *run_next;
  rt__fiber *main, *ready, *ready_last, *preempted;
  const void *topic; /* address of the string of its listener that a message */
  void *listener;    /* was for last, and that channel's; NULL: none */
  rt__mailbox mail;  /* messages; wait until the process reads them */
  rt__op *ops;
  uint64_t serial;    /* who it is, within its VM */
  int state, globals; /* registry refs, or LUA_NOREF */
  int inbox;          /* likewise: its channel */
  int exit_code;
  uint32_t arrivals;   /* worker->arrivals when it began to wait */
  rt_err ending : 8;   /* not RT_OK: it is to end, for this reason */
  unsigned slow : 4;   /* one more a long turn, one less a short one */
  bool later : 1;      /* it waits in the second queue */
  bool queued : 1;     /* it waits in either */
  bool reads_mail : 1; /* it has asked for its messages */
  bool dying : 1;      /* its error is being put into words */
  bool exit_asked : 1, nowait : 1, is_main : 1, internal : 1, returned : 1;
  bool trap_links : 1;
  bool asked : 1;        /* told that the runtime is stopping */
  bool reads_events : 1; /* it has asked for process.events() */
  bool own_globals : 1;  /* the reference is ours to drop */
  uint64_t charged;      /* bytes allocated while it ran, since last judged */
  rt__process *prev, *next; /* all of the VM, oldest first */
  rt__fiber *fibers;
  rt__resource *resources;
  uint64_t born; /* uv_hrtime() */
};

typedef struct rt__start {
  int globals;      /* registry ref; LUA_NOREF: fresh ones */
  bool own_globals; /* the process drops that reference */
  rt_pid pid;       /* one taken before with rt__pids_take(); 0: take one */
  rt__ended_fn on_exit;
  void *exit_arg, *user;
  rt_exit_fn public_exit;
  void *public_arg;
  double deadline; /* seconds; <= 0: none */
  bool nowait;     /* it may not wait: task.await and park raise */
  bool is_main;
  bool keep_pid; /* when starting fails the caller drops `pid` */
  bool internal; /* not in process.list(), its errors are not logged */
} rt__start;
#define RT__START_INIT                                                         \
  {                                                                            \
    LUA_NOREF, false, 0, NULL, NULL, NULL, NULL, NULL, 0, false, false, false, \
        false                                                                  \
  }

/* (function, args...): makes the main fiber of `building`; called protected. */
int rt__process_build(lua_State *L);
/* Start a process with the function and `args` arguments on top of vm->L,
 * which are popped in any case. */
rt_err rt__process_start(rt__process **out, rt__vm *vm, const rt__start *start,
                         int args, rt_error *err);
/* End it. `error` (map, borrowed, may be NULL) is why. When it is running now
 * it ends at its next return to the scheduler. */
void rt__process_kill(rt__process *process, rt_err how, rt_value *error);
/* The same, but it ends in a turn of its own: for those whose end is brought
 * about by the end of another, in chains of any length. */
void rt__process_doom(rt__process *process, rt_err how, rt_value *error);
/* Note in `where` what this coroutine of it is just doing; and log that. */
void rt__process_note(rt__process *process, lua_State *L);
void rt__process_tell_where(rt__process *process, rt_err how,
                            const rt_value *error);

/* death.c: why it ends, as an error [own], when nobody else said; tells that to
 * all who are to know. */
rt_value *rt__process_reason(const rt__process *process, rt_err how);
void rt__process_tell(rt__process *process, rt_err how, rt_value *result,
                      rt_value *error);
/* End it now. Not from inside its own fibers. */
void rt__process_end(rt__process *process, rt_err how, rt_value *result,
                     rt_value *error);
void *rt__process_user(rt__process *process);
bool rt__process_is_late(const rt__process *process);
/* Begin with none of it; release it. */
void rt__rare_init(rt__process *process);
void rt__rare_deinit(rt__process *process);
/* To write into; NULL when memory is short. */
rt__rare *rt__process_rare(rt__process *process);
/* Why it ends; takes the map. */
void rt__process_set_error(rt__process *process, rt_value *error);
/* Seconds from now; negative: none. Cheap. For one that may not wait: of the
 * CPU time of its worker, so that a busy machine takes nothing from it. */
void rt__process_set_deadline(rt__process *process, double seconds);
/* The process with this PID in this worker, or NULL. */
rt__process *rt__process_find(rt__worker *worker, rt_pid pid);
/* The next of what the inlet would take (ready.h), or NULL: to look at, and to
 * have. */
const rt__package *rt__process_first_mail(const rt__process *process);
rt__package *rt__process_next_mail(rt__process *process);
/* A turn. Answers whether it is still there, and in *more whether it could go
 * on at once; who called it queues it again. */
bool rt__process_run(rt__process *process, bool *more);
/* A map {message, kind, ...} [own]; NULL when memory is short. */
rt_value *rt__error_map(rt_err code, const char *message, const char *stack);

/* The running fiber, or NULL. */
rt__fiber *rt__fiber_of(lua_State *L);
/* A fiber for the function and `args` arguments on top of L, which are popped.
 * May raise. */
rt__fiber *rt__fiber_new(lua_State *L, rt__process *process, int args);
/* Room on the stack of `co`, or an error raised in L. */
void rt__fiber_widen(lua_State *L, lua_State *co, int slots);
/* Its handle, and the fiber of a handle, or NULL when it has ended. */
double rt__fiber_handle(const rt__fiber *fiber);
/* Likewise the fiber of a wait for one value of one channel (ready.h). */
rt__fiber *rt__fiber_standing(rt__vm *vm, double wait);
#define RT__SLOT_BITS 21 /* with 32 bits of either a double holds both */
static inline double rt__fiber_wait(const rt__fiber *fiber) {
  return (double)((uint64_t)fiber->ticket << RT__SLOT_BITS | fiber->slot);
}
/* Is it this one's? */
static inline bool rt__fiber_stands(const rt__fiber *fiber, double wait) {
  return fiber->ticket != 0 && fiber->state == RT__FIBER_PARKED &&
         rt__fiber_wait(fiber) == wait;
}
rt__fiber *rt__fiber_find(rt__vm *vm, double handle);
void rt__fiber_drop(rt__fiber *fiber);
/* Worker thread: the op it awaits has ended, or its time is up. */
void rt__fiber_wake(rt__fiber *fiber);
/* Forget what the fiber was about to wait for. */
void rt__fiber_unpark(rt__fiber *fiber);

/* --- operations (op.c) --------------------------------------------------- */
/* The running fiber is going to wait for it; false: it has ended already. */
bool rt__op_await(lua_State *L, rt__op *op, double timeout);
/* Push its results (or the timeout's error), release it. */
int rt__op_take(lua_State *L, rt__op *op);
/* Nobody will take its results: cancel it. */
void rt__op_detach(rt__op *op);
void rt__ops_drop(rt__process *process);
/* Release those that have not begun: no fiber runs now that could begin them.
 */
void rt__ops_sweep(rt__process *process);
/* The task of an operation that was posted. */
void rt__op_run_end(rt__worker *worker, rt__task *task);
/* [any] All of a stack that any thread adds to, the oldest first. */
rt__task *rt__tasks_take(_Atomic(rt__task *) *stack);

/* --- mail, monitors, links ---------------------------------------------- */
/* [any] Hand a package to the process it is for. RT_ENOTFOUND: no such one;
 * RT_EFULL: a message, and it has too many unread. Takes it in any case. */
rt_err rt__route(rt_runtime *rt, rt__worker *from, rt__package *package);
/* Worker thread: the package has arrived at its worker. */
void rt__deliver(rt__worker *worker, rt__package *package);
/* Worker thread: a message waits for a process of the VM. */
void rt__mail_waits(rt__vm *vm, size_t bytes);
/* Worker thread: a message, or all, left its mailbox and what is held. */
void rt__mail_was_read(rt__process *process, size_t bytes);
/* The half of it that is the VM's; the other is rt__pids_unload(), which may
 * follow for many at once. */
void rt__mail_was_taken(rt__vm *vm, size_t bytes);
void rt__mail_clear(rt__process *process);
/* Tell monitors and links how it ended. */
void rt__process_announce(rt__process *process, rt_err how, rt_value *result,
                          rt_value *error);
bool rt__process_watch(rt__process *process, rt_pid watcher);
bool rt__process_link(rt__process *process, rt_pid other);
void rt__process_unlink(rt__process *process, rt_pid other);
/* What monitors ("EXIT") and links ("LINK_DOWN") get: an array of {kind, from,
 * result = {value, error}} or {kind, from, reason} [own]. */
rt_value *rt__exit_event(const char *kind, rt_pid from, const rt_value *result,
                         const rt_value *error);
/* Answer a monitor or link (kind) of a process that is no more, with the reason
 * or without. */
void rt__announce_gone(rt__worker *worker, rt__package_kind kind, rt_pid dead,
                       rt_pid to, const rt_value *error);
void rt__announce_dead(rt__worker *worker, rt__package_kind kind, rt_pid dead,
                       rt_pid to);
/* [any] Deliver CANCEL; `or_end`: a process that reads no events is ended. */
rt_err rt__process_cancel_from(rt_runtime *rt, rt__worker *from, rt_pid sender,
                               rt_pid pid, const char *reason, bool or_end);
/* [any] */
bool rt__pid_alive(rt_runtime *rt, rt_pid pid);

/* --- VM ------------------------------------------------------------------ */
enum {
  RT__REF_GLOBALS, /* () -> fresh globals table */
  RT__REF_INLET,   /* () delivers the mail of the running process */
  RT__REF_START,   /* (text, name, kind, args...) what a process runs */
  RT__REF_TRACE,   /* (error value, traceback) -> traceback with inner ones */
  RT__REF_COUNT
};

/* PIDs by their text, so that a message to the same process again is not
 * parsed: so many sets of two. And texts of PIDs. */
#define RT__PID_TEXTS 2048
typedef struct rt__pid_text {
  const char *text; /* of a Lua string that `pid_texts` keeps; NULL: unused */
  rt_pid pid;
} rt__pid_text;
/* Which set a text may be in. */
static inline unsigned rt__pid_text_set(const char *text) {
  uintptr_t at = (uintptr_t)text;
  return (unsigned)(at >> 4 ^ at >> 15) & (RT__PID_TEXTS - 1);
}

/* Codes met last (code.c): by their strings, and by themselves. */
#define RT__CODES 64
typedef struct rt__known_code {
  struct rt__code *code; /* [own]; NULL: unused */
  const char *text, *name;
} rt__known_code;

struct rt__vm {
  rt__worker *worker;
  unsigned index;
  lua_State *L; /* NULL until it is opened */
  size_t used, limit;
  rt__blocks blocks;         /* where its memory is */
  struct rt__shapes *shapes; /* of tables that are decoded here */
  rt__process *running, *building;
  rt__fiber *fiber;
  rt_builder *builder; /* for what is encoded here */
  bool refused;        /* an allocation of the running process */
  bool shielded;       /* library work outside of fibers: hands off */
  bool unfinalized;    /* finalizers wait for the end of the turn */
  size_t next_look;    /* bytes; memory is looked at again from there on */
  bool paced;          /* the collector is set to let nothing pile up */
  bool small;          /* or to come late, as there is little */
  uint64_t full_after; /* uv_hrtime(): no whole collection before that */
  unsigned told; /* lines about processes that were computing at the end */
  int cycles;    /* of the collector, until memory is judged */
  int wanted;    /* likewise, as rt__vm_collect() asked */
  int tidying;   /* likewise, until it is tidy (tidy.c) */
  size_t unread; /* bytes of mail that wait in mailboxes, or are held */
  size_t tidied, untidied;       /* `used` after the last time, and before it */
  size_t ended;                  /* processes, since then */
  uint64_t held_epoch, held_cpu; /* since when it could not be preempted */
  uint64_t held_looked;          /* for how long when it was last looked at */
  unsigned held_looks;           /* at instructions one after another */
  _Atomic(bool) crowded;         /* no new processes: memory is short */
  rt__pids pids;
  rt__process *oldest, *newest;
  _Atomic(uint32_t) population;
  uint64_t serials; /* processes ever started */
  rt__fiber_slots slots;
  uint32_t tickets;
  int fibers; /* ref: table ref -> coroutine of a fiber, which keeps it */
  int spare[RT__SPARES]; /* refs there: coroutines to be used again */
  unsigned spares;
  int traceback, build, push_code, call_gc; /* refs: C functions, made once */
  int message_meta, pid_texts;              /* refs: bind/mail.c */
  uint64_t wait_tag; /* rt__tag_wait as Lua has it: slots.h */
  int code_texts;    /* ref: code.c */
  rt__known_code codes[RT__CODES * 2];
  unsigned pid_way; /* of a set, the next one to be taken */
  rt__pid_text pid_by_text[RT__PID_TEXTS * 2];
  rt_pid pid_of_text[RT__PID_TEXTS]; /* 0: unused */
  int refs[RT__REF_COUNT];
};
/* [any] A VM without a Lua state: processes can be placed in it. NULL when
 * memory is short. */
rt__vm *rt__vm_new(rt__worker *worker, unsigned index);
/* Its Lua state, when it has none yet: the worker's thread, or before that
 * runs. */
rt_err rt__vm_open(rt__vm *vm, rt_error *err);
void rt__vm_free(rt__vm *vm);
/* Its Lua state is closed; what other threads may read of it stays. */
void rt__vm_close(rt__vm *vm);
rt__vm *rt__vm_of(lua_State *L);
/* Call the function under `args` arguments on vm->L outside of any fiber,
 * shielded from the hook. On failure the error text is logged and popped. */
bool rt__vm_call(rt__vm *vm, int args, int results);
/* Count memory outside of Lua against the VM's limit; false: over it. */
bool rt__vm_charge(rt__vm *vm, size_t bytes);
void rt__vm_discharge(rt__vm *vm, size_t bytes);
/* Let the hook fire at the next instruction of the running process. */
void rt__vm_interrupt(rt__vm *vm);
/* From a C function that takes long: is the running process to end? Then it
 * does as soon as that returns. */
bool rt__vm_is_ending(lua_State *L);
/* The debug hook, set once for each VM. */
void rt__vm_hook(lua_State *L, lua_Debug *ar);
/* Its thread: is there room for another process, if need be after a whole
 * collection? */
bool rt__vm_make_room(rt__vm *vm);
/* Between slices: is the memory getting short? True: look again soon. */
bool rt__vm_check_memory(rt__vm *vm);
/* lua_gc(), outside of any fiber: errors of finalizers, which --unsafe scripts
 * may have, are logged. Answers whether it completed what was asked. */
bool rt__vm_gc(rt__vm *vm, int what, int amount);
int rt__vm_call_gc(lua_State *L);
/* Collect all of it soon, in slices. */
void rt__vm_collect(rt__vm *vm);

typedef struct rt__run_queue {
  rt__process *first, *last;
} rt__run_queue;

/* --- worker --------------------------------------------------------------- */
/* What one thread writes and what another reads all the time stand apart, or
 * each write would take the other's cache line away. */
#define RT__APART 64
struct rt__worker {
  /* constant */
  rt_runtime *rt;
  unsigned index;
  bool started;
  bool guarded; /* scripts may call C code that does not return: lost.c */
  uint32_t generation; /* where those of its PIDs begin */
  uv_thread_t thread;
  struct rt__job_worker *home; /* its jobs; set before any comes */
  /* [atomic] only ever added, under lock; see place.c */
  _Atomic(rt__vm *) vms[RT__VMS];
  char line1[RT__APART];
  /* worker's thread only */
  uv_loop_t loop;
  uv_timer_t alarm;
  uv_prepare_t prepare;
  rt__vm *vm; /* the first one; the main process and jobs run in it */
  rt__timers timers;
  rt__run_queue run[2]; /* by process->later */
  rt__mailbox unborn;   /* processes to be made at their first turn, which they
                           wait for as those in the second queue */
  uint32_t arrivals;    /* how many ever came there */
  rt__stock packages;   /* memory of small ones */
  bool collecting;      /* memory has to be looked at again */
  _Atomic(uint64_t) heap; /* [any] bytes of its VMs, after the last turn */
  bool trim;              /* malloc() has much to give back */
  uint64_t tidy_due; /* an idle one tidies up from then on; 0: not planned */
  uint64_t served;   /* `clock` after the second one was served */
  bool brief;        /* and no tick passed meanwhile */
  size_t ops;        /* operations that have not ended */
  uint64_t clock;    /* uv_hrtime() at the last tick */
  uint32_t tick;
  bool slept;           /* the loop polled, and waited */
  bool can_spin;        /* there are other cores */
  unsigned spins;       /* how often it may wait awake before it must sleep */
  unsigned looks;       /* at the inbox, before the core is offered */
  uint64_t spins_after; /* none before; uv_hrtime() */
  bool stop, draining;
  bool gone;             /* it was declared lost */
  size_t vm_memory;      /* limit of each VM; constant */
  const void *stack_end; /* how deep calls may go on its C stack */
  /* guarded by lock, a leaf */
  uv_mutex_t lock;
  uv_async_t wake;
  bool active;   /* keeps one hold of the runtime */
  bool closed;   /* its thread has ended: posts are refused */
  rt_pid *kills; /* to be terminated, also in the middle of a loop */
  size_t kill_count, kill_room;
  char line2[RT__APART];
  /* [atomic] the newest task posted, the older ones behind it */
  _Atomic(rt__task *) inbox;
  _Atomic(bool) polling; /* in, or about to enter, the loop's poll; changed
                            under the lock */
  char line3[RT__APART];
  /* [atomic] what the watchdog looks at */
  _Atomic(uint64_t) epoch;  /* a new one for each time a fiber is entered */
  _Atomic(uint64_t) since;  /* by `clock`; 0: not running processes */
  _Atomic(uint64_t) armed;  /* the epoch the watchdog meant */
  _Atomic(rt__vm *) inside; /* the VM that was entered */
  clockid_t cpu_clock;      /* of its thread; set before it first runs */
  _Atomic(uint32_t) worked; /* looks at which it had computed since the last */
  /* watchdog's thread only */
  uint64_t seen_epoch, seen_cpu; /* an entry, and its thread's CPU time then */
  uint64_t counted_cpu;          /* that `worked` has counted */
  _Atomic(size_t) kills_waiting;
  _Atomic(bool) halting; /* all processes are to end */
  _Atomic(bool) ended;   /* its thread touches nothing any more */
  rt__stuck stuck;       /* only when guarded; see lost.h */
};
/* Its loop and VM; then its thread. */
rt_err rt__worker_new(rt__worker **out, rt_runtime *rt, unsigned index,
                      uint32_t generation, rt_error *err);
rt_err rt__worker_start(rt__worker *worker, rt_error *err);
/* Its thread, from within a process: is there something else to be done? */
bool rt__worker_is_awaited(rt__worker *worker);
/* Keep calls of this Lua state within the worker's C stack. */
void rt__worker_bound_stack(const rt__worker *worker, lua_State *L);
/* Ask its thread to end; then rt__worker_join(). */
void rt__worker_halt(rt__worker *worker);
void rt__worker_join(rt__worker *worker);
/* Once the threads of all workers have ended: run what was still posted; and
 * release it. */
void rt__worker_settle(rt__worker *worker);
void rt__worker_free(rt__worker *worker);
/* The thread of one that is lost: release all that is its own; the struct
 * stays. */
void rt__worker_fold(rt__worker *worker);
/* It has nothing to run: collect what has been left behind, in slices. True:
 * look at I/O and call again; `tidy_due` says when there is more to do. */
bool rt__worker_tidy(rt__worker *worker, uint64_t now);
/* [any] End this process, wherever it is. */
void rt__worker_kill(rt__worker *worker, rt_pid pid);
/* Owner: is it among those to be killed? */
bool rt__worker_wants_killed(rt__worker *worker, rt_pid pid);

/* [any] The CPU time of its thread, ns; of the calling thread. */
uint64_t rt__worker_cpu(const rt__worker *worker);
uint64_t rt__cpu_ns(void);

/* --- watchdog ------------------------------------------------------------ */
rt_err rt__watchdog_start(rt__watchdog **out, rt_runtime *rt, rt_error *err);
void rt__watchdog_stop(rt__watchdog *dog);
/* [any] A worker has something to run: wake the watchdog when it sleeps.
 * NULL is allowed. */
void rt__watchdog_poke(rt__watchdog *dog);

/* --- runtime ------------------------------------------------------------- */
struct rt_runtime {
  /* constant once started */
  rt_runtime_opts opts;
  char *resolver, *script_dir;
  unsigned worker_count;
  uint32_t vm_processes;          /* how many make a VM full */
  _Atomic(rt__worker *) *workers; /* one may be replaced: lost.c */
  rt__watchdog *watchdog;
  struct rt__undertaker *undertaker; /* NULL: scripts are safe */
  rt_bus *bus;
  struct rt__bridge *bridge;
  rt_registry *registry;
  struct rt__engine *engine;
  struct rt__jobs *jobs;
  struct rt__embed *embed; /* what is the host's (embed.h) */
  rt__names names;
  rt__depot packages; /* what workers' stocks share */
  _Atomic(uint32_t) next_worker;
  _Atomic(uint32_t) ticks;   /* of the watchdog, while somebody runs */
  _Atomic(uint64_t) trimmed; /* when malloc_trim() was called last */
  _Atomic(int64_t) holds;
  /* guarded by lock; changed is signalled when holds fall to 0 and when the
   * main process has ended or its function has returned */
  uv_mutex_t lock;
  uv_cond_t changed;
  rt_pid main;
  bool main_running, main_returned, main_ended, interrupted;
  bool ending; /* the quiet program's main process is being ended */
  bool stopping, joined, stopped;
  struct rt_prompt *prompts; /* that are open */
  bool sealed;               /* no worker is replaced any more */
  rt__worker *lost;      /* list: replaced ones, until the runtime is freed */
  unsigned lost_count;   /* of which the thread has not come back */
  bool abandoned;        /* a thread did not end in time: nothing is released */
  _Atomic(bool) watched; /* somebody waits for processes to end */
  int exit_code, interrupt_code;
};
/* [any] A VM to start the next process in; NULL: none has room. */
rt__vm *rt__runtime_place(rt_runtime *rt);
/* [any] The VM of this number, of this PID, or NULL. */
rt__vm *rt__worker_vm(rt__worker *worker, unsigned index);
rt__vm *rt__vm_of_pid(rt_runtime *rt, rt_pid pid);
/* Worker thread: the main process ended / its function returned. */
void rt__runtime_main_returned(rt_runtime *rt);
void rt__runtime_main_ended(rt_runtime *rt, rt_err how, rt_value *error,
                            const rt__process *process);
/* A process has ended; for who waits for that. */
void rt__runtime_process_ended(rt_runtime *rt);
void rt__runtime_output(rt_runtime *rt, int fd, const char *text, size_t size);

/* What a script's library may do for the scheduler: tags of a yield. */
extern const char rt__tag_wait, rt__tag_preempt, rt__tag_exit, rt__tag_user;

#include "process/lost.h"
#include "process/ready.h"

#endif
