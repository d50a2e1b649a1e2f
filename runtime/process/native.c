/* native.c - processes whose code is the host's (rt_process_start).
 *
 *   package --route--> with a callback:  its worker's inbox, or the host's
 * queue without:          its own queue, rt_process_receive()
 *
 * They are in a table by PID, by reference: mail on its way finds its process
 * ended and is dropped. `lock` of the table comes before that of a process;
 * nothing is called under either.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "process/embed.h"
#include "process/spawn.h"

typedef struct native {
  /* constant */
  rt_runtime *rt;
  rt_pid pid;
  rt_receive_fn receive;
  void *arg;
  void (*ended)(rt_pid self, void *arg);
  bool keeps;
  atomic_uint refs;
  atomic_uint uses;      /* its life and each callback that runs */
  atomic_size_t backlog; /* bytes of messages not received */
  /* guarded by lock */
  uv_mutex_t lock;
  uv_cond_t changed;
  rt__peer *watchers, *links;
  rt__mailbox mail;
  bool over; /* it receives no more */
} native;

/* Mail on its way through the host's queue. */
typedef struct delivery {
  rt__host_call call;
  rt_runtime *rt;
  rt__package *package; /* [own] */
} delivery;

static void native_unref(native *n) {
  if (!n || atomic_fetch_sub(&n->refs, 1) != 1) return;
  rt__peers_free(&n->watchers);
  rt__peers_free(&n->links);
  rt__mailbox_clear(&n->mail);
  uv_cond_destroy(&n->changed);
  uv_mutex_destroy(&n->lock);
  free(n);
}

/* Referenced, or NULL. */
static native *find(rt__embed *embed, rt_pid pid) {
  uv_mutex_lock(&embed->lock);
  native *n = rt__map_get(&embed->natives, &pid, sizeof(pid));
  if (n) atomic_fetch_add(&n->refs, 1);
  uv_mutex_unlock(&embed->lock);
  return n;
}

bool rt__native_alive(rt_runtime *rt, rt_pid pid) {
  uv_mutex_lock(&rt->embed->lock);
  bool alive = rt__map_get(&rt->embed->natives, &pid, sizeof(pid)) != NULL;
  uv_mutex_unlock(&rt->embed->lock);
  return alive;
}

/* --- telling others ------------------------------------------------------- */

static void notify(rt_runtime *rt, rt__package_kind kind, rt_pid from,
                   rt_pid to, bool abnormal, const rt_value *result,
                   const rt_value *error) {
  const char *word = kind == RT__EXIT ? "EXIT" : "LINK_DOWN";
  rt_value *event = rt__exit_event(word, from, result, error);
  rt__package *package = rt__package_new(kind, from, to, "@event", event);
  rt_value_unref(event);
  if (!package) return;
  package->abnormal = abnormal;
  rt__route(rt, NULL, package);
}

static void announce(native *n, const rt_value *result, const rt_value *error) {
  uv_mutex_lock(&n->lock);
  rt__peer *watchers = n->watchers, *links = n->links;
  n->watchers = n->links = NULL;
  uv_mutex_unlock(&n->lock);
  for (const rt__peer *p = watchers; p; p = p->next)
    notify(n->rt, RT__EXIT, n->pid, p->pid, error != NULL, result, error);
  for (const rt__peer *p = links; p; p = p->next)
    notify(n->rt, RT__LINK_DOWN, n->pid, p->pid, error != NULL, NULL, error);
  rt__peers_free(&watchers);
  rt__peers_free(&links);
}

/* It asked for one that is no more. */
static void answer_dead(rt_runtime *rt, rt__package_kind kind, rt_pid dead,
                        rt_pid to) {
  rt_value *error = rt__error_map(RT_ENOTFOUND, "no such process", NULL);
  notify(rt, kind == RT__LINK ? RT__LINK_DOWN : RT__EXIT, dead, to, true, NULL,
         error);
  rt_value_unref(error);
}

/* --- peers ---------------------------------------------------------------- */

/* Monitors and links. False: it is mail. */
static bool take_control(native *n, const rt__package *package) {
  bool control = true;
  uv_mutex_lock(&n->lock);
  bool over = n->over;
  switch (over ? RT__MESSAGE : package->kind) {
  case RT__MONITOR:
    rt__peers_add(&n->watchers, package->from);
    break;
  case RT__UNMONITOR:
    rt__peers_remove(&n->watchers, package->from);
    break;
  case RT__LINK:
    rt__peers_add(&n->links, package->from);
    break;
  case RT__UNLINK:
    rt__peers_remove(&n->links, package->from);
    break;
  case RT__LINK_DOWN:
    rt__peers_remove(&n->links, package->from);
    control = false;
    break;
  default:
    control = false;
  }
  uv_mutex_unlock(&n->lock);
  if (over && (package->kind == RT__MONITOR || package->kind == RT__LINK))
    answer_dead(n->rt, package->kind, n->pid, package->from);
  return control || over;
}

