/* bench_processes.c - what LuaJIT's coroutines and mailboxes in C could do, and
 * a worker's timers: the limit beside processes.lua and processes.erl.
 *
 * A process is a coroutine with globals of its own and a mailbox of one number;
 * a message is a double in a ring. Nothing is checked, copied or bounded: no
 * runtime can be faster, only one with fewer features.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "process/sched.h"

#define RING 1024

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const char *name, double figure, const char *unit) {
  printf("limit:   %-43s %12.0f %s\n", name, figure, unit);
  fflush(stdout);
}

static size_t size_of(const char *name, size_t standard) {
  const char *text = getenv(name);
  return text ? (size_t)strtoull(text, NULL, 10) : standard;
}

/* --- processes of one thread ------------------------------------------------
 */

typedef struct process {
  lua_State *co;
  int ref;
  bool waits;
} process;

typedef struct scheduler {
  lua_State *L;
  process *all;
  unsigned *ready; /* a ring as large as there are processes */
  size_t count, first, queued, room;
} scheduler;

/* send(to, n): to a process that waits */
static int l_send(lua_State *L) {
  scheduler *s = lua_touserdata(L, lua_upvalueindex(1));
  unsigned to = (unsigned)lua_tointeger(L, 1);
  process *p = &s->all[to];
  if (!p->waits) return 0;
  p->waits = false;
  lua_pushvalue(L, 2);
  lua_xmove(L, p->co, 1);
  s->ready[(s->first + s->queued++) % s->room] = to;
  return 0;
}

static void run(scheduler *s) {
  while (s->queued > 0) {
    process *p = &s->all[s->ready[s->first]];
    s->first = (s->first + 1) % s->room;
    s->queued--;
    if (lua_resume(p->co, 1) == LUA_YIELD)
      p->waits = true;
    else
      luaL_unref(s->L, LUA_REGISTRYINDEX, p->ref);
  }
}

static void scheduler_init(scheduler *s, size_t room) {
  *s = (scheduler){.L = luaL_newstate(), .room = room};
  s->all = calloc(room, sizeof(*s->all));
  s->ready = calloc(room, sizeof(*s->ready));
  if (!s->L || !s->all || !s->ready) abort();
  luaL_openlibs(s->L);
  lua_pushlightuserdata(s->L, s);
  lua_pushcclosure(s->L, l_send, 1);
  lua_setglobal(s->L, "send");
}

static void scheduler_free(scheduler *s) {
  lua_close(s->L);
  free(s->all);
  free(s->ready);
}

/* A process that runs the function on top of L, which stays there. */
static unsigned spawn(scheduler *s) {
  lua_State *L = s->L;
  unsigned at = (unsigned)s->count++;
  process *p = &s->all[at];
  p->co = lua_newthread(L);
  lua_newtable(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, 1); /* {__index = _G} */
  lua_setmetatable(L, -2);
  lua_setfenv(L, -2);
  p->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, -1);
  lua_xmove(L, p->co, 1);
  return at;
}

static void load(scheduler *s, const char *code) {
  lua_settop(s->L, 0);
  lua_newtable(s->L);
  lua_pushvalue(s->L, LUA_GLOBALSINDEX);
  lua_setfield(s->L, -2, "__index");
  lua_rawseti(s->L, LUA_REGISTRYINDEX, 1);
  if (luaL_dostring(s->L, code) != 0) {
    fprintf(stderr, "%s\n", lua_tostring(s->L, -1));
    abort();
  }
}

static void start(scheduler *s, unsigned at, double value) {
  lua_pushnumber(s->all[at].co, value);
  s->ready[(s->first + s->queued++) % s->room] = at;
}

static void spawns(size_t count) {
  scheduler s;
  scheduler_init(&s, count);
  load(&s, "return function() end");
  double begin = now();
  for (size_t i = 0; i < count; i++) start(&s, spawn(&s), 0);
  run(&s);
  report("spawn a function", (double)count / (now() - begin), "processes/s");
  scheduler_free(&s);
}

static void idle(size_t count) {
  scheduler s;
  scheduler_init(&s, count);
  load(&s, "local wait = coroutine.yield return function() wait() end");
  int before = lua_gc(s.L, LUA_GCCOUNT, 0);
  for (size_t i = 0; i < count; i++) start(&s, spawn(&s), 0);
  run(&s);
  lua_gc(s.L, LUA_GCCOLLECT, 0);
  double bytes = (lua_gc(s.L, LUA_GCCOUNT, 0) - before) * 1024.0;
  report("idle", bytes / (double)count + sizeof(process), "bytes each");
  scheduler_free(&s);
}

static const char member[] = "local send, wait = send, coroutine.yield\n"
                             "return function(to)\n"
                             "  local n = wait()\n"
                             "  while n > 0 do send(to, n - 1) n = wait() end\n"
                             "end";

