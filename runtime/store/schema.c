/* schema.c - tables, version, value conversion. See schema.h.
 * SPDX-License-Identifier: MIT */
#include "store/schema.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

/* What running again needs, since format 3. */
#define FOUND                                                                  \
  "TABLE found(asset INTEGER PRIMARY KEY, run INTEGER NOT NULL,"               \
  " seen INTEGER NOT NULL, version INTEGER NOT NULL, changed INTEGER,"         \
  " changes INTEGER NOT NULL, gone INTEGER, fresh);"
#define VERSION                                                                \
  "TABLE version(id INTEGER PRIMARY KEY, capability INTEGER NOT NULL,"         \
  " version TEXT NOT NULL, since INTEGER NOT NULL, created INTEGER NOT NULL);"
#define AGAIN                                                                  \
  "CREATE " FOUND "CREATE " VERSION                                            \
  "CREATE INDEX job_again ON job(class, capability, ended)"                    \
  " WHERE again IS NOT NULL;"                                                  \
  "CREATE INDEX job_held ON job(class, capability) WHERE state='held';"

/* Few b-trees, append order, integer keys; a job has a row only when it is no
 * uneventful success. docs/schema.md says more. */
static const char TABLES[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE class(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " assets INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE capability(id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE, times BLOB);"
    "CREATE TABLE lane(class INTEGER NOT NULL, capability INTEGER NOT NULL,"
    " position INTEGER NOT NULL, since INTEGER NOT NULL,"
    " mark INTEGER NOT NULL, total INTEGER NOT NULL,"
    " completed INTEGER NOT NULL, skipped INTEGER NOT NULL,"
    " failed INTEGER NOT NULL, canceled INTEGER NOT NULL,"
    " loaded INTEGER NOT NULL,"
    " PRIMARY KEY(class, capability)) WITHOUT ROWID;"
    "CREATE TABLE asset(id INTEGER PRIMARY KEY, class INTEGER NOT NULL,"
    " value TEXT NOT NULL, key TEXT, hash INTEGER NOT NULL, parent INTEGER,"
    " capability INTEGER, depth INTEGER NOT NULL, root INTEGER NOT NULL,"
    " done INTEGER NOT NULL, aside INTEGER NOT NULL, priority INTEGER,"
    " metadata, created INTEGER NOT NULL);"
    "CREATE TABLE seen(hash INTEGER NOT NULL, asset INTEGER NOT NULL,"
    " PRIMARY KEY(hash, asset)) WITHOUT ROWID;"
    "CREATE TABLE edge(asset INTEGER NOT NULL, parent INTEGER NOT NULL,"
    " capability INTEGER NOT NULL, id INTEGER NOT NULL,"
    " PRIMARY KEY(asset, parent, capability)) WITHOUT ROWID;"
    "CREATE INDEX edge_id ON edge(id);"
    "CREATE TABLE rejected(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL,"
    " capability INTEGER NOT NULL, class INTEGER NOT NULL,"
    " value TEXT NOT NULL, key TEXT, hash INTEGER NOT NULL,"
    " depth INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,"
    " priority INTEGER, metadata, created INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX rejected_once"
    " ON rejected(parent, hash, capability);"
    "CREATE TABLE job(asset INTEGER NOT NULL, capability INTEGER NOT NULL,"
    " class INTEGER NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,"
    " crashes INTEGER NOT NULL, fanout INTEGER NOT NULL,"
    " priority INTEGER NOT NULL, due REAL, reason TEXT, errors,"
    " ended INTEGER, again INTEGER, run INTEGER, version INTEGER,"
    " PRIMARY KEY(asset, capability)) WITHOUT ROWID;"
    "CREATE INDEX job_aside ON job(class, capability, priority, asset)"
    " WHERE state='queued';"
    "CREATE INDEX job_due ON job(due) WHERE state='delayed';"
    "CREATE INDEX job_taken ON job(state) WHERE state='taken';"
    "CREATE INDEX job_failed ON job(asset) WHERE state='failed';"
    "CREATE TABLE running(segment INTEGER PRIMARY KEY, jobs TEXT NOT "
    "NULL);" AGAIN;

static const char VIEWS[] =
    "CREATE VIEW assets AS SELECT a.id AS id,"
    " coalesce(a.key, c.name || ':' || a.value) AS key, c.name AS class,"
    " a.value AS value, a.depth AS depth, a.parent AS parent,"
    " p.name AS capability, a.metadata AS metadata,"
    " datetime(a.created / 1000, 'unixepoch') AS created,"
    " datetime(coalesce(f.seen, a.created) / 1000, 'unixepoch') AS last_seen,"
    " coalesce(f.version, 1) AS version,"
    " datetime(f.gone / 1000, 'unixepoch') AS gone"
    " FROM asset a JOIN class c ON c.id = a.class"
    " LEFT JOIN found f ON f.asset = a.id"
    " LEFT JOIN capability p ON p.id = a.capability;"
    "CREATE VIEW edges AS"
    " SELECT e.asset AS asset, e.parent AS parent, p.name AS capability"
    " FROM (SELECT id AS asset, parent, capability FROM asset"
    " WHERE parent IS NOT NULL UNION ALL"
    " SELECT asset, parent, capability FROM edge) e"
    " LEFT JOIN capability p ON p.id = e.capability"
    " WHERE EXISTS(SELECT 1 FROM asset q WHERE q.id = e.parent);"
    "CREATE VIEW jobs AS SELECT a.id * 4096 + l.capability AS id,"
    " p.name AS capability, c.name || ':' || a.value AS target,"
    " CASE WHEN j.state IN ('completed', 'skipped', 'failed', 'canceled')"
    " THEN j.state WHEN (a.done >> l.position) & 1 THEN 'completed'"
    " WHEN l.canceled > 0 AND j.state IS NULL AND a.id <="
    " (SELECT value FROM meta WHERE name = '" RT__META_DISCARDED "')"
    " THEN 'canceled' WHEN NOT l.loaded THEN 'skipped'"
    " WHEN j.state = 'delayed' AND j.reason IS NOT '" RT__WAITS_FOR_RATE
    "' THEN 'retrying' ELSE 'queued' END AS state,"
    " coalesce(j.attempt, 1) AS attempt, j.reason AS reason,"
    " j.errors AS errors, coalesce(v.version, (SELECT w.version FROM version w"
    " WHERE w.capability = l.capability ORDER BY w.id LIMIT 1)) AS version"
    " FROM asset a JOIN lane l ON l.class = a.class AND a.id >= l.since"
    " JOIN class c ON c.id = a.class"
    " JOIN capability p ON p.id = l.capability"
    " LEFT JOIN job j ON j.asset = a.id AND j.capability = l.capability"
    " LEFT JOIN version v ON v.id = j.version;";

/* What the system said of the write that failed. SQLite does not keep it for
 * a commit (sqlite3_system_errno), and all it did since then went well. */
static const char *io_words(const char *words) {
  if (errno == EFBIG) return "a file has reached the limit of its size";
  if (errno == EDQUOT) return "the disk quota is used up";
  if (errno == ENOSPC) return "the disk is full";
  if (errno == EROFS) return "the file system is read-only";
  if (errno == EIO) return "the disk reports an error";
  return words;
}

rt_err rt__sql_fail(sqlite3 *db, const char *what, rt_error *err) {
  int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
  rt_err rc = RT_EUNAVAIL;
  if (code == SQLITE_NOMEM) rc = RT_ENOMEM;
  if (code == SQLITE_PERM || code == SQLITE_READONLY || code == SQLITE_AUTH) {
    rc = RT_EPERM;
  }
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) rc = RT_EINVAL;
  const char *words = db ? sqlite3_errmsg(db) : "no memory";
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) words = RT__LOCKED_WORDS;
  if (code == SQLITE_READONLY) words = "the file cannot be written";
  if (code == SQLITE_CORRUPT) words = "the file is damaged";
  if (code == SQLITE_NOTADB) words = "not a session file";
  if (code == SQLITE_FULL) words = "the disk is full";
  if (code == SQLITE_IOERR) words = io_words(words);
  const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
  if (!path || !*path || strchr(what, '/')) path = what;
  rt_fail(err, rc, "%s: %s", path, words);
  if (err) err->retryable = rc == RT_EUNAVAIL;
  return rc;
}

