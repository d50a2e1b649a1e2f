/* listing.c - asks every worker for its processes.
 *
 * A task goes from worker to worker, so that it needs no lock; the last one
 * sends it home.
 *
 * SPDX-License-Identifier: MIT */
#include "process/listing.h"
#include "process/spawn.h"

#include <stdlib.h>
#include <string.h>

#include "process/held.h"
#include "process/sched.h"

typedef struct row {
  rt_pid pid;
  uint64_t born;
  size_t mailbox, memory;
  const char *state;
  char *name; /* [own] the first of its names in byte order, or NULL */
} row;

typedef struct listing {
  rt__op op;
  rt__task task;
  unsigned next; /* worker to be asked */
  uint64_t now;
  row *rows;
  size_t count, room;
} listing;

static const char *state_of(const rt__process *process) {
  if (process->vm->running == process) return "running";
  if (process->queued) return "ready";
  return "waiting";
}

static bool make_room(listing *list) {
  if (list->count < list->room) return true;
  size_t room = list->room ? list->room * 2 : 64;
  row *rows = realloc(list->rows, room * sizeof(*rows));
  if (!rows) return false;
  list->rows = rows;
  list->room = room;
  return true;
}

static bool add_row(listing *list, const rt__process *process) {
  if (!make_room(list)) return false;
  rt__vm *vm = process->vm;
  size_t bytes, held = rt__held_count(process->rare->held, &bytes);
  list->rows[list->count++] = (row){
      .pid = process->pid,
      .born = process->born,
      .mailbox = process->mail.count + held,
      .memory = vm->used / (atomic_load(&vm->population) + 1) +
                process->mail.bytes + bytes,
      .state = state_of(process),
  };
  return true;
}

static bool add_rows(listing *list, const rt__vm *vm) {
  for (rt__process *p = vm->oldest; p; p = p->next)
    if (!p->internal && !add_row(list, p)) return false;
  return true;
}

/* Those whose worker was lost, while they are stuck: with the memory of all
 * that was lost with them. */
static bool add_stuck(listing *list, rt_runtime *rt) {
  bool ok = true;
  uv_mutex_lock(&rt->lock);
  for (rt__worker *w = rt->lost; w && ok; w = w->stuck.next) {
    if (w->stuck.returned || !(ok = make_room(list))) continue;
    list->rows[list->count++] = (row){.pid = w->stuck.culprit,
                                      .born = w->stuck.since,
                                      .memory = atomic_load(&w->heap),
                                      .state = "stuck"};
  }
  uv_mutex_unlock(&rt->lock);
  return ok;
}

/* --- names -------------------------------------------------------------- */

static int by_pid(const void *a, const void *b) {
  const row *x = a, *y = b;
  return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool put_name(rt_pid pid, const char *name, size_t size, void *arg) {
  listing *list = arg;
  row key = {.pid = pid};
  row *found = bsearch(&key, list->rows, list->count, sizeof(key), by_pid);
  (void)size;
  if (!found || (found->name && strcmp(found->name, name) <= 0)) return true;
  free(found->name);
  found->name = strdup(name);
  return found->name != NULL;
}

/* With all rows there. */
static void put_names(listing *list, rt__names *names) {
  if (list->count == 0) return;
  qsort(list->rows, list->count, sizeof(*list->rows), by_pid);
  rt__names_each(names, put_name, list);
}

/* --- from worker to worker -------------------------------------------------
 */

static void visit(rt__worker *worker, rt__task *task) {
  listing *list = (listing *)((char *)task - offsetof(listing, task));
  rt_error err = RT_ERROR_INIT;
  rt__vm *vm;
  rt__spawn_all(worker);
  bool ok = list->next > 0 || add_stuck(list, worker->rt);
  for (unsigned i = 0; ok && (vm = rt__worker_vm(worker, i)) != NULL; i++)
    ok = add_rows(list, vm);
  if (!ok) {
    rt_fail(&err, RT_ENOMEM, "no memory for the list of processes");
    rt__op_fail(&list->op, &err);
  }
  if (++list->next < worker->rt->worker_count)
    rt__worker_post(rt__runtime_worker(worker->rt, list->next), task);
  else {
    put_names(list, &worker->rt->names);
    rt__op_post(&list->op);
  }
}

/* --- rows for Lua --------------------------------------------------------- */

static int older_first(const void *a, const void *b) {
  const row *x = a, *y = b;
  if (x->born != y->born) return x->born < y->born ? -1 : 1;
  return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void push_row(lua_State *L, const listing *list, const row *r) {
  char pid[RT_PID_TEXT];
  rt_pid_text(r->pid, pid);
  lua_createtable(L, 0, 6);
  lua_pushstring(L, pid);
  lua_setfield(L, -2, "pid");
  if (r->name) {
    lua_pushstring(L, r->name);
    lua_setfield(L, -2, "name");
  }
  lua_pushstring(L, r->state);
  lua_setfield(L, -2, "state");
  lua_pushnumber(L, (lua_Number)r->mailbox);
  lua_setfield(L, -2, "mailbox");
  lua_pushnumber(L, (lua_Number)r->memory);
  lua_setfield(L, -2, "memory");
  uint64_t age = list->now > r->born ? list->now - r->born : 0;
  lua_pushnumber(L, (lua_Number)age / 1e9);
  lua_setfield(L, -2, "age");
}

static int push_rows(lua_State *L, rt__op *op) {
  listing *list = (listing *)op;
  list->now = uv_hrtime();
  if (list->count > 0)
    qsort(list->rows, list->count, sizeof(*list->rows), older_first);
  lua_createtable(L, (int)list->count, 0);
  for (size_t i = 0; i < list->count; i++) {
    push_row(L, list, &list->rows[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void release_rows(rt__op *op) {
  listing *list = (listing *)op;
  for (size_t i = 0; i < list->count; i++) free(list->rows[i].name);
  free(list->rows);
}

static const rt__op_type listing_type = {"process.list", NULL, push_rows,
                                         release_rows};

int rt__listing(lua_State *L) {
  listing *list = rt__op_new(L, sizeof(*list), &listing_type);
  list->task.run = visit;
  rt__worker_post(rt__runtime_worker(rt__runtime_of(L), 0), &list->task);
  return rt__op_return(L, &list->op);
}
