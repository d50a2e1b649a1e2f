/* lists.c - reports that list edges and jobs; query.c has those of assets. Each
 * page is one query, which starts where the last one ended.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/paths.h"
#include "store/report.h"

/* --- edges ----------------------------------------------------------- */
/* First edges are in the asset rows, numbered by them; see assets.c. An edge
 * whose beginning was deleted is none. ?3 ?4 ?5: from, to and capability, 0:
 * any. */
#define WANTED(way, to)                                                        \
  " AND (?3=0 OR " way ".parent=?3) AND (?4=0 OR " way to "=?4)"               \
  " AND (?5=0 OR " way ".capability=?5)"                                       \
  " AND EXISTS(SELECT 1 FROM asset o WHERE o.id=" way ".parent)"
static const char EDGES[] =
    "SELECT e.id,coalesce(a.key,c.name||':'||a.value),"
    "coalesce(q.key,d.name||':'||q.value),p.name,"
    "e.parent*4096+e.capability FROM"
    " (SELECT * FROM (SELECT id<<20 AS id,id AS asset,parent,capability"
    " FROM asset m WHERE id>(?1>>20)" WANTED(
        "m", ".id") " ORDER BY m.id"
                    " LIMIT ?2)"
                    " UNION ALL SELECT * FROM (SELECT "
                    "id,asset,parent,capability FROM edge f"
                    " WHERE id>?1" WANTED(
                        "f", ".asset") " ORDER BY f.id LIMIT ?2)"
                                       " ORDER BY 1 LIMIT ?2) e"
                                       " JOIN asset a ON a.id=e.asset JOIN "
                                       "class c ON c.id=a.class"
                                       " JOIN asset q ON q.id=e.parent JOIN "
                                       "class d ON d.id=q.class"
                                       " LEFT JOIN capability p ON "
                                       "p.id=e.capability ORDER BY e.id";

static void build_edge(rt_builder *b, sqlite3_stmt *stmt) {
  rt_builder_begin_map(b);
  rt__build_int(b, "id", sqlite3_column_int64(stmt, 0));
  rt__build_text(b, "from", stmt, 2);
  rt__build_text(b, "to", stmt, 1);
  rt__build_text(b, "capability", stmt, 3);
  rt__build_int(b, "job", sqlite3_column_int64(stmt, 4));
  rt_builder_end(b);
}

static void bind_edges(rt_report *report, sqlite3_stmt *stmt,
                       const rt_edge_query *q, uint32_t limit) {
  sqlite3_bind_int64(stmt, 1, q->after);
  sqlite3_bind_int64(stmt, 2, limit);
  sqlite3_bind_int64(stmt, 3, rt__report_asset_id(report, q->from));
  sqlite3_bind_int64(stmt, 4, rt__report_asset_id(report, q->to));
  sqlite3_bind_int64(stmt, 5, rt__report_capability_id(report, q->capability));
}

rt_err rt_report_ways(rt_report *report, const rt_edge_query *query,
                      uint32_t limit, rt_value **out, rt_error *err) {
  rt_edge_query q = RT_EDGE_QUERY_INIT;
  *out = NULL;
  if (query) {
    memcpy(&q, query, query->size < sizeof(q) ? query->size : sizeof(q));
  }
  sqlite3_stmt *stmt = rt__report_sql(report, EDGES, err);
  rt_builder *b = rt_builder_new();
  if (!stmt || !b) {
    sqlite3_finalize(stmt);
    rt_builder_free(b);
    return stmt ? rt_fail(err, RT_ENOMEM, "no memory") : RT_EUNAVAIL;
  }
  int code;
  bind_edges(report, stmt, &q, limit);
  rt_builder_begin_array(b);
  while ((code = sqlite3_step(stmt)) == SQLITE_ROW) build_edge(b, stmt);
  rt_builder_end(b);
  rt_err rc = rt__report_end(report, stmt, code, err);
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}

rt_err rt_report_edges(rt_report *report, int64_t after, uint32_t limit,
                       rt_value **out, rt_error *err) {
  rt_edge_query q = RT_EDGE_QUERY_INIT;
  q.after = after;
  return rt_report_ways(report, &q, limit, out, err);
}

/* --- jobs ------------------------------------------------------------ */
/* ?1,?2 the cursor, ?3 state, ?4 capability, ?5 somebody owns it, ?6 what was
 * given up, ?7 the limit, ?8 the last asset. */
#define JOB_STATE                                                              \
  "CASE WHEN j.state IN ('completed','skipped','failed','canceled')"           \
  " THEN j.state WHEN (a.done>>l.position)&1 THEN 'completed'"                 \
  " WHEN r.id IS NOT NULL THEN 'running'"                                      \
  " WHEN a.id<=?6 AND l.canceled>0 AND j.state IS NULL THEN 'canceled'"        \
  " WHEN NOT l.loaded THEN 'skipped'"                                          \
  " WHEN j.state='delayed' AND j.reason IS NOT '" RT__WAITS_FOR_RATE           \
  "' THEN 'retrying' ELSE 'queued' END"