rt_err rt__sql_exec(sqlite3 *db, const char *sql, rt_error *err) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) return RT_OK;
  return rt__sql_fail(db, "session file", err);
}

static int64_t pragma_int(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  int64_t value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
      sqlite3_step(stmt) == SQLITE_ROW) {
    value = sqlite3_column_int64(stmt, 0);
  }
  sqlite3_finalize(stmt);
  return value;
}

rt_err rt__schema_check(sqlite3 *db, const char *path, rt_error *err) {
  int64_t id = pragma_int(db, "PRAGMA application_id");
  if (id < 0) return rt__sql_fail(db, path, err);
  if (id != RT__APPLICATION_ID) {
    return rt_fail(err, RT_EINVAL, "%s is not a session file", path);
  }
  int64_t version = pragma_int(db, "PRAGMA user_version");
  if (version >= 1 && version <= RT__SCHEMA_VERSION) return RT_OK;
  return rt_fail(err, RT_EINVAL,
                 "%s has format %lld, this program knows 1 to %d", path,
                 (long long)version, RT__SCHEMA_VERSION);
}

rt_err rt__schema_create(sqlite3 *db, rt_error *err) {
  char tail[400];
  snprintf(tail, sizeof(tail),
           "INSERT INTO meta VALUES('created', %lld);"
           "INSERT INTO meta VALUES('siphash', randomblob(16));"
           "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
           (long long)rt__wall_ms(), RT__APPLICATION_ID, RT__SCHEMA_VERSION);
  rt_err rc = rt__sql_exec(db, "BEGIN IMMEDIATE", err);
  if (rc == RT_OK) rc = rt__sql_exec(db, TABLES, err);
  if (rc == RT_OK) rc = rt__sql_exec(db, VIEWS, err);
  if (rc == RT_OK) rc = rt__sql_exec(db, tail, err);
  return rc;
}

