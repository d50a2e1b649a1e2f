/* reports.c - what the executor tells the engine: results, ends, answers.
 *
 * Each carries its lease; one that was taken back is refused and logged.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

/* The job this lease speaks for, or NULL. */
static rt__live *leased(rt_session *s, rt__lease lease) {
  if (!s->loaded || s->failed || lease.epoch != s->epoch) return NULL;
  rt__live *live = rt__idmap_get(&s->lives, lease.job);
  if (!live || live->state != RT__LIVE_RUNNING ||
      live->attempt != lease.attempt || live->grant != lease.grant) {
    return NULL;
  }
  return live;
}

static void refused(rt_session *s, rt__lease lease, const char *what) {
  rt__session_log(s, RT_LOG_WARN,
                  "session '%s': refused %s of job %llu, whose lease was "
                  "taken back",
                  s->name, what, (unsigned long long)lease.job);
}

/* --- results --------------------------------------------------------- */
typedef struct send_cmd {
  rt__cmd cmd;
  rt__lease lease;
  rt_value *assets;
  rt_reply_fn fn;
  void *arg;
} send_cmd;

/* A list of assets is an array; one asset is a map. */
static rt_err take_list(rt_session *s, rt__live *live, const rt_value *assets,
                        rt_builder *out, rt_error *err) {
  rt_outcome outcome = RT_QUEUED;
  rt_view view = rt_value_view(assets);
  if (rt_view_type(view) != RT_ARRAY) {
    rt_err rc = rt__session_take(s, view, live, NULL, &outcome, err);
    if (rc == RT_OK) rt_builder_string(out, rt_outcome_text(outcome));
    return rc;
  }
  rt_iter iter = rt_iter_of(view);
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) {
    rt_err rc = rt__session_take(s, item, live, NULL, &outcome, err);
    if (rc != RT_OK) return rc;
    rt_builder_string(out, rt_outcome_text(outcome));
  }
  return RT_OK;
}

/* What it sends from now on is refused, and it is ended. */
static void end_flood(rt_session *s, rt__live *live) {
  rt__executor *ex = &s->engine->executor;
  rt__lease lease = rt__live_lease(s, live);
  live->asked = true;
  free(live->fault);
  live->fault = rt__budget_flood_words(s, live);
  ex->cancel(ex->self, s, lease, "it sends without end", true);
}

static rt_err do_send(rt_session *s, send_cmd *send, rt_value **result,
                      rt_error *err) {
  rt__live *live = leased(s, send->lease);
  if (!live) {
    if (!s->failed) refused(s, send->lease, "a result");
    return rt_fail(err, RT_ECANCELED, "the job's lease was taken back");
  }
  if (live->flooding) {
    return rt_fail(err, RT_ECANCELED, "the job sends without end");
  }
  rt_builder *out = rt_builder_new();
  if (!out) return rt_fail(err, RT_ENOMEM, "no memory");
  s->touched = true;
  rt_builder_begin_array(out);
  uint32_t fanout = live->fanout;
  rt_err rc = take_list(s, live, send->assets, out, err);
  if (live->fanout != fanout) s->segments[live->slot / RT__SEGMENT] = true;
  rt_builder_end(out);
  if (rc == RT_OK) rc = rt_builder_finish(out, result, err);
  rt_builder_free(out);
  if (rc == RT_EINVAL && !live->fault) live->fault = strdup(err->message);
  if (rc != RT_OK && rc != RT_EINVAL) {
    rt__session_fail(s, err);
    rc = rt_fail(err, RT_ECANCELED, "the job's lease was taken back");
  } else if (live->flooding) {
    end_flood(s, live);
  }
  return rc;
}

static void run_send(rt__engine *engine, rt__cmd *cmd) {
  send_cmd *send = (send_cmd *)cmd;
  rt_error err = RT_ERROR_INIT;
  rt_value *result = NULL;
  rt_err rc = RT_ECANCELED;
  if (engine && cmd->session->engine) {
    rc = do_send(cmd->session, send, &result, &err);
  } else {
    rt_fail(&err, rc, "the session is closed");
  }
  if (send->fn) {
    send->fn(rc, rc == RT_OK ? NULL : &err, result, send->arg);
  } else {
    rt_value_unref(result);
  }
  rt_value_unref(send->assets);
  rt__cmd_free(send);
}

static void no_memory(rt_reply_fn fn, void *arg) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_ENOMEM, "no memory");
  if (fn) fn(RT_ENOMEM, &err, NULL, arg);
}

void rt__engine_send(rt__engine *engine, rt_session *session, rt__lease lease,
                     const rt_value *assets, rt_reply_fn fn, void *arg) {
  (void)engine;
  send_cmd *send = rt__cmd_new(sizeof(*send), run_send, session);
  if (!send) {
    no_memory(fn, arg);
    return;
  }
  send->lease = lease;
  send->assets = rt_value_ref(assets);
  send->cmd.writes = true;
  send->fn = fn;
  send->arg = arg;
  send->cmd.bytes += rt_value_size(assets);
  rt__port_post(session->port, &send->cmd);
}

bool rt__engine_full(rt__engine *engine) {
  return rt__port_full(engine->port);
}

/* --- refusals -------------------------------------------------------- */
typedef struct refuse_cmd {
  rt__cmd cmd;
  rt__lease lease;
  char *target, *why; /* [own] */
} refuse_cmd;

