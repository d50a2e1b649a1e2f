/* assets.c - assets, edges and rejections in a store. See store.h.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/siphash.h"

uint64_t rt__store_hash(const rt__store *store, rt__text key) {
  return rt__siphash_of(store->hash_key, key.at, key.size);
}

static void bind_id(sqlite3_stmt *stmt, int index, int64_t id) {
  if (id) {
    sqlite3_bind_int64(stmt, index, id);
  } else {
    sqlite3_bind_null(stmt, index);
  }
}

rt_err rt__store_insert(rt__store *store, rt__asset_row *row, uint64_t hash,
                        rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_INSERT, err);
  if (!stmt) return RT_EUNAVAIL;
  row->id = store->last_asset + 1;
  if (!row->root) row->root = row->id;
  sqlite3_bind_int64(stmt, 1, row->id);
  sqlite3_bind_int64(stmt, 2, row->class_id);
  rt__sql_bind_text(stmt, 3, row->value);
  rt__sql_bind_text(stmt, 4, row->key);
  sqlite3_bind_int64(stmt, 5, (int64_t)hash);
  bind_id(stmt, 6, row->parent);
  bind_id(stmt, 7, row->capability);
  sqlite3_bind_int64(stmt, 8, row->depth);
  sqlite3_bind_int64(stmt, 9, row->root);
  sqlite3_bind_int64(stmt, 10, (int64_t)row->done);
  sqlite3_bind_int64(stmt, 11, (int64_t)row->aside);
  bind_id(stmt, 12, row->priority);
  rt__sql_bind_value(stmt, 13, row->metadata);
  sqlite3_bind_int64(stmt, 14, row->created);
  rt_err rc = rt__sql_run(store, stmt, err);
  if (rc != RT_OK) return rc;
  store->last_asset = row->id;
  return rt__seen_add(store, hash, row->id, err);
}

static bool same(rt__text a, const char *at, size_t size) {
  return a.size == size && memcmp(a.at, at, size) == 0;
}

/* Is the key of this row `key`? Columns 5..7: its key, value and class. */
static bool key_is(const rt__store *store, sqlite3_stmt *stmt, rt__text key) {
  rt__text own = rt__sql_column_text(stmt, 5);
  if (own.at) return same(own, key.at, key.size);
  rt__text value = rt__sql_column_text(stmt, 6), name;
  int64_t class_id = sqlite3_column_int64(stmt, 7);
  if (class_id < 1 || (size_t)class_id > store->class_count) return false;
  name.at = store->classes[class_id - 1];
  name.size = strlen(name.at);
  return key.size == name.size + 1 + value.size &&
         same(name, key.at, name.size) && key.at[name.size] == ':' &&
         same(value, key.at + name.size + 1, value.size);
}

/* The first row with this key, of a statement with RT__FIND_COLUMNS. */
static rt_err first_same(rt__store *store, sqlite3_stmt *stmt, rt__text key,
                         rt__asset_row *row, rt_error *err) {
  rt_err rc = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    if (!key_is(store, stmt, key)) continue;
    row->id = sqlite3_column_int64(stmt, 0);
    row->parent = sqlite3_column_int64(stmt, 1);
    row->capability = sqlite3_column_int64(stmt, 2);
    row->depth = sqlite3_column_int64(stmt, 3);
    row->root = sqlite3_column_int64(stmt, 4);
    row->class_id = sqlite3_column_int64(stmt, 7);
    row->done = (uint64_t)sqlite3_column_int64(stmt, 8);
    row->aside = (uint64_t)sqlite3_column_int64(stmt, 9);
    sqlite3_reset(stmt);
    return RT_OK;
  }
  return rc;
}

rt_err rt__store_find(rt__store *store, uint64_t hash, rt__text key,
                      rt__asset_row *row, rt_error *err) {
  memset(row, 0, sizeof(*row));
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_FIND_NEW, err);
  if (!stmt) return RT_EUNAVAIL;
  rt_err rc = RT_OK;
  int64_t id;
  size_t at = 0;
  while ((id = rt__seen_each(&store->seen, hash, &at)) != 0) {
    sqlite3_bind_int64(stmt, 1, id);
    rc = first_same(store, stmt, key, row, err);
    if (rc != RT_OK || row->id) return rc;
  }
  stmt = rt__sql(store, RT__SQL_FIND, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, (int64_t)hash);
  return first_same(store, stmt, key, row, err);
}

