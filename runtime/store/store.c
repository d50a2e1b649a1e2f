/* store.c - opening, transactions, named values. See store.h.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/db.h"
#include "store/paths.h"

#define LOG_FRAMES   4000 /* the log is moved into the file from here on */
#define LOG_HELD     (4 * LOG_FRAMES)
#define LOG_LEAST    64 /* earlier than that when the disk has little room: */
#define LOG_PART     4  /* when the log is this part of what is left */
#define LOG_AGAIN_NS 1000000000ull
#define PAGE_BYTES   4096
#define PATIENCE_MS  50

static const char *const SQL_TEXT[] = {
#define RT__SQL_STRING(name, text) text,
    RT__SQL(RT__SQL_STRING)
#undef RT__SQL_STRING
};

sqlite3_stmt *rt__sql(rt__store *store, rt__sql_id which, rt_error *err) {
  sqlite3_stmt **stmt = &store->stmts[which];
  /* cppcheck-suppress identicalInnerCondition ; prepare sets it below */
  if (*stmt) return *stmt;
  if (!store->db) { /* between two attempts to open it again */
    rt_fail(err, RT_EUNAVAIL, "%s is not open", store->path);
    return NULL;
  }
  int code = sqlite3_prepare_v3(store->db, SQL_TEXT[which], -1,
                                SQLITE_PREPARE_PERSISTENT, stmt, NULL);
  if (code != SQLITE_OK) rt__sql_fail(store->db, store->path, err);
  return *stmt;
}

rt_err rt__sql_run(rt__store *store, sqlite3_stmt *stmt, rt_error *err) {
  rt_err rc = RT_OK;
  if (sqlite3_step(stmt) != SQLITE_DONE) {
    rc = rt__sql_fail(store->db, store->path, err);
  }
  sqlite3_reset(stmt);
  return rc;
}

bool rt__sql_row(rt__store *store, sqlite3_stmt *stmt, rt_err *rc,
                 rt_error *err) {
  int code = sqlite3_step(stmt);
  if (code == SQLITE_ROW) return true;
  *rc = code == SQLITE_DONE ? RT_OK : rt__sql_fail(store->db, store->path, err);
  sqlite3_reset(stmt);
  return false;
}

/* --- transactions ---------------------------------------------------- */
rt_err rt__store_begin(rt__store *store, rt_error *err) {
  if (store->open) return RT_OK;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_BEGIN, err);
  rt_err rc = stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
  store->open = rc == RT_OK;
  return rc;
}

rt_err rt__store_lock(rt__store *store, int patience_ms, rt_error *err) {
  if (store->open) return RT_OK;
  sqlite3_busy_timeout(store->db, patience_ms);
  rt_err rc = rt__store_begin(store, err);
  if (rc != RT_OK && (sqlite3_errcode(store->db) & 0xff) == SQLITE_BUSY) {
    rc = rt_fail(err, RT_ETIMEOUT, RT__LOCKED_WORDS);
  }
  sqlite3_busy_timeout(store->db, PATIENCE_MS);
  return rc;
}

sqlite3_stmt *rt__sql_change(rt__store *store, rt__sql_id which,
                             rt_error *err) {
  if (rt__store_begin(store, err) != RT_OK) return NULL;
  return rt__sql(store, which, err);
}

bool rt__store_dirty(const rt__store *store) {
  return store->open;
}

/* How many frames the log has, after a commit. */
static int on_log(void *arg, sqlite3 *db, const char *name, int frames) {
  (void)db, (void)name;
  ((rt__store *)arg)->frames = frames;
  return SQLITE_OK;
}

static int64_t log_bytes(const rt__store *store) {
  return (int64_t)store->frames * PAGE_BYTES;
}

/* What the disk has left; when it does not tell, it is not asked for. */
static int64_t room_left(const rt__store *store) {
  struct statvfs disk;
  if (statvfs(store->path, &disk) != 0) return INT64_MAX;
  return (int64_t)(disk.f_bavail * disk.f_frsize);
}

