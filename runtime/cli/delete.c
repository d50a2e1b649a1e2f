/* cli/delete.c - `runtime delete NAME KEY...`: assets of a session that nobody
 * has open, by key or by the options that choose among them.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "report.h"

typedef struct fields {
  const char *data;
  cli_choice choice;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    CLI_CHOICE_OPTIONS(fields, choice),
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

enum { BATCH = 512 };

typedef struct keys {
  char **at; /* [own] */
  size_t count, room;
} keys;

static bool add(keys *k, rt_view asset) {
  size_t size = 0;
  const char *text = rt_view_string(rt_view_get(asset, "key"), &size);
  if (k->count == k->room) {
    size_t room = k->room ? k->room * 2 : BATCH;
    char **more = realloc(k->at, room * sizeof(*more));
    if (!more) return false;
    k->at = more;
    k->room = room;
  }
  char *copy = text ? strndup(text, size) : NULL;
  if (copy) k->at[k->count++] = copy;
  return copy != NULL;
}

static void keys_free(keys *k) {
  for (size_t i = 0; i < k->count; i++) free(k->at[i]);
  free(k->at);
}

/* The keys of all that fit. */
static int choose(cli *c, rt_report *report, rt_asset_query *q, keys *k) {
  rt_error err = RT_ERROR_INIT;
  uint32_t count = BATCH;
  int status = 0;
  while (!status && count == BATCH) {
    rt_value *batch = NULL;
    rt_view asset;
    rt_err rc = rt_report_query(report, q, BATCH, &batch, &err);
    if (rc != RT_OK) return cli_fail(c, "%s", err.message);
    count = rt_view_count(rt_value_view(batch));
    rt_iter iter = rt_iter_of(rt_value_view(batch));
    while (!status && rt_iter_next(&iter, NULL, &asset)) {
      q->after = rt_view_int(rt_view_get(asset, "id"), q->after);
      if (!add(k, asset)) status = cli_fail(c, "out of memory");
    }
    rt_value_unref(batch);
  }
  return status;
}

static int prune(cli *c, const char *data, const char *name,
                 const char *const *list, size_t count) {
  rt_error err = RT_ERROR_INIT;
  rt_err rc = rt_session_prune(cli_data_dir(data), name, list, count, &err);
  if (rc == RT_ECONFLICT) {
    return cli_fail(c, "%s (runtime ctl %s delete CLASS:VALUE)", err.message,
                    name);
  }
  if (rc != RT_OK) return cli_fail(c, "%s", err.message);
  console_say(&c->console, "%zu %s deleted\n", count,
              count == 1 ? "asset" : "assets");
  return 0;
}

static int prune_chosen(cli *c, fields *f, const char *name) {
  rt_asset_query query = RT_ASSET_QUERY_INIT;
  rt_report *report = NULL;
  keys k = {0};
  int status = cli_choice_query(&f->choice, c, &query);
  if (!status) status = cli_report(c, &report, f->data, name);
  if (!status) status = cli_choice_check(&f->choice, c, report);
  if (!status) status = choose(c, report, &query, &k);
  rt_report_close(report);
  if (!status) {
    status = prune(c, f->data, name, (const char *const *)k.at, k.count);
  }
  keys_free(&k);
  return status;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {.choice = CLI_CHOICE_INIT};
  cli_parse parse = {.fields = &f, .wanted = 1};
  int status = cli_arguments(c, &cli_delete, &parse, argc, argv, 1, SIZE_MAX);
  size_t named = status ? 0 : parse.bare.count - 1;
  bool chosen = cli_choice_given(&f.choice);
  if (!status && (named > 0) == chosen) {
    status = cli_usage(c, "delete: expected keys, or options that choose");
  }
  if (!status && chosen) {
    status = prune_chosen(c, &f, parse.bare.items[0]);
  } else if (!status) {
    status = prune(c, f.data, parse.bare.items[0], parse.bare.items + 1, named);
  }
  cli_choice_deinit(&f.choice);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_delete = {
    "delete", "NAME CLASS:VALUE... | NAME --class PATTERN --before WHEN [...]",
    "delete assets of a session for good, with their jobs", options, run};
