/* budgets.c - what keeps a session from growing without end.
 *
 *   depth        steps from a seed           descendants  assets of one seed
 *   assets       of the whole session        repeats      of a capability on
 *   fanout       accepted results of a job                the way from a seed
 *
 * Each that stands against an asset makes it a rejection, stored with its
 * parent and with words that begin with the budget's name: the first thousand
 * of a job. All are counted by name, in the file too.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

#define KEPT      1000 /* rejections of one job that are rows */
#define FLOOD     1000 /* times its fan-out that a job may be refused */
#define FLOOD_MIN 20   /* or so many times this */
/* Without a fan-out, and so many times FLOOD_MIN what the session has. */
#define FLOOD_MOST 1000000

static const char *const kinds[RT__BUDGETS] = {
    "scope", "depth", "assets", "fanout", "descendants", "repeats"};

/* --- repeats --------------------------------------------------------- */
typedef struct ancestor {
  int64_t parent, capability;
} ancestor;

static rt_err on_ancestor(const rt__asset_row *row, void *arg) {
  *(ancestor *)arg = (ancestor){row->parent, row->capability};
  return RT_OK;
}

/* How often the job's capability is on the way to what the job finds: the same
 * for all its results. */
static int64_t repeats_of(rt_session *s, rt__live *live) {
  int64_t id = live->item->id;
  if (live->repeats > 0) return live->repeats;
  live->repeats = 1;
  while (id > 0 && live->repeats <= s->max_repeats) {
    ancestor at = {0, 0};
    if (rt__store_load(s->store, id, on_ancestor, &at, NULL) != RT_OK) break;
    if (at.capability == (int64_t)live->lane->capability) live->repeats++;
    id = at.parent;
  }
  return live->repeats;
}

/* --- descendants ----------------------------------------------------- */
static rt_err on_root(int64_t root, int64_t count, void *arg) {
  rt_session *s = arg;
  bool ok = rt__idmap_set(&s->roots, (uint64_t)root, (void *)(intptr_t)count);
  return ok ? RT_OK : RT_ENOMEM;
}

static int64_t descendants_of(rt_session *s, int64_t root) {
  if (!s->roots_known) {
    s->roots_known = true;
    rt__store_roots(s->store, on_root, s, NULL);
  }
  return (int64_t)(intptr_t)rt__idmap_get(&s->roots, (uint64_t)root);
}

void rt__budget_count(rt_session *s, int64_t root) {
  if (s->max_descendants < 0 || root <= 0 || !s->roots_known) return;
  int64_t count = descendants_of(s, root) + 1;
  rt__idmap_set(&s->roots, (uint64_t)root, (void *)(intptr_t)count);
}

void rt__budgets_clear(rt_session *s) {
  rt__idmap_deinit(&s->roots);
  memset(&s->roots, 0, sizeof(s->roots));
  s->roots_known = false;
}

/* --- all of them ----------------------------------------------------- */
static const char *over_lineage(rt_session *s, rt__live *live, int64_t root,
                                char *why, size_t size) {
  if (s->max_descendants >= 0 && root > 0 &&
      descendants_of(s, root) >= s->max_descendants) {
    snprintf(why, size, "descendants: the seed has its %lld",
             (long long)s->max_descendants);
    return "descendants";
  }
  if (s->max_repeats >= 0 && live && repeats_of(s, live) > s->max_repeats) {
    snprintf(why, size,
             "repeats: %s is on the way from the seed more than %lld times",
             live->cap->decl->name, (long long)s->max_repeats);
    return "repeats";
  }
  return NULL;
}

const char *rt__budget_over(rt_session *s, rt__live *live, int64_t depth,
                            int64_t root, char *why, size_t size) {
  if (s->max_depth >= 0 && depth > s->max_depth) {
    snprintf(why, size, "depth %lld is over the limit of %lld",
             (long long)depth, (long long)s->max_depth);
    return "depth";
  }
  if (s->max_assets >= 0 && s->assets >= s->max_assets) {
    snprintf(why, size, "assets: the session has its %lld",
             (long long)s->max_assets);
    return "assets";
  }
  if (s->max_fanout >= 0 && live && live->fanout >= s->max_fanout) {
    snprintf(why, size, "fanout: the job has sent its %lld",
             (long long)s->max_fanout);
    return "fanout";
  }
  return over_lineage(s, live, root, why, size);
}