/* From 1: an index on asset(hash) became the table `seen`. From 2: what
 * running again needs. From 3: a view only; they all follow at the end. */
static const char *const UPGRADES[] = {
    "CREATE TABLE seen(hash INTEGER NOT NULL, asset INTEGER NOT NULL,"
    " PRIMARY KEY(hash, asset)) WITHOUT ROWID;"
    "INSERT INTO seen SELECT hash, id FROM asset ORDER BY hash, id;"
    "DROP INDEX asset_hash;"
    "INSERT INTO meta SELECT 'seen', coalesce(max(id), 0) FROM asset;",
    "ALTER TABLE job ADD COLUMN again INTEGER;"
    "ALTER TABLE job ADD COLUMN run INTEGER;"
    "ALTER TABLE job ADD COLUMN version INTEGER;" AGAIN,
    "", /* the view of jobs says what reports say */
};
static const char NO_VIEWS[] = "DROP VIEW IF EXISTS assets;"
                               "DROP VIEW IF EXISTS edges;"
                               "DROP VIEW IF EXISTS jobs;";
static const char SHIM[] =
    "CREATE TEMP " FOUND "CREATE TEMP " VERSION "CREATE TEMP VIEW job AS"
    " SELECT *, NULL AS again, NULL AS run, NULL AS version FROM main.job;";

rt_err rt__schema_shim(sqlite3 *db, rt_error *err) {
  if (rt__schema_version(db) >= 3) return RT_OK;
  return rt__sql_exec(db, SHIM, err);
}

int64_t rt__schema_version(sqlite3 *db) {
  return pragma_int(db, "PRAGMA user_version");
}

