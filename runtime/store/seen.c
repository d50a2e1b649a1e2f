/* seen.c - see seen.h.
 * SPDX-License-Identifier: MIT */
#include "store/seen.h"

#include <stdlib.h>

#include "store/db.h"

#define ROOM_MIN  1024
#define BATCH_MIN 512
#define BATCH_MAX 262144
#define PART      32 /* a batch is this part of the table */
#define MOVES     2  /* for each new asset */

/* --- keys in memory -------------------------------------------------- */
static size_t place_of(const rt__keys *keys, uint64_t hash) {
  return (size_t)(hash >> keys->shift);
}

static void put(rt__keys *keys, uint64_t hash, int64_t asset) {
  size_t at = place_of(keys, hash);
  while (keys->at[at].asset) at = (at + 1) & (keys->room - 1);
  keys->at[at] = (rt__key){hash, asset};
  keys->count++;
}

static bool grow(rt__keys *keys) {
  rt__keys more = {.room = keys->room ? keys->room * 2 : ROOM_MIN};
  more.at = calloc(more.room, sizeof(*more.at));
  if (!more.at) return false;
  more.shift = 64;
  for (size_t room = more.room; room > 1; room /= 2) more.shift--;
  for (size_t i = 0; i < keys->room; i++) {
    const rt__key *key = &keys->at[i];
    if (key->asset > 0) put(&more, key->hash, key->asset);
  }
  free(keys->at);
  *keys = more;
  return true;
}

static rt_err keep(rt__seen *seen, uint64_t hash, int64_t asset,
                   rt_error *err) {
  rt__keys *keys = &seen->fresh;
  if (keys->count * 2 >= keys->room && !grow(keys)) {
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  put(keys, hash, asset);
  return RT_OK;
}

/* The place of the next one with this hash from `at` on; room: none. */
static size_t search(const rt__keys *keys, uint64_t hash, size_t at) {
  while (keys->at[at].asset) {
    if (keys->at[at].asset > 0 && keys->at[at].hash == hash) return at;
    at = (at + 1) & (keys->room - 1);
  }
  return keys->room;
}

/* The cursor: 0, then a place in `fresh` plus 1, then one in `moving` plus 1
 * behind all of those. */
int64_t rt__seen_each(const rt__seen *seen, uint64_t hash, size_t *cursor) {
  const rt__keys *const both[] = {&seen->fresh, &seen->moving};
  size_t from = *cursor, base = 0;
  for (int i = 0; i < 2; base += both[i]->room, i++) {
    const rt__keys *keys = both[i];
    if (keys->room == 0 || from > base + keys->room) continue;
    size_t at =
        from > base ? (from - base) & (keys->room - 1) : place_of(keys, hash);
    at = search(keys, hash, at);
    if (at < keys->room) {
      *cursor = base + at + 1;
      return keys->at[at].asset;
    }
    from = 0;
  }
  return 0;
}

static void forget(rt__keys *keys, uint64_t hash, int64_t asset) {
  if (keys->room == 0) return;
  size_t at = search(keys, hash, place_of(keys, hash));
  while (at < keys->room && keys->at[at].asset != asset) {
    at = search(keys, hash, (at + 1) & (keys->room - 1));
  }
  if (at < keys->room) keys->at[at].asset = -1;
}

static void clear(rt__keys *keys) {
  free(keys->at);
  *keys = (rt__keys){NULL, 0, 0, 0};
}

void rt__seen_free(rt__seen *seen) {
  clear(&seen->fresh);
  clear(&seen->moving);
}

/* --- into the table -------------------------------------------------- */
static size_t batch_of(const rt__seen *seen) {
  size_t batch = (size_t)seen->mark / PART;
  if (batch < BATCH_MIN) return BATCH_MIN;
  return batch < BATCH_MAX ? batch : BATCH_MAX;
}

static rt_err write_key(rt__store *store, const rt__key *key, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_SEEN_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, (int64_t)key->hash);
  sqlite3_bind_int64(stmt, 2, key->asset);
  return rt__sql_run(store, stmt, err);
}

static rt_err move_some(rt__store *store, rt_error *err) {
  rt__seen *seen = &store->seen;
  rt_err rc = RT_OK;
  int left = MOVES;
  while (rc == RT_OK && left > 0 && seen->next < seen->moving.room) {
    const rt__key *key = &seen->moving.at[seen->next++];
    if (key->asset <= 0) continue;
    rc = write_key(store, key, err);
    left--;
  }
  if (rc != RT_OK || seen->next < seen->moving.room) return rc;
  clear(&seen->moving);
  seen->mark = seen->upto;
  return rt__store_set_int(store, RT__META_SEEN, seen->mark, err);
}

rt_err rt__seen_add(rt__store *store, uint64_t hash, int64_t asset,
                    rt_error *err) {
  rt__seen *seen = &store->seen;
  rt_err rc = keep(seen, hash, asset, err);
  if (rc != RT_OK) return rc;
  if (!seen->moving.at && seen->fresh.count >= batch_of(seen)) {
    seen->moving = seen->fresh;
    seen->fresh = (rt__keys){NULL, 0, 0, 0};
    seen->next = 0;
    seen->upto = asset;
  }
  return seen->moving.at ? move_some(store, err) : RT_OK;
}

rt_err rt__seen_remove(rt__store *store, int64_t asset, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_HASH, err);
  rt_err rc = RT_EUNAVAIL;
  uint64_t hash = 0;
  bool found = false;
  if (!stmt) return rc;
  sqlite3_bind_int64(stmt, 1, asset);
  while (rt__sql_row(store, stmt, &rc, err)) {
    hash = (uint64_t)sqlite3_column_int64(stmt, 0);
    found = true;
  }
  if (rc != RT_OK || !found) return rc;
  forget(&store->seen.fresh, hash, asset);
  forget(&store->seen.moving, hash, asset);
  stmt = rt__sql_change(store, RT__SQL_SEEN_DELETE, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, (int64_t)hash);
  sqlite3_bind_int64(stmt, 2, asset);
  return rt__sql_run(store, stmt, err);
}

/* --- opening --------------------------------------------------------- */
rt_err rt__seen_load(rt__store *store, rt_error *err) {
  rt__seen *seen = &store->seen;
  rt__seen_free(seen);
  rt_err rc = RT_OK, told = RT_OK;
  seen->mark = rt__store_meta_int(store, RT__META_SEEN, 0);
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_SEEN_TAIL, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, seen->mark);
  while (rt__sql_row(store, stmt, &rc, err)) {
    if (told != RT_OK) continue;
    told = keep(seen, (uint64_t)sqlite3_column_int64(stmt, 1),
                sqlite3_column_int64(stmt, 0), err);
  }
  return rc != RT_OK ? rc : told;
}
