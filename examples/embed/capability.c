/* capability.c - a capability in C in one chain with one in Lua, in a durable
 * session: the C half splits a text into words and answers at once or later,
 * the Lua half (words.lua beside this folder) measures them.
 *   cc capability.c $(pkg-config --cflags --libs runtime) -o capability
 *   ./capability ../capabilities/words.lua FOLDER
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <string.h>

static rt_value *asset_of(const char *class_name, const char *value,
                          size_t size) {
  rt_builder *builder = rt_builder_new();
  rt_value *asset = NULL;
  if (!builder) return NULL;
  rt_builder_begin_map(builder);
  rt_builder_key(builder, "class");
  rt_builder_string(builder, class_name);
  rt_builder_key(builder, "value");
  rt_builder_lstring(builder, value, size);
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &asset, NULL) != RT_OK) asset = NULL;
  rt_builder_free(builder);
  return asset;
}

/* On a worker's thread: it may not wait. A host with slow work hands the job to
 * a thread of its own, which completes it when it is done. */
static void split(rt_job *job, void *arg) {
  size_t size = 0, at = 0, end;
  rt_view asset = rt_value_view(rt_job_asset(job));
  const char *text = rt_view_string(rt_view_get(asset, "value"), &size);
  rt_error err = RT_ERROR_INIT;
  (void)arg;
  for (; at < size && err.code == RT_OK; at = end + 1) {
    for (end = at; end < size && text[end] != ' ';) end++;
    if (end == at) continue;
    rt_value *word = asset_of("word", text + at, end - at);
    rt_job_send(job, word, &err);
    rt_value_unref(word);
  }
  rt_job_complete(job, err.code == RT_OK ? NULL : &err);
}

static bool not_shouting(const rt_value *asset, char *why, size_t size,
                         void *arg) {
  size_t length = 0;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(asset), "value"), &length);
  (void)arg;
  snprintf(why, size, "it shouts");
  return !text || length == 0 || text[length - 1] != '!';
}

static rt_err add_split(rt_runtime *rt, rt_error *err) {
  static const char *const input[] = {"sentence"}, *const output[] = {"word"};
  rt_capability_opts opts = RT_CAPABILITY_OPTS_INIT;
  opts.name = "split-in-c";
  opts.description = "a sentence gives its words";
  opts.input = input;
  opts.input_count = 1;
  opts.output = output;
  opts.output_count = 1;
  opts.match = not_shouting;
  opts.invoke = split;
  return rt_registry_add(rt_runtime_registry(rt), &opts, err);
}

static void fault(const char *text, void *arg) {
  fprintf((FILE *)arg, "%s\n", text);
}

static rt_err seed(rt_session *session, const char *text, rt_error *err) {
  rt_value *asset = asset_of("sentence", text, strlen(text));
  rt_err rc = rt_session_dispatch(session, asset, NULL, NULL, err);
  rt_value_unref(asset);
  return rc;
}

/* Read from the session's file, as any other process could. */
static rt_err print_assets(const char *dir, rt_error *err) {
  rt_report *report = NULL;
  rt_value *assets = NULL;
  rt_view asset;
  rt_err rc = rt_report_open(&report, dir, "words", err);
  if (rc == RT_OK)
    rc = rt_report_assets(report, 0, "length", 100, &assets, err);
  rt_iter walk = rt_iter_of(rt_value_view(assets));
  while (rt_iter_next(&walk, NULL, &asset)) {
    size_t size = 0;
    const char *text = rt_view_string(rt_view_get(asset, "value"), &size);
    printf("a word of %.*s letters\n", (int)size, text);
  }
  rt_value_unref(assets);
  rt_report_close(report);
  return rc;
}

static rt_err run(rt_runtime *rt, const char *file, const char *dir,
                  rt_error *err) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  rt_session *session = NULL;
  rt_err rc = add_split(rt, err);
  opts.name = "words";
  opts.dir = dir;
  if (rc == RT_OK)
    rc = rt_registry_load(rt_runtime_registry(rt), file, fault, stderr, NULL,
                          err);
  if (rc == RT_OK) rc = rt_session_open(&session, rt, &opts, err);
  if (rc == RT_OK) rc = seed(session, "a runtime inside of others", err);
  if (rc == RT_OK) rc = seed(session, "NOT LIKE THIS!", err);
  if (rc == RT_OK) rc = rt_session_wait(session, 30, NULL, err);
  rt_session_close(session);
  rt_session_unref(session);
  return rc == RT_OK ? print_assets(dir, err) : rc;
}

int main(int argc, char **argv) {
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  rt_err rc;
  if (argc != 3) {
    fprintf(stderr, "usage: capability WORDS.LUA FOLDER\n");
    return 2;
  }
  rc = rt_runtime_new(&rt, NULL, &err);
  if (rc == RT_OK) rc = run(rt, argv[1], argv[2], &err);
  rt_runtime_free(rt);
  if (rc != RT_OK) fprintf(stderr, "capability: %s\n", err.message);
  return rc != RT_OK;
}
