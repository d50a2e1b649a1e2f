/* clock.c - see clock.h. SPDX-License-Identifier: MIT */
#include "process/clock.h"

#include <stdlib.h>
#include <string.h>

#include "relay/mailbox.h"

#define ROOM    4
#define MANY    4096 /* then memory is given back when there are none left */
#define AGAIN_S 0.01 /* when there is no memory to tell of it */

typedef enum clock_state { ARMED, DUE, GONE } clock_state;

typedef struct rt__clocks rt__clocks;
typedef struct rt__clock {
  rt__timer timer;
  rt__clocks *of;
  struct rt__clock *next_due;
  uint32_t id;
  clock_state state;
} rt__clock;

typedef union slot {
  rt__clock *clock;
  uintptr_t free; /* the next free one * 2 + 1 */
} slot;

struct rt__clocks {
  rt__resource resource;
  rt__process *process;
  slot *at; /* by id - 1 */
  uint32_t used, room, count;
  uint32_t free; /* the first free one; 0: none */
  int objects;   /* ref: table id -> object */
  bool told;     /* its mail is on its way */
  rt__clock *due, *due_last;
};

/* --- all of a process ------------------------------------------------------
 */

static bool is_free(slot s) {
  return s.free & 1;
}

static void drop(rt__clocks *clocks, rt__clock *clock) {
  rt__vm *vm = clocks->process->vm;
  rt__timer_stop(vm->worker, &clock->timer);
  rt__vm_discharge(vm, sizeof(*clock));
  rt__blocks_give(&vm->blocks, clock, sizeof(*clock));
}

static void close_clocks(rt__resource *resource) {
  rt__clocks *clocks = (rt__clocks *)resource;
  rt__process *process = clocks->process;
  for (uint32_t i = 0; i < clocks->used; i++)
    if (!is_free(clocks->at[i])) drop(clocks, clocks->at[i].clock);
  luaL_unref(process->vm->L, LUA_REGISTRYINDEX, clocks->objects);
  process->rare->clocks = NULL;
  free(clocks->at);
  free(clocks);
}

static rt__clocks *clocks_of(lua_State *L) {
  rt__process *process = rt__process_of(L);
  if (!process) luaL_error(L, "no process is running");
  return process->rare->clocks;
}

static rt__clocks *make(lua_State *L) {
  rt__process *process = rt__process_of(L);
  lua_newtable(L);
  int objects = luaL_ref(L, LUA_REGISTRYINDEX);
  rt__rare *rare = rt__process_rare(process);
  rt__clocks *clocks = rare ? calloc(1, sizeof(*clocks)) : NULL;
  if (!clocks) {
    luaL_unref(L, LUA_REGISTRYINDEX, objects);
    luaL_error(L, "not enough memory");
  }
  clocks->process = process;
  clocks->objects = objects;
  clocks->resource.close = close_clocks;
  rt__resource_add(process, &clocks->resource);
  rare->clocks = clocks;
  return clocks;
}

/* Nothing is left of many: begin anew. */
static void renew(lua_State *L, rt__clocks *clocks) {
  lua_newtable(L);
  int objects = luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_unref(L, LUA_REGISTRYINDEX, clocks->objects);
  clocks->objects = objects;
  free(clocks->at);
  clocks->at = NULL;
  clocks->used = clocks->room = clocks->free = 0;
}

/* --- slots ---------------------------------------------------------------- */

/* The id that is taken next; 0: no memory. */
static uint32_t next_id(rt__clocks *clocks) {
  if (clocks->free) return clocks->free;
  if (clocks->used < clocks->room) return clocks->used + 1;
  uint32_t room = clocks->room ? clocks->room * 2 : ROOM;
  slot *at = realloc(clocks->at, room * sizeof(*at));
  if (!at) return 0;
  clocks->at = at;
  clocks->room = room;
  return clocks->used + 1;
}

static void take_slot(rt__clocks *clocks, rt__clock *clock) {
  slot *s = &clocks->at[clock->id - 1];
  if (clocks->free)
    clocks->free = (uint32_t)(s->free >> 1);
  else
    clocks->used++;
  s->clock = clock;
  clocks->count++;
}

static void give_slot(rt__clocks *clocks, uint32_t id) {
  clocks->at[id - 1].free = (uintptr_t)clocks->free << 1 | 1;
  clocks->free = id;
  clocks->count--;
}

