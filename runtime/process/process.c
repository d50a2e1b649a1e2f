/* process.c - the life of a process: start, turns, end.
 *
 * A turn runs the fiber that was preempted, or else delivers the mail that has
 * arrived and runs the ready fibers. A process ends here and nowhere else: its
 * operations are cancelled, its resources closed, its fibers dropped, those
 * who watch it told. A process that is to end while it runs is marked, and ends
 * as soon as its fiber is back in the scheduler.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/sched.h"
#include "process/slots.h"

#define LAST_WORDS_S 1.0

/* Calls from, and of, the path of each turn. */
#define SELDOM __attribute__((noinline))
#define ALWAYS inline __attribute__((always_inline))

rt_pid rt__process_pid(const rt__process *process) {
  return process->pid;
}
void *rt__process_user(rt__process *process) {
  return process->rare->user;
}

rt__process *rt__process_find(rt__worker *worker, rt_pid pid) {
  if (rt__pid_worker(pid) != worker->index) return NULL;
  rt__vm *vm = rt__worker_vm(worker, rt__pid_vm(pid));
  return vm ? rt__pids_get(&vm->pids, pid) : NULL;
}

/* --- resources --------------------------------------------------------------
 */

void rt__resource_add(rt__process *process, rt__resource *resource) {
  resource->owner = process;
  resource->prev = NULL;
  resource->next = process->resources;
  if (resource->next) resource->next->prev = resource;
  process->resources = resource;
}

void rt__resource_remove(rt__resource *resource) {
  rt__process *process = resource->owner;
  if (!process) return;
  if (resource->prev)
    resource->prev->next = resource->next;
  else
    process->resources = resource->next;
  if (resource->next) resource->next->prev = resource->prev;
  resource->prev = resource->next = NULL;
  resource->owner = NULL;
}

static void close_resources(rt__process *process) {
  while (process->resources) {
    rt__resource *resource = process->resources;
    rt__resource_remove(resource);
    resource->close(resource);
  }
}

/* --- start ------------------------------------------------------------------
 */

static void list_process(rt__process *process) {
  rt__vm *vm = process->vm;
  rt__guard(vm->worker);
  process->prev = vm->newest;
  if (vm->newest)
    vm->newest->next = process;
  else
    vm->oldest = process;
  vm->newest = process;
  rt__unguard(vm->worker);
  atomic_fetch_add_explicit(&vm->population, 1, memory_order_relaxed);
}

/* False: its worker is lost, and others have told its end. */
static bool unlist_process(rt__process *process) {
  rt__vm *vm = process->vm;
  bool tell = rt__guard(vm->worker);
  if (process->prev)
    process->prev->next = process->next;
  else
    vm->oldest = process->next;
  if (process->next)
    process->next->prev = process->prev;
  else
    vm->newest = process->prev;
  rt__unguard(vm->worker);
  atomic_fetch_sub_explicit(&vm->population, 1, memory_order_relaxed);
  vm->ended++;
  return tell;
}

/* (function, args...): globals and main fiber of the VM's `building`. */
int rt__process_build(lua_State *L) {
  rt__vm *vm = rt__slot_owner(L);
  rt__process *process = vm->building;
  if (process->globals == LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->refs[RT__REF_GLOBALS]);
    lua_call(L, 0, 1);
    process->globals = luaL_ref(L, LUA_REGISTRYINDEX);
    process->own_globals = true;
  }
  process->main = rt__fiber_new(L, process, rt__slot_top(L) - 1);
  return 0;
}

/* Answers false when memory is short. */
static bool adopt_hooks(rt__process *process, const rt__start *start) {
  if (!start->on_exit && !start->user && !start->public_exit &&
      start->deadline <= 0)
    return true;
  rt__rare *rare = rt__process_rare(process);
  if (!rare) return false;
  rare->on_exit = start->on_exit;
  rare->exit_arg = start->exit_arg;
  rare->user = start->user;
  rare->public_exit = start->public_exit;
  rare->public_arg = start->public_arg;
  return true;
}