/* --- mail ----------------------------------------------------------------- */

/* The items of an exit event after kind and PID, or of a cancel the reason. */
static rt_value *rest_of(rt_view event, uint32_t from, uint32_t to) {
  rt_value *made = NULL;
  rt_builder *builder = rt_builder_new();
  if (!builder) return NULL;
  rt_builder_begin_array(builder);
  for (uint32_t i = from; i < to; i++)
    rt_builder_view(builder, rt_view_at(event, i));
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &made, NULL) != RT_OK) made = NULL;
  rt_builder_free(builder);
  return made;
}

/* `*made` [own] is what was made for it. */
static rt_mail mail_of(const rt__package *package, rt_value **made) {
  rt_mail mail = {RT_MAIL_MESSAGE, package->from, package->topic, NULL};
  rt_view payloads = rt__package_view(package);
  *made = NULL;
  switch (package->kind) {
  case RT__EXIT:
    mail.kind = RT_MAIL_EXIT;
    *made = rest_of(payloads, 2, 4);
    break;
  case RT__LINK_DOWN:
    mail.kind = RT_MAIL_LINK_DOWN;
    *made = rest_of(payloads, 2, 4);
    break;
  case RT__CANCEL:
    mail.kind = RT_MAIL_CANCEL;
    *made = rest_of(payloads, 2, 3);
    break;
  default:
    if (package->payloads)
      *made = rt_value_ref(package->payloads);
    else if (payloads.at && rt_view_copy(made, payloads, NULL) != RT_OK)
      *made = NULL;
  }
  if (mail.kind != RT_MAIL_MESSAGE) mail.topic = "";
  mail.payloads = *made;
  return mail;
}

static bool use(native *n) {
  uv_mutex_lock(&n->lock);
  bool alive = !n->over;
  if (alive) atomic_fetch_add(&n->uses, 1);
  uv_mutex_unlock(&n->lock);
  return alive;
}

/* Whoever is last says so: neither waits for the other. */
static void leave(native *n) {
  if (atomic_fetch_sub(&n->uses, 1) == 1 && n->ended) n->ended(n->pid, n->arg);
}

static void receive(rt_runtime *rt, rt__package *package) {
  native *n = find(rt->embed, package->to);
  rt_value *made = NULL;
  if (n) atomic_fetch_sub(&n->backlog, rt__package_size(package));
  if (!n && (package->kind == RT__MONITOR || package->kind == RT__LINK))
    answer_dead(rt, package->kind, package->to, package->from);
  if (n && use(n)) {
    rt_mail mail = mail_of(package, &made);
    n->receive(rt, n->pid, &mail, n->arg);
    leave(n);
  }
  rt_value_unref(made);
  rt__package_free(package);
  native_unref(n);
}

static void run_here(rt__worker *worker, rt__task *task) {
  receive(worker->rt, (rt__package *)task);
}

static void run_on_host(rt__host_call *call) {
  delivery *d = (delivery *)call;
  rt_runtime *rt = d->rt;
  rt__host *host = rt__host_ref(rt->embed->host);
  receive(rt, d->package);
  free(d);
  if (!rt__host_closed(host)) rt__runtime_release(rt); /* it may free it */
  rt__host_unref(host);
}

static rt_err pass_to_host(native *n, rt__package *package) {
  delivery *d = malloc(sizeof(*d));
  rt_err rc = RT_ENOMEM;
  if (d) {
    d->rt = n->rt;
    d->package = package;
    d->call.run = run_on_host;
    d->call.size = sizeof(*d) + rt__package_size(package);
    rt__runtime_hold(n->rt); /* it may send something in there */
    if (rt__host_post(n->rt->embed->host, &d->call)) return RT_OK;
    rt__runtime_release(n->rt);
    free(d);
    rc = RT_ENOTFOUND;
  }
  atomic_fetch_sub(&n->backlog, rt__package_size(package));
  rt__package_free(package);
  return rc;
}

static void keep(native *n, rt__package *package) {
  uv_mutex_lock(&n->lock);
  bool over = n->over;
  if (!over) rt__mailbox_put(&n->mail, package);
  uv_cond_signal(&n->changed);
  uv_mutex_unlock(&n->lock);
  if (over) rt__package_free(package);
}

static rt_err pass(native *n, rt__package *package) {
  atomic_fetch_add(&n->backlog, rt__package_size(package));
  if (!n->receive) {
    keep(n, package);
    return RT_OK;
  }
  if (n->rt->embed->host) return pass_to_host(n, package);
  package->task.run = run_here;
  unsigned worker = rt__pid_slot(n->pid) % n->rt->worker_count;
  rt__worker_post(rt__runtime_worker(n->rt, worker), &package->task);
  return RT_OK;
}

