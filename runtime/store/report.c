/* report.c - reading a session's file, also while another process owns it.
 * SPDX-License-Identifier: MIT */
#include "store/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/counts.h"
#include "store/paths.h"
#include "store/siphash.h"

/* --- shared by the files of reports ---------------------------------- */
sqlite3_stmt *rt__report_sql(rt_report *report, const char *sql,
                             rt_error *err) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(report->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    rt__sql_fail(report->db, report->name, err);
  }
  return stmt;
}

rt_err rt__report_end(rt_report *report, sqlite3_stmt *stmt, int code,
                      rt_error *err) {
  rt_err rc = RT_OK;
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    rc = rt__sql_fail(report->db, report->name, err);
  }
  sqlite3_finalize(stmt);
  return rc;
}

int64_t rt__report_int(rt_report *report, const char *sql, int64_t fallback) {
  sqlite3_stmt *stmt = rt__report_sql(report, sql, NULL);
  if (stmt && sqlite3_step(stmt) == SQLITE_ROW &&
      sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
    fallback = sqlite3_column_int64(stmt, 0);
  }
  sqlite3_finalize(stmt);
  return fallback;
}

/* What the file says, seen with whether anybody works on it. */
char *rt__report_state(rt_report *report) {
  char *state = NULL;
  sqlite3_stmt *stmt =
      rt__report_sql(report, "SELECT value FROM meta WHERE name='state'", NULL);
  if (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    bool gone = text && strcmp(text, "running") == 0 &&
                rt__owner_of(report->dir, report->name) == 0;
    state = strdup(gone ? "interrupted" : text ? text : "new");
  }
  sqlite3_finalize(stmt);
  return state ? state : strdup("new");
}

char *rt__report_told(rt_report *report) {
  static const char PAUSED[] =
      "SELECT value FROM meta WHERE name='" RT__META_PAUSED "'";
  if (rt__owner_of(report->dir, report->name) == 0) return NULL;
  if (rt__report_int(report, PAUSED, 0)) return strdup(RT__PAUSED_WORDS);
  return rt__owner_told(report->dir, report->name);
}

uint64_t rt__report_hash(const rt_report *report, const char *key) {
  return rt__siphash_of(report->hash_key, key, strlen(key));
}

/* In the table of keys, or behind what is in it. Format 1 has an index. */
#define SAME_KEY " AND coalesce(a.key,c.name||':'||a.value)=?2"
static const char FIND_1[] =
    "SELECT a.id FROM asset a JOIN class c ON c.id=a.class WHERE"
    " a.hash=?1" SAME_KEY;
static const char FIND[] =
    "SELECT a.id FROM seen s CROSS JOIN asset a ON a.id=s.asset"
    " JOIN class c ON c.id=a.class WHERE s.hash=?1" SAME_KEY " UNION ALL "
    "SELECT a.id FROM asset a JOIN class c ON c.id=a.class WHERE a.hash=?1"
    " AND a.id>coalesce((SELECT value FROM meta WHERE name='seen'),0)" SAME_KEY
    " LIMIT 1";

int64_t rt__report_find(rt_report *report, const char *key) {
  int64_t id = 0;
  bool old = rt__schema_version(report->db) == 1;
  sqlite3_stmt *stmt = rt__report_sql(report, old ? FIND_1 : FIND, NULL);
  if (!stmt) return 0;
  sqlite3_bind_int64(stmt, 1, (int64_t)rt__report_hash(report, key));
  sqlite3_bind_text(stmt, 2, key, -1, SQLITE_STATIC);
  if (sqlite3_step(stmt) == SQLITE_ROW) id = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return id;
}

void rt__build_int(rt_builder *b, const char *name, int64_t value) {
  rt_builder_key(b, name);
  rt_builder_int(b, value);
}

void rt__build_text(rt_builder *b, const char *name, sqlite3_stmt *stmt,
                    int column) {
  rt__text text = rt__sql_column_text(stmt, column);
  if (!text.at) return;
  rt_builder_key(b, name);
  rt_builder_lstring(b, text.at, text.size);
}

void rt__build_value(rt_builder *b, const char *name, sqlite3_stmt *stmt,
                     int column) {
  rt_value *value = rt__sql_column_value(stmt, column);
  if (!value) return;
  rt_builder_key(b, name);
  rt_builder_value(b, value);
  rt_value_unref(value);
}

rt_err rt__build_done(rt_builder *b, rt_value **out, rt_error *err) {
  rt_err rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  return rc;
}

