/* test_luajit_hook.c - our build of LuaJIT: a script is stopped and preempted
 * from another thread, whatever it does, and no interrupt is lost.
 *
 * Each case has a worker (the test's thread, owner of the VM) and a watchdog
 * thread that arms the hook. A lost interrupt hangs the test, which the
 * deadline thread turns into a message.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef RT_LUAJIT_SYSTEM
static void packaged_library(void **state) {
  (void)state; /* it has no asynchronous hook */
}
int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(packaged_library)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
#else

enum policy { END, PREEMPT, COUNT };

struct vm {
  lua_State *L;
  lua_State *base; /* the coroutine that is to be stopped */
  enum policy policy;
  atomic_bool armable; /* the watchdog may arm */
  atomic_bool stop;
  atomic_uint fired;
  atomic_uint finalized;
};

static const char vm_key;

static struct vm *vm_of(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  struct vm *vm = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return vm;
}

static void pause_ms(long ms) {
  struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&t, NULL);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What a scheduler does: end the base coroutine by a yield; below a C frame,
 * where no yield is possible, raise until the base is reached. */
static void hook(lua_State *L, lua_Debug *ar) {
  luaJIT_disarm(L);
  struct vm *vm = vm_of(L);
  atomic_fetch_add(&vm->fired, 1);
  if (vm->policy == COUNT && !vm->stop) return;
  bool yields = ar->event != LUAJIT_HOOKC && lua_isyieldable(L);
  if (vm->policy == PREEMPT && (L != vm->base || !yields)) return;
  if (L != vm->base || !yields) luaJIT_arm(L);
  if (!yields) luaL_error(L, "interrupted");
  lua_yield(L, 0);
}

static int finalizer(lua_State *L) {
  atomic_fetch_add(&vm_of(L)->finalized, 1);
  return 0;
}

static int l_object(lua_State *L) {
  lua_newuserdata(L, 16);
  luaL_getmetatable(L, "finalized");
  lua_setmetatable(L, -2);
  return 1;
}

static void vm_init(struct vm *vm, enum policy policy) {
  memset(vm, 0, sizeof(*vm));
  vm->policy = policy;
  vm->L = luaL_newstate();
  assert_non_null(vm->L);
  luaL_openlibs(vm->L);
  lua_pushlightuserdata(vm->L, (void *)(uintptr_t)&vm_key);
  lua_pushlightuserdata(vm->L, vm);
  lua_rawset(vm->L, LUA_REGISTRYINDEX);
  luaL_newmetatable(vm->L, "finalized");
  lua_pushcfunction(vm->L, finalizer);
  lua_setfield(vm->L, -2, "__gc");
  lua_pop(vm->L, 1);
  lua_register(vm->L, "object", l_object);
  luaJIT_sethookfn(vm->L, hook);
}

/* A coroutine that will run `code`; it stays on the main stack. */
static lua_State *spawn(struct vm *vm, const char *code) {
  lua_State *co = lua_newthread(vm->L);
  if (luaL_loadstring(co, code) != 0) fail_msg("%s", lua_tostring(co, -1));
  return co;
}

static int resume(struct vm *vm, lua_State *co) {
  vm->base = co;
  atomic_store(&vm->armable, true);
  int rc = lua_resume(co, 0);
  atomic_store(&vm->armable, false);
  luaJIT_disarm(vm->L); /* an interrupt that came too late */
  if (rc > LUA_YIELD) fail_msg("script failed: %s", lua_tostring(co, -1));
  return rc;
}

/* --- Ending -------------------------------------------------------------- */

static void *arm_again_and_again(void *arg) {
  struct vm *vm = arg;
  while (!atomic_load(&vm->stop)) {
    pause_ms(1);
    if (atomic_load(&vm->armable)) luaJIT_arm(vm->L);
  }
  return NULL;
}

#define BACKTRACK "local s, p = ('a'):rep(4000), ('a-'):rep(24) .. 'b' "
#define TABLE     "local t = {} for i = 1, 2e4 do t['k' .. i] = i t[i] = i end "