static void run_refuse(rt__engine *engine, rt__cmd *cmd) {
  refuse_cmd *refuse = (refuse_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt__live *live = engine && s->engine ? leased(s, refuse->lease) : NULL;
  if (live) {
    if (rt__session_refuse(s, live, refuse->target, refuse->why, &err) != RT_OK)
      rt__session_fail(s, &err);
    s->touched = true;
  }
  free(refuse->target);
  free(refuse->why);
  rt__cmd_free(refuse);
}

void rt__engine_refuse(rt_session *session, rt__lease lease, const char *target,
                       const char *why) {
  refuse_cmd *refuse = rt__cmd_new(sizeof(*refuse), run_refuse, session);
  if (!refuse) return;
  refuse->lease = lease;
  refuse->target = strdup(target);
  refuse->why = strdup(why);
  refuse->cmd.writes = true;
  refuse->cmd.bytes += strlen(target) + strlen(why);
  if (refuse->target && refuse->why) {
    rt__port_post(session->port, &refuse->cmd);
    return;
  }
  free(refuse->target);
  free(refuse->why);
  rt__cmd_free(refuse);
}

bool rt__session_reaches(const rt_session *session, const rt__target *target,
                         char *why, size_t size) {
  return rt__scope_reaches(&session->scope, target, why, size);
}

bool rt__session_scoped(const rt_session *session) {
  return session->scope.count > 0;
}

/* --- progress -------------------------------------------------------- */
typedef struct progress_cmd {
  rt__cmd cmd;
  rt__lease lease;
  double fraction;
  char *text;
} progress_cmd;

static void run_progress(rt__engine *engine, rt__cmd *cmd) {
  progress_cmd *progress = (progress_cmd *)cmd;
  rt_session *s = cmd->session;
  rt__live *live = engine && s->engine ? leased(s, progress->lease) : NULL;
  if (live) {
    live->fraction = progress->fraction;
    rt__note_job(s, "job.progress", live, progress->text, progress->fraction);
    s->touched = true;
  }
  free(progress->text);
  rt__cmd_free(progress);
}

void rt__engine_progress(rt__engine *engine, rt_session *session,
                         rt__lease lease, double fraction, const char *text) {
  (void)engine;
  progress_cmd *progress =
      rt__cmd_new(sizeof(*progress), run_progress, session);
  if (!progress) return;
  progress->lease = lease;
  progress->fraction = fraction;
  progress->text = text ? strdup(text) : NULL;
  progress->cmd.bytes += progress->text ? strlen(progress->text) : 0;
  rt__port_post(session->port, &progress->cmd);
}

/* --- ends
 * ----------------------------------------------------------------------------
 */
typedef struct end_cmd {
  rt__cmd cmd;
  rt__end end;
} end_cmd;

static void run_end(rt__engine *engine, rt__cmd *cmd) {
  end_cmd *ended = (end_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt__live *live = NULL;
  if (engine && s->engine) {
    live = leased(s, ended->end.lease);
    if (!live && !s->failed) refused(s, ended->end.lease, "the end");
    s->touched = true;
  }
  if (live && rt__live_end(s, live, &ended->end, &err) != RT_OK) {
    rt__session_fail(s, &err);
  }
  rt_value_unref(ended->end.error);
  free(ended->end.reason);
  rt__cmd_free(ended);
}

void rt__engine_end(rt__engine *engine, rt_session *session, rt__end *end) {
  (void)engine;
  end_cmd *ended = rt__cmd_new(sizeof(*ended), run_end, session);
  if (!ended) { /* its lease is taken back when the session drains */
    rt_value_unref(end->error);
    free(end->reason);
    return;
  }
  ended->end = *end; /* takes what it points to */
  ended->cmd.writes = true;
  rt__port_post(session->port, &ended->cmd);
}

/* --- answers
 * ----------------------------------------------------------------------------
 */
typedef struct prepared_cmd {
  rt__cmd cmd;
  rt__prepare *batch;
} prepared_cmd;

static rt_err answer(rt_session *s, rt__prepare_item *item, rt_error *err) {
  rt__live *live = rt__idmap_get(&s->lives, item->job);
  if (!live || live->state != RT__LIVE_PREPARING) return RT_OK;
  live->lane->preparing--;
  live->prepared = true;
  if (item->skip) {
    rt_err rc = rt__store_begin(s->store, err);
    if (rc != RT_OK) return rc;
    return rt__live_settle(s, live, RT__JOB_SKIPPED,
                           item->reason ? item->reason : "no match", err);
  }
  free(live->rate_key);
  live->rate_key = item->rate_key;
  item->rate_key = NULL;
  if (item->priority) live->priority = item->priority;
  if (rt__live_must_park(s, live)) return rt__live_park(s, live, err);
  if (rt__live_queue(s, live)) return RT_OK;
  return rt_fail(err, RT_ENOMEM, "no memory");
}

static void run_prepared(rt__engine *engine, rt__cmd *cmd) {
  prepared_cmd *prepared = (prepared_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_err rc = RT_OK;
  bool useful = engine && s->engine && s->loaded && !s->failed;
  for (size_t i = 0; useful && rc == RT_OK && i < prepared->batch->count; i++) {
    rc = answer(s, &prepared->batch->items[i], &err);
  }
  if (useful) s->touched = true;
  if (rc != RT_OK) rt__session_fail(s, &err);
  rt__prepare_free(prepared->batch);
  rt__cmd_free(prepared);
}

void rt__engine_prepared(rt__engine *engine, rt__prepare *batch) {
  (void)engine;
  prepared_cmd *prepared =
      rt__cmd_new(sizeof(*prepared), run_prepared, batch->session);
  if (!prepared) {
    rt__prepare_free(batch);
    return;
  }
  prepared->batch = batch;
  prepared->cmd.writes = true;
  rt__port_post(batch->session->port, &prepared->cmd);
}
