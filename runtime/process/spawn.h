/* process/spawn.h - how a process gets its code, and into which VM.
 *
 * The spawner takes the PID and sends a recipe; the worker it belongs to makes
 * the process. What is spawned: a source text (read by the spawner), or the
 * bytecode of a function, which only the library may make.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_SPAWN_H
#define RT__PROCESS_SPAWN_H

#include "process/sched.h"

/* What is run, shared by all processes that run it. */
typedef struct rt__code {
  _Atomic(uint32_t) refs;
  size_t size;
  char *name; /* chunk name */
  char text[];
} rt__code;
/* NULL when memory is short. */
rt__code *rt__code_new(const char *name, const char *text, size_t size);
rt__code *rt__code_ref(rt__code *code);
void rt__code_unref(rt__code *code);
/* The code of the text and name at these indices [own]; may raise. What was
 * used lately is at hand, by the identity of its strings. */
rt__code *rt__code_at(lua_State *L, int text, int name);
/* Push its text and name. */
void rt__code_push(lua_State *L, rt__code *code);
void rt__codes_init(lua_State *L, rt__vm *vm);
void rt__codes_deinit(rt__vm *vm);

/* It stands behind its package. */
typedef struct rt__recipe {
  const char *kind; /* [borrowed, static] what source.start takes `text` for */
  rt__code *code;   /* [own]; NULL: it was started */
  rt_value *args;   /* [own] array or NULL */
  rt_exit_fn on_exit;
  void *on_exit_arg;
  struct rt__fence *fence; /* [own] of its parent, or NULL */
  rt__package *mail; /* [own] what came before its start, a ring: the last */
  int globals;       /* made when it starts */
  bool monitored, linked;
  bool is_main;
} rt__recipe;

/* NULL when memory is short. Takes `code` in any case, NULL is allowed. With a
 * stock it may be made from that. */
rt__recipe *rt__recipe_new(rt__stock *stock, rt__code *code,
                           const rt_value *args);
static inline rt__package *rt__recipe_package(rt__recipe *recipe) {
  return (rt__package *)recipe - 1;
}
void rt__recipe_free(rt__recipe *recipe);
/* [any] Start it in `vm` (NULL: anywhere); `from` is the worker of the calling
 * thread or NULL, `parent` who is told when monitored or linked. Takes the
 * recipe in any case. */
rt_err rt__spawn(rt_runtime *rt, rt__vm *vm, rt__worker *from, rt_pid parent,
                 rt__recipe *recipe, rt_pid *out, rt_error *err);
/* What rt_process_spawn() and rt_process_spawn_code() start; NULL when memory
 * is short. */
rt__recipe *rt__recipe_of_source(const char *source, const rt_value *args);
rt__recipe *rt__recipe_of_code(const char *code, size_t size, const char *name,
                               const rt_value *args);
/* [any] Start it, unless the runtime stops; `on_exit` comes on a worker's
 * thread. Takes the recipe, which may be NULL. */
rt_err rt__spawn_from_c(rt_runtime *rt, rt_pid *out, rt__recipe *recipe,
                        rt_exit_fn on_exit, void *arg, rt_error *err);
/* Worker thread: the package has arrived. The process is made when its first
 * turn comes, as most live for a moment: what it is made of is then still in
 * the processor's caches when it ends, and used again. */
void rt__spawn_arrived(rt__worker *worker, rt__package *package);
/* Of those that wait for that, which is before `late` in the second queue, make
 * the next: NULL when it could not be. */
bool rt__spawn_is_due(const rt__worker *worker, const rt__process *late);
rt__process *rt__spawn_next(rt__worker *worker);
/* Make this one now; NULL: it does not wait. And all. */
rt__process *rt__spawn_now(rt__worker *worker, rt_pid pid);
void rt__spawn_all(rt__worker *worker);
/* Mail for one that waits; false: it does not. Takes the package if so. */
bool rt__spawn_mail(rt__worker *worker, rt__package *package);

/* (recipe) -> function, args...; called protected. */
int rt__spawn_push_code(lua_State *L);
/* RT_ERROR_INIT, but for the text's many bytes, which would take longer than
 * some steps of a start. */
static inline void rt__error_begin(rt_error *err) {
  err->code = RT_OK;
  err->retryable = false;
  err->message[0] = 0;
}

#endif
