/* operate.c - a hand on running work: what runs, end one job, scale.
 *
 * For an operator. A scale lasts as long as the runtime, and is noted in the
 * files of its sessions for reports only; a job that was ended is a failed job
 * like any other.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"
#include "dispatcher/session.h"

typedef struct operate_cmd operate_cmd;
typedef rt_err (*operate_fn)(rt_session *s, operate_cmd *o, rt_value **out,
                             rt_error *err);
struct operate_cmd {
  rt__cmd cmd;
  operate_fn act;
  rt_reply_fn fn;
  void *arg;
  uint64_t job;
  int64_t number;
  char *text;
};

static void run_operate(rt__engine *engine, rt__cmd *cmd) {
  operate_cmd *o = (operate_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_value *result = NULL;
  rt_err rc;
  if (!engine || !s->engine) {
    rc = rt_fail(&err, RT_ECANCELED, "session '%s' is closed", s->name);
  } else if (s->failed) {
    rc = rt_fail(&err, RT_EUNAVAIL, "%s", s->fault.message);
  } else {
    rc = o->act(s, o, &result, &err);
  }
  if (o->fn) {
    o->fn(rc, rc == RT_OK ? NULL : &err, result, o->arg);
  } else {
    rt_value_unref(result);
  }
  free(o->text);
  rt__cmd_free(o);
}

static operate_cmd *operate_new(rt_session *s, operate_fn act, const char *text,
                                rt_reply_fn fn, void *arg) {
  operate_cmd *o = rt__cmd_new(sizeof(*o), run_operate, s);
  char *copy = o && text ? strdup(text) : NULL;
  if (!o || (text && !copy)) {
    rt_error err = RT_ERROR_INIT;
    rt_fail(&err, RT_ENOMEM, "no memory");
    if (o) rt__cmd_free(o);
    if (fn) fn(RT_ENOMEM, &err, NULL, arg);
    return NULL;
  }
  o->act = act;
  o->text = copy;
  o->fn = fn;
  o->arg = arg;
  return o;
}

/* --- what runs ------------------------------------------------------- */
static void put_text(rt_builder *b, const char *key, const char *text) {
  rt_builder_key(b, key);
  rt_builder_string(b, text);
}

static void put_target(rt_builder *b, const rt__live *live) {
  rt_view asset = rt_value_view(live->item->asset);
  rt_builder_key(b, "key");
  rt_builder_view(b, rt_view_get(asset, "key"));
  rt_builder_key(b, "value");
  rt_builder_view(b, rt_view_get(asset, "value"));
}

static void put_live(rt_session *s, rt_builder *b, const rt__live *live) {
  rt_builder_begin_map(b);
  rt_builder_key(b, "id");
  rt_builder_int(b, (int64_t)live->id);
  put_text(b, "capability", s->known[live->lane->capability - 1]->name);
  put_text(b, "class", live->item->cls->name);
  if (live->item->asset) put_target(b, live);
  rt_builder_key(b, "attempt");
  rt_builder_int(b, live->attempt);
  rt_builder_key(b, "seconds");
  rt_builder_number(b, (double)(s->engine->now - live->start_ns) * 1e-9);
  rt_builder_key(b, "fraction");
  rt_builder_number(b, live->fraction);
  if (live->asked) put_text(b, "state", "asked to end");
  rt_builder_end(b);
}

static int by_age(const void *a, const void *b) {
  const rt__live *x = *(rt__live *const *)a, *y = *(rt__live *const *)b;
  if (x->start_ns != y->start_ns) return x->start_ns < y->start_ns ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

static rt_err list_running(rt_session *s, operate_cmd *o, rt_value **out,
                           rt_error *err) {
  rt__live **all = calloc(s->slot_room + 1, sizeof(*all));
  rt_builder *b = rt_builder_new();
  size_t count = 0;
  rt_err rc = RT_OK;
  (void)o;
  if (!all || !b) rc = rt_fail(err, RT_ENOMEM, "no memory");
  for (size_t i = 0; rc == RT_OK && i < s->slot_room; i++) {
    if (s->slots[i]) all[count++] = s->slots[i];
  }
  if (rc == RT_OK) {
    qsort(all, count, sizeof(*all), by_age);
    rt_builder_begin_array(b);
    for (size_t i = 0; i < count; i++) put_live(s, b, all[i]);
    rt_builder_end(b);
    rc = rt_builder_finish(b, out, err);
  }
  rt_builder_free(b);
  free(all);
  return rc;
}

void rt__session_running_async(rt_session *s, rt_reply_fn fn, void *arg) {
  operate_cmd *o = operate_new(s, list_running, NULL, fn, arg);
  if (o) rt__port_post(s->port, &o->cmd);
}

/* --- end one job ----------------------------------------------------- */
static rt_err kill_job(rt_session *s, operate_cmd *o, rt_value **out,
                       rt_error *err) {
  rt__executor *ex = &s->engine->executor;
  rt__live *live = rt__idmap_get(&s->lives, o->job);
  *out = NULL;
  if (!live || live->state != RT__LIVE_RUNNING) {
    return rt_fail(err, RT_ENOTFOUND, "job %llu does not run",
                   (unsigned long long)o->job);
  }
  rt__lease lease = rt__live_lease(s, live);
  live->killed = live->asked = true;
  ex->cancel(ex->self, s, lease, o->text, true);
  return RT_OK;
}

void rt__session_kill_async(rt_session *s, uint64_t job, const char *reason,
                            rt_reply_fn fn, void *arg) {
  const char *text = reason && *reason ? reason : "killed";
  operate_cmd *o = operate_new(s, kill_job, text, fn, arg);
  if (!o) return;
  o->job = job;
  rt__port_post(s->port, &o->cmd);
}

/* --- how many at once ------------------------------------------------ */
static rt_err scale(rt_session *s, operate_cmd *o, rt_value **out,
                    rt_error *err) {
  rt__cap *cap = rt__engine_cap(s->engine, o->text);
  *out = NULL;
  if (!cap) {
    return rt_fail(err, RT_ENOTFOUND, "no capability '%s'", o->text);
  }
  cap->scaled = o->number >= 0;
  cap->scale = cap->scaled ? (uint64_t)o->number : 0;
  s->engine->scales++;
  rt__engine_touch_all(s->engine);
  return RT_OK;
}

void rt__session_scale_async(rt_session *s, const char *capability,
                             int64_t instances, rt_reply_fn fn, void *arg) {
  operate_cmd *o = operate_new(s, scale, capability, fn, arg);
  if (!o) return;
  o->number = instances;
  rt__port_post(s->port, &o->cmd);
}

/* May one more job of it start? */
bool rt__cap_has_room(const rt__cap *cap) {
  if (cap->scaled) return rt__cap_running(cap) < cap->scale;
  uint32_t most = cap->decl->max_instances;
  return !most || rt__cap_running(cap) < most;
}

/* For the numbers of a session: what was set by hand. */
void rt__operate_stats(const rt_session *s, rt_builder *b) {
  bool open = false;
  if (s->paused) {
    rt_builder_key(b, "paused");
    rt_builder_bool(b, true);
  }
  for (rt__cap *cap = s->engine ? s->engine->caps : NULL; cap;
       cap = cap->next) {
    if (!cap->scaled || cap->gone) continue;
    if (!open) {
      rt_builder_key(b, "scaled");
      rt_builder_begin_map(b);
      open = true;
    }
    rt_builder_key(b, cap->decl->name);
    rt_builder_int(b, (int64_t)cap->scale);
  }
  if (open) rt_builder_end(b);
}