static const char *const endless[] = {
    "while true do end",
    "local n = 0 repeat n = n + 1 until false",
    "for i = 1, math.huge do local x = i * 2 end",
    "local function f() return f() end f()",
    "local function loop() while true do end end while true do pcall(loop) end",
    "local function loop() while true do end end xpcall(loop, loop)",
    "local function f() pcall(f) pcall(f) end f()",
    "local function f() return 1 + f() end while true do pcall(f) end",
    TABLE "while true do for k, v in pairs(t) do end end",
    TABLE "while true do for k, v in next, t do end end",
    TABLE "while true do for i, v in ipairs(t) do end end",
    TABLE "while true do local k = next(t) while k do k = next(t, k) end end",
    BACKTRACK "string.find(s, p) while true do end",
    BACKTRACK "while true do pcall(string.find, s, p) end",
    BACKTRACK "while true do pcall(string.match, s, p) end",
    BACKTRACK "while true do pcall(string.gsub, s, p, '') end",
    BACKTRACK "while true do pcall(string.gmatch(s, p)) end",
    "local s = ('('):rep(1e5) while true do pcall(string.find, s, '%b()x') end",
    "local s = (' '):rep(1e5) while true do pcall(string.find, s, '%s*x') end",
    "while true do loadstring('local x = 1 return x')() end",
    "while true do loadstring('local s = 0 for i = 1, 200 do s = s + i end')() "
    "end",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "while true do local co = coroutine.create(function() "
    "  while true do coroutine.yield() end end) "
    "  for i = 1, 100 do coroutine.resume(co) end end",
    "while true do pcall(table.sort, { 3, 2, 1 }, function() "
    "  while true do end end) end",
    "while true do pcall(string.gsub, 'x', '.', function() "
    "  while true do end end) end",
    "while true do pcall(table.sort, { 3, 2, 1 }, function() "
    "  while true do pcall(function() while true do end end) end end) end",
    "local function loop() while true do end end "
    "while true do xpcall(table.sort, loop, { 3, 2, 1 }, loop) end",
    "local function loop() while true do end end " BACKTRACK
    "while true do xpcall(string.find, loop, s, p) end",
    "local function loop() while true do pcall(loop) end end "
    "while true do xpcall(error, loop) end",
    "local mt = { __index = function(t, k) return t[k + 1] end } "
    "while true do pcall(function() return setmetatable({}, mt)[1] end) end",
    "while true do object() end",
    "while true do collectgarbage() end",
    "while true do local s = '' for i = 1, 50 do s = s .. i end end",
};

static void every_script_ends(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, END);
  pthread_t watchdog;
  assert_int_equal(pthread_create(&watchdog, NULL, arm_again_and_again, &vm),
                   0);
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
      /* An error that reaches the base ends the script as well. */
      lua_State *co = spawn(&vm, endless[i]);
      vm.base = co;
      atomic_store(&vm.armable, true);
      int rc = lua_resume(co, 0);
      atomic_store(&vm.armable, false);
      luaJIT_disarm(vm.L);
      if (rc != LUA_YIELD && !strstr(lua_tostring(co, -1), "interrupted"))
        fail_msg("%s: ended with %d %s", endless[i], rc, lua_tostring(co, -1));
      lua_settop(vm.L, 0);
    }
  }
  atomic_store(&vm.stop, true);
  pthread_join(watchdog, NULL);
  lua_close(vm.L);
}

/* --- Preempting ---------------------------------------------------------- */

static double count_of(lua_State *L, const char *name) {
  lua_getglobal(L, name);
  double n = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return n;
}

