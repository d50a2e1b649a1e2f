/* query.c - reports of assets: all, those that fit a query, one.
 *
 * A page is one query in order of creation. Numbers are compared by SQLite,
 * patterns and metadata here: the patterns are those of the bus, metadata may
 * be no JSON. No index serves it, since each would cost every new asset.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "store/report.h"

#define ASSET                                                                  \
  "SELECT a.id,coalesce(a.key,c.name||':'||a.value),c.name,a.value,"           \
  "a.metadata,a.depth,coalesce(q.key,d.name||':'||q.value),p.name,a.created,"  \
  "coalesce(f.seen,a.created),coalesce(f.version,1),f.gone,"                   \
  "(SELECT v.version FROM version v WHERE v.capability=a.capability"           \
  " AND v.since<=a.id ORDER BY v.id DESC LIMIT 1)"                             \
  " FROM asset a JOIN class c ON c.id=a.class"                                 \
  " LEFT JOIN asset q ON q.id=a.parent LEFT JOIN class d ON d.id=q.class"      \
  " LEFT JOIN capability p ON p.id=a.capability"                               \
  " LEFT JOIN found f ON f.asset=a.id"

static void build_time(rt_builder *b, const char *name, sqlite3_stmt *stmt,
                       int column) {
  if (sqlite3_column_type(stmt, column) == SQLITE_NULL) return;
  rt_builder_key(b, name);
  rt_builder_number(b, (double)sqlite3_column_int64(stmt, column) / 1000);
}

static void build_asset(rt_builder *b, sqlite3_stmt *stmt) {
  rt_builder_begin_map(b);
  rt__build_int(b, "id", sqlite3_column_int64(stmt, 0));
  rt__build_text(b, "key", stmt, 1);
  rt__build_text(b, "class", stmt, 2);
  rt__build_text(b, "value", stmt, 3);
  rt__build_value(b, "metadata", stmt, 4);
  rt__build_int(b, "depth", sqlite3_column_int64(stmt, 5));
  rt__build_text(b, "parent", stmt, 6);
  rt__build_text(b, "capability", stmt, 7);
  rt__build_text(b, "capability_version", stmt, 12);
  build_time(b, "created", stmt, 8);
  build_time(b, "first_seen", stmt, 8);
  build_time(b, "last_seen", stmt, 9);
  rt__build_int(b, "version", sqlite3_column_int64(stmt, 10));
  build_time(b, "gone", stmt, 11);
  rt_builder_end(b);
}

/* --- what SQLite compares -------------------------------------------- */
/* ?2, ?3: the numbers of the capability and of the parent, 0: any. */
static const char PAGE[] = ASSET
    " WHERE a.id>?1 AND (?2=0 OR a.capability=?2 OR EXISTS(SELECT 1 FROM edge e"
    " WHERE e.asset=a.id AND e.capability=?2))"
    " AND (?3=0 OR a.parent=?3 OR EXISTS(SELECT 1 FROM edge e"
    " WHERE e.asset=a.id AND e.parent=?3))"
    " AND a.created>=?4 AND a.created<?5 AND a.depth<=?6"
    " AND max(a.created,coalesce(f.changed,0),coalesce(f.gone,0))>=?7"
    " ORDER BY a.id";

static bool given(const char *text) {
  return text && *text;
}

int64_t rt__report_capability_id(rt_report *report, const char *name) {
  int64_t id = -1;
  if (!given(name)) return 0;
  sqlite3_stmt *stmt =
      rt__report_sql(report, "SELECT id FROM capability WHERE name=?1", NULL);
  if (!stmt) return id;
  sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
  if (sqlite3_step(stmt) == SQLITE_ROW) id = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return id;
}

int64_t rt__report_asset_id(rt_report *report, const char *key) {
  if (!given(key)) return 0;
  int64_t id = rt__report_find(report, key);
  return id ? id : -1;
}

static int64_t in_ms(double seconds, int64_t none) {
  if (!(seconds > 0)) return none;
  return seconds < 9e15 ? (int64_t)(seconds * 1000 + 0.5) : INT64_MAX;
}

static void bind_query(rt_report *report, sqlite3_stmt *stmt,
                       const rt_asset_query *q) {
  sqlite3_bind_int64(stmt, 1, q->after);
  sqlite3_bind_int64(stmt, 2, rt__report_capability_id(report, q->capability));
  sqlite3_bind_int64(stmt, 3, rt__report_asset_id(report, q->parent));
  sqlite3_bind_int64(stmt, 4, in_ms(q->since, INT64_MIN));
  sqlite3_bind_int64(stmt, 5, in_ms(q->before, INT64_MAX));
  sqlite3_bind_int64(stmt, 6, q->max_depth < 0 ? INT64_MAX : q->max_depth);
  sqlite3_bind_int64(stmt, 7, in_ms(q->changed_since, INT64_MIN));
}

/* --- what is compared here ------------------------------------------- */
static bool text_fits(sqlite3_stmt *stmt, int column, const char *pattern) {
  if (!given(pattern)) return true;
  rt__text text = rt__sql_column_text(stmt, column);
  return rt_pattern_match(pattern, strlen(pattern), text.at, text.size);
}

static bool prefix_fits(sqlite3_stmt *stmt, const char *prefix) {
  if (!given(prefix)) return true;
  rt__text value = rt__sql_column_text(stmt, 3);
  size_t size = strlen(prefix);
  return value.size >= size && memcmp(value.at, prefix, size) == 0;
}

