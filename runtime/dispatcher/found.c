/* found.c - assets that are found again, change, or are not found any more.
 *
 * The first find in a later run is noted, with its time. Metadata is merged
 * (merge.c); a change counts the asset's version up, is told as asset.updated,
 * and lets capabilities run again that declare it. How often that happens to
 * one asset in one run is bounded, so that capabilities which change their own
 * inputs in turn come to an end. What happened is an asset too, if a capability
 * takes it: of class asset.changed:CLASS, with its own key for each change.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

#define METADATA_MAX (1u << 20)
#define CHANGES_MAX  16   /* of an asset in a run; else what max_repeats says */
#define GONE_MAX     1000 /* looked at in one step of the engine */

static int64_t now_ms(const rt_session *s) {
  return (int64_t)(rt__session_now(s) * 1000);
}

/* --- events as assets -------------------------------------------------- */
typedef struct event {
  const char *kind; /* new, changed, gone */
  const rt__asset_row *row;
  const rt__class *cls;
  char *key;      /* of the asset */
  int64_t number; /* tells events of a kind on an asset apart */
  const rt_value *metadata, *before;
} event;

static bool taken(const rt_session *s, const char *class_) {
  for (size_t i = 0; i < s->known_count; i++) {
    const rt__cap *cap = s->known[i]->cap;
    if (cap && rt__capability_takes(cap->decl, class_, strlen(class_))) {
      return true;
    }
  }
  return false;
}

static void put_value(rt_builder *b, const char *name, const rt_value *value) {
  if (!value) return;
  rt_builder_key(b, name);
  rt_builder_value(b, value);
}

static rt_value *event_value(const rt_session *s, const event *e) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_builder_begin_map(b);
  rt_builder_key(b, "event");
  rt_builder_string(b, e->kind);
  rt_builder_key(b, "key");
  rt_builder_string(b, e->key);
  rt_builder_key(b, "class");
  rt_builder_string(b, e->cls->name);
  rt_builder_key(b, "run");
  rt_builder_int(b, s->run);
  put_value(b, "metadata", e->metadata);
  put_value(b, "before", e->before);
  rt_builder_end(b);
  rt_builder_finish(b, &value, NULL);
  rt_builder_free(b);
  return value;
}

static rt_err store_event(rt_session *s, const event *e, const char *class_,
                          rt_error *err) {
  char *key = NULL;
  rt__class *cls = rt__session_class(s, class_, strlen(class_), err);
  if (!cls) return RT_EUNAVAIL;
  int size =
      asprintf(&key, "asset.%s:%s#%lld", e->kind, e->key, (long long)e->number);
  rt_value *metadata = event_value(s, e);
  rt_err rc =
      size > 0 && metadata ? RT_OK : rt_fail(err, RT_ENOMEM, "no memory");
  rt__asset_row row = {.value = e->row->value,
                       .key = {key, size > 0 ? (size_t)size : 0},
                       .metadata = metadata,
                       .parent = e->row->id,
                       .depth = e->row->depth,
                       .root = e->row->root};
  if (rc == RT_OK) rc = rt__session_put(s, cls, &row, err);
  rt_value_unref(metadata);
  if (size > 0) free(key);
  return rc;
}

static rt_err happened(rt_session *s, const event *e, rt_error *err) {
  char class_[300];
  if (!s->watched || strchr(e->cls->name, '.')) return RT_OK;
  snprintf(class_, sizeof(class_), "asset.%s:%s", e->kind, e->cls->name);
  return taken(s, class_) ? store_event(s, e, class_, err) : RT_OK;
}

rt_err rt__session_event_new(rt_session *s, const rt__asset_row *row,
                             const rt__class *cls, rt__text key,
                             rt_error *err) {
  if (s->run < 2 || !s->watched) return RT_OK;
  event e = {.kind = "new",
             .row = row,
             .cls = cls,
             .number = s->run,
             .metadata = row->metadata};
  e.key = strndup(key.at, key.size);
  rt_err rc =
      e.key ? happened(s, &e, err) : rt_fail(err, RT_ENOMEM, "no memory");
  free(e.key);
  return rc;
}

/* --- metadata ---------------------------------------------------------- */
typedef struct change {
  rt_value *before, *after;
} change;

static rt_err on_metadata(const rt__asset_row *row, void *arg) {
  *(rt_value **)arg = rt_value_ref(row->metadata);
  return RT_OK;
}

static bool same(const rt_value *a, const rt_value *b) {
  rt_view x = rt_value_view(a), y = rt_value_view(b);
  if (!rt_view_count(x) && !rt_view_count(y)) return true;
  return rt__view_compare(x, y) == 0;
}

static bool fits(rt_session *s, const rt_value *metadata,
                 const rt__sighting *seen) {
  if (metadata && rt_value_size(metadata) <= METADATA_MAX) return true;
  rt__session_log(s, RT_LOG_WARN,
                  "session '%s': the metadata of a %s that was found again "
                  "would be larger than 1 MB, and stays as it is",
                  s->name, seen->cls->name);
  return false;
}

