/* why_not.c - what became of one capability on one asset, from tables alone.
 *
 * The answer is a sentence, the state of the job, and a cause: one word that
 * programs can go by.
 * SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/paths.h"
#include "store/report.h"

typedef struct question {
  rt_report *report;
  const char *capability, *key;
  int64_t id; /* of the asset */
  char answer[1500];
  char state[32];
  const char *cause;
  char *reason;
  rt_value *errors;
} question;

static void say(question *q, const char *cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(question *q, const char *cause, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(q->answer, sizeof(q->answer), format, args);
  va_end(args);
  q->cause = cause;
}

/* ?1 the asset's number or hash, ?2 the capability's name or the key. */
static sqlite3_stmt *ask(const question *q, const char *sql, int64_t number,
                         const char *text) {
  sqlite3_stmt *stmt = rt__report_sql(q->report, sql, NULL);
  if (!stmt) return NULL;
  sqlite3_bind_int64(stmt, 1, number);
  sqlite3_bind_text(stmt, 2, text, -1, SQLITE_STATIC);
  if (sqlite3_step(stmt) == SQLITE_ROW) return stmt;
  sqlite3_finalize(stmt);
  return NULL;
}

static int64_t ask_int(const question *q, const char *sql) {
  sqlite3_stmt *stmt = ask(q, sql, q->id, q->capability);
  int64_t number = stmt ? sqlite3_column_int64(stmt, 0) : 0;
  sqlite3_finalize(stmt);
  return number;
}

/* What is noted of this capability. */
#define NOTED(prefix)                                                          \
  "SELECT value FROM meta WHERE ?1 AND name='" prefix "'||?2"

/* --- not stored ------------------------------------------------------ */
static const char ONLY_COUNTED[] =
    "SELECT coalesce((SELECT sum(e.value) FROM meta m, json_each(m.value) e"
    " WHERE m.name='" RT__META_REJECTIONS
    "'),0)-(SELECT count(*) FROM rejected)"
    " WHERE ?1 IS NOT NULL OR ?2 IS NULL";

static void not_stored(question *q) {
  sqlite3_stmt *stmt = ask(
      q,
      "SELECT r.kind,r.reason,coalesce(x.key,d.name||':'||x.value),p.name"
      " FROM rejected r JOIN class c ON c.id=r.class"
      " LEFT JOIN asset x ON x.id=r.parent LEFT JOIN class d ON d.id=x.class"
      " LEFT JOIN capability p ON p.id=r.capability"
      " WHERE r.hash=?1 AND coalesce(r.key,c.name||':'||r.value)=?2"
      " ORDER BY r.id LIMIT 1",
      (int64_t)rt__report_hash(q->report, q->key), q->key);
  if (!stmt) {
    snprintf(q->state, sizeof(q->state), "unknown");
    int64_t counted = ask_int(q, ONLY_COUNTED);
    if (counted > 0) {
      say(q, "unknown",
          "%.200s was never found, or is one of %lld results that were "
          "refused and only counted",
          q->key, (long long)counted);
    } else {
      say(q, "unknown", "%.200s was never found", q->key);
    }
    return;
  }
  static const char *const kinds[] = {"scope",  "depth",       "assets",
                                      "fanout", "descendants", "repeats"};
  const char *kind = (const char *)sqlite3_column_text(stmt, 0);
  const char *parent = (const char *)sqlite3_column_text(stmt, 2);
  const char *by = (const char *)sqlite3_column_text(stmt, 3);
  q->reason = strdup((const char *)sqlite3_column_text(stmt, 1));
  snprintf(q->state, sizeof(q->state), "rejected");
  say(q, "budget", "%.200s was found%s%.100s%s%.200s, but not taken: %.300s",
      q->key, by ? " by " : "", by ? by : "", parent ? " on " : "",
      parent ? parent : "", q->reason ? q->reason : "?");
  for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
    if (strcmp(kind, kinds[i]) == 0) q->cause = kinds[i];
  }
  sqlite3_finalize(stmt);
}

/* --- queued: what does it wait for? ---------------------------------- */
#define THIS                                                                   \
  " FROM asset a JOIN lane l ON l.class=a.class AND a.id=?1 JOIN capability p" \
  " ON p.id=l.capability AND p.name=?2"
static const char DELAYED[] =
    "SELECT 1" THIS " JOIN job j ON j.asset=a.id AND j.capability=p.id"
    " AND j.state='delayed'";
