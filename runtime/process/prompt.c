/* prompt.c - a process that runs chunks as they come (rt/prompt.h).
 *
 *   caller --task--> worker 0: starts the process if there is none
 *                      '--mail "@prompt"--> lua/rt/prompt.lua, which runs it
 *   caller <--answer-- in a fiber of its own and answers
 *
 * One request at a time; the caller waits for the answer to its number, which
 * comes from the library, from a break, or from the end of the process. The
 * lock is a leaf: nothing is called under it.
 *
 * SPDX-License-Identifier: MIT */
#include "process/prompt.h"

#include <stdlib.h>
#include <string.h>

#define COMPLETE_NS 1000000000u
#define CLOSE_NS    10000000000u

struct rt_prompt {
  /* constant */
  rt_runtime *rt;
  uv_mutex_t turn; /* one request after the other */
  /* worker's thread only */
  rt__worker *worker; /* which that is */
  rt__process *process;
  double fiber;   /* handle of the chunk's */
  uint64_t taken; /* the request it was given last */
  int globals;    /* of all its processes */
  /* guarded by lock */
  uv_mutex_t lock;
  uv_cond_t changed;
  uint64_t asked, answered;
  rt_prompt_outcome outcome;
  char *text; /* [own] the answer's */
  char *lost; /* [own] why its worker is no more, until it is told */
  int exit_code;
  bool stopping, closed;
  bool ended; /* the runtime has stopped: nothing is answered any more */
  /* guarded by the runtime's lock */
  rt_prompt *next;   /* of the runtime's open ones */
  _Atomic(int) refs; /* of its owner, and of each request on its way */
};

typedef struct request {
  rt__task task;
  rt_prompt *prompt;
  uint64_t id;
  rt_value *payloads; /* [own] */
} request;

static void unref(rt_prompt *prompt) {
  if (atomic_fetch_sub(&prompt->refs, 1) != 1) return;
  uv_mutex_destroy(&prompt->turn);
  uv_mutex_destroy(&prompt->lock);
  uv_cond_destroy(&prompt->changed);
  free(prompt->text);
  free(prompt->lost);
  free(prompt);
}

rt_prompt *rt__prompt_of(lua_State *L) {
  rt__process *process = rt__process_of(L);
  return process ? rt__process_user(process) : NULL;
}

void rt__prompt_running(rt_prompt *prompt, double fiber) {
  prompt->fiber = fiber;
}

static char *copy_text(const char *text, size_t size) {
  char *made = text ? malloc(size + 1) : NULL;
  if (!made) return NULL;
  memcpy(made, text, size);
  made[size] = 0;
  return made;
}

void rt__prompt_answer(rt_prompt *prompt, uint64_t id,
                       rt_prompt_outcome outcome, const char *text,
                       size_t size) {
  char *made = copy_text(text, size);
  uv_mutex_lock(&prompt->lock);
  if (id == prompt->asked && prompt->answered != id) {
    prompt->answered = id;
    prompt->outcome = outcome;
    prompt->text = made;
    made = NULL;
    uv_cond_broadcast(&prompt->changed);
  }
  uv_mutex_unlock(&prompt->lock);
  free(made);
}

/* Did it call os.exit(), or is it being closed? */
static bool is_stopping(rt_prompt *prompt) {
  uv_mutex_lock(&prompt->lock);
  bool stopping = prompt->stopping;
  uv_mutex_unlock(&prompt->lock);
  return stopping;
}

static bool is_waiting(rt_prompt *prompt) {
  uv_mutex_lock(&prompt->lock);
  bool waiting = prompt->answered != prompt->asked;
  uv_mutex_unlock(&prompt->lock);
  return waiting;
}

/* --- its process ------------------------------------------------------------
 */

static void print(rt_prompt *prompt, const char *text, size_t size) {
  if (size > 0) rt__runtime_output(prompt->rt, 2, text, size);
}

