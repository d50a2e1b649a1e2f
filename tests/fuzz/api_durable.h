/* fuzz/api_durable.h - the calls of fuzz_api on sessions, their queue and
 * reports, the registry, and jobs of capabilities in C.
 * SPDX-License-Identifier: MIT */
#ifndef RT_FUZZ_API_DURABLE_H
#define RT_FUZZ_API_DURABLE_H

#include <unistd.h>

#include "api_world.h"

static char durable_dir[64]; /* one for a run of the program */

static const char *const assets[] = {
    "{\"class\":\"a\",\"value\":\"1\"}",
    "{\"class\":\"b\",\"value\":\"keep\",\"metadata\":{\"x\":[1]}}",
    "{\"class\":\"c\",\"value\":\"3\",\"key\":\"k\"}",
    "[{\"class\":\"a\",\"value\":\"4\"},{\"class\":\"b\",\"value\":\"fail\"}]",
    "{\"class\":\"a\"}",
    "[]",
    "{\"class\":\"b\",\"value\":\"more\"}",
    "{\"class\":\"word\",\"value\":\"rabbit\"}",
};

static inline rt_value *asset_at(unsigned a) {
  rt_value *value = NULL;
  const char *text = assets[a % 8];
  rt_value_from_json(&value, text, strlen(text), NULL);
  return value;
}

static void on_told(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  kept *k = arg;
  if ((code == RT_OK) != (err == NULL)) abort();
  rt_value_unref(result);
  pthread_mutex_lock(&k->lock);
  k->told++;
  pthread_mutex_unlock(&k->lock);
}

/* Its handle goes at once: the session stays the runtime's. */
static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  if ((code == RT_OK) != (session != NULL)) abort();
  rt_session_unref(session);
  on_told(code, err, NULL, arg);
}

static void on_commit(int64_t last, void *arg) {
  if (last <= 0) abort();
  on_told(RT_OK, NULL, NULL, arg);
}

/* --- capabilities --------------------------------------------------------- */

static bool on_match(const rt_value *asset, char *why, size_t size, void *arg) {
  (void)arg;
  snprintf(why, size, "no key");
  return rt_view_count(rt_value_view(asset)) > 0;
}

static void on_invoke(rt_job *job, void *arg) {
  kept *k = arg;
  rt_error why = RT_ERROR_INIT;
  size_t size = 0;
  const char *value = rt_view_string(
      rt_view_get(rt_value_view(rt_job_asset(job)), "value"), &size);
  char first = value && size > 0 ? *value : '?';
  if (first == 'k' && keep_job(k, job, rt_job_attempt(job))) return;
  if (first == 'm') {
    rt_value *asset = asset_at(size);
    rt_job_send(job, asset, NULL);
    rt_value_unref(asset);
  }
  rt_fail(&why, RT_EUNAVAIL, "on purpose");
  why.retryable = true;
  rt_job_complete(job, first == 'f' ? &why : NULL);
}

static void ask_where(rt_job *job, unsigned a) {
  static const char *const called[] = {NULL, "a.test", "10.0.0.1", "fail"};
  static const char *const addresses[] = {NULL, "10.0.0.1", "::1", "no"};
  rt_target target = RT_TARGET_INIT;
  target.host = called[a % FEW];
  target.address = addresses[(a >> 2) % FEW];
  target.port = (a >> 4) * 6000;
  rt_job_allows(job, &target, NULL);
}

static void add_capability(world *w, unsigned a) {
  static const char *const input[] = {"a", "b", "*"};
  static const char *const output[] = {"a", "b", "c"};
  static const char *const called[] = {"c0", "c1", "c2", "words"};
  rt_capability_opts opts = RT_CAPABILITY_OPTS_INIT;
  opts.name = called[a % FEW];
  opts.input = input + (a >> 2) % 3;
  opts.input_count = 1;
  opts.output = output;
  opts.output_count = a & 16 ? 3 : 1;
  opts.priority = (int)(a % 12);
  opts.max_instances = a & 32 ? 1 : 0;
  opts.active = (a & 64) != 0;
  opts.retries = a & 8 ? 1 : 0;
  opts.timeout = a & 64 ? 0.005 : 0;
  opts.match = a & 4 ? on_match : NULL;
  opts.invoke = on_invoke;
  opts.arg = w->kept;
  rt_registry_add(rt_runtime_registry(w->rt), &opts, NULL);
}

