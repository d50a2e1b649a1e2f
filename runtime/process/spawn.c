/* spawn.c - recipes for processes, and processes from C.
 * SPDX-License-Identifier: MIT */
#include "process/spawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/embed.h"
#include "process/fence.h"
#include "process/slots.h"

rt__recipe *rt__recipe_new(rt__stock *stock, rt__code *code,
                           const rt_value *args) {
  rt__package *package =
      code ? rt__package_before(stock, RT__SPAWN, sizeof(rt__recipe)) : NULL;
  if (!package) {
    rt__code_unref(code);
    return NULL;
  }
  rt__recipe *recipe = (rt__recipe *)(package + 1);
  recipe->code = code;
  recipe->kind = "source";
  recipe->args = args ? rt_value_ref(args) : NULL;
  return recipe;
}

static rt__recipe *recipe_of(rt__package *package) {
  return (rt__recipe *)(package + 1);
}

/* What it holds, but not itself. */
static void use_up(rt__recipe *recipe) {
  rt__code_unref(recipe->code);
  rt_value_unref(recipe->args);
  rt__fence_unref(recipe->fence);
  recipe->code = NULL;
  recipe->args = NULL;
  recipe->fence = NULL;
}

void rt__recipe_free(rt__recipe *recipe) {
  if (!recipe) return;
  use_up(recipe);
  rt__package_free(rt__recipe_package(recipe));
}

static bool make_room(rt__worker *worker) {
  bool made = false;
  rt__vm *vm;
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    if (vm->L && rt__vm_make_room(vm)) made = true;
  return made;
}

rt_err rt__spawn(rt_runtime *rt, rt__vm *vm, rt__worker *from, rt_pid parent,
                 rt__recipe *recipe, rt_pid *out, rt_error *err) {
  if (!vm) vm = rt__runtime_place(rt);
  if (!vm && from && make_room(from)) vm = rt__runtime_place(rt);
  rt_pid pid = vm ? rt__pids_take(&vm->pids) : 0;
  *out = pid;
  if (!pid) {
    rt__recipe_free(recipe);
    return rt_fail(err, RT_EUNAVAIL, "no room for another process");
  }
  rt__package *package = rt__recipe_package(recipe);
  package->from = parent;
  package->to = pid;
  if (rt__route(rt, from, package) == RT_OK) return RT_OK;
  *out = 0; /* the VM was lost meanwhile */
  return rt_fail(err, RT_EUNAVAIL, "its worker was lost");
}

/* (recipe): pushes the function and its arguments. */
int rt__spawn_push_code(lua_State *L) {
  rt__vm *vm = rt__slot_owner(L);
  rt__recipe *recipe = lua_touserdata(L, 1);
  rt__slot_push_ref(L, vm->refs[RT__REF_START]);
  rt__code_push(L, recipe->code);
  lua_pushstring(L, recipe->kind);
  rt_view args = rt_value_view(recipe->args), item;
  rt_iter iter = rt_iter_of(args);
  luaL_checkstack(L, (int)rt_view_count(args) + 4, "too many arguments");
  while (rt_iter_next(&iter, NULL, &item)) rt__lua_decode(L, item);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  lua_pushvalue(L, 2);
  recipe->globals = rt__slot_ref(L);
  return rt__slot_top(L) - 2;
}

/* Its VM; NULL: that was lost before it got there. */
static rt__vm *home_of(rt__worker *worker, rt_pid pid) {
  rt__vm *vm = rt__worker_vm(worker, rt__pid_vm(pid));
  return vm && rt__pids_alive(&vm->pids, pid) ? vm : NULL;
}

static void tell_watchers(rt__worker *worker, const rt__package *package,
                          const rt__recipe *recipe, const rt_value *error) {
  if (recipe->monitored && error)
    rt__announce_gone(worker, RT__MONITOR, package->to, package->from, error);
  else if (recipe->monitored)
    rt__announce_dead(worker, RT__MONITOR, package->to, package->from);
  if (recipe->linked && error)
    rt__announce_gone(worker, RT__LINK, package->to, package->from, error);
  else if (recipe->linked)
    rt__announce_dead(worker, RT__LINK, package->to, package->from);
}

static void unstarted(rt__worker *worker, rt__package *package,
                      const rt__recipe *recipe, const rt_error *err) {
  rt__vm *vm = home_of(worker, package->to);
  rt_err code = !vm                       ? RT_EUNAVAIL
                : err->code == RT_ECLOSED ? RT_ECLOSED
                                          : RT_EINTERNAL;
  rt_value *error = vm ? rt__error_map(code, err->message, NULL)
                       : rt__lost_map("its worker was lost");
  if (vm) rt__pids_drop(&vm->pids, package->to);
  tell_watchers(worker, package, recipe, vm ? NULL : error);
  if (code == RT_EINTERNAL)
    rt_runtime_log(worker->rt, RT_LOG_ERROR, NULL, "cannot start %s: %s",
                   recipe->code->name, err->message);
  if (recipe->on_exit)
    recipe->on_exit(package->to, NULL, rt_value_ref(error),
                    recipe->on_exit_arg);
  if (recipe->is_main) rt__runtime_main_ended(worker->rt, code, error, NULL);
  rt_value_unref(error);
}

