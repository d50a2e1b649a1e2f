/* cli/cycles.c - a warning of `run`: capabilities that feed each other, and
 * no budget that would end it. SPDX-License-Identifier: MIT */
#include "cycles.h"

#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "report.h"

/* One that ends any growth; a job's own results alone do not. */
static bool bounded(const cli_settings *s) {
  return s->max_depth >= 0 || s->max_assets >= 0 || s->max_descendants >= 0 ||
         s->max_repeats >= 0 || s->deadline >= 0;
}

static bool listed(const cli_list *words, rt_view capability) {
  for (size_t i = 0; i < words->count; i++) {
    if (cli_chooses(words->items[i], capability)) return true;
  }
  return false;
}

static bool chosen(rt_runtime *rt, const cli_settings *s, const char *name) {
  rt_value *found = NULL;
  if (rt_registry_get(rt_runtime_registry(rt), name, &found, NULL) != RT_OK) {
    return false;
  }
  rt_view view = rt_value_view(found);
  bool yes = (s->only.count == 0 || listed(&s->only, view)) &&
             !listed(&s->without, view);
  rt_value_unref(found);
  return yes;
}

/* "a -> b -> a" [own], NULL when one of them takes no part. */
static char *words_of(rt_runtime *rt, const cli_settings *s, rt_view cycle) {
  char *text = NULL, *first = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  bool all = out != NULL;
  rt_view item;
  rt_iter iter = rt_iter_of(cycle);
  while (all && rt_iter_next(&iter, NULL, &item)) {
    char *name = cli_text(item);
    all = name && chosen(rt, s, name);
    if (all) fprintf(out, "%s -> ", name);
    if (first) {
      free(name);
    } else {
      first = name;
    }
  }
  if (all) fputs(first ? first : "?", out);
  if (out) fclose(out);
  free(first);
  if (all) return text;
  free(text);
  return NULL;
}

void cli_warn_cycles(cli *c, rt_runtime *rt, const cli_settings *s) {
  rt_value *plan = NULL;
  rt_view cycle;
  if (bounded(s)) return;
  if (rt_registry_plan(rt_runtime_registry(rt), &plan, NULL) != RT_OK) return;
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(plan), "cycles"));
  while (rt_iter_next(&iter, NULL, &cycle)) {
    char *words = words_of(rt, s, cycle);
    if (!words) continue;
    console_say(&c->console,
                "runtime: warning: cycle: %s, and no budget bounds it "
                "(--max-depth, --max-repeats...)\n",
                words);
    free(words);
  }
  rt_value_unref(plan);
}