static void adopt(rt__process *process, const rt__start *start) {
  process->globals = start->globals;
  process->own_globals = start->own_globals;
  process->nowait = start->nowait;
  process->is_main = start->is_main;
  process->internal = start->internal;
  process->state = process->inbox = LUA_NOREF;
  process->serial = ++process->vm->serials;
  process->later = true;
  process->slow = RT__SLOW;
  process->born = uv_hrtime();
}

static void release(rt__process *process) {
  lua_State *L = process->vm->L;
  if (process->own_globals) rt__slot_unref(L, process->globals);
  rt__slot_unref(L, process->state);
  rt__slot_unref(L, process->inbox);
  rt__rare_deinit(process);
  rt__blocks_give(&process->vm->blocks, process, sizeof(*process));
}

/* Its main fiber, from the function at `base` of the VM's stack. */
static bool build(rt__process *process, int base, int args) {
  rt__vm *vm = process->vm;
  lua_State *L = vm->L;
  bool before = vm->shielded;
  vm->shielded = true;
  vm->building = process;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->build);
  lua_insert(L, base);
  int rc = lua_pcall(L, args + 1, 0, 0);
  vm->shielded = before;
  return rc == 0;
}

rt_err rt__process_start(rt__process **out, rt__vm *vm, const rt__start *start,
                         int args, rt_error *err) {
  lua_State *L = vm->L;
  int base = lua_gettop(L) - args;
  rt_pid pid = start->pid ? start->pid : rt__pids_take(&vm->pids);
  rt__process *process =
      pid ? rt__blocks_take(&vm->blocks, sizeof(*process)) : NULL;
  if (out) *out = NULL;
  if (!process) {
    lua_settop(L, base - 1);
    if (start->own_globals) luaL_unref(L, LUA_REGISTRYINDEX, start->globals);
    if (pid && !start->keep_pid) rt__pids_drop(&vm->pids, pid);
    return rt_fail(err, RT_EUNAVAIL, "no room for another process");
  }
  memset(process, 0, sizeof(*process));
  process->pid = pid;
  process->vm = vm;
  rt__rare_init(process);
  adopt(process, start);
  if (!adopt_hooks(process, start) || !build(process, base, args)) {
    lua_settop(L, base - 1);
    release(process);
    if (!start->keep_pid) rt__pids_drop(&vm->pids, pid);
    return rt_fail(err, RT_ENOMEM, "no memory for another process");
  }
  rt__pids_set(&vm->pids, pid, process);
  list_process(process);
  rt__process_ready(process);
  if (start->deadline > 0) rt__process_set_deadline(process, start->deadline);
  if (out) *out = process;
  return RT_OK;
}

/* --- end --------------------------------------------------------------------
 */

static void drop_fibers(rt__process *process) {
  for (rt__fiber *fiber = process->ready; fiber; fiber = fiber->ready_next)
    fiber->state = RT__FIBER_RUNNING; /* off the list in one step */
  process->ready = process->ready_last = NULL;
  while (process->fibers) rt__fiber_drop(process->fibers);
}

