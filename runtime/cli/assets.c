/* cli/assets.c - `runtime assets NAME`, and how an asset looks as a line.
 * SPDX-License-Identifier: MIT */
#include "assets.h"

#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "report.h"

typedef struct fields {
  const char *data;
  cli_choice choice;
  bool json;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    CLI_CHOICE_OPTIONS(fields, choice),
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "JSON lines", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

enum { BATCH = 512 };

void cli_put_metadata(rt_builder *b, rt_view metadata) {
  rt_builder_key(b, "metadata");
  if (rt_view_count(metadata) > 0) {
    rt_builder_view(b, metadata);
  } else {
    rt_builder_begin_map(b);
    rt_builder_end(b);
  }
}

rt_err cli_asset_line(rt_view asset, char **text, size_t *size, rt_error *err) {
  static const char *const keys[] = {"key", "class", "value"};
  rt_builder *b = rt_builder_new();
  rt_value *value = NULL;
  if (!b) return rt_fail(err, RT_ENOMEM, "out of memory");
  rt_builder_begin_map(b);
  for (size_t i = 0; i < 3; i++) {
    rt_builder_key(b, keys[i]);
    rt_builder_view(b, rt_view_get(asset, keys[i]));
  }
  cli_put_metadata(b, rt_view_get(asset, "metadata"));
  rt_builder_key(b, "depth");
  rt_builder_int(b, rt_view_int(rt_view_get(asset, "depth"), 0));
  rt_builder_key(b, "parent");
  rt_builder_view(b, rt_view_get(asset, "parent"));
  if (rt_view_type(rt_view_get(asset, "capability")) == RT_STRING) {
    rt_builder_key(b, "capability");
    rt_builder_view(b, rt_view_get(asset, "capability"));
  }
  rt_builder_end(b);
  rt_err rc = rt_builder_finish(b, &value, err);
  if (rc == RT_OK) rc = rt_value_to_json(text, size, value, err);
  rt_value_unref(value);
  rt_builder_free(b);
  return rc;
}

static void print_json(rt_view asset, FILE *out) {
  char *text = NULL;
  size_t size;
  if (cli_asset_line(asset, &text, &size, NULL) != RT_OK) return;
  fwrite(text, 1, size, out);
  fputc('\n', out);
  rt_free(text);
}

/* The key without its class: the value, unless the asset has a key of its own,
 * which is what other commands take; a value it does not name follows it. */
static const char *short_key(const char *key, const char *class_) {
  size_t size = class_ ? strlen(class_) : 0;
  if (!key || !class_ || strncmp(key, class_, size)) return key;
  return key[size] == ':' ? key + size + 1 : key;
}

static void print_row(rt_view asset, FILE *out) {
  char *class_ = cli_member(asset, "class");
  char *key = cli_member(asset, "key");
  char *from = cli_member(asset, "capability");
  char *value = cli_member(asset, "value");
  const char *shown = short_key(key, class_);
  fprintf(out, "  %-12s %5lld  %-16s %s", class_ ? class_ : "?",
          (long long)rt_view_int(rt_view_get(asset, "depth"), 0),
          from ? from : "?", shown ? shown : "?");
  if (shown && value && !strstr(shown, value)) fprintf(out, "  (%s)", value);
  fputc('\n', out);
  free(value);
  free(class_);
  free(key);
  free(from);
}

/* Print a batch; *after becomes its last id. */
static int put_batch(cli *c, rt_view batch, bool json, int64_t *after) {
  char *text = NULL;
  size_t size;
  rt_view asset;
  rt_iter iter = rt_iter_of(batch);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  while (rt_iter_next(&iter, NULL, &asset)) {
    *after = rt_view_int(rt_view_get(asset, "id"), *after);
    (json ? print_json : print_row)(asset, out);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int put_head(cli *c) {
  char *head = NULL;
  int n = asprintf(&head, "  %-12s %5s  %-16s %s\n", "CLASS", "DEPTH",
                   "FOUND BY", "VALUE");
  return cli_put_text(c, n < 0 ? NULL : head);
}

static int put_assets(cli *c, rt_report *report, rt_asset_query *q, bool json) {
  rt_error err = RT_ERROR_INIT;
  int status = json ? 0 : put_head(c);
  uint32_t count = BATCH;
  while (!status && count == BATCH) {
    rt_value *batch = NULL;
    rt_err rc = rt_report_query(report, q, BATCH, &batch, &err);
    if (rc != RT_OK) return cli_fail(c, "%s", err.message);
    count = rt_view_count(rt_value_view(batch));
    status = put_batch(c, rt_value_view(batch), json, &q->after);
    rt_value_unref(batch);
  }
  return status;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {.choice = CLI_CHOICE_INIT};
  cli_parse parse = {.fields = &f, .wanted = 1};
  rt_asset_query query = RT_ASSET_QUERY_INIT;
  rt_report *report = NULL;
  int status = cli_arguments(c, &cli_assets, &parse, argc, argv, 1, 1);
  if (!status) status = cli_choice_query(&f.choice, c, &query);
  if (!status) status = cli_report(c, &report, f.data, parse.bare.items[0]);
  if (!status) status = cli_choice_check(&f.choice, c, report);
  if (!status) status = put_assets(c, report, &query, f.json);
  rt_report_close(report);
  cli_choice_deinit(&f.choice);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_assets = {
    "assets", "NAME [--class PATTERN] [--since WHEN] [...] [--json]",
    "the discovered assets, in order of creation", options, run};
