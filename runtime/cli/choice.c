/* cli/choice.c - the options that choose among the assets of a session.
 * SPDX-License-Identifier: MIT */
#include "choice.h"

#include <string.h>

#include "when.h"

bool cli_choice_given(const cli_choice *f) {
  return f->class_ || f->value || f->prefix || f->from || f->parent ||
         f->since || f->before || f->changed_since || f->meta.count > 0 ||
         f->depth >= 0;
}

static int time_of(cli *c, const char *option, const char *text, double *out) {
  if (!text || cli_when(text, out)) return 0;
  return cli_usage(c,
                   "%s: '%s' is no time: expected 2026-01-31, "
                   "2026-01-31T12:00:00Z, 1h30m (so long ago) or @SECONDS",
                   option, text);
}

static int metadata_of(cli *c, const cli_list *list, rt_value **out) {
  if (list->count == 0) return 0;
  rt_error err = RT_ERROR_INIT;
  rt_builder *b = rt_builder_new();
  if (!b) return cli_fail(c, "out of memory");
  rt_builder_begin_map(b);
  for (size_t i = 0; i < list->count; i++) {
    const char *item = list->items[i], *equals = strchr(item, '=');
    if (!equals || equals == item) {
      rt_builder_free(b);
      return cli_usage(c, "--meta: '%s' is not NAME=VALUE", item);
    }
    rt_builder_lstring(b, item, (size_t)(equals - item));
    rt_builder_string(b, equals + 1);
  }
  rt_builder_end(b);
  rt_err rc = rt_builder_finish(b, out, &err);
  rt_builder_free(b);
  return rc == RT_OK ? 0 : cli_fail(c, "%s", err.message);
}

int cli_choice_query(cli_choice *f, cli *c, rt_asset_query *q) {
  int status = time_of(c, "--since", f->since, &q->since);
  if (!status) status = time_of(c, "--before", f->before, &q->before);
  if (!status) {
    status = time_of(c, "--changed-since", f->changed_since, &q->changed_since);
  }
  if (!status) status = metadata_of(c, &f->meta, &f->metadata);
  q->class_pattern = f->class_;
  q->value_pattern = f->value;
  q->value_prefix = f->prefix;
  q->capability = f->from;
  q->parent = f->parent;
  q->max_depth = f->depth;
  q->metadata = f->metadata;
  return status;
}

int cli_choice_check(const cli_choice *f, cli *c, rt_report *report) {
  rt_error err = RT_ERROR_INIT;
  rt_value *asset = NULL;
  if (!f->parent || rt_report_asset(report, f->parent, &asset, &err) == RT_OK) {
    rt_value_unref(asset);
    return 0;
  }
  return cli_fail(c, "--parent: %s", err.message);
}

void cli_choice_deinit(cli_choice *f) {
  cli_list_free(&f->meta);
  rt_value_unref(f->metadata);
}
