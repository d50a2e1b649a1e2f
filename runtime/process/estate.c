/* estate.c - what a lost worker leaves, and who is told.
 *
 *   under its guard: copied -> [estate] -> names dropped, feeds closed, jobs
 *   given back, monitors and links told, what waits for it in C answered
 *
 * Nothing here enters a Lua state, nor frees what is the worker's.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bridge.h"
#include "process/job.h"
#include "process/prompt.h"
#include "process/spawn.h"

typedef struct dead {
  rt_pid pid;
  rt__ended_fn on_exit;
  void *exit_arg;
  rt_exit_fn public_exit;
  void *public_arg;
  size_t peers, watchers, links; /* where in estate->peers; how many */
  bool is_main, culprit;
} dead;

struct rt__estate {
  rt_runtime *rt;
  dead *all;
  size_t count, room;
  rt_pid *peers;
  size_t peer_count, peer_room;
  rt__bequest *jobs;
  rt_value *guilt, *fate; /* [own] errors: of the stuck one, of the others */
  bool short_of_memory;
  char words[400];
};

rt_value *rt__lost_map(const char *message) {
  rt_builder *b = rt_builder_new();
  rt_value *map = NULL;
  if (!b) return NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, message);
  rt_builder_key(b, "kind");
  rt_builder_string(b, rt_status_kind(RT_EUNAVAIL));
  rt_builder_key(b, "retryable");
  rt_builder_bool(b, true);
  rt_builder_end(b);
  if (rt_builder_finish(b, &map, NULL) != RT_OK) map = NULL;
  rt_builder_free(b);
  return map;
}

/* --- under the guard ------------------------------------------------------ */

static void *grow(rt__estate *e, void *at, size_t *room, size_t size) {
  size_t more = *room ? *room * 2 : 64;
  void *made = realloc(at, more * size);
  if (!made) {
    e->short_of_memory = true;
    return at;
  }
  *room = more;
  return made;
}

static size_t add_peers(rt__estate *e, const rt__peer *peer) {
  size_t count = 0;
  for (; peer; peer = peer->next) {
    if (e->peer_count == e->peer_room)
      e->peers = grow(e, e->peers, &e->peer_room, sizeof(*e->peers));
    if (e->peer_count == e->peer_room) break;
    e->peers[e->peer_count++] = peer->pid;
    count++;
  }
  return count;
}

static void add_dead(rt__estate *e, const rt__process *process, bool culprit) {
  if (e->count == e->room) e->all = grow(e, e->all, &e->room, sizeof(*e->all));
  if (e->count == e->room) return;
  dead *d = &e->all[e->count++];
  *d = (dead){.pid = process->pid,
              .on_exit = process->rare->on_exit,
              .exit_arg = process->rare->exit_arg,
              .public_exit = process->rare->public_exit,
              .public_arg = process->rare->public_arg,
              .peers = e->peer_count,
              .is_main = e->rt->main_running && process->pid == e->rt->main,
              .culprit = culprit};
  d->watchers = add_peers(e, process->rare->watchers);
  d->links = add_peers(e, process->rare->links);
  /* It may be closed as soon as there is another worker. */
  if (d->on_exit) rt__prompt_lost(d->on_exit, d->exit_arg, e->words);
}

static void add_peer(rt__estate *e, size_t *count, rt_pid pid) {
  const rt__peer peer = {NULL, pid};
  *count += add_peers(e, &peer);
}

/* Who asked to be told of one that was not made yet. */
static size_t add_askers(rt__estate *e, const rt__package *package,
                         const rt__recipe *recipe, rt__package_kind kind) {
  size_t count = 0;
  bool spawner = kind == RT__MONITOR ? recipe->monitored : recipe->linked;
  const rt__package *mail = recipe->mail;
  if (spawner) add_peer(e, &count, package->from);
  if (!mail) return count;
  do {
    mail = (const rt__package *)mail->task.next;
    if (mail->kind == kind) add_peer(e, &count, mail->from);
  } while (mail != recipe->mail);
  return count;
}

static void add_unborn(rt__estate *e, const rt__package *package) {
  const rt__recipe *recipe = (const rt__recipe *)(package + 1);
  if (!recipe->code) return; /* it was made before its turn */
  if (e->count == e->room) e->all = grow(e, e->all, &e->room, sizeof(*e->all));
  if (e->count == e->room) return;
  dead *d = &e->all[e->count++];
  *d = (dead){.pid = package->to,
              .public_exit = recipe->on_exit,
              .public_arg = recipe->on_exit_arg,
              .peers = e->peer_count};
  d->watchers = add_askers(e, package, recipe, RT__MONITOR);
  d->links = add_askers(e, package, recipe, RT__LINK);
}

