/* items.c - assets and jobs in memory, and the queues they stand in.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

/* --- items ------------------------------------------------------------------
 */
rt__item *rt__item_get(rt_session *s, int64_t id) {
  return rt__idmap_get(&s->items, (uint64_t)id);
}

/* The map an executor gets: {key, class, value, metadata?, depth, parent?}. */
static rt_value *asset_value(rt_session *s, rt__class *cls,
                             const rt__asset_row *row, rt__text parent_key) {
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_value *value = NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "key");
  if (row->key.at) {
    rt_builder_lstring(b, row->key.at, row->key.size);
  } else {
    rt__buf_clear(&s->item_scratch);
    rt__buf_puts(&s->item_scratch, cls->name);
    rt__buf_putc(&s->item_scratch, ':');
    rt__buf_append(&s->item_scratch, row->value.at, row->value.size);
    rt_builder_lstring(b, s->item_scratch.data, s->item_scratch.size);
  }
  rt_builder_key(b, "class");
  rt_builder_string(b, cls->name);
  rt_builder_key(b, "value");
  rt_builder_lstring(b, row->value.at, row->value.size);
  if (row->metadata) {
    rt_builder_key(b, "metadata");
    rt_builder_value(b, row->metadata);
  }
  rt_builder_key(b, "depth");
  rt_builder_int(b, row->depth);
  if (parent_key.at) {
    rt_builder_key(b, "parent");
    rt_builder_lstring(b, parent_key.at, parent_key.size);
  }
  rt_builder_end(b);
  rt_builder_finish(b, &value, NULL);
  rt_builder_free(b);
  return value;
}

rt__item *rt__item_of_row(rt_session *s, const rt__asset_row *row,
                          rt__text parent_key) {
  rt__item *item = rt__item_get(s, row->id);
  if (item) return item;
  if (row->class_id < 1 || (size_t)row->class_id > s->class_count) return NULL;
  item = calloc(1, sizeof(*item));
  if (!item) return NULL;
  item->id = row->id;
  item->cls = s->classes[row->class_id - 1];
  item->depth = row->depth;
  item->root = row->root;
  item->priority = row->priority;
  item->done = row->done;
  item->aside = row->aside;
  size_t size = row->metadata ? rt_value_size(row->metadata) : 0;
  if (size + row->value.size <= RT__KEEP_BYTES &&
      (parent_key.at || !row->parent)) {
    item->asset = asset_value(s, item->cls, row, parent_key);
  }
  if (!rt__idmap_set(&s->items, (uint64_t)item->id, item)) {
    rt_value_unref(item->asset);
    free(item);
    return NULL;
  }
  return item;
}

typedef struct load_arg {
  rt_session *s;
  rt__item *item;
} load_arg;

/* A row that was asked for by its number gets its value, whatever its size. */
static rt_err on_row(const rt__asset_row *row, void *arg) {
  load_arg *load = arg;
  char *key = row->parent ? rt__store_key(load->s->store, row->parent) : NULL;
  rt__text parent = {key, key ? strlen(key) : 0};
  load->item = rt__item_of_row(load->s, row, parent);
  if (load->item && !load->item->asset) {
    load->item->asset = asset_value(load->s, load->item->cls, row, parent);
  }
  free(key);
  return RT_OK;
}

rt__item *rt__item_load(rt_session *s, int64_t id, rt_error *err) {
  rt__item *item = rt__item_get(s, id);
  if (item && item->asset) return item;
  load_arg load = {s, NULL};
  rt_err rc = rt__store_load(s->store, id, on_row, &load, err);
  if (rc == RT_OK && (!load.item || !load.item->asset)) {
    rt_fail(err, RT_EINTERNAL, "asset %lld cannot be read", (long long)id);
    return NULL;
  }
  return rc == RT_OK ? load.item : NULL;
}

void rt__item_changed(rt_session *s, rt__item *item) {
  if (item->dirty) return;
  item->dirty = true;
  item->next_dirty = s->dirty_items;
  s->dirty_items = item;
}

/* Freed when no job needs it and its masks are written. */
void rt__item_unref(rt_session *s, rt__item *item) {
  if (item->refs > 0 || item->dirty) return;
  rt__idmap_remove(&s->items, (uint64_t)item->id);
  rt_value_unref(item->asset);
  free(item);
}

/* --- jobs -------------------------------------------------------------------
 */
