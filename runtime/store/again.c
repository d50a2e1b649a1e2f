/* again.c - what was found again, changed or is gone; jobs that run again;
 * versions of capabilities. See store.h.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "store/db.h"

/* --- found ------------------------------------------------------------- */
rt_err rt__store_get_found(rt__store *store, int64_t asset, rt__found_row *row,
                           rt_error *err) {
  memset(row, 0, sizeof(*row));
  row->asset = asset;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_FOUND_GET, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, asset);
  rt_err rc = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    row->run = sqlite3_column_int64(stmt, 0);
    row->seen = sqlite3_column_int64(stmt, 1);
    row->version = sqlite3_column_int64(stmt, 2);
    row->changed = sqlite3_column_int64(stmt, 3);
    row->changes = sqlite3_column_int64(stmt, 4);
    row->gone = sqlite3_column_int64(stmt, 5);
    row->fresh = rt__sql_column_value(stmt, 6);
  }
  return rc;
}

static void bind_some(sqlite3_stmt *stmt, int index, int64_t number) {
  if (number) {
    sqlite3_bind_int64(stmt, index, number);
  } else {
    sqlite3_bind_null(stmt, index);
  }
}

rt_err rt__store_put_found(rt__store *store, const rt__found_row *row,
                           rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_FOUND_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, row->asset);
  sqlite3_bind_int64(stmt, 2, row->run);
  sqlite3_bind_int64(stmt, 3, row->seen);
  sqlite3_bind_int64(stmt, 4, row->version);
  bind_some(stmt, 5, row->changed);
  sqlite3_bind_int64(stmt, 6, row->changes);
  bind_some(stmt, 7, row->gone);
  rt__sql_bind_value(stmt, 8, row->fresh);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_set_metadata(rt__store *store, int64_t id,
                              const rt_value *metadata, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_METADATA, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, id);
  rt__sql_bind_value(stmt, 2, metadata);
  return rt__sql_run(store, stmt, err);
}

/* --- jobs that run again ----------------------------------------------- */
rt_err rt__store_release(rt__store *store, int64_t asset, int64_t capability,
                         bool *released, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_RELEASE, err);
  *released = false;
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, asset);
  sqlite3_bind_int64(stmt, 2, capability);
  rt_err rc = rt__sql_run(store, stmt, err);
  *released = rc == RT_OK && sqlite3_changes(store->db) > 0;
  return rc;
}

/* A statement of a lane: ?1 its class, ?2 its capability, ?3 a number. */
static sqlite3_stmt *of_lane(rt__store *store, rt__sql_id which,
                             const rt__stale *lane, int64_t third,
                             rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, which, err);
  if (!stmt) return NULL;
  sqlite3_bind_int64(stmt, 1, lane->class_id);
  sqlite3_bind_int64(stmt, 2, lane->capability);
  sqlite3_bind_int64(stmt, 3, third);
  return stmt;
}

static rt_err run_lane(rt__store *store, rt__sql_id which,
                       const rt__stale *lane, int64_t third, rt_error *err) {
  sqlite3_stmt *stmt = of_lane(store, which, lane, third, err);
  return stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
}

rt_err rt__store_unhold(rt__store *store, const rt__stale *lane, int64_t after,
                        int64_t upto, rt_error *err) {
  sqlite3_stmt *stmt =
      of_lane(store, RT__SQL_UNHOLD, lane, (int64_t)lane->earlier, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 4, after);
  sqlite3_bind_int64(stmt, 5, upto);
  return rt__sql_run(store, stmt, err);
}

static sqlite3_stmt *of_stale(rt__store *store, rt__sql_id which,
                              const rt__stale *lane, rt_error *err) {
  sqlite3_stmt *stmt = of_lane(store, which, lane, lane->before, err);
  if (stmt) sqlite3_bind_int64(stmt, 6, lane->run);
  return stmt;
}

/* Up to when the oldest `limit` have ended, and with them what ended in the
 * same millisecond; all, if they are not more. */
static rt_err part_of(rt__store *store, rt__stale *lane, int64_t limit,
                      bool *more, rt_error *err) {
  sqlite3_stmt *stmt = of_stale(store, RT__SQL_STALE_PART, lane, err);
  rt_err rc = RT_EUNAVAIL;
  *more = false;
  if (!stmt) return rc;
  sqlite3_bind_int64(stmt, 4, limit);
  while (rt__sql_row(store, stmt, &rc, err)) {
    lane->before = sqlite3_column_int64(stmt, 0);
    *more = true;
  }
  return rc;
}

static rt_err count_stale(rt__store *store, const rt__stale *lane,
                          int64_t counts[3], rt_error *err) {
  static const char *const states[] = {"completed", "skipped", "failed"};
  sqlite3_stmt *stmt = of_stale(store, RT__SQL_STALE_COUNT, lane, err);
  rt_err rc = RT_EUNAVAIL;
  memset(counts, 0, 3 * sizeof(*counts));
  if (!stmt) return rc;
  while (rt__sql_row(store, stmt, &rc, err)) {
    const char *state = (const char *)sqlite3_column_text(stmt, 0);
    for (int i = 0; state && i < 3; i++) {
      if (strcmp(state, states[i]) == 0) {
        counts[i] = sqlite3_column_int64(stmt, 1);
      }
    }
  }
  return rc;
}