/* Move what the log holds into the file, as far as readers allow. Each attempt
 * looks at all of the log, so while a reader stays they are rare. `tight`: the
 * log gives its room back too, if nobody reads from it. */
static void checkpoint(rt__store *store, bool tight) {
  int all = 0, moved = 0;
  uint64_t now = rt__now_ns();
  if (now < store->checkpoint_ns) return;
  sqlite3_busy_timeout(store->db, 0);
  int code = sqlite3_wal_checkpoint_v2(store->db, NULL,
                                       tight ? SQLITE_CHECKPOINT_TRUNCATE
                                             : SQLITE_CHECKPOINT_PASSIVE,
                                       &all, &moved);
  sqlite3_busy_timeout(store->db, PATIENCE_MS);
  if (tight && code == SQLITE_OK) store->frames = 0;
  bool read = code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY;
  store->held = read && moved < all;
  store->checkpoint_ns = moved < all || code ? now + LOG_AGAIN_NS : 0;
}

/* After a commit: is it time for that? A log that is left to grow on a small
 * disk takes the room that the data needs. */
static void look_at_log(rt__store *store) {
  if (store->frames < LOG_LEAST) return;
  bool tight = log_bytes(store) > room_left(store) / LOG_PART;
  if (tight || store->frames >= LOG_FRAMES) checkpoint(store, tight);
}

int64_t rt__store_held_bytes(const rt__store *store) {
  bool large = store->frames >= LOG_HELD || rt__store_log_full(store);
  return store->held && large ? log_bytes(store) : 0;
}

void rt__store_bound_log(rt__store *store, int64_t bytes) {
  store->log_max = bytes;
}

bool rt__store_log_full(const rt__store *store) {
  return store->log_max > 0 && log_bytes(store) >= store->log_max;
}

/* All of it into the file, and the next commit begins it anew: for that nobody
 * may read from it at this moment. */
rt_err rt__store_empty_log(rt__store *store, rt_error *err) {
  int all = 0, moved = 0;
  if (store->open || !store->db) return RT_OK;
  sqlite3_busy_timeout(store->db, 0);
  int code = sqlite3_wal_checkpoint_v2(store->db, NULL,
                                       SQLITE_CHECKPOINT_RESTART, &all, &moved);
  sqlite3_busy_timeout(store->db, PATIENCE_MS);
  store->held = (code & 0xff) == SQLITE_BUSY;
  if (code == SQLITE_OK) store->frames = 0;
  if (store->held) {
    return rt_fail(err, RT_ETIMEOUT, RT__HELD_WORDS " %lld MB",
                   (long long)(log_bytes(store) >> 20));
  }
  return code == SQLITE_OK ? RT_OK : rt__sql_fail(store->db, store->path, err);
}

rt_err rt__store_commit(rt__store *store, rt_error *err) {
  if (!store->open) return RT_OK;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_COMMIT, err);
  rt_err rc = stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
  if (rc != RT_OK) {
    store->full = (sqlite3_errcode(store->db) & 0xff) == SQLITE_FULL;
    return rc;
  }
  store->open = store->full = false;
  if (store->cleared) store->died = store->cleared = false;
  look_at_log(store);
  return RT_OK;
}

static rt_err read_last(rt__store *store, rt_error *err) {
  sqlite3_stmt *asset = rt__sql(store, RT__SQL_LAST_ASSET, err);
  sqlite3_stmt *edge = rt__sql(store, RT__SQL_LAST_EDGE, err);
  rt_err rc = RT_EUNAVAIL;
  if (!asset || !edge) return rc;
  while (rt__sql_row(store, asset, &rc, err)) {
    store->last_asset = sqlite3_column_int64(asset, 0);
  }
  if (rc != RT_OK) return rc;
  while (rt__sql_row(store, edge, &rc, err)) {
    store->last_edge = sqlite3_column_int64(edge, 0);
  }
  return rc;
}

void rt__store_rollback(rt__store *store) {
  if (!store->db) return;
  if (!sqlite3_get_autocommit(store->db)) {
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
  }
  store->open = store->cleared = false;
  read_last(store, NULL);
}