rt_err rt__native_route(rt_runtime *rt, rt__package *package) {
  native *n = find(rt->embed, package->to);
  rt_err rc = RT_OK;
  if (!n) {
    rc = RT_ENOTFOUND;
  } else if (package->kind == RT__MESSAGE &&
             atomic_load(&n->backlog) > RT__BACKLOG_MAX) {
    rc = RT_EFULL;
  } else if (!take_control(n, package)) {
    rc = pass(n, package);
    package = NULL;
  }
  if (package) rt__package_free(package);
  native_unref(n);
  return rc;
}

/* --- start ---------------------------------------------------------------- */

static native *native_new(rt_runtime *rt, const rt_process_opts *o) {
  native *n = calloc(1, sizeof(*n));
  if (!n) return NULL;
  if (uv_mutex_init(&n->lock) != 0) goto free_native;
  if (uv_cond_init(&n->changed) != 0) goto destroy_lock;
  n->rt = rt;
  n->receive = o->receive;
  n->arg = o->arg;
  n->ended = o->ended;
  n->keeps = o->keeps;
  atomic_init(&n->refs, 1);
  atomic_init(&n->uses, 1);
  return n;

destroy_lock:
  uv_mutex_destroy(&n->lock);
free_native:
  free(n);
  return NULL;
}

/* Slots in turn, each time round with another generation. */
static rt_pid next_pid_locked(rt__embed *embed) {
  uint64_t serial = embed->serial++;
  return (rt_pid)RT__NATIVE_WORKER << 56 | (serial & 0xfffff) << 32 |
         (uint32_t)(1 + (serial >> 20));
}

static rt_err list_native(rt__embed *embed, native *n) {
  rt_err rc = RT_ECLOSED;
  uv_mutex_lock(&embed->lock);
  if (!embed->closed) {
    n->pid = next_pid_locked(embed);
    rc = rt__map_set(&embed->natives, &n->pid, sizeof(n->pid), n, NULL);
  }
  uv_mutex_unlock(&embed->lock);
  return rc;
}

static native *unlist(rt__embed *embed, rt_pid pid) {
  uv_mutex_lock(&embed->lock);
  native *n = rt__map_remove(&embed->natives, &pid, sizeof(pid));
  uv_mutex_unlock(&embed->lock);
  return n;
}

rt_err rt_process_start(rt_runtime *rt, rt_pid *out,
                        const rt_process_opts *opts, rt_error *err) {
  rt_process_opts o = RT_PROCESS_OPTS_INIT;
  *out = 0;
  if (opts) memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  native *n = native_new(rt, &o);
  if (!n) return rt_fail(err, RT_ENOMEM, "no memory for a process");
  rt_err rc = list_native(rt->embed, n);
  if (rc != RT_OK) {
    native_unref(n);
    return rt_fail(err, rc, "%s",
                   rc == RT_ECLOSED ? "the runtime is stopping"
                                    : "no memory for a process");
  }
  if (o.name) rc = rt_process_register(rt, n->pid, o.name, err);
  if (rc != RT_OK) {
    native_unref(unlist(rt->embed, n->pid));
    rt_fail_context(err, "name '%s'", o.name);
    return rc;
  }
  if (o.keeps) rt__runtime_hold(rt);
  *out = n->pid;
  return RT_OK;
}

/* --- end ------------------------------------------------------------------ */

static void silence(native *n) {
  uv_mutex_lock(&n->lock);
  n->over = true;
  uv_cond_broadcast(&n->changed);
  uv_mutex_unlock(&n->lock);
}

/* Of one that is in the table no more, whose reference goes. */
static void finish(native *n, const rt_value *result, const rt_value *error) {
  silence(n);
  rt__names_drop(&n->rt->names, n->pid);
  announce(n, result, error);
  leave(n);
  if (n->keeps) rt__runtime_release(n->rt);
  native_unref(n);
}

static rt_err end_native(rt_runtime *rt, rt_pid pid, const rt_value *result,
                         rt_err code, const char *why) {
  native *n = unlist(rt->embed, pid);
  rt_value *error = NULL;
  if (!n) return RT_ENOTFOUND;
  if (code != RT_OK) error = rt__error_map(code, why, NULL);
  finish(n, result, error);
  rt_value_unref(error);
  return RT_OK;
}

rt_err rt_process_end(rt_runtime *rt, rt_pid pid, const rt_value *result,
                      const rt_error *failure) {
  if (!failure) return end_native(rt, pid, result, RT_OK, NULL);
  rt_err code = failure->code == RT_OK ? RT_EUNKNOWN : failure->code;
  return end_native(rt, pid, NULL, code, failure->message);
}

