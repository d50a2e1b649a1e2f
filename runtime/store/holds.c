/* holds.c - until when nothing of a capability, or of one of its rate keys, is
 * to start: kept by name, so that a crash does not end it. See store.h.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

/* "hold:CAPABILITY", and with a key ":KEY" or another end behind it. */
static char *name_of(const char *capability, const char *end, const char *key) {
  size_t size = strlen(RT__META_HOLD) + strlen(capability) + strlen(end) +
                strlen(key) + 1;
  char *name = malloc(size);
  if (name)
    snprintf(name, size, "%s%s%s%s", RT__META_HOLD, capability, end, key);
  return name;
}

rt_err rt__store_hold(rt__store *store, const char *capability, const char *key,
                      int64_t until, rt_error *err) {
  char *name = name_of(capability, key ? ":" : "", key ? key : "");
  if (!name) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = rt__store_set_int(store, name, until, err);
  free(name);
  return rc;
}

static rt_err keys(rt__store *store, const char *from, const char *to,
                   rt__hold_fn fn, void *arg, rt_error *err) {
  rt_err rc = RT_OK;
  sqlite3_stmt *stmt = rt__sql(store, RT__SQL_HOLDS, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_text(stmt, 1, from, -1, SQLITE_STATIC);
  sqlite3_bind_text(stmt, 2, to, -1, SQLITE_STATIC);
  while (rt__sql_row(store, stmt, &rc, err)) {
    const char *key = (const char *)sqlite3_column_text(stmt, 0);
    if (key) fn(key, sqlite3_column_int64(stmt, 1), arg);
  }
  return rc;
}

rt_err rt__store_holds(rt__store *store, const char *capability, rt__hold_fn fn,
                       void *arg, rt_error *err) {
  char *all = name_of(capability, "", "");
  char *from = name_of(capability, ":", ""), *to = name_of(capability, ";", "");
  rt_err rc = all && from && to ? RT_OK : rt_fail(err, RT_ENOMEM, "no memory");
  int64_t until = rc == RT_OK ? rt__store_meta_int(store, all, 0) : 0;
  if (until > 0) fn(NULL, until, arg);
  if (rc == RT_OK) rc = keys(store, from, to, fn, arg, err);
  free(all);
  free(from);
  free(to);
  return rc;
}

rt_err rt__store_drop_holds(rt__store *store, int64_t now, rt_error *err) {
  sqlite3_stmt *stmt = rt__sql_change(store, RT__SQL_HOLDS_OVER, err);
  if (!stmt) return RT_EUNAVAIL;
  sqlite3_bind_int64(stmt, 1, now);
  return rt__sql_run(store, stmt, err);
}
