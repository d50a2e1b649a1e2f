/* cli/progress.c - figures of a session as one line on stderr.
 *
 * The engine answers on its own thread whenever it comes to it; the line shows
 * the newest answer, so that a busy engine never holds the main thread up.
 *
 * SPDX-License-Identifier: MIT */
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct progress {
  /* constant */
  cli *c;
  rt_session *session; /* [own ref] */
  double period;       /* seconds between lines */
  /* main thread */
  double shown_at, done_at, rate;
  int64_t done;
  /* guarded by lock */
  pthread_mutex_t lock;
  rt_value *stats; /* newest answer, or NULL */
  bool asked, ended;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

progress *progress_new(cli *c, rt_session *session, const char *mode) {
  bool always = mode && !strcmp(mode, "always");
  if (mode && !strcmp(mode, "never")) return NULL;
  if (!always && !c->console.err_tty) return NULL;
  progress *p = calloc(1, sizeof(*p));
  if (!p) return NULL;
  p->c = c;
  p->session = rt_session_ref(session);
  p->period = c->console.err_tty ? 0.1 : 1.0;
  p->shown_at = p->done_at = now();
  pthread_mutex_init(&p->lock, NULL);
  return p;
}

static void release(progress *p) {
  rt_value_unref(p->stats);
  rt_session_unref(p->session);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

static void on_stats(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  progress *p = arg;
  (void)err;
  pthread_mutex_lock(&p->lock);
  bool last = p->ended;
  p->asked = false;
  if (code == RT_OK) {
    rt_value_unref(p->stats);
    p->stats = result; /* takes result */
  } else {
    rt_value_unref(result);
  }
  pthread_mutex_unlock(&p->lock);
  if (last) release(p);
}

/* Jobs a second, smoothed. */
static void measure(progress *p, int64_t done) {
  double at = now(), passed = at - p->done_at;
  if (passed < 0.05) return;
  double rate = (double)(done - p->done) / passed;
  p->rate = p->rate > 0 ? p->rate * 0.8 + rate * 0.2 : rate;
  p->done = done;
  p->done_at = at;
}

static void show(progress *p, rt_view stats) {
  char line[256], oldest[48] = "";
  long long done = cli_count(stats, "work_items_completed");
  double waiting = rt_view_number(rt_view_get(stats, "oldest_waiting"), 0);
  measure(p, done);
  if (waiting > 0) {
    snprintf(oldest, sizeof(oldest), ", oldest waiting %.1f s", waiting);
  }
  snprintf(line, sizeof(line),
           "%lld assets | %lld queued, %lld running, %lld done, %lld failed | "
           "%.0f jobs/s%s",
           cli_sum(rt_view_get(stats, "assets")), cli_count(stats, "queued"),
           cli_count(stats, "running"), done, cli_count(stats, "failed"),
           p->rate, oldest);
  console_progress(&p->c->console, line);
}

void progress_tick(progress *p) {
  if (!p || now() - p->shown_at < p->period) return;
  pthread_mutex_lock(&p->lock);
  rt_value *stats = p->stats;
  bool ask = !p->asked;
  p->stats = NULL;
  p->asked = true;
  pthread_mutex_unlock(&p->lock);
  if (stats) {
    p->shown_at = now();
    show(p, rt_value_view(stats));
    rt_value_unref(stats);
  }
  if (ask) rt_session_stats_async(p->session, on_stats, p);
}

void progress_end(progress *p) {
  if (!p) return;
  console_progress(&p->c->console, NULL);
  pthread_mutex_lock(&p->lock);
  bool last = !p->asked;
  p->ended = true;
  pthread_mutex_unlock(&p->lock);
  if (last) release(p);
}
