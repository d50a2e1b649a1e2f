/* waits.c - the session calls that block: each waits for its asynchronous
 * twin. Not for threads of the runtime.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/clock.h"
#include "base/host.h"
#include "dispatcher/internal.h"
#include "dispatcher/session.h"
#include "rt/queue.h"

/* Shared by the caller, who may give up, and the reply. */
typedef struct waiter {
  uv_mutex_t lock;
  uv_cond_t wake;
  int refs;
  bool replied;
  rt_err code;
  rt_error err;
  rt_value *result;
  rt_session *session;
} waiter;

static waiter *waiter_new(rt_error *err) {
  waiter *w = calloc(1, sizeof(*w));
  if (!w) goto fail;
  if (uv_mutex_init(&w->lock) < 0) goto fail;
  if (uv_cond_init(&w->wake) < 0) {
    uv_mutex_destroy(&w->lock);
    goto fail;
  }
  w->refs = 2;
  return w;
fail:
  free(w);
  rt_fail(err, RT_ENOMEM, "no memory");
  return NULL;
}

static void waiter_unref(waiter *w) {
  uv_mutex_lock(&w->lock);
  int left = --w->refs;
  uv_mutex_unlock(&w->lock);
  if (left > 0) return;
  rt_value_unref(w->result);
  rt_session_unref(w->session);
  uv_cond_destroy(&w->wake);
  uv_mutex_destroy(&w->lock);
  free(w);
}

static void answer(waiter *w, rt_err code, const rt_error *err,
                   rt_value *result, rt_session *session) {
  uv_mutex_lock(&w->lock);
  w->code = code;
  if (err) w->err = *err;
  w->result = result;
  w->session = session;
  w->replied = true;
  uv_cond_signal(&w->wake);
  uv_mutex_unlock(&w->lock);
  waiter_unref(w);
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  answer(arg, code, err, result, NULL);
}

static void on_session(rt_err code, const rt_error *err, rt_session *session,
                       void *arg) {
  answer(arg, code, err, NULL, session);
}

/* `timeout` negative: none. Releases the waiter. Who prints does not wait for
 * `host` (may be NULL) while that waits here. */
static rt_err wait_for(waiter *w, rt__host *host, double timeout,
                       rt_value **result, rt_session **session, rt_error *err) {
  uint64_t start = rt__now_ns();
  uint64_t limit = rt__ns(timeout);
  rt_err rc = RT_OK;
  if (host) rt__host_enter_wait(host);
  uv_mutex_lock(&w->lock);
  while (!w->replied && rc == RT_OK) {
    uint64_t gone = rt__now_ns() - start;
    if (timeout < 0) {
      uv_cond_wait(&w->wake, &w->lock);
    } else if (gone >= limit) {
      rc = rt_fail(err, RT_ETIMEOUT, "timed out after %g s", timeout);
    } else {
      uv_cond_timedwait(&w->wake, &w->lock, limit - gone);
    }
  }
  if (rc == RT_OK) {
    rc = w->code;
    if (rc != RT_OK && err) *err = w->err;
    if (result) {
      *result = w->result;
      w->result = NULL;
    }
    if (session) {
      *session = w->session;
      w->session = NULL;
    }
  }
  uv_mutex_unlock(&w->lock);
  waiter_unref(w);
  if (host) rt__host_leave_wait(host);
  return rc;
}

rt_err rt__session_open(rt_session **out, rt__engine *engine,
                        const rt_session_opts *opts, rt_error *err) {
  *out = NULL;
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_open_async(engine, opts, on_session, w);
  return wait_for(w, rt__port_host(engine->port), -1, NULL, out, err);
}

static rt_outcome outcome_of(const rt_value *result) {
  size_t size = 0;
  const char *text =
      rt_view_string(rt_view_at(rt_value_view(result), 0), &size);
  for (int i = RT_QUEUED; text && i <= RT_OVER_LIMIT; i++) {
    const char *name = rt_outcome_text((rt_outcome)i);
    size_t k = 0;
    while (k < size && name[k] == text[k]) k++;
    if (k == size && name[k] == '\0') return (rt_outcome)i;
  }
  return RT_QUEUED;
}

rt_err rt_session_dispatch(rt_session *session, const rt_value *asset,
                           const rt_dispatch_opts *opts, rt_outcome *outcome,
                           rt_error *err) {
  rt_value *result = NULL;
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_dispatch_async(session, asset, opts, on_reply, w);
  rt_err rc = wait_for(w, rt__session_host(session), -1, &result, NULL, err);
  if (rc == RT_OK && outcome) *outcome = outcome_of(result);
  rt_value_unref(result);
  return rc;
}