/* Is it written so? */
static bool written_as(rt_view view, const char *text, size_t size) {
  size_t length = 0;
  char *json = NULL;
  rt_value *copy = NULL;
  bool same = rt_view_copy(&copy, view, NULL) == RT_OK &&
              rt_value_to_json(&json, &length, copy, NULL) == RT_OK &&
              length == size && memcmp(json, text, size) == 0;
  rt_free(json);
  rt_value_unref(copy);
  return same;
}

static bool same_value(rt_view have, rt_view want) {
  rt_value *a = NULL, *b = NULL;
  bool same = rt_view_copy(&a, have, NULL) == RT_OK &&
              rt_view_copy(&b, want, NULL) == RT_OK && rt_value_equal(a, b);
  rt_value_unref(a);
  rt_value_unref(b);
  return same;
}

static bool field_fits(rt_view have, rt_view want) {
  size_t size = 0, length = 0;
  const char *text = rt_view_string(want, &size);
  rt_type type = rt_view_type(have);
  if (!text) {
    bool numbers = type == RT_INT || type == RT_NUMBER;
    if (numbers && rt_view_type(want) != RT_BOOL) {
      return rt_view_number(have, 0) == rt_view_number(want, -1) &&
             rt_view_number(have, 1) == rt_view_number(want, 2);
    }
    return same_value(have, want);
  }
  const char *own = rt_view_string(have, &length);
  if (own) return length == size && memcmp(own, text, size) == 0;
  if (type != RT_INT && type != RT_NUMBER && type != RT_BOOL) return false;
  return written_as(have, text, size);
}

/* As rt_view_get(), for a name that may have NUL bytes. */
static rt_view member(rt_view map, rt_view name) {
  rt_iter iter = rt_iter_of(map);
  rt_view key, item, found = {NULL, NULL};
  size_t size = 0, length = 0;
  const char *text = rt_view_string(name, &size);
  if (!text || !iter.map) return found;
  while (rt_iter_next(&iter, &key, &item)) {
    const char *own = rt_view_string(key, &length);
    if (own && length == size && memcmp(own, text, size) == 0) found = item;
  }
  return found;
}

static bool metadata_fits(sqlite3_stmt *stmt, const rt_value *wanted) {
  if (!wanted) return true;
  rt_value *metadata = rt__sql_column_value(stmt, 4);
  rt_iter iter = rt_iter_of(rt_value_view(wanted));
  rt_view name, want;
  bool fits = true;
  while (fits && rt_iter_next(&iter, &name, &want)) {
    fits = field_fits(member(rt_value_view(metadata), name), want);
  }
  rt_value_unref(metadata);
  return fits;
}

static bool fits(sqlite3_stmt *stmt, const rt_asset_query *q) {
  return text_fits(stmt, 2, q->class_pattern) &&
         text_fits(stmt, 3, q->value_pattern) &&
         prefix_fits(stmt, q->value_prefix) && metadata_fits(stmt, q->metadata);
}

/* --- the calls ------------------------------------------------------- */
rt_err rt_report_query(rt_report *report, const rt_asset_query *query,
                       uint32_t limit, rt_value **out, rt_error *err) {
  rt_asset_query q = RT_ASSET_QUERY_INIT;
  *out = NULL;
  if (query)
    memcpy(&q, query, query->size < sizeof(q) ? query->size : sizeof(q));
  sqlite3_stmt *stmt = rt__report_sql(report, PAGE, err);
  rt_builder *b = rt_builder_new();
  if (!stmt || !b) {
    sqlite3_finalize(stmt);
    rt_builder_free(b);
    return stmt ? rt_fail(err, RT_ENOMEM, "no memory") : RT_EUNAVAIL;
  }
  int code = SQLITE_DONE;
  bind_query(report, stmt, &q);
  rt_builder_begin_array(b);
  for (uint32_t n = 0; n < limit;) {
    code = sqlite3_step(stmt);
    if (code != SQLITE_ROW) break;
    if (!fits(stmt, &q)) continue;
    build_asset(b, stmt);
    n++;
  }
  rt_builder_end(b);
  rt_err rc = rt__report_end(report, stmt, code, err);
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}

rt_err rt_report_assets(rt_report *report, int64_t after,
                        const char *class_pattern, uint32_t limit,
                        rt_value **out, rt_error *err) {
  rt_asset_query q = RT_ASSET_QUERY_INIT;
  q.after = after;
  q.class_pattern = class_pattern;
  return rt_report_query(report, &q, limit, out, err);
}

static rt_err no_asset(const char *key, rt_error *err) {
  return rt_fail(err, RT_ENOTFOUND, "no asset '%.200s'", key);
}

rt_err rt_report_asset(rt_report *report, const char *key, rt_value **out,
                       rt_error *err) {
  *out = NULL;
  int64_t id = rt__report_find(report, key);
  if (!id) return no_asset(key, err);
  sqlite3_stmt *stmt = rt__report_sql(report, ASSET " WHERE a.id=?1", err);
  rt_builder *b = rt_builder_new();
  if (!stmt || !b) {
    sqlite3_finalize(stmt);
    rt_builder_free(b);
    return stmt ? rt_fail(err, RT_ENOMEM, "no memory") : RT_EUNAVAIL;
  }
  sqlite3_bind_int64(stmt, 1, id);
  int code = sqlite3_step(stmt);
  if (code == SQLITE_ROW) build_asset(b, stmt);
  rt_err rc = rt__report_end(report, stmt, code, err);
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}

rt_err rt_report_deleted(rt_report *report, const char *key, bool *deleted,
                         rt_error *err) {
  *deleted = false;
  sqlite3_stmt *stmt = rt__report_sql(
      report, "SELECT 1 FROM meta WHERE name='deleted:'||?1", err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
  int code = sqlite3_step(stmt);
  *deleted = code == SQLITE_ROW;
  return rt__report_end(report, stmt, code, err);
}
