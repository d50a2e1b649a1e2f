/* rows.c - dictionaries, lanes, job rows and what is running. See store.h.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

/* --- dictionaries ----------------------------------------------------------
 */
bool rt__store_name_class(rt__store *store, int64_t id, const char *name) {
  if (id != (int64_t)store->class_count + 1) return true; /* known */
  char **names =
      realloc(store->classes, (store->class_count + 1) * sizeof(*names));
  if (names) store->classes = names;
  char *copy = strdup(name);
  if (!names || !copy) {
    free(copy);
    return false;
  }
  names[store->class_count++] = copy;
  return true;
}

rt_err rt__store_classes(rt__store *store, rt__class_fn fn, void *arg,
                         rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_CLASSES, err);
  if (!stmt) return RT_EUNAVAIL;
  rt_err rc = RT_OK, told = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt__class_row row = {sqlite3_column_int64(stmt, 0),
                         sqlite3_column_int64(stmt, 1),
                         (const char *)sqlite3_column_text(stmt, 2)};
    if (!rt__store_name_class(store, row.id, row.name)) told = RT_ENOMEM;
    if (told == RT_OK) told = fn(&row, arg);
  }
  return rc != RT_OK ? rc : told;
}

rt_err rt__store_capabilities(rt__store *store, rt__capability_fn fn, void *arg,
                              rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_CAPABILITIES, err);
  if (!stmt) return RT_EUNAVAIL;
  rt_err rc = RT_OK, told = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt__capability_row row = {sqlite3_column_int64(stmt, 0),
                              (const char *)sqlite3_column_text(stmt, 1)};
    if (told == RT_OK) told = fn(&row, arg);
  }
  return rc != RT_OK ? rc : told;
}

rt_err rt__store_lanes(rt__store *store, rt__lane_fn fn, void *arg,
                       rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_LANES, err);
  if (!stmt) return RT_EUNAVAIL;
  rt_err rc = RT_OK, told = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt__lane_row row = {0};
    int64_t *const field[] = {&row.class_id,  &row.capability, &row.position,
                              &row.since,     &row.mark,       &row.total,
                              &row.completed, &row.skipped,    &row.failed,
                              &row.canceled,  &row.loaded};
    for (int i = 0; i < 11; i++) *field[i] = sqlite3_column_int64(stmt, i);
    if (told == RT_OK) told = fn(&row, arg);
  }
  return rc != RT_OK ? rc : told;
}

rt_err rt__store_put_class(rt__store *store, const rt__class_row *row,
                           rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_CLASS_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, row->id);
  sqlite3_bind_int64(stmt, 2, row->assets);
  sqlite3_bind_text(stmt, 3, row->name, -1, SQLITE_STATIC);
  if (!rt__store_name_class(store, row->id, row->name)) {
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_put_capability(rt__store *store, const rt__capability_row *row,
                                rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_CAPABILITY_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, row->id);
  sqlite3_bind_text(stmt, 2, row->name, -1, SQLITE_STATIC);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_put_lane(rt__store *store, const rt__lane_row *row,
                          rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_LANE_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  const int64_t field[] = {row->class_id,  row->capability, row->position,
                           row->since,     row->mark,       row->total,
                           row->completed, row->skipped,    row->failed,
                           row->canceled,  row->loaded};
  for (int i = 0; i < 11; i++) sqlite3_bind_int64(stmt, i + 1, field[i]);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_put_times(rt__store *store, int64_t capability,
                           const void *data, size_t size, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_TIMES_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, capability);
  sqlite3_bind_blob(stmt, 2, data, (int)size, SQLITE_STATIC);
  return rt__sql_run(store, stmt, err);
}

bool rt__store_get_times(rt__store *store, int64_t capability, void *data,
                         size_t size) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_TIMES_GET, NULL);
  if (!stmt) return false;
  sqlite3_bind_int64(stmt, 1, capability);
  rt_err rc;
  if (!rt__sql_row(store, stmt, &rc, NULL)) return false;
  const void *blob = sqlite3_column_blob(stmt, 0);
  bool fits = blob && (size_t)sqlite3_column_bytes(stmt, 0) == size;
  if (fits) memcpy(data, blob, size);
  sqlite3_reset(stmt);
  return fits;
}

