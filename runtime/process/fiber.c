/* fiber.c - fibers: the coroutines the scheduler resumes.
 *
 * A fiber that wants to wait first says so (park, or an operation's await) and
 * then yields; a wake that comes in between - the hook may stop it there - is
 * kept and makes it ready at once.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/sched.h"
#include "process/slots.h"

const char rt__tag_wait = 'w', rt__tag_preempt = 'p', rt__tag_exit = 'x',
           rt__tag_user = 'u';

rt__fiber *rt__fiber_of(lua_State *L) {
  return ((rt__vm *)rt__slot_owner(L))->fiber;
}

static void on_timer(rt__worker *worker, rt__timer *timer) {
  (void)worker;
  rt__fiber *fiber = (rt__fiber *)((char *)timer - offsetof(rt__fiber, timer));
  fiber->timed_out = true;
  rt__fiber_wake(fiber);
}

/* --- handles --------------------------------------------------------------
 */

#define SLOT_BITS RT__SLOT_BITS

static bool grow_slots(rt__fiber_slots *slots) {
  uint32_t room = slots->room ? slots->room * 2 : 64;
  if (room > 1u << SLOT_BITS) return false;
  rt__fiber_slot *at = realloc(slots->at, room * sizeof(*at));
  if (!at) return false;
  slots->at = at;
  slots->room = room;
  return true;
}

static bool take_slot(rt__fiber_slots *slots, rt__fiber *fiber) {
  uint32_t i;
  if (slots->free) {
    i = slots->free - 1;
    slots->free = slots->at[i].next_free;
  } else {
    if (slots->used == slots->room && !grow_slots(slots)) return false;
    i = slots->used++;
    slots->at[i].generation = 0;
  }
  slots->at[i].fiber = fiber;
  fiber->slot = i;
  return true;
}

static void give_slot(rt__fiber_slots *slots, const rt__fiber *fiber) {
  rt__fiber_slot *slot = &slots->at[fiber->slot];
  slot->fiber = NULL;
  slot->generation++;
  slot->next_free = slots->free;
  slots->free = fiber->slot + 1;
}

double rt__fiber_handle(const rt__fiber *fiber) {
  const rt__fiber_slot *slot = &fiber->process->vm->slots.at[fiber->slot];
  return (double)((uint64_t)slot->generation << SLOT_BITS | fiber->slot);
}

rt__fiber *rt__fiber_find(rt__vm *vm, double handle) {
  uint64_t id = handle >= 0 && handle < 9.1e15 ? (uint64_t)handle : 0;
  uint32_t i = (uint32_t)id & ((1u << SLOT_BITS) - 1);
  if (i >= vm->slots.used) return NULL;
  const rt__fiber_slot *slot = &vm->slots.at[i];
  return slot->generation == id >> SLOT_BITS ? slot->fiber : NULL;
}

rt__fiber *rt__fiber_standing(rt__vm *vm, double wait) {
  uint64_t id = wait >= 0 && wait < 9.1e15 ? (uint64_t)wait : 0;
  uint32_t i = (uint32_t)id & ((1u << SLOT_BITS) - 1);
  uint32_t ticket = (uint32_t)(id >> SLOT_BITS);
  rt__fiber *fiber = i < vm->slots.used ? vm->slots.at[i].fiber : NULL;
  if (!fiber || ticket == 0 || fiber->ticket != ticket) return NULL;
  return fiber->state == RT__FIBER_PARKED ? fiber : NULL;
}

/* --- making
 * ------------------------------------------------------------------ */

static rt__fiber *make(rt__vm *vm) {
  if (!rt__vm_charge(vm, sizeof(rt__fiber))) return NULL;
  rt__fiber *fiber = rt__blocks_take(&vm->blocks, sizeof(*fiber));
  if (fiber) memset(fiber, 0, sizeof(*fiber));
  if (fiber && take_slot(&vm->slots, fiber)) return fiber;
  rt__blocks_give(&vm->blocks, fiber, sizeof(*fiber));
  rt__vm_discharge(vm, sizeof(*fiber));
  return NULL;
}

/* Pushes a coroutine; *ref is its place in the table below it, 0: none yet. */
static lua_State *find_thread(lua_State *L, const rt__vm *vm, int *ref) {
  *ref = vm->spares > 0 ? vm->spare[vm->spares - 1] : 0;
  if (*ref == 0) return lua_newthread(L);
  rt__slot_push(L, rt__slot_top(L), *ref);
  return rt__slot_thread(L, rt__slot_top(L));
}

/* The error is the caller's: nobody would catch it in a coroutine that does
 * not run. */
