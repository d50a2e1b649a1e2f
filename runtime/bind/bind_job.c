/* bind_job.c - rt.core.job: what rt.job and rt.loader ask of the executor.
 *
 * Calls of a job work for the job whose process is running and for no other:
 * its handle, a userdata, carries the PID and is compared.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "process/job.h"
#include "process/job_load.h"

#define JOB_TYPE "rt.job"

/* --- instances -------------------------------------------------------------
 */
/* wanted() -> file or nil, name, source, index */
static int l_wanted(lua_State *L) {
  const rt_capability *c = rt__instance_wanted(L);
  if (!c) return luaL_error(L, "no capability is being loaded");
  lua_pushstring(L, c->file);
  lua_pushstring(L, c->name);
  lua_pushlstring(L, c->source, c->source_size);
  lua_pushinteger(L, (lua_Integer)c->index);
  return 4;
}

/* setup_context() -> the session's name, its options for the capability */
static int l_setup_context(lua_State *L) {
  const rt_value *options = NULL;
  if (!rt__instance_wanted(L)) return luaL_error(L, "nothing is being loaded");
  rt_session *session = rt__instance_session(L, &options);
  lua_pushstring(L, session ? rt_session_name(session) : "");
  rt__lua_decode(L, rt_value_view(options));
  return 2;
}

/* setup_failed(why): the session is to stop */
static int l_setup_failed(lua_State *L) {
  const char *why = luaL_checkstring(L, 1);
  if (!rt__instance_wanted(L)) return luaL_error(L, "nothing is being loaded");
  rt__instance_fatal(L, why);
  return 0;
}

/* ready(globals, functions) */
static int l_ready(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!rt__instance_wanted(L)) return luaL_error(L, "nothing is being loaded");
  lua_settop(L, 2);
  rt__instance_ready(L);
  return 0;
}

/* --- jobs --------------------------------------------------------------------
 */
/* begin() -> job, asset, must match be asked? */
static int l_begin(lua_State *L) {
  const rt_job *job = rt__job_of(L);
  if (!job) return luaL_error(L, "no job is running");
  rt_pid *pid = lua_newuserdata(L, sizeof(*pid));
  *pid = job->process->pid;
  luaL_getmetatable(L, JOB_TYPE);
  lua_setmetatable(L, -2);
  rt__lua_decode(L, rt_value_view(job->order->asset));
  lua_pushboolean(L, job->phase == RT__PHASE_MATCH);
  return 3;
}

/* The job of the handle at 1, or NULL when it is not the running one. */
static rt_job *own_job(lua_State *L) {
  const rt_pid *pid = luaL_checkudata(L, 1, JOB_TYPE);
  rt_job *job = rt__job_of(L);
  return job && job->process->pid == *pid ? job : NULL;
}

static int fail_foreign(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_ECANCELED, "the job has ended, or is another process's");
  return rt__lua_fail(L, &err);
}

static int l_invoked(lua_State *L) {
  rt_job *job = own_job(L);
  if (job && job->phase == RT__PHASE_MATCH) rt__job_invoked(job);
  return 0;
}

static int l_skip(lua_State *L) {
  size_t size;
  rt_job *job = own_job(L);
  const char *reason = luaL_checklstring(L, 2, &size);
  if (!job) return 0;
  job->kind = RT__END_SKIPPED;
  free(job->reason);
  job->reason = strndup(reason, size);
  return 0;
}

static int l_snooze(lua_State *L) {
  rt_job *job = own_job(L);
  double delay = luaL_checknumber(L, 2);
  if (!job) return fail_foreign(L);
  job->kind = RT__END_SNOOZED;
  job->delay = delay;
  job->hold = lua_toboolean(L, 3);
  job->process->exit_asked = true; /* the caller yields and is not resumed */
  lua_pushboolean(L, 1);
  return 1;
}

static int push_class_value(lua_State *L, const rt_job *job) {
  size_t a, b;
  rt_view asset = rt_value_view(job->order->asset);
  const char *class_ = rt_view_string(rt_view_get(asset, "class"), &a);
  const char *value = rt_view_string(rt_view_get(asset, "value"), &b);
  lua_pushlstring(L, class_ ? class_ : "", class_ ? a : 0);
  lua_pushliteral(L, ":");
  lua_pushlstring(L, value ? value : "", value ? b : 0);
  lua_concat(L, 3);
  return 1;
}