/* --- open, close ----------------------------------------------------- */
static rt_err check_exists(const char *path, const char *name,
                           rt_open_mode mode, bool *exists, rt_error *err) {
  struct stat st;
  bool there = stat(path, &st) == 0;
  if (there && !S_ISREG(st.st_mode)) {
    return rt_fail(err, RT_EINVAL, "%s is not a session file", path);
  }
  *exists = there && st.st_size > 0;
  if (*exists && mode == RT_OPEN_CREATE) {
    return rt_fail(err, RT_EEXIST, "session '%s' exists", name);
  }
  if (!*exists && mode == RT_OPEN_RESUME) {
    return rt_fail(err, RT_ENOTFOUND, "no session '%s'", name);
  }
  return RT_OK;
}

static rt_err check_writable(const char *path, rt_error *err) {
  if (access(path, W_OK) == 0) return RT_OK;
  return rt_fail(err, RT_EPERM, "%s cannot be written: %s", path,
                 strerror(errno));
}

static rt_err pragmas(rt__store *store, bool normal, rt_error *err) {
  rt_err rc = rt__sql_exec(store->db,
                           "PRAGMA journal_mode=WAL;"
                           "PRAGMA cache_size=-65536;"
                           "PRAGMA temp_store=MEMORY;"
                           "PRAGMA journal_size_limit=67108864;"
                           "PRAGMA trusted_schema=OFF;",
                           err);
  if (rc != RT_OK) return rc;
  return rt__sql_exec(
      store->db,
      normal ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", err);
}

static rt_err read_hash_key(rt__store *store, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_META_GET, err);
  if (!stmt) return RT_EUNAVAIL;
  rt_err rc = RT_OK;
  bool found = false;
  sqlite3_bind_text(stmt, 1, "siphash", -1, SQLITE_STATIC);
  while (rt__sql_row(store, stmt, &rc, err)) {
    const void *data = sqlite3_column_blob(stmt, 0);
    found = data && sqlite3_column_bytes(stmt, 0) == 16;
    if (found) memcpy(store->hash_key, data, 16);
  }
  if (rc == RT_OK && !found) {
    rc = rt_fail(err, RT_EINVAL, "%s: its hash key is missing", store->path);
  }
  return rc;
}

/* The inode of its log; 0: there is none. */
static uint64_t journal_inode(const rt__store *store) {
  struct stat st;
  size_t size = strlen(store->path) + sizeof("-wal");
  char *path = malloc(size);
  if (!path) return store->journal;
  snprintf(path, size, "%s-wal", store->path);
  uint64_t inode = stat(path, &st) == 0 ? st.st_ino : 0;
  free(path);
  return inode;
}

static rt_err open_db(rt__store *store, bool exists, bool normal,
                      rt_error *err) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
              SQLITE_OPEN_NOFOLLOW | (exists ? 0 : SQLITE_OPEN_CREATE);
  if (sqlite3_open_v2(store->path, &store->db, flags, NULL) != SQLITE_OK) {
    return rt__sql_fail(store->db, store->path, err);
  }
  sqlite3_extended_result_codes(store->db, 1);
  sqlite3_busy_timeout(store->db, PATIENCE_MS);
  bool create = !exists || rt__schema_empty(store->db);
  rt_err rc = create ? RT_OK : rt__schema_check(store->db, store->path, err);
  if (rc == RT_OK) rc = pragmas(store, normal, err);
  if (rc == RT_OK && !create) rc = rt__schema_upgrade(store->db, err);
  if (rc == RT_OK && create) rc = rt__schema_create(store->db, err);
  if (rc == RT_OK) rc = read_hash_key(store, err);
  if (rc == RT_OK) rc = read_last(store, err);
  if (rc == RT_OK) rc = rt__seen_load(store, err);
  struct stat st;
  if (rc == RT_OK && stat(store->path, &st) == 0) {
    store->inode = st.st_ino;
    store->device = st.st_dev;
  }
  if (rc == RT_OK) sqlite3_wal_hook(store->db, on_log, store);
  if (rc == RT_OK) store->journal = journal_inode(store);
  return rc;
}

