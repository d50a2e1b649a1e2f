/* lanes.c - the classes, capabilities and lanes of a session.
 *
 * They are numbered as they come and never renumbered: the numbers are in the
 * file. A capability that is not loaded keeps its lanes, without a cap: their
 * open jobs count as skipped until it is back.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

static bool grow(void *array, size_t count) {
  void **at = array;
  if (count & (count - 1) && count) return true; /* room up to a power of 2 */
  size_t room = count ? count * 2 : 1;
  void *more = realloc(*at, room * sizeof(void *));
  if (!more) return false;
  *at = more;
  return true;
}

rt_err rt__class_new(rt_session *s, const rt__class_row *row, rt__class **out,
                     rt_error *err) {
  rt__class *cls = calloc(1, sizeof(*cls));
  if (!cls) goto no_memory;
  cls->id = row->id;
  cls->assets = row->assets;
  cls->name = strdup(row->name);
  if (!cls->name || !grow(&s->classes, s->class_count)) goto no_memory;
  if (rt__map_set(&s->class_index, cls->name, strlen(cls->name), cls, NULL) !=
      RT_OK) {
    goto no_memory;
  }
  s->classes[s->class_count++] = cls;
  *out = cls;
  return RT_OK;
no_memory:
  if (cls) free(cls->name);
  free(cls);
  return rt_fail(err, RT_ENOMEM, "no memory");
}

static rt_value *options_of(const rt_session *s, const char *name) {
  rt_value *out = NULL;
  if (!s->options) return NULL;
  rt_view view = rt_view_get(rt_value_view(s->options), name);
  if (rt_view_type(view) == RT_MAP) rt_view_copy(&out, view, NULL);
  return out;
}

rt_err rt__known_new(rt_session *s, const rt__capability_row *row,
                     rt__known **out, rt_error *err) {
  rt__known *known = calloc(1, sizeof(*known));
  if (!known) goto no_memory;
  known->id = (uint32_t)row->id;
  known->options = options_of(s, row->name);
  known->name = strdup(row->name);
  if (!known->name || !grow(&s->known, s->known_count)) goto no_memory;
  s->known[s->known_count++] = known;
  *out = known;
  return RT_OK;
no_memory:
  if (known) free(known->name);
  if (known) rt_value_unref(known->options);
  free(known);
  return rt_fail(err, RT_ENOMEM, "no memory");
}

rt_err rt__lane_new(rt_session *s, rt__class *cls, const rt__lane_row *row,
                    rt__lane **out, rt_error *err) {
  rt__lane *lane = calloc(1, sizeof(*lane));
  if (!lane || !grow(&s->lanes, s->lane_count) ||
      !grow(&cls->lanes, cls->lane_count)) {
    free(lane);
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  lane->cls = cls;
  lane->capability = (uint32_t)row->capability;
  lane->row = *row;
  lane->row.loaded = 0;
  lane->bit = 1ULL << row->position;
  lane->priority = 5;
  lane->cursor = row->mark;
  if (row->canceled > 0) { /* else it began later, or had ended them all */
    lane->given_up = rt__store_meta_int(s->store, RT__META_DISCARDED, 0);
  }
  lane->behind = lane->asides = true;
  s->lanes[s->lane_count++] = lane;
  cls->lanes[cls->lane_count++] = lane;
  *out = lane;
  return RT_OK;
}

void rt__lane_free(rt__lane *lane) {
  free(lane->fresh.at);
  free(lane->ready.at);
  free(lane);
}

size_t rt__lane_window(const rt__lane *lane) {
  return lane->fresh.count + lane->ready.count + lane->preparing;
}

int64_t rt__lane_open(const rt__lane *lane) {
  const rt__lane_row *row = &lane->row;
  return row->total - row->completed - row->skipped - row->failed -
         row->canceled;
}

rt__lane *rt__session_lane(rt_session *s, rt__class *cls, uint32_t capability) {
  (void)s;
  for (size_t i = 0; i < cls->lane_count; i++) {
    if (cls->lanes[i]->capability == capability) return cls->lanes[i];
  }
  return NULL;
}

/* --- which capability has to do with which class --------------------- */
static void lane_attach(rt__lane *lane, rt__cap *cap) {
  lane->cap = cap;
  lane->row.loaded = 1;
  lane->priority = cap->decl->priority;
  lane->cursor = lane->row.mark;
  lane->behind = lane->asides = true;
}

/* One that began after some of its class's assets takes those in as well;
 * not among assets that were given up, where it could not tell which. */
static rt_err lane_backfill(rt_session *s, rt__lane *lane, rt_error *err) {
  int64_t count = 0;
  if (lane->row.since <= 1 || lane->row.since <= lane->given_up) return RT_OK;
  rt_err rc = rt__store_count_before(s->store, lane->cls->id, lane->row.since,
                                     &count, err);
  if (rc != RT_OK) return rc;
  lane->row.since = lane->row.mark = 0;
  lane->row.total += count;
  return rt__store_put_lane(s->store, &lane->row, err);
}

static rt_err add_lane(rt_session *s, rt__class *cls, rt__known *known,
                       bool backfill, rt_error *err) {
  rt__lane *lane = rt__session_lane(s, cls, known->id);
  if (lane) {
    bool asked = backfill && s->loaded; /* by whoever registers it */
    rt_err rc = asked ? lane_backfill(s, lane, err) : RT_OK;
    lane_attach(lane, known->cap);
    return rc;
  }
  if (cls->lane_count >= RT__LANES_MAX) {
    rt__session_log(s, RT_LOG_ERROR,
                    "session '%s': more than %d capabilities take %s, '%s' is "
                    "left out",
                    s->name, RT__LANES_MAX, cls->name, known->name);
    return RT_OK;
  }
  int64_t last = rt__store_last_asset(s->store);
  rt__lane_row row = {.class_id = cls->id,
                      .capability = known->id,
                      .position = (int64_t)cls->lane_count,
                      .since = backfill ? 0 : last + 1,
                      .mark = backfill ? 0 : last,
                      .total = backfill ? cls->assets : 0};
  rt_err rc = rt__lane_new(s, cls, &row, &lane, err);
  if (rc != RT_OK) return rc;
  lane_attach(lane, known->cap);
  lane->asides = false;
  lane->behind = backfill && cls->assets > 0;
  return rt__store_put_lane(s->store, &lane->row, err);
}

static bool takes(const rt__known *known, const rt__class *cls) {
  return known->cap &&
         rt__capability_takes(known->cap->decl, cls->name, strlen(cls->name));
}

rt__class *rt__session_class(rt_session *s, const char *name, size_t size,
                             rt_error *err) {
  rt__class *cls = rt__map_get(&s->class_index, name, size);
  if (cls) return cls;
  char *text = strndup(name, size);
  rt__class_row row = {(int64_t)s->class_count + 1, 0, text};
  rt_err rc = text ? rt__class_new(s, &row, &cls, err)
                   : rt_fail(err, RT_ENOMEM, "no memory");
  if (rc == RT_OK) rc = rt__store_put_class(s->store, &row, err);
  free(text);
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++) {
    if (takes(s->known[i], cls)) {
      rc = add_lane(s, cls, s->known[i], true, err);
    }
  }
  return rc == RT_OK ? cls : NULL;
}