static void print_end(rt_prompt *prompt, const rt_value *error) {
  size_t size = 0, traced = 0;
  rt_view view = rt_value_view(error);
  const char *text = rt_view_string(rt_view_get(view, "message"), &size);
  const char *stack = rt_view_string(rt_view_get(view, "stack"), &traced);
  static const char head[] = "the prompt's process ended: ";
  char *line = malloc(sizeof(head) + size + traced + 2);
  if (!line) return;
  size_t at = sizeof(head) - 1;
  memcpy(line, head, at);
  if (size > 0) memcpy(line + at, text, size);
  at += size;
  line[at++] = '\n';
  if (traced > 0) {
    memcpy(line + at, stack, traced);
    at += traced;
    line[at++] = '\n';
  }
  print(prompt, line, at);
  free(line);
}

static void on_end(rt__process *process, rt_err how, rt_value *result,
                   rt_value *error, void *arg) {
  rt_prompt *prompt = arg;
  (void)result;
  if (rt__worker_lost(process->vm->worker)) return;
  prompt->process = NULL;
  if (how == RT_ENOMEM) { /* what fills the memory is likely among them */
    luaL_unref(process->vm->L, LUA_REGISTRYINDEX, prompt->globals);
    prompt->globals = LUA_NOREF;
  }
  bool leave = process->exit_asked;
  uv_mutex_lock(&prompt->lock);
  bool stop = how == RT_ECLOSED || prompt->stopping;
  if (leave) {
    prompt->exit_code = process->exit_code;
    prompt->stopping = true;
  }
  uv_mutex_unlock(&prompt->lock);
  if (!leave && !stop) print_end(prompt, error);
  rt__prompt_answer(prompt, prompt->taken,
                    leave  ? RT_PROMPT_EXIT
                    : stop ? RT_PROMPT_CLOSED
                           : RT_PROMPT_FAILED,
                    NULL, 0);
}

/* (ref*): a reference to what serves a prompt. */
static int find_server(lua_State *L) {
  int *ref = lua_touserdata(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "rt.prompt");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "serve");
  *ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static bool start(rt_prompt *prompt) {
  rt__vm *vm = prompt->worker->vm;
  lua_State *L = vm->L;
  rt__start spec = RT__START_INIT;
  rt_error err = RT_ERROR_INIT;
  int server = LUA_NOREF;
  bool before = vm->shielded;
  vm->shielded = true;
  /* The memory that the last one ended for is still to be collected. */
  if (prompt->globals == LUA_NOREF) rt__vm_gc(vm, LUA_GCCOLLECT, 0);
  int rc = lua_cpcall(L, find_server, &server);
  vm->shielded = before;
  if (rc != 0) {
    const char *text = lua_tostring(L, -1);
    rt_runtime_log(prompt->rt, RT_LOG_ERROR, NULL, "prompt: %s",
                   text ? text : "error in the library");
    lua_pop(L, 1);
    return false;
  }
  spec.globals = prompt->globals;
  spec.on_exit = on_end;
  spec.exit_arg = spec.user = prompt;
  lua_rawgeti(L, LUA_REGISTRYINDEX, server);
  luaL_unref(L, LUA_REGISTRYINDEX, server);
  if (rt__process_start(&prompt->process, vm, &spec, 0, &err) != RT_OK) {
    rt_runtime_log(prompt->rt, RT_LOG_ERROR, NULL, "prompt: %s", err.message);
    return false;
  }
  prompt->globals = prompt->process->globals;
  prompt->process->own_globals = false;
  return true;
}

void rt__prompt_lost(rt__ended_fn fn, void *arg, const char *words) {
  rt_prompt *prompt = arg;
  if (fn != on_end) return;
  uv_mutex_lock(&prompt->lock);
  free(prompt->lost);
  prompt->lost = strdup(words);
  if (prompt->answered != prompt->asked) {
    prompt->answered = prompt->asked;
    prompt->outcome = RT_PROMPT_FAILED;
    uv_cond_broadcast(&prompt->changed);
  }
  uv_mutex_unlock(&prompt->lock);
}

