/* vm.c - one LuaJIT state: its memory, its hook, its way back to C structs.
 *
 * All memory of a VM goes through one allocator, which finds the VM's struct
 * for any of its coroutines. Past the limit it refuses what a process asks
 * for; the process is then ended, whatever its code makes of the error.
 *
 * SPDX-License-Identifier: MIT */
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#ifndef RT_LUAJIT_SYSTEM
#define HOOK_IN_C LUAJIT_HOOKC
#else
#define HOOK_IN_C (-1)
#endif

/* Of CPU, where it cannot be preempted: when others wait, when nobody does, and
 * before a pattern match goes on in Lua, where it can. */
#define HOLD_UP_NS 250000000u
#define ALONE_NS   1000000000u
#define LEAVE_NS   20000000u

/* How many instructions are looked at one after another. */
#define LOOKS_MAX      300
#define LOOKS_APART_NS 1000000u

#define REFS 100

#include "bind/bind.h"
#include "bind/lua_shape.h"
#include "process/slots.h"
#include "process/spawn.h"

rt__vm *rt__vm_of(lua_State *L) {
  return rt__slot_owner(L);
}

rt__worker *rt__worker_of(lua_State *L) {
  return rt__vm_of(L)->worker;
}
rt_runtime *rt__runtime_of(lua_State *L) {
  return rt__vm_of(L)->worker->rt;
}
rt__process *rt__process_of(lua_State *L) {
  return ((rt__vm *)rt__slot_owner(L))->running;
}

/* A process may grow the VM to its limit; the library and the collector may
 * go an eighth above it. */
static bool may_grow(rt__vm *vm, size_t bytes) {
  size_t limit = vm->limit;
  if (!vm->running || vm->shielded || vm->running->ending != RT_OK)
    limit += limit / 8;
  return vm->used + bytes <= limit;
}

bool rt__vm_charge(rt__vm *vm, size_t bytes) {
  if (!may_grow(vm, bytes)) {
    vm->refused = true;
    return false;
  }
  vm->used += bytes;
  if (vm->running) vm->running->charged += bytes;
  return true;
}

void rt__vm_discharge(rt__vm *vm, size_t bytes) {
  vm->used -= bytes;
}

static void *resize(rt__vm *vm, void *block, size_t old, size_t size) {
  if (!block) return rt__blocks_take(&vm->blocks, size);
  void *moved = rt__blocks_resize(&vm->blocks, block, old, size);
  /* shrinking may not fail, as far as we can help it */
  if (!moved && size <= old && (old <= RT__BLOCK_MAX || size > RT__BLOCK_MAX))
    return block;
  return moved;
}

static void *allocate(void *ud, void *block, size_t old, size_t size) {
  rt__vm *vm = ud;
  if (size == 0) {
    vm->used -= old;
    rt__blocks_give(&vm->blocks, block, old);
    return NULL;
  }
  size_t more = size > old ? size - old : 0;
  if (vm->used + more > vm->limit && !may_grow(vm, more)) {
    vm->refused = true;
    return NULL;
  }
  void *grown = resize(vm, block, old, size);
  if (!grown) {
    vm->refused = true;
    return NULL;
  }
  if (vm->running) vm->running->charged += more;
  vm->used = vm->used + size - old;
  return grown;
}

static int on_panic(lua_State *L) {
  (void)L;
  return 0; /* unreachable: everything is entered protected */
}

bool rt__vm_call(rt__vm *vm, int args, int results) {
  lua_State *L = vm->L;
  bool before = vm->shielded;
  vm->shielded = true;
  int handler = lua_gettop(L) - args;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->traceback);
  lua_insert(L, handler);
  int rc = lua_pcall(L, args, results, handler);
  vm->shielded = before;
  lua_remove(L, handler);
  if (rc == 0) return true;
  const char *text = lua_tostring(L, -1);
  rt_runtime_log(vm->worker->rt, RT_LOG_ERROR, NULL, "%s",
                 text ? text : "error in the library");
  lua_pop(L, 1);
  return false;
}

