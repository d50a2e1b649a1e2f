/* again.c - when a capability runs again on an asset it has ended on.
 *
 * A round is a run: it begins with the first asset that is dispatched after the
 * last one has finished, or with a file that is opened and has work. Where
 * something is scheduled, a run ends whenever nothing is left to do. By time
 * (after, always) a job runs again in a later run: all that are stale when the
 * file is opened, or one asset's when it is found again. With a change of its
 * asset's metadata it runs again at once. A job that runs again has a row that
 * is put aside, like a retry; its counter goes back until it ends again. Later
 * stages that run again too are held until their turn.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

/* So many in a transaction: neither memory nor the log grows with what is
 * stale, and no other session waits for all of it. */
#define STALE_MAX 2000
/* Assets among which those are looked for that are held for nothing. */
#define HELD_ASSETS 50000

static int64_t now_ms(const rt_session *s) {
  return (int64_t)(rt__session_now(s) * 1000);
}

/* --- runs -------------------------------------------------------------- */
rt_err rt__again_begin(rt_session *s, rt_error *err) {
  char text[80];
  if (s->run_open) return RT_OK;
  s->run_open = true;
  s->run++;
  s->gone_at = (rt__gone_at){0, 0, 0};
  s->run_first = rt__store_last_asset(s->store);
  s->run_began = now_ms(s);
  snprintf(text, sizeof(text), "%lld %lld %lld", (long long)s->run,
           (long long)s->run_first, (long long)s->run_began);
  return rt__store_set_text(s->store, RT__META_RUN, text, err);
}

void rt__again_read(rt_session *s) {
  long long run = 0, first = 0, began = 0;
  char *text = rt__store_meta_text(s->store, RT__META_RUN);
  if (text) sscanf(text, "%lld %lld %lld", &run, &first, &began);
  free(text);
  char *state = rt__store_meta_text(s->store, "state");
  s->run_open = run && state && strcmp(state, "finished") != 0;
  free(state);
  s->run = run;
  s->gone_run = 0; /* what was not committed is looked for again */
  s->gone_at = (rt__gone_at){0, 0, 0};
  s->run_first = first;
  s->run_began = began;
}

/* --- rules ------------------------------------------------------------- */
bool rt__again_by_time(const rt__cap *cap) {
  return cap && cap->decl->rerun >= RT__RERUN_AFTER;
}

int64_t rt__again_after(const rt__cap *cap) {
  if (!rt__again_by_time(cap)) return -1;
  return (int64_t)(cap->decl->rerun_after * 1000);
}

/* The stages before it. */
static uint64_t earlier(const rt__lane *lane) {
  uint64_t bits = 0;
  for (size_t i = 0; i < lane->cls->lane_count; i++) {
    const rt__lane *other = lane->cls->lanes[i];
    if (other->cap && other->priority < lane->priority) bits |= other->bit;
  }
  return bits;
}

static rt__stale stale_of(const rt_session *s, const rt__lane *lane) {
  return (rt__stale){.class_id = lane->cls->id,
                     .capability = lane->capability,
                     .now = now_ms(s),
                     .bit = lane->bit,
                     .earlier = earlier(lane)};
}

static rt__text rule_of(const rt_capability *decl) {
  rt__text rule = {NULL, 0};
  rt_view view = rt_value_view(decl->declaration);
  rule.at = rt_view_string(rt_view_get(view, "rerun"), &rule.size);
  return rule.at ? rule : (rt__text){"once", 4};
}

/* What ended under another rule: by time it counts from when it ended, or from
 * when its asset was found, if that is not known. */
static rt_err adopt(rt_session *s, const rt__known *known, rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (lane->capability != known->id) continue;
    rt__stale which = stale_of(s, lane);
    rc = rt__store_adopt(s->store, &which, rt__again_after(known->cap), err);
  }
  return rc;
}

static rt_err note_rule(rt_session *s, const rt__known *known, rt_error *err) {
  const rt_capability *decl = known->cap->decl;
  rt__text text = rule_of(decl);
  char name[sizeof(RT__META_RERUN) + 100], rule[64];
  snprintf(name, sizeof(name), RT__META_RERUN "%s", decl->name);
  snprintf(rule, sizeof(rule), "%.*s", (int)text.size, text.at);
  char *before = rt__store_meta_text(s->store, name);
  bool same = strcmp(before ? before : "once", rule) == 0;
  free(before);
  if (same) return RT_OK;
  rt_err rc = rt__store_set_text(s->store, name, rule, err);
  return rc == RT_OK ? adopt(s, known, err) : rc;
}

