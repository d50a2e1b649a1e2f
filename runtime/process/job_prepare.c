/* job_prepare.c - batches of match, rate_key and prioritize, asked of Lua.
 *
 * A batch is one process that may not wait, with a second for each item. When
 * an item takes longer the process is ended, the item is skipped with that
 * reason, and another process goes on with the next.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/embed.h"
#include "process/fence.h"
#include "process/job.h"

static void begin(rt__asking *asking);

/* Only those that Lua is asked can be lost. */
static void list(rt__asking *asking) {
  rt__job_worker *home = asking->home;
  rt__guard(home->worker);
  asking->next = home->askings;
  asking->at_list = &home->askings;
  if (asking->next) asking->next->at_list = &asking->next;
  home->askings = asking;
  rt__unguard(home->worker);
}

/* False: its worker is lost, and the batch was given away with it. */
static bool unlist(rt__asking *asking) {
  bool mine = rt__guard(asking->home->worker) || !asking->at_list;
  if (asking->at_list) *asking->at_list = asking->next;
  if (asking->at_list && asking->next) asking->next->at_list = asking->at_list;
  rt__unguard(asking->home->worker);
  return mine;
}

static void finish(rt__asking *asking) {
  rt__prepare *batch = asking->batch;
  bool mine = unlist(asking);
  if (asking->instance) rt__instance_release(asking->instance);
  rt__jobs_done(asking->home);
  free(asking);
  if (mine)
    rt__engine_prepared(batch->engine, batch);
  else
    rt__prepare_free(batch);
}

/* At a shutdown: what is not answered yet is not asked in this life. */
static void withdraw(rt__asking *asking) {
  rt__prepare *batch = asking->batch;
  for (size_t i = asking->at; i < batch->count; i++) {
    rt_value_unref(batch->items[i].asset);
    free(batch->items[i].reason);
    free(batch->items[i].rate_key);
  }
  batch->count = asking->at;
  finish(asking);
}

/* What is not answered yet is skipped, with this reason. */
static void give_up(rt__asking *asking, rt_err how, const rt_value *error) {
  if (how == RT_ECLOSED) {
    withdraw(asking);
    return;
  }
  for (; asking->at < asking->batch->count; asking->at++) {
    rt__prepare_item *item = &asking->batch->items[asking->at];
    if (item->reason) continue;
    item->skip = true;
    item->reason = rt__job_words("match", error);
  }
  finish(asking);
}

static void too_long(rt__asking *asking) {
  rt__prepare_item *item = &asking->batch->items[asking->at];
  if (asking->started) {
    if (rt__job_stalled(asking->cpu) &&
        asking->restarts++ < RT__MATCH_RESTARTS) {
      asking->started = false; /* the same one again */
    } else {
      item->skip = true;
      item->reason = strdup("match: took longer than 1 s");
      asking->at++;
      asking->started = false;
    }
  }
  asking->task.run = rt__asking_run_again;
  rt__worker_post(asking->home->worker, &asking->task);
}

static void on_asked(rt__process *process, rt_err how, rt_value *result,
                     rt_value *error, void *arg) {
  rt__asking *asking = arg;
  (void)process, (void)result;
  if (how != RT_OK && how != RT_EUNKNOWN) rt__instance_spoil(asking->instance);
  if (how == RT_OK)
    finish(asking);
  else if (how == RT_ETIMEOUT && asking->at < asking->batch->count)
    too_long(asking);
  else
    give_up(asking, how, error);
}

rt__asking *rt__asking_of_process(const rt__process *process) {
  if (!process || process->rare->on_exit != on_asked) return NULL;
  return process->rare->exit_arg;
}

rt__asking *rt__asking_of(lua_State *L) {
  return rt__asking_of_process(rt__process_of(L));
}

rt__prepare_item *rt__asking_next(lua_State *L, rt__asking *asking) {
  rt__guard(asking->home->worker);
  if (asking->started) {
    asking->at++;
    asking->restarts = 0;
  }
  asking->started = asking->at < asking->batch->count;
  rt__unguard(asking->home->worker);
  if (!asking->started) return NULL;
  if (asking->restarts == 0) asking->cpu = rt__job_cpu_ns();
  rt__process_set_deadline(rt__process_of(L), RT__MATCH_SECONDS);
  return &asking->batch->items[asking->at];
}