void rt__fiber_widen(lua_State *L, lua_State *co, int slots) {
#ifdef RT_LUAJIT_SYSTEM /* there it raises where there is no memory */
  size_t bytes = (size_t)(lua_gettop(co) + slots) * 4 * sizeof(lua_Number);
  rt__vm *vm = rt__vm_of(L);
  if (!rt__vm_charge(vm, bytes)) luaL_error(L, "not enough memory");
  rt__vm_discharge(vm, bytes);
#endif
  if (!lua_checkstack(co, slots))
    luaL_error(L, "not enough memory for %d values", slots);
}

/* Whatever may raise comes before the struct is made. */
rt__fiber *rt__fiber_new(lua_State *L, rt__process *process, int args) {
  rt__vm *vm = process->vm;
  int spare;
  if (!rt__slot_has_room(L, 8)) luaL_checkstack(L, 8, "too many arguments");
  rt__slot_push_ref(L, vm->fibers);
  lua_State *co = find_thread(L, vm, &spare);
  if (!rt__slot_has_room(co, args + 8)) rt__fiber_widen(L, co, args + 8);
  if (process->globals != LUA_NOREF) {
    rt__slot_push_ref(L, process->globals);
    rt__slot_set_globals(L, co);
  }
  int ref = spare;
  if (!spare) {
    lua_pushvalue(L, -1);
    ref = luaL_ref(L, -3); /* fibers[ref] = co */
  }
  rt__fiber *fiber = make(vm);
  if (!fiber) {
    if (!spare) luaL_unref(L, -2, ref);
    luaL_error(L, "not enough memory");
  }
  if (spare) vm->spares--;
  rt__slot_cut(L, rt__slot_top(L) - 2); /* function, args... */
  rt__slot_move(L, co, args + 1);
  fiber->timer.fire = on_timer;
  fiber->co = co;
  fiber->ref = ref;
  fiber->process = process;
  fiber->args = args;
  fiber->next = process->fibers;
  if (fiber->next) fiber->next->prev = fiber;
  process->fibers = fiber;
  rt__fiber_ready(fiber);
  return fiber;
}

void rt__fiber_wake(rt__fiber *fiber) {
  if (fiber->state == RT__FIBER_PARKED) {
    if (fiber->timer.at)
      rt__timer_stop(fiber->process->vm->worker, &fiber->timer);
    rt__fiber_ready(fiber);
  } else if (fiber->parking) {
    fiber->woken = true;
  }
}

void rt__fiber_unpark(rt__fiber *fiber) {
  fiber->parking = fiber->woken = false;
  fiber->ticket = 0;
  rt__timer_stop(fiber->process->vm->worker, &fiber->timer);
  if (fiber->op) rt__op_detach(fiber->op);
  fiber->op = NULL;
}

static void unready(rt__process *process, rt__fiber *fiber) {
  rt__fiber **at = &process->ready, *last = NULL;
  while (*at && *at != fiber) {
    last = *at;
    at = &last->ready_next;
  }
  if (!*at) return;
  *at = fiber->ready_next;
  if (process->ready_last == fiber) process->ready_last = last;
}

/* One whose function has returned is used again: it keeps nothing of its
 * process, whose scripts have never seen it. */
static bool keep_thread(rt__vm *vm, const rt__fiber *fiber) {
  lua_State *co = fiber->co;
  if (vm->spares == RT__SPARES || lua_status(co) != 0) return false;
  lua_settop(co, 0);
  lua_pushvalue(vm->L, LUA_GLOBALSINDEX);
  rt__slot_set_globals(vm->L, co);
  vm->spare[vm->spares++] = fiber->ref;
  return true;
}

/* The key is there, so that nothing is allocated and nothing raises. */
static void forget(rt__vm *vm, rt__fiber *fiber) {
  lua_State *L = vm->L;
  give_slot(&vm->slots, fiber);
  if (keep_thread(vm, fiber)) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->fibers);
  luaL_unref(L, -1, fiber->ref);
  lua_pop(L, 1);
}

/* Its coroutine is kept for another one, or left to the collector. */
void rt__fiber_drop(rt__fiber *fiber) {
  rt__process *process = fiber->process;
  rt__vm *vm = process->vm;
  if (fiber->state == RT__FIBER_READY) unready(process, fiber);
  rt__timer_stop(vm->worker, &fiber->timer);
  if (fiber->op) fiber->op->fiber = NULL;
  fiber->op = NULL;
  if (fiber->prev)
    fiber->prev->next = fiber->next;
  else
    process->fibers = fiber->next;
  if (fiber->next) fiber->next->prev = fiber->prev;
  if (process->preempted == fiber) process->preempted = NULL;
  if (process->main == fiber) process->main = NULL;
  forget(vm, fiber);
  rt__vm_discharge(vm, sizeof(*fiber));
  rt__blocks_give(&vm->blocks, fiber, sizeof(*fiber));
}
