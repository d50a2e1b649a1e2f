/* kills.c - processes that are to be ended, wherever they are just then.
 *
 * The task ends it once its worker is back in its loop; the note lets the hook
 * end it in the middle of a loop that does not yield.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "process/spawn.h"

typedef struct kill_task {
  rt__task task;
  rt_pid pid;
} kill_task;

static void forget_kill(rt__worker *worker, rt_pid pid) {
  uv_mutex_lock(&worker->lock);
  for (size_t i = 0; i < worker->kill_count; i++)
    if (worker->kills[i] == pid) {
      worker->kills[i] = worker->kills[--worker->kill_count];
      atomic_fetch_sub(&worker->kills_waiting, 1);
      break;
    }
  uv_mutex_unlock(&worker->lock);
}

static void run_kill(rt__worker *worker, rt__task *task) {
  rt_pid pid = ((kill_task *)task)->pid;
  free(task);
  forget_kill(worker, pid);
  rt__process *process = rt__process_find(worker, pid);
  if (!process) process = rt__spawn_now(worker, pid);
  if (process) rt__process_kill(process, RT_ECANCELED, NULL);
}

static bool note_kill_locked(rt__worker *worker, rt_pid pid) {
  if (worker->kill_count == worker->kill_room) {
    size_t room = worker->kill_room ? worker->kill_room * 2 : 16;
    rt_pid *kills = realloc(worker->kills, room * sizeof(*kills));
    if (!kills) return false;
    worker->kills = kills;
    worker->kill_room = room;
  }
  worker->kills[worker->kill_count++] = pid;
  atomic_fetch_add(&worker->kills_waiting, 1);
  return true;
}

void rt__worker_kill(rt__worker *worker, rt_pid pid) {
  kill_task *kill = malloc(sizeof(*kill));
  if (!kill) return;
  kill->task.run = run_kill;
  kill->pid = pid;
  uv_mutex_lock(&worker->lock);
  note_kill_locked(worker, pid);
  uv_mutex_unlock(&worker->lock);
  rt__worker_post(worker, &kill->task);
}

bool rt__worker_wants_killed(rt__worker *worker, rt_pid pid) {
  if (atomic_load(&worker->kills_waiting) == 0) return false;
  bool found = false;
  uv_mutex_lock(&worker->lock);
  for (size_t i = 0; i < worker->kill_count && !found; i++)
    found = worker->kills[i] == pid;
  uv_mutex_unlock(&worker->lock);
  return found;
}