rt_err rt__again_known(rt_session *s, rt__known *known, rt_error *err) {
  const rt_capability *decl = known->cap->decl;
  s->rerunning = s->rerunning || decl->rerun != RT__RERUN_ONCE;
  s->watched = s->watched || decl->watches;
  rt_err rc = note_rule(s, known, err);
  known->version = 0;
  known->versions = false;
  if (rc != RT_OK || !decl->version) return rc;
  return rt__store_version(s->store, known->id, decl->version, &known->version,
                           &known->versions, err);
}

/* --- at opening -------------------------------------------------------- */
/* What ended up to then is stale (0: nothing), but for this run's jobs, which
 * may have ended in the millisecond in which it began. */
static void stale_before(const rt_session *s, const rt_capability *decl,
                         rt__stale *which) {
  which->run = -1;
  which->before = now_ms(s);
  if (decl->rerun == RT__RERUN_AFTER) {
    int64_t after = (int64_t)(decl->rerun_after * 1000);
    which->before = now_ms(s) > after ? now_ms(s) - after : 0;
  } else if (s->run_open) {
    which->run = s->run;
    which->before = s->run_began;
  }
}

static rt_err queue_stale(rt_session *s, rt__lane *lane, int64_t *room,
                          bool *more, rt_error *err) {
  int64_t counts[3];
  rt__stale which = stale_of(s, lane);
  stale_before(s, lane->cap->decl, &which);
  rt_err rc = rt__store_stale(s->store, &which, *room, counts, more, err);
  if (rc != RT_OK) return rc;
  *room -= counts[0] + counts[1] + counts[2];
  lane->row.completed -= counts[0];
  lane->row.skipped -= counts[1];
  lane->row.failed -= counts[2];
  lane->asides = true;
  s->reruns += counts[0] + counts[1] + counts[2];
  return RT_OK;
}

static rt_err unhold(rt_session *s, rt__class *cls, int64_t after, int64_t upto,
                     rt_error *err) {
  rt_err rc = RT_OK;
  if (!s->rerunning) return rc;
  for (size_t i = 0; rc == RT_OK && i < cls->lane_count; i++) {
    rt__lane *lane = cls->lanes[i];
    if (!lane->cap) continue;
    rt__stale which = stale_of(s, lane);
    rc = rt__store_unhold(s->store, &which, after, upto, err);
    lane->asides = true;
  }
  return rc;
}

static rt_err unhold_part(rt_session *s, bool *more, rt_error *err) {
  rt_err rc = RT_OK;
  int64_t after = s->unheld, upto = after + HELD_ASSETS;
  for (size_t i = 0; rc == RT_OK && i < s->class_count; i++) {
    rc = unhold(s, s->classes[i], after, upto, err);
  }
  s->unheld = upto;
  *more = s->rerunning && upto < rt__store_last_asset(s->store);
  return rc;
}

/* Earlier stages first: later ones are held for those of them that run. */
rt_err rt__again_stale(rt_session *s, bool *more, rt_error *err) {
  int64_t room = STALE_MAX;
  rt_err rc = RT_OK;
  *more = false;
  for (int priority = 1; rc == RT_OK && priority <= 9; priority++) {
    for (size_t i = 0; rc == RT_OK && !*more && i < s->lane_count; i++) {
      rt__lane *lane = s->lanes[i];
      if (lane->priority != priority || !rt__again_by_time(lane->cap)) continue;
      *more = room <= 0;
      if (!*more) rc = queue_stale(s, lane, &room, more, err);
    }
  }
  return rc == RT_OK && !*more ? unhold_part(s, more, err) : rc;
}

rt_err rt__again_unhold(rt_session *s, rt__class *cls, rt_error *err) {
  return unhold(s, cls, 0, INT64_MAX, err);
}

/* --- one job ----------------------------------------------------------- */
typedef struct ending {
  rt__job_state state;
  int64_t ended, run;
} ending;

static rt_err on_ending(const rt__job_row *row, void *arg) {
  *(ending *)arg = (ending){row->state, row->ended, row->run};
  return RT_OK;
}

static void uncount(rt__lane *lane, rt__job_state state) {
  if (state == RT__JOB_COMPLETED) lane->row.completed--;
  if (state == RT__JOB_SKIPPED) lane->row.skipped--;
  if (state == RT__JOB_FAILED) lane->row.failed--;
  if (state == RT__JOB_CANCELED) lane->row.canceled--;
}

