/* report.h - the inside of a report: a read-only connection of its own.
 * One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__STORE_REPORT_H
#define RT__STORE_REPORT_H

#include "store/schema.h"

struct rt_report {
  sqlite3 *db;
  char *dir, *name;
  uint64_t hash_key[2];
};

/* A prepared statement [finalize], or NULL with words in `err`. */
sqlite3_stmt *rt__report_sql(rt_report *report, const char *sql, rt_error *err);
/* The code for "no row" or a fault, after a step that gave none. */
rt_err rt__report_end(rt_report *report, sqlite3_stmt *stmt, int code,
                      rt_error *err);
int64_t rt__report_int(rt_report *report, const char *sql, int64_t fallback);
char *rt__report_state(rt_report *report); /* [free] */
/* What its owner waits for [free], NULL: for nothing. */
#define RT__PAUSED_WORDS "the session is paused"
char *rt__report_told(rt_report *report);
/* The number of the asset with this key, 0 when there is none. */
int64_t rt__report_find(rt_report *report, const char *key);
/* What is asked for by name or key: 0 for NULL and "", -1 when it is not there.
 */
int64_t rt__report_capability_id(rt_report *report, const char *name);
int64_t rt__report_asset_id(rt_report *report, const char *key);
uint64_t rt__report_hash(const rt_report *report, const char *key);

void rt__build_int(rt_builder *b, const char *name, int64_t value);
void rt__build_text(rt_builder *b, const char *name, sqlite3_stmt *stmt,
                    int column);
void rt__build_value(rt_builder *b, const char *name, sqlite3_stmt *stmt,
                     int column);
rt_err rt__build_done(rt_builder *b, rt_value **out, rt_error *err);

#endif