/* --- beginnings ----------------------------------------------------------- */
static void begin(rt__asking *asking) {
  rt_error err = RT_ERROR_INIT;
  rt__process *process;
  rt__start start = RT__START_INIT;
  bool unfenced = false;
  start.globals = rt__instance_globals(asking->instance);
  start.on_exit = on_asked;
  start.exit_arg = asking;
  start.deadline = RT__MATCH_SECONDS;
  start.nowait = true;
  start.internal = true;
  if (rt__job_process(&process, asking->home, RT__ENTRY_PREPARE,
                      rt__instance_functions(asking->instance), &start,
                      &err) == RT_OK) {
    /* It cannot wait, so it sends nothing; what it spawns could. */
    rt__fence *fence = rt__fence_new(
        asking->batch->session, asking->batch->capability, NULL, &unfenced);
    if (!rt__fence_process(process, fence)) unfenced = true;
    if (unfenced) rt__process_kill(process, RT_ENOMEM, NULL);
    return;
  }
  rt_value *error = rt__error_map(err.code, err.message, NULL);
  give_up(asking, err.code, error);
  rt_value_unref(error);
}

/* The asking is its claim's container. */
static void on_instance(rt__claim *claim, rt__instance *instance, rt_err how,
                        rt_value *error) {
  rt__asking *asking =
      (rt__asking *)((char *)claim - offsetof(rt__asking, claim));
  asking->instance = instance;
  if (instance)
    begin(asking);
  else
    give_up(asking, how, error);
}

static void claim(rt__asking *asking) {
  asking->claim.done = on_instance;
  asking->claim.session = asking->batch->session;
  asking->claim.options = asking->batch->options;
  rt__instance_claim(asking->home, asking->batch->capability, &asking->claim);
}

void rt__asking_run_again(rt__worker *worker, rt__task *task) {
  rt__asking *asking = (rt__asking *)task; /* its first member */
  (void)worker;
  rt__instance_release(asking->instance);
  asking->instance = NULL;
  if (asking->at == asking->batch->count)
    finish(asking);
  else
    claim(asking);
}

/* A batch on its way to the host's thread. */
typedef struct hosted {
  rt__host_call call;
  rt__asking *asking;
} hosted;

static void ask_native(rt__asking *asking) {
  rt_capability *capability = asking->batch->capability;
  char why[256];
  for (size_t i = 0; i < asking->batch->count && capability->match; i++) {
    rt__prepare_item *item = &asking->batch->items[i];
    why[0] = '\0';
    if (capability->match(item->asset, why, sizeof(why), capability->arg))
      continue;
    item->skip = true;
    item->reason = strdup(why);
  }
  finish(asking);
}

static void run_on_host(rt__host_call *call) {
  hosted *h = (hosted *)call;
  ask_native(h->asking);
  free(h);
}

/* Without memory all pass. */
static void ask_host(rt__asking *asking, rt__host *host) {
  hosted *h = malloc(sizeof(*h));
  if (h) {
    h->asking = asking;
    h->call.run = run_on_host;
    h->call.size = sizeof(*h);
    if (rt__host_post(host, &h->call)) return;
  }
  free(h);
  finish(asking);
}

static void run_prepare(rt__worker *worker, rt__task *task) {
  rt__asking *asking = (rt__asking *)task;
  asking->home = rt__jobs_arrive(worker, asking->home);
  rt__host *host = worker->rt->embed->host;
  bool native = asking->batch->capability->invoke != NULL;
  if (native && host)
    ask_host(asking, host);
  else if (native)
    ask_native(asking);
  else {
    list(asking);
    claim(asking);
  }
}

void rt__jobs_prepare(void *self, rt__prepare *batch) {
  rt__asking *asking = calloc(1, sizeof(*asking));
  if (!asking) { /* as if all had been asked and said yes */
    rt__engine_prepared(batch->engine, batch);
    return;
  }
  asking->home = rt__jobs_pick(self);
  asking->batch = batch;
  asking->task.run = run_prepare;
  rt__worker_post(asking->home->worker, &asking->task);
}
