/* questions.c - explain, why. See why_not.c.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/paths.h"
#include "store/report.h"

/* --- explain --------------------------------------------------------- */
typedef struct link {
  int64_t id;
  char *key, *capability;
  int64_t depth, version, gone;
} link;

static bool read_link(rt_report *report, int64_t id, link *out) {
  sqlite3_stmt *stmt = rt__report_sql(
      report,
      "SELECT coalesce(a.key,c.name||':'||a.value),a.depth,f.version,f.gone"
      " FROM asset a JOIN class c ON c.id=a.class"
      " LEFT JOIN found f ON f.asset=a.id WHERE a.id=?1",
      NULL);
  if (!stmt) return false;
  sqlite3_bind_int64(stmt, 1, id);
  bool found = sqlite3_step(stmt) == SQLITE_ROW;
  if (found) {
    out->id = id;
    out->key = strdup((const char *)sqlite3_column_text(stmt, 0));
    out->depth = sqlite3_column_int64(stmt, 1);
    out->version = sqlite3_column_int64(stmt, 2);
    out->gone = sqlite3_column_int64(stmt, 3);
  }
  sqlite3_finalize(stmt);
  return found;
}

/* The nearest parent, over the first edge and all further ones; 0: a seed. */
static int64_t nearest_parent(rt_report *report, link *child) {
  int64_t parent = 0;
  sqlite3_stmt *stmt = rt__report_sql(
      report,
      "SELECT e.parent,p.name FROM (SELECT parent,capability FROM asset"
      " WHERE id=?1 AND parent IS NOT NULL UNION ALL"
      " SELECT parent,capability FROM edge WHERE asset=?1) e"
      " JOIN asset q ON q.id=e.parent"
      " LEFT JOIN capability p ON p.id=e.capability"
      " WHERE q.depth<?2 ORDER BY q.depth,q.id LIMIT 1",
      NULL);
  if (!stmt) return 0;
  sqlite3_bind_int64(stmt, 1, child->id);
  sqlite3_bind_int64(stmt, 2, child->depth);
  if (child->depth > 0 && sqlite3_step(stmt) == SQLITE_ROW) {
    parent = sqlite3_column_int64(stmt, 0);
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    child->capability = name ? strdup(name) : NULL;
  }
  sqlite3_finalize(stmt);
  return parent;
}

static void build_link(rt_builder *b, const link *one) {
  rt_builder_begin_map(b);
  rt_builder_key(b, "key");
  rt_builder_string(b, one->key);
  if (one->capability) {
    rt_builder_key(b, "capability");
    rt_builder_string(b, one->capability);
  }
  rt__build_int(b, "depth", one->depth);
  if (one->version > 1) rt__build_int(b, "version", one->version);
  if (one->gone) {
    rt_builder_key(b, "gone");
    rt_builder_number(b, (double)one->gone / 1000);
  }
  rt_builder_end(b);
}

static rt_err build_chain(link *links, size_t count, rt_value **out,
                          rt_error *err) {
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_begin_array(b);
  for (size_t i = count; i > 0; i--) build_link(b, &links[i - 1]);
  rt_builder_end(b);
  return rt__build_done(b, out, err);
}

rt_err rt_report_explain(rt_report *report, const char *key, rt_value **out,
                         rt_error *err) {
  link *links = NULL;
  size_t count = 0;
  rt_err rc = RT_OK;
  *out = NULL;
  int64_t id = rt__report_find(report, key);
  if (!id) return rt_fail(err, RT_ENOTFOUND, "no asset '%.200s'", key);
  while (id) {
    link *more = realloc(links, (count + 1) * sizeof(*links));
    if (!more) {
      rc = rt_fail(err, RT_ENOMEM, "no memory");
      break;
    }
    links = more;
    memset(&links[count], 0, sizeof(*links));
    if (!read_link(report, id, &links[count])) break;
    id = nearest_parent(report, &links[count++]);
  }
  if (rc == RT_OK) rc = build_chain(links, count, out, err);
  for (size_t i = 0; i < count; i++) {
    free(links[i].key);
    free(links[i].capability);
  }
  free(links);
  return rc;
}

/* --- why ------------------------------------------------------------- */
/* Open jobs of each capability: what runs, what is delayed, the rest. ?1:
 * does somebody own the session? */
