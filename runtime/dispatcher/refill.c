/* refill.c - reading what can run from the store into the lanes' windows.
 *
 * A lane reads asset rows in order of creation, behind its cursor. A new asset
 * whose lane has read everything goes into the window at once, so a hop waits
 * for no timer. Rows put aside (retries that are due, what was interrupted)
 * come first. What is in memory already is recognised by its number.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

static size_t window_max(const rt_session *s) {
  size_t sessions = s->engine->live_count;
  size_t share = RT__WINDOW_MAX / (sessions ? sessions : 1);
  return share ? share : 1;
}

static bool concerns(const rt__lane *lane, const rt__item *item) {
  bool begun = (item->done | item->aside) & lane->bit;
  return lane->cap && item->id >= lane->row.since &&
         (begun || item->id > lane->given_up);
}

/* Have all earlier stages of the asset ended? */
bool rt__item_open_for(const rt__item *item, const rt__lane *lane) {
  for (size_t i = 0; i < item->cls->lane_count; i++) {
    const rt__lane *other = item->cls->lanes[i];
    if (other->priority >= lane->priority || !concerns(other, item)) continue;
    if (!(item->done & other->bit)) return false;
  }
  return true;
}

static rt_err put_aside(rt_session *s, rt__lane *lane, rt__item *item,
                        rt_error *err) {
  rt__job_row row = {.asset = item->id,
                     .capability = lane->capability,
                     .state = RT__JOB_QUEUED,
                     .attempt = 1,
                     .priority =
                         item->priority ? item->priority : lane->priority};
  item->aside |= lane->bit;
  rt__item_changed(s, item);
  lane->asides = true;
  return rt__store_put_job(s->store, &row, err);
}

static rt_err make_live(rt_session *s, rt__lane *lane, rt__item *item,
                        rt_error *err) {
  rt__live *live = rt__live_new(s, lane, item);
  if (live && rt__live_queue(s, live)) return RT_OK;
  return rt_fail(err, RT_ENOMEM, "no memory");
}

static rt_err enqueue(rt_session *s, rt__lane *lane, rt__item *item,
                      bool at_once, rt_error *err) {
  if (at_once) return make_live(s, lane, item, err);
  bool ahead = lane->behind && item->id > lane->cursor;
  bool urgent = item->priority && item->priority < lane->priority;
  if (ahead && !urgent) return RT_OK; /* the cursor will come to it */
  if (!ahead && rt__lane_window(lane) < window_max(s)) {
    return make_live(s, lane, item, err);
  }
  if (!lane->behind && !urgent) {
    lane->behind = true;
    lane->cursor = item->id - 1;
    return RT_OK;
  }
  return put_aside(s, lane, item, err);
}

/* One that runs again and was held for an earlier stage. */
static rt_err release(rt_session *s, rt__item *item, rt__lane *lane,
                      rt_error *err) {
  bool open = s->rerunning && (item->aside & lane->bit) &&
              !(item->done & lane->bit) && rt__item_open_for(item, lane);
  uint64_t id = RT__JOB_ID(item->id, lane->capability);
  if (!open || rt__idmap_get(&s->lives, id)) return RT_OK;
  bool released;
  rt_err rc =
      rt__store_release(s->store, item->id, lane->capability, &released, err);
  if (released) lane->asides = true;
  return rc;
}

rt_err rt__item_advance(rt_session *s, rt__item *item, bool at_once,
                        rt_error *err) {
  rt_err rc = RT_OK;
  rt__class *cls = item->cls;
  for (size_t i = 0; rc == RT_OK && i < cls->lane_count; i++) {
    rt__lane *lane = cls->lanes[i];
    if (!concerns(lane, item)) continue;
    if ((item->done | item->aside) & lane->bit) {
      rc = release(s, item, lane, err);
      continue;
    }
    if (!rt__item_open_for(item, lane)) continue;
    uint64_t id = RT__JOB_ID(item->id, lane->capability);
    if (rt__idmap_get(&s->lives, id)) continue;
    rc = enqueue(s, lane, item, at_once, err);
  }
  return rc;
}