static rt__process *start(rt__worker *worker, rt__package *package,
                          rt__recipe *recipe, rt_error *err) {
  rt__vm *vm = home_of(worker, package->to);
  rt__start spec = RT__START_INIT;
  rt__process *process = NULL;
  if (!vm || rt__vm_open(vm, err) != RT_OK) return NULL;
  lua_State *L = vm->L;
  spec.pid = package->to;
  spec.keep_pid = true;
  spec.is_main = recipe->is_main;
  spec.public_exit = recipe->on_exit;
  spec.public_arg = recipe->on_exit_arg;
  int base = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->push_code);
  lua_pushlightuserdata(L, recipe);
  if (!rt__vm_call(vm, 1, LUA_MULTRET)) {
    rt_fail(err, RT_EINTERNAL, "no memory");
    return NULL;
  }
  int args = lua_gettop(L) - base - 1;
  spec.globals = recipe->globals;
  spec.own_globals = true;
  rt__process_start(&process, vm, &spec, args, err);
  if (process && !rt__fence_process(process, rt__fence_ref(recipe->fence)))
    rt__process_doom(process, RT_ENOMEM, NULL);
  return process;
}

/* Bytes of a message that count as unread while they wait. */
static size_t unread(const rt__package *package) {
  bool counts = package->kind == RT__MESSAGE && package->topic[0] != '@';
  return counts ? rt__package_size(package) : 0;
}

static void deliver_mail(rt__worker *worker, rt__vm *vm, rt__recipe *recipe) {
  rt__package *last = recipe->mail;
  recipe->mail = NULL;
  if (!last) return;
  rt__task *task = last->task.next;
  last->task.next = NULL;
  while (task) {
    rt__task *next = task->next;
    rt__mail_was_taken(vm, unread((rt__package *)task));
    rt__deliver(worker, (rt__package *)task);
    task = next;
  }
}

static void drop_mail(rt__recipe *recipe) {
  rt__task *task = recipe->mail ? recipe->mail->task.next : NULL;
  if (task) recipe->mail->task.next = NULL;
  recipe->mail = NULL;
  while (task) {
    rt__task *next = task->next;
    rt__package_free((rt__package *)task);
    task = next;
  }
}

/* Its process may end by what is delivered; NULL then, too. */
static rt__process *make(rt__worker *worker, rt__package *package) {
  rt__recipe *recipe = recipe_of(package);
  rt_error err;
  rt__error_begin(&err);
  if (worker->gone) { /* who had to know has been told */
    use_up(recipe);
    drop_mail(recipe);
    return NULL;
  }
  bool halting = atomic_load(&worker->halting);
  if (halting) rt_fail(&err, RT_ECLOSED, "the runtime is stopping");
  rt__process *process = halting ? NULL : start(worker, package, recipe, &err);
  if (!process) {
    unstarted(worker, package, recipe, &err);
  } else {
    if (recipe->monitored) rt__process_watch(process, package->from);
    if (recipe->linked) rt__process_link(process, package->from);
  }
  use_up(recipe);
  if (!recipe->mail) return process;
  deliver_mail(worker, rt__worker_vm(worker, rt__pid_vm(package->to)), recipe);
  return rt__process_find(worker, package->to);
}

/* --- waiting for the first turn
 * ------------------------------------------- */

void rt__spawn_arrived(rt__worker *worker, rt__package *package) {
  rt__vm *vm = home_of(worker, package->to);
  if (!vm || recipe_of(package)->is_main || atomic_load(&worker->halting)) {
    make(worker, package);
    rt__package_recycle(&worker->packages, package);
    return;
  }
  rt__pids_set_plan(&vm->pids, package->to, package);
  rt__guard(worker);
  rt__mailbox_put(&worker->unborn, package);
  rt__unguard(worker);
  worker->arrivals++;
  /* Who starts many makes room for them: they are quicker by the hundred than
   * by the ten thousand. */
  rt__vm *running = atomic_load_explicit(&worker->inside, memory_order_relaxed);
  if (worker->unborn.count % RT__UNBORN == 0 && running && running->fiber)
    rt__vm_interrupt(running);
}

bool rt__spawn_is_due(const rt__worker *worker, const rt__process *late) {
  uint32_t births = worker->arrivals - (uint32_t)worker->unborn.count;
  return worker->unborn.first &&
         (!late || (int32_t)(births - late->arrivals) < 0);
}

