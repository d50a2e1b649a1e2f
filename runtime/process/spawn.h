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

typedef struct rt__recipe {
  const char *kind; /* [borrowed, static] what source.start takes `text` for */
  bool monitored, linked;
  bool is_main;
  char *name; /* chunk name; [own] */
  char *text; /* [own] */
  size_t size;
  rt_value *args; /* [own] array or NULL */
  int globals;    /* made when it starts */
  rt_exit_fn on_exit;
  void *on_exit_arg;
} rt__recipe;

/* NULL when memory is short. */
rt__recipe *rt__recipe_new(const char *name, const char *text, size_t size,
                           const rt_value *args);
void rt__recipe_free(rt__recipe *recipe);
/* [any] Start it in `vm` (NULL: anywhere); `from` is the worker of the calling
 * thread or NULL, `parent` who is told when monitored or linked. Takes the
 * recipe in any case. */
rt_err rt__spawn(rt_runtime *rt, rt__vm *vm, rt__worker *from, rt_pid parent,
                 rt__recipe *recipe, rt_pid *out, rt_error *err);
/* Worker thread: the package has arrived. */
void rt__spawn_run(rt__worker *worker, rt__package *package);

/* (recipe) -> function, args...; called protected. */
int rt__spawn_push_code(lua_State *L);

#endif