/* --- the cursor ------------------------------------------------------ */
typedef struct scan {
  rt_session *s;
  rt__lane *lane;
  int64_t rows;
  int64_t parent; /* whose key is `key`: neighbours often have the same one */
  char *key;
  rt_error *err;
} scan;

static rt__text parent_key(scan *sc, const rt__asset_row *row) {
  if (row->parent && row->parent != sc->parent) {
    free(sc->key);
    sc->key = rt__store_key(sc->s->store, row->parent);
    sc->parent = row->parent;
  }
  if (!row->parent || !sc->key) return (rt__text){NULL, 0};
  return (rt__text){sc->key, strlen(sc->key)};
}

static rt_err on_scan(const rt__asset_row *row, void *arg) {
  scan *sc = arg;
  rt_session *s = sc->s;
  rt__lane *lane = sc->lane;
  sc->rows++;
  lane->cursor = row->id;
  if (rt__idmap_get(&s->lives, RT__JOB_ID(row->id, lane->capability))) {
    return RT_OK;
  }
  rt__item *item = rt__item_get(s, row->id);
  if (!item) item = rt__item_of_row(s, row, parent_key(sc, row));
  if (!item) return rt_fail(sc->err, RT_ENOMEM, "no memory");
  if (!concerns(lane, item) || ((item->done | item->aside) & lane->bit) ||
      !rt__item_open_for(item, lane)) {
    rt__item_unref(s, item);
    return RT_OK;
  }
  return make_live(s, lane, item, sc->err);
}

static rt_err read_rows(rt_session *s, rt__lane *lane, int64_t limit,
                        rt_error *err) {
  int64_t last = rt__store_last_asset(s->store);
  int64_t from = lane->cursor;
  if (from + 1 < lane->row.since) from = lane->row.since - 1;
  int64_t upto = from + RT__SCAN_ROWS < last ? from + RT__SCAN_ROWS : last;
  scan sc = {.s = s, .lane = lane, .err = err};
  lane->cursor = from;
  rt_err rc = rt__store_scan(s->store, lane->cls->id, lane->bit, from, upto,
                             limit, on_scan, &sc, err);
  free(sc.key);
  if (rc != RT_OK) return rc;
  if (sc.rows < limit) lane->cursor = upto;
  if (lane->cursor >= last) lane->behind = false;
  return RT_OK;
}

/* --- rows put aside -------------------------------------------------- */
typedef struct aside {
  int64_t asset, class_id, capability;
  uint32_t attempt, crashes, fanout;
  int priority;
  rt_value *errors;
} aside;
typedef struct asides {
  aside *at;
  size_t count, room;
} asides;

static rt_err on_aside(const rt__job_row *row, void *arg) {
  asides *list = arg;
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 64;
    aside *at = realloc(list->at, room * sizeof(*at));
    if (!at) return RT_ENOMEM;
    list->at = at;
    list->room = room;
  }
  list->at[list->count++] = (aside){
      row->asset,
      row->class_id,
      row->capability,
      (uint32_t)row->attempt,
      (uint32_t)row->crashes,
      (uint32_t)row->fanout,
      (int)row->priority,
      row->errors ? rt_value_ref(row->errors) : NULL,
  };
  return RT_OK;
}

static void asides_free(asides *list) {
  for (size_t i = 0; i < list->count; i++) rt_value_unref(list->at[i].errors);
  free(list->at);
}