static void three_loops_share_a_vm(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, PREEMPT);
  lua_State *co[3] = {
      spawn(&vm, "a = 0 while true do a = a + 1 end"),
      spawn(&vm, "b = 0 " TABLE
                 "while true do for k, v in pairs(t) do b = b + 1 end end"),
      spawn(&vm, "c = 0 local function f() c = c + 1 error(c) end "
                 "while true do pcall(f) end"),
  };
  pthread_t watchdog;
  assert_int_equal(pthread_create(&watchdog, NULL, arm_again_and_again, &vm),
                   0);
  double last[3] = {0, 0, 0};
  for (int slice = 0; slice < 200; slice++)
    for (int i = 0; i < 3; i++) {
      assert_int_equal(resume(&vm, co[i]), LUA_YIELD);
      static const char *const names[] = {"a", "b", "c"};
      double n = count_of(vm.L, names[i]);
      assert_true(n >= last[i]);
      last[i] = n;
    }
  for (int i = 0; i < 3; i++) assert_true(last[i] > 100);
  atomic_store(&vm.stop, true);
  pthread_join(watchdog, NULL);
  lua_close(vm.L);
}

/* --- None is lost -------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ARMS = 100000, ARMS_S = 10, MEMORY = 1 << 20, MEMORY_ROUNDS = 2 };
#else
enum { ARMS = 1000000, ARMS_S = 20, MEMORY = 8 << 20, MEMORY_ROUNDS = 20 };
#endif

/* Arm, wait until the hook has fired, arm again; for some seconds at most, or
 * as often as STRESS_ARMS says, however long that takes. */
static void *arm_and_wait(void *arg) {
  struct vm *vm = arg;
  const char *asked = getenv("STRESS_ARMS");
  unsigned arms = asked ? (unsigned)strtoul(asked, NULL, 10) : ARMS;
  double end = asked ? INFINITY : now() + ARMS_S;
  while (!atomic_load(&vm->armable)) sched_yield();
  for (unsigned i = 1; i <= arms && now() < end; i++) {
    luaJIT_arm(vm->L);
    while (atomic_load(&vm->fired) < i) sched_yield();
  }
  atomic_store(&vm->stop, true);
  luaJIT_arm(vm->L);
  return NULL;
}

static void no_interrupt_is_lost(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, COUNT);
  pthread_t watchdog;
  lua_State *co = spawn(
      &vm, "local t = {} for i = 1, 100 do t[i] = i t['k' .. i] = i end "
           "local n = 0 "
           "while true do "
           "  n = n + 1 "
           "  for i = 1, 50 do object() end "
           "  for k, v in pairs(t) do t[k] = v end "
           "  pcall(error, {}) "
           "  local s = string.rep('ab', n % 90):find('b-a-b') "
           "  coroutine.wrap(function() for i = 1, 70 do s = i end end)() "
           "  if n % 10 == 0 then "
           "    loadstring('local s = 0 for i = 1, 100 do s = s + i end')() "
           "  end "
           "  if n % 100 == 0 then collectgarbage('step', 100) end "
           "  if n % 1000 == 0 then jit.flush() end "
           "end");
  assert_int_equal(pthread_create(&watchdog, NULL, arm_and_wait, &vm), 0);
  assert_int_equal(resume(&vm, co), LUA_YIELD);
  pthread_join(watchdog, NULL);
  luaJIT_disarm(vm.L);
  print_message("%u interrupts, %u finalizers\n", atomic_load(&vm.fired),
                atomic_load(&vm.finalized));
  assert_true(atomic_load(&vm.fired) > 0);
  assert_true(atomic_load(&vm.finalized) > 0);
  lua_close(vm.L);
}

/* --- What needs no interrupt --------------------------------------------- */

/* Each raises or answers "C stack overflow" instead of running off the end of
 * the C stack, and the VM goes on. */
static const char *const nesting[] = {
    "local function nest() return coroutine.wrap(nest)() end "
    "nest = function() return coroutine.wrap(nest)() end "
    "return select(2, pcall(nest))",
    "local nest nest = function() "
    "  local ok, err = coroutine.resume(coroutine.create(nest)) "
    "  return err or 'none' end "
    "local co = coroutine.create(nest) "
    "return select(2, coroutine.resume(co))",
    "local nest nest = function() return (('x'):gsub('.', nest)) end "
    "return select(2, pcall(nest))",
    "local mt = {} mt.__lt = function(a, b) "
    "  local t = { a, b, a } table.sort(t) return true end "
    "local a, b = setmetatable({}, mt), setmetatable({}, mt) "
    "return select(2, pcall(function() return a < b end))",
};