static bool listed(char *const *words, size_t count,
                   const rt_capability *decl) {
  for (size_t i = 0; i < count; i++) {
    if (rt__capability_is(decl, words[i])) return true;
  }
  return false;
}

bool rt__session_wants(const rt_session *s, const rt_capability *decl) {
  if (s->only && !listed(s->only, s->only_count, decl)) return false;
  return !listed(s->without, s->without_count, decl);
}

static rt__known *find_known(rt_session *s, const char *name) {
  for (size_t i = 0; i < s->known_count; i++) {
    if (strcmp(s->known[i]->name, name) == 0) return s->known[i];
  }
  return NULL;
}

rt_err rt__session_add_cap(rt_session *s, rt__cap *cap, bool backfill,
                           rt_error *err) {
  rt_err told = rt__tell_capability(s, cap, err);
  if (told != RT_OK || !rt__session_wants(s, cap->decl)) return told;
  rt__known *known = find_known(s, cap->decl->name);
  rt_err rc = RT_OK;
  if (!known) {
    if (s->known_count + 1 >= RT__CAPABILITIES_MAX) {
      return rt_fail(err, RT_EUNAVAIL, "too many capabilities in a session");
    }
    rt__capability_row row = {(int64_t)s->known_count + 1, cap->decl->name};
    rc = rt__known_new(s, &row, &known, err);
    if (rc == RT_OK) rc = rt__store_put_capability(s->store, &row, err);
  }
  if (rc != RT_OK) return rc;
  known->cap = cap;
  rc = rt__again_known(s, known, err);
  if (rc == RT_OK) rc = rt__hold_read(s, cap, err);
  for (size_t i = 0; rc == RT_OK && i < s->class_count; i++) {
    if (takes(known, s->classes[i])) {
      rc = add_lane(s, s->classes[i], known, backfill, err);
    }
  }
  s->touched = true;
  return rc;
}

/* What waits is let go (its rows stay); what runs may end. */
static rt_err empty_lane(rt_session *s, rt__lane *lane, rt_error *err) {
  size_t at = 0;
  rt__live *live;
  rt_err rc = RT_OK;
  while (rc == RT_OK && (live = rt__idmap_next(&s->lives, &at))) {
    if (live->lane != lane || live->state == RT__LIVE_RUNNING) continue;
    rt__job_row row = {.asset = live->item->id,
                       .capability = lane->capability,
                       .state = RT__JOB_QUEUED,
                       .attempt = live->attempt,
                       .crashes = live->crashes,
                       .fanout = live->fanout,
                       .priority = live->priority,
                       .errors = live->errors};
    if (live->aside) rc = rt__store_put_job(s->store, &row, err);
    rt__live_forget(s, live);
    rt__live_free(s, live);
    at--; /* removal moves entries */
  }
  return rc;
}

/* Later stages no longer wait for a lane that is gone, nor for its retries. */
void rt__class_rescan(rt__class *cls) {
  for (size_t i = 0; i < cls->lane_count; i++) {
    cls->lanes[i]->cursor = 0;
    cls->lanes[i]->behind = cls->lanes[i]->asides = true;
  }
}

rt_err rt__session_drop_cap(rt_session *s, rt__cap *cap, rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (lane->cap != cap) continue;
    rc = empty_lane(s, lane, err);
    lane->cap = NULL;
    lane->row.loaded = 0;
    rt__class_rescan(lane->cls);
    if (rc == RT_OK) rc = rt__again_unhold(s, lane->cls, err);
  }
  for (size_t i = 0; i < s->known_count; i++) {
    if (s->known[i]->cap == cap) s->known[i]->cap = NULL;
  }
  s->touched = true;
  return rc;
}
