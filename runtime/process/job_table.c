/* job_table.c - the jobs of a worker by session and id, and how the engine
 * reaches them to end them. Worker's thread only, but rt__jobs_cancel().
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "process/job.h"

/* --- the table of jobs, by session and id --------------------------------- */
static rt_job **bucket(rt__job_worker *home, const rt_session *session,
                       uint64_t id) {
  uint64_t hash = (id ^ ((uintptr_t)session >> 4)) * 0x9e3779b97f4a7c15u;
  return &home->table[(hash >> 32) % RT__JOB_TABLE];
}

void rt__job_enroll(rt_job *job) {
  rt_job **head = bucket(job->home, job->order->session, job->order->lease.job);
  job->next = *head;
  job->at = head;
  if (job->next) job->next->at = &job->next;
  *head = job;
}

void rt__job_strike(rt_job *job) {
  if (!job->at) return;
  *job->at = job->next;
  if (job->next) job->next->at = job->at;
  job->at = NULL;
}

static rt_job *find(rt__job_worker *home, const rt_session *session,
                    const rt__lease *lease) {
  rt_job *job = *bucket(home, session, lease->job);
  for (; job; job = job->next) {
    const rt__order *o = job->order;
    if (o->session == session && o->lease.job == lease->job &&
        o->lease.attempt == lease->attempt && o->lease.epoch == lease->epoch &&
        o->lease.grant == lease->grant)
      return job;
  }
  return NULL;
}

/* --- cancel --------------------------------------------------------------- */
typedef struct cancel_task {
  rt__task task;
  rt_session *session; /* [own ref] */
  rt__lease lease;
  bool kill;
  char reason[200];
} cancel_task;

static void cancel_job(rt_job *job, const char *reason, bool kill) {
  job->asked = true;
  job->killed = job->killed || kill;
  if (job->native) {
    rt__native_cancel(job, kill);
  } else if (!job->process) {
    rt__job_report(job, RT__END_INTERRUPTED, NULL, NULL);
  } else if (kill) {
    rt__process_kill(job->process, RT_ECANCELED, NULL);
  } else {
    rt_process_cancel(job->home->jobs->rt, job->process->pid, reason);
  }
}

static void run_cancel(rt__worker *worker, rt__task *task) {
  cancel_task *c = (cancel_task *)task;
  rt_job *job = find(rt__jobs_home(worker), c->session, &c->lease);
  if (job) cancel_job(job, c->reason, c->kill);
  rt_session_unref(c->session);
  free(c);
}

/* Which worker has it is not written down: all are asked. */
void rt__jobs_cancel(void *self, rt_session *session, rt__lease lease,
                     const char *reason, bool kill) {
  rt__jobs *jobs = self;
  for (unsigned i = 0; i < jobs->rt->worker_count; i++) {
    cancel_task *c = calloc(1, sizeof(*c));
    if (!c) return; /* its deadline or the shutdown ends it */
    c->task.run = run_cancel;
    c->session = rt_session_ref(session);
    c->lease = lease;
    c->kill = kill;
    snprintf(c->reason, sizeof(c->reason), "%s", reason ? reason : "canceled");
    rt__worker_post(rt__runtime_worker(jobs->rt, i), &c->task);
  }
}