rt_err rt__again_run(rt_session *s, rt__item *item, rt__lane *lane,
                     rt_error *err) {
  ending last = {RT__JOB_COMPLETED, 0, 0};
  rt_err rc = rt__store_job(s->store, item->id, lane->capability, on_ending,
                            &last, err);
  if (rc != RT_OK) return rc;
  uncount(lane, last.state);
  item->done &= ~lane->bit;
  item->aside |= lane->bit;
  rt__item_changed(s, item);
  bool held = !rt__item_open_for(item, lane);
  rt__job_row row = {.asset = item->id,
                     .capability = lane->capability,
                     .state = held ? RT__JOB_HELD : RT__JOB_QUEUED,
                     .attempt = 1,
                     .priority =
                         item->priority ? item->priority : lane->priority};
  lane->asides = true;
  s->reruns++;
  s->touched = true;
  return rt__store_put_job(s->store, &row, err);
}

/* Has it ended so long ago that it runs again? */
static rt_err due(rt_session *s, const rt__item *item, const rt__lane *lane,
                  bool seed, bool *is_due, rt_error *err) {
  ending last = {RT__JOB_COMPLETED, 0, 0};
  *is_due = false;
  if (!rt__again_by_time(lane->cap) || !(item->done & lane->bit)) return RT_OK;
  rt_err rc = rt__store_job(s->store, item->id, lane->capability, on_ending,
                            &last, err);
  if (lane->cap->decl->rerun == RT__RERUN_ALWAYS) {
    *is_due = seed || (last.run != s->run && last.ended <= s->run_began);
  } else {
    *is_due = last.ended + (int64_t)(lane->cap->decl->rerun_after * 1000) <=
              now_ms(s);
  }
  return rc;
}

rt_err rt__again_found(rt_session *s, int64_t asset, const rt__class *cls,
                       bool seed, rt_error *err) {
  bool any = false;
  for (size_t i = 0; i < cls->lane_count; i++) {
    any = any || rt__again_by_time(cls->lanes[i]->cap);
  }
  if (!any) return RT_OK;
  rt__item *item = rt__item_load(s, asset, err);
  rt_err rc = item ? RT_OK : RT_EINTERNAL;
  for (int priority = 1; rc == RT_OK && priority <= 9; priority++) {
    for (size_t i = 0; rc == RT_OK && i < cls->lane_count; i++) {
      rt__lane *lane = cls->lanes[i];
      bool is_due = false;
      if (lane->priority != priority) continue;
      rc = due(s, item, lane, seed, &is_due, err);
      if (rc == RT_OK && is_due) rc = rt__again_run(s, item, lane, err);
    }
  }
  if (item) rt__item_unref(s, item);
  return rc;
}

/* What waits will see the change; what runs may have looked before it. */
static rt_err again_lane(rt_session *s, rt__item *item, rt__lane *lane,
                         rt_error *err) {
  rt__live *live =
      rt__idmap_get(&s->lives, RT__JOB_ID(item->id, lane->capability));
  if (live) {
    live->again = live->again || live->state == RT__LIVE_RUNNING ||
                  live->state == RT__LIVE_PREPARING;
    return RT_OK;
  }
  if (!(item->done & lane->bit)) return RT_OK;
  return rt__again_run(s, item, lane, err);
}

rt_err rt__again_changed(rt_session *s, int64_t asset, const rt__class *cls,
                         const rt__live *by, rt_error *err) {
  bool own = by && by->item->id == asset, any = false;
  for (size_t i = 0; i < cls->lane_count; i++) {
    const rt__cap *cap = cls->lanes[i]->cap;
    any = any || (cap && cap->decl->rerun == RT__RERUN_ON_CHANGE);
  }
  if (!any) return RT_OK;
  rt__item *item = rt__item_load(s, asset, err);
  rt_err rc = item ? RT_OK : RT_EINTERNAL;
  for (int priority = 1; rc == RT_OK && priority <= 9; priority++) {
    for (size_t i = 0; rc == RT_OK && i < cls->lane_count; i++) {
      rt__lane *lane = cls->lanes[i];
      bool wants = lane->priority == priority && lane->cap &&
                   lane->cap->decl->rerun == RT__RERUN_ON_CHANGE;
      if (!wants || (own && by->lane == lane)) continue;
      rc = again_lane(s, item, lane, err);
    }
  }
  if (item) rt__item_unref(s, item);
  return rc;
}