static void push_errors(lua_State *L, const rt__order *order) {
  if (order->errors)
    rt__lua_decode(L, rt_value_view(order->errors));
  else
    lua_newtable(L);
}

/* get(job, key): id, capability, target, key, errors, attempt, session; else
 * nil */
static int l_get(lua_State *L) {
  const rt_job *job = own_job(L);
  const char *key = lua_tostring(L, 2);
  if (!job || !key) return 0;
  const rt__order *order = job->order;
  if (strcmp(key, "id") == 0)
    lua_pushnumber(L, (lua_Number)order->lease.job);
  else if (strcmp(key, "capability") == 0)
    lua_pushstring(L, order->capability->name);
  else if (strcmp(key, "target") == 0)
    return push_class_value(L, job);
  else if (strcmp(key, "key") == 0)
    rt__lua_decode(L, rt_view_get(rt_value_view(order->asset), "key"));
  else if (strcmp(key, "errors") == 0)
    push_errors(L, order);
  else if (strcmp(key, "attempt") == 0)
    lua_pushinteger(L, (lua_Integer)order->lease.attempt);
  else if (strcmp(key, "session") == 0)
    lua_pushstring(L, rt_session_name(order->session));
  else
    return 0;
  return 1;
}

/* options(job) -> the functions of its instance, what the session sets */
static int l_options(lua_State *L) {
  const rt_job *job = own_job(L);
  if (!job) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt__instance_functions(job->instance));
  rt__lua_decode(L, rt_value_view(job->order->options));
  return 2;
}

static int l_canceled(lua_State *L) {
  rt_job *job = own_job(L);
  if (job && job->asked) job->saw = true;
  lua_pushboolean(L, !job || job->asked);
  return 1;
}

/* The unix time at which it must have ended, or nil. */
static int l_deadline(lua_State *L) {
  const rt_job *job = own_job(L);
  if (!job || job->process->rare->deadline == 0) return 0;
  double left =
      ((double)job->process->rare->deadline - (double)uv_hrtime()) / 1e9;
  lua_pushnumber(L, rt__now_unix() + left);
  return 1;
}

static int l_progress(lua_State *L) {
  const rt_job *job = own_job(L);
  double fraction = luaL_checknumber(L, 2);
  const char *text = luaL_optstring(L, 3, NULL);
  if (!job) return fail_foreign(L);
  rt__engine_progress(job->order->engine, job->order->session,
                      job->order->lease, fraction, text);
  lua_pushboolean(L, 1);
  return 1;
}

/* --- send --------------------------------------------------------------------
 */
typedef struct send_op {
  rt__op op;
  rt_job *job; /* [own ref, worker thread] */
  rt_value *outcomes;
  bool single;
} send_op;

static int push_sent(lua_State *L, rt__op *op) {
  const send_op *sent = (send_op *)op;
  rt_view outcomes = rt_value_view(sent->outcomes);
  rt__lua_decode(L, sent->single ? rt_view_at(outcomes, 0) : outcomes);
  return 1;
}

static void note_fault(rt_job *job, const rt_error *err) {
  if (!job->fault) job->fault = rt__error_map(err->code, err->message, NULL);
}

static void release_sent(rt__op *op) {
  send_op *sent = (send_op *)op;
  if (op->failed && op->error.code == RT_EINVAL)
    note_fault(sent->job, &op->error);
  rt_value_unref(sent->outcomes);
  rt__job_resume_time(sent->job);
}

static const rt__op_type send_type = {"job:send", NULL, push_sent,
                                      release_sent};

static void on_sent(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  send_op *op = arg;
  rt_error words = RT_ERROR_INIT;
  op->outcomes = result;
  if (code != RT_OK) {
    if (err && err->code != RT_OK)
      words = *err;
    else
      rt_fail(&words, code, "job:send: %s", rt_status_text(code));
    rt__op_fail(&op->op, &words);
  }
  rt__op_post(&op->op);
}