static void *nest_in_a_small_stack(void *arg) {
  struct vm *vm = arg;
  pthread_attr_t attr;
  void *lowest;
  size_t size;
  pthread_getattr_np(pthread_self(), &attr);
  pthread_attr_getstack(&attr, &lowest, &size);
  pthread_attr_destroy(&attr);
  luaJIT_setcstack(vm->L, (char *)lowest + 128 * 1024);
  const char *bad = NULL;
  for (int round = 0; round < 3 && !bad; round++)
    for (size_t i = 0; i < sizeof(nesting) / sizeof(nesting[0]); i++) {
      lua_settop(vm->L, 0);
      if (luaL_dostring(vm->L, nesting[i]) || !lua_isstring(vm->L, -1) ||
          !strstr(lua_tostring(vm->L, -1), "stack overflow")) {
        fprintf(stderr, "nesting %zu: %s\n", i,
                lua_tostring(vm->L, -1) ? lua_tostring(vm->L, -1) : "nothing");
        bad = nesting[i];
      }
    }
  luaJIT_setcstack(vm->L, NULL);
  return (void *)(uintptr_t)bad;
}

static void nested_calls_are_bounded(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, COUNT);
  pthread_attr_t attr;
  pthread_t thread;
  void *bad;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 1024 * 1024);
  assert_int_equal(pthread_create(&thread, &attr, nest_in_a_small_stack, &vm),
                   0);
  pthread_join(thread, &bad);
  pthread_attr_destroy(&attr);
  assert_null(bad);
  lua_close(vm.L);
}

static void answer_is_true(lua_State *L, const char *code) {
  if (luaL_dostring(L, code)) fail_msg("%s: %s", code, lua_tostring(L, -1));
  if (!lua_toboolean(L, -1)) fail_msg("not true: %s", code);
  lua_settop(L, 0);
}

static void plain_search_is_linear_and_right(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, COUNT);
  answer_is_true(vm.L, "return ('hello'):find('l', 1, true) == 3");
  answer_is_true(vm.L, "return ('hello'):find('', 3, true) == 3");
  answer_is_true(vm.L, "return ('hello'):find('o', 1, true) == 5");
  answer_is_true(vm.L, "return ('a\\0b\\0c'):find('\\0c', 1, true) == 4");
  answer_is_true(vm.L, "return ('ab'):find('abc', 1, true) == nil");
  answer_is_true(vm.L, "return (''):find('a', 1, true) == nil");
  answer_is_true(vm.L, "local a = ('a'):rep(1e6) "
                       "return (a .. a):find(a .. 'b', 1, true) == nil");
  lua_close(vm.L);
}

/* The stock recorder takes the hook check for a loop body: every compiled
 * pairs() loop would never end. */
static void compiled_loops_end(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, COUNT);
  for (int i = 0; i < 10; i++) {
    answer_is_true(vm.L, "local t, n = {}, 0 "
                         "for i = 1, 100 do t[i] = 1 t['k' .. i] = 1 end "
                         "for r = 1, 1000 do "
                         "  for k, v in pairs(t) do n = n + v end "
                         "  for k, v in next, t do n = n + v end "
                         "  for i, v in ipairs(t) do n = n + v end "
                         "  for i = 1, 100 do n = n + t[i] end "
                         "  local i = 0 while i < 100 do i = i + 1 end "
                         "  repeat i = i - 1 until i == 0 "
                         "end return n == 600000");
    answer_is_true(vm.L, "local t = {} for i = 1, 300 do t[i] = {} end "
                         "for i, v in pairs(t) do "
                         "  for k = 1, i do v[k] = k end "
                         "end "
                         "local n = 0 for r = 1, 50 do "
                         "for k, v in pairs(t) do "
                         "  for l, w in pairs(v) do n = n + 1 end "
                         "end end return n == 50 * 300 * 301 / 2");
  }
  lua_close(vm.L);
}

