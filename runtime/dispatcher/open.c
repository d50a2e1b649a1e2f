/* open.c - reading a session's file into memory, and letting it go.
 *
 * Opening reads dictionaries and counters, no assets and no jobs but those
 * that were running when the file was last written. If their runtime died,
 * that counts against them.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dispatcher/internal.h"

/* --- dictionaries ------------------------------------------------------------
 */
typedef struct reading {
  rt_session *s;
  rt_error *err;
} reading;

static rt_err on_class(const rt__class_row *row, void *arg) {
  reading *r = arg;
  rt__class *cls;
  r->s->assets += row->assets;
  if (row->id != (int64_t)r->s->class_count + 1) {
    return rt_fail(r->err, RT_EINVAL, "the classes are not numbered in order");
  }
  return rt__class_new(r->s, row, &cls, r->err);
}

static rt_err on_capability(const rt__capability_row *row, void *arg) {
  reading *r = arg;
  rt__known *known;
  if (row->id != (int64_t)r->s->known_count + 1) {
    return rt_fail(r->err, RT_EINVAL,
                   "the capabilities are not numbered in order");
  }
  return rt__known_new(r->s, row, &known, r->err);
}

static rt_err on_lane(const rt__lane_row *row, void *arg) {
  reading *r = arg;
  rt_session *s = r->s;
  rt__lane *lane;
  bool good = row->class_id >= 1 && (size_t)row->class_id <= s->class_count &&
              row->capability >= 1 &&
              (size_t)row->capability <= s->known_count && row->position >= 0 &&
              row->position < RT__LANES_MAX;
  if (!good ||
      s->classes[row->class_id - 1]->lane_count != (size_t)row->position) {
    return rt_fail(r->err, RT_EINVAL, "the lanes do not fit together");
  }
  rt_err rc =
      rt__lane_new(s, s->classes[row->class_id - 1], row, &lane, r->err);
  if (rc == RT_OK) lane->written = *row;
  return rc;
}

static rt_err read_dictionaries(rt_session *s, rt_error *err) {
  reading r = {s, err};
  s->assets = 0;
  rt_err rc = rt__store_classes(s->store, on_class, &r, err);
  if (rc == RT_OK) {
    rc = rt__store_capabilities(s->store, on_capability, &r, err);
  }
  if (rc == RT_OK) rc = rt__store_lanes(s->store, on_lane, &r, err);
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++) {
    rt__known *known = s->known[i];
    rt__store_get_times(s->store, known->id, known->times,
                        sizeof(known->times));
  }
  return rc;
}

/* --- what ran when the runtime died ---------------------------------- */
typedef struct victim {
  rt_session *s;
  rt__running ran;
  bool crashed; /* else its session was only read again */
  rt_error *err;
  rt__job_row row;
  rt_value *errors;
  bool settled; /* failed, so later stages may go on */
} victim;

static rt_err on_row(const rt__job_row *row, void *arg) {
  victim *v = arg;
  v->row.crashes = row->crashes;
  v->row.priority = row->priority;
  v->errors = row->errors ? rt_value_ref(row->errors) : NULL;
  return RT_OK;
}

static rt_value *crash_errors(const rt_value *before) {
  rt_builder *b = rt_builder_new();
  rt_value *all = NULL;
  if (!b) return NULL;
  rt_builder_begin_array(b);
  rt_iter iter = rt_iter_of(rt_value_view(before));
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) rt_builder_view(b, item);
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, "crashed the runtime");
  rt_builder_key(b, "kind");
  rt_builder_string(b, "INTERNAL");
  rt_builder_end(b);
  rt_builder_end(b);
  rt_builder_finish(b, &all, NULL);
  rt_builder_free(b);
  return all;
}

static rt_err on_victim(const rt__asset_row *row, void *arg) {
  victim *v = arg;
  rt_session *s = v->s;
  rt__class *cls = s->classes[row->class_id - 1];
  rt__lane *lane = rt__session_lane(s, cls, (uint32_t)v->row.capability);
  if (!lane || (row->done & lane->bit)) return RT_OK;
  uint64_t done = row->done, aside = row->aside | lane->bit;
  v->row.state = RT__JOB_QUEUED;
  v->row.attempt = v->ran.attempt;
  v->row.fanout = v->ran.fanout;
  if (!v->row.priority) v->row.priority = row->priority;
  if (v->crashed && ++v->row.crashes >= RT__CRASHES_MAX) {
    v->row.state = RT__JOB_FAILED;
    v->row.reason = "crashed the runtime";
    v->row.ended = (int64_t)(rt__now_unix() * 1000);
    rt_value *all = crash_errors(v->errors);
    rt_value_unref(v->errors);
    v->errors = all;
    done |= lane->bit;
    aside &= ~lane->bit;
    lane->row.failed++;
    v->settled = true;
  }
  v->row.errors = v->errors;
  rt_err rc = rt__store_put_job(s->store, &v->row, v->err);
  if (rc != RT_OK) return rc;
  return rt__store_set_masks(s->store, row->id, done, aside, v->err);
}

