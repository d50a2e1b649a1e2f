/* remove.c - taking an asset out of a session's file.
 *
 * Everything that is kept under its number goes: its row, its key, its jobs,
 * the ways that led to it and what was rejected below it. What it led to
 * stays. Those rows still name it as their parent: a number is never used
 * again, so reports see that there is no such asset any more.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/store.h"

static rt_err drop(rt__store *store, rt__sql_id which, int64_t id,
                   rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, which, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, id);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_delete_asset(rt__store *store, int64_t id, rt_error *err) {
  static const rt__sql_id tables[] = {
      RT__SQL_JOB_DROP, RT__SQL_EDGE_DROP, RT__SQL_REJECT_DROP,
      RT__SQL_FOUND_DROP,
      RT__SQL_DELETE_ASSET}; /* the row last: the key is found by it */
  rt_err rc = rt__seen_remove(store, id, err);
  if (rc == RT_OK && id == store->last_asset) { /* nothing else tells of it */
    rc = rt__store_set_int(store, RT__META_HIGHEST, id, err);
  }
  for (size_t i = 0; rc == RT_OK && i < 5; i++) {
    rc = drop(store, tables[i], id, err);
  }
  return rc;
}

rt_err rt__store_note_deleted(rt__store *store, int64_t id, rt_error *err) {
  return drop(store, RT__SQL_SEED_GONE, id, err);
}

/* --- what its jobs were counted as ----------------------------------- */
static rt_err on_job(const rt__job_row *row, void *arg) {
  *(rt__job_state *)arg = row->state;
  return RT_OK;
}

rt_err rt__store_uncount(rt__store *store, rt__lane_row *lane, int64_t asset,
                         uint64_t done, rt_error *err) {
  if (asset < lane->since) return RT_OK;
  rt__job_state state = RT__JOB_QUEUED;
  if (lane->canceled > 0 &&
      asset <= rt__store_meta_int(store, RT__META_DISCARDED, 0)) {
    state = RT__JOB_CANCELED;
  }
  if ((done >> lane->position) & 1) state = RT__JOB_COMPLETED;
  rt_err rc =
      rt__store_job(store, asset, lane->capability, on_job, &state, err);
  if (rc != RT_OK) return rc;
  lane->total--;
  if (state == RT__JOB_COMPLETED) lane->completed--;
  if (state == RT__JOB_SKIPPED) lane->skipped--;
  if (state == RT__JOB_FAILED) lane->failed--;
  if (state == RT__JOB_CANCELED) lane->canceled--;
  return RT_OK;
}

/* --- in a file that nobody has open ---------------------------------- */
typedef struct pruning {
  rt__store *store;
  rt__lane_row *lanes;
  rt__class_row *classes;
  size_t lane_count, class_count;
} pruning;

static rt_err on_lane(const rt__lane_row *row, void *arg) {
  pruning *p = arg;
  rt__lane_row *more =
      realloc(p->lanes, (p->lane_count + 1) * sizeof(*p->lanes));
  if (!more) return RT_ENOMEM;
  p->lanes = more;
  p->lanes[p->lane_count++] = *row;
  return RT_OK;
}

static rt_err on_class(const rt__class_row *row, void *arg) {
  pruning *p = arg;
  rt__class_row *more =
      realloc(p->classes, (p->class_count + 1) * sizeof(*p->classes));
  if (!more) return RT_ENOMEM;
  p->classes = more;
  rt__class_row *at = &p->classes[p->class_count];
  *at = *row;
  at->name = strdup(row->name);
  if (!at->name) return RT_ENOMEM;
  p->class_count++;
  return RT_OK;
}

static rt_err prune_one(pruning *p, const char *key, rt_error *err) {
  rt__asset_row found;
  rt__text text = {key, strlen(key)};
  rt_err rc = rt__store_find(p->store, rt__store_hash(p->store, text), text,
                             &found, err);
  if (rc == RT_OK && !found.id) {
    rc = rt_fail(err, RT_ENOTFOUND, "no asset '%.200s'", key);
  }
  for (size_t i = 0; rc == RT_OK && i < p->lane_count; i++) {
    if (p->lanes[i].class_id != found.class_id) continue;
    rc = rt__store_uncount(p->store, &p->lanes[i], found.id, found.done, err);
  }
  for (size_t i = 0; rc == RT_OK && i < p->class_count; i++) {
    if (p->classes[i].id == found.class_id) p->classes[i].assets--;
  }
  if (rc == RT_OK) rc = rt__store_note_deleted(p->store, found.id, err);
  return rc == RT_OK ? rt__store_delete_asset(p->store, found.id, err) : rc;
}

static rt_err prune_all(pruning *p, const char *const *keys, size_t count,
                        rt_error *err) {
  rt_err rc = rt__store_begin(p->store, err);
  for (size_t i = 0; rc == RT_OK && i < count; i++) {
    rc = prune_one(p, keys[i], err);
  }
  for (size_t i = 0; rc == RT_OK && i < p->lane_count; i++) {
    rc = rt__store_put_lane(p->store, &p->lanes[i], err);
  }
  for (size_t i = 0; rc == RT_OK && i < p->class_count; i++) {
    rc = rt__store_put_class(p->store, &p->classes[i], err);
  }
  return rc == RT_OK ? rt__store_commit(p->store, err) : rc;
}

rt_err rt_session_prune(const char *dir, const char *name,
                        const char *const *keys, size_t count, rt_error *err) {
  pruning p = {0};
  rt_err rc = rt__store_open(&p.store, dir, name, RT_OPEN_RESUME, false, err);
  if (rc == RT_OK) rc = rt__store_lanes(p.store, on_lane, &p, err);
  if (rc == RT_OK) rc = rt__store_classes(p.store, on_class, &p, err);
  if (rc == RT_OK) rc = prune_all(&p, keys, count, err);
  rt__store_close(p.store);
  for (size_t i = 0; i < p.class_count; i++) free((char *)p.classes[i].name);
  free(p.classes);
  free(p.lanes);
  return rc;
}
