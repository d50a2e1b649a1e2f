/* job_native.c - jobs of capabilities written in C, and rt_job_* of
 * rt/registry.h.
 *
 * invoke() starts on the worker's thread and may go on anywhere; it ends with
 * rt_job_complete(), which posts the job back to its worker. C code cannot be
 * stopped: past its timeout, or after a cancel's grace, the engine is told and
 * whatever the code does later goes nowhere.
 *
 * SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "process/embed.h"
#include "process/fence.h"
#include "process/job.h"

#define OPEN_SENDS_MAX 256u
#define DELAY_MAX      864e6 /* 10,000 days, as for all durations */

/* Counted references: the job's code, its worker, each open send. */
struct rt__native {
  /* constant */
  rt_job *job;
  rt__engine *engine;
  rt_session *session;       /* [own ref] */
  rt_capability *capability; /* [own ref] */
  rt__late *late;            /* [own ref] */
  rt__worker *worker;        /* not to be looked into once it is late */
  rt_value *asset, *options; /* [own ref] */
  rt__lease lease;
  rt__fence *fence; /* [own ref] of an active capability, or NULL */
  /* [atomic] */
  _Atomic(uint32_t) refs, open;
  _Atomic(bool) asked, gone;
  /* guarded by lock, a leaf */
  uv_mutex_t lock;
  rt_value *fault; /* the first refused asset */
  /* worker thread; complete() hands it over with the task */
  rt__task task;
  rt__timer timer;
  rt_value *failure;
  /* on its way to the host's thread, and what match said there */
  rt__host_call call;
  bool gated, skipped, snoozed;
  double delay;
  char *why; /* [own] */
};

static void native_unref(rt__native *n) {
  if (atomic_fetch_sub(&n->refs, 1) > 1) return;
  rt_session_unref(n->session);
  rt__capability_unref(n->capability);
  rt__late_unref(n->late);
  rt__fence_unref(n->fence);
  rt_value_unref(n->asset);
  rt_value_unref(n->options);
  rt_value_unref(n->fault);
  rt_value_unref(n->failure);
  free(n->why);
  uv_mutex_destroy(&n->lock);
  free(n);
}

static void note_fault(rt__native *n, const rt_error *err) {
  uv_mutex_lock(&n->lock);
  if (!n->fault) n->fault = rt__error_map(RT_EINVAL, err->message, NULL);
  uv_mutex_unlock(&n->lock);
}

/* --- beginning, giving up ----------------------------------------------------
 */
static rt__native *native_new(rt_job *job) {
  const rt__order *order = job->order;
  bool failed;
  rt__native *n = calloc(1, sizeof(*n));
  if (!n) return NULL;
  n->fence =
      rt__fence_new(order->session, order->capability, &order->lease, &failed);
  if (failed || uv_mutex_init(&n->lock) < 0) {
    rt__fence_unref(n->fence);
    free(n);
    return NULL;
  }
  n->job = job;
  n->engine = order->engine;
  n->session = rt_session_ref(order->session);
  n->capability = rt__capability_ref(order->capability);
  n->worker = job->home->worker;
  n->late = rt__late_ref(n->worker->rt->embed->late);
  n->asset = rt_value_ref(order->asset);
  n->options = order->options ? rt_value_ref(order->options) : NULL;
  n->lease = order->lease;
  atomic_init(&n->refs, 2);
  return n;
}

static void give_up(rt_job *job, rt__end_kind kind, rt_value *error) {
  rt__native *n = job->native;
  atomic_store(&n->asked, true);
  atomic_store(&n->gone, true);
  rt__timer_stop(job->home->worker, &n->timer);
  rt__job_report(job, kind, error, NULL);
}

static void on_timeout(rt__worker *worker, rt__timer *timer) {
  rt__native *n = (rt__native *)((char *)timer - offsetof(rt__native, timer));
  (void)worker;
  give_up(n->job, RT__END_FAILED,
          rt__error_map(RT_ETIMEOUT, "timed out", NULL));
}

void rt__native_cancel(rt_job *job, bool kill) {
  atomic_store(&job->native->asked, true);
  if (kill) give_up(job, RT__END_INTERRUPTED, NULL);
}

void rt__native_disown(rt_job *job) {
  if (!job->native) return;
  atomic_store(&job->native->asked, true);
  atomic_store(&job->native->gone, true);
}

static bool passes(rt_job *job) {
  const rt__order *order = job->order;
  const rt_capability *capability = order->capability;
  char why[256] = "";
  if (order->gated || !capability->match) return true;
  if (capability->match(order->asset, why, sizeof(why), capability->arg))
    return true;
  rt__job_report(job, RT__END_SKIPPED, NULL, strdup(why));
  return false;
}

