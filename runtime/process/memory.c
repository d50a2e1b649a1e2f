/* memory.c - between turns: is a VM's memory getting short?
 *
 *   5/8 of the limit   it is collected without pause; when a whole collection
 *                      does not help, no new process is placed here (crowded)
 *   3/4                after a whole collection, the process that allocated
 *                      most is ended, when that is a 64th or more
 *   7/8                that collection is made at once, but for a quarter of
 *                      the time at most
 *   1                  a process is refused what it asks for, and ended
 *   9/8                the library and the collector, too
 *
 * Worker's thread.
 *
 * SPDX-License-Identifier: MIT */
#include "process/sched.h"

#define STEP_NS  1000000u /* of a collection, between two turns */
#define STEP_KB  64
#define INNOCENT 64 /* of the limit: less than this part proves nothing */
#define CYCLES   2  /* what dies during the first is freed by the second */

/* The collector's pace; LuaJIT's own, and one that lets nothing pile up. Little
 * memory is collected later, or to mark what lives costs more than to make
 * what dies. */
#define PAUSE       200
#define STEPS       200
#define PAUSE_SMALL 600
#define SMALL       ((size_t)4 << 20) /* bytes */
#define PAUSE_SHORT 100
#define STEPS_SHORT 800

int rt__vm_call_gc(lua_State *L) {
  int what = (int)lua_tointeger(L, 1), amount = (int)lua_tointeger(L, 2);
  lua_pushboolean(L, lua_gc(L, what, amount));
  return 1;
}

/* Allocates nothing, as memory may be short. */
bool rt__vm_gc(rt__vm *vm, int what, int amount) {
  lua_State *L = vm->L;
  bool before = vm->shielded;
  vm->shielded = true;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->call_gc);
  lua_pushinteger(L, what);
  lua_pushinteger(L, amount);
  int rc = lua_pcall(L, 2, 1, 0);
  vm->shielded = before;
  bool done = rc == 0 && lua_toboolean(L, -1);
  if (rc != 0) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : 0;
    rt_runtime_log(vm->worker->rt, RT_LOG_ERROR, NULL, "in a finalizer: %s",
                   text ? text : "error");
  }
  lua_pop(L, 1);
  return done;
}

static bool is_short(const rt__vm *vm) {
  return vm->used >= vm->limit / 8 * 5;
}

static rt__process *largest(rt__vm *vm) {
  rt__process *found = NULL;
  for (rt__process *p = vm->oldest; p; p = p->next)
    if (p->ending == RT_OK && (!found || p->charged > found->charged))
      found = p;
  return found;
}

static void pace(rt__vm *vm, int pause, int steps) {
  lua_gc(vm->L, LUA_GCSETPAUSE, pause);
  lua_gc(vm->L, LUA_GCSETSTEPMUL, steps);
}

/* Answers whether the collection is complete. */
static bool step(rt__vm *vm) {
  uint64_t end = uv_hrtime() + STEP_NS;
  do
    if (rt__vm_gc(vm, LUA_GCSTEP, STEP_KB)) vm->cycles--;
  while (vm->cycles > 0 && uv_hrtime() < end);
  return vm->cycles == 0;
}

/* For a quarter of the time at most; answers whether it was made. */
static bool collect_all(rt__vm *vm) {
  uint64_t start = uv_hrtime();
  if (start < vm->full_after) return false;
  rt__vm_gc(vm, LUA_GCCOLLECT, 0);
  uint64_t now = uv_hrtime();
  vm->full_after = now + 3 * (now - start);
  return true;
}

static bool collect(rt__vm *vm) {
  if (vm->used >= vm->limit / 8 * 7 && collect_all(vm)) return true;
  return step(vm);
}

/* Whoever has allocated a good part of it is ended, and there will be room.
 * Where many did a little each, there will not. Who allocated next to nothing
 * is spared: what is there may be left of a process that has ended already. */
static void judge(rt__vm *vm) {
  bool crowded = is_short(vm);
  vm->cycles = 0;
  /* The next look comes when a sixteenth of the limit has been added. */
  vm->next_look = vm->used + vm->limit / 16;
  if (vm->used >= vm->limit / 4 * 3) {
    rt__process *process = largest(vm);
    if (process && process->charged > vm->limit / 8) {
      crowded = false;
      vm->next_look = 0;
    }
    if (process && process->charged > vm->limit / INNOCENT)
      rt__process_kill(process, RT_ENOMEM, NULL);
  }
  atomic_store(&vm->crowded, crowded);
  for (rt__process *p = vm->oldest; p; p = p->next) p->charged = 0;
}

bool rt__vm_make_room(rt__vm *vm) {
  if (!atomic_load(&vm->crowded)) return true;
  if (collect_all(vm)) atomic_store(&vm->crowded, is_short(vm));
  return !atomic_load(&vm->crowded);
}

/* What a pause of a small heap allows to a large one ends here: a collection
 * begins. */
static void pace_small(rt__vm *vm) {
  bool small = vm->used < SMALL;
  if (small == vm->small) return;
  vm->small = small;
  lua_gc(vm->L, LUA_GCSETPAUSE, small ? PAUSE_SMALL : PAUSE);
  if (!small) lua_gc(vm->L, LUA_GCRESTART, 0);
}

static bool plenty(rt__vm *vm) {
  if (is_short(vm)) return false;
  if (!vm->paced) {
    pace_small(vm);
    return true;
  }
  vm->paced = false;
  vm->next_look = 0;
  vm->cycles = 0;
  atomic_store(&vm->crowded, false);
  vm->small = false;
  pace(vm, PAUSE, STEPS);
  return true;
}

/* As was asked for: all of it, a slice between two turns. */
static bool sweep(rt__vm *vm) {
  uint64_t end = uv_hrtime() + STEP_NS;
  do
    if (rt__vm_gc(vm, LUA_GCSTEP, STEP_KB)) vm->wanted--;
  while (vm->wanted > 0 && uv_hrtime() < end);
  if (vm->wanted == 0) rt__blocks_trim(&vm->blocks);
  return true;
}

void rt__vm_collect(rt__vm *vm) {
  if (vm->L) vm->wanted = CYCLES;
}

bool rt__vm_check_memory(rt__vm *vm) {
  if (vm->unfinalized) {
    vm->unfinalized = false;
    rt__vm_gc(vm, LUA_GCSTEP, STEP_KB);
  }
  if (vm->wanted > 0) return sweep(vm);
  if (plenty(vm)) return false;
  if (!vm->paced) pace(vm, PAUSE_SHORT, STEPS_SHORT);
  vm->paced = true;
  if (vm->cycles == 0) {
    if (vm->used < vm->next_look) return false;
    vm->cycles = CYCLES;
  }
  if (collect(vm)) judge(vm);
  return vm->cycles > 0;
}