/* --- open, close ----------------------------------------------------- */
static rt_err open_read_only(rt_report *report, const char *path,
                             rt_error *err) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  /* Only who might write removes the journal's files when it closes last. */
  if (sqlite3_open_v2(path, &report->db, flags | SQLITE_OPEN_READWRITE, NULL) !=
      SQLITE_OK) {
    return rt__sql_fail(report->db, path, err);
  }
  sqlite3_busy_timeout(report->db, 10000);
  rt_err rc = rt__schema_check(report->db, path, err);
  if (rc == RT_OK) rc = rt__schema_shim(report->db, err);
  sqlite3_exec(report->db, "PRAGMA query_only=1", NULL, NULL, NULL);
  if (rc == RT_OK) return RT_OK;
  /* In a folder that cannot be written, a file nobody has open is read as it
   * is. */
  bool locked_out = (sqlite3_errcode(report->db) & 0xff) == SQLITE_CANTOPEN;
  if (!locked_out || rt__owner_of(report->dir, report->name) != 0) return rc;
  char *uri = sqlite3_mprintf("file:%s?immutable=1", path);
  sqlite3_close(report->db);
  report->db = NULL;
  int code = sqlite3_open_v2(
      uri, &report->db, flags | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
  sqlite3_free(uri);
  if (code != SQLITE_OK) return rt__sql_fail(report->db, path, err);
  rc = rt__schema_check(report->db, path, err);
  return rc == RT_OK ? rt__schema_shim(report->db, err) : rc;
}

static rt_err read_hash_key(rt_report *report, rt_error *err) {
  sqlite3_stmt *stmt = rt__report_sql(
      report, "SELECT value FROM meta WHERE name='siphash'", err);
  if (!stmt) return rt__sql_fail(report->db, report->name, err);
  int code = sqlite3_step(stmt);
  if (code == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == 16) {
    memcpy(report->hash_key, sqlite3_column_blob(stmt, 0), 16);
  }
  return rt__report_end(report, stmt, code, err);
}

/* What its owner has to say, when the file was lost. */
static rt_err is_lost(const char *dir, const char *name, rt_error *err) {
  char *words = rt__owner_told(dir, name);
  if (!words) return RT_OK;
  rt_err rc = rt_fail(err, RT_EUNAVAIL, "session '%s' waits, process %ld: %s",
                      name, (long)rt__owner_of(dir, name), words);
  free(words);
  return rc;
}

rt_err rt_report_open(rt_report **out, const char *dir, const char *name,
                      rt_error *err) {
  struct stat st;
  *out = NULL;
  rt_err rc = rt__session_name_check(name, err);
  if (rc != RT_OK) return rc;
  if (!dir || !*dir) dir = RT__DIR_DEFAULT;
  rt_report *report = calloc(1, sizeof(*report));
  char *path = rt__session_path(dir, name, ".sqlite");
  if (!report || !path) {
    free(path);
    free(report);
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  report->dir = strdup(dir);
  report->name = strdup(name);
  bool there = stat(path, &st) == 0;
  if (!there || st.st_size == 0) rc = is_lost(dir, name, err);
  if (rc == RT_OK && !there) {
    rc = rt_fail(err, RT_ENOTFOUND, "no session '%s' in %s", name, dir);
  } else if (rc == RT_OK &&
             !S_ISREG(st.st_mode)) { /* opening a pipe would wait */
    rc = rt_fail(err, RT_EINVAL, "%s is not a session file", path);
  }
  if (rc == RT_OK) rc = open_read_only(report, path, err);
  if (rc == RT_OK) rc = read_hash_key(report, err);
  free(path);
  if (rc == RT_OK) {
    *out = report;
  } else {
    rt_report_close(report);
  }
  return rc;
}

void rt_report_close(rt_report *report) {
  if (!report) return;
  sqlite3_close(report->db);
  free(report->dir);
  free(report->name);
  free(report);
}

/* --- status
 * ----------------------------------------------------------------------------
 */
static const char LANES[] =
    "SELECT l.class,l.capability,l.position,l.since,l.mark,l.total,"
    "l.completed,l.skipped,l.failed,l.canceled,l.loaded,p.name,p.times"
    " FROM lane l JOIN capability p ON p.id=l.capability"
    " ORDER BY l.capability,l.class";

static void read_lane(sqlite3_stmt *stmt, rt__lane_row *row) {
  int64_t *const field[] = {&row->class_id,  &row->capability, &row->position,
                            &row->since,     &row->mark,       &row->total,
                            &row->completed, &row->skipped,    &row->failed,
                            &row->canceled,  &row->loaded};
  for (int i = 0; i < 11; i++) *field[i] = sqlite3_column_int64(stmt, i);
}

static int64_t running_of(rt_report *report, int64_t capability) {
  char sql[200];
  if (rt__owner_of(report->dir, report->name) == 0) return 0;
  snprintf(sql, sizeof(sql),
           "SELECT count(*) FROM running, json_each(running.jobs) j WHERE"
           " %lld IN (0, (j.value->>0) %% 4096)",
           (long long)capability);
  return rt__report_int(report, sql, 0);
}

typedef struct one_cap {
  rt__counts sum;
  char *name;
  uint32_t times[RT__TIMES];
} one_cap;

static void end_cap(rt_report *report, rt_builder *b, one_cap *cap,
                    int64_t id) {
  if (!cap->name) return;
  cap->sum.running = running_of(report, id);
  rt_builder_key(b, cap->name);
  rt__counts_capability(b, &cap->sum, cap->times);
  free(cap->name);
  memset(cap, 0, sizeof(*cap));
}

static rt_err build_lanes(rt_report *report, rt_builder *b, rt__counts *all,
                          rt_error *err) {
  sqlite3_stmt *stmt = rt__report_sql(report, LANES, err);
  if (!stmt) return RT_EUNAVAIL;
  one_cap cap = {0};
  int64_t id = 0;
  int code;
  rt_builder_key(b, "capabilities");
  rt_builder_begin_map(b);
  while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
    rt__lane_row row;
    read_lane(stmt, &row);
    if (row.capability != id) end_cap(report, b, &cap, id);
    id = row.capability;
    if (!cap.name) {
      cap.name = strdup((const char *)sqlite3_column_text(stmt, 11));
      const void *times = sqlite3_column_blob(stmt, 12);
      if (times && sqlite3_column_bytes(stmt, 12) == sizeof(cap.times)) {
        memcpy(cap.times, times, sizeof(cap.times));
      }
    }
    rt__counts_add(&cap.sum, &row, row.loaded);
    rt__counts_add(all, &row, row.loaded);
  }
  end_cap(report, b, &cap, id);
  rt_builder_end(b);
  return rt__report_end(report, stmt, code, err);
}

