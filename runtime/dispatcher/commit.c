/* commit.c - writing what a step changed, and telling about it afterwards.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

static rt_err write_items(rt_session *s, rt_error *err) {
  for (rt__item *item = s->dirty_items; item; item = item->next_dirty) {
    rt_err rc =
        rt__store_set_masks(s->store, item->id, item->done, item->aside, err);
    if (rc != RT_OK) return rc;
  }
  return RT_OK;
}

static void clean_items(rt_session *s) {
  rt__item *item = s->dirty_items;
  s->dirty_items = NULL;
  while (item) {
    rt__item *next = item->next_dirty;
    item->dirty = false;
    rt__item_unref(s, item);
    item = next;
  }
}

/* Up to where nothing of this lane is open, but for rows put aside. */
static int64_t own_mark(const rt_session *s, const rt__lane *lane) {
  int64_t mark = lane->behind ? lane->cursor : rt__store_last_asset(s->store);
  if (lane->first && lane->first->item->id - 1 < mark) {
    mark = lane->first->item->id - 1;
  }
  return mark;
}

/* What waits for an earlier stage is in no window: that stage's mark counts. */
static int64_t mark_of(const rt_session *s, const rt__lane *lane) {
  int64_t mark = own_mark(s, lane);
  for (size_t i = 0; i < lane->cls->lane_count; i++) {
    const rt__lane *other = lane->cls->lanes[i];
    if (!other->cap || other->priority >= lane->priority) continue;
    int64_t its = own_mark(s, other);
    if (its < mark) mark = its;
  }
  return mark;
}

static rt_err write_lanes(rt_session *s, rt_error *err) {
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (lane->cap) lane->row.mark = mark_of(s, lane);
    if (memcmp(&lane->row, &lane->written, sizeof(lane->row)) == 0) continue;
    rt_err rc = rt__store_put_lane(s->store, &lane->row, err);
    if (rc != RT_OK) return rc;
    lane->written = lane->row;
  }
  return RT_OK;
}

static rt_err write_classes(rt_session *s, rt_error *err) {
  for (size_t i = 0; i < s->class_count; i++) {
    rt__class *cls = s->classes[i];
    if (!cls->dirty) continue;
    rt__class_row row = {cls->id, cls->assets, cls->name};
    rt_err rc = rt__store_put_class(s->store, &row, err);
    if (rc != RT_OK) return rc;
    cls->dirty = false;
  }
  return RT_OK;
}

static rt_err write_segment(rt_session *s, size_t segment, rt_error *err) {
  rt__running list[RT__SEGMENT];
  size_t count = 0;
  for (size_t i = 0; i < RT__SEGMENT; i++) {
    rt__live *live = s->slots[segment * RT__SEGMENT + i];
    if (!live) continue;
    list[count++] = (rt__running){live->id, live->attempt, live->fanout};
  }
  return rt__store_put_running(s->store, (int64_t)segment, list, count, err);
}

static rt_err write_running(rt_session *s, rt_error *err) {
  for (size_t i = 0; i < s->slot_room / RT__SEGMENT; i++) {
    if (!s->segments[i]) continue;
    rt_err rc = write_segment(s, i, err);
    if (rc != RT_OK) return rc;
    s->segments[i] = false;
  }
  return RT_OK;
}

/* Now and then: they are statistics, not state. */
static rt_err write_times(rt_session *s, rt_error *err) {
  if (!s->closing && s->engine->now < s->times_ns) return RT_OK;
  s->times_ns = s->engine->now + 1000000000ull;
  if (s->next_due > 0) {
    int64_t now = (int64_t)(rt__session_now(s) * 1000);
    rt_err rc = rt__store_set_int(s->store, RT__META_CLOCK, now, err);
    if (rc != RT_OK) return rc;
  }
  rt_err told = rt__tell_waits(s, err);
  if (told != RT_OK) return told;
  for (size_t i = 0; i < s->known_count; i++) {
    rt__known *known = s->known[i];
    if (!known->dirty) continue;
    rt_err rc = rt__store_put_times(s->store, known->id, known->times,
                                    sizeof(known->times), err);
    if (rc != RT_OK) return rc;
    known->dirty = false;
  }
  return RT_OK;
}

rt_err rt__session_commit(rt_session *s, rt_error *err) {
  rt_err rc = RT_OK;
  if (!rt__store_dirty(s->store) && !s->dirty_items) return RT_OK;
  rc = write_items(s, err);
  if (rc == RT_OK) rc = write_classes(s, err);
  if (rc == RT_OK) rc = write_lanes(s, err);
  if (rc == RT_OK) rc = write_running(s, err);
  if (rc == RT_OK) rc = rt__budgets_write(s, err);
  if (rc == RT_OK) rc = write_times(s, err);
  if (rc == RT_OK) rc = rt__store_commit(s->store, err);
  if (rc == RT_OK) clean_items(s);
  return rc;
}

void rt__session_announce(rt_session *s) {
  int64_t last = rt__store_last_asset(s->store);
  rt__reply *replies = s->replies;
  s->replies = NULL;
  s->replies_last = &s->replies;
  rt__notes_send(s);
  if (last > s->told_asset) {
    s->told_asset = last;
    uv_mutex_lock(&s->commit_lock);
    if (s->on_commit) s->on_commit(last, s->on_commit_arg);
    uv_mutex_unlock(&s->commit_lock);
  }
  while (replies) {
    rt__reply *reply = replies;
    replies = reply->next;
    reply->fn(RT_OK, NULL, reply->result, reply->arg); /* takes result */
    free(reply);
  }
}
