/* cli/diff.c - `runtime diff OLD NEW`: what two sessions found, compared.
 *
 * Each asset of one is looked for in the other by its key, so that memory does
 * not grow with the sessions. First what is new or has other metadata, in the
 * order of NEW, then what is gone, in the order of OLD.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "assets.h"
#include "report.h"

typedef struct fields {
  const char *data, *class_;
  bool json;
} fields;

static const cli_option options[] = {
    {"--class", 0, CLI_TEXT, offsetof(fields, class_), "PATTERN",
     "only assets of these classes", 0},
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "as JSON, by line", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

enum { BATCH = 512 };

typedef struct comparison {
  cli *c;
  bool json, gone; /* gone: `other` is NEW, and only what it lacks counts */
  rt_report *other;
  FILE *out;
  long long added, changed, lost;
} comparison;

static void put_member(rt_builder *b, const char *key, rt_view view) {
  rt_builder_key(b, key);
  rt_builder_view(b, view);
}

static void put_line(comparison *k, const char *what, rt_view asset,
                     rt_view before) {
  rt_builder *b = rt_builder_new();
  rt_value *value = NULL;
  char *text = NULL;
  size_t size = 0;
  if (!b) return;
  rt_builder_begin_map(b);
  rt_builder_key(b, "change");
  rt_builder_string(b, what);
  put_member(b, "key", rt_view_get(asset, "key"));
  put_member(b, "class", rt_view_get(asset, "class"));
  put_member(b, "value", rt_view_get(asset, "value"));
  cli_put_metadata(b, rt_view_get(asset, "metadata"));
  if (rt_view_type(before) != RT_NIL) put_member(b, "before", before);
  rt_builder_end(b);
  if (rt_builder_finish(b, &value, NULL) == RT_OK &&
      rt_value_to_json(&text, &size, value, NULL) == RT_OK) {
    fprintf(k->out, "%.*s\n", (int)size, text);
  }
  rt_free(text);
  rt_value_unref(value);
  rt_builder_free(b);
}

static void tell(comparison *k, const char *what, rt_view asset,
                 rt_view before) {
  if (k->json) {
    put_line(k, what, asset, before);
    return;
  }
  char *key = cli_member(asset, "key");
  fprintf(k->out, "  %-7s  %s\n", what, key ? key : "?");
  free(key);
}

static bool same_scalar(rt_view a, rt_view b) {
  rt_value *x = NULL, *y = NULL;
  bool equal = rt_view_copy(&x, a, NULL) == RT_OK &&
               rt_view_copy(&y, b, NULL) == RT_OK && rt_value_equal(x, y);
  rt_value_unref(x);
  rt_value_unref(y);
  return equal;
}

static bool same(rt_view a, rt_view b);

/* Keys of a table come in any order. */
static bool same_map(rt_view a, rt_view b) {
  rt_view key, item;
  bool equal = true;
  rt_iter iter = rt_iter_of(a);
  while (equal && rt_iter_next(&iter, &key, &item)) {
    size_t size = 0;
    const char *text = rt_view_string(key, &size);
    char *name = text ? strndup(text, size) : NULL;
    equal = name && same(item, rt_view_get(b, name));
    free(name);
  }
  return equal;
}

static bool same_array(rt_view a, rt_view b) {
  rt_view item;
  uint32_t at = 0;
  bool equal = true;
  rt_iter iter = rt_iter_of(a);
  while (equal && rt_iter_next(&iter, NULL, &item)) {
    equal = same(item, rt_view_at(b, at++));
  }
  return equal;
}

static bool same(rt_view a, rt_view b) {
  rt_type type = rt_view_type(a);
  if (type != rt_view_type(b)) return false;
  if (type != RT_MAP && type != RT_ARRAY) return same_scalar(a, b);
  if (rt_view_count(a) != rt_view_count(b)) return false;
  return type == RT_MAP ? same_map(a, b) : same_array(a, b);
}

