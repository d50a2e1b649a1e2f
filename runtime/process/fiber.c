/* fiber.c - fibers: the coroutines the scheduler resumes.
 *
 * A fiber that wants to wait first says so (park, or an operation's await) and
 * then yields; a wake that comes in between - the hook may stop it there - is
 * kept and makes it ready at once.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/sched.h"

const char rt__tag_wait = 'w', rt__tag_preempt = 'p', rt__tag_exit = 'x',
           rt__tag_user = 'u';

rt__fiber *rt__fiber_of(lua_State *L) {
  return rt__vm_of(L)->fiber;
}

static void on_timer(rt__worker *worker, rt__timer *timer) {
  (void)worker;
  rt__fiber *fiber = (rt__fiber *)((char *)timer - offsetof(rt__fiber, timer));
  fiber->timed_out = true;
  rt__fiber_wake(fiber);
}

/* Whatever may raise comes before the struct is made. */
rt__fiber *rt__fiber_new(lua_State *L, rt__process *process, int args) {
  int base = lua_gettop(L) - args; /* the function */
  luaL_checkstack(L, 8, "too many arguments");
  lua_rawgeti(L, LUA_REGISTRYINDEX, process->vm->fibers);
  lua_State *co = lua_newthread(L);
  if (process->globals != LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, process->globals);
    lua_setfenv(L, -2);
  }
  luaL_checkstack(co, args + 8, "too many arguments");
  lua_pushvalue(L, -1);
  int ref = luaL_ref(L, -3); /* fibers[ref] = co */
  lua_pushvalue(L, -1);
  lua_pushboolean(L, 1);
  lua_rawset(L, -4); /* fibers[co] = true: the room is there now */
  if (!rt__vm_charge(process->vm, sizeof(rt__fiber)))
    luaL_error(L, "not enough memory");
  rt__fiber *fiber = calloc(1, sizeof(*fiber));
  if (!fiber) {
    rt__vm_discharge(process->vm, sizeof(*fiber));
    luaL_error(L, "not enough memory");
  }
  lua_pushvalue(L, -1);
  lua_pushlightuserdata(L, fiber);
  lua_rawset(L, -4);   /* fibers[co] = fiber */
  lua_remove(L, -2);   /* function, args..., co */
  lua_insert(L, base); /* co, function, args... */
  lua_xmove(L, co, args + 1);
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

rt__fiber *rt__fiber_get(lua_State *L, int index) {
  rt__vm *vm = rt__vm_of(L);
  luaL_checktype(L, index, LUA_TTHREAD);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->fibers);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  rt__fiber *fiber = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return fiber;
}

void rt__fiber_ready(rt__fiber *fiber) {
  rt__process *process = fiber->process;
  fiber->state = RT__FIBER_READY;
  fiber->ready_next = NULL;
  if (process->ready)
    process->ready_last->ready_next = fiber;
  else
    process->ready = fiber;
  process->ready_last = fiber;
  rt__process_ready(process);
}

void rt__fiber_wake(rt__fiber *fiber) {
  if (fiber->state == RT__FIBER_PARKED) {
    rt__timer_stop(fiber->process->vm->worker, &fiber->timer);
    rt__fiber_ready(fiber);
  } else if (fiber->parking) {
    fiber->woken = true;
  }
}

void rt__fiber_unpark(rt__fiber *fiber) {
  fiber->parking = fiber->woken = false;
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

/* Both keys are there, so that nothing is allocated and nothing raises. */
static void forget(rt__vm *vm, rt__fiber *fiber) {
  lua_State *L = vm->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->fibers);
  lua_rawgeti(L, -1, fiber->ref);
  lua_pushnil(L);
  lua_rawset(L, -3);
  luaL_unref(L, -1, fiber->ref);
  lua_pop(L, 1);
}

/* Its coroutine is left to the collector. */
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
  free(fiber);
}
