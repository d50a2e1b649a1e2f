/* schema.h - the tables of a session's file, their version, and conversions
 * shared by the store and the reports. Any thread, each its own connection.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_SCHEMA_H
#define RT__STORE_SCHEMA_H

#include <sqlite3.h>

#include "store/store.h"

#define RT__SCHEMA_VERSION 4
#define RT__APPLICATION_ID 0x52744c73 /* "RtLs" */

/* Nothing in it: new, or its making was cut short. */
bool rt__schema_empty(sqlite3 *db);
rt_err rt__schema_create(sqlite3 *db, rt_error *err);
/* Is it ours, and of a version we know? */
rt_err rt__schema_check(sqlite3 *db, const char *path, rt_error *err);
/* Bring an older one up to date, in one transaction. Its owner only. */
rt_err rt__schema_upgrade(sqlite3 *db, rt_error *err);
int64_t rt__schema_version(sqlite3 *db);
/* A report's connection to an older file: what it lacks is there, empty. */
rt_err rt__schema_shim(sqlite3 *db, rt_error *err);
/* What SQLite says, as a status; `what` is what was being done. */
rt_err rt__sql_fail(sqlite3 *db, const char *what, rt_error *err);
rt_err rt__sql_exec(sqlite3 *db, const char *sql, rt_error *err);

/* A value is kept as JSON text when that loses nothing, else as its wire form
 * (a blob), NULL as NULL. */
void rt__sql_bind_value(sqlite3_stmt *stmt, int index, const rt_value *value);
rt_value *rt__sql_column_value(sqlite3_stmt *stmt, int index);
void rt__sql_bind_text(sqlite3_stmt *stmt, int index, rt__text text);
rt__text rt__sql_column_text(sqlite3_stmt *stmt, int index);
int64_t rt__wall_ms(void);

#endif
