/* bind_task.c - rt.core.task: what the scheduler offers to the library.
 *
 * C never yields: these calls say what a fiber will wait for, and the library
 * then yields one of the tags below to the scheduler.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#ifndef RT_LUAJIT_SYSTEM
#include <luajit.h>
#endif

#include "base/embedded.h"
#include "bind/bind.h"
#include "process/sched.h"

rt__fiber *rt__lua_waiter(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  rt__fiber *fiber = rt__fiber_of(L);
  if (process->nowait) luaL_error(L, "may not wait here");
  if (!fiber || !lua_isyieldable(L))
    luaL_error(L, "cannot wait inside a callback of a C function "
                  "(such as table.sort or string.gsub)");
  return fiber;
}

/* await(op, timeout) -> true: yield the wait tag first */
static int l_await(lua_State *L) {
  rt__op *op = lua_touserdata(L, 1);
  luaL_argcheck(L, op, 1, "operation expected");
  double timeout = luaL_optnumber(L, 2, -1);
  if (op->process != rt__lua_process(L))
    luaL_error(L, "not an operation of ours");
  if (!op->ended) rt__lua_waiter(L);
  lua_pushboolean(L, rt__op_await(L, op, timeout));
  return 1;
}

/* take(op) -> its results */
static int l_take(lua_State *L) {
  return rt__op_take(L, lua_touserdata(L, 1));
}

static void park(lua_State *L, rt__fiber *fiber, double timeout) {
  fiber->timed_out = fiber->woken = false;
  fiber->parking = true;
  if (timeout >= 0 && rt__timer_start(fiber->process->vm->worker, &fiber->timer,
                                      timeout) != RT_OK) {
    fiber->parking = false;
    luaL_error(L, "out of memory");
  }
}

/* park(timeout): then yield the wait tag */
static int l_park(lua_State *L) {
  rt__fiber *fiber = rt__lua_waiter(L);
  park(L, fiber, luaL_optnumber(L, 1, -1));
  return 0;
}

/* stand(owner or false, timeout) -> a number for this wait of the running
 * fiber, its owner: it parks for a channel; then yield the wait tag. Nothing
 * when the channel is another process's. */
static int l_stand(lua_State *L) {
  rt__fiber *fiber = rt__lua_waiter(L);
  lua_Number serial = (lua_Number)fiber->process->serial;
  if (lua_toboolean(L, 1) && lua_tonumber(L, 1) != serial) return 0;
  park(L, fiber, lua_isnumber(L, 2) ? lua_tonumber(L, 2) : -1);
  lua_pushnumber(L, rt__fiber_stand(fiber));
  lua_pushnumber(L, serial);
  return 2;
}

/* serial() -> number of the running process, as `owner` above */
static int l_serial(lua_State *L) {
  lua_pushnumber(L, (lua_Number)rt__lua_process(L)->serial);
  return 1;
}

/* unpark(): the yield cannot be done after all */
static int l_unpark(lua_State *L) {
  rt__fiber *fiber = rt__fiber_of(L);
  if (fiber) rt__fiber_unpark(fiber);
  return 0;
}

/* expired() -> nil, the error of a park that timed out */
static int l_expired(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_ETIMEOUT, "timed out");
  err.retryable = true;
  return rt__lua_fail(L, &err);
}

/* Resume a parked fiber with the `args` values on top of L, which are popped
 * when it answers true. Whose number it is stands in tables that scripts can
 * write to: one of another process is none. */
static bool wake(lua_State *L, rt__fiber *fiber, int args) {
  if (!fiber || fiber->state != RT__FIBER_PARKED || fiber->op) return false;
  if (fiber->process != rt__process_of(L)) return false;
  rt__fiber_widen(L, fiber->co, args + 4);
  lua_xmove(L, fiber->co, args);
  fiber->args = args;
  rt__fiber_wake(fiber);
  return true;
}

static rt__fiber *fiber_at(lua_State *L, int index) {
  return rt__fiber_find(rt__vm_of(L), luaL_checknumber(L, index));
}