static int ref_field(lua_State *L, const char *name) {
  lua_getfield(L, -1, name);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* References are looked up for each message: the first ones are to be in the
 * array part of the registry, not where there happens to be room. */
static void widen_registry(lua_State *L) {
  int refs[REFS], i;
  for (i = 0; i < REFS; i++) {
    lua_pushboolean(L, 1);
    refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  while (--i >= 0) luaL_unref(L, LUA_REGISTRYINDEX, refs[i]);
}

#ifndef RT_LUAJIT_SYSTEM
/* Not in the middle of the library, where it may call that again: it would find
 * a channel half written. Those of safe scripts are ours. */
static int may_finalize(lua_State *L) {
  lua_Debug ar;
  for (int level = 0; level < 2 && lua_getstack(L, level, &ar); level++) {
    if (!lua_getinfo(L, "S", &ar) || *ar.what == 'C') continue;
    if (strncmp(ar.source, "=rt/", 4) != 0) return true;
    rt__vm_of(L)->unfinalized = true;
    return false;
  }
  return true;
}

static void on_finalizer_error(lua_State *L) {
  const char *text =
      lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error";
  rt_runtime_log(rt__runtime_of(L), RT_LOG_ERROR, NULL, "in a finalizer: %s",
                 text);
}
#endif

/* (vm): opens the libraries, loads rt.boot and keeps what C calls. */
static int open_vm(lua_State *L) {
  static const char *const names[RT__REF_COUNT] = {"globals", "inlet", "start",
                                                   "trace"};
  rt__vm *vm = lua_touserdata(L, 1);
  luaL_openlibs(L);
  widen_registry(L);
  lua_pushlightuserdata(L, (void *)&rt__tag_wait);
  vm->wait_tag = rt__slot_bits(L, lua_gettop(L));
  lua_newtable(L);
  lua_pushboolean(L, 1);
  int first = luaL_ref(L, -2);
  luaL_unref(L, -1, first); /* makes its list of free references */
  vm->fibers = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, rt__traceback);
  vm->traceback = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, rt__process_build);
  vm->build = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, rt__spawn_push_code);
  vm->push_code = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, rt__vm_call_gc);
  vm->call_gc = luaL_ref(L, LUA_REGISTRYINDEX);
  rt__codes_init(L, vm);
  rt__bind_open(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "rt.boot");
  lua_call(L, 1, 1);
  for (int i = 0; i < RT__REF_COUNT; i++) vm->refs[i] = ref_field(L, names[i]);
#ifndef RT_LUAJIT_SYSTEM
  lua_getfield(L, -1, "long");
  for (int i = 1; i <= 3; i++) lua_rawgeti(L, -i, i);
  luaJIT_setleavefn(L);
  luaJIT_setfinalizers(L, vm->worker->rt->opts.unsafe ? may_finalize : NULL,
                       on_finalizer_error);
  luaJIT_sethookfn(L, rt__vm_hook);
#else /* its compiled code never looks at a hook */
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
#endif
  return 0;
}

rt__vm *rt__vm_new(rt__worker *worker, unsigned index) {
  rt__vm *vm = calloc(1, sizeof(*vm));
  if (!vm) return NULL;
  vm->worker = worker;
  vm->index = index;
  vm->limit = worker->vm_memory;
  vm->blocks.alloc = worker->rt->opts.alloc;
  vm->blocks.alloc_arg = worker->rt->opts.alloc_arg;
  if (rt__pids_init(&vm->pids, worker->index, index) != RT_OK) goto free_vm;
  vm->pids.base = worker->generation;
  vm->builder = rt_builder_new();
  if (vm->builder) return vm;
  rt__pids_deinit(&vm->pids);
free_vm:
  free(vm);
  return NULL;
}

static void close_state(rt__vm *vm) {
  if (!vm->L) return;
  lua_close(vm->L);
  vm->L = NULL;
  free(vm->slots.at);
  memset(&vm->slots, 0, sizeof(vm->slots));
  rt__codes_deinit(vm);
  rt__blocks_deinit(&vm->blocks);
}

rt_err rt__vm_open(rt__vm *vm, rt_error *err) {
  if (vm->L) return RT_OK;
  lua_State *L = lua_newstate(allocate, vm);
  if (!L) return rt_fail(err, RT_ENOMEM, "no memory for a VM");
  lua_atpanic(L, on_panic);
  vm->L = L;
  vm->shielded = true;
  int status = lua_cpcall(L, open_vm, vm);
  vm->shielded = false;
  if (status == 0) {
    rt__worker_bound_stack(vm->worker, L);
    vm->tidied = vm->used;
    return RT_OK;
  }
  const char *text = lua_tostring(L, -1);
  rt_err rc = rt_fail(err, RT_EINTERNAL, "cannot load the library: %s",
                      text ? text : "unknown error");
  close_state(vm);
  return rc;
}

void rt__vm_close(rt__vm *vm) {
  vm->running = NULL;
  vm->shielded = true;
#ifndef RT_LUAJIT_SYSTEM /* it may be another thread than the worker's */
  if (vm->L) luaJIT_setcstack(vm->L, NULL);
#endif
  close_state(vm);
}

void rt__vm_free(rt__vm *vm) {
  if (!vm) return;
  rt__vm_close(vm);
  rt_builder_free(vm->builder);
  rt__shapes_free(vm->shapes);
  rt__pids_deinit(&vm->pids);
  free(vm);
}

/* --- the hook ----------------------------------------------------------- */