static rt_err revive(rt_session *s, rt__lane *lane, aside *row, rt_error *err) {
  rt_err rc = rt__store_take_job(s->store, row->asset, row->capability, err);
  if (rc != RT_OK) return rc;
  if (rt__idmap_get(&s->lives, RT__JOB_ID(row->asset, row->capability))) {
    return RT_OK;
  }
  rt__item *item = rt__item_load(s, row->asset, err);
  if (!item) return RT_EINTERNAL;
  rt__live *live = rt__live_new(s, lane, item);
  if (!live) return rt_fail(err, RT_ENOMEM, "no memory");
  live->attempt = row->attempt;
  live->crashes = row->crashes;
  live->fanout = row->fanout;
  if (row->priority) live->priority = row->priority;
  live->errors = row->errors;
  row->errors = NULL;
  if (rt__live_queue(s, live)) return RT_OK;
  return rt_fail(err, RT_ENOMEM, "no memory");
}

static rt_err read_asides(rt_session *s, rt__lane *lane, int64_t limit,
                          rt_error *err) {
  asides list = {NULL, 0, 0};
  rt_err rc = rt__store_aside_jobs(s->store, lane->cls->id, lane->capability,
                                   limit, on_aside, &list, err);
  for (size_t i = 0; rc == RT_OK && i < list.count; i++) {
    rc = revive(s, lane, &list.at[i], err);
  }
  if (rc == RT_OK && (int64_t)list.count < limit) lane->asides = false;
  asides_free(&list);
  return rc;
}

/* --- the windows ----------------------------------------------------- */
static size_t window_low(const rt_session *s) {
  size_t max = window_max(s);
  return max < RT__WINDOW_MIN ? max : RT__WINDOW_MIN;
}

static bool lane_hungry(const rt_session *s, const rt__lane *lane) {
  return lane->cap && (lane->behind || lane->asides) &&
         rt__lane_window(lane) < window_low(s) &&
         lane->waiting <= 2 * RT__WAITING_MAX;
}

bool rt__session_hungry(const rt_session *s) {
  if (s->running >= s->concurrency || s->alone) return false;
  for (size_t i = 0; i < s->lane_count; i++) {
    if (lane_hungry(s, s->lanes[i])) return true;
  }
  return false;
}

static rt_err refill_lane(rt_session *s, rt__lane *lane, bool *more,
                          rt_error *err) {
  size_t max = window_max(s);
  rt_err rc = RT_OK;
  if (!lane_hungry(s, lane)) return RT_OK;
  if (lane->asides) {
    rc = read_asides(s, lane, (int64_t)(max - rt__lane_window(lane)), err);
  }
  if (rc == RT_OK && lane->behind && rt__lane_window(lane) < max) {
    rc = read_rows(s, lane, (int64_t)(max - rt__lane_window(lane)), err);
  }
  if (lane_hungry(s, lane)) *more = true;
  return rc;
}

rt_err rt__session_refill(rt_session *s, bool *more, rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->lane_count; i++) {
    rc = refill_lane(s, s->lanes[i], more, err);
  }
  return rc;
}

/* --- what was delayed ------------------------------------------------ */
static rt_err now_due(rt_session *s, aside *row, rt_error *err) {
  rt__job_row queued = {.asset = row->asset,
                        .capability = row->capability,
                        .state = RT__JOB_QUEUED,
                        .attempt = row->attempt,
                        .crashes = row->crashes,
                        .fanout = row->fanout,
                        .priority = row->priority,
                        .errors = row->errors};
  rt__class *cls = s->classes[row->class_id - 1];
  rt__lane *lane = rt__session_lane(s, cls, (uint32_t)row->capability);
  if (lane) lane->asides = true;
  return rt__store_put_job(s->store, &queued, err);
}

rt_err rt__session_due(rt_session *s, rt_error *err) {
  double now = rt__session_now(s);
  if (s->next_due <= 0 || now < s->next_due) return RT_OK;
  asides list = {NULL, 0, 0};
  rt_err rc =
      rt__store_due_jobs(s->store, now, RT__WINDOW_MAX, on_aside, &list, err);
  for (size_t i = 0; rc == RT_OK && i < list.count; i++) {
    rc = now_due(s, &list.at[i], err);
  }
  asides_free(&list);
  s->next_due = rt__store_next_due(s->store);
  return rc;
}
