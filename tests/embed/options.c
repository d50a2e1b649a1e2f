/* options.c - option structs of an older host (shorter: what is missing is the
 * default) and of a newer one (longer: what we do not know is ignored). Prints
 * nothing when all is well. SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "options.c:%d: %s: %s\n", __LINE__, #condition,          \
              err.message);                                                    \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

/* A struct that goes on behind what this library knows of it. */
#define NEWER(type, init)                                                      \
  struct {                                                                     \
    type known;                                                                \
    unsigned char more[64];                                                    \
  } newer = {init, {0}};                                                       \
  newer.known.size = sizeof(newer);                                            \
  memset(newer.more, 0xff, sizeof(newer.more))

static rt_error err;

static void runtimes(rt_runtime **out) {
  struct {
    size_t size;
    unsigned workers;
    bool unsafe;
  } older = {sizeof(older), 1, false};
  rt_runtime *rt = NULL;
  CHECK(rt_runtime_new(&rt, (const rt_runtime_opts *)(void *)&older, &err) ==
        RT_OK);
  rt_runtime_free(rt);
  NEWER(rt_runtime_opts, RT_RUNTIME_OPTS_INIT);
  newer.known.workers = 1;
  CHECK(rt_runtime_new(out, &newer.known, &err) == RT_OK);
}

static void scripts(rt_runtime *rt) {
  struct {
    size_t size;
    const char *path, *code;
    size_t code_size;
  } older = {sizeof(older), NULL, "os.exit(5)", 10};
  int exit_code = 0;
  CHECK(rt_runtime_run(rt, (const rt_script *)(void *)&older, &exit_code,
                       &err) == RT_OK);
  CHECK(exit_code == 5);
  NEWER(rt_script, RT_SCRIPT_INIT);
  newer.known.code = "os.exit(6)";
  newer.known.code_size = 10;
  CHECK(rt_runtime_run(rt, &newer.known, &exit_code, &err) == RT_OK);
  CHECK(exit_code == 6);
}

static void buses(void) {
  struct {
    size_t size;
    uint64_t intake_bytes;
  } older = {sizeof(older), 1 << 20};
  rt_bus *bus = NULL;
  CHECK(rt_bus_new(&bus, (const rt_bus_opts *)(void *)&older, &err) == RT_OK);
  rt_bus_free(bus);
  NEWER(rt_bus_opts, RT_BUS_OPTS_INIT);
  CHECK(rt_bus_new(&bus, &newer.known, &err) == RT_OK);
  rt_bus_free(bus);
}

/* Counters of an older program have less room; of a newer one more. */
static void counters(void) {
  struct {
    uint64_t subscribers, published, behind;
  } older = {9, 9, 77};
  struct {
    rt_bus_stats known;
    uint64_t more;
  } newer;
  rt_bus *bus = NULL;
  memset(&newer, 0xff, sizeof(newer));
  CHECK(rt_bus_new(&bus, NULL, &err) == RT_OK);
  CHECK(rt_bus_send(bus, "a", "b", "c", NULL) == RT_OK);
  rt_bus_get_stats_sized(bus, (rt_bus_stats *)(void *)&older,
                         2 * sizeof(uint64_t));
  CHECK(older.subscribers == 0 && older.published == 1 && older.behind == 77);
  rt_bus_get_stats_sized(bus, &newer.known, sizeof(newer));
  CHECK(newer.known.published == 1 && newer.known.rejected_memory == 0);
  CHECK(newer.more == 0);
  rt_bus_free(bus);
}

static void call(rt_call *c, const rt_value *args, void *arg) {
  (void)args, (void)arg;
  rt_call_return(c, NULL);
}

