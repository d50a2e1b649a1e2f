/* session.c - rt_session_*: each call becomes a command for the engine.
 *
 * A call that waits posts its asynchronous twin and blocks until the reply.
 * The public names of the twins are in hosted.c.
 * SPDX-License-Identifier: MIT */
#include "dispatcher/session.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

typedef struct call {
  rt__cmd cmd;
  rt_reply_fn fn;
  void *arg;
  rt_value *value;
  rt_value *meta;
  rt_dispatch_opts opts;
  char *text;
  bool flag;
  int64_t number;
} call;

static call *call_new(rt_session *s, void (*run)(rt__engine *, rt__cmd *),
                      rt_reply_fn fn, void *arg) {
  call *c = rt__cmd_new(sizeof(*c), run, s);
  if (c) {
    c->fn = fn;
    c->arg = arg;
    return c;
  }
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_ENOMEM, "no memory");
  if (fn) fn(RT_ENOMEM, &err, NULL, arg);
  return NULL;
}

static void call_end(call *c, rt_err code, const rt_error *err,
                     rt_value *result) {
  if (c->fn) {
    c->fn(code, code == RT_OK ? NULL : err, result, c->arg);
  } else {
    rt_value_unref(result);
  }
  rt_value_unref(c->value);
  rt_value_unref(c->meta);
  free(c->text);
  rt__cmd_free(c);
}

/* Is the session there to be worked on? Else the call is answered. */
static bool call_open(rt__engine *engine, call *c) {
  rt_session *s = c->cmd.session;
  rt_error err = RT_ERROR_INIT;
  if (!engine || !s->engine) {
    rt_fail(&err, RT_ECANCELED, "session '%s' is closed", s->name);
  } else if (s->failed) {
    err = s->fault;
    err.code = RT_EUNAVAIL;
    err.retryable = true;
  } else {
    s->touched = true;
    return true;
  }
  call_end(c, err.code, &err, NULL);
  return false;
}

/* The reply comes after the commit of what was done. */
static void reply_later(call *c, rt_value *result) {
  rt_session *s = c->cmd.session;
  rt__reply *reply = calloc(1, sizeof(*reply));
  if (!reply || !c->fn) {
    free(reply);
    call_end(c, RT_OK, NULL, result);
    return;
  }
  reply->fn = c->fn;
  reply->arg = c->arg;
  reply->result = result;
  *s->replies_last = reply;
  s->replies_last = &reply->next;
  c->fn = NULL;
  call_end(c, RT_OK, NULL, NULL);
}

/* --- open ------------------------------------------------------------ */
static void tell_opened(rt_session *s, rt_err code, const rt_error *err) {
  rt_session_fn fn = s->opened;
  void *arg = s->opened_arg;
  s->opened = NULL;
  if (code == RT_OK) {
    fn(RT_OK, NULL, s, arg); /* takes the first reference */
    return;
  }
  fn(code, err, NULL, arg);
  rt_session_unref(s);
}

/* It does not open, or not now: as if it had not begun to. */
static void not_opened(rt__engine *engine, rt_session *s) {
  if (!s->engine) return;
  s->refused = true;
  rt__session_unload(s);
  s->engine = NULL;
  rt__session_unpark(engine, s); /* that a capability came meanwhile */
  s->refused = s->stale = s->failed = s->locked = false;
}

/* In parts when much of it runs again: others go on in between. */
static void run_open(rt__engine *engine, rt__cmd *cmd) {
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_err rc;
  if (!engine || engine->stopping) {
    if (engine) not_opened(engine, s);
    rt_fail(&err, RT_ECLOSED, "the runtime has stopped");
    tell_opened(s, RT_ECLOSED, &err);
    rt__cmd_free(cmd);
    return;
  }
  if (s->stale) {
    rc = rt__session_load_stale(s, &err);
  } else {
    s->engine = engine;
    s->wake_ns = UINT64_MAX;
    rc = rt__session_load(s, &err);
  }
  if (rc != RT_OK) {
    not_opened(engine, s);
    if (rt__session_open_later(engine, cmd, &err)) return; /* took cmd */
    tell_opened(s, rc, &err);
    rt__cmd_free(cmd);
    return;
  }
  if (s->stale) {
    rt__session_open_on(engine, cmd); /* takes it */
    return;
  }
  if (s->deadline > 0) {
    s->deadline_ns = engine->now + rt__ns(s->deadline);
  }
  rt_session **last = &engine->sessions;
  while (*last) last = &(*last)->next;
  *last = rt_session_ref(s);
  engine->session_count++;
  rt__note_session(s, "session.opened", NULL);
  rt__session_hold(s);
  tell_opened(s, RT_OK, NULL);
  rt__cmd_free(cmd);
}