rt_err rt__schema_upgrade(sqlite3 *db, rt_error *err) {
  char tail[80];
  int64_t version = rt__schema_version(db);
  if (version == RT__SCHEMA_VERSION) return RT_OK;
  rt_err rc = rt__sql_exec(db, "BEGIN IMMEDIATE", err);
  if (rc != RT_OK) return rc;
  rc = rt__sql_exec(db, NO_VIEWS, err);
  while (rc == RT_OK && version < RT__SCHEMA_VERSION) {
    rc = rt__sql_exec(db, UPGRADES[version++ - 1], err);
  }
  if (rc == RT_OK) rc = rt__sql_exec(db, VIEWS, err);
  snprintf(tail, sizeof(tail), "PRAGMA user_version=%d; COMMIT",
           RT__SCHEMA_VERSION);
  if (rc == RT_OK) rc = rt__sql_exec(db, tail, err);
  if (rc != RT_OK) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
  return rc;
}

bool rt__schema_empty(sqlite3 *db) {
  return pragma_int(db, "SELECT count(*) FROM sqlite_schema") == 0 &&
         pragma_int(db, "PRAGMA application_id") == 0;
}

/* --- values ---------------------------------------------------------- */
static bool text_safe(rt_view view) {
  size_t size = 0;
  const char *text = rt_view_string(view, &size);
  return text && memchr(text, 0, size) == NULL && rt__utf8_valid(text, size);
}

/* Does the value survive being written as JSON? */
static bool json_safe(rt_view view) {
  switch (rt_view_type(view)) {
  case RT_STRING:
    return text_safe(view);
  case RT_INT: {
    int64_t number = rt_view_int(view, 0);
    return number >= -(1LL << 53) && number <= 1LL << 53;
  }
  case RT_NUMBER:
    return isfinite(rt_view_number(view, 0));
  case RT_ARRAY:
  case RT_MAP: {
    rt_iter iter = rt_iter_of(view);
    rt_view key, item;
    while (rt_iter_next(&iter, &key, &item)) {
      if (iter.map && !text_safe(key)) return false;
      if (!json_safe(item)) return false;
    }
    return true;
  }
  default:
    return true;
  }
}

void rt__sql_bind_value(sqlite3_stmt *stmt, int index, const rt_value *value) {
  char *text = NULL;
  size_t size = 0;
  if (!value) {
    sqlite3_bind_null(stmt, index);
  } else if (json_safe(rt_value_view(value)) &&
             rt_value_to_json(&text, &size, value, NULL) == RT_OK) {
    sqlite3_bind_text(stmt, index, text, (int)size, SQLITE_TRANSIENT);
    rt_free(text);
  } else {
    sqlite3_bind_blob(stmt, index, rt_value_data(value),
                      (int)rt_value_size(value), SQLITE_TRANSIENT);
  }
}

rt_value *rt__sql_column_value(sqlite3_stmt *stmt, int index) {
  rt_value *value = NULL;
  int type = sqlite3_column_type(stmt, index);
  if (type == SQLITE_TEXT) {
    const char *text = (const char *)sqlite3_column_text(stmt, index);
    rt_value_from_json(&value, text, (size_t)sqlite3_column_bytes(stmt, index),
                       NULL);
  } else if (type == SQLITE_BLOB) {
    const void *data = sqlite3_column_blob(stmt, index);
    rt_value_from_data(&value, data, (size_t)sqlite3_column_bytes(stmt, index),
                       NULL);
  }
  return value;
}

void rt__sql_bind_text(sqlite3_stmt *stmt, int index, rt__text text) {
  if (text.at) {
    sqlite3_bind_text(stmt, index, text.at, (int)text.size, SQLITE_STATIC);
  } else {
    sqlite3_bind_null(stmt, index);
  }
}

rt__text rt__sql_column_text(sqlite3_stmt *stmt, int index) {
  rt__text text = {NULL, 0};
  if (sqlite3_column_type(stmt, index) == SQLITE_NULL) return text;
  text.at = (const char *)sqlite3_column_text(stmt, index);
  text.size = (size_t)sqlite3_column_bytes(stmt, index);
  return text;
}

int64_t rt__wall_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