static void clones_share_a_prototype(void **state) {
  (void)state;
  struct vm vm;
  vm_init(&vm, COUNT);
  lua_State *co = lua_newthread(vm.L);
  assert_int_equal(luaL_loadstring(vm.L, "x = (x or 0) + 1 return x"), 0);
  lua_pushvalue(vm.L, -1);
  lua_xmove(vm.L, co, 1);
  lua_newtable(co);
  lua_replace(co, LUA_GLOBALSINDEX);
  luaJIT_clonefn(co, 1);
  for (int i = 1; i <= 3; i++) {
    lua_pushvalue(co, 2);
    lua_call(co, 0, 1);
    assert_int_equal(lua_tointeger(co, -1), i);
    lua_pop(co, 1);
  }
  answer_is_true(vm.L, "return x == nil");
  lua_close(vm.L);
}

static void *allocate_at_most(void *ud, void *block, size_t old, size_t size) {
  size_t *left = ud;
  if (size > old && size - old > *left) return NULL;
  *left += old;
  *left -= size;
  if (size > 0) return realloc(block, size);
  free(block);
  return NULL;
}

/* The stock library takes the base of the frame that entered compiled code for
 * that of the running function, and crashes. Less of it under TSan, whose
 * account of the calls grows with each error, so that allocating gets slow. */
static void memory_runs_out_in_compiled_code(void **state) {
  (void)state;
  size_t left = MEMORY;
  lua_State *L = lua_newstate(allocate_at_most, &left);
  assert_non_null(L);
  luaL_openlibs(L);
  for (int i = 0; i < MEMORY_ROUNDS; i++)
    answer_is_true(L, "local function same(v) return v end "
                      "local function add(t, v) t[#t + 1] = same(v) end "
                      "local function fill(n) "
                      "  local t, a, b, c = {}, n, n, n "
                      "  repeat add(t, same(n)) until false "
                      "end "
                      "local function key(n) "
                      "  local t = {} "
                      "  for i = 1, 1e9 do t['k' .. same(i)] = same(n) end "
                      "end "
                      "for i = 1, 3 do "
                      "  if pcall(fill, i) or pcall(key, i) then return end "
                      "  collectgarbage() "
                      "end "
                      "return true");
  lua_close(L);
}

/* --- Deadline ------------------------------------------------------------ */

struct deadline {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool over;
};

static void *watch_deadline(void *arg) {
  struct deadline *d = arg;
  struct timespec until;
  int rc = 0;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += getenv("STRESS_ARMS") ? 3600 : 280;
  pthread_mutex_lock(&d->lock);
  while (!d->over && rc == 0)
    rc = pthread_cond_timedwait(&d->changed, &d->lock, &until);
  if (!d->over) {
    fprintf(stderr, "test_luajit_hook: a script was not stopped\n");
    abort();
  }
  pthread_mutex_unlock(&d->lock);
  return NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_script_ends),
      cmocka_unit_test(three_loops_share_a_vm),
      cmocka_unit_test(no_interrupt_is_lost),
      cmocka_unit_test(nested_calls_are_bounded),
      cmocka_unit_test(plain_search_is_linear_and_right),
      cmocka_unit_test(compiled_loops_end),
      cmocka_unit_test(clones_share_a_prototype),
      cmocka_unit_test(memory_runs_out_in_compiled_code),
  };
  struct deadline d = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                       false};
  pthread_t thread;
  if (pthread_create(&thread, NULL, watch_deadline, &d) != 0) return 1;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  pthread_mutex_lock(&d.lock);
  d.over = true;
  pthread_cond_signal(&d.changed);
  pthread_mutex_unlock(&d.lock);
  pthread_join(thread, NULL);
  return failed;
}
#endif