/* What the asset has now, in c->before, and with this find, in c->after; both
 * NULL when nothing changes. f->fresh becomes what this run found. */
static rt_err merge(rt_session *s, const rt__sighting *seen, rt__found_row *f,
                    bool earlier, change *c, rt_error *err) {
  rt_value *fresh = NULL;
  rt_err rc =
      rt__store_load(s->store, seen->found->id, on_metadata, &c->before, err);
  if (rc != RT_OK) return rc;
  if (earlier) { /* this run's own finds first, then over the earlier ones */
    fresh = rt__metadata_merge(f->fresh, seen->metadata, !f->fresh);
    c->after = rt__metadata_merge(c->before, fresh, true);
  } else {
    c->after = rt__metadata_merge(c->before, seen->metadata, !c->before);
  }
  if (fits(s, c->after, seen)) {
    if (fresh) {
      rt_value_unref(f->fresh);
      f->fresh = rt_value_ref(fresh);
    }
  } else {
    rt_value_unref(c->after);
    c->after = NULL;
  }
  rt_value_unref(fresh);
  if (c->after && !same(c->before, c->after)) return RT_OK;
  rt_value_unref(c->before);
  rt_value_unref(c->after);
  c->before = c->after = NULL;
  return RT_OK;
}

/* --- changes ----------------------------------------------------------- */
static int64_t changes_max(const rt_session *s) {
  return s->max_repeats >= 0 ? s->max_repeats : CHANGES_MAX;
}

/* The change stays, but starts nothing any more in this run. */
static rt_err over(rt_session *s, const rt__sighting *seen, rt_error *err) {
  char why[160];
  rt__asset_row row = {.class_id = seen->cls->id,
                       .value = seen->value,
                       .key = seen->own_key,
                       .depth = seen->found->depth,
                       .created = now_ms(s)};
  if (seen->by) {
    row.parent = seen->by->item->id;
    row.capability = seen->by->lane->capability;
  }
  snprintf(why, sizeof(why),
           "repeats: it has changed more than %lld times in this run, and "
           "starts nothing any more",
           (long long)changes_max(s));
  rt__note_asset(s, "asset.rejected", seen->key, &row, seen->cls->name, why);
  bool fresh = false;
  rt_err rc =
      rt__store_reject(s->store, &row, seen->hash, "repeats", why, &fresh, err);
  if (rc == RT_OK && fresh) rt__budget_tripped(s, NULL, "repeats");
  return rc;
}

static rt_err changed(rt_session *s, const rt__sighting *seen, rt__found_row *f,
                      const change *c, const char *key, rt_error *err) {
  rt__asset_row *row = seen->found;
  rt__item *item = rt__item_get(s, row->id);
  rt_err rc = rt__store_set_metadata(s->store, row->id, c->after, err);
  if (item) { /* read again when it is needed */
    rt_value_unref(item->asset);
    item->asset = NULL;
  }
  if (rc == RT_OK) {
    rt__note_asset(s, "asset.updated", seen->key, row, seen->cls->name,
                   "its metadata changed");
  }
  if (rc != RT_OK) return rc;
  if (f->changes > changes_max(s)) return over(s, seen, err);
  event e = {.kind = "changed",
             .row = row,
             .cls = seen->cls,
             .key = (char *)key,
             .number = f->version,
             .metadata = c->after,
             .before = c->before};
  rc = rt__again_changed(s, row->id, seen->cls, seen->by, err);
  return rc == RT_OK ? happened(s, &e, err) : rc;
}

/* --- found again ------------------------------------------------------- */
static void in_this_run(const rt_session *s, rt__found_row *f) {
  rt_value_unref(f->fresh);
  f->fresh = NULL;
  f->changes = 0;
  f->run = s->run;
  f->seen = now_ms(s);
  if (!f->version) f->version = 1;
}

static rt_err returned(rt_session *s, const rt__sighting *seen, const char *key,
                       rt_error *err) {
  event e = {.kind = "new",
             .row = seen->found,
             .cls = seen->cls,
             .key = (char *)key,
             .number = s->run,
             .metadata = seen->metadata};
  return happened(s, &e, err);
}

static rt_err sighted(rt_session *s, const rt__sighting *seen, bool earlier,
                      rt__found_row *f, const char *key, rt_error *err) {
  change c = {NULL, NULL};
  bool first = earlier && f->run != s->run, back = f->gone != 0;
  rt_err rc = RT_OK;
  if (first || !f->version) in_this_run(s, f);
  f->gone = 0;
  if (seen->metadata) rc = merge(s, seen, f, earlier, &c, err);
  if (c.after) {
    f->version++;
    f->changes++;
    f->changed = now_ms(s);
  }
  if (rc == RT_OK && (first || c.after || (earlier && seen->metadata))) {
    rc = rt__store_put_found(s->store, f, err);
  }
  if (rc == RT_OK && c.after) rc = changed(s, seen, f, &c, key, err);
  if (rc == RT_OK && (first || !seen->by)) {
    rc = rt__again_found(s, seen->found->id, seen->cls, !seen->by, err);
  }
  if (rc == RT_OK && back) rc = returned(s, seen, key, err);
  rt_value_unref(c.before);
  rt_value_unref(c.after);
  return rc;
}

