/* job_lost.c - what becomes of the jobs of a worker that is lost.
 *
 * Jobs go back to the queue as if interrupted, the one that is stuck has
 * failed; of a batch what was answered is handed in, the rest asked elsewhere.
 * All is copied under the worker's guard and given away after that; what the
 * worker itself has of it, it frees when its thread comes back.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "process/job.h"

typedef struct left_job {
  struct left_job *next;
  rt__engine *engine;
  rt_session *session; /* [own ref] */
  rt__end end;
} left_job;

typedef struct left_batch {
  struct left_batch *next;
  rt__prepare *answered, *open; /* [own], may be NULL */
} left_batch;

struct rt__bequest {
  left_job *jobs;
  left_batch *batches;
};

/* --- under the guard ------------------------------------------------------ */

static bool take_job(rt__bequest *b, rt_job *job, rt_value *fault) {
  const rt__order *order = job->order;
  left_job *left = calloc(1, sizeof(*left));
  if (!left) return false;
  left->engine = order->engine;
  left->session = rt_session_ref(order->session);
  left->end.lease = order->lease;
  left->end.kind = fault ? RT__END_FAILED : RT__END_INTERRUPTED;
  left->end.error = fault ? rt_value_ref(fault) : NULL;
  left->end.seconds = (double)(rt__now_ns() - job->started) / 1e9;
  left->next = b->jobs;
  b->jobs = left;
  rt__native_disown(job);
  return true;
}

/* Items from `first` on, `count` of them, as they were before they were asked.
 */
static rt__prepare *copy_batch(const rt__prepare *batch, size_t first,
                               size_t count) {
  rt__prepare *copy = calloc(1, sizeof(*copy) + count * sizeof(*copy->items));
  if (!copy) return NULL;
  copy->engine = batch->engine;
  copy->session = rt_session_ref(batch->session);
  copy->capability = rt__capability_ref(batch->capability);
  copy->options = batch->options ? rt_value_ref(batch->options) : NULL;
  copy->count = count;
  for (size_t i = 0; i < count; i++) {
    copy->items[i].job = batch->items[first + i].job;
    copy->items[i].asset = rt_value_ref(batch->items[first + i].asset);
  }
  return copy;
}

static void copy_answer(rt__prepare_item *to, const rt__prepare_item *from) {
  to->skip = from->skip;
  to->reason = from->reason ? strdup(from->reason) : NULL;
  to->rate_key = from->rate_key ? strdup(from->rate_key) : NULL;
  to->priority = from->priority;
}

/* `skipped` items after those that are answered are so for this reason. */
static bool take_batch(rt__bequest *b, const rt__asking *asking, size_t skipped,
                       const rt_value *fault) {
  const rt__prepare *batch = asking->batch;
  left_batch *left = calloc(1, sizeof(*left));
  if (!left) return false;
  size_t done = asking->at, all = batch->count;
  if (skipped > all - done) skipped = all - done;
  left->answered = copy_batch(batch, 0, done + skipped);
  for (size_t i = 0; left->answered && i < done + skipped; i++) {
    rt__prepare_item *item = &left->answered->items[i];
    if (i < done) {
      copy_answer(item, &batch->items[i]);
    } else {
      item->skip = true;
      item->reason = rt__job_words("match", fault);
    }
  }
  if (done + skipped < all)
    left->open = copy_batch(batch, done + skipped, all - done - skipped);
  left->next = b->batches;
  b->batches = left;
  return true;
}

rt__bequest *rt__jobs_bequeath(rt__worker *lost, const rt__process *culprit,
                               rt_value *error) {
  rt__job_worker *home = lost->home;
  rt__bequest *b = calloc(1, sizeof(*b));
  if (!b) return NULL;
  const rt_job *guilty = rt__job_of_process(culprit);
  const rt__asking *asked = rt__asking_of_process(culprit);
  const rt__instance *built = rt__instance_of_builder(culprit);
  for (size_t i = 0; i < RT__JOB_TABLE; i++)
    for (rt_job *job = home->table[i]; job; job = job->next) {
      bool failed = job == guilty || rt__instance_awaited(built, &job->claim);
      take_job(b, job, failed ? error : NULL);
    }
  for (const rt__asking *a = home->askings; a; a = a->next)
    take_batch(b, a,
               rt__instance_awaited(built, &a->claim) ? SIZE_MAX
               : a == asked                           ? 1
                                                      : 0,
               error);
  return b;
}

/* --- giving away ---------------------------------------------------------- */

static void settle_batch(rt__jobs *jobs, left_batch *left) {
  if (left->answered)
    rt__engine_prepared(left->answered->engine, left->answered);
  if (left->open) rt__jobs_prepare(jobs, left->open);
  free(left);
}

void rt__bequest_settle(rt__jobs *jobs, rt__bequest *b) {
  if (!b) return;
  while (b->batches) {
    left_batch *left = b->batches;
    b->batches = left->next;
    settle_batch(jobs, left);
  }
  while (b->jobs) {
    left_job *left = b->jobs;
    b->jobs = left->next;
    rt__engine_end(left->engine, left->session, &left->end);
    rt_session_unref(left->session);
    free(left);
  }
  free(b);
}
