/* sqlite_lua.c - SQLite gains Lua: a loadable extension.
 *   cc -shared -fPIC sqlite_lua.c $(pkg-config --cflags --libs runtime) \
 *     -o sqlite_lua.so
 *   sqlite3> .load ./sqlite_lua
 *   sqlite3> SELECT lua('local a, b = ... return a .. b', 'x', 2);
 *   sqlite3> SELECT lua_start('local es = require("events") ...');
 *   sqlite3> SELECT lua_event('row.new', 'users/1', 'Ann');  -- in a trigger
 *
 * Each lua() is a process of its own, bounded to 5 s: it may wait, use the
 * network and the other modules, and can neither hang nor take down the
 * database. lua_start() starts one that stays; lua_event() sends what it may
 * subscribe to (system "sqlite").
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <sqlite3ext.h>
#include <stdlib.h>
#include <string.h>
SQLITE_EXTENSION_INIT1

#define LIMIT_S 5

/* --- SQL values <-> values ------------------------------------------------ */

static void put(rt_builder *b, sqlite3_value *v) {
  switch (sqlite3_value_type(v)) {
  case SQLITE_INTEGER:
    rt_builder_int(b, sqlite3_value_int64(v));
    break;
  case SQLITE_FLOAT:
    rt_builder_number(b, sqlite3_value_double(v));
    break;
  case SQLITE_NULL:
    rt_builder_nil(b);
    break;
  default: {
    const void *bytes = sqlite3_value_blob(v);
    rt_builder_lstring(b, bytes ? (const char *)bytes : "",
                       (size_t)sqlite3_value_bytes(v));
  }
  }
}

static rt_value *values(int count, sqlite3_value **from) {
  rt_builder *b = rt_builder_new();
  rt_value *made = NULL;
  if (!b) return NULL;
  rt_builder_begin_array(b);
  for (int i = 0; i < count; i++) put(b, from[i]);
  rt_builder_end(b);
  if (rt_builder_finish(b, &made, NULL) != RT_OK) made = NULL;
  rt_builder_free(b);
  return made;
}

static void answer(sqlite3_context *ctx, const rt_value *value) {
  rt_view view = rt_value_view(value);
  size_t size = 0;
  char *json = NULL;
  const char *text = rt_view_string(view, &size);
  switch (rt_view_type(view)) {
  case RT_NIL:
    sqlite3_result_null(ctx);
    break;
  case RT_BOOL:
    sqlite3_result_int(ctx, rt_view_bool(view, false));
    break;
  case RT_INT:
    sqlite3_result_int64(ctx, rt_view_int(view, 0));
    break;
  case RT_NUMBER:
    sqlite3_result_double(ctx, rt_view_number(view, 0));
    break;
  case RT_STRING:
    sqlite3_result_text(ctx, text, (int)size, SQLITE_TRANSIENT);
    break;
  default: /* a table */
    if (rt_value_to_json(&json, &size, value, NULL) == RT_OK)
      sqlite3_result_text(ctx, json, (int)size, SQLITE_TRANSIENT);
    rt_free(json);
  }
}

/* --- the functions -------------------------------------------------------- */

static void sql_lua(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  rt_runtime *rt = (rt_runtime *)sqlite3_user_data(ctx);
  const char *code =
      argc > 0 ? (const char *)sqlite3_value_text(argv[0]) : NULL;
  rt_error err = RT_ERROR_INIT;
  rt_value *args, *result = NULL;
  if (!code) {
    sqlite3_result_error(ctx, "lua(CODE, ...): code expected", -1);
    return;
  }
  args = values(argc - 1, argv + 1);
  if (rt_process_exec_code(rt, &result, code, strlen(code), "lua", args,
                           LIMIT_S, &err) == RT_OK)
    answer(ctx, result);
  else
    sqlite3_result_error(ctx, err.message, -1);
  rt_value_unref(result);
  rt_value_unref(args);
}

static void sql_start(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  rt_runtime *rt = (rt_runtime *)sqlite3_user_data(ctx);
  const char *code = (const char *)sqlite3_value_text(argv[0]);
  rt_error err = RT_ERROR_INIT;
  char text[RT_PID_TEXT];
  rt_pid pid;
  (void)argc;
  if (!code || rt_process_spawn_code(rt, &pid, code, strlen(code), "lua_start",
                                     NULL, NULL, NULL, &err) != RT_OK) {
    sqlite3_result_error(ctx, code ? err.message : "code expected", -1);
    return;
  }
  rt_pid_text(pid, text);
  sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static void sql_event(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  rt_runtime *rt = (rt_runtime *)sqlite3_user_data(ctx);
  const char *kind = (const char *)sqlite3_value_text(argv[0]);
  const char *path = (const char *)sqlite3_value_text(argv[1]);
  rt_value *data = values(argc - 2, argv + 2);
  rt_err rc = rt_bus_send(rt_runtime_bus(rt), "sqlite", kind, path, data);
  rt_value_unref(data);
  if (rc != RT_OK) sqlite3_result_error(ctx, rt_status_text(rc), -1);
}

static void close_runtime(void *rt) {
  rt_runtime_free((rt_runtime *)rt);
}

int sqlite3_sqlitelua_init(sqlite3 *db, char **message,
                           const sqlite3_api_routines *api) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt;
  SQLITE_EXTENSION_INIT2(api);
  opts.vm_memory = 256u << 20;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) {
    *message = sqlite3_mprintf("%s", err.message);
    return SQLITE_ERROR;
  }
  /* The connection owns the runtime: it ends with the first function. */
  int rc = sqlite3_create_function_v2(db, "lua", -1, SQLITE_UTF8, rt, sql_lua,
                                      NULL, NULL, close_runtime);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "lua_start", 1, SQLITE_UTF8, rt, sql_start,
                                 NULL, NULL);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "lua_event", 3, SQLITE_UTF8, rt, sql_event,
                                 NULL, NULL);
  return rc;
}