/* wake(fiber, ...) -> true when it was parked. Its park returns true, ... */
static int l_wake(lua_State *L) {
  rt__fiber *fiber = fiber_at(L, 1);
  lua_pushboolean(L, 1);
  lua_replace(L, 1);
  lua_pushboolean(L, wake(L, fiber, lua_gettop(L)));
  return 1;
}

/* hand(wait, ...) -> true when it goes on. Its yield returns ... */
static int l_hand(lua_State *L) {
  rt__fiber *fiber = rt__fiber_standing(rt__vm_of(L), luaL_checknumber(L, 1));
  lua_pushboolean(L, wake(L, fiber, lua_gettop(L) - 1));
  return 1;
}

/* fiber() -> the running fiber */
static int l_fiber(lua_State *L) {
  rt__fiber *fiber = rt__fiber_of(L);
  if (!fiber) return 0;
  lua_pushnumber(L, rt__fiber_handle(fiber));
  return 1;
}

/* spawn(function, ...) -> fiber */
static int l_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  rt__fiber *fiber = rt__fiber_new(L, rt__lua_process(L), lua_gettop(L) - 1);
  lua_pushnumber(L, rt__fiber_handle(fiber));
  return 1;
}

/* state() -> the table of the running process */
static int l_state(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  if (process->state == LUA_NOREF) {
    lua_createtable(L, 4, 0); /* see lua/process.lua */
    process->state = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, process->state);
  return 1;
}

/* peek() -> that table, or nil when there is none yet */
static int l_peek(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  if (process->state == LUA_NOREF) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, process->state);
  return 1;
}

/* globals() -> the globals of the running process */
static int l_globals(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt__lua_process(L)->globals);
  return 1;
}

static int l_yieldable(lua_State *L) {
  lua_pushboolean(L, lua_isyieldable(L));
  return 1;
}

/* keep_on(): a preemption that cannot be passed on; raises when the process is
 * to end. */
static int l_keep_on(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  if (process->ending == RT_OK) return 0;
  rt__vm_interrupt(process->vm);
  return luaL_error(L, "terminated");
}

/* output(fd, text) */
static int l_output(lua_State *L) {
  size_t size;
  int fd = (int)luaL_checkinteger(L, 1);
  const char *text = luaL_checklstring(L, 2, &size);
  rt__runtime_output(rt__runtime_of(L), fd, text, size);
  return 0;
}

/* exit(code): then yield the exit tag */
static int l_exit(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  process->exit_code = (int)luaL_optinteger(L, 1, 0);
  process->exit_asked = true;
  return 0;
}

/* clone(function, env) -> a new function of the same prototype */
static int l_clone(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
#ifndef RT_LUAJIT_SYSTEM
  luaJIT_clonefn(L, 1);
#else
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "dump");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  size_t size;
  const char *code = lua_tolstring(L, -1, &size);
  if (luaL_loadbuffer(L, code, size, "=clone") != 0) return lua_error(L);
#endif
  if (lua_istable(L, 2)) {
    lua_pushvalue(L, 2);
    lua_setfenv(L, -2);
  }
  return 1;
}

/* --- compiling ------------------------------------------------------------
 */

/* Bytes of a text between two looks at who is to end. */
#define PIECE (1u << 16)

typedef struct text {
  const char *at;
  size_t left;
  bool first; /* most have but one, of which nothing is asked */
} text;

/* No text that its process does not live to run: half of it may be one, too. */
static const char *next_piece(lua_State *L, void *data, size_t *size) {
  text *t = data;
  const char *piece = t->at;
  if (t->left > 0 && !t->first && rt__vm_is_ending(L)) {
    lua_pushliteral(L, "terminated");
    lua_error(L);
  }
  *size = t->left < PIECE ? t->left : PIECE;
  t->first = false;
  t->at += *size;
  t->left -= *size;
  return *size ? piece : NULL;
}

/* compile(text, name, mode, env) -> function | nil, words: load() of a text,
 * which may be ended in the middle of a long one */