rt_err rt__store_stale(rt__store *store, const rt__stale *lane, int64_t limit,
                       int64_t counts[3], bool *more, rt_error *err) {
  rt__stale part = *lane;
  /* What ended later than now did so before the clock was set back. */
  rt_err rc = run_lane(store, RT__SQL_CLAMP, lane, lane->now, err);
  if (rc == RT_OK) rc = part_of(store, &part, limit, more, err);
  if (rc == RT_OK) rc = count_stale(store, &part, counts, err);
  if (rc != RT_OK || counts[0] + counts[1] + counts[2] == 0) return rc;
  sqlite3_stmt *stmt = of_stale(store, RT__SQL_STALE_ASSETS, &part, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 4, (int64_t)lane->bit);
  rc = rt__sql_run(store, stmt, err);
  if (rc != RT_OK) return rc;
  stmt = of_stale(store, RT__SQL_STALE_JOBS, &part, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 5, (int64_t)lane->earlier);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_adopt(rt__store *store, const rt__stale *lane, int64_t after,
                       rt_error *err) {
  sqlite3_stmt *stmt = of_lane(store, RT__SQL_ADOPT_ROWS, lane, after, err);
  if (!stmt) return RT_EUNAVAIL;
  if (after < 0) sqlite3_bind_null(stmt, 3);
  rt_err rc = rt__sql_run(store, stmt, err);
  if (rc != RT_OK || after < 0) return rc;
  stmt = of_lane(store, RT__SQL_ADOPT_NEW, lane, (int64_t)lane->bit, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 4, after);
  return rt__sql_run(store, stmt, err);
}

/* --- versions ---------------------------------------------------------- */
static rt_err new_version(rt__store *store, int64_t capability,
                          const char *version, int64_t *id, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_VERSION_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, capability);
  sqlite3_bind_text(stmt, 2, version, -1, SQLITE_STATIC);
  sqlite3_bind_int64(stmt, 3, store->last_asset + 1);
  sqlite3_bind_int64(stmt, 4, rt__wall_ms());
  rt_err rc = rt__sql_run(store, stmt, err);
  if (rc == RT_OK) *id = sqlite3_last_insert_rowid(store->db);
  return rc;
}

rt_err rt__store_version(rt__store *store, int64_t capability,
                         const char *version, int64_t *id, bool *several,
                         rt_error *err) {
  int64_t first = 0;
  bool same = false;
  rt_err rc = RT_OK;
  *id = 0;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_VERSIONS, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, capability);
  while (rt__sql_row(store, stmt, &rc, err)) { /* the last one stays */
    const char *text = (const char *)sqlite3_column_text(stmt, 1);
    *id = sqlite3_column_int64(stmt, 0);
    if (!first) first = *id;
    same = text && strcmp(text, version) == 0;
  }
  if (rc == RT_OK && !same) {
    rc = new_version(store, capability, version, id, err);
  }
  *several = first && *id != first;
  return rc;
}

/* --- gone -------------------------------------------------------------- */
/* Jobs of so many assets are looked at in one go. */
#define GONE_ASSETS 20000

static sqlite3_stmt *gone_from(rt__store *store, int64_t run, int64_t upto,
                               int64_t limit, const rt__gone_at *at,
                               rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_GONE, err);
  if (!stmt) return NULL;
  sqlite3_bind_int64(stmt, 1, run);
  sqlite3_bind_int64(stmt, 2, upto);
  sqlite3_bind_int64(stmt, 3, at->asset);
  sqlite3_bind_int64(stmt, 4, at->capability);
  sqlite3_bind_int64(stmt, 5, at->child);
  sqlite3_bind_int64(stmt, 6, at->asset + GONE_ASSETS);
  sqlite3_bind_int64(stmt, 7, limit);
  return stmt;
}

rt_err rt__store_gone(rt__store *store, int64_t run, int64_t upto,
                      int64_t limit, rt__gone_at *at, rt__asset_fn fn,
                      void *arg, bool *more, rt_error *err) {
  int64_t next = at->asset + GONE_ASSETS, count = 0;
  rt_err rc = rt__store_parent_index(store, err);
  if (rc != RT_OK) return rc;
  sqlite3_stmt *stmt = gone_from(store, run, upto, limit, at, err);
  if (!stmt) return RT_EUNAVAIL;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt__asset_row row = {.id = sqlite3_column_int64(stmt, 2)};
    at->asset = sqlite3_column_int64(stmt, 0);
    at->capability = sqlite3_column_int64(stmt, 1);
    at->child = row.id;
    count++;
    rt_err told = sqlite3_column_int(stmt, 3) ? fn(&row, arg) : RT_OK;
    if (told == RT_OK) continue;
    sqlite3_reset(stmt);
    return told;
  }
  if (count < limit) *at = (rt__gone_at){next, 0, 0};
  *more = at->asset < upto; /* what a job found is newer than its asset */
  return rc;
}