static void tell_lost(rt_prompt *prompt) {
  uv_mutex_lock(&prompt->lock);
  char *words = prompt->lost;
  prompt->lost = NULL;
  uv_mutex_unlock(&prompt->lock);
  if (!words) return;
  rt_value *error = rt__lost_map(words);
  print_end(prompt, error);
  rt_value_unref(error);
  free(words);
}

/* What it had in a worker that is lost is not there any more. */
static void move_to(rt_prompt *prompt, rt__worker *worker) {
  if (prompt->worker == worker) return;
  prompt->worker = worker;
  prompt->process = NULL;
  prompt->globals = LUA_NOREF;
  prompt->fiber = 0;
}

static void run_request(rt__worker *worker, rt__task *task) {
  request *ask = (request *)task;
  rt_prompt *prompt = ask->prompt;
  move_to(prompt, worker);
  rt_prompt_outcome outcome = RT_PROMPT_FAILED;
  bool sent = false;
  prompt->taken = ask->id;
  if (atomic_load(&worker->halting))
    outcome = RT_PROMPT_CLOSED;
  else if (is_stopping(prompt))
    outcome = RT_PROMPT_EXIT;
  else if (prompt->process || start(prompt))
    sent = rt__process_mail(prompt->rt, prompt->process->pid, "@prompt",
                            ask->payloads) == RT_OK;
  if (!sent) rt__prompt_answer(prompt, ask->id, outcome, NULL, 0);
  rt_value_unref(ask->payloads);
  free(ask);
  unref(prompt);
}

/* --- break -------------------------------------------------------------------
 */

typedef struct broken {
  rt_prompt *prompt;
  lua_State *co;
  double fiber;
} broken;

/* (broken): prints where it was. */
static int print_place(lua_State *L) {
  const broken *at = lua_touserdata(L, 1);
  size_t size;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "rt.prompt");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "place");
  lua_pushthread(at->co);
  lua_xmove(at->co, L, 1);
  lua_pushnumber(L, at->fiber);
  lua_call(L, 2, 1);
  lua_pushliteral(L, "interrupted\n");
  lua_insert(L, -2);
  lua_pushliteral(L, "\n");
  lua_concat(L, 3);
  const char *text = lua_tolstring(L, -1, &size);
  print(at->prompt, text, size);
  return 0;
}

static void print_broken(rt_prompt *prompt, rt__fiber *fiber) {
  rt__vm *vm = fiber->process->vm;
  broken at = {prompt, fiber->co, rt__fiber_handle(fiber)};
  bool before = vm->shielded;
  vm->shielded = true;
  if (lua_cpcall(vm->L, print_place, &at) != 0) lua_pop(vm->L, 1);
  vm->shielded = before;
}

/* Between turns, so the fiber is parked, ready, or was preempted; whatever was
 * preempted goes first, since it keeps the chunk from its turn. */
static void break_chunk(rt_prompt *prompt) {
  rt__process *process = prompt->process;
  if (!process || !is_waiting(prompt)) return;
  rt__fiber *fiber = process->preempted;
  rt__fiber *runs = rt__fiber_find(process->vm, prompt->fiber);
  if (!fiber) fiber = runs;
  if (!fiber || fiber == process->main) return;
  bool chunk = fiber == runs;
  print_broken(prompt, fiber);
  rt__fiber_unpark(fiber);
  rt__fiber_drop(fiber);
  if (chunk)
    rt__prompt_answer(prompt, prompt->taken, RT_PROMPT_BROKEN, NULL, 0);
}

static void run_break(rt__worker *worker, rt__task *task) {
  request *ask = (request *)task;
  rt_prompt *prompt = ask->prompt;
  free(ask);
  move_to(prompt, worker);
  break_chunk(prompt);
  unref(prompt);
}