/* An empty table of metadata is none. */
static bool same_metadata(rt_view a, rt_view b) {
  if (!rt_view_count(a) && !rt_view_count(b)) return true;
  return same(a, b);
}

/* Known, but not found any more by a later run of its session. */
static bool is_gone(rt_view asset) {
  return rt_view_number(rt_view_get(asset, "gone"), 0) > 0;
}

/* What a session noted of others is no asset of its own. */
static bool is_event(rt_view asset) {
  size_t size = 0;
  const char *text = rt_view_string(rt_view_get(asset, "class"), &size);
  return text && memchr(text, '.', size);
}

static rt_err compare(comparison *k, rt_view asset, rt_error *err) {
  rt_value *found = NULL;
  size_t size = 0;
  if (is_gone(asset) || is_event(asset)) return RT_OK;
  rt_view none = {0};
  const char *text = rt_view_string(rt_view_get(asset, "key"), &size);
  char *key = text ? strndup(text, size) : NULL;
  rt_err rc = key ? rt_report_asset(k->other, key, &found, err) : RT_ENOMEM;
  free(key);
  bool lost = rc == RT_OK && is_gone(rt_value_view(found));
  if (rc == RT_ENOTFOUND || lost) {
    rt_value_unref(found);
    tell(k, k->gone ? "gone" : "new", asset, none);
    *(k->gone ? &k->lost : &k->added) += 1;
    return RT_OK;
  }
  if (rc != RT_OK) return rc;
  rt_view before = rt_view_get(rt_value_view(found), "metadata");
  if (!k->gone && !same_metadata(rt_view_get(asset, "metadata"), before)) {
    tell(k, "changed", asset, before);
    k->changed++;
  }
  rt_value_unref(found);
  return RT_OK;
}

/* One batch; *after becomes its last id. */
static int put_batch(comparison *k, rt_view batch, int64_t *after) {
  rt_error err = RT_ERROR_INIT;
  char *text = NULL;
  size_t size;
  rt_view asset;
  rt_err rc = RT_OK;
  rt_iter iter = rt_iter_of(batch);
  k->out = open_memstream(&text, &size);
  if (!k->out) return cli_fail(k->c, "out of memory");
  while (rc == RT_OK && rt_iter_next(&iter, NULL, &asset)) {
    *after = rt_view_int(rt_view_get(asset, "id"), *after);
    rc = compare(k, asset, &err);
  }
  fclose(k->out);
  if (rc == RT_OK) return cli_put_text(k->c, text);
  free(text);
  return cli_fail(k->c, "%s", err.message);
}

static int put_all(comparison *k, rt_report *report, const char *class_) {
  rt_error err = RT_ERROR_INIT;
  int64_t after = 0;
  uint32_t count = BATCH;
  int status = 0;
  while (!status && count == BATCH) {
    rt_value *batch = NULL;
    if (rt_report_assets(report, after, class_, BATCH, &batch, &err) != RT_OK) {
      return cli_fail(k->c, "%s", err.message);
    }
    count = rt_view_count(rt_value_view(batch));
    status = put_batch(k, rt_value_view(batch), &after);
    rt_value_unref(batch);
  }
  return status;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_report *old = NULL, *fresh = NULL;
  comparison k = {.c = c};
  int status = cli_arguments(c, &cli_diff, &parse, argc, argv, 2, 2);
  if (!status) status = cli_report(c, &old, f.data, parse.bare.items[0]);
  if (!status) status = cli_report(c, &fresh, f.data, parse.bare.items[1]);
  k.json = f.json;
  k.other = old;
  if (!status) status = put_all(&k, fresh, f.class_);
  k.other = fresh;
  k.gone = true;
  if (!status) status = put_all(&k, old, f.class_);
  if (!status) {
    console_say(&c->console, "%lld new, %lld changed, %lld gone\n", k.added,
                k.changed, k.lost);
  }
  rt_report_close(old);
  rt_report_close(fresh);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_diff = {
    "diff", "OLD NEW [--class PATTERN] [--data DIR] [--json]",
    "what a session found that another had not, and the other way", options,
    run};