static void on_fault(const char *text, void *arg) {
  (void)arg;
  if (!*text) abort();
}

static void use_registry(world *w, unsigned op, unsigned a) {
  static const char *const called[] = {"c0", "c1", "c2", "words"};
  rt_registry *registry = rt_runtime_registry(w->rt);
  rt_value *out = NULL;
  size_t loaded = 0;
  switch (op % 8) {
  case 0:
  case 1:
    add_capability(w, a);
    break;
  case 2:
    rt_registry_remove(registry, called[a % FEW], NULL);
    break;
  case 3:
    rt_registry_get(registry, called[a % FEW], &out, NULL);
    break;
  case 4:
    rt_registry_list(registry, &out, NULL);
    break;
  case 5:
    rt_registry_target_tasks(registry, a & 16 ? "a" : "*", &out, NULL);
    break;
  case 6:
    rt_registry_plan(registry, &out, NULL);
    break;
  default:
    rt_registry_load(registry,
                     a & 16 ? "examples/capabilities/words.lua" : "./nowhere",
                     on_fault, NULL, &loaded, NULL);
  }
  rt_value_unref(out);
}

static void use_jobs(world *w, unsigned op, unsigned a) {
  rt_error why = RT_ERROR_INIT;
  rt_job *job = take_job(w->kept, a);
  rt_value *asset;
  if (!job) return;
  switch (op % 4) {
  case 0:
    rt_fail(&why, RT_EUNAVAIL, "on purpose");
    if (a & 32)
      rt_job_snooze(job, (a >> 6) % 3 * 0.01);
    else
      rt_job_complete(job, a & 16 ? &why : NULL);
    return;
  case 1:
    asset = asset_at(a >> 2);
    rt_job_send(job, asset, NULL);
    rt_value_unref(asset);
    break;
  default:
    rt_job_canceled(job);
    rt_job_attempt(job);
    if (!rt_job_asset(job)) abort();
    rt_job_options(job);
    if (!rt_job_id(job) || !rt_job_session(job)) abort();
    rt_job_progress(job, a / 100.0, a & 1 ? "some" : NULL);
    ask_where(job, a);
  }
  if (!keep_job(w->kept, job, a)) rt_job_complete(job, NULL);
}

/* --- sessions ------------------------------------------------------------- */

static void open_session(world *w, unsigned a) {
  static const char *const called[] = {"s0", "s1", ".no", "s2"};
  static const char *const rules[] = {"!fail"};
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  opts.name = called[a % FEW];
  opts.dir = durable_dir;
  opts.mode = (rt_open_mode)((a >> 2) % 3);
  opts.sync_normal = true;
  opts.grace = 0.01;
  opts.paused = (a & 16) != 0;
  opts.max_assets = a & 32 ? 3 : -1;
  opts.concurrency = a & 64 ? 1 : 0;
  opts.scope = rules;
  opts.scope_count = a & 8 ? 1 : 0;
  if (w->sessions[a % FEW] || (a & 12) == 12)
    rt_session_open_async(w->rt, &opts, on_opened, w->kept);
  else
    rt_session_open(&w->sessions[a % FEW], w->rt, &opts, NULL);
}

static void use_queue(rt_session *s, unsigned op, unsigned a) {
  rt_value *asset = asset_at(a >> 2), *out = NULL;
  bool found;
  switch (op % 6) {
  case 0:
    rt_queue_has(s, asset, &found, NULL);
    break;
  case 1:
    rt_queue_append(s, asset, NULL);
    break;
  case 2:
    rt_queue_next(s, "a", a % 5, &out, NULL);
    break;
  case 3:
    rt_queue_processed(s, asset, NULL);
    break;
  case 4:
    rt_queue_delete(s, asset, NULL);
    break;
  default:
    rt_session_delete(s, "a:1", NULL);
  }
  rt_value_unref(asset);
  rt_value_unref(out);
}