static void lane_link(rt__lane *lane, rt__live *live) {
  rt__live *after = lane->last;
  while (after && after->item->id > live->item->id) after = after->prev;
  live->prev = after;
  live->next = after ? after->next : lane->first;
  if (live->next) {
    live->next->prev = live;
  } else {
    lane->last = live;
  }
  if (after) {
    after->next = live;
  } else {
    lane->first = live;
  }
}

static void lane_unlink(rt__lane *lane, rt__live *live) {
  if (live->prev) {
    live->prev->next = live->next;
  } else {
    lane->first = live->next;
  }
  if (live->next) {
    live->next->prev = live->prev;
  } else {
    lane->last = live->prev;
  }
}

/* `aside` is taken from the item: the row is there already. */
rt__live *rt__live_new(rt_session *s, rt__lane *lane, rt__item *item) {
  rt__live *live = calloc(1, sizeof(*live));
  if (!live) return NULL;
  live->id = RT__JOB_ID(item->id, lane->capability);
  live->session = s;
  live->lane = lane;
  live->item = item;
  live->attempt = 1;
  live->aside = (item->aside & lane->bit) != 0;
  live->priority = item->priority ? (int)item->priority : lane->priority;
  if (!rt__idmap_set(&s->lives, live->id, live)) {
    free(live);
    return NULL;
  }
  item->refs++;
  if (!live->aside) lane_link(lane, live);
  return live;
}

static void unpromise(rt__live *live) {
  if (!live->promised || !live->rate_key || !live->cap) return;
  rt__bucket *bucket = rt__cap_key(live->cap, live->rate_key);
  if (bucket && bucket->promised) bucket->promised--;
  live->promised = false;
}

static void leave_bucket(rt__live *live) {
  rt__bucket *bucket = rt__cap_key(live->cap, live->rate_key);
  if (!bucket) return;
  rt__live **at = &bucket->first, *before = NULL;
  while (*at && *at != live) {
    before = *at;
    at = &(*at)->bucket_next;
  }
  if (!*at) return;
  *at = live->bucket_next;
  bucket->count--;
  if (bucket->last == live) bucket->last = before;
}

void rt__live_forget(rt_session *s, rt__live *live) {
  (void)s;
  rt__lane *lane = live->lane;
  switch (live->state) {
  case RT__LIVE_FRESH:
    rt__heap_remove(&lane->fresh, live);
    break;
  case RT__LIVE_PREPARING:
    lane->preparing--;
    break;
  case RT__LIVE_WAITING:
    leave_bucket(live);
    lane->waiting--;
    break;
  case RT__LIVE_READY:
    rt__heap_remove(&lane->ready, live);
    unpromise(live);
    break;
  case RT__LIVE_RUNNING:
    break;
  }
}

void rt__live_free(rt_session *s, rt__live *live) {
  rt__idmap_remove(&s->lives, live->id);
  if (!live->aside) lane_unlink(live->lane, live);
  rt__item *item = live->item;
  item->refs--;
  rt_value_unref(live->errors);
  free(live->rate_key);
  free(live->fault);
  free(live);
  rt__item_unref(s, item);
}

static bool to_bucket(rt__live *live, uint64_t now) {
  rt__cap *cap = live->lane->cap;
  rt__bucket *bucket = rt__cap_key(cap, live->rate_key);
  if (!bucket) return false;
  live->cap = cap;
  if (!bucket->first && rt__bucket_ready(bucket, cap->decl->rate, now, NULL)) {
    bucket->promised++;
    live->promised = true;
    return false;
  }
  live->bucket_next = NULL;
  bucket->count++;
  if (bucket->first) {
    bucket->last->bucket_next = live;
  } else {
    bucket->first = live;
  }
  bucket->last = live;
  if (!bucket->listed) {
    bucket->listed = true;
    bucket->next = cap->waiting;
    cap->waiting = bucket;
  }
  return true;
}

/* Into the queue it belongs to; false when memory is short. */
bool rt__live_queue(rt_session *s, rt__live *live) {
  rt__lane *lane = live->lane;
  if (lane->cap && !live->prepared && rt__cap_needs_prepare(lane->cap)) {
    live->state = RT__LIVE_FRESH;
    return rt__heap_push(&lane->fresh, live);
  }
  if (lane->cap && live->rate_key && lane->cap->decl->rate > 0 &&
      to_bucket(live, s->engine->now)) {
    live->state = RT__LIVE_WAITING;
    lane->waiting++;
    return true;
  }
  live->state = RT__LIVE_READY;
  return rt__heap_push(&lane->ready, live);
}