static void forget_object(lua_State *L, const rt__clocks *clocks, uint32_t id) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, clocks->objects);
  lua_pushnil(L);
  lua_rawseti(L, -2, (int)id);
  lua_pop(L, 1);
}

/* --- what is due ----------------------------------------------------------
 */

/* False: there is no memory for it. */
static bool tell(rt__clocks *clocks) {
  rt__worker *worker = clocks->process->vm->worker;
  rt_pid pid = clocks->process->pid;
  if (clocks->told) return true;
  rt__package *package = rt__package_new(RT__MESSAGE, 0, pid, "@time", NULL);
  if (!package) return false;
  clocks->told = true;
  rt__route(worker->rt, worker, package);
  return true;
}

static void on_fire(rt__worker *worker, rt__timer *timer) {
  rt__clock *clock = (rt__clock *)((char *)timer - offsetof(rt__clock, timer));
  rt__clocks *clocks = clock->of;
  if (!tell(clocks)) {
    rt__timer_start(worker, timer, AGAIN_S); /* there is room for it */
    return;
  }
  clock->state = DUE;
  clock->next_due = NULL;
  if (clocks->due)
    clocks->due_last->next_due = clock;
  else
    clocks->due = clock;
  clocks->due_last = clock;
}

/* --- for the library --------------------------------------------------------
 */

static rt__clock *arm(rt__clocks *clocks, uint32_t id, double seconds) {
  rt__vm *vm = clocks->process->vm;
  if (!rt__vm_charge(vm, sizeof(rt__clock))) return NULL;
  rt__clock *clock = rt__blocks_take(&vm->blocks, sizeof(*clock));
  if (clock) {
    *clock = (rt__clock){.timer.fire = on_fire, .of = clocks, .id = id};
    if (rt__timer_start(vm->worker, &clock->timer, seconds) == RT_OK)
      return clock;
    rt__blocks_give(&vm->blocks, clock, sizeof(*clock));
  }
  rt__vm_discharge(vm, sizeof(*clock));
  return NULL;
}

uint32_t rt__clock_start(lua_State *L, double seconds) {
  rt__clocks *clocks = clocks_of(L);
  if (!clocks) clocks = make(L);
  if (clocks->count == 0 && clocks->room > MANY) renew(L, clocks);
  uint32_t id = next_id(clocks);
  if (!id) luaL_error(L, "not enough memory");
  lua_rawgeti(L, LUA_REGISTRYINDEX, clocks->objects);
  lua_insert(L, -2);
  lua_rawseti(L, -2, (int)id); /* may raise: nothing is taken yet */
  lua_pop(L, 1);
  rt__clock *clock = arm(clocks, id, seconds);
  if (!clock) {
    forget_object(L, clocks, id);
    luaL_error(L, "not enough memory");
  }
  take_slot(clocks, clock);
  return id;
}

bool rt__clock_stop(lua_State *L, uint32_t id) {
  rt__clocks *clocks = clocks_of(L);
  if (!clocks || id == 0 || id > clocks->used) return false;
  if (is_free(clocks->at[id - 1])) return false;
  rt__clock *clock = clocks->at[id - 1].clock;
  if (clock->state == GONE) return false;
  forget_object(L, clocks, id);
  if (clock->state == DUE) { /* it stands in line */
    clock->state = GONE;
    return true;
  }
  give_slot(clocks, id);
  drop(clocks, clock);
  return true;
}

bool rt__clock_next(lua_State *L) {
  rt__clocks *clocks = clocks_of(L);
  if (!clocks) return false;
  clocks->told = false;
  while (clocks->due) {
    rt__clock *clock = clocks->due;
    bool gone = clock->state == GONE;
    if (!gone) {
      lua_rawgeti(L, LUA_REGISTRYINDEX, clocks->objects);
      lua_rawgeti(L, -1, (int)clock->id);
      lua_replace(L, -2);
      forget_object(L, clocks, clock->id);
    }
    clocks->due = clock->next_due;
    give_slot(clocks, clock->id);
    drop(clocks, clock);
    if (!gone) return true;
  }
  return false;
}

void rt__clock_rest(lua_State *L) {
  rt__clocks *clocks = clocks_of(L);
  if (clocks && clocks->due && !tell(clocks))
    luaL_error(L, "not enough memory");
}