/* `count` processes pass a number on until it is 0: 2 play ping-pong. */
static void ring(const char *name, size_t count, size_t hops, double per) {
  scheduler s;
  scheduler_init(&s, count);
  load(&s, member);
  for (size_t i = 0; i < count; i++)
    start(&s, spawn(&s), (double)((i + 1) % count));
  run(&s);
  double begin = now();
  s.all[0].waits = false;
  start(&s, 0, (double)hops);
  run(&s);
  report(name, (double)hops / per / (now() - begin),
         per > 1 ? "round trips/s" : "hops/s");
  scheduler_free(&s);
}

/* --- two threads -------------------------------------------------------------
 * A ring of numbers in each direction; who finds nothing spins for a moment,
 * then yields its core. */

typedef struct lane {
  _Atomic(size_t) head, tail;
  double values[RING];
} lane;

typedef struct pair {
  lane there, back;
  size_t count;
} pair;

static void put(lane *l, double value) {
  size_t tail = atomic_load_explicit(&l->tail, memory_order_relaxed);
  while (tail - atomic_load_explicit(&l->head, memory_order_acquire) == RING)
    sched_yield();
  l->values[tail % RING] = value;
  atomic_store_explicit(&l->tail, tail + 1, memory_order_release);
}

static double get(lane *l) {
  size_t head = atomic_load_explicit(&l->head, memory_order_relaxed);
  for (int i = 0; atomic_load_explicit(&l->tail, memory_order_acquire) == head;
       i++)
    if (i > 1000) sched_yield();
  double value = l->values[head % RING];
  atomic_store_explicit(&l->head, head + 1, memory_order_release);
  return value;
}

/* Each side resumes a coroutine with what arrives. */
static lua_State *coroutine(lua_State **L, const char *code) {
  *L = luaL_newstate();
  if (!*L) abort();
  luaL_openlibs(*L);
  lua_State *co = lua_newthread(*L);
  if (luaL_loadstring(co, code) != 0) abort();
  lua_resume(co, 0);
  return co;
}

static const char echo[] = "local wait = coroutine.yield\n"
                           "local n = wait() while true do n = wait(n) end";

static double step(lua_State *co, double value) {
  lua_pushnumber(co, value);
  lua_resume(co, 1);
  value = lua_tonumber(co, -1);
  lua_settop(co, 0);
  return value;
}

static void *answer(void *arg) {
  pair *p = arg;
  lua_State *L, *co = coroutine(&L, echo);
  for (size_t i = 0; i < p->count; i++) put(&p->back, step(co, get(&p->there)));
  lua_close(L);
  return NULL;
}

static void *swallow(void *arg) {
  pair *p = arg;
  lua_State *L, *co = coroutine(&L, echo);
  for (size_t i = 0; i < p->count; i++) step(co, get(&p->there));
  lua_close(L);
  return NULL;
}

static void across(const char *name, size_t count, bool answers) {
  pair *p = calloc(1, sizeof(*p));
  pthread_t thread;
  lua_State *L, *co = coroutine(&L, echo);
  if (!p) abort();
  p->count = count;
  double begin = now();
  if (pthread_create(&thread, NULL, answers ? answer : swallow, p) != 0)
    abort();
  for (size_t i = 0; i < count; i++) {
    put(&p->there, step(co, (double)i));
    if (answers) get(&p->back);
  }
  pthread_join(thread, NULL);
  report(name, (double)count / (now() - begin),
         answers ? "round trips/s" : "messages/s");
  lua_close(L);
  free(p);
}

/* --- timers ------------------------------------------------------------------
 */

static void on_fire(rt__worker *worker, rt__timer *timer) {
  (void)timer;
  worker->ops++;
}

static void timer_rate(const char *name, size_t count, double begin) {
  printf("runtime: %-43s %12.0f timers/s\n", name,
         (double)count / (now() - begin));
}

static void timers(size_t count) {
  rt__worker *worker = calloc(1, sizeof(*worker));
  rt__timer *all = calloc(count, sizeof(*all));
  if (!worker || !all) abort();
  for (size_t i = 0; i < count; i++) all[i].fire = on_fire;
  double begin = now();
  for (size_t i = 0; i < count; i++)
    rt__timer_start(worker, &all[i], (double)(i * 7919 % count) + 60);
  timer_rate("timers of a worker, set", count, begin);
  begin = now();
  for (size_t i = 0; i < count; i++) rt__timer_stop(worker, &all[i]);
  timer_rate("timers of a worker, canceled", count, begin);
  for (size_t i = 0; i < count; i++)
    rt__timer_start(worker, &all[i], (double)(i * 7919 % count) * 1e-9);
  usleep(20000);
  begin = now();
  while (worker->ops < count) rt__timers_run(worker);
  timer_rate("timers of a worker, fired", count, begin);
  free(worker->timers.heap);
  free(worker);
  free(all);
}

int main(void) {
  size_t messages = size_of("BENCH_MESSAGES", 300000);
  spawns(size_of("BENCH_SPAWN", 200000));
  idle(size_of("BENCH_LIMIT_IDLE", 100000));
  ring("ping-pong, one thread", 2, messages * 4, 2);
  ring("ring of 1,000", 1000, messages * 4, 1);
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
    across("ping-pong, two threads", messages / 3, true);
    across("one way, two threads", messages * 2, false);
  }
  timers(size_of("BENCH_TIMERS_C", 1000000));
  return 0;
}