rt__process *rt__spawn_next(rt__worker *worker) {
  rt__package *package = rt__mailbox_take(&worker->unborn);
  rt__process *process = NULL;
  if (recipe_of(package)->code) process = make(worker, package);
  rt__package_recycle(&worker->packages, package);
  return process;
}

static rt__package *plan_of(rt__worker *worker, rt_pid pid) {
  if (rt__pid_worker(pid) != worker->index) return NULL;
  rt__vm *vm = rt__worker_vm(worker, rt__pid_vm(pid));
  return vm ? rt__pids_plan(&vm->pids, pid) : NULL;
}

/* Its package stays in the list until its turn. */
rt__process *rt__spawn_now(rt__worker *worker, rt_pid pid) {
  rt__package *package = plan_of(worker, pid);
  return package ? make(worker, package) : NULL;
}

void rt__spawn_all(rt__worker *worker) {
  while (worker->unborn.first) rt__spawn_next(worker);
}

bool rt__spawn_mail(rt__worker *worker, rt__package *package) {
  rt__package *plan = plan_of(worker, package->to);
  if (!plan) return false;
  rt__recipe *recipe = recipe_of(plan);
  rt__guard(worker);
  package->task.next = &package->task;
  if (recipe->mail) {
    package->task.next = recipe->mail->task.next;
    recipe->mail->task.next = &package->task;
  }
  recipe->mail = package;
  rt__unguard(worker);
  rt__mail_waits(rt__worker_vm(worker, rt__pid_vm(package->to)),
                 unread(package));
  return true;
}

/* --- from C
 * -------------------------------------------------------------------- */

static bool is_stopping(rt_runtime *rt) {
  uv_mutex_lock(&rt->lock);
  bool stopping = rt->stopping;
  uv_mutex_unlock(&rt->lock);
  return stopping;
}

rt_err rt__spawn_from_c(rt_runtime *rt, rt_pid *out, rt__recipe *recipe,
                        rt_exit_fn on_exit, void *arg, rt_error *err) {
  *out = 0;
  if (!recipe) return rt_fail(err, RT_ENOMEM, "no memory for a process");
  if (is_stopping(rt)) {
    rt__recipe_free(recipe);
    return rt_fail(err, RT_ECLOSED, "the runtime is stopping");
  }
  recipe->on_exit = on_exit;
  recipe->on_exit_arg = arg;
  return rt__spawn(rt, NULL, NULL, 0, recipe, out, err);
}

/* Its end is told on the host's thread, if it has one. */
static rt_err spawn(rt_runtime *rt, rt_pid *out, rt__recipe *recipe,
                    rt_exit_fn on_exit, void *arg, rt_error *err) {
  if (rt__embed_exit(rt, &on_exit, &arg) != RT_OK) {
    rt__recipe_free(recipe);
    return rt_fail(err, RT_ENOMEM, "no memory for a process");
  }
  rt_err rc = rt__spawn_from_c(rt, out, recipe, on_exit, arg, err);
  if (rc != RT_OK) rt__embed_forget_exit(on_exit, arg);
  return rc;
}

rt__recipe *rt__recipe_of_source(const char *source, const rt_value *args) {
  rt__recipe *recipe =
      rt__recipe_new(NULL, rt__code_new(source, source, strlen(source)), args);
  if (recipe) recipe->kind = "find";
  return recipe;
}

rt__recipe *rt__recipe_of_code(const char *code, size_t size, const char *name,
                               const rt_value *args) {
  if (!name || !*name) name = "code";
  char *chunk = malloc(strlen(name) + 2);
  if (!chunk) return NULL;
  sprintf(chunk, "%s%s", *name == '@' || *name == '=' ? "" : "=", name);
  rt__recipe *recipe =
      rt__recipe_new(NULL, rt__code_new(chunk, code, size), args);
  free(chunk);
  return recipe;
}

/* The library finds the source and runs it. */
rt_err rt_process_spawn(rt_runtime *rt, rt_pid *out, const char *source,
                        const rt_value *args, rt_exit_fn on_exit, void *arg,
                        rt_error *err) {
  *out = 0;
  if (!source || !*source)
    return rt_fail(err, RT_EINVAL, "source: a path or a module name expected");
  return spawn(rt, out, rt__recipe_of_source(source, args), on_exit, arg, err);
}

rt_err rt_process_spawn_code(rt_runtime *rt, rt_pid *out, const char *code,
                             size_t size, const char *name,
                             const rt_value *args, rt_exit_fn on_exit,
                             void *arg, rt_error *err) {
  *out = 0;
  if (!code) return rt_fail(err, RT_EINVAL, "code: Lua text expected");
  return spawn(rt, out, rt__recipe_of_code(code, size, name, args), on_exit,
               arg, err);
}