static int l_compile(lua_State *L) {
  text t = {NULL, 0, true};
  t.at = luaL_checklstring(L, 1, &t.left);
  const char *name = luaL_optstring(L, 2, t.at);
  const char *mode = luaL_optstring(L, 3, NULL);
  if (lua_loadx(L, next_piece, &t, name, mode) != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (lua_istable(L, 4)) {
    lua_pushvalue(L, 4);
    lua_setfenv(L, -2);
  }
  return 1;
}

/* embedded(name) -> is there such a module? */
static int l_embedded(lua_State *L) {
  const struct rt__embedded *m = rt__embedded_find(luaL_checkstring(L, 1));
  lua_pushboolean(L, m != NULL);
  return 1;
}

/* modules() -> the names of all embedded modules */
static int l_modules(lua_State *L) {
  int n = 0;
  lua_newtable(L);
  for (const struct rt__embedded *m = rt__embedded_list(); m->name; m++) {
    lua_pushstring(L, m->name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* stamp(path) -> seconds since the file's last change, and what tells it from
 * any other state of it: device, inode, size, time of the change (two numbers);
 * nothing when there is no such file */
static int l_stamp(lua_State *L) {
  struct stat file;
  struct timespec now;
  if (stat(luaL_checkstring(L, 1), &file) != 0) return 0;
  clock_gettime(CLOCK_REALTIME, &now);
  double age = difftime(now.tv_sec, file.st_ctim.tv_sec) +
               (double)(now.tv_nsec - file.st_ctim.tv_nsec) / 1e9;
  lua_pushnumber(L, age);
  lua_pushnumber(L, (lua_Number)file.st_dev);
  lua_pushnumber(L, (lua_Number)file.st_ino);
  lua_pushnumber(L, (lua_Number)file.st_size);
  lua_pushnumber(L, (lua_Number)file.st_ctim.tv_sec);
  lua_pushnumber(L, (lua_Number)file.st_ctim.tv_nsec);
  return 6;
}

/* settings() -> {unsafe=, allow=, record=, dry_run=, script_dir=, seed=} */
static int l_settings(lua_State *L) {
  rt_runtime *rt = rt__runtime_of(L);
  lua_newtable(L);
  lua_pushboolean(L, rt->opts.unsafe);
  lua_setfield(L, -2, "unsafe");
  lua_pushstring(L, rt->opts.allow);
  lua_setfield(L, -2, "allow");
  lua_pushboolean(L, rt->opts.record);
  lua_setfield(L, -2, "record");
  lua_pushboolean(L, rt->opts.dry_run);
  lua_setfield(L, -2, "dry_run");
  lua_pushstring(L, rt->script_dir);
  lua_setfield(L, -2, "script_dir");
  lua_pushnumber(L, (lua_Number)(uv_hrtime() % 1000000007));
  lua_setfield(L, -2, "seed");
  return 1;
}

static const luaL_Reg functions[] = {{"await", l_await},
                                     {"take", l_take},
                                     {"park", l_park},
                                     {"stand", l_stand},
                                     {"serial", l_serial},
                                     {"unpark", l_unpark},
                                     {"expired", l_expired},
                                     {"wake", l_wake},
                                     {"hand", l_hand},
                                     {"fiber", l_fiber},
                                     {"spawn", l_spawn},
                                     {"state", l_state},
                                     {"peek", l_peek},
                                     {"globals", l_globals},
                                     {"yieldable", l_yieldable},
                                     {"keep_on", l_keep_on},
                                     {"output", l_output},
                                     {"exit", l_exit},
                                     {"clone", l_clone},
                                     {"embedded", l_embedded},
                                     {"modules", l_modules},
                                     {"settings", l_settings},
                                     {"stamp", l_stamp},
                                     {"compile", l_compile},
                                     {NULL, NULL}};

static void set_tag(lua_State *L, const char *name, const char *tag) {
  lua_pushlightuserdata(L, (void *)tag);
  lua_setfield(L, -2, name);
}

int rt__open_task(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  set_tag(L, "WAIT", &rt__tag_wait);
  set_tag(L, "PREEMPT", &rt__tag_preempt);
  set_tag(L, "EXIT", &rt__tag_exit);
  set_tag(L, "USER", &rt__tag_user);
  return 1;
}