/* The host's thread asks match and invokes. One that was given up before is
 * complete: its code never knew of it. */
static void run_on_host(rt__host_call *call) {
  rt__native *n = (rt__native *)((char *)call - offsetof(rt__native, call));
  const rt_capability *capability = n->capability;
  char why[256] = "";
  if (!atomic_load(&n->gone) && !n->gated && capability->match)
    n->skipped =
        !capability->match(n->asset, why, sizeof(why), capability->arg);
  if (n->skipped) n->why = strdup(why);
  if (n->skipped || atomic_load(&n->gone))
    rt_job_complete(n->job, NULL);
  else
    capability->invoke(n->job, capability->arg);
}

static void invoke(rt__native *n, rt__host *host) {
  rt_capability *capability = n->capability;
  if (!host) {
    capability->invoke(n->job, capability->arg);
    return;
  }
  n->call.run = run_on_host;
  n->call.size = sizeof(*n) + rt_value_size(n->asset);
  if (!rt__host_post(host, &n->call)) rt_job_complete(n->job, NULL);
}

void rt__native_begin(rt_job *job) {
  rt__host *host = job->home->worker->rt->embed->host;
  if (!host && !passes(job)) return;
  rt__native *n = job->native = native_new(job);
  if (!n) {
    rt_value *error = rt__error_map(RT_ENOMEM, "no memory for a job", NULL);
    rt__job_report(job, RT__END_FAILED, error, NULL);
    return;
  }
  rt__job_ref(job); /* until it is complete */
  n->timer.fire = on_timeout;
  if (job->order->timeout > 0)
    rt__timer_start(job->home->worker, &n->timer, job->order->timeout);
  job->phase = RT__PHASE_INVOKE;
  n->gated = job->order->gated;
  invoke(n, host);
}

/* --- the public calls, any thread ----------------------------------------- */
const rt_value *rt_job_asset(const rt_job *job) {
  return job->native->asset;
}

const rt_value *rt_job_options(const rt_job *job) {
  return job->native->options;
}

uint32_t rt_job_attempt(const rt_job *job) {
  return job->native->lease.attempt;
}

uint64_t rt_job_id(const rt_job *job) {
  return job->native->lease.job;
}

const char *rt_job_session(const rt_job *job) {
  return rt_session_name(job->native->session);
}

bool rt_job_canceled(const rt_job *job) {
  return atomic_load(&job->native->asked);
}

static rt_err read_target(rt_target *to, rt__addr *addr,
                          const rt_target *target, rt_error *err) {
  memcpy(to, target, target->size < sizeof(*to) ? target->size : sizeof(*to));
  if (!to->host && !to->address)
    return rt_fail(err, RT_EINVAL, "target: expected a host or an address");
  if (to->port > 65535)
    return rt_fail(err, RT_EINVAL, "target.port: %u is no port", to->port);
  if (to->address && !rt__addr_parse(addr, to->address, to->port))
    return rt_fail(err, RT_EINVAL, "target.address: '%.100s' is no address",
                   to->address);
  return RT_OK;
}

rt_err rt_job_allows(rt_job *job, const rt_target *target, rt_error *err) {
  rt__native *n = job->native;
  rt_target to = RT_TARGET_INIT;
  rt_error words = RT_ERROR_INIT;
  rt__addr addr;
  if (!n->capability->active)
    return rt_fail(err, RT_EINVAL, "capability '%s' is not declared active",
                   n->capability->name);
  if (atomic_load(&n->gone))
    return rt_fail(err, RT_ECANCELED, "the job has been ended");
  rt_err rc = read_target(&to, &addr, target, err);
  if (rc != RT_OK) return rc;
  if (rt__fence_allows(n->fence, "reach", to.host, to.url,
                       to.address ? &addr : NULL, to.port, &words))
    return RT_OK;
  return rt_fail(err, words.code, "%s", words.message);
}

static void on_sent(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  rt__native *n = arg;
  rt_value_unref(result);
  if (code == RT_ECANCELED) atomic_store(&n->gone, true);
  if (code == RT_EINVAL && err) note_fault(n, err);
  atomic_fetch_sub(&n->open, 1);
  native_unref(n);
}