static bool post(rt_prompt *prompt, void (*run)(rt__worker *, rt__task *),
                 uint64_t id, rt_value *payloads) {
  request *ask = calloc(1, sizeof(*ask));
  if (!ask) return false;
  ask->task.run = run;
  ask->prompt = prompt;
  ask->id = id;
  ask->payloads = payloads;
  atomic_fetch_add(&prompt->refs, 1);
  rt__worker_post(rt__runtime_worker(prompt->rt, 0), &ask->task);
  return true;
}

void rt_prompt_break(rt_prompt *prompt) {
  post(prompt, run_break, 0, NULL);
}

/* --- requests ----------------------------------------------------------------
 */

/* {kind, id, text, width} [own], or NULL. */
static rt_value *payloads_of(const char *kind, uint64_t id, const char *text,
                             size_t size, unsigned width) {
  rt_value *made = NULL;
  rt_builder *builder = rt_builder_new();
  if (!builder) return NULL;
  rt_builder_begin_array(builder);
  rt_builder_string(builder, kind);
  rt_builder_int(builder, (int64_t)id);
  rt_builder_lstring(builder, text, size);
  rt_builder_int(builder, width);
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &made, NULL) != RT_OK) made = NULL;
  rt_builder_free(builder);
  return made;
}

static uint64_t begin(rt_prompt *prompt) {
  uv_mutex_lock(&prompt->lock);
  uint64_t id = prompt->stopping ? 0 : ++prompt->asked;
  free(prompt->text);
  prompt->text = NULL;
  uv_mutex_unlock(&prompt->lock);
  return id;
}

/* False: there was no answer in time (0: no limit). */
static bool wait_answer(rt_prompt *prompt, uint64_t id, uint64_t ns) {
  uint64_t end = ns ? uv_hrtime() + ns : UINT64_MAX;
  uv_mutex_lock(&prompt->lock);
  while (prompt->answered != id) {
    uint64_t now = uv_hrtime();
    if (now >= end) break;
    if (ns)
      uv_cond_timedwait(&prompt->changed, &prompt->lock, end - now);
    else
      uv_cond_wait(&prompt->changed, &prompt->lock);
  }
  bool done = prompt->answered == id;
  if (!done) prompt->answered = id; /* too late from now on */
  uv_mutex_unlock(&prompt->lock);
  return done;
}

static bool ask(rt_prompt *prompt, const char *kind, uint64_t id,
                const char *text, size_t size, unsigned width) {
  rt_value *payloads = payloads_of(kind, id, text, size, width);
  if (!payloads) return false;
  if (post(prompt, run_request, id, payloads)) return true;
  rt_value_unref(payloads);
  return false;
}

rt_prompt_outcome rt_prompt_run(rt_prompt *prompt, const char *text,
                                size_t size, unsigned width, int *exit_code) {
  rt_prompt_outcome outcome = RT_PROMPT_FAILED;
  uv_mutex_lock(&prompt->turn);
  uint64_t id = begin(prompt);
  if (!id) {
    outcome = RT_PROMPT_CLOSED;
  } else if (ask(prompt, "run", id, text, size, width)) {
    wait_answer(prompt, id, 0);
    outcome = prompt->outcome;
    tell_lost(prompt);
  }
  if (outcome == RT_PROMPT_EXIT && exit_code) *exit_code = prompt->exit_code;
  uv_mutex_unlock(&prompt->turn);
  return outcome;
}

rt_err rt_prompt_complete(rt_prompt *prompt, const char *text, size_t size,
                          char **out, rt_error *err) {
  rt_err rc = RT_OK;
  *out = NULL;
  uv_mutex_lock(&prompt->turn);
  uint64_t id = begin(prompt);
  if (!id)
    rc = rt_fail(err, RT_ECLOSED, "the runtime is stopping");
  else if (!ask(prompt, "complete", id, text, size, 0))
    rc = rt_fail(err, RT_ENOMEM, "no memory to ask the prompt");
  else if (!wait_answer(prompt, id, COMPLETE_NS))
    rc = rt_fail(err, RT_ETIMEOUT, "the prompt's process is busy");
  else if (prompt->outcome == RT_PROMPT_CLOSED)
    rc = rt_fail(err, RT_ECLOSED, "the runtime is stopping");
  uv_mutex_lock(&prompt->lock);
  if (rc == RT_OK) *out = prompt->text ? prompt->text : copy_text("", 0);
  if (rc == RT_OK) prompt->text = NULL;
  uv_mutex_unlock(&prompt->lock);
  uv_mutex_unlock(&prompt->turn);
  if (rc == RT_OK && !*out) rc = rt_fail(err, RT_ENOMEM, "no memory");
  return rc;
}