/* A job may be refused any number of results: of those that say no more than
 * the first, the rest is only counted. What depth refuses may be taken later.
 */
bool rt__budget_keeps(const rt__live *live, const char *kind) {
  return !live || live->refused < KEPT || strcmp(kind, "depth") == 0;
}

/* A job that knows no end would send for ever: waiting for outcomes is not on
 * the clock of its timeout. Of what leads to nothing it may send a multiple of
 * its fan-out, else of what there is: one that runs again meets all of it. */
static bool floods(const rt_session *s, const rt__live *live, bool bounded) {
  int64_t sent = (int64_t)live->refused + live->met;
  int64_t may = s->max_fanout > FLOOD_MIN ? s->max_fanout : FLOOD_MIN;
  if (bounded && s->max_fanout >= 0) return sent / FLOOD >= may;
  return sent >= FLOOD_MOST && sent / FLOOD >= may &&
         sent / FLOOD_MIN >= s->assets;
}

/* Who sends each asset there is once sends no flood, whatever its fan-out. */
void rt__budget_met(rt_session *s, rt__live *live) {
  live->met++;
  if (live->flooding || live->met <= s->assets) return;
  live->flooding = floods(s, live, true);
}

char *rt__budget_flood_words(const rt_session *s, const rt__live *live) {
  char *words = NULL;
  bool full = s->max_fanout >= 0 && live->fanout >= s->max_fanout;
  int size;
  if (full && live->refused >= live->met) {
    size = asprintf(
        &words,
        "fanout: the job has sent its %lld, and went on to send %u more",
        (long long)s->max_fanout, live->refused + live->met);
  } else {
    size = asprintf(
        &words,
        "fanout: the job sends without end: of its results %u were known"
        " already, %u were not taken, %u were new",
        live->met, live->refused, live->fanout);
  }
  return size < 0 ? NULL : words;
}

void rt__budget_tripped(rt_session *s, rt__live *live, const char *kind) {
  for (size_t i = 0; i < RT__BUDGETS; i++) {
    if (strcmp(kinds[i], kind) == 0) s->rejections[i]++;
  }
  s->rejected = true;
  if (!live) return;
  live->refused++;
  bool fanout = strcmp(kind, "fanout") == 0;
  live->flooding = live->flooding || floods(s, live, fanout);
}

static void build(const rt_session *s, rt_builder *b) {
  rt_builder_begin_map(b);
  for (size_t i = 0; i < RT__BUDGETS; i++) {
    if (!s->rejections[i]) continue;
    rt_builder_key(b, kinds[i]);
    rt_builder_int(b, s->rejections[i]);
  }
  rt_builder_end(b);
}

/* A file from before they were counted has all of them as rows: once. */
void rt__budgets_read(rt_session *s) {
  rt_value *counts = rt__store_meta_value(s->store, RT__META_REJECTIONS);
  for (size_t i = 0; i < RT__BUDGETS; i++) {
    rt_view item = rt_view_get(rt_value_view(counts), kinds[i]);
    s->rejections[i] = counts ? rt_view_int(item, 0)
                              : rt__store_count_rejected(s->store, kinds[i]);
  }
  s->rejected = counts == NULL;
  rt_value_unref(counts);
}

rt_err rt__budgets_write(rt_session *s, rt_error *err) {
  rt_value *counts = NULL;
  rt_builder *b = s->rejected ? rt_builder_new() : NULL;
  if (!b) return s->rejected ? rt_fail(err, RT_ENOMEM, "no memory") : RT_OK;
  build(s, b);
  rt_err rc = rt_builder_finish(b, &counts, err);
  rt_builder_free(b);
  if (rc == RT_OK) {
    rc = rt__store_set_value(s->store, RT__META_REJECTIONS, counts, err);
  }
  rt_value_unref(counts);
  if (rc == RT_OK) s->rejected = false;
  return rc;
}

void rt__budget_stats(const rt_session *s, rt_builder *b) {
  rt_builder_key(b, "rejections");
  build(s, b);
}
