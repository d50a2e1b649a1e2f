/* session_report.c - rt.core.session.report: what a session's file says.
 *
 * One call opens the file, reads one page and closes it, all on a thread of
 * libuv's pool; the worker only starts it and takes the answer. The arguments
 * cross as one value, which never changes.
 *
 * SPDX-License-Identifier: MIT */
#include "bind/session_report.h"

#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <uv.h>

#include "process/op.h"
#include "rt/session.h"

typedef struct report_op {
  rt__op op;
  uv_work_t work;
  rt_err (*run)(rt_view args, rt_value **out, rt_error *err);
  rt_value *args;
  rt_value *out;
} report_op;

/* As C text [free]. What has a NUL byte means nothing that is stored, not what
 * stands before that byte: another control character says the same to C. */
static char *text_of_view(rt_view view) {
  size_t size;
  const char *text = rt_view_string(view, &size);
  char *copy = text ? malloc(size + 1) : NULL;
  if (!copy) return NULL;
  for (size_t i = 0; i < size; i++) copy[i] = text[i] ? text[i] : '\1';
  copy[size] = '\0';
  return copy;
}

/* Arguments, by place: 0 the folder, 1 the name, then the call's own. */
static char *text_arg(rt_view args, uint32_t at) {
  return text_of_view(rt_view_at(args, at));
}

static int64_t int_arg(rt_view args, uint32_t at) {
  return rt_view_int(rt_view_at(args, at), 0);
}

/* --- one function for each verb ------------------------------------------- */
typedef rt_err (*read_fn)(rt_report *report, rt_view args, rt_value **out,
                          rt_error *err);

static rt_err with_report(rt_view args, read_fn read, rt_value **out,
                          rt_error *err) {
  rt_report *report = NULL;
  char *dir = text_arg(args, 0), *name = text_arg(args, 1);
  rt_err rc = rt_report_open(&report, dir, name ? name : "", err);
  if (rc == RT_OK) rc = read(report, args, out, err);
  if (report) rt_report_close(report);
  free(dir);
  free(name);
  return rc;
}

static rt_err read_status(rt_report *report, rt_view args, rt_value **out,
                          rt_error *err) {
  (void)args;
  return rt_report_status(report, out, err);
}

/* A member of a map of arguments, as text [free] or NULL. */
static char *text_of(rt_view map, const char *name) {
  return text_of_view(rt_view_get(map, name));
}

/* 2: after, 3: limit, 4: a map of what is wanted. */
static rt_err read_assets(rt_report *report, rt_view args, rt_value **out,
                          rt_error *err) {
  static const char *const names[] = {"class", "value", "prefix", "capability",
                                      "parent"};
  char *text[5];
  rt_value *metadata = NULL;
  rt_asset_query q = RT_ASSET_QUERY_INIT;
  rt_view want = rt_view_at(args, 4);
  rt_view fields = rt_view_get(want, "metadata");
  for (int i = 0; i < 5; i++) text[i] = text_of(want, names[i]);
  rt_err rc = RT_OK;
  if (rt_view_type(fields) == RT_MAP) rc = rt_view_copy(&metadata, fields, err);
  q.after = int_arg(args, 2);
  q.class_pattern = text[0];
  q.value_pattern = text[1];
  q.value_prefix = text[2];
  q.capability = text[3];
  q.parent = text[4];
  q.metadata = metadata;
  q.since = rt_view_number(rt_view_get(want, "found_since"), 0);
  q.before = rt_view_number(rt_view_get(want, "found_before"), 0);
  q.changed_since = rt_view_number(rt_view_get(want, "changed_since"), 0);
  q.max_depth = rt_view_int(rt_view_get(want, "depth"), -1);
  uint32_t limit = (uint32_t)int_arg(args, 3);
  if (rc == RT_OK) rc = rt_report_query(report, &q, limit, out, err);
  for (int i = 0; i < 5; i++) free(text[i]);
  rt_value_unref(metadata);
  return rc;
}

static rt_err read_asset(rt_report *report, rt_view args, rt_value **out,
                         rt_error *err) {
  char *key = text_arg(args, 2);
  rt_err rc = rt_report_asset(report, key ? key : "", out, err);
  free(key);
  return rc;
}

static rt_err read_edges(rt_report *report, rt_view args, rt_value **out,
                         rt_error *err) {
  rt_edge_query q = RT_EDGE_QUERY_INIT;
  rt_view want = rt_view_at(args, 4);
  char *from = text_of(want, "from"), *to = text_of(want, "to");
  char *capability = text_of(want, "capability");
  q.after = int_arg(args, 2);
  q.from = from;
  q.to = to;
  q.capability = capability;
  uint32_t limit = (uint32_t)int_arg(args, 3);
  rt_err rc = rt_report_ways(report, &q, limit, out, err);
  free(from);
  free(to);
  free(capability);
  return rc;
}