void rt__process_end(rt__process *process, rt_err how, rt_value *result,
                     rt_value *error) {
  rt__vm *vm = process->vm;
  rt_value *made = NULL;
  if (process->preempted && how != RT_OK)
    rt__process_note(process, process->preempted->co);
  if (process->dying) how = RT_EUNKNOWN;
  if (!error && process->rare->end_error) error = process->rare->end_error;
  if (!error && how != RT_OK) error = made = rt__process_reason(process, how);
  process->ending = how != RT_OK ? how : RT_ECANCELED;
  rt__process_unqueue(process);
  rt__process_set_deadline(process, -1);
  drop_fibers(process);
  rt__ops_drop(process);
  close_resources(process);
  rt__names_drop(&vm->worker->rt->names, process->pid);
  rt__mail_clear(process);
  bool known = !unlist_process(process);
  if (atomic_load_explicit(&vm->crowded, memory_order_relaxed))
    vm->next_look = 0; /* there may be room now */
  if (how == RT_ENOMEM || process->charged > vm->limit / 8)
    vm->full_after = vm->next_look = 0;
  rt__pids_drop(&vm->pids, process->pid);
  if (!known)
    rt__process_tell(process, how, result, error);
  else if (process->rare->on_exit) /* lets go of what it has */
    process->rare->on_exit(process, how, NULL, error, process->rare->exit_arg);
  rt__peers_free(&process->rare->watchers);
  rt__peers_free(&process->rare->links);
  rt_value_unref(made);
  if (vm->running == process) vm->running = NULL;
  release(process);
}

static void mark(rt__process *process, rt_err how, rt_value *error) {
  if (process->ending != RT_OK) return;
  process->ending = how;
  if (error && !process->dying)
    rt__process_set_error(process, rt_value_ref(error));
}

void rt__process_doom(rt__process *process, rt_err how, rt_value *error) {
  mark(process, how, error);
  if (process->vm->running == process) {
    rt__vm_interrupt(process->vm);
    return;
  }
  rt__process_unqueue(process);
  process->later = false; /* to end is short */
  rt__process_ready(process);
}

void rt__process_kill(rt__process *process, rt_err how, rt_value *error) {
  mark(process, how, error);
  if (process->vm->running == process) {
    rt__vm_interrupt(process->vm);
    return;
  }
  rt__process_end(process, process->ending, NULL, NULL);
}

/* --- a turn ------------------------------------------------------------------
 */

/* The first result, encoded; what cannot be encoded is an error of its own. */
static rt_value *first_result(rt__process *process, lua_State *co, int count,
                              rt_value **error) {
  rt_value *result = NULL;
  if (count == 0 || lua_isnil(co, -count)) return NULL;
  int index = lua_gettop(co) - count + 1;
  if (process->internal) return NULL;
  rt_error err = RT_ERROR_INIT;
  process->vm->shielded = true; /* an error would meet nobody here */
  if (rt__lua_encode(co, index, "result", &result, &err) != RT_OK)
    *error = rt__error_map(err.code, err.message, NULL);
  process->vm->shielded = false;
  return result;
}

/* The error on the fiber's stack as a map with its traceback. When that takes
 * code of the script, NULL, with a function left on L that makes it. */
static rt_value *raised(rt__vm *vm, rt__fiber *fiber) {
  lua_State *L = vm->L;
  int top = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->refs[RT__REF_TRACE]);
  lua_xmove(fiber->co, L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->fibers);
  lua_rawgeti(L, -1, fiber->ref);
  lua_remove(L, -2);
  rt_value *map = NULL;
  if (rt__vm_call(vm, 2, 2)) {
    if (lua_isfunction(L, top + 2)) {
      lua_remove(L, top + 1);
      return NULL;
    }
    vm->shielded = true;
    map = rt__lua_error_value(L, top + 1);
    vm->shielded = false;
  }
  lua_settop(L, top);
  return map ? map : rt__error_map(RT_EUNKNOWN, "error", NULL);
}

/* Run the function on top of L, which is popped, as the last fiber of the
 * process, for a moment: its result is the process's error. */
static bool last_words(rt__process *process) {
  rt__vm *vm = process->vm;
  lua_State *L = vm->L;
  drop_fibers(process);
  rt__ops_drop(process);
  process->dying = true;
  rt__process_set_error(
      process,
      rt__error_map(RT_EUNKNOWN, "(the error cannot be put into words)", NULL));
  rt__process_set_deadline(process, LAST_WORDS_S);
  vm->building = process;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->build);
  lua_insert(L, -2);
  return rt__vm_call(vm, 1, 0);
}

