/* remove.c - deleting an asset of an open session.
 *
 * Its queued jobs are forgotten, its ended ones are no longer counted: the
 * numbers of a session are about the assets that it has. What it led to stays.
 * Found again it is a new asset, with a new number.
 * SPDX-License-Identifier: MIT */
#include "dispatcher/internal.h"

static rt__live *live_of(rt_session *s, const rt__item *item,
                         const rt__lane *lane) {
  return rt__idmap_get(&s->lives, RT__JOB_ID(item->id, lane->capability));
}

static bool runs(rt_session *s, const rt__item *item) {
  for (size_t i = 0; i < item->cls->lane_count; i++) {
    rt__live *live = live_of(s, item, item->cls->lanes[i]);
    if (live && live->state == RT__LIVE_RUNNING) return true;
  }
  return false;
}

static rt_err drop_jobs(rt_session *s, rt__item *item, rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < item->cls->lane_count; i++) {
    rt__lane *lane = item->cls->lanes[i];
    rt__live *live = live_of(s, item, lane);
    if (live) {
      rt__live_forget(s, live);
      rt__live_free(s, live);
    }
    rc = rt__store_uncount(s->store, &lane->row, item->id, item->done, err);
  }
  return rc;
}

/* Below its seed there is one less. */
static void uncount(rt_session *s, const rt__item *item) {
  if (!s->roots_known || item->root == item->id) return;
  uint64_t root = (uint64_t)item->root;
  intptr_t count = (intptr_t)rt__idmap_get(&s->roots, root);
  if (count > 0) rt__idmap_set(&s->roots, root, (void *)(count - 1));
}

static void tell(rt_session *s, const rt__item *item) {
  rt_view asset = rt_value_view(item->asset);
  rt__asset_row row = {.id = item->id, .depth = item->depth};
  rt__text key;
  key.at = rt_view_string(rt_view_get(asset, "key"), &key.size);
  row.value.at = rt_view_string(rt_view_get(asset, "value"), &row.value.size);
  rt__note_asset(s, "asset.deleted", key, &row, item->cls->name, NULL);
}

rt_err rt__asset_delete(rt_session *s, const rt__asset_row *found,
                        rt_error *err) {
  rt__item *item = rt__item_load(s, found->id, err);
  if (!item) return RT_EUNAVAIL;
  item->refs++; /* while its jobs go */
  rt_err rc = RT_OK;
  if (runs(s, item)) {
    rc = rt_fail(err, RT_ECONFLICT, "a job of the asset is running");
  }
  if (rc == RT_OK) rc = rt__store_begin(s->store, err);
  if (rc == RT_OK) rc = drop_jobs(s, item, err);
  if (rc == RT_OK) rc = rt__store_note_deleted(s->store, item->id, err);
  if (rc == RT_OK) rc = rt__store_delete_asset(s->store, item->id, err);
  if (rc == RT_OK) {
    item->cls->assets--;
    item->cls->dirty = true;
    s->assets--;
    uncount(s, item);
    tell(s, item);
  }
  item->refs--;
  rt__item_unref(s, item);
  return rc;
}