/* How long has it been where it cannot be preempted? */
static uint64_t held_for(rt__vm *vm, uint64_t epoch) {
  uint64_t now = rt__cpu_ns();
  if (vm->held_epoch != epoch) {
    vm->held_epoch = epoch;
    vm->held_cpu = now;
  }
  return now - vm->held_cpu;
}

/* What C calls in Lua is mostly over soon, as when it makes an error: each of
 * some instructions is looked at. Left to the watchdog alone, whoever makes
 * errors in a loop would always be met while it makes one. */
static bool look_again(rt__vm *vm, uint64_t held) {
  if (held < vm->held_looked || held - vm->held_looked > LOOKS_APART_NS)
    vm->held_looks = 0;
  vm->held_looked = held;
  return vm->held_looks++ < LOOKS_MAX;
}

/* It may hold up its worker only for so long. */
static bool held_up(rt__vm *vm, rt__process *process, uint64_t held) {
  if (held < HOLD_UP_NS) return false;
  if (held < ALONE_NS && !rt__worker_is_awaited(vm->worker)) return false;
  process->ending = RT_ETIMEOUT;
  if (process->dying) return true;
  rt__process_set_error(
      process,
      rt__error_map(RT_ETIMEOUT,
                    "held up its worker where it cannot be preempted", NULL));
  return true;
}

static void leave_c(lua_State *L, uint64_t held) {
#ifndef RT_LUAJIT_SYSTEM
  if (held >= LEAVE_NS) luaJIT_leave(L);
#else
  (void)L;
  (void)held;
#endif
}

/* Is the running process to end? Notes why. */
static bool must_end(rt__vm *vm, rt__process *process) {
  rt__worker *worker = vm->worker;
  if (process->ending != RT_OK) return true;
  if (rt__worker_lost(worker))
    process->ending = RT_EUNAVAIL;
  else if (vm->refused)
    process->ending = RT_ENOMEM;
  else if (atomic_load(&worker->halting))
    process->ending = RT_ECLOSED;
  else if (rt__process_is_late(process))
    process->ending = RT_ETIMEOUT;
  else if (rt__worker_wants_killed(worker, process->pid))
    process->ending = RT_ECANCELED;
  return process->ending != RT_OK;
}

bool rt__vm_is_ending(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  rt__process *process = vm->running;
  if (!process || !vm->fiber || vm->shielded) return false;
  if (!must_end(vm, process)) return false;
  rt__vm_interrupt(vm);
  return true;
}

void rt__vm_interrupt(rt__vm *vm) {
  rt__worker *worker = vm->worker;
  atomic_store(&worker->armed, atomic_load(&worker->epoch));
#ifndef RT_LUAJIT_SYSTEM
  luaJIT_arm(vm->L);
#else
  lua_sethook(vm->L, rt__vm_hook, LUA_MASKCOUNT, 1);
#endif
}

/* Called on the VM's thread at the next instruction after the watchdog armed
 * it. It always disarms: what is still needed the watchdog asks for again. */
void rt__vm_hook(lua_State *L, lua_Debug *ar) {
  rt__vm *vm = rt__vm_of(L);
  rt__worker *worker = vm->worker;
#ifndef RT_LUAJIT_SYSTEM
  luaJIT_disarm(L);
#else
  lua_sethook(L, NULL, 0, 0);
#endif
  atomic_fetch_add_explicit(&worker->stuck.heard, 1, memory_order_relaxed);
  uint64_t epoch = atomic_load_explicit(&worker->epoch, memory_order_relaxed);
  bool lost = rt__worker_lost(worker);
  if (atomic_load(&worker->armed) != epoch && !lost) return;
  rt__process *process = vm->running;
  if (!process || !vm->fiber || vm->shielded) {
    if (lost && vm->fiber) rt__vm_interrupt(vm); /* right after that */
    return;
  }
  bool end = must_end(vm, process);
  if (end) rt__process_note(process, L);
  if (ar->event != HOOK_IN_C && lua_isyieldable(L)) {
    /* In a coroutine of a coroutine: who resumed it has to meet the hook, too,
     * or could go on with another one for ever. */
    if (end && L != vm->fiber->co) rt__vm_interrupt(vm);
    lua_yield(L, 0);
    return;
  }
  uint64_t held = end ? 0 : held_for(vm, epoch);
  if (!end && !held_up(vm, process, held)) {
    /* Inside a pattern match: it yields at the next instruction after that. */
    if (ar->event == HOOK_IN_C) leave_c(L, held);
    if (ar->event == HOOK_IN_C || look_again(vm, held)) rt__vm_interrupt(vm);
    return;
  }
  rt__process_note(process, L);
  /* Whoever catches the error meets the hook at the next instruction. */
  rt__vm_interrupt(vm);
  luaL_error(L, "terminated");
}