rt_err rt__native_terminate(rt_runtime *rt, rt_pid pid) {
  return end_native(rt, pid, NULL, RT_ECANCELED, "terminated");
}

void rt__natives_stop(rt__embed *embed) {
  size_t at = 0;
  native *n;
  uv_mutex_lock(&embed->lock);
  embed->closed = true;
  while ((n = rt__map_next(&embed->natives, &at, NULL, NULL)) != NULL)
    if (!n->receive) silence(n);
  uv_mutex_unlock(&embed->lock);
}

/* Out of the table, in passes, as it changes on the way. */
static native *take_any(rt__embed *embed, size_t *at) {
  uv_mutex_lock(&embed->lock);
  native *n = rt__map_next(&embed->natives, at, NULL, NULL);
  if (!n && *at > 0) {
    *at = 0;
    n = rt__map_next(&embed->natives, at, NULL, NULL);
  }
  if (n) rt__map_remove(&embed->natives, &n->pid, sizeof(n->pid));
  uv_mutex_unlock(&embed->lock);
  return n;
}

void rt__natives_end(rt__embed *embed) {
  size_t at = 0;
  native *n;
  while ((n = take_any(embed, &at)) != NULL) {
    silence(n);
    leave(n);
    native_unref(n);
  }
}

void rt__natives_free(rt__embed *embed) {
  rt__natives_end(embed);
  rt__map_deinit(&embed->natives);
}

/* --- receiving by waiting ------------------------------------------------- */

typedef struct own_mail {
  rt_mail mail; /* first */
  rt__package *package;
  rt_value *made;
} own_mail;

static rt_err wait_locked(native *n, double timeout) {
  uint64_t start = uv_hrtime();
  uint64_t limit = rt__span_ns(timeout);
  while (!n->mail.first && !n->over) {
    uint64_t gone = uv_hrtime() - start;
    if (timeout < 0)
      uv_cond_wait(&n->changed, &n->lock);
    else if (gone >= limit)
      return RT_ETIMEOUT;
    else
      uv_cond_timedwait(&n->changed, &n->lock, limit - gone);
  }
  return n->over ? RT_ECLOSED : RT_OK;
}

static rt_err take(native *n, double timeout, rt_mail **out, rt_error *err) {
  own_mail *own = calloc(1, sizeof(*own));
  if (!own) return rt_fail(err, RT_ENOMEM, "no memory");
  uv_mutex_lock(&n->lock);
  rt_err rc = wait_locked(n, timeout);
  if (rc == RT_OK) own->package = rt__mailbox_take(&n->mail);
  uv_mutex_unlock(&n->lock);
  if (rc != RT_OK) {
    free(own);
    return rt_fail(err, rc, "%s",
                   rc == RT_ECLOSED ? "the process has ended" : "timed out");
  }
  atomic_fetch_sub(&n->backlog, rt__package_size(own->package));
  own->mail = mail_of(own->package, &own->made);
  *out = &own->mail;
  return RT_OK;
}

rt_err rt_process_receive(rt_runtime *rt, rt_pid pid, double timeout,
                          rt_mail **out, rt_error *err) {
  native *n = find(rt->embed, pid);
  *out = NULL;
  if (!n && rt__pid_is_native(pid))
    return rt_fail(err, RT_ECLOSED, "the process has ended");
  if (!n || n->receive) {
    native_unref(n);
    return rt_fail(err, RT_EINVAL, "not a process in C that waits for mail");
  }
  rt_err rc = take(n, timeout, out, err);
  native_unref(n);
  return rc;
}

void rt_mail_free(rt_mail *mail) {
  own_mail *own = (own_mail *)mail;
  if (!own) return;
  rt_value_unref(own->made);
  rt__package_free(own->package);
  free(own);
}

/* --- monitoring others ---------------------------------------------------- */

static rt_err ask(rt_runtime *rt, rt__package_kind kind, rt_pid watcher,
                  rt_pid pid) {
  if (!rt__native_alive(rt, watcher)) return RT_ENOTFOUND;
  rt__package *package = rt__package_new(kind, watcher, pid, NULL, NULL);
  if (!package) return RT_ENOMEM;
  if (rt__route(rt, NULL, package) == RT_ENOTFOUND && kind == RT__MONITOR)
    answer_dead(rt, kind, pid, watcher);
  return RT_OK;
}

rt_err rt_process_monitor(rt_runtime *rt, rt_pid watcher, rt_pid pid) {
  return ask(rt, RT__MONITOR, watcher, pid);
}

rt_err rt_process_unmonitor(rt_runtime *rt, rt_pid watcher, rt_pid pid) {
  return ask(rt, RT__UNMONITOR, watcher, pid);
}
