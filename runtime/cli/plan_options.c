/* cli/plan_options.c - `runtime plan --options`: what --set may change.
 * SPDX-License-Identifier: MIT */
#include "plan_options.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

typedef struct row {
  char *name; /* CAPABILITY.OPTION */
  rt_view option;
} row;

typedef struct rows {
  row *at;
  size_t count;
} rows;

static bool add(rows *all, rt_view capability, rt_view key, rt_view option) {
  char *of = cli_member(capability, "name"), *name = cli_text(key);
  row *more = realloc(all->at, (all->count + 1) * sizeof(*more));
  bool ok = of && name && more;
  if (more) all->at = more;
  if (ok) {
    ok = asprintf(&more[all->count].name, "%s.%s", of, name) >= 0;
    more[all->count].option = option;
  }
  if (ok) all->count++;
  free(of);
  free(name);
  return ok;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const row *)a)->name, ((const row *)b)->name);
}

static bool collect(rows *all, rt_view list) {
  rt_view capability, key, option;
  rt_iter each = rt_iter_of(list);
  while (rt_iter_next(&each, NULL, &capability)) {
    rt_iter iter = rt_iter_of(rt_view_get(capability, "options"));
    while (rt_iter_next(&iter, &key, &option))
      if (!add(all, capability, key, option)) return false;
  }
  if (all->count > 1) qsort(all->at, all->count, sizeof(*all->at), by_name);
  return true;
}

/* A member as text, "" when there is none [own]. */
static char *cell(rt_view option, const char *name) {
  rt_view view = rt_view_get(option, name);
  return rt_view_type(view) == RT_NIL ? strdup("") : cli_text(view);
}

static void print(const rows *all, FILE *out) {
  static const char *const heads[] = {"OPTION", "TYPE", "DESCRIPTION",
                                      "DEFAULT"};
  cli_table table;
  cli_table_init(&table, 4);
  for (size_t i = 0; i < 4; i++) cli_table_text(&table, heads[i]);
  for (size_t i = 0; i < all->count; i++) {
    cli_table_text(&table, all->at[i].name);
    cli_table_add(&table, cell(all->at[i].option, "type"));
    cli_table_add(&table, cell(all->at[i].option, "description"));
    cli_table_add(&table, cell(all->at[i].option, "default"));
  }
  cli_table_print(&table, out);
  cli_table_deinit(&table);
}

int cli_plan_options(cli *c, rt_runtime *rt) {
  rt_error err = RT_ERROR_INIT;
  rt_value *list = NULL;
  rows all = {NULL, 0};
  char *text = NULL;
  size_t size;
  if (rt_registry_list(rt_runtime_registry(rt), &list, &err) != RT_OK)
    return cli_fail(c, "%s", err.message);
  bool ok = collect(&all, rt_value_view(list));
  FILE *out = ok ? open_memstream(&text, &size) : NULL;
  if (out) {
    print(&all, out);
    fclose(out);
  }
  for (size_t i = 0; i < all.count; i++) free(all.at[i].name);
  free(all.at);
  rt_value_unref(list);
  return out ? cli_put_text(c, text) : cli_fail(c, "out of memory");
}