void rt__estate_take_legacies(rt__worker *worker) {
  while (worker->stuck.legacies) {
    rt__legacy *legacy = worker->stuck.legacies;
    worker->stuck.legacies = legacy->next;
    legacy->listed = false;
    legacy->lost(legacy);
  }
}

/* The words of both errors. */
static void find_words(rt__estate *e, const rt__vm *vm,
                       const rt__process *culprit) {
  char pid[RT_PID_TEXT] = "?", where[220], text[sizeof(e->words) + 40];
  if (culprit) rt_pid_text(culprit->pid, pid);
  bool known = rt__glimpse(vm, where, sizeof(where));
  snprintf(e->words, sizeof(e->words),
           "process %s is stuck in C code that nothing can interrupt%s%s", pid,
           known ? ", called " : "", known ? where : "");
  e->guilt = rt__lost_map(e->words);
  snprintf(text, sizeof(text), "its worker was lost: %s", e->words);
  e->fate = rt__lost_map(text);
}

rt__estate *rt__estate_take(rt__worker *worker) {
  rt__estate *e = calloc(1, sizeof(*e));
  if (!e) return NULL;
  rt__vm *inside = atomic_load(&worker->inside), *vm;
  const rt__process *culprit = inside ? inside->running : NULL;
  e->rt = worker->rt;
  worker->stuck.culprit = culprit ? culprit->pid : 0;
  worker->stuck.since = culprit ? culprit->born : 0;
  find_words(e, inside, culprit);
  for (unsigned i = 0; (vm = rt__worker_vm(worker, i)) != NULL; i++)
    for (const rt__process *p = vm->oldest; p; p = p->next)
      add_dead(e, p, p == culprit);
  const rt__package *package = worker->unborn.first;
  for (; package; package = (const rt__package *)package->task.next)
    add_unborn(e, package);
  e->jobs = rt__jobs_bequeath(worker, culprit, e->guilt);
  return e;
}

const char *rt__estate_words(const rt__estate *estate) {
  return estate->words;
}

/* --- telling -------------------------------------------------------------- */

static bool is_alive(void *arg, rt_pid pid) {
  return rt__pid_alive(arg, pid);
}

static void tell(rt__estate *e, rt__package_kind kind, const char *name,
                 const dead *d, const rt_pid *peers, size_t count,
                 const rt_value *error) {
  if (count == 0) return;
  rt_value *event = rt__exit_event(name, d->pid, NULL, error);
  for (size_t i = 0; i < count; i++) {
    rt__package *package =
        rt__package_new(kind, d->pid, peers[i], "@event", event);
    if (!package) break;
    package->abnormal = true;
    rt__route(e->rt, NULL, package);
  }
  rt_value_unref(event);
}

static void tell_one(rt__estate *e, const dead *d) {
  rt_value *error = d->culprit ? e->guilt : e->fate;
  const rt_pid *peers = e->peers + d->peers;
  tell(e, RT__EXIT, "EXIT", d, peers, d->watchers, error);
  tell(e, RT__LINK_DOWN, "LINK_DOWN", d, peers + d->watchers, d->links, error);
  if (d->on_exit) rt__load_lost(d->on_exit, d->exit_arg, e->words);
  if (d->public_exit)
    d->public_exit(d->pid, NULL, rt_value_ref(error), d->public_arg);
  if (d->is_main) rt__runtime_main_ended(e->rt, RT_EUNAVAIL, error, NULL);
}

void rt__estate_settle(rt__estate *e) {
  rt_runtime *rt = e->rt;
  for (size_t i = 0; i < e->count; i++)
    rt__names_drop(&rt->names, e->all[i].pid);
  rt__bridge_bury(rt->bridge, is_alive, rt);
  rt_runtime_log(rt, RT_LOG_ERROR, NULL,
                 "%s: its worker is replaced, %zu processes end with it",
                 e->words, e->count > 0 ? e->count - 1 : 0);
  if (e->short_of_memory)
    rt_runtime_log(rt, RT_LOG_ERROR, NULL,
                   "no memory to tell all who watch these processes");
  rt__bequest_settle(rt->jobs, e->jobs);
  for (size_t i = 0; i < e->count; i++) tell_one(e, &e->all[i]);
  rt__runtime_process_ended(rt);
  rt_value_unref(e->guilt);
  rt_value_unref(e->fate);
  free(e->all);
  free(e->peers);
  free(e);
}