void rt__session_open_async(rt__engine *engine, const rt_session_opts *opts,
                            rt_session_fn fn, void *arg) {
  rt_error err = RT_ERROR_INIT;
  rt_session *s = NULL;
  rt_err rc = rt__session_new(&s, engine->port, opts, &err);
  rt__cmd *cmd = NULL;
  if (rc == RT_OK) {
    cmd = rt__cmd_new(sizeof(*cmd), run_open, s);
    if (!cmd) rc = rt_fail(&err, RT_ENOMEM, "no memory");
  }
  if (rc != RT_OK) {
    rt_session_unref(s);
    fn(rc, &err, NULL, arg);
    return;
  }
  s->opened = fn;
  s->opened_arg = arg;
  rt__port_post(engine->port, cmd);
}

/* --- dispatch -------------------------------------------------------- */
static rt_err dispatch_all(rt_session *s, call *c, rt_builder *out,
                           rt_error *err) {
  rt_view view = rt_value_view(c->value);
  bool many = rt_view_type(view) == RT_ARRAY;
  rt_iter iter = rt_iter_of(view);
  rt_view item = view;
  rt_outcome outcome = RT_QUEUED;
  if (many && !rt_iter_next(&iter, NULL, &item)) {
    return rt__session_round(s, err); /* one with nothing in it: it ends */
  }
  do {
    rt_err rc = rt__session_take(s, item, NULL, &c->opts, &outcome, err);
    if (rc != RT_OK) return rc;
    rt_builder_string(out, rt_outcome_text(outcome));
    rc = rt__session_round(s, err);
    if (rc != RT_OK) return rc;
  } while (many && rt_iter_next(&iter, NULL, &item));
  return RT_OK;
}

static void run_dispatch(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_value *result = NULL;
  if (rt__memory_parks(engine, cmd) || !call_open(engine, c)) return;
  if (s->draining) {
    rt_fail(&err, RT_ECANCELED, "session '%s' has been terminated", s->name);
    call_end(c, RT_ECANCELED, &err, NULL);
    return;
  }
  rt_builder *out = rt_builder_new();
  rt_err rc = out ? RT_OK : rt_fail(&err, RT_ENOMEM, "no memory");
  if (out) rt_builder_begin_array(out);
  s->label = c->text;
  s->meta = c->meta;
  if (rc == RT_OK) rc = dispatch_all(s, c, out, &err);
  s->label = NULL;
  s->meta = NULL;
  if (out) rt_builder_end(out);
  if (rc == RT_OK) rc = rt_builder_finish(out, &result, &err);
  rt_builder_free(out);
  if (rc == RT_OK) {
    reply_later(c, result);
    return;
  }
  if (rc != RT_EINVAL) rt__session_fail(s, &err);
  call_end(c, rc, &err, NULL);
}

void rt__session_dispatch_async(rt_session *s, const rt_value *assets,
                                const rt_dispatch_opts *opts, rt_reply_fn fn,
                                void *arg) {
  call *c = call_new(s, run_dispatch, fn, arg);
  if (!c) return;
  c->value = rt_value_ref(assets);
  c->cmd.writes = true;
  c->cmd.bytes += assets ? rt_value_size(assets) : 0;
  if (opts) {
    size_t size = opts->size < sizeof(c->opts) ? opts->size : sizeof(c->opts);
    memcpy(&c->opts, opts, size);
    c->meta = rt_value_ref(c->opts.meta_value);
    c->cmd.bytes += c->meta ? rt_value_size(c->meta) : 0;
    c->text = c->opts.name ? strdup(c->opts.name) : NULL;
    if (c->opts.priority < 0) c->opts.priority = 1;
    if (c->opts.priority > 9) c->opts.priority = 9;
  }
  rt__port_post(s->port, &c->cmd);
}

