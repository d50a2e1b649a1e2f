/* mail.c - the relay: packages to processes, monitors, links.
 *
 * A package for a process of the same worker is delivered at once, any other
 * goes through the inbox of its worker; as each pair always takes the same way,
 * messages of one sender stay in order.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/embed.h"
#include "process/held.h"
#include "process/sched.h"
#include "process/spawn.h"

#define NOTES_MAX 1000 /* waiting: CANCEL is left out beyond */

#define ALLOWANCE_SOME   (64u << 10) /* bytes, see count_unread() */
#define ALLOWANCE_LITTLE 1024u

bool rt__pid_alive(rt_runtime *rt, rt_pid pid) {
  if (rt__pid_is_native(pid)) return rt__native_alive(rt, pid);
  rt__vm *vm = rt__vm_of_pid(rt, pid);
  return vm && rt__pids_alive(&vm->pids, pid);
}

static void run_package(rt__worker *worker, rt__task *task) {
  rt__deliver(worker, (rt__package *)task);
}

rt_err rt__route(rt_runtime *rt, rt__worker *from, rt__package *package) {
  if (rt__pid_is_native(package->to)) return rt__native_route(rt, package);
  rt__vm *vm = rt__vm_of_pid(rt, package->to);
  if (!vm || !rt__pids_alive(&vm->pids, package->to) ||
      (from && rt__worker_lost(from))) {
    if (package->kind == RT__SPAWN)
      rt__recipe_free((rt__recipe *)(package + 1));
    else
      rt__package_free(package);
    return RT_ENOTFOUND;
  }
  if (package->kind == RT__MESSAGE && package->topic[0] != '@' &&
      !rt__pids_load(&vm->pids, package->to, rt__package_size(package))) {
    rt__package_free(package);
    return RT_EFULL;
  }
  /* One whose start is still in the inbox gets it there, behind that. */
  if (from == vm->worker &&
      (package->kind == RT__SPAWN || rt__pids_get(&vm->pids, package->to) ||
       rt__pids_plan(&vm->pids, package->to))) {
    rt__deliver(from, package);
    return RT_OK;
  }
  package->task.run = run_package;
  rt__worker_post(vm->worker, &package->task);
  return RT_OK;
}

/* --- monitors and links
 * ------------------------------------------------------- */

bool rt__process_watch(rt__process *process, rt_pid watcher) {
  rt__rare *rare = rt__process_rare(process);
  rt__guard(process->vm->worker);
  bool added = rare && rt__peers_add(&rare->watchers, watcher);
  rt__unguard(process->vm->worker);
  return added;
}
bool rt__process_link(rt__process *process, rt_pid other) {
  rt__rare *rare = rt__process_rare(process);
  rt__guard(process->vm->worker);
  bool added = rare && rt__peers_add(&rare->links, other);
  rt__unguard(process->vm->worker);
  return added;
}
static void unwatch(rt__process *process, rt_pid watcher) {
  rt__guard(process->vm->worker);
  rt__peers_remove(&process->rare->watchers, watcher);
  rt__unguard(process->vm->worker);
}
void rt__process_unlink(rt__process *process, rt_pid other) {
  rt__guard(process->vm->worker);
  rt__peers_remove(&process->rare->links, other);
  rt__unguard(process->vm->worker);
}

rt_value *rt__exit_event(const char *kind, rt_pid from, const rt_value *result,
                         const rt_value *error) {
  char pid[RT_PID_TEXT];
  rt_value *event = NULL;
  rt_builder *builder = rt_builder_new();
  if (!builder) return NULL;
  rt_pid_text(from, pid);
  rt_builder_begin_array(builder);
  rt_builder_string(builder, kind);
  rt_builder_string(builder, pid);
  rt_builder_value(builder, result);
  rt_builder_value(builder, error);
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &event, NULL) != RT_OK) event = NULL;
  rt_builder_free(builder);
  return event;
}

static void notify(rt__worker *worker, rt__package_kind kind, rt_pid from,
                   rt_pid to, bool abnormal, const rt_value *payload) {
  rt__package *package = rt__package_new(kind, from, to, "@event", payload);
  if (!package) return;
  package->abnormal = abnormal;
  rt__route(worker->rt, worker, package);
}