static rt_err check_class(const rt_job *job, rt_view asset, rt_error *err) {
  size_t size = 0;
  const rt_capability *capability = job->order->capability;
  const char *class_ = rt_view_string(rt_view_get(asset, "class"), &size);
  if (!class_ || rt__capability_sends(capability, class_, size)) return RT_OK;
  return rt_fail(err, RT_EINVAL,
                 "class '%.*s' is not among the outputs that '%s' declares",
                 (int)size, class_, capability->name);
}

static rt_err check_classes(const rt_job *job, rt_view assets, rt_error *err) {
  rt_view item;
  if (rt_view_type(assets) != RT_ARRAY) return check_class(job, assets, err);
  rt_iter iter = rt_iter_of(assets);
  while (rt_iter_next(&iter, NULL, &item))
    if (check_class(job, item, err) != RT_OK) return RT_EINVAL;
  return RT_OK;
}

/* send(job, asset or list) -> operation, or nil, error */
static int l_send(lua_State *L) {
  rt_job *job = own_job(L);
  rt_error err = RT_ERROR_INIT;
  rt_value *assets;
  if (!job) return fail_foreign(L);
  send_op *op = rt__op_new(L, sizeof(*op), &send_type);
  op->job = job;
  rt__job_hold_time(job);
  if (rt__lua_encode(L, 2, "asset", &assets, &err) != RT_OK) {
    note_fault(job, &err);
    return rt__lua_fail(L, &err);
  }
  if (check_classes(job, rt_value_view(assets), &err) != RT_OK) {
    rt_value_unref(assets);
    note_fault(job, &err);
    return rt__lua_fail(L, &err);
  }
  op->single = rt_view_type(rt_value_view(assets)) != RT_ARRAY;
  rt__engine_send(job->order->engine, job->order->session, job->order->lease,
                  assets, on_sent, op);
  rt_value_unref(assets);
  return rt__op_return(L, &op->op);
}

/* --- batches -----------------------------------------------------------------
 */
/* item() -> asset, or nil at the end */
static int l_item(lua_State *L) {
  rt__asking *asking = rt__asking_of(L);
  if (!asking) return luaL_error(L, "no batch is being asked");
  const rt__prepare_item *item = rt__asking_next(L, asking);
  if (!item) return 0;
  rt__lua_decode(L, rt_value_view(item->asset));
  return 1;
}

/* context() -> session name, options of a batch or a job */
static int l_context(lua_State *L) {
  const rt__asking *asking = rt__asking_of(L);
  const rt_job *job = rt__job_of(L);
  if (!asking && !job) return luaL_error(L, "no job is running");
  rt_session *session = asking ? asking->batch->session : job->order->session;
  const rt_value *options =
      asking ? asking->batch->options : job->order->options;
  lua_pushstring(L, rt_session_name(session));
  rt__lua_decode(L, rt_value_view(options));
  return 2;
}

static char *copy_string(lua_State *L, int index) {
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  return text ? strndup(text, size) : NULL;
}

/* answer(reason or nil, rate key or nil, priority or 0) */
static int l_answer(lua_State *L) {
  rt__asking *asking = rt__asking_of(L);
  if (!asking || !asking->started) return luaL_error(L, "nothing was asked");
  rt__prepare_item *item = &asking->batch->items[asking->at];
  item->skip = !lua_isnoneornil(L, 1);
  item->reason = copy_string(L, 1);
  item->rate_key = copy_string(L, 2);
  item->priority = (int)lua_tointeger(L, 3);
  return 0;
}

int rt__open_job(lua_State *L);
int rt__open_job(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"wanted", l_wanted},
      {"setup_context", l_setup_context},
      {"setup_failed", l_setup_failed},
      {"finish_context", rt__l_finish_context},
      {"ready", l_ready},
      {"begin", l_begin},
      {"invoked", l_invoked},
      {"skip", l_skip},
      {"snooze", l_snooze},
      {"get", l_get},
      {"options", l_options},
      {"canceled", l_canceled},
      {"deadline", l_deadline},
      {"progress", l_progress},
      {"send", l_send},
      {"item", l_item},
      {"context", l_context},
      {"answer", l_answer},
      {"loading", rt__l_loading},
      {"add", rt__l_add},
      {"fault", rt__l_fault},
      {NULL, NULL},
  };
  luaL_newmetatable(L, JOB_TYPE);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_insert(L, -2);
  lua_setfield(L, -2, "meta"); /* rt.job gives it its __index */
  return 1;
}