/* --- wait, stats ----------------------------------------------------- */
static void run_wait(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  rt_session *s = cmd->session;
  if (!engine || !s->engine) {
    call_open(NULL, c);
    return;
  }
  if (rt__memory_follows(engine, cmd)) return;
  rt_reply_fn fn = c->fn;
  c->fn = NULL;
  rt__session_wait(s, fn, c->arg);
  call_end(c, RT_OK, NULL, NULL);
}

void rt__session_wait_async(rt_session *s, rt_reply_fn fn, void *arg) {
  call *c = call_new(s, run_wait, fn, arg);
  if (!c) return;
  c->cmd.follows = true;
  rt__port_post(s->port, &c->cmd);
}

static void run_stats(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  if (call_open(engine, c)) {
    call_end(c, RT_OK, NULL, rt__session_stats_value(cmd->session));
  }
}

void rt__session_stats_async(rt_session *s, rt_reply_fn fn, void *arg) {
  call *c = call_new(s, run_stats, fn, arg);
  if (c) rt__port_post(s->port, &c->cmd);
}

/* --- pause, resume, cancel, close ------------------------------------ */
/* Also during a fault: it holds when that is over. */
static void run_pause(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  rt_session *s = cmd->session;
  bool failed = engine && s->engine && s->failed;
  if (!failed && !call_open(engine, c)) return;
  if (s->paused != c->flag && !s->draining) {
    s->paused = c->flag;
    rt__note_session(s, s->paused ? "session.paused" : "session.resumed", NULL);
  }
  if (!failed) rt__session_hold(s);
  call_end(c, RT_OK, NULL, NULL);
}

static void post_pause(rt_session *s, bool pause) {
  call *c = call_new(s, run_pause, NULL, NULL);
  if (!c) return;
  c->flag = pause;
  rt__port_post(s->port, &c->cmd);
}

void rt_session_pause(rt_session *s) {
  post_pause(s, true);
}

void rt_session_resume(rt_session *s) {
  post_pause(s, false);
}

static void add_closer(rt_session *s, call *c) {
  rt__reply *reply = c->fn ? calloc(1, sizeof(*reply)) : NULL;
  if (reply) {
    reply->fn = c->fn;
    reply->arg = c->arg;
    reply->next = s->closers;
    s->closers = reply;
    c->fn = NULL;
  }
  call_end(c, RT_OK, NULL, NULL);
}

/* Cancel or close: `flag` discards, `number` closes. */
static void run_cancel(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  rt_session *s = cmd->session;
  if (!engine || !s->engine) { /* as asked: it is closed */
    call_end(c, RT_OK, NULL, NULL);
    return;
  }
  s->touched = true;
  if (c->flag && !s->drained) s->discard = true;
  if (c->number) s->closing = true;
  rt__session_drain(s, c->text, s->grace);
  if (s->drained && !s->closing) {
    call_end(c, RT_OK, NULL, NULL);
    return;
  }
  add_closer(s, c);
}

static void post_cancel(rt_session *s, const char *reason, bool discard,
                        bool close, rt_reply_fn fn, void *arg) {
  call *c = call_new(s, run_cancel, fn, arg);
  if (!c) return;
  c->text = strdup(reason && *reason ? reason : "canceled");
  c->flag = discard;
  c->number = close;
  rt__port_post(s->port, &c->cmd);
}

void rt__session_cancel_async(rt_session *s, const char *reason, bool discard,
                              rt_reply_fn fn, void *arg) {
  post_cancel(s, reason, discard, false, fn, arg);
}

void rt__session_close_async(rt_session *s, rt_reply_fn fn, void *arg) {
  post_cancel(s, "closed", false, true, fn, arg);
}

/* --- marks, callbacks ------------------------------------------------ */
static void run_mark(rt__engine *engine, rt__cmd *cmd) {
  call *c = (call *)cmd;
  rt_error err = RT_ERROR_INIT;
  if (!call_open(engine, c)) return;
  if (rt__store_set_int(cmd->session->store, "printed", c->number, &err) !=
      RT_OK) {
    rt__session_fail(cmd->session, &err);
  }
  call_end(c, RT_OK, NULL, NULL);
}

void rt_session_set_mark(rt_session *s, int64_t asset) {
  call *c = call_new(s, run_mark, NULL, NULL);
  if (!c) return;
  c->number = asset;
  c->cmd.writes = true;
  rt__port_post(s->port, &c->cmd);
}