static rt_err take_back(rt_session *s, const rt__running *ran, bool crashed,
                        bool *settled, rt_error *err) {
  victim v = {.s = s, .ran = *ran, .crashed = crashed, .err = err};
  v.row.asset = (int64_t)(ran->job / RT__CAPABILITIES_MAX);
  v.row.capability = (int64_t)(ran->job % RT__CAPABILITIES_MAX);
  rt_err rc =
      rt__store_job(s->store, v.row.asset, v.row.capability, on_row, &v, err);
  if (rc == RT_OK) {
    rc = rt__store_load(s->store, v.row.asset, on_victim, &v, err);
  }
  rt_value_unref(v.errors);
  *settled = v.settled;
  return rc;
}

/* The numbers of assets whose later stages may go on: `list`, reused. */
static rt_err take_back_running(rt_session *s, bool crashed, rt__running **list,
                                size_t *count, rt_error *err) {
  size_t kept = 0;
  rt_err rc = rt__store_get_running(s->store, list, count, err);
  for (size_t i = 0; rc == RT_OK && i < *count; i++) {
    bool settled = false;
    rc = take_back(s, &(*list)[i], crashed, &settled, err);
    if (settled) (*list)[kept++] = (*list)[i];
  }
  if (rc == RT_OK) rc = rt__store_clear_running(s->store, err);
  if (rc == RT_OK) rc = rt__store_untake(s->store, err);
  *count = kept;
  return rc;
}

/* --- load
 * ----------------------------------------------------------------------------
 */
static size_t takers(rt_session *s, const char *class_name) {
  size_t count = 0;
  for (rt__cap *cap = s->engine->caps; cap; cap = cap->next) {
    if (cap->gone || !rt__session_wants(s, cap->decl)) continue;
    count += rt__capability_takes(cap->decl, class_name, strlen(class_name));
  }
  return count;
}

/* A class has room for so many: better told at once than later. */
static rt_err check_room(rt_session *s, rt_error *err) {
  for (rt__cap *cap = s->engine->caps; cap; cap = cap->next) {
    for (size_t i = 0; !cap->gone && i < cap->decl->input_count; i++) {
      const char *name = cap->decl->input[i];
      size_t count = takers(s, name);
      if (count <= RT__LANES_MAX) continue;
      return rt_fail(err, RT_EINVAL,
                     "%zu capabilities take %s, a session has room for %d",
                     count, name, RT__LANES_MAX);
    }
  }
  return RT_OK;
}

static rt_err attach_caps(rt_session *s, rt_error *err) {
  rt_err rc = check_room(s, err);
  for (rt__cap *cap = s->engine->caps; rc == RT_OK && cap; cap = cap->next) {
    if (!cap->gone) rc = rt__session_add_cap(s, cap, true, err);
  }
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (!lane->cap && rt__lane_open(lane) > 0) rt__class_rescan(lane->cls);
  }
  return rc;
}

/* What is delayed waits as long as was meant, also when the clock was set back
 * since: then the time in between is not known, and counts as none. */
static rt_err read_clock(rt_session *s, rt_error *err) {
  double mark = (double)rt__store_meta_int(s->store, RT__META_CLOCK, 0) / 1000;
  double ahead = mark - rt__session_now(s);
  if (ahead < 1) return RT_OK;
  rt__session_log(s, RT_LOG_WARN,
                  "session '%s': the clock was set back by %.0f s or more",
                  s->name, ahead);
  rt_err rc = rt__store_shift_due(s->store, ahead, err);
  if (rc == RT_OK) {
    rc = rt__store_set_int(s->store, RT__META_CLOCK,
                           (int64_t)(rt__session_now(s) * 1000), err);
  }
  return rc;
}

static rt_err read_state(rt_session *s, rt_error *err) {
  char *state = rt__store_meta_text(s->store, "state");
  s->paused_told = rt__store_meta_int(s->store, RT__META_PAUSED, 0) != 0;
  s->told_asset = rt__store_last_asset(s->store);
  s->round_open =
      rt__session_open_jobs(s) > 0 ||
      (state && strcmp(state, "finished") != 0 && strcmp(state, "new") != 0);
  rt_err rc = RT_OK;
  if (!state) rc = rt__store_set_text(s->store, "state", "new", err);
  if (s->round_open) {
    rc = rt__store_set_text(s->store, "state", "running", err);
    if (rc == RT_OK) rc = rt__again_begin(s, err);
  }
  free(state);
  if (rc == RT_OK) rc = read_clock(s, err);
  s->next_due = rt__store_next_due(s->store);
  rt__budgets_read(s);
  return rc;
}