void rt__process_announce(rt__process *process, rt_err how, rt_value *result,
                          rt_value *error) {
  rt__worker *worker = process->vm->worker;
  if (process->rare->watchers) {
    rt_value *event = rt__exit_event("EXIT", process->pid, result, error);
    for (rt__peer *peer = process->rare->watchers; peer; peer = peer->next)
      notify(worker, RT__EXIT, process->pid, peer->pid, how != RT_OK, event);
    rt_value_unref(event);
  }
  if (process->rare->links) {
    rt_value *event = rt__exit_event("LINK_DOWN", process->pid, NULL, error);
    for (rt__peer *peer = process->rare->links; peer; peer = peer->next)
      notify(worker, RT__LINK_DOWN, process->pid, peer->pid, how != RT_OK,
             event);
    rt_value_unref(event);
  }
}

void rt__announce_gone(rt__worker *worker, rt__package_kind kind, rt_pid dead,
                       rt_pid to, const rt_value *error) {
  bool link = kind == RT__LINK;
  rt_value *event =
      rt__exit_event(link ? "LINK_DOWN" : "EXIT", dead, NULL, error);
  notify(worker, link ? RT__LINK_DOWN : RT__EXIT, dead, to, true, event);
  rt_value_unref(event);
}

/* The one to be watched is gone: answer at once. */
void rt__announce_dead(rt__worker *worker, rt__package_kind kind, rt_pid dead,
                       rt_pid to) {
  rt_value *error = rt__error_map(RT_ENOTFOUND, "no such process", NULL);
  rt__announce_gone(worker, kind, dead, to, error);
  rt_value_unref(error);
}

/* --- delivery
 * ------------------------------------------------------------------- */

/* Unread mail lies outside of Lua. A quarter of the VM's limit may do so, then
 * new mail is for those who have little of it; from a half on, for those who
 * have next to none. */
static void count_unread(rt__vm *vm, size_t bytes) {
  uint32_t most = bytes < vm->limit / 4   ? RT__BACKLOG_MAX
                  : bytes < vm->limit / 2 ? ALLOWANCE_SOME
                                          : ALLOWANCE_LITTLE;
  vm->unread = bytes;
  if (most != atomic_load_explicit(&vm->pids.allowance, memory_order_relaxed))
    atomic_store_explicit(&vm->pids.allowance, most, memory_order_relaxed);
}

void rt__mail_waits(rt__vm *vm, size_t bytes) {
  count_unread(vm, vm->unread + bytes);
}

void rt__mail_was_taken(rt__vm *vm, size_t bytes) {
  count_unread(vm, vm->unread - bytes);
}

void rt__mail_was_read(rt__process *process, size_t bytes) {
  rt__pids_unload(&process->vm->pids, process->pid, bytes);
  rt__mail_was_taken(process->vm, bytes);
}

void rt__mail_clear(rt__process *process) {
  rt__rare *rare = process->rare;
  size_t held = 0;
  if (rare->held) rt__held_count(rare->held, &held);
  if (process->mail.bytes + held > 0)
    count_unread(process->vm, process->vm->unread - process->mail.bytes - held);
  rt__mailbox_clear(&process->mail);
  if (rare->notes.first) rt__mailbox_clear(&rare->notes);
  if (rare->held) rt__held_clear(&rare->held);
}

static void put(rt__process *process, rt__package *package) {
  bool note = package->topic[0] == '@';
  rt__rare *rare = note ? rt__process_rare(process) : NULL;
  if (note && !rare) { /* no memory for what is to come of it either */
    rt__package_free(package);
    return;
  }
  if (!note) rt__mail_waits(process->vm, rt__package_size(package));
  rt__mailbox_put(note ? &rare->notes : &process->mail, package);
  if (note || process->reads_mail) rt__process_ready(process);
}

/* The fourth item of the event, the error, is why this process ends too. */
static void link_down(rt__process *process, rt__package *package) {
  rt__process_unlink(process, package->from);
  if (process->trap_links) {
    put(process, package);
    return;
  }
  if (package->abnormal) {
    rt_value *error = NULL;
    rt_view view = rt_view_at(rt__package_view(package), 3);
    if (view.at && rt_view_copy(&error, view, NULL) != RT_OK) error = NULL;
    rt__process_doom(process, RT_ECANCELED, error);
    rt_value_unref(error);
  }
  rt__package_free(package);
}

/* Asked to end; one that cannot hear it is ended, when the asker wants that.
 * One that was asked that often needs no more of it. */
static void cancel(rt__process *process, rt__package *package) {
  if (process->rare->notes.count >= NOTES_MAX) {
    rt__package_free(package);
    return;
  }
  if (!package->abnormal || process->reads_events) {
    put(process, package);
    return;
  }
  rt__package_free(package);
  rt__process_kill(process, RT_ECANCELED, NULL);
}