/* --- open and close
 * -------------------------------------------------------------
 */

rt_err rt_prompt_open(rt_prompt **out, rt_runtime *rt, rt_error *err) {
  *out = NULL;
  rt_prompt *prompt = calloc(1, sizeof(*prompt));
  if (!prompt) return rt_fail(err, RT_ENOMEM, "no memory for a prompt");
  prompt->rt = rt;
  prompt->worker = rt__runtime_worker(rt, 0);
  prompt->globals = LUA_NOREF;
  uv_mutex_init(&prompt->turn);
  uv_mutex_init(&prompt->lock);
  uv_cond_init(&prompt->changed);
  atomic_init(&prompt->refs, 1);
  uv_mutex_lock(&rt->lock);
  prompt->ended = prompt->stopping = rt->joined;
  prompt->next = rt->prompts;
  rt->prompts = prompt;
  uv_mutex_unlock(&rt->lock);
  *out = prompt;
  return RT_OK;
}

void rt__prompts_end_locked(rt_runtime *rt) {
  for (rt_prompt *prompt = rt->prompts; prompt; prompt = prompt->next) {
    uv_mutex_lock(&prompt->lock);
    prompt->ended = prompt->stopping = true;
    if (prompt->answered != prompt->asked) prompt->outcome = RT_PROMPT_CLOSED;
    prompt->answered = prompt->asked;
    uv_cond_broadcast(&prompt->changed);
    uv_mutex_unlock(&prompt->lock);
  }
}

/* Answers whether a stuck worker still knows it. */
static bool forget(rt_prompt *prompt) {
  rt_runtime *rt = prompt->rt;
  uv_mutex_lock(&rt->lock);
  rt_prompt **at = &rt->prompts;
  while (*at != prompt) at = &(*at)->next;
  *at = prompt->next;
  bool stuck = rt->abandoned;
  uv_mutex_unlock(&rt->lock);
  return stuck;
}

static void run_close(rt__worker *worker, rt__task *task) {
  request *ask = (request *)task;
  rt_prompt *prompt = ask->prompt;
  free(ask);
  move_to(prompt, worker);
  if (prompt->process) rt__process_end(prompt->process, RT_ECLOSED, NULL, NULL);
  if (prompt->globals != LUA_NOREF)
    luaL_unref(worker->vm->L, LUA_REGISTRYINDEX, prompt->globals);
  uv_mutex_lock(&prompt->lock);
  prompt->closed = true;
  uv_cond_broadcast(&prompt->changed);
  uv_mutex_unlock(&prompt->lock);
  unref(prompt);
}

static bool wait_closed(rt_prompt *prompt) {
  uint64_t end = uv_hrtime() + CLOSE_NS;
  uv_mutex_lock(&prompt->lock);
  prompt->stopping = true;
  while (!prompt->closed && !prompt->ended && uv_hrtime() < end)
    uv_cond_timedwait(&prompt->changed, &prompt->lock, CLOSE_NS / 100);
  bool closed = prompt->closed || prompt->ended;
  uv_mutex_unlock(&prompt->lock);
  return closed;
}

/* A worker that is stuck still knows it: then it is left alone. */
void rt_prompt_close(rt_prompt *prompt) {
  if (!prompt) return;
  uv_mutex_lock(&prompt->turn);
  bool ended = post(prompt, run_close, 0, NULL) && wait_closed(prompt);
  uv_mutex_unlock(&prompt->turn);
  bool stuck = forget(prompt);
  if (ended && !stuck) unref(prompt);
}