static rt_err read_jobs(rt_report *report, rt_view args, rt_value **out,
                        rt_error *err) {
  char *cursor = text_arg(args, 2), *state = text_arg(args, 4);
  char *capability = text_arg(args, 5);
  rt_err rc = rt_report_jobs(report, state, capability, cursor ? cursor : "",
                             (uint32_t)int_arg(args, 3), out, err);
  free(cursor);
  free(state);
  free(capability);
  return rc;
}

static rt_err read_explain(rt_report *report, rt_view args, rt_value **out,
                           rt_error *err) {
  char *key = text_arg(args, 2);
  rt_err rc = rt_report_explain(report, key ? key : "", out, err);
  free(key);
  return rc;
}

static rt_err read_why(rt_report *report, rt_view args, rt_value **out,
                       rt_error *err) {
  (void)args;
  return rt_report_why(report, out, err);
}

static rt_err read_why_not(rt_report *report, rt_view args, rt_value **out,
                           rt_error *err) {
  char *capability = text_arg(args, 2), *key = text_arg(args, 3);
  rt_err rc = rt_report_why_not(report, capability ? capability : "",
                                key ? key : "", out, err);
  free(capability);
  free(key);
  return rc;
}

#define REPORT(verb)                                                           \
  static rt_err run_##verb(rt_view args, rt_value **out, rt_error *err) {      \
    return with_report(args, read_##verb, out, err);                           \
  }
REPORT(status)
REPORT(assets)
REPORT(asset)
REPORT(edges)
REPORT(jobs)
REPORT(explain)
REPORT(why)
REPORT(why_not)

static rt_err run_list(rt_view args, rt_value **out, rt_error *err) {
  char *dir = text_arg(args, 0);
  rt_err rc = rt_session_list(dir, out, err);
  free(dir);
  return rc;
}

static rt_err run_remove(rt_view args, rt_value **out, rt_error *err) {
  char *dir = text_arg(args, 0), *name = text_arg(args, 1);
  *out = NULL;
  rt_err rc = rt_session_remove(dir, name ? name : "", err);
  free(dir);
  free(name);
  return rc;
}

static const struct {
  const char *verb;
  rt_err (*run)(rt_view args, rt_value **out, rt_error *err);
} verbs[] = {
    {"status", run_status},   {"assets", run_assets}, {"asset", run_asset},
    {"edges", run_edges},     {"jobs", run_jobs},     {"explain", run_explain},
    {"why", run_why},         {"list", run_list},     {"remove", run_remove},
    {"why_not", run_why_not},
};

/* --- the operation ---------------------------------------------------------
 */
static int push_report(lua_State *L, rt__op *op) {
  report_op *report = (report_op *)op;
  if (report->out)
    rt__lua_decode(L, rt_value_view(report->out));
  else
    lua_pushboolean(L, 1);
  return 1;
}

static void release_report(rt__op *op) {
  report_op *report = (report_op *)op;
  rt_value_unref(report->args);
  rt_value_unref(report->out);
}

static void cancel_report(rt__op *op) {
  uv_cancel((uv_req_t *)&((report_op *)op)->work);
}

static const rt__op_type report_type = {"session.report", cancel_report,
                                        push_report, release_report};

static void on_work(uv_work_t *work) {
  report_op *op = work->data;
  rt_error err = RT_ERROR_INIT;
  if (op->run(rt_value_view(op->args), &op->out, &err) == RT_OK) return;
  if (err.code == RT_OK) rt_fail(&err, RT_EUNKNOWN, "session report failed");
  rt__op_fail(&op->op, &err);
}

static void after_work(uv_work_t *work, int status) {
  report_op *op = work->data;
  rt_error err = RT_ERROR_INIT;
  if (status < 0) {
    rt_fail(&err, RT_ECANCELED, "canceled");
    rt__op_fail(&op->op, &err);
  }
  rt__op_end(&op->op);
}

static void start(report_op *op) {
  rt_error err = RT_ERROR_INIT;
  op->work.data = op;
  int rc = uv_queue_work(rt__worker_loop(op->op.worker), &op->work, on_work,
                         after_work);
  if (rc == 0) return;
  rt_fail(&err, RT_EUNAVAIL, "cannot start: %s", uv_strerror(rc));
  rt__op_fail(&op->op, &err);
  rt__op_post(&op->op);
}

int rt__l_report(lua_State *L) {
  const char *verb = luaL_checkstring(L, 1);
  rt_error err = RT_ERROR_INIT;
  rt_value *args;
  size_t at = 0, count = sizeof(verbs) / sizeof(*verbs);
  while (at < count && strcmp(verbs[at].verb, verb) != 0) at++;
  luaL_argcheck(L, at < count, 1, "unknown report");
  report_op *op = rt__op_new(L, sizeof(*op), &report_type);
  if (rt__lua_encode(L, 2, "arguments", &args, &err) != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_post(&op->op);
    return rt__op_return(L, &op->op);
  }
  op->args = args;
  op->run = verbs[at].run;
  start(op);
  return rt__op_return(L, &op->op);
}