static void undeliverable(rt__worker *worker, rt__package *package) {
  if (package->kind == RT__MONITOR || package->kind == RT__LINK)
    rt__announce_dead(worker, package->kind, package->to, package->from);
  rt__package_free(package);
}

void rt__deliver(rt__worker *worker, rt__package *package) {
  if (package->kind == RT__SPAWN) {
    rt__spawn_arrived(worker, package);
    return;
  }
  rt__process *process = rt__process_find(worker, package->to);
  if (!process) {
    if (rt__spawn_mail(worker, package)) return;
    undeliverable(worker, package);
    return;
  }
  switch (package->kind) {
  case RT__MONITOR:
    rt__process_watch(process, package->from);
    break;
  case RT__UNMONITOR:
    unwatch(process, package->from);
    break;
  case RT__LINK:
    rt__process_link(process, package->from);
    break;
  case RT__UNLINK:
    rt__process_unlink(process, package->from);
    break;
  case RT__LINK_DOWN:
    link_down(process, package);
    return;
  case RT__CANCEL:
    cancel(process, package);
    return;
  default:
    put(process, package);
    return;
  }
  rt__package_free(package);
}

rt_err rt__process_mail(rt_runtime *rt, rt_pid to, const char *topic,
                        const rt_value *payloads) {
  rt__package *package = rt__package_new(RT__MESSAGE, 0, to, topic, payloads);
  if (!package) return RT_ENOMEM;
  return rt__route(rt, NULL, package);
}

/* --- from C
 * ---------------------------------------------------------------------- */

static rt_err send_package(rt_runtime *rt, rt_pid from, rt_pid to,
                           const char *topic, const rt_value *payloads) {
  rt__package *package =
      rt__package_new(RT__MESSAGE, from, to, topic, payloads);
  return package ? rt__route(rt, NULL, package) : RT_ENOMEM;
}

rt_err rt_process_send_as(rt_runtime *rt, rt_pid from, rt_pid to,
                          const char *topic, const rt_value *payloads,
                          rt_error *err) {
  if (!topic || !*topic || *topic == '@')
    return rt_fail(err, RT_EINVAL, "topic: empty, or begins with '@'");
  if (payloads && rt_view_type(rt_value_view(payloads)) != RT_ARRAY)
    return rt_fail(err, RT_EINVAL, "payloads: an array expected");
  if (payloads && rt_view_count(rt_value_view(payloads)) > RT__PAYLOADS_MAX)
    return rt_fail(err, RT_EINVAL, "payloads: more than %d", RT__PAYLOADS_MAX);
  switch (send_package(rt, from, to, topic, payloads)) {
  case RT_OK:
    return RT_OK;
  case RT_ENOTFOUND:
    return rt_fail(err, RT_ENOTFOUND, "no such process");
  case RT_EFULL:
    return rt_fail(err, RT_EFULL, "its mailbox is full");
  default:
    return rt_fail(err, RT_ENOMEM, "no memory for a message");
  }
}

rt_err rt_process_send(rt_runtime *rt, rt_pid to, const char *topic,
                       const rt_value *payloads, rt_error *err) {
  return rt_process_send_as(rt, 0, to, topic, payloads, err);
}

rt_err rt__process_cancel_from(rt_runtime *rt, rt__worker *from, rt_pid sender,
                               rt_pid pid, const char *reason, bool or_end) {
  rt_value *words = reason ? rt_value_string(reason, strlen(reason)) : NULL;
  rt_value *event = rt__exit_event("CANCEL", sender, words, NULL);
  rt_value_unref(words);
  rt__package *package =
      rt__package_new(RT__CANCEL, sender, pid, "@event", event);
  rt_value_unref(event);
  if (!package) return RT_ENOMEM;
  package->abnormal = or_end;
  return rt__route(rt, from, package);
}

rt_err rt_process_cancel(rt_runtime *rt, rt_pid pid, const char *reason) {
  return rt__process_cancel_from(rt, NULL, 0, pid, reason, false);
}

rt_err rt_process_terminate(rt_runtime *rt, rt_pid pid) {
  if (rt__pid_is_native(pid)) return rt__native_terminate(rt, pid);
  if (!rt__pid_alive(rt, pid)) return RT_ENOTFOUND;
  rt__worker_kill(rt__vm_of_pid(rt, pid)->worker, pid);
  return RT_OK;
}