/* The run has begun in the file, so that what is left of it here is found stale
 * again if this is cut short. Nothing runs before all is put aside. */
rt_err rt__session_load_stale(rt_session *s, rt_error *err) {
  rt_err rc = s->failed ? RT_EUNAVAIL : rt__again_stale(s, &s->stale, err);
  if (s->failed) *err = s->fault; /* since the last part */
  return rc == RT_OK ? rt__session_commit(s, err) : rc;
}

static rt_err load(rt_session *s, bool again, rt_error *err) {
  rt__running *list = NULL;
  size_t count = 0;
  rt_err rc = read_dictionaries(s, err);
  s->stale = false;
  s->unheld = 0;
  int64_t epoch = rt__store_meta_int(s->store, "epoch", 0);
  if (s->epoch <= (uint32_t)epoch) s->epoch = (uint32_t)epoch;
  s->epoch++;
  if (rc == RT_OK) {
    rc = rt__store_set_int(s->store, "epoch", s->epoch, err);
  }
  if (rc == RT_OK && s->config) {
    rc = rt__store_set_value(s->store, "config", s->config, err);
  }
  if (rc == RT_OK)
    rc = take_back_running(s, !again && rt__store_died(s->store), &list, &count,
                           err);
  s->round = rt__store_meta_int(s->store, "round", 0);
  rt__again_read(s);
  if (rc == RT_OK) rc = attach_caps(s, err);
  if (rc == RT_OK && !again) rc = rt__again_stale(s, &s->stale, err);
  if (rc == RT_OK) rc = read_state(s, err);
  s->loaded = true;
  for (size_t i = 0; rc == RT_OK && i < count; i++) {
    int64_t asset = (int64_t)(list[i].job / RT__CAPABILITIES_MAX);
    rt__item *item = rt__item_load(s, asset, err);
    rc = item ? rt__item_advance(s, item, false, err) : RT_EINTERNAL;
    if (item) rt__item_unref(s, item);
  }
  free(list);
  return rc == RT_OK ? rt__session_commit(s, err) : rc;
}

rt_err rt__session_load(rt_session *s, rt_error *err) {
  rt_err rc;
  bool again = s->failed;
  if (again) {
    rc = rt__store_reopen(s->store, s->sync_normal, err);
  } else {
    s->mono_base = rt__now_ns();
    s->wall_base = rt__now_unix();
    rc = rt__store_open(&s->store, s->dir, s->name, s->mode, s->sync_normal,
                        err);
  }
  if (rc == RT_OK) rt__store_bound_log(s->store, s->max_journal);
  if (rc == RT_OK) rc = load(s, again, err);
  s->touched = true;
  return rc;
}

void rt__session_clear(rt_session *s) {
  size_t at = 0;
  rt__live *live;
  while (at = 0, (live = rt__idmap_next(&s->lives, &at))) {
    if (live->state == RT__LIVE_RUNNING) {
      rt__live_stopped(s, live);
    } else {
      rt__live_forget(s, live);
    }
    rt__live_free(s, live);
  }
  rt__item *item;
  while (at = 0, (item = rt__idmap_next(&s->items, &at))) {
    item->dirty = false;
    item->refs = 0;
    rt__item_unref(s, item);
  }
  s->dirty_items = NULL;
  s->starting = NULL;
  rt__budgets_clear(s);
  for (size_t i = 0; i < s->lane_count; i++) rt__lane_free(s->lanes[i]);
  for (size_t i = 0; i < s->class_count; i++) {
    free(s->classes[i]->lanes);
    free(s->classes[i]->name);
    free(s->classes[i]);
  }
  for (size_t i = 0; i < s->known_count; i++) {
    free(s->known[i]->name);
    rt_value_unref(s->known[i]->options);
    free(s->known[i]);
  }
  s->lane_count = s->class_count = s->known_count = 0;
  rt__map_deinit(&s->class_index);
  s->loaded = false;
}

void rt__session_unload(rt_session *s) {
  rt__session_clear(s);
  free(s->lanes);
  free(s->classes);
  free(s->known);
  s->lanes = NULL;
  s->classes = NULL;
  s->known = NULL;
  rt__idmap_deinit(&s->lives);
  rt__idmap_deinit(&s->items);
  free(s->slots);
  free(s->free_slots);
  free(s->segments);
  s->slots = NULL;
  s->free_slots = NULL;
  s->segments = NULL;
  s->slot_room = s->free_count = 0;
  rt__notes_drop(s);
  rt__buf_deinit(&s->scratch);
  rt__buf_deinit(&s->item_scratch);
  if (s->refused) {
    rt__store_abandon(s->store);
  } else {
    rt__store_close(s->store);
  }
  s->store = NULL;
}