static void control(world *w, rt_session *s, unsigned op, unsigned a) {
  rt_value *out = NULL;
  switch (op % 8) {
  case 0:
    rt_session_pause(s);
    break;
  case 1:
    rt_session_resume(s);
    break;
  case 2:
    rt_session_running(s, &out, NULL);
    break;
  case 3:
    rt_session_kill(s, a % 8, "fuzzed", NULL);
    break;
  case 4:
    rt_session_scale(s, a & 16 ? "c0" : "nobody", (int)(a % 4) - 1, NULL);
    break;
  case 5:
    rt_session_on_commit(s, a & 16 ? on_commit : NULL, w->kept);
    break;
  case 6:
    rt_session_set_mark(s, a % 10);
    break;
  default:
    if (a & 16)
      rt_session_cancel(s, "why", a & 32, NULL);
    else
      rt_session_cancel_async(s, "why", a & 32, on_told, w->kept);
  }
  rt_value_unref(out);
}

static void dispatch(world *w, rt_session *s, unsigned a) {
  rt_value *asset = asset_at(a >> 2);
  rt_dispatch_opts opts = RT_DISPATCH_OPTS_INIT;
  rt_outcome outcome;
  opts.meta = (a & 32) != 0;
  opts.priority = (int)(a % 10);
  if (a & 64)
    rt_session_dispatch(s, asset, &opts, &outcome, NULL);
  else
    rt_session_dispatch_async(s, asset, &opts, on_told, w->kept);
  rt_value_unref(asset);
}

static void close_session(world *w, unsigned a) {
  rt_session *s = w->sessions[a % FEW];
  if (a & 16)
    rt_session_close(s);
  else
    rt_session_close_async(s, on_told, w->kept);
  if (a & 32) return; /* a closed one is used on */
  w->sessions[a % FEW] = NULL;
  rt_session_unref(s);
}

static void use_session(world *w, unsigned op, unsigned a) {
  rt_session *s = w->sessions[a % FEW];
  rt_value *out = NULL;
  int64_t count;
  if (op % 8 == 0) open_session(w, a);
  if (op % 8 == 1) rt_session_remove(durable_dir, a & 16 ? "s0" : "s1", NULL);
  if (op % 8 == 2) rt_session_retry(durable_dir, "s1", &count, NULL);
  if (!s) return;
  switch (op % 8) {
  case 3:
    dispatch(w, s, a);
    break;
  case 4:
    use_queue(s, a >> 4, a);
    break;
  case 5:
    control(w, s, a >> 2, a);
    break;
  case 6:
    rt_session_stats(s, &out, NULL);
    rt_value_unref(out);
    out = NULL;
    rt_session_wait(s, 0.001, &out, NULL);
    rt_session_wait_async(s, on_told, w->kept);
    break;
  case 7:
    close_session(w, a);
  }
  rt_value_unref(out);
}

static void use_report(world *w, unsigned op, unsigned a) {
  rt_report **at = &w->reports[a % FEW];
  rt_value *out = NULL;
  if (!*at) {
    rt_report_open(at, durable_dir, a & 16 ? "s0" : "s1", NULL);
    return;
  }
  switch (op % 8) {
  case 0:
    rt_report_status(*at, &out, NULL);
    break;
  case 1:
    rt_report_assets(*at, 0, NULL, a, &out, NULL);
    break;
  case 2:
    rt_report_edges(*at, 0, a, &out, NULL);
    break;
  case 3:
    rt_report_jobs(*at, NULL, NULL, "", a, &out, NULL);
    break;
  case 4:
    rt_report_explain(*at, "a:1", &out, NULL);
    break;
  case 5:
    rt_report_why(*at, &out, NULL);
    break;
  case 6:
    rt_session_list(durable_dir, &out, NULL);
    break;
  default:
    rt_report_close(*at);
    *at = NULL;
  }
  rt_value_unref(out);
}

#endif