static const char STAGE[] =
    "SELECT r.name" THIS " JOIN meta mine ON mine.name='" RT__META_PRIORITY
    "'||?2"
    " JOIN lane o ON o.class=a.class AND o.loaded AND a.id>=o.since"
    " AND NOT (a.done>>o.position)&1 JOIN capability r ON r.id=o.capability"
    " JOIN meta its ON its.name='" RT__META_PRIORITY "'||r.name"
    " WHERE its.value<mine.value ORDER BY its.value,o.position LIMIT 1";
/* How many may run at once, and one, when all of them do. */
static const char INSTANCES[] =
    "SELECT l.most+1 FROM (SELECT coalesce("
    "(SELECT value-1 FROM meta WHERE name='" RT__META_SCALED
    "'||?2 AND value>0),"
    "(SELECT value FROM meta WHERE name='" RT__META_INSTANCES
    "'||?2 AND value>0)) most) l"
    " WHERE ?1 AND l.most<=(SELECT count(*) FROM running,"
    "json_each(running.jobs) j JOIN capability p ON p.id=(j.value->>0)%4096"
    " WHERE p.name=?2)+coalesce((SELECT value FROM meta WHERE"
    " name='" RT__META_ELSEWHERE "'||?2),0)";

static bool waits_for_stage(question *q) {
  sqlite3_stmt *stmt = ask(q, STAGE, q->id, q->capability);
  if (!stmt) return false;
  say(q, "stage", "%s: not yet: queued until %.200s, an earlier stage, is done",
      q->capability, (const char *)sqlite3_column_text(stmt, 0));
  sqlite3_finalize(stmt);
  return true;
}

static bool held(question *q) {
  rt_report *r = q->report;
  if (rt__owner_of(r->dir, r->name) == 0) {
    char *state = rt__report_state(r);
    say(q, "stopped", "%s: not yet: queued, and the session is %s",
        q->capability, state ? state : "?");
    free(state);
    return true;
  }
  char *words = rt__report_told(r);
  if (!words) return false;
  bool paused = strcmp(words, RT__PAUSED_WORDS) == 0;
  say(q, paused ? "paused" : "held", "%s: not yet: queued, and %.300s%s",
      q->capability, paused ? "" : "the session waits: ", words);
  free(words);
  return true;
}

static bool waits_for_instance(question *q) {
  const char *name = q->capability;
  int64_t most = ask_int(q, INSTANCES) - 1;
  if (most < 0) return false;
  if (!ask_int(q, NOTED(RT__META_SCALED))) {
    say(q, "instance",
        "%s: not yet: waits for an instance, of %lld none is free", name,
        (long long)most);
  } else if (most == 0) {
    say(q, "scaled", "%s: not yet: it is scaled to 0, so none starts", name);
  } else {
    say(q, "scaled",
        "%s: not yet: waits for an instance, of the %lld that it is scaled to "
        "none is free",
        name, (long long)most);
  }
  return true;
}

static void queued(question *q) {
  const char *name = q->capability;
  if (held(q) || waits_for_stage(q) || waits_for_instance(q)) return;
  if (ask_int(q, DELAYED) || ask_int(q, NOTED(RT__META_WAITS))) {
    say(q, "rate", "%s: not yet: " RT__WAITS_FOR_RATE, name);
  } else {
    say(q, "queued", "%s: not yet: queued, its turn has not come", name);
  }
}

/* --- a job ----------------------------------------------------------- */
static void completed(question *q) {
  int64_t again = ask_int(q, "SELECT count(*) FROM edge WHERE asset=?1");
  if (again > 0) {
    say(q, "duplicate",
        "%s: completed; the asset was found %lld time%s more, which starts "
        "nothing",
        q->capability, (long long)again, again == 1 ? "" : "s");
  } else {
    say(q, "done", "%s: completed", q->capability);
  }
}

static void skipped(question *q) {
  const char *reason = q->reason ? q->reason : "";
  const char *cause = "gate";
  if (strcmp(reason, RT__NOT_REGISTERED) == 0) {
    bool out = ask_int(q, NOTED(RT__META_LEFT_OUT)) != 0;
    cause = out ? "unselected" : "unregistered";
    if (out) reason = "not chosen for this session";
  }
  if (strncmp(reason, "setup: ", 7) == 0) cause = "setup";
  say(q, cause, "%s: skipped%s%.500s", q->capability, *reason ? ": " : "",
      reason);
}