rt_err rt__store_open(rt__store **out, const char *dir, const char *name,
                      rt_open_mode mode, bool sync_normal, rt_error *err) {
  *out = NULL;
  bool exists = false;
  rt_err rc = rt__session_name_check(name, err);
  if (rc != RT_OK) return rc;
  rt__store *store = calloc(1, sizeof(*store));
  if (!store) return rt_fail(err, RT_ENOMEM, "no memory");
  store->lock = -1;
  store->path = rt__session_path(dir, name, ".sqlite");
  if (!store->path) {
    rc = rt_fail(err, RT_ENOMEM, "no memory");
    goto fail;
  }
  rc = check_exists(store->path, name, mode, &exists, err);
  if (rc == RT_OK && !exists) rc = rt__session_mkdir(dir, err);
  if (rc == RT_OK)
    rc = rt__owner_take(&store->lock, dir, name, &store->died, err);
  /* Looked at again as its owner: another may just have made it. */
  if (rc == RT_OK) rc = check_exists(store->path, name, mode, &exists, err);
  if (rc == RT_OK && exists) rc = check_writable(store->path, err);
  store->created = !exists;
  store->fresh = rc == RT_OK && access(store->path, F_OK) != 0;
  if (rc == RT_OK) rc = open_db(store, exists, sync_normal, err);
  if (rc != RT_OK) goto fail;
  *out = store;
  return RT_OK;
fail:
  rt__store_abandon(store);
  return rc;
}

static void remove_suffix(const rt__store *store, const char *suffix) {
  size_t stem = strlen(store->path) - strlen(".sqlite");
  char *path = malloc(stem + strlen(suffix) + 1);
  if (!path) return;
  memcpy(path, store->path, stem);
  strcpy(path + stem, suffix);
  unlink(path);
  free(path);
}

/* Let go of the connection and of what was read through it. */
static void close_db(rt__store *store) {
  for (int i = 0; i < RT__SQL_COUNT; i++) {
    sqlite3_finalize(store->stmts[i]);
    store->stmts[i] = NULL;
  }
  sqlite3_close(store->db);
  store->db = NULL;
  rt__seen_free(&store->seen);
  for (size_t i = 0; i < store->class_count; i++) free(store->classes[i]);
  free(store->classes);
  store->classes = NULL;
  store->class_count = 0;
  store->open = store->cleared = store->held = false;
  store->frames = 0;
  store->checkpoint_ns = 0;
}

void rt__store_abandon(rt__store *store) {
  static const char *const suffixes[] = {".sqlite", ".sqlite-wal",
                                         ".sqlite-shm", ".lock"};
  if (store && store->fresh && store->lock >= 0) {
    close_db(store);
    for (int i = 0; i < 4; i++) remove_suffix(store, suffixes[i]);
  }
  rt__store_close(store);
}

void rt__store_close(rt__store *store) {
  if (!store) return;
  close_db(store);
  rt__owner_release(store->lock, !store->died);
  free(store->path);
  free(store);
}

bool rt__store_created(const rt__store *store) {
  return store->created;
}

/* --- after a fault --------------------------------------------------- */
rt_err rt__store_present(const rt__store *store, rt_error *err) {
  struct stat st;
  if (stat(store->path, &st) != 0) {
    return rt_fail(err, RT_ENOTFOUND, "its file %s is gone", store->path);
  }
  if (st.st_ino != store->inode || st.st_dev != store->device) {
    return rt_fail(err, RT_ENOTFOUND, "its file %s was replaced by another",
                   store->path);
  }
  if (st.st_size == 0) {
    return rt_fail(err, RT_EINVAL, "%s: the file is damaged: it is empty",
                   store->path);
  }
  if (store->db && store->journal && journal_inode(store) != store->journal) {
    return rt_fail(err, RT_EUNAVAIL, "the log %s-wal is gone", store->path);
  }
  return RT_OK;
}