static void modules(rt_runtime *rt) {
  static const rt_function functions[] = {{"f", call, NULL}};
  struct {
    size_t size;
    const char *name;
    const rt_function *functions;
    size_t function_count;
  } older = {sizeof(older), "older", functions, 1};
  CHECK(rt_runtime_add_module(rt, (const rt_module_opts *)(void *)&older,
                              &err) == RT_OK);
  NEWER(rt_module_opts, RT_MODULE_OPTS_INIT);
  newer.known.name = "newer";
  newer.known.functions = functions;
  newer.known.function_count = 1;
  CHECK(rt_runtime_add_module(rt, &newer.known, &err) == RT_OK);
}

static void processes(rt_runtime *rt) {
  struct {
    size_t size;
    const char *name;
  } older = {sizeof(older), "older"};
  rt_pid pid;
  CHECK(rt_process_start(rt, &pid, (const rt_process_opts *)(void *)&older,
                         &err) == RT_OK);
  CHECK(rt_process_lookup(rt, "older") == pid);
  NEWER(rt_process_opts, RT_PROCESS_OPTS_INIT);
  CHECK(rt_process_start(rt, &pid, &newer.known, &err) == RT_OK);
}

static void invoke(rt_job *job, void *arg) {
  (void)arg;
  rt_job_complete(job, NULL);
}

static void capabilities(rt_runtime *rt) {
  static const char *const input[] = {"a"};
  rt_capability_opts full = RT_CAPABILITY_OPTS_INIT;
  rt_value *made = NULL;
  NEWER(rt_capability_opts, full);
  newer.known.name = "newer";
  newer.known.input = input;
  newer.known.input_count = 1;
  newer.known.invoke = invoke;
  CHECK(rt_registry_add(rt_runtime_registry(rt), &newer.known, &err) == RT_OK);
  full.size = offsetof(rt_capability_opts, output); /* too old to invoke */
  full.name = "older";
  full.input = input;
  full.input_count = 1;
  full.invoke = invoke;
  CHECK(rt_registry_add(rt_runtime_registry(rt), &full, &err) == RT_EINVAL);
  full.size = offsetof(rt_capability_opts, active);
  full.active = true; /* nothing of that program's */
  CHECK(rt_registry_add(rt_runtime_registry(rt), &full, &err) == RT_OK);
  CHECK(rt_registry_get(rt_runtime_registry(rt), "older", &made, &err) ==
        RT_OK);
  CHECK(!rt_view_bool(rt_view_get(rt_value_view(made), "active"), true));
  rt_value_unref(made);
}

static void sessions(rt_runtime *rt, const char *dir) {
  static const char json[] = "{\"class\":\"a\",\"value\":\"1\"}";
  struct {
    size_t size;
    const char *name, *dir;
  } older = {sizeof(older), "older", dir};
  rt_session *session = NULL;
  rt_value *asset = NULL;
  CHECK(rt_session_open(&session, rt, (const rt_session_opts *)(void *)&older,
                        &err) == RT_OK);
  CHECK(rt_value_from_json(&asset, json, sizeof(json) - 1, &err) == RT_OK);
  NEWER(rt_dispatch_opts, RT_DISPATCH_OPTS_INIT);
  CHECK(rt_session_dispatch(session, asset, &newer.known, NULL, &err) == RT_OK);
  CHECK(rt_session_wait(session, 30, NULL, &err) == RT_OK);
  rt_value_unref(asset);
  rt_session_close(session);
  rt_session_unref(session);
}

static void newer_session(rt_runtime *rt, const char *dir) {
  rt_session *session = NULL;
  NEWER(rt_session_opts, RT_SESSION_OPTS_INIT);
  newer.known.name = "newer";
  newer.known.dir = dir;
  CHECK(rt_session_open(&session, rt, &newer.known, &err) == RT_OK);
  rt_session_close(session);
  rt_session_unref(session);
}

int main(int argc, char **argv) {
  rt_runtime *rt = NULL;
  if (argc != 2) return 2;
  memset(&err, 0, sizeof(err));
  runtimes(&rt);
  scripts(rt);
  buses();
  counters();
  modules(rt);
  processes(rt);
  capabilities(rt);
  sessions(rt, argv[1]);
  newer_session(rt, argv[1]);
  rt_runtime_free(rt);
  return 0;
}
