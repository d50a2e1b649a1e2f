/* process/stuck.h - what a worker has so that it can be given up (lost.h).
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_STUCK_H
#define RT__PROCESS_STUCK_H

#include <stdatomic.h>
#include <sys/types.h>
#include <uv.h>

#include "process/worker.h"

typedef struct rt__stuck {
  /* [atomic] */
  _Atomic(uint64_t) entry;     /* that is inside of Lua; 0: none; UINT64_MAX */
  _Atomic(uint32_t) heard;     /* calls of the hook */
  _Atomic(uint64_t) suspect;   /* the entry that does not answer; 0: none */
  _Atomic(bool) lost;          /* changed under the guard */
  _Atomic(rt__task *) returns; /* what is its own to end, once it is lost */
  _Atomic(pid_t) thread;
  /* guarded by guard, which comes before all other locks */
  uv_mutex_t guard;
  rt__legacy *legacies;
  /* guarded by the runtime's lock */
  rt__worker *next;
  bool buried;   /* all is given away: its thread may end */
  bool returned; /* its thread is back, and ends */
  bool joined;
  rt_pid culprit;
  uint64_t since; /* when the culprit was born */
  /* watchdog only */
  uint64_t seen_entry, looked, quiet, cpu;
  uint32_t seen_heard;
} rt__stuck;

#endif
