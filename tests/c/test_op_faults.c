/* test_op_faults.c - bindings that start an operation run out of memory at each
 * of their allocations: none leaves an operation behind that never ends, which
 * would keep the runtime from ever being quiet.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

#define ROOM 1200 /* bytes that one call may take before it is refused more */
#define STEP 8

/* Calls that end by themselves or can be cancelled. */
static const char cases_code[] =
    "local errors = require('rt.errors')\n"
    "local fault = errors.make('words', 'INVALID', {details = {a = {1}}})\n"
    "local session = {name = 'x', dir = '/dev/null/x', only = {'a'},\n"
    "  options = {fault = fault}, config = {fault, fault}}\n"
    "return {\n"
    "  {require('rt.core.fs').read, '/dev/null', 10},\n"
    "  {require('rt.core.fs').rename, '/dev/null/a', '/dev/null/b'},\n"
    "  {require('rt.core.io').open, '/dev/null', 'r'},\n"
    "  {require('rt.core.registry').load, '/dev/null/a.lua', 0},\n"
    "  {require('rt.core.session').open, session},\n"
    "  {require('rt.core.session').report, 'status', {fault = fault}},\n"
    "  {require('rt.core.events').subscribe, 'a', 'b', 16, 0},\n"
    "  {require('rt.core.process').list},\n"
    "  {require('rt.core.tcp').dial, '127.0.0.1', 1},\n"
    "  {require('rt.core.dns').lookup, '127.0.0.1'},\n"
    "  {require('rt.core.exec').run, '/bin/true', {'true'}, nil, nil, nil, 10, "
    "0},\n"
    "}";

typedef struct faults {
  rt__task task;
  int cases, count; /* ref of the table; how many */
  unsigned started;
  atomic_uint ended, refused;
  atomic_int open; /* operations; -1: not looked at yet */
  atomic_bool ready;
} faults;

/* (cases, number, room): call it with that much memory. */
static int l_call(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  size_t limit = vm->limit;
  lua_rawgeti(L, 1, (int)lua_tointeger(L, 2));
  size_t room = (size_t)lua_tointeger(L, 3);
  int count = (int)lua_objlen(L, 4);
  count = count > 2 ? 8 : count; /* with nil in the middle */
  lua_checkstack(L, 40);
  for (int i = 1; i <= count; i++) lua_rawgeti(L, 4, i);
  vm->limit = vm->used + room;
  lua_pcall(L, count - 1, 2, 0);
  vm->limit = limit;
  return 0;
}

static void on_end(rt__process *process, rt_err how, rt_value *result,
                   rt_value *error, void *arg) {
  faults *f = arg;
  (void)process;
  (void)result;
  (void)error;
  if (how == RT_ENOMEM) atomic_fetch_add(&f->refused, 1);
  atomic_fetch_add(&f->ended, 1);
}