#define JOB_HEAD                                                               \
  "WITH run(id) AS MATERIALIZED (SELECT j.value->>0 FROM running,"             \
  " json_each(running.jobs) j WHERE ?5) SELECT * FROM (SELECT a.id AS asset,"  \
  "l.position AS pos,l.capability AS cap,p.name AS capability,"                \
  "c.name||':'||a.value AS target," JOB_STATE " AS state,"                     \
  "coalesce(j.attempt,1) AS attempt,j.reason AS reason,j.errors AS errors,"    \
  "(a.done>>l.position)&1 AS done,l.loaded AS loaded,coalesce((SELECT"         \
  " v.version FROM version v WHERE v.id=j.version),(SELECT v.version FROM"     \
  " version v WHERE v.capability=l.capability ORDER BY v.id LIMIT 1))"         \
  " AS version,j.ended AS ended FROM "
#define JOB_TAIL                                                               \
  " JOIN class c ON c.id=a.class JOIN capability p ON p.id=l.capability"       \
  " LEFT JOIN run r ON r.id=a.id*4096+l.capability"                            \
  " WHERE a.id BETWEEN ?1 AND ?8 AND (a.id>?1 OR l.position>?2))"              \
  " WHERE (?3 IS NULL OR state=?3) AND (?4 IS NULL OR capability=?4)"          \
  " ORDER BY asset,pos LIMIT ?7"

static const char JOBS[] = JOB_HEAD
    "asset a JOIN lane l ON l.class=a.class AND a.id>=l.since"
    " LEFT JOIN job j ON j.asset=a.id AND j.capability=l.capability" JOB_TAIL;
/* What always has a row of its own is found by it. */
static const char JOBS_BY_ROW[] =
    JOB_HEAD "job j CROSS JOIN asset a ON a.id=j.asset JOIN lane l"
             " ON l.class=a.class AND l.capability=j.capability" JOB_TAIL;

static void build_job(rt_builder *b, sqlite3_stmt *stmt) {
  const char *state = (const char *)sqlite3_column_text(stmt, 5);
  bool gone = strcmp(state, "skipped") == 0 && !sqlite3_column_int(stmt, 9);
  rt_builder_begin_map(b);
  rt__build_int(b, "id",
                (int64_t)RT__JOB_ID(sqlite3_column_int64(stmt, 0),
                                    sqlite3_column_int64(stmt, 2)));
  rt__build_text(b, "capability", stmt, 3);
  rt__build_text(b, "target", stmt, 4);
  rt__build_text(b, "state", stmt, 5);
  rt__build_int(b, "attempt", sqlite3_column_int64(stmt, 6));
  if (gone) {
    rt_builder_key(b, "reason");
    rt_builder_string(b, RT__NOT_REGISTERED);
  } else {
    rt__build_text(b, "reason", stmt, 7);
  }
  rt__build_value(b, "errors", stmt, 8);
  rt__build_text(b, "version", stmt, 11);
  rt_builder_end(b);
}

static const char *jobs_sql(const char *state) {
  bool row =
      state && (strcmp(state, "failed") == 0 || strcmp(state, "retrying") == 0);
  return row ? JOBS_BY_ROW : JOBS;
}

static void bind_optional(sqlite3_stmt *stmt, int index, const char *text) {
  if (text && *text) sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

static void bind_jobs(rt_report *report, sqlite3_stmt *stmt, const char *state,
                      const char *capability, const char *cursor,
                      uint32_t limit) {
  long long asset = 0, position = -1, last = INT64_MAX;
  if (cursor && *cursor) {
    sscanf(cursor, "%lld.%lld-%lld", &asset, &position, &last);
  }
  sqlite3_bind_int64(stmt, 1, asset);
  sqlite3_bind_int64(stmt, 2, position);
  bind_optional(stmt, 3, state);
  bind_optional(stmt, 4, capability);
  sqlite3_bind_int(stmt, 5, rt__owner_of(report->dir, report->name) != 0);
  sqlite3_bind_int64(
      stmt, 6,
      rt__report_int(
          report, "SELECT value FROM meta WHERE name='" RT__META_DISCARDED "'",
          0));
  sqlite3_bind_int64(stmt, 7, limit);
  sqlite3_bind_int64(stmt, 8, last);
}

rt_err rt_report_jobs(rt_report *report, const char *state,
                      const char *capability, const char *cursor,
                      uint32_t limit, rt_value **out, rt_error *err) {
  *out = NULL;
  sqlite3_stmt *stmt = rt__report_sql(report, jobs_sql(state), err);
  rt_builder *b = rt_builder_new();
  if (!stmt || !b) {
    sqlite3_finalize(stmt);
    rt_builder_free(b);
    return stmt ? rt_fail(err, RT_ENOMEM, "no memory") : RT_EUNAVAIL;
  }
  char next[64] = "";
  uint32_t count = 0;
  int code;
  bind_jobs(report, stmt, state, capability, cursor, limit);
  rt_builder_begin_map(b);
  rt_builder_key(b, "jobs");
  rt_builder_begin_array(b);
  while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
    build_job(b, stmt);
    count++;
    snprintf(next, sizeof(next), "%lld.%lld",
             (long long)sqlite3_column_int64(stmt, 0),
             (long long)sqlite3_column_int64(stmt, 1));
  }
  rt_builder_end(b);
  if (count == limit && count > 0) {
    rt_builder_key(b, "cursor");
    rt_builder_string(b, next);
  }
  rt_builder_end(b);
  rt_err rc = rt__report_end(report, stmt, code, err);
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}