rt_err rt__session_sighted(rt_session *s, const rt__sighting *seen,
                           rt_error *err) {
  bool earlier = seen->found->id <= s->run_first;
  rt__found_row f;
  if (!earlier && !seen->metadata && seen->by) return RT_OK;
  rt_err rc = rt__store_get_found(s->store, seen->found->id, &f, err);
  if (rc != RT_OK) return rc;
  /* Nothing new but that a job met it once more. */
  bool idle = f.run == s->run && !seen->metadata && seen->by;
  char *key = idle ? NULL : strndup(seen->key.at, seen->key.size);
  if (!idle) {
    rc = key ? sighted(s, seen, earlier, &f, key, err)
             : rt_fail(err, RT_ENOMEM, "no memory");
  }
  rt_value_unref(f.fresh);
  free(key);
  return rc;
}

rt_err rt__session_refound(rt_session *s, uint64_t hash, rt__text key,
                           rt_error *err) {
  rt__asset_row known;
  rt__found_row f;
  rt_err rc = rt__store_find(s->store, hash, key, &known, err);
  if (rc != RT_OK || !known.id || known.id > s->run_first) return rc;
  rc = rt__store_get_found(s->store, known.id, &f, err);
  if (rc == RT_OK && f.run != s->run && !f.gone) {
    in_this_run(s, &f);
    rc = rt__store_put_found(s->store, &f, err);
  }
  rt_value_unref(f.fresh);
  return rc;
}

/* --- gone -------------------------------------------------------------- */
typedef struct ids {
  int64_t at[GONE_MAX];
  size_t count;
} ids;

static rt_err on_id(const rt__asset_row *row, void *arg) {
  ids *list = arg;
  list->at[list->count++] = row->id;
  return RT_OK;
}

typedef struct lost {
  rt__asset_row row;
  char *value;
  rt_value *metadata;
} lost;

static rt_err on_lost(const rt__asset_row *row, void *arg) {
  lost *l = arg;
  l->row = *row;
  l->value = strndup(row->value.at, row->value.size);
  l->metadata = rt_value_ref(row->metadata);
  return l->value ? RT_OK : RT_ENOMEM;
}

static rt_err tell_lost(rt_session *s, lost *l, char *key, rt_error *err) {
  const rt__class *cls = s->classes[l->row.class_id - 1];
  rt__text text = {key, strlen(key)};
  l->row.value.at = l->value;
  l->row.key.at = NULL;
  l->row.metadata = l->metadata;
  event e = {.kind = "gone",
             .row = &l->row,
             .cls = cls,
             .key = key,
             .number = s->run,
             .metadata = l->metadata};
  rt__note_asset(s, "asset.gone", text, &l->row, cls->name, NULL);
  return happened(s, &e, err);
}

static rt_err lose(rt_session *s, int64_t id, rt_error *err) {
  rt__found_row f;
  lost l = {.value = NULL};
  rt_err rc = rt__store_get_found(s->store, id, &f, err);
  if (rc != RT_OK) return rc;
  rc = rt__store_load(s->store, id, on_lost, &l, err);
  char *key = rt__store_key(s->store, id);
  f.asset = id;
  f.gone = now_ms(s);
  if (!f.version) {
    f.version = 1;
    f.run = s->run - 1; /* before this one; its own time is that of its row */
    f.seen = l.row.created;
  }
  if (rc == RT_OK) rc = rt__store_put_found(s->store, &f, err);
  if (rc == RT_OK && key && l.value) rc = tell_lost(s, &l, key, err);
  rt_value_unref(f.fresh);
  rt_value_unref(l.metadata);
  free(l.value);
  free(key);
  return rc;
}

/* What was lost is noted with its event in the same transaction, so who begins
 * anew after a crash passes over it. */
rt_err rt__session_gone(rt_session *s, bool *all, rt_error *err) {
  ids list = {.count = 0};
  bool look = s->rerunning && s->run > 1 && s->run_open, more = false;
  *all = true;
  if (!look || s->gone_run == s->run) return RT_OK;
  rt_err rc = rt__store_gone(s->store, s->run, s->run_first, GONE_MAX,
                             &s->gone_at, on_id, &list, &more, err);
  for (size_t i = 0; rc == RT_OK && i < list.count; i++) {
    rc = lose(s, list.at[i], err);
  }
  if (!more) s->gone_run = s->run;
  *all = !more;
  s->touched = true;
  return rc;
}
