/* hosted.c - the asynchronous calls on sessions as a host makes them.
 *
 * Their replies come on the engine's thread, or, when the runtime is attached
 * to a loop, on the thread of that loop: the reply is then put into a note,
 * which is posted there.
 *
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/host.h"
#include "dispatcher/internal.h"
#include "dispatcher/session.h"

rt__host *rt__session_host(const rt_session *session) {
  return rt__port_host(session->port);
}

/* --- replies -------------------------------------------------------------- */

typedef struct answer {
  rt__host_call call;
  rt__host *host; /* [own ref] */
  rt_reply_fn fn;
  rt_session_fn opened; /* one of the two */
  void *arg;
  rt_err code;
  rt_error err;
  rt_value *result;    /* [own] */
  rt_session *session; /* [own] */
} answer;

static void run_answer(rt__host_call *call) {
  answer *a = (answer *)call;
  rt__host *host = a->host;
  const rt_error *err = a->code == RT_OK ? NULL : &a->err;
  if (a->fn)
    a->fn(a->code, err, a->result, a->arg);
  else
    a->opened(a->code, err, a->session, a->arg);
  free(a);
  rt__host_unref(host);
}

static void tell(answer *a, rt_err code, const rt_error *err) {
  a->code = code;
  if (err) a->err = *err;
  a->call.run = run_answer;
  a->call.size = sizeof(*a) + (a->result ? rt_value_size(a->result) : 0);
  rt__host_tell(a->host, &a->call);
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  answer *a = arg;
  a->result = result;
  tell(a, code, err);
}

static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  answer *a = arg;
  a->session = session;
  tell(a, code, err);
}

static answer *answer_new(rt__host *host, void *arg) {
  answer *a = calloc(1, sizeof(*a));
  if (!a) return NULL;
  a->host = rt__host_ref(host);
  a->arg = arg;
  return a;
}

/* Let the reply come on the host's thread, if there is one. False: no memory,
 * which was told. */
static bool aim(const rt_session *s, rt_reply_fn *fn, void **arg) {
  rt__host *host = rt__session_host(s);
  if (!host || !*fn) return true;
  answer *a = answer_new(host, *arg);
  if (!a) {
    rt_error err = RT_ERROR_INIT;
    (*fn)(rt_fail(&err, RT_ENOMEM, "no memory"), &err, NULL, *arg);
    return false;
  }
  a->fn = *fn;
  *fn = on_reply;
  *arg = a;
  return true;
}

void rt_session_dispatch_async(rt_session *session, const rt_value *assets,
                               const rt_dispatch_opts *opts, rt_reply_fn fn,
                               void *arg) {
  if (aim(session, &fn, &arg))
    rt__session_dispatch_async(session, assets, opts, fn, arg);
}

void rt_session_wait_async(rt_session *session, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg)) rt__session_wait_async(session, fn, arg);
}

void rt_session_stats_async(rt_session *session, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg)) rt__session_stats_async(session, fn, arg);
}

void rt_session_cancel_async(rt_session *session, const char *reason,
                             bool discard, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg))
    rt__session_cancel_async(session, reason, discard, fn, arg);
}

void rt_session_close_async(rt_session *session, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg)) rt__session_close_async(session, fn, arg);
}

void rt_session_queue_async(rt_session *session, const char *verb,
                            const rt_value *args, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg))
    rt__session_queue_async(session, verb, args, fn, arg);
}

void rt_session_delete_async(rt_session *session, const char *key,
                             rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg)) rt__session_delete_async(session, key, fn, arg);
}

void rt_session_running_async(rt_session *session, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg)) rt__session_running_async(session, fn, arg);
}

void rt_session_kill_async(rt_session *session, uint64_t job,
                           const char *reason, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg))
    rt__session_kill_async(session, job, reason, fn, arg);
}

void rt_session_scale_async(rt_session *session, const char *capability,
                            int64_t instances, rt_reply_fn fn, void *arg) {
  if (aim(session, &fn, &arg))
    rt__session_scale_async(session, capability, instances, fn, arg);
}

rt_err rt_session_open(rt_session **out, rt_runtime *rt,
                       const rt_session_opts *opts, rt_error *err) {
  return rt__session_open(out, rt__runtime_engine(rt), opts, err);
}