/* Call `fn` for each row of LOAD, SCAN and REJECTED. */
static rt_err each_asset(rt__store *store, sqlite3_stmt *stmt, rt__asset_fn fn,
                         void *arg, rt_error *err) {
  rt_err rc = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt_value *metadata = rt__sql_column_value(stmt, 11);
    rt__asset_row row = {
        .id = sqlite3_column_int64(stmt, 0),
        .class_id = sqlite3_column_int64(stmt, 1),
        .value = rt__sql_column_text(stmt, 2),
        .key = rt__sql_column_text(stmt, 3),
        .parent = sqlite3_column_int64(stmt, 4),
        .capability = sqlite3_column_int64(stmt, 5),
        .depth = sqlite3_column_int64(stmt, 6),
        .root = sqlite3_column_int64(stmt, 7),
        .done = (uint64_t)sqlite3_column_int64(stmt, 8),
        .aside = (uint64_t)sqlite3_column_int64(stmt, 9),
        .priority = sqlite3_column_int64(stmt, 10),
        .created = sqlite3_column_int64(stmt, 12),
        .metadata = metadata,
    };
    rt_err told = fn(&row, arg);
    rt_value_unref(metadata);
    if (told == RT_OK) continue;
    sqlite3_reset(stmt);
    return told;
  }
  return rc;
}

rt_err rt__store_load(rt__store *store, int64_t id, rt__asset_fn fn, void *arg,
                      rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_LOAD, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, id);
  return each_asset(store, stmt, fn, arg, err);
}

rt_err rt__store_scan(rt__store *store, int64_t class_id, uint64_t bit,
                      int64_t after, int64_t upto, int64_t limit,
                      rt__asset_fn fn, void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_SCAN, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, after);
  sqlite3_bind_int64(stmt, 2, upto);
  sqlite3_bind_int64(stmt, 3, class_id);
  sqlite3_bind_int64(stmt, 4, (int64_t)bit);
  sqlite3_bind_int64(stmt, 5, limit);
  return each_asset(store, stmt, fn, arg, err);
}

char *rt__store_key(rt__store *store, int64_t id) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_KEY, NULL);
  if (!stmt) return NULL;
  sqlite3_bind_int64(stmt, 1, id);
  rt_err rc;
  if (!rt__sql_row(store, stmt, &rc, NULL)) return NULL;
  char *key = strdup((const char *)sqlite3_column_text(stmt, 0));
  sqlite3_reset(stmt);
  return key;
}

int64_t rt__store_created_ms(rt__store *store, int64_t id) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_CREATED, NULL);
  int64_t created = 0;
  rt_err rc;
  if (!stmt) return 0;
  sqlite3_bind_int64(stmt, 1, id);
  while (rt__sql_row(store, stmt, &rc, NULL)) {
    created = sqlite3_column_int64(stmt, 0);
  }
  return created;
}

rt_err rt__store_set_masks(rt__store *store, int64_t id, uint64_t done,
                           uint64_t aside, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_MASKS, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, id);
  sqlite3_bind_int64(stmt, 2, (int64_t)done);
  sqlite3_bind_int64(stmt, 3, (int64_t)aside);
  return rt__sql_run(store, stmt, err);
}

static rt_err change_id(rt__store *store, rt__sql_id which, int64_t id,
                        rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, which, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, id);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_set_depth(rt__store *store, int64_t id, int64_t depth,
                           bool *nearer, rt_error *err) {
  *nearer = false;
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_DEPTH, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 2, depth);
  rt_err rc = change_id(store, RT__SQL_DEPTH, id, err);
  *nearer = rc == RT_OK && sqlite3_changes(store->db) > 0;
  return rc;
}

/* Edges are numbered in one order with the assets: that of the last asset
 * then, times 2^20, plus a count. The first edge of an asset, which is in its
 * own row, has its number times 2^20. */