static void unfinished(question *q) {
  size_t times = rt_view_count(rt_value_view(q->errors));
  const char *reason = q->reason ? q->reason : "";
  if (strcmp(q->state, "failed") == 0) {
    say(q, "failed", "%s: failed%s%.500s (%zu time%s)", q->capability,
        *reason ? ": " : "", reason, times, times == 1 ? "" : "s");
  } else if (times > 0) {
    say(q, "retrying", "%s: not yet: failed %zu time%s, will be tried again",
        q->capability, times, times == 1 ? "" : "s");
  } else {
    say(q, "asleep", "%s: not yet: sleeps%s%.500s", q->capability,
        *reason ? ": " : "", reason);
  }
}

static void of_state(question *q) {
  if (strcmp(q->state, "completed") == 0) {
    completed(q);
  } else if (strcmp(q->state, "skipped") == 0) {
    skipped(q);
  } else if (strcmp(q->state, "queued") == 0) {
    queued(q);
  } else if (strcmp(q->state, "running") == 0) {
    say(q, "running", "%s: running", q->capability);
  } else if (strcmp(q->state, "canceled") == 0) {
    say(q, "canceled", "%s: canceled with the session", q->capability);
  } else {
    unfinished(q);
  }
}

/* What its network modules refused: rejections of the class `target`. */
static void add_refused(question *q) {
  size_t used = strlen(q->answer);
  sqlite3_stmt *stmt = ask(
      q,
      "SELECT count(*),min(r.reason) FROM rejected r JOIN class c ON"
      " c.id=r.class JOIN capability k ON k.id=r.capability WHERE r.parent=?1"
      " AND k.name=?2 AND r.kind='scope' AND c.name='target'",
      q->id, q->capability);
  if (!stmt) return;
  long long count = sqlite3_column_int64(stmt, 0);
  if (count > 0) {
    snprintf(q->answer + used, sizeof(q->answer) - used,
             "; refused %lld target%s out of scope: %.500s", count,
             count == 1 ? "" : "s", (const char *)sqlite3_column_text(stmt, 1));
  }
  sqlite3_finalize(stmt);
}

/* Of a capability that runs again: when, and what of it is known. */
static const char RERUN[] =
    "SELECT m.value,datetime(j.ended/1000,'unixepoch'),"
    "datetime(j.again/1000,'unixepoch'),datetime(f.changed/1000,'unixepoch'),"
    "f.changed>j.ended FROM meta m JOIN capability p ON p.name=?2"
    " JOIN job j ON j.asset=?1 AND j.capability=p.id AND j.ended IS NOT NULL"
    " LEFT JOIN found f ON f.asset=?1 WHERE m.name='" RT__META_RERUN "'||?2";

/* That changes of the asset started nothing, and since when: a budget. */
static const char REPEATS[] =
    "SELECT datetime(min(r.created)/1000,'unixepoch'),r.reason FROM rejected r"
    " JOIN asset a ON a.id=?1 AND r.hash=a.hash WHERE ?2 AND r.kind='repeats'"
    " GROUP BY r.kind";

static void add_repeats(question *q) {
  size_t used = strlen(q->answer);
  sqlite3_stmt *stmt = ask(q, REPEATS, q->id, "1");
  if (!stmt) return;
  snprintf(q->answer + used, sizeof(q->answer) - used,
           "; refused at %s UTC: %.500s",
           (const char *)sqlite3_column_text(stmt, 0),
           (const char *)sqlite3_column_text(stmt, 1));
  sqlite3_finalize(stmt);
}

static void add_rerun(question *q) {
  size_t used = strlen(q->answer), left = sizeof(q->answer) - used;
  sqlite3_stmt *stmt = ask(q, RERUN, q->id, q->capability);
  if (!stmt) return;
  const char *rule = (const char *)sqlite3_column_text(stmt, 0);
  const char *ended = (const char *)sqlite3_column_text(stmt, 1);
  const char *again = (const char *)sqlite3_column_text(stmt, 2);
  const char *changed = (const char *)sqlite3_column_text(stmt, 3);
  char *at = q->answer + used;
  if (!ended) ended = "?";
  if (strncmp(rule, "after:", 6) == 0) {
    snprintf(at, left, "; ended at %s UTC, runs again after %s UTC", ended,
             again ? again : "?");
  } else if (strcmp(rule, "always") == 0) {
    snprintf(at, left, "; ended at %s UTC, runs again in the next run", ended);
  } else if (strcmp(rule, "on_change") == 0 && sqlite3_column_int(stmt, 4)) {
    snprintf(at, left, "; ended at %s UTC, its asset changed at %s UTC", ended,
             changed ? changed : "?");
  } else if (strcmp(rule, "on_change") == 0) {
    snprintf(at, left, "; ended at %s UTC, its asset has not changed since",
             ended);
  }
  if (strcmp(rule, "on_change") == 0) add_repeats(q);
  sqlite3_finalize(stmt);
}