void rt_session_open_async(rt_runtime *rt, const rt_session_opts *opts,
                           rt_session_fn fn, void *arg) {
  rt__host *host = rt__runtime_host(rt);
  answer *a = host ? answer_new(host, arg) : NULL;
  rt_error err = RT_ERROR_INIT;
  if (a) {
    a->opened = fn;
    rt__session_open_async(rt__runtime_engine(rt), opts, on_opened, a);
  } else if (host) {
    fn(rt_fail(&err, RT_ENOMEM, "no memory"), &err, NULL, arg);
  } else {
    rt__session_open_async(rt__runtime_engine(rt), opts, fn, arg);
  }
}

/* --- commits -------------------------------------------------------------- */

/* What a session was told to call: several commits make one call. */
typedef struct teller {
  rt__host_call call;
  rt__host *host; /* [own ref] */
  rt_commit_fn fn;
  void *arg;
  atomic_uint refs; /* the session's, the queued call's, who waits */
  _Atomic(int64_t) last;
  atomic_bool queued;
  /* guarded by lock, a leaf */
  uv_mutex_t lock;
  uv_cond_t returned;
  bool closed, running;
} teller;

static teller *teller_new(rt__host *host, rt_commit_fn fn, void *arg) {
  teller *t = calloc(1, sizeof(*t));
  if (!t) return NULL;
  if (uv_mutex_init(&t->lock) != 0) goto free_teller;
  if (uv_cond_init(&t->returned) != 0) goto destroy_lock;
  t->host = rt__host_ref(host);
  t->fn = fn;
  t->arg = arg;
  atomic_init(&t->refs, 1);
  return t;

destroy_lock:
  uv_mutex_destroy(&t->lock);
free_teller:
  free(t);
  return NULL;
}

static void teller_unref(teller *t) {
  if (atomic_fetch_sub(&t->refs, 1) != 1) return;
  rt__host_unref(t->host);
  uv_cond_destroy(&t->returned);
  uv_mutex_destroy(&t->lock);
  free(t);
}

static void run_commit(rt__host_call *call) {
  teller *t = (teller *)call;
  atomic_store(&t->queued, false);
  uv_mutex_lock(&t->lock);
  t->running = !t->closed;
  bool run = t->running;
  uv_mutex_unlock(&t->lock);
  if (run) {
    t->fn(atomic_load(&t->last), t->arg);
    uv_mutex_lock(&t->lock);
    t->running = false;
    uv_cond_broadcast(&t->returned);
    uv_mutex_unlock(&t->lock);
  }
  teller_unref(t);
}

/* Takes it. It runs no more; `wait`: nor does it any longer, unless it is
 * itself that asks. */
static void teller_close(teller *t, bool wait) {
  wait = wait && !rt__host_here(t->host);
  uv_mutex_lock(&t->lock);
  t->closed = true;
  while (wait && t->running) uv_cond_wait(&t->returned, &t->lock);
  uv_mutex_unlock(&t->lock);
  teller_unref(t);
}

static void on_commit(int64_t last, void *arg) {
  teller *t = arg;
  atomic_store(&t->last, last);
  if (atomic_exchange(&t->queued, true)) return;
  atomic_fetch_add(&t->refs, 1);
  t->call.run = run_commit;
  t->call.size = sizeof(*t);
  if (rt__host_post(t->host, &t->call)) return;
  atomic_store(&t->queued, false);
  teller_unref(t);
}

/* What it called before, when that was ours. */
static teller *exchange(rt_session *session, rt_commit_fn fn, void *arg) {
  uv_mutex_lock(&session->commit_lock);
  teller *old = session->on_commit == on_commit ? session->on_commit_arg : NULL;
  session->on_commit = fn;
  session->on_commit_arg = arg;
  uv_mutex_unlock(&session->commit_lock);
  return old;
}

/* The last one to know the session may be any thread, which must not wait. */
void rt__session_forget_commit(rt_session *session) {
  teller *old = exchange(session, NULL, NULL);
  if (old) teller_close(old, false);
}

void rt_session_on_commit(rt_session *session, rt_commit_fn fn, void *arg) {
  rt__host *host = rt__session_host(session);
  teller *t = host && fn ? teller_new(host, fn, arg) : NULL;
  teller *old = NULL;
  if (!host || !fn)
    old = exchange(session, fn, arg);
  else
    old = exchange(session, t ? on_commit : NULL, t);
  if (old) teller_close(old, true);
}