static const char WHY[] =
    "WITH run(id) AS MATERIALIZED (SELECT j.value->>0 FROM running,"
    " json_each(running.jobs) j WHERE ?1),"
    " open(cap,n,loaded) AS (SELECT capability,sum(total-completed-skipped-"
    "failed-canceled),max(loaded) FROM lane GROUP BY capability),"
    " ran(cap,n) AS (SELECT id%4096,count(*) FROM run GROUP BY 1),"
    " late(cap,n,due) AS (SELECT capability,count(*),min(due) FROM job"
    " WHERE state='delayed' AND reason IS NOT '" RT__WAITS_FOR_RATE
    "' GROUP BY capability),"
    " parked(cap,n) AS (SELECT capability,count(*) FROM job"
    " WHERE state='delayed' AND reason='" RT__WAITS_FOR_RATE
    "' GROUP BY capability)"
    " SELECT p.name,o.n,o.loaded,coalesce(r.n,0),coalesce(d.n,0),d.due,"
    "coalesce(w.n,0),coalesce(m.value,0),coalesce(e.value,0),"
    "coalesce(g.value,0)"
    " FROM open o JOIN capability p ON p.id=o.cap"
    " LEFT JOIN ran r ON r.cap=o.cap LEFT JOIN late d ON d.cap=o.cap"
    " LEFT JOIN parked w ON w.cap=o.cap"
    " LEFT JOIN meta m ON m.name='" RT__META_INSTANCES "'||p.name"
    " LEFT JOIN meta e ON ?1 AND e.name='" RT__META_ELSEWHERE "'||p.name"
    " LEFT JOIN meta g ON ?1 AND g.name='" RT__META_SCALED "'||p.name"
    " WHERE o.n>0 ORDER BY p.id";

/* What the owner itself waits for: somebody who paused it, a lock, a full
 * disk... */
static void told(rt_report *report, rt_builder *b) {
  char *words = rt__report_told(report);
  if (!words) return;
  rt_builder_begin_map(b);
  rt_builder_key(b, "what");
  rt_builder_string(b, words);
  rt_builder_end(b);
  free(words);
}

/* What is to come, in a session that does not finish by itself. */
static void scheduled(rt_report *report, rt_builder *b) {
  sqlite3_stmt *stmt = rt__report_sql(
      report,
      "SELECT substr(name,1+length('" RT__META_TICK "')),value/1000.0 FROM meta"
      " WHERE name GLOB '" RT__META_TICK "*' AND value>0 ORDER BY 2,1",
      NULL);
  while (stmt && sqlite3_step(stmt) == SQLITE_ROW) {
    rt_builder_begin_map(b);
    rt_builder_key(b, "what");
    rt_builder_string(b, "waits for its next time");
    rt__build_text(b, "capability", stmt, 0);
    rt_builder_key(b, "due");
    rt_builder_number(b, sqlite3_column_double(stmt, 1));
    rt_builder_end(b);
  }
  sqlite3_finalize(stmt);
}

static void reason(rt_builder *b, const char *what, int64_t count,
                   sqlite3_stmt *stmt, bool due) {
  if (count <= 0) return;
  rt_builder_begin_map(b);
  rt_builder_key(b, "what");
  rt_builder_string(b, what);
  rt__build_int(b, "count", count);
  rt__build_text(b, "capability", stmt, 0);
  if (due) {
    rt_builder_key(b, "due");
    rt_builder_number(b, sqlite3_column_double(stmt, 5));
  }
  rt_builder_end(b);
}

/* What the rest waits for: `scaled` is what it was scaled to, and one. */
static const char *what_for(sqlite3_stmt *stmt, int64_t running) {
  int64_t instances = sqlite3_column_int64(stmt, 7);
  int64_t elsewhere = sqlite3_column_int64(stmt, 8);
  int64_t scaled = sqlite3_column_int64(stmt, 9);
  if (scaled > 0 && running + elsewhere >= scaled - 1)
    return "waits for an instance: it is scaled";
  if (scaled == 0 && instances > 0 && running + elsewhere >= instances)
    return "waits for an instance";
  return "queued";
}

static void reasons(rt_builder *b, sqlite3_stmt *stmt) {
  int64_t open = sqlite3_column_int64(stmt, 1);
  int64_t running = sqlite3_column_int64(stmt, 3);
  int64_t delayed = sqlite3_column_int64(stmt, 4);
  if (!sqlite3_column_int(stmt, 2)) return; /* not loaded: skipped */
  reason(b, "running", running, stmt, false);
  reason(b, "retrying", delayed, stmt, true);
  int64_t parked = sqlite3_column_int64(stmt, 6);
  reason(b, RT__WAITS_FOR_RATE, parked, stmt, false);
  reason(b, what_for(stmt, running), open - running - delayed - parked, stmt,
         false);
}

rt_err rt_report_why(rt_report *report, rt_value **out, rt_error *err) {
  *out = NULL;
  sqlite3_stmt *stmt = rt__report_sql(report, WHY, err);
  rt_builder *b = rt_builder_new();
  char *state = rt__report_state(report);
  rt_err rc =
      stmt && b && state ? RT_OK : rt_fail(err, RT_EUNAVAIL, "cannot read");
  int code = SQLITE_DONE;
  if (rc == RT_OK) {
    sqlite3_bind_int(stmt, 1, rt__owner_of(report->dir, report->name) != 0);
    rt_builder_begin_map(b);
    rt_builder_key(b, "state");
    rt_builder_string(b, state);
    rt_builder_key(b, "reasons");
    rt_builder_begin_array(b);
    told(report, b);
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) reasons(b, stmt);
    scheduled(report, b);
    rt_builder_end(b);
    rt_builder_end(b);
  }
  free(state);
  rt_err ended = rt__report_end(report, stmt, code, err);
  if (rc == RT_OK) rc = ended;
  if (rc == RT_OK) return rt__build_done(b, out, err);
  rt_builder_free(b);
  return rc;
}