/* --- jobs -------------------------------------------------------------------
 */
static const char *const STATES[] = {"queued", "taken",     "delayed",
                                     "held",   "completed", "skipped",
                                     "failed", "canceled"};

const char *rt__job_state_text(rt__job_state state) {
  return STATES[state];
}

static rt__job_state state_of(const char *text) {
  for (size_t i = 0; text && i < sizeof(STATES) / sizeof(*STATES); i++) {
    if (strcmp(text, STATES[i]) == 0) return (rt__job_state)i;
  }
  return RT__JOB_QUEUED;
}

static void bind_some(sqlite3_stmt *stmt, int index, int64_t number) {
  if (number) {
    sqlite3_bind_int64(stmt, index, number);
  } else {
    sqlite3_bind_null(stmt, index);
  }
}

rt_err rt__store_put_job(rt__store *store, const rt__job_row *row,
                         rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_JOB_PUT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, row->asset);
  sqlite3_bind_int64(stmt, 2, row->capability);
  sqlite3_bind_text(stmt, 3, STATES[row->state], -1, SQLITE_STATIC);
  sqlite3_bind_int64(stmt, 4, row->attempt);
  sqlite3_bind_int64(stmt, 5, row->crashes);
  sqlite3_bind_int64(stmt, 6, row->fanout);
  sqlite3_bind_int64(stmt, 7, row->priority);
  if (row->due > 0) {
    sqlite3_bind_double(stmt, 8, row->due);
  } else {
    sqlite3_bind_null(stmt, 8);
  }
  sqlite3_bind_text(stmt, 9, row->reason, -1, SQLITE_STATIC);
  rt__sql_bind_value(stmt, 10, row->errors);
  bind_some(stmt, 11, row->ended);
  bind_some(stmt, 12, row->again);
  bind_some(stmt, 13, row->run);
  bind_some(stmt, 14, row->version);
  return rt__sql_run(store, stmt, err);
}

static rt_err each_job(rt__store *store, sqlite3_stmt *stmt, rt__job_fn fn,
                       void *arg, rt_error *err) {
  rt_err rc = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    rt_value *errors = rt__sql_column_value(stmt, 9);
    rt__job_row row = {
        .asset = sqlite3_column_int64(stmt, 0),
        .capability = sqlite3_column_int64(stmt, 1),
        .state = state_of((const char *)sqlite3_column_text(stmt, 2)),
        .attempt = sqlite3_column_int64(stmt, 3),
        .crashes = sqlite3_column_int64(stmt, 4),
        .fanout = sqlite3_column_int64(stmt, 5),
        .priority = sqlite3_column_int64(stmt, 6),
        .due = sqlite3_column_double(stmt, 7),
        .reason = (const char *)sqlite3_column_text(stmt, 8),
        .errors = errors,
        .ended = sqlite3_column_int64(stmt, 10),
        .class_id = sqlite3_column_int64(stmt, 11),
        .run = sqlite3_column_int64(stmt, 12),
    };
    rt_err told = fn(&row, arg);
    rt_value_unref(errors);
    if (told == RT_OK) continue;
    sqlite3_reset(stmt);
    return told;
  }
  return rc;
}

rt_err rt__store_job(rt__store *store, int64_t asset, int64_t capability,
                     rt__job_fn fn, void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_JOB_GET, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, asset);
  sqlite3_bind_int64(stmt, 2, capability);
  return each_job(store, stmt, fn, arg, err);
}

static rt_err change_job(rt__store *store, rt__sql_id which, int64_t asset,
                         int64_t capability, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, which, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, asset);
  sqlite3_bind_int64(stmt, 2, capability);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_delete_job(rt__store *store, int64_t asset, int64_t capability,
                            rt_error *err) {
  return change_job(store, RT__SQL_JOB_DELETE, asset, capability, err);
}

rt_err rt__store_take_job(rt__store *store, int64_t asset, int64_t capability,
                          rt_error *err) {
  return change_job(store, RT__SQL_JOB_TAKE, asset, capability, err);
}