/* The one job, by its asset's number and its capability's name. */
static rt_err find_job(question *q, bool *found, rt_error *err) {
  char cursor[64];
  rt_value *page = NULL;
  snprintf(cursor, sizeof(cursor), "%lld.-1-%lld", (long long)q->id,
           (long long)q->id);
  rt_err rc =
      rt_report_jobs(q->report, NULL, q->capability, cursor, 1, &page, err);
  if (rc != RT_OK) return rc;
  rt_view job = rt_view_at(rt_view_get(rt_value_view(page), "jobs"), 0);
  *found =
      rt_view_int(rt_view_get(job, "id"), 0) / RT__CAPABILITIES_MAX == q->id;
  if (*found) {
    size_t size = 0;
    const char *text = rt_view_string(rt_view_get(job, "state"), &size);
    snprintf(q->state, sizeof(q->state), "%.*s", (int)size, text);
    text = rt_view_string(rt_view_get(job, "reason"), &size);
    q->reason = text ? strndup(text, size) : NULL;
    rt_view errors = rt_view_get(job, "errors");
    if (rt_view_type(errors) == RT_ARRAY) {
      rt_view_copy(&q->errors, errors, NULL);
    }
  }
  rt_value_unref(page);
  return RT_OK;
}

/* --- none ------------------------------------------------------------ */
static void never_matched(question *q) {
  const char *name = q->capability;
  snprintf(q->state, sizeof(q->state), "unmatched");
  if (ask_int(q, NOTED(RT__META_LEFT_OUT))) {
    say(q, "unselected", "%.100s was not chosen for this session", name);
  } else if (!ask_int(q, "SELECT 1 FROM capability WHERE ?1 AND name=?2")) {
    say(q, "unregistered", "%.100s is not known to this session", name);
  } else if (ask_int(q, "SELECT 1" THIS)) {
    say(q, "late", "%.100s was registered after %.200s was found", name,
        q->key);
  } else {
    sqlite3_stmt *stmt =
        ask(q,
            "SELECT c.name FROM asset a JOIN class c ON c.id=a.class"
            " WHERE a.id=?1",
            q->id, name);
    say(q, "type", "%.100s does not take the class %.100s", name,
        stmt ? (const char *)sqlite3_column_text(stmt, 0) : "?");
    sqlite3_finalize(stmt);
  }
}

static rt_err build(question *q, rt_value **out, rt_error *err) {
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_begin_map(b);
  rt_builder_key(b, "answer");
  rt_builder_string(b, q->answer);
  rt_builder_key(b, "state");
  rt_builder_string(b, q->state);
  rt_builder_key(b, "cause");
  rt_builder_string(b, q->cause);
  if (q->reason) {
    rt_builder_key(b, "reason");
    rt_builder_string(b, q->reason);
  }
  if (q->errors) {
    rt_builder_key(b, "errors");
    rt_builder_value(b, q->errors);
  }
  rt_builder_end(b);
  return rt__build_done(b, out, err);
}

static rt_err answer(question *q, rt_error *err) {
  bool found = false;
  q->id = rt__report_find(q->report, q->key);
  if (!q->id) {
    not_stored(q);
    return RT_OK;
  }
  rt_err rc = find_job(q, &found, err);
  if (rc == RT_OK) (found ? of_state : never_matched)(q);
  if (rc == RT_OK && found) add_refused(q);
  if (rc == RT_OK && found) add_rerun(q);
  return rc;
}

/* All of it as of one instant. */
rt_err rt_report_why_not(rt_report *report, const char *capability,
                         const char *key, rt_value **out, rt_error *err) {
  question q = {.report = report, .capability = capability, .key = key};
  *out = NULL;
  sqlite3_exec(report->db, "BEGIN", NULL, NULL, NULL);
  rt_err rc = answer(&q, err);
  sqlite3_exec(report->db, "COMMIT", NULL, NULL, NULL);
  if (rc == RT_OK) rc = build(&q, out, err);
  free(q.reason);
  rt_value_unref(q.errors);
  return rc;
}