static int load_cases(lua_State *L) {
  faults *f = lua_touserdata(L, 1);
  if (luaL_loadstring(L, cases_code) != 0) return lua_error(L);
  lua_call(L, 0, 1);
  f->count = (int)lua_objlen(L, -1);
  f->cases = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void start_one(faults *f, rt__vm *vm, int number, int room) {
  rt__start start = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  start.on_exit = on_end;
  start.exit_arg = f;
  start.internal = true;
  lua_State *L = vm->L;
  lua_pushcfunction(L, l_call);
  lua_rawgeti(L, LUA_REGISTRYINDEX, f->cases);
  lua_pushinteger(L, number);
  lua_pushinteger(L, room);
  if (rt__process_start(NULL, vm, &start, 3, &err) == RT_OK) f->started++;
}

static void run_all(rt__worker *worker, rt__task *task) {
  faults *f = (faults *)task;
  rt__vm *vm = worker->vm;
  vm->shielded = true;
  int rc = lua_cpcall(vm->L, load_cases, f);
  vm->shielded = false;
  if (rc != 0) print_error("%s\n", lua_tostring(vm->L, -1));
  for (int number = 1; number <= f->count; number++)
    for (int room = 0; room < ROOM; room += STEP)
      start_one(f, vm, number, room);
  atomic_store(&f->ready, true);
}

static void count_open(rt__worker *worker, rt__task *task) {
  atomic_store(&((faults *)task)->open, (int)worker->ops);
}

static int open_operations(faults *f, rt__worker *worker) {
  atomic_store(&f->open, -1);
  f->task.run = count_open;
  rt__worker_post(worker, &f->task);
  while (atomic_load(&f->open) < 0) uv_sleep(1);
  return atomic_load(&f->open);
}

static void no_operation_stays(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  rt__worker *worker = rt__runtime_worker(runner_runtime(r), 0);
  uint64_t end = uv_hrtime() + 60u * 1000000000ull;
  faults f = {.task = {NULL, run_all}};
  rt__worker_post(worker, &f.task);
  while (!atomic_load(&f.ready) && uv_hrtime() < end) uv_sleep(1);
  assert_true(atomic_load(&f.ready));
  assert_int_equal(f.started, (unsigned)f.count * (ROOM / STEP));
  while (atomic_load(&f.ended) < f.started && uv_hrtime() < end) uv_sleep(1);
  assert_int_equal(atomic_load(&f.ended), f.started);
  assert_true(atomic_load(&f.refused) > (unsigned)f.count * 2);
  while (open_operations(&f, worker) > 0 && uv_hrtime() < end) uv_sleep(1);
  assert_int_equal(open_operations(&f, worker), 0);
  assert_int_equal(runner_run(r, "print('still')"), 0);
  runner_free(r);
}

/* --- many arguments ------------------------------------------------------
 * They go onto the stack of a coroutine that does not run yet. */

#define MANY      3000
#define WIDE_ROOM (192 * 1024)
#define WIDE_STEP 1024

/* (spawn, function, room) */
static int l_spawn_many(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  size_t limit = vm->limit, room = (size_t)lua_tointeger(L, 3);
  lua_settop(L, 2);
  if (!lua_checkstack(L, MANY + 40)) return 0;
  for (int i = 0; i < MANY; i++) lua_pushinteger(L, i);
  vm->spares = 0; /* theirs are wide already */
  vm->limit = vm->used + room;
  lua_pcall(L, MANY + 1, 0, 0);
  vm->limit = limit;
  return 0;
}

static int push_spawn(lua_State *L) {
  faults *f = lua_touserdata(L, 1);
  if (luaL_loadstring(L, "return {require('rt.core.task').spawn,"
                         "  function() end}") != 0)
    return lua_error(L);
  lua_call(L, 0, 1);
  f->cases = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void spawn_all(rt__worker *worker, rt__task *task) {
  faults *f = (faults *)task;
  rt__vm *vm = worker->vm;
  lua_State *L = vm->L;
  rt__start start = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  vm->shielded = true;
  if (lua_cpcall(L, push_spawn, f) != 0)
    print_error("%s\n", lua_tostring(L, -1));
  vm->shielded = false;
  start.on_exit = on_end;
  start.exit_arg = f;
  start.internal = true;
  for (int room = 0; room < WIDE_ROOM; room += WIDE_STEP) {
    lua_pushcfunction(L, l_spawn_many);
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->cases);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    lua_remove(L, -3);
    lua_pushinteger(L, room);
    if (rt__process_start(NULL, vm, &start, 3, &err) == RT_OK) f->started++;
  }
  atomic_store(&f->ready, true);
}

static void a_coroutine_with_many_arguments(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  uint64_t end = uv_hrtime() + 60u * 1000000000ull;
  faults f = {.task = {NULL, spawn_all}};
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &f.task);
  while (!atomic_load(&f.ready) && uv_hrtime() < end) uv_sleep(1);
  assert_int_equal(f.started, WIDE_ROOM / WIDE_STEP);
  while (atomic_load(&f.ended) < f.started && uv_hrtime() < end) uv_sleep(1);
  assert_int_equal(atomic_load(&f.ended), f.started);
  assert_true(atomic_load(&f.refused) > 10);
  assert_true(atomic_load(&f.refused) < f.started);
  assert_int_equal(runner_run(r, "print('still')"), 0);
  runner_free(r);
}

/* --- a result ------------------------------------------------------------
 * It is encoded when its coroutine has ended, where no error can be caught. */

typedef struct ending {
  rt__task task;
  size_t more; /* bytes that the VM may have at the end */
  rt_err how;
  size_t limit;
  atomic_bool done;
} ending;

/* (table, ending): from here on there is that much memory. */
static int l_return(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  const ending *e = lua_touserdata(L, 2);
  lua_gc(L, LUA_GCSTOP, 0);
  vm->limit = (vm->used + e->more) / 9 * 8;
  lua_settop(L, 1);
  return 1;
}

static void on_return(rt__process *process, rt_err how, rt_value *result,
                      rt_value *error, void *arg) {
  ending *e = arg;
  (void)result;
  (void)error;
  process->vm->limit = e->limit;
  lua_gc(process->vm->L, LUA_GCRESTART, 0);
  e->how = how;
  atomic_store(&e->done, true);
}

static void run_ending(rt__worker *worker, rt__task *task) {
  ending *e = (ending *)task;
  rt__start start = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  lua_State *L = worker->vm->L;
  start.on_exit = on_return;
  start.exit_arg = e;
  e->limit = worker->vm->limit;
  lua_pushcfunction(L, l_return);
  lua_newtable(L);
  for (int i = 0; i < 90; i++) { /* tables in tables */
    lua_newtable(L);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
  }
  lua_pushlightuserdata(L, e);
  rt__process_start(NULL, worker->vm, &start, 2, &err);
}

static rt_err end_with(runner *r, size_t more) {
  ending e = {.task = {NULL, run_ending}, .more = more};
  uint64_t end = uv_hrtime() + 60u * 1000000000ull;
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &e.task);
  while (!atomic_load(&e.done) && uv_hrtime() < end) uv_sleep(1);
  assert_true(atomic_load(&e.done));
  return e.how;
}

static void a_result_without_memory(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
/* First: coroutines are used again, with the stack they have then. */
#ifndef RT_LUAJIT_SYSTEM /* it raises where it cannot grow a stack */
  assert_int_not_equal(end_with(r, 0), RT_OK);
#endif
  assert_int_equal(end_with(r, 1 << 20), RT_OK);
  assert_int_equal(runner_run(r, "print('still')"), 0);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_operation_stays),
      cmocka_unit_test(a_coroutine_with_many_arguments),
      cmocka_unit_test(a_result_without_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
