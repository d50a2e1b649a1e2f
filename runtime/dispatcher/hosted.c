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
  rt__host *host;  /* [own ref] */
  rt_commit_fn fn; /* the loop's thread only; NULL: taken away */
  void *arg;
  atomic_uint refs; /* the session's, the queued call's */
  _Atomic(int64_t) last;
  atomic_bool queued;
} teller;

static void teller_unref(teller *t) {
  if (atomic_fetch_sub(&t->refs, 1) != 1) return;
  rt__host_unref(t->host);
  free(t);
}

static void run_commit(rt__host_call *call) {
  teller *t = (teller *)call;
  atomic_store(&t->queued, false);
  if (t->fn) t->fn(atomic_load(&t->last), t->arg);
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

void rt__session_forget_commit(rt_session *session) {
  uv_mutex_lock(&session->commit_lock);
  teller *old = session->on_commit == on_commit ? session->on_commit_arg : NULL;
  session->on_commit = NULL;
  uv_mutex_unlock(&session->commit_lock);
  if (!old) return;
  if (rt__host_here(old->host)) old->fn = NULL;
  teller_unref(old);
}

void rt_session_on_commit(rt_session *session, rt_commit_fn fn, void *arg) {
  rt__host *host = rt__session_host(session);
  teller *t = NULL;
  rt__session_forget_commit(session);
  if (!host || !fn) {
    rt__session_on_commit(session, fn, arg);
    return;
  }
  t = calloc(1, sizeof(*t));
  if (!t) return;
  t->host = rt__host_ref(host);
  t->fn = fn;
  t->arg = arg;
  atomic_init(&t->refs, 1);
  rt__session_on_commit(session, on_commit, t);
}