static rt_err build_classes(rt_report *report, rt_builder *b, rt_error *err) {
  sqlite3_stmt *stmt =
      rt__report_sql(report, "SELECT name,assets FROM class ORDER BY id", err);
  if (!stmt) return RT_EUNAVAIL;
  int code;
  rt_builder_key(b, "assets");
  rt_builder_begin_map(b);
  while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
    rt__build_int(b, (const char *)sqlite3_column_text(stmt, 0),
                  sqlite3_column_int64(stmt, 1));
  }
  rt_builder_end(b);
  return rt__report_end(report, stmt, code, err);
}

static rt_err build_meta(rt_report *report, rt_builder *b, rt_error *err) {
  static const char *const texts[] = {"reason", "round", "created", "printed"};
  sqlite3_stmt *stmt =
      rt__report_sql(report, "SELECT value FROM meta WHERE name=?1", err);
  if (!stmt) return RT_EUNAVAIL;
  for (int i = 0; i < 4; i++) {
    sqlite3_bind_text(stmt, 1, texts[i], -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
      if (i == 0) {
        rt__build_text(b, texts[i], stmt, 0);
      } else {
        rt__build_int(b, texts[i], sqlite3_column_int64(stmt, 0));
      }
    } else if (i == 3) {
      rt__build_int(b, texts[i], 0);
    }
    sqlite3_reset(stmt);
  }
  sqlite3_bind_text(stmt, 1, "config", -1, SQLITE_STATIC);
  int code = sqlite3_step(stmt);
  if (code == SQLITE_ROW) rt__build_value(b, "config", stmt, 0);
  return rt__report_end(report, stmt, code, err);
}

static const char REJECTIONS[] =
    "SELECT sum(j.value) FROM meta, json_each(meta.value) j"
    " WHERE meta.name='" RT__META_REJECTIONS "'";

/* What its owner waits for. */
static void build_fault(rt_report *report, rt_builder *b) {
  char *words = rt__owner_told(report->dir, report->name);
  if (!words) return;
  rt_builder_key(b, "fault");
  rt_builder_string(b, words);
  free(words);
}

static rt_err build_status(rt_report *report, rt_builder *b, rt_error *err) {
  rt__counts all = {0};
  char *state = rt__report_state(report);
  pid_t owner = rt__owner_of(report->dir, report->name);
  rt_builder_begin_map(b);
  rt_builder_key(b, "name");
  rt_builder_string(b, report->name);
  rt_builder_key(b, "state");
  rt_builder_string(b, state ? state : "?");
  free(state);
  if (owner > 0) rt__build_int(b, "owner", owner);
  build_fault(report, b);
  rt_err rc = build_meta(report, b, err);
  if (rc == RT_OK) rc = build_classes(report, b, err);
  if (rc == RT_OK) rc = build_lanes(report, b, &all, err);
  all.running = running_of(report, 0);
  rt__counts_build(b, &all);
  int64_t rejected = rt__report_int(report, REJECTIONS, -1);
  if (rejected < 0) { /* written before they were counted */
    rejected = rt__report_int(report, "SELECT count(*) FROM rejected", 0);
  }
  rt__build_int(b, "rejected", rejected);
  rt_builder_end(b);
  return rc;
}

rt_err rt_report_status(rt_report *report, rt_value **out, rt_error *err) {
  *out = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  sqlite3_exec(report->db, "BEGIN", NULL, NULL, NULL);
  rt_err rc = build_status(report, b, err);
  sqlite3_exec(report->db, "COMMIT", NULL, NULL, NULL);
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}