/* A main script's other fibers may go on when its function has returned. */
static bool lives_on(rt__process *process) {
  return process->is_main && process->ending == RT_OK;
}

static void main_returned(rt__process *process, lua_State *co) {
  rt_value *error = NULL;
  if (process->dying) {
    process->vm->shielded = true;
    error = rt__lua_error_value(co, 1);
    process->vm->shielded = false;
    rt__process_end(process, RT_EUNKNOWN, NULL, error);
    rt_value_unref(error);
    return;
  }
  rt_value *result = first_result(process, co, lua_gettop(co), &error);
  if (lives_on(process)) {
    process->returned = true;
    rt_value_unref(result);
    rt_value_unref(error);
    rt__fiber_drop(process->main);
    rt__runtime_main_returned(process->vm->worker->rt);
    return;
  }
  rt__process_end(process, error ? RT_EUNKNOWN : RT_OK, result, error);
  rt_value_unref(result);
  rt_value_unref(error);
}

static void failed(rt__process *process, rt__fiber *fiber) {
  rt_value *error = NULL;
  if (!process->dying) {
    error = raised(process->vm, fiber);
    if (!error && last_words(process)) return;
  }
  rt__process_end(process, RT_EUNKNOWN, NULL, error);
  rt_value_unref(error);
}

/* The fiber yielded: it waits, or was preempted. */
static inline bool waits(const rt__process *process, const rt__fiber *fiber) {
  lua_State *co = fiber->co;
  return rt__slot_top(co) > 0 && rt__slot_bits(co, 1) == process->vm->wait_tag;
}

static inline void park(rt__fiber *fiber) {
  rt__slot_cut(fiber->co, 0);
  fiber->parking = false;
  fiber->args = 0;
  fiber->state = RT__FIBER_PARKED;
  if (fiber->woken) rt__fiber_wake(fiber);
}

static void yielded(rt__process *process, rt__fiber *fiber) {
  lua_State *co = fiber->co;
  if (waits(process, fiber)) {
    park(fiber);
    return;
  }
  fiber->preempted = true;
  process->preempted = fiber;
  if (lua_gettop(co) > 0) lua_settop(co, 0);
}

/* Before each entry into a fiber; `since` may be a tick too early. */
static void enter(rt__worker *worker, rt__vm *vm) {
  uint64_t epoch = atomic_load_explicit(&worker->epoch, memory_order_relaxed);
  rt__worker_ticked(worker);
  atomic_store_explicit(&worker->since, worker->clock, memory_order_relaxed);
  atomic_store_explicit(&worker->inside, vm, memory_order_release);
  atomic_store_explicit(&worker->epoch, epoch + 1, memory_order_release);
  rt__worker_entered(worker, epoch + 1);
}

/* What it came back with. Answers false when the process is no more. */
static SELDOM bool came_back(rt__process *process, rt__fiber *fiber, int rc) {
  rt__vm *vm = process->vm;
  lua_State *co = fiber->co;
  if (!rt__worker_left(vm->worker)) return false;
  if (process->ops) rt__ops_sweep(process);
  if (vm->refused && process->ending == RT_OK) process->ending = RT_ENOMEM;
  vm->refused = false;
  if (process->ending == RT_ENOMEM) rt__process_note(process, co);
  if (process->exit_asked)
    rt__process_end(process, RT_OK, NULL, NULL);
  else if (process->ending != RT_OK)
    rt__process_end(process, process->ending, NULL, NULL);
  else if (rc == LUA_YIELD)
    yielded(process, fiber);
  else if (rc != 0)
    failed(process, fiber);
  else if (fiber == process->main)
    main_returned(process, co);
  else
    rt__fiber_drop(fiber);
  return vm->running == process;
}

/* Has it nothing but the wish to wait? Mostly so. */
static inline bool just_waits(const rt__process *process,
                              const rt__fiber *fiber, int rc) {
  return rc == LUA_YIELD && process->ending == RT_OK && !process->ops &&
         !process->exit_asked && !process->vm->refused &&
         !process->vm->worker->guarded && waits(process, fiber);
}