static rt_err check_asset(const rt_capability *capability,
                          const rt_value *asset, rt_error *err) {
  size_t size = 0;
  rt_view view = rt_value_view(asset);
  const char *class_ = rt_view_string(rt_view_get(view, "class"), &size);
  if (!class_ || size == 0)
    return rt_fail(err, RT_EINVAL, "asset.class: expected a class name");
  if (!rt__capability_sends(capability, class_, size))
    return rt_fail(err, RT_EINVAL,
                   "class '%.*s' is not among the outputs that '%s' declares",
                   (int)size, class_, capability->name);
  if (!rt_view_string(rt_view_get(view, "value"), &size) || size == 0)
    return rt_fail(err, RT_EINVAL, "asset.value: expected a string");
  return RT_OK;
}

rt_err rt_job_send(rt_job *job, const rt_value *asset, rt_error *err) {
  rt__native *n = job->native;
  rt_error words = RT_ERROR_INIT;
  if (atomic_load(&n->gone))
    return rt_fail(err, RT_ECANCELED, "the job has been ended");
  if (check_asset(n->capability, asset, &words) != RT_OK) {
    note_fault(n, &words);
    return rt_fail(err, RT_EINVAL, "%s", words.message);
  }
  if (atomic_fetch_add(&n->open, 1) >= OPEN_SENDS_MAX) {
    atomic_fetch_sub(&n->open, 1);
    return rt_fail(err, RT_EFULL, "the engine has no room now");
  }
  if (!rt__late_enter(n->late)) {
    atomic_fetch_sub(&n->open, 1);
    return rt_fail(err, RT_ECANCELED, "the runtime is gone");
  }
  atomic_fetch_add(&n->refs, 1);
  rt__engine_send(n->engine, n->session, n->lease, asset, on_sent, n);
  rt__late_leave(n->late);
  return RT_OK;
}

void rt_job_progress(rt_job *job, double fraction, const char *text) {
  rt__native *n = job->native;
  if (atomic_load(&n->gone) || !rt__late_enter(n->late)) return;
  if (!rt__engine_full(n->engine)) /* else the next one tells */
    rt__engine_progress(n->engine, n->session, n->lease,
                        fraction > 0 ? fmin(fraction, 1) : 0, text);
  rt__late_leave(n->late);
}

/* --- completion ----------------------------------------------------------- */
void rt__native_run_complete(rt__worker *worker, rt__task *task) {
  rt__native *n = (rt__native *)((char *)task - offsetof(rt__native, task));
  rt_job *job = n->job;
  rt_value *error = n->failure;
  n->failure = NULL;
  rt__timer_stop(worker, &n->timer);
  uv_mutex_lock(&n->lock);
  if (!error && n->fault) error = rt_value_ref(n->fault);
  uv_mutex_unlock(&n->lock);
  rt__end_kind kind = n->skipped   ? RT__END_SKIPPED
                      : error      ? RT__END_FAILED
                      : n->snoozed ? RT__END_SNOOZED
                                   : RT__END_COMPLETED;
  job->delay = n->delay;
  rt__job_report(job, kind, error, n->why);
  n->why = NULL;
  rt__job_unref(job);
  native_unref(n); /* the worker's */
}

/* There is no engine any more that would hear of it. */
static void release_late(rt__worker *none, rt__task *task) {
  rt__native *n = (rt__native *)((char *)task - offsetof(rt__native, task));
  rt_job *job = n->job;
  (void)none;
  if (job->order) rt__order_free(job->order);
  rt__job_unref(job);
  native_unref(n); /* the worker's */
}

static rt_value *failure_map(const rt_error *failure) {
  rt_builder *b = rt_builder_new();
  rt_value *map = NULL;
  if (!b) return NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, failure->message);
  rt_builder_key(b, "kind");
  rt_builder_string(
      b, rt_status_kind(failure->code ? failure->code : RT_EUNKNOWN));
  rt_builder_key(b, "retryable");
  rt_builder_bool(b, failure->retryable);
  rt_builder_end(b);
  rt_builder_finish(b, &map, NULL);
  rt_builder_free(b);
  return map;
}

static void hand_over(rt__native *n) {
  n->task.run = rt__native_run_complete;
  /* takes the worker's reference */
  rt__late_post(n->late, n->worker, &n->task, release_late);
  native_unref(n); /* the code's */
}

void rt_job_complete(rt_job *job, const rt_error *failure) {
  rt__native *n = job->native;
  if (failure) n->failure = failure_map(failure);
  hand_over(n);
}

void rt_job_snooze(rt_job *job, double seconds) {
  rt__native *n = job->native;
  n->snoozed = true;
  n->delay = seconds > 0 ? fmin(seconds, DELAY_MAX) : 0;
  hand_over(n);
}