/* A write that failed may have left a whole transaction in the log all the
 * same, which nobody knows to be on disk: the system forgets what it could not
 * write (a sync that fails once succeeds the next time). Who opened the log
 * anew would believe that transaction and add to it. This connection does not:
 * what it writes next takes that place. */
static rt_err write_over(rt__store *store, rt_error *err) {
  int64_t faults = rt__store_meta_int(store, RT__META_FAULTS, 0);
  rt_err rc = rt__store_set_int(store, RT__META_FAULTS, faults + 1, err);
  if (rc == RT_OK) rc = rt__store_commit(store, err);
  if (rc != RT_OK) rt__store_rollback(store);
  return rc;
}

rt_err rt__store_reopen(rt__store *store, bool normal, rt_error *err) {
  rt_err rc = RT_OK, there = rt__store_present(store, err);
  bool log_gone = there == RT_EUNAVAIL;
  if (store->db && there == RT_OK && store->full) {
    store->checkpoint_ns = 0; /* what it holds may fit, and makes room in it */
    checkpoint(store, true);
  }
  if (store->db && there == RT_OK) rc = write_over(store, err);
  if (rc == RT_EUNAVAIL || rc == RT_ENOMEM) return rc;
  close_db(store);
  if (there != RT_OK && !log_gone) return there;
  rc = rt__store_present(store, err);
  if (rc == RT_OK) rc = check_writable(store->path, err);
  if (rc == RT_OK) rc = open_db(store, true, normal, err);
  if (rc != RT_OK) close_db(store);
  return rc;
}

bool rt__store_died(const rt__store *store) {
  return store->died;
}

void rt__store_tell(rt__store *store, const char *words) {
  if (store) rt__owner_tell(store->lock, words);
}

int64_t rt__store_last_asset(const rt__store *store) {
  return store->last_asset;
}

/* --- meta ------------------------------------------------------------------
 */
static sqlite3_stmt *meta_get(rt__store *store, const char *name) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_META_GET, NULL);
  if (!stmt) return NULL;
  sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
  rt_err rc;
  return rt__sql_row(store, stmt, &rc, NULL) ? stmt : NULL;
}

int64_t rt__store_meta_int(rt__store *store, const char *name,
                           int64_t fallback) {
  sqlite3_stmt *stmt = meta_get(store, name);
  if (!stmt) return fallback;
  int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_reset(stmt);
  return value;
}

char *rt__store_meta_text(rt__store *store, const char *name) {
  sqlite3_stmt *stmt = meta_get(store, name);
  if (!stmt) return NULL;
  const char *text = (const char *)sqlite3_column_text(stmt, 0);
  char *copy = text ? strdup(text) : NULL;
  sqlite3_reset(stmt);
  return copy;
}

rt_value *rt__store_meta_value(rt__store *store, const char *name) {
  sqlite3_stmt *stmt = meta_get(store, name);
  if (!stmt) return NULL;
  rt_value *value = rt__sql_column_value(stmt, 0);
  sqlite3_reset(stmt);
  return value;
}

static sqlite3_stmt *meta_put(rt__store *store, const char *name,
                              rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_META_PUT, err);
  if (stmt) sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
  return stmt;
}

rt_err rt__store_set_int(rt__store *store, const char *name, int64_t value,
                         rt_error *err) {
  sqlite3_stmt *stmt = meta_put(store, name, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 2, value);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_set_text(rt__store *store, const char *name, const char *text,
                          rt_error *err) {
  sqlite3_stmt *stmt = meta_put(store, name, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_text(stmt, 2, text, -1, SQLITE_TRANSIENT);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_set_value(rt__store *store, const char *name,
                           const rt_value *value, rt_error *err) {
  sqlite3_stmt *stmt = meta_put(store, name, err);
  if (!stmt) return RT_EUNAVAIL;
  rt__sql_bind_value(stmt, 2, value);
  return rt__sql_run(store, stmt, err);
}