rt_err rt__store_aside_jobs(rt__store *store, int64_t class_id,
                            int64_t capability, int64_t limit, rt__job_fn fn,
                            void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_JOB_ASIDE, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, class_id);
  sqlite3_bind_int64(stmt, 2, capability);
  sqlite3_bind_int64(stmt, 3, limit);
  return each_job(store, stmt, fn, arg, err);
}

rt_err rt__store_due_jobs(rt__store *store, double now, int64_t limit,
                          rt__job_fn fn, void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_JOB_DUE, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_double(stmt, 1, now);
  sqlite3_bind_int64(stmt, 2, limit);
  return each_job(store, stmt, fn, arg, err);
}

double rt__store_next_due(rt__store *store) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_JOB_NEXT_DUE, NULL);
  double due = 0;
  rt_err rc;
  while (stmt && rt__sql_row(store, stmt, &rc, NULL)) {
    due = sqlite3_column_double(stmt, 0);
  }
  return due;
}

rt_err rt__store_shift_due(rt__store *store, double seconds, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_JOB_SHIFT, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_double(stmt, 1, seconds);
  return rt__sql_run(store, stmt, err);
}

rt_err rt__store_untake(rt__store *store, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_JOB_UNTAKE, err);
  return stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
}

rt_err rt__store_cancel_jobs(rt__store *store, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_JOB_CANCEL, err);
  return stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
}

rt_err rt__store_failed_jobs(rt__store *store, int64_t limit, rt__job_fn fn,
                             void *arg, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_JOB_FAILED, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, limit);
  return each_job(store, stmt, fn, arg, err);
}

/* Written with every commit, so without sprintf(). */
static char *put_number(char *at, uint64_t number) {
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  while (count > 0) *at++ = digits[--count];
  return at;
}

static char *put_running(char *at, const rt__running *job) {
  *at++ = '[';
  at = put_number(at, job->job);
  *at++ = ',';
  at = put_number(at, job->attempt);
  *at++ = ',';
  at = put_number(at, job->fanout);
  *at++ = ']';
  return at;
}

/* --- running ----------------------------------------------------------------
 */
rt_err rt__store_put_running(rt__store *store, int64_t segment,
                             const rt__running *list, size_t count,
                             rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_RUNNING_PUT, err);
  char *text = malloc(count * 48 + 3);
  if (!stmt || !text) {
    free(text);
    return stmt ? rt_fail(err, RT_ENOMEM, "no memory") : RT_EUNAVAIL;
  }
  char *at = text;
  *at++ = '[';
  for (size_t i = 0; i < count; i++) {
    if (i > 0) *at++ = ',';
    at = put_running(at, &list[i]);
  }
  *at++ = ']';
  sqlite3_bind_int64(stmt, 1, segment);
  sqlite3_bind_text(stmt, 2, text, (int)(at - text), free);
  rt_err rc = rt__sql_run(store, stmt, err);
  sqlite3_bind_null(stmt, 2);
  return rc;
}

rt_err rt__store_get_running(rt__store *store, rt__running **list,
                             size_t *count, rt_error *err) {
  *list = NULL;
  *count = 0;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_RUNNING_GET, err);
  if (!stmt) return RT_EUNAVAIL;
  size_t room = 0;
  rt_err rc = RT_OK;
  while (rt__sql_row(store, stmt, &rc, err)) {
    if (*count == room) {
      room = room ? room * 2 : 64;
      rt__running *more = realloc(*list, room * sizeof(**list));
      if (!more) {
        sqlite3_reset(stmt);
        return rt_fail(err, RT_ENOMEM, "no memory");
      }
      *list = more;
    }
    rt__running *at = &(*list)[(*count)++];
    at->job = (uint64_t)sqlite3_column_int64(stmt, 0);
    at->attempt = (uint32_t)sqlite3_column_int64(stmt, 1);
    at->fanout = (uint32_t)sqlite3_column_int64(stmt, 2);
  }
  return rc;
}

rt_err rt__store_clear_running(rt__store *store, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_RUNNING_CLEAR, err);
  store->cleared = stmt != NULL;
  return stmt ? rt__sql_run(store, stmt, err) : RT_EUNAVAIL;
}