/* Answers false when the process is no more. */
static ALWAYS bool resume(rt__process *process, rt__fiber *fiber) {
  rt__vm *vm = process->vm;
  int args = fiber->preempted ? 0 : fiber->args;
  /* One that was preempted on its way to a wait still goes there. */
  if (!fiber->preempted) fiber->ticket = 0;
  fiber->preempted = false;
  fiber->args = 0;
  fiber->state = RT__FIBER_RUNNING;
  vm->fiber = fiber;
  vm->refused = false; /* that was somebody else */
  enter(vm->worker, vm);
  int rc = lua_resume(fiber->co, args);
  vm->fiber = NULL;
  if (!just_waits(process, fiber, rc)) return came_back(process, fiber, rc);
  park(fiber);
  return true;
}

const rt__package *rt__process_first_mail(const rt__process *process) {
  if (process->rare->notes.first) return process->rare->notes.first;
  return process->reads_mail ? process->mail.first : NULL;
}

rt__package *rt__process_next_mail(rt__process *process) {
  rt__package *package = rt__mailbox_take(&process->rare->notes);
  if (package || !process->reads_mail) return package;
  package = rt__mailbox_take(&process->mail);
  if (package) rt__mail_was_read(process, rt__package_size(package));
  return package;
}

/* Calls the library's inlet, which takes the mail and wakes who waits for it.
 * What it fails at is not tried again: as the library does not fail by itself,
 * the process has spoilt a channel, and is ended. Answers false when it is no
 * more. */
static bool read_mail(rt__process *process) {
  rt__vm *vm = process->vm;
  lua_State *L = vm->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->refs[RT__REF_INLET]);
  const rt__package *first = rt__process_first_mail(process);
  vm->refused = false;
  if (!rt__vm_call(vm, 0, 0)) {
    if (rt__process_first_mail(process) == first)
      rt__package_free(rt__process_next_mail(process));
    if (process->ending == RT_OK)
      process->ending = vm->refused ? RT_ENOMEM : RT_EINTERNAL;
  }
  if (process->ending == RT_OK) return true;
  rt__process_end(process, process->ending, NULL, NULL);
  return false;
}

/* The fiber that comes next, when the process is to go on. */
static inline rt__fiber *take_fiber(rt__process *process) {
  rt__fiber *fiber = process->ready;
  if (fiber) process->ready = fiber->ready_next;
  return fiber;
}

/* First the fiber that was preempted, then what mail there is. */
static SELDOM bool begin_turn(rt__process *process) {
  if (process->ending != RT_OK) {
    rt__process_end(process, process->ending, NULL, NULL);
    return false;
  }
  rt__fiber *fiber = process->preempted;
  process->preempted = NULL;
  if (fiber) {
    if (!resume(process, fiber)) return false;
    if (process->preempted) return true;
  }
  return !rt__process_has_mail(process) || read_mail(process);
}

static bool take_turn(rt__process *process) {
  const rt__worker *worker = process->vm->worker;
  bool plain = process->ending == RT_OK && !process->preempted &&
               !rt__process_has_mail(process);
  if (!plain && !begin_turn(process)) return false;
  uint32_t tick = worker->tick;
  for (int i = 0; !process->preempted; i++) {
    rt__fiber *fiber = take_fiber(process);
    if (!fiber) break;
    if (!resume(process, fiber)) return false;
    if (i == RT__SLICE || worker->tick != tick) break;
  }
  return true;
}

bool rt__process_run(rt__process *process, bool *more) {
  rt__vm *vm = process->vm;
  vm->running = process;
  bool alive = take_turn(process);
  vm->running = NULL;
  *more = alive && (process->ready || process->preempted ||
                    rt__process_has_mail(process));
  return alive;
}