rt_err rt__store_edge(rt__store *store, int64_t to, int64_t from,
                      int64_t capability, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_EDGE, err);
  if (!stmt) return RT_EUNAVAIL;
  int64_t id = (store->last_asset << 20) + 1;
  if (id <= store->last_edge) id = store->last_edge + 1;
  sqlite3_bind_int64(stmt, 1, to);
  sqlite3_bind_int64(stmt, 2, from);
  sqlite3_bind_int64(stmt, 3, capability);
  sqlite3_bind_int64(stmt, 4, id);
  rt_err rc = rt__sql_run(store, stmt, err);
  if (rc == RT_OK && sqlite3_changes(store->db) > 0) store->last_edge = id;
  return rc;
}

rt_err rt__store_count_before(rt__store *store, int64_t class_id, int64_t id,
                              int64_t *count, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_BEFORE, err);
  rt_err rc = RT_EUNAVAIL;
  *count = 0;
  if (!stmt) return rc;
  sqlite3_bind_int64(stmt, 1, class_id);
  sqlite3_bind_int64(stmt, 2, id);
  while (rt__sql_row(store, stmt, &rc, err)) {
    *count = sqlite3_column_int64(stmt, 0);
  }
  return rc;
}

/* Needed by few sessions, so the indexes are made by the first that asks. */
rt_err rt__store_parent_index(rt__store *store, rt_error *err) {
  rt_err rc = rt__store_begin(store, err);
  if (rc != RT_OK || store->stmts[RT__SQL_CHILDREN]) return rc;
  return rt__sql_exec(store->db,
                      "CREATE INDEX IF NOT EXISTS asset_parent"
                      " ON asset(parent) WHERE parent IS NOT NULL;"
                      "CREATE INDEX IF NOT EXISTS edge_parent"
                      " ON edge(parent);",
                      err);
}

rt_err rt__store_children(rt__store *store, int64_t from, rt__asset_fn fn,
                          void *arg, rt_error *err) {
  rt_err rc = rt__store_parent_index(store, err);
  if (rc != RT_OK) return rc;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_CHILDREN, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, from);
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt__asset_row row = {.id = sqlite3_column_int64(stmt, 0),
                         .depth = sqlite3_column_int64(stmt, 1)};
    rt_err told = fn(&row, arg);
    if (told == RT_OK) continue;
    sqlite3_reset(stmt);
    return told;
  }
  return rc;
}

rt_err rt__store_reject(rt__store *store, const rt__asset_row *row,
                        uint64_t hash, const char *kind, const char *reason,
                        bool *fresh, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_REJECT, err);
  *fresh = false;
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, row->parent);
  sqlite3_bind_int64(stmt, 2, row->capability);
  sqlite3_bind_int64(stmt, 3, row->class_id);
  rt__sql_bind_text(stmt, 4, row->value);
  rt__sql_bind_text(stmt, 5, row->key);
  sqlite3_bind_int64(stmt, 6, (int64_t)hash);
  sqlite3_bind_int64(stmt, 7, row->depth);
  sqlite3_bind_text(stmt, 8, kind, -1, SQLITE_STATIC);
  sqlite3_bind_text(stmt, 9, reason, -1, SQLITE_STATIC);
  bind_id(stmt, 10, row->priority);
  rt__sql_bind_value(stmt, 11, row->metadata);
  sqlite3_bind_int64(stmt, 12, row->created);
  rt_err rc = rt__sql_run(store, stmt, err);
  *fresh = rc == RT_OK && sqlite3_changes(store->db) > 0;
  return rc;
}

int64_t rt__store_count_rejected(rt__store *store, const char *kind) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_REJECT_COUNT, NULL);
  int64_t count = 0;
  rt_err rc;
  if (!stmt) return 0;
  sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
  while (rt__sql_row(store, stmt, &rc, NULL)) {
    count = sqlite3_column_int64(stmt, 0);
  }
  return count;
}

rt_err rt__store_rejected(rt__store *store, int64_t parent, rt__asset_fn fn,
                          void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_REJECTED, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, parent);
  return each_asset(store, stmt, fn, arg, err);
}

rt_err rt__store_roots(rt__store *store, rt__root_fn fn, void *arg,
                       rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_ROOTS, err);
  rt_err rc = RT_OK;
  if (!stmt) return RT_EUNAVAIL;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt_err told =
        fn(sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), arg);
    if (told == RT_OK) continue;
    sqlite3_reset(stmt);
    return told;
  }
  return rc;
}

rt_err rt__store_unreject(rt__store *store, int64_t parent, rt_error *err) {
  return change_id(store, RT__SQL_UNREJECT, parent, err);
}