rt_err rt_session_wait(rt_session *session, double timeout, rt_value **summary,
                       rt_error *err) {
  if (summary) *summary = NULL;
  if (rt__host_here(rt__session_host(session)))
    return rt_fail(err, RT_EINVAL,
                   "it would block its own loop: use rt_session_wait_async()");
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_wait_async(session, on_reply, w);
  return wait_for(w, rt__session_host(session), timeout, summary, NULL, err);
}

rt_err rt_session_stats(rt_session *session, rt_value **out, rt_error *err) {
  *out = NULL;
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_stats_async(session, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, out, NULL, err);
}

rt_err rt_session_running(rt_session *session, rt_value **out, rt_error *err) {
  *out = NULL;
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_running_async(session, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, out, NULL, err);
}

rt_err rt_session_kill(rt_session *session, uint64_t job, const char *reason,
                       rt_error *err) {
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_kill_async(session, job, reason, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, NULL, NULL, err);
}

rt_err rt_session_scale(rt_session *session, const char *capability,
                        int64_t instances, rt_error *err) {
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_scale_async(session, capability, instances, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, NULL, NULL, err);
}

rt_err rt_session_cancel(rt_session *session, const char *reason, bool discard,
                         rt_error *err) {
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_cancel_async(session, reason, discard, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, NULL, NULL, err);
}

void rt_session_close(rt_session *session) {
  waiter *w = session ? waiter_new(NULL) : NULL;
  if (!w) return;
  rt__session_close_async(session, on_reply, w);
  wait_for(w, rt__session_host(session), -1, NULL, NULL, NULL);
}

rt_err rt_session_delete(rt_session *session, const char *key, rt_error *err) {
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_delete_async(session, key, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, NULL, NULL, err);
}

/* --- the queue (rt/queue.h) ---------------------------------------------- */

static rt_err ask_queue(rt_session *session, const char *verb,
                        const rt_value *args, rt_value **out, rt_error *err) {
  waiter *w = waiter_new(err);
  if (!w) return RT_ENOMEM;
  rt__session_queue_async(session, verb, args, on_reply, w);
  return wait_for(w, rt__session_host(session), -1, out, NULL, err);
}

static rt_err call_queue(rt_session *session, const char *verb,
                         const rt_value *asset, rt_value **out, rt_error *err) {
  rt_builder *b = rt_builder_new();
  rt_value *args = NULL, *result = NULL;
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_begin_array(b);
  rt_builder_value(b, asset);
  rt_builder_end(b);
  rt_err rc = rt_builder_finish(b, &args, err);
  rt_builder_free(b);
  if (rc == RT_OK) rc = ask_queue(session, verb, args, &result, err);
  rt_value_unref(args);
  if (out)
    *out = result;
  else
    rt_value_unref(result);
  return rc;
}

rt_err rt_queue_has(rt_session *session, const rt_value *asset, bool *found,
                    rt_error *err) {
  rt_value *answer = NULL;
  rt_err rc = call_queue(session, "has", asset, &answer, err);
  *found = rt_view_bool(rt_value_view(answer), false);
  rt_value_unref(answer);
  return rc;
}

rt_err rt_queue_append(rt_session *session, const rt_value *asset,
                       rt_error *err) {
  return call_queue(session, "append", asset, NULL, err);
}

rt_err rt_queue_processed(rt_session *session, const rt_value *asset,
                          rt_error *err) {
  return call_queue(session, "processed", asset, NULL, err);
}

rt_err rt_queue_delete(rt_session *session, const rt_value *asset,
                       rt_error *err) {
  return call_queue(session, "delete", asset, NULL, err);
}

rt_err rt_queue_next(rt_session *session, const char *class_name,
                     uint32_t count, rt_value **out, rt_error *err) {
  rt_builder *b = rt_builder_new();
  rt_value *args = NULL;
  *out = NULL;
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_begin_array(b);
  if (class_name)
    rt_builder_string(b, class_name);
  else
    rt_builder_nil(b);
  rt_builder_int(b, count);
  rt_builder_end(b);
  rt_err rc = rt_builder_finish(b, &args, err);
  rt_builder_free(b);
  if (rc == RT_OK) rc = ask_queue(session, "next", args, out, err);
  rt_value_unref(args);
  return rc;
}
