/* intake.c - the way of one asset: checks, scope, limits, dedup, storing.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "dispatcher/internal.h"
#include "store/schema.h"

#define VALUE_MAX    (64u << 10)
#define METADATA_MAX (1u << 20)

typedef struct input {
  rt__text class_, value, key;
  rt_view metadata;
} input;

/* Where an asset comes from; all 0 for a seed. */
typedef struct origin {
  int64_t parent, depth, root; /* depth: of the asset itself */
  uint32_t capability;
  rt__live *live;
  rt__text parent_key;
} origin;

/* --- reading and checking -------------------------------------------- */
static rt__text text_of(rt_view map, const char *name) {
  rt__text text = {NULL, 0};
  text.at = rt_view_string(rt_view_get(map, name), &text.size);
  return text;
}

static bool class_good(rt__text text) {
  if (text.size == 0 || text.size > 255) return false;
  for (size_t i = 0; i < text.size; i++) {
    char c = text.at[i];
    bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!good) return false;
  }
  return true;
}

static const char *text_fault(rt__text text) {
  if (text.size == 0) return "is empty";
  if (text.size > VALUE_MAX) return "is longer than 64 KB";
  for (size_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.at[i];
    if (c < 0x20 || c == 0x7f) return "has a control character";
  }
  return rt__utf8_valid(text.at, text.size) ? NULL : "is no UTF-8";
}

static rt_err read_input(rt_view asset, input *in, rt_error *err) {
  memset(in, 0, sizeof(*in));
  if (rt_view_type(asset) != RT_MAP) {
    return rt_fail(err, RT_EINVAL, "no associated entity or asset");
  }
  in->class_ = text_of(asset, "class");
  in->value = text_of(asset, "value");
  in->key = text_of(asset, "key");
  in->metadata = rt_view_get(asset, "metadata");
  if (!in->class_.at) {
    return rt_fail(err, RT_EINVAL, "the asset has no class");
  }
  if (!class_good(in->class_)) {
    return rt_fail(err, RT_EINVAL, "bad class '%.*s' of an asset",
                   (int)(in->class_.size > 80 ? 80 : in->class_.size),
                   in->class_.at);
  }
  if (!in->value.at) {
    bool none = rt_view_type(rt_view_get(asset, "value")) == RT_NIL;
    return rt_fail(err, RT_EINVAL,
                   none ? "the asset has no value"
                        : "the asset's value is no string");
  }
  const char *fault = text_fault(in->value);
  if (fault) return rt_fail(err, RT_EINVAL, "the asset's value %s", fault);
  fault = in->key.at ? text_fault(in->key) : NULL;
  if (fault) return rt_fail(err, RT_EINVAL, "the asset's key %s", fault);
  if (!in->key.at && rt_view_type(rt_view_get(asset, "key")) != RT_NIL) {
    return rt_fail(err, RT_EINVAL, "the asset's key is no string");
  }
  return RT_OK;
}

static rt_err read_metadata(const input *in, rt_value **out, rt_error *err) {
  *out = NULL;
  rt_type type = rt_view_type(in->metadata);
  if (type == RT_NIL) return RT_OK;
  if (type != RT_MAP && type != RT_ARRAY)
    return rt_fail(err, RT_EINVAL, "the asset's metadata is no table");
  rt_err rc = rt_view_copy(out, in->metadata, err);
  if (rc == RT_OK && rt_value_size(*out) > METADATA_MAX) {
    rt_value_unref(*out);
    *out = NULL;
    rc = rt_fail(err, RT_EINVAL, "the asset's metadata is larger than 1 MB");
  }
  return rc;
}

/* Its key as text, in s->scratch; one that says CLASS:VALUE is none. */
static rt__text key_text(rt_session *s, const rt__class *cls, input *in) {
  rt__buf_clear(&s->scratch);
  rt__buf_puts(&s->scratch, cls->name);
  rt__buf_putc(&s->scratch, ':');
  rt__buf_append(&s->scratch, in->value.at, in->value.size);
  if (in->key.at && in->key.size == s->scratch.size &&
      memcmp(in->key.at, s->scratch.data, in->key.size) == 0) {
    in->key.at = NULL;
  }
  if (in->key.at) return in->key;
  return (rt__text){s->scratch.data, s->scratch.size};
}

/* --- depth ----------------------------------------------------------- */
typedef struct step {
  int64_t id, depth;
} step;
typedef struct steps {
  step *at;
  size_t count, room;
  int64_t depth; /* that children would have */
} steps;

static rt_err push_step(steps *list, int64_t id, int64_t depth) {
  if (list->count == list->room) {
    size_t room = list->room ? list->room * 2 : 64;
    step *at = realloc(list->at, room * sizeof(*at));
    if (!at) return RT_ENOMEM;
    list->at = at;
    list->room = room;
  }
  list->at[list->count++] = (step){id, depth};
  return RT_OK;
}

static rt_err on_child(const rt__asset_row *row, void *arg) {
  steps *list = arg;
  if (row->depth <= list->depth) return RT_OK;
  return push_step(list, row->id, list->depth);
}

static rt_err store_new(rt_session *s, rt__class *cls, rt__asset_row *row,
                        uint64_t hash, const origin *from, bool at_once,
                        rt_error *err);

typedef struct admitted {
  rt__asset_row row;
  rt__class *cls;
  char *value, *key;
  rt_value *metadata;
  struct admitted *next;
} admitted;
typedef struct admission {
  rt_session *s;
  admitted *first, **last;
} admission;

static rt_err on_rejected(const rt__asset_row *row, void *arg) {
  admission *adm = arg;
  admitted *one = calloc(1, sizeof(*one));
  if (!one) return RT_ENOMEM;
  one->row = *row;
  one->cls = adm->s->classes[row->class_id - 1];
  one->value = strndup(row->value.at, row->value.size);
  one->key = row->key.at ? strndup(row->key.at, row->key.size) : NULL;
  one->metadata = row->metadata ? rt_value_ref(row->metadata) : NULL;
  *adm->last = one;
  adm->last = &one->next;
  return one->value ? RT_OK : RT_ENOMEM;
}

static rt_err admit_one(rt_session *s, const admitted *one, int64_t depth,
                        int64_t root, rt_error *err) {
  input in = {.value = {one->value, one->row.value.size},
              .key = {one->key, one->row.key.size}};
  rt__text key = key_text(s, one->cls, &in);
  uint64_t hash = rt__store_hash(s->store, key);
  rt__asset_row found;
  rt_err rc = rt__store_find(s->store, hash, key, &found, err);
  if (rc != RT_OK || found.id) return rc;
  if (s->max_assets >= 0 && s->assets >= s->max_assets) return RT_OK;
  rt__asset_row row = one->row;
  row.id = row.root = 0;
  row.value = in.value;
  row.key = in.key;
  row.metadata = one->metadata;
  row.depth = depth;
  origin from = {.parent = row.parent,
                 .depth = depth,
                 .root = root,
                 .capability = (uint32_t)row.capability};
  return store_new(s, one->cls, &row, hash, &from, false, err);
}

static rt_err on_parent(const rt__asset_row *row, void *arg) {
  *(int64_t *)arg = row->root;
  return RT_OK;
}

/* What depth had turned away below `parent`, which now is at depth - 1. */
static rt_err admit(rt_session *s, int64_t parent, int64_t depth,
                    rt_error *err) {
  if (s->max_depth < 0 || depth > s->max_depth) return RT_OK;
  admission adm = {s, NULL, NULL};
  int64_t root = 0;
  adm.last = &adm.first;
  rt_err rc = rt__store_rejected(s->store, parent, on_rejected, &adm, err);
  if (rc == RT_OK && adm.first) {
    rc = rt__store_load(s->store, parent, on_parent, &root, err);
  }
  if (rc == RT_OK && adm.first) rc = rt__store_unreject(s->store, parent, err);
  while (adm.first) {
    admitted *one = adm.first;
    adm.first = one->next;
    if (rc == RT_OK) rc = admit_one(s, one, depth, root, err);
    rt_value_unref(one->metadata);
    free(one->value);
    free(one->key);
    free(one);
  }
  return rc;
}

/* A shorter way was found: the asset and what it led to come nearer. */
static rt_err relax(rt_session *s, int64_t id, int64_t depth, rt_error *err) {
  steps list = {NULL, 0, 0, 0};
  rt_err rc = push_step(&list, id, depth);
  for (size_t i = 0; rc == RT_OK && i < list.count; i++) {
    step at = list.at[i];
    rt__item *item = rt__item_get(s, at.id);
    bool nearer = false;
    rc = rt__store_set_depth(s->store, at.id, at.depth, &nearer, err);
    if (!nearer) continue;
    if (item) {
      item->depth = at.depth;
      rt_value_unref(item->asset);
      item->asset = NULL;
    }
    list.depth = at.depth + 1;
    if (rc == RT_OK) {
      rc = rt__store_children(s->store, at.id, on_child, &list, err);
    }
    if (rc == RT_OK) rc = admit(s, at.id, at.depth + 1, err);
  }
  free(list.at);
  return rc == RT_ENOMEM ? rt_fail(err, rc, "no memory") : rc;
}

/* --- outcomes -------------------------------------------------------- */
static rt_err duplicate(rt_session *s, const rt__sighting *seen,
                        const origin *from, rt_error *err) {
  rt_err rc = RT_OK;
  rt__asset_row *found = seen->found;
  const rt__class *cls = seen->cls;
  rt__text key = seen->key;
  bool first_edge = found->parent == from->parent &&
                    found->capability == (int64_t)from->capability;
  if (from->parent && from->parent != found->id && !first_edge) {
    rc = rt__store_edge(s->store, found->id, from->parent, from->capability,
                        err);
  }
  rt__note_asset(s, "asset.duplicate", key, found, cls->name, NULL);
  if (rc == RT_OK && from->depth >= found->depth) {
    return rt__session_sighted(s, seen, err);
  }
  if (rc == RT_OK && from->depth < found->depth) {
    found->depth = from->depth;
    rt__note_asset(s, "asset.updated", key, found, cls->name,
                   "found by a shorter path");
    rc = relax(s, found->id, from->depth, err);
    /* relax() may have used the buffer of the key. */
    rt__sighting again = *seen;
    input in = {.value = seen->value, .key = seen->own_key};
    again.key = key_text(s, cls, &in);
    if (rc == RT_OK) rc = rt__session_sighted(s, &again, err);
  }
  return rc;
}

static bool has_work(const rt__class *cls) {
  for (size_t i = 0; i < cls->lane_count; i++) {
    if (cls->lanes[i]->cap) return true;
  }
  return false;
}

static rt_err store_new(rt_session *s, rt__class *cls, rt__asset_row *row,
                        uint64_t hash, const origin *from, bool at_once,
                        rt_error *err) {
  row->class_id = cls->id;
  row->parent = from->parent;
  row->capability = from->capability;
  row->depth = from->depth;
  row->root = from->root;
  row->created = (int64_t)(rt__session_now(s) * 1000);
  rt_err rc = rt__store_insert(s->store, row, hash, err);
  if (rc != RT_OK) return rc;
  cls->assets++;
  cls->dirty = true;
  s->assets++;
  for (size_t i = 0; i < cls->lane_count; i++) cls->lanes[i]->row.total++;
  if (!has_work(cls)) return RT_OK;
  rt__item *item = rt__item_of_row(s, row, from->parent_key);
  if (!item) return rt_fail(err, RT_ENOMEM, "no memory");
  rc = rt__item_advance(s, item, at_once, err);
  rt__item_unref(s, item);
  return rc;
}

static void origin_of(rt__live *live, origin *from) {
  memset(from, 0, sizeof(*from));
  if (!live) return;
  from->live = live;
  from->parent = live->item->id;
  from->depth = live->item->depth + 1;
  from->root = live->item->root;
  from->capability = live->lane->capability;
  if (live->item->asset) {
    from->parent_key = text_of(rt_value_view(live->item->asset), "key");
  }
}

static rt_err reject(rt_session *s, rt__class *cls, rt__asset_row *row,
                     uint64_t hash, rt__text key, const origin *from,
                     const char *kind, const char *why, rt_error *err) {
  row->class_id = cls->id;
  row->parent = from->parent;
  row->capability = from->capability;
  row->depth = from->depth;
  row->created = (int64_t)(rt__session_now(s) * 1000);
  bool fresh = true;
  rt_err rc = RT_OK;
  rt__note_asset(s, "asset.rejected", key, row, cls->name, why);
  if (rt__budget_keeps(from->live, kind)) {
    rc = rt__store_reject(s->store, row, hash, kind, why, &fresh, err);
  }
  if (rc == RT_OK && fresh) rt__budget_tripped(s, from->live, kind);
  return rc;
}

static rt_err take_new(rt_session *s, rt__class *cls, rt__asset_row *row,
                       uint64_t hash, rt__text key, const origin *from,
                       const rt_dispatch_opts *opts, rt_outcome *outcome,
                       rt_error *err) {
  bool at_once = opts && opts->meta;
  rt_err rc = store_new(s, cls, row, hash, from, at_once, err);
  if (rc != RT_OK) return rc;
  if (from->live) from->live->fanout++;
  rt__budget_count(s, from->root);
  *outcome = !has_work(cls) ? RT_STORED : at_once ? RT_STARTED : RT_QUEUED;
  rt__note_asset(s, "asset.discovered", key, row, cls->name, NULL);
  rt__note_queued(s, cls, key, row->id);
  return rt__session_event_new(s, row, cls, key, err);
}

rt_err rt__session_put(rt_session *s, rt__class *cls, rt__asset_row *row,
                       rt_error *err) {
  char why[300];
  input in = {.value = row->value, .key = row->key};
  origin from = {.parent = row->parent, .depth = row->depth, .root = row->root};
  rt__text key = key_text(s, cls, &in);
  uint64_t hash = rt__store_hash(s->store, key);
  rt__asset_row found;
  rt_outcome outcome;
  rt_err rc = rt__store_find(s->store, hash, key, &found, err);
  if (rc != RT_OK || found.id) return rc;
  const char *kind =
      rt__budget_over(s, NULL, row->depth, row->root, why, sizeof(why));
  if (!kind) {
    return take_new(s, cls, row, hash, key, &from, NULL, &outcome, err);
  }
  return reject(s, cls, row, hash, key, &from, kind, why, err);
}

static rt_err decide(rt_session *s, rt__class *cls, input *in,
                     rt_value *metadata, const origin *from,
                     const rt_dispatch_opts *opts, rt_outcome *outcome,
                     rt_error *err) {
  char why[300] = "";
  rt__text key = key_text(s, cls, in);
  uint64_t hash = rt__store_hash(s->store, key);
  rt__asset_row row = {.value = in->value,
                       .key = in->key,
                       .metadata = metadata,
                       .priority = opts ? opts->priority : 0};
  if (!rt__scope_has(&s->scope, cls->name, in->value.at, in->value.size, why,
                     sizeof(why))) {
    *outcome = RT_OUT_OF_SCOPE;
    rt_err rc = reject(s, cls, &row, hash, key, from, "scope", why, err);
    return rc == RT_OK ? rt__session_refound(s, hash, key, err) : rc;
  }
  rt__asset_row found;
  rt_err rc = rt__store_find(s->store, hash, key, &found, err);
  if (rc != RT_OK) return rc;
  if (found.id) {
    *outcome = RT_DUPLICATE;
    found.value = in->value;
    rt__sighting seen = {.found = &found,
                         .cls = cls,
                         .key = key,
                         .value = in->value,
                         .own_key = in->key,
                         .hash = hash,
                         .metadata = metadata,
                         .by = from->live};
    if (from->live) rt__budget_met(s, from->live);
    return duplicate(s, &seen, from, err);
  }
  const char *kind =
      rt__budget_over(s, from->live, from->depth, from->root, why, sizeof(why));
  if (kind) {
    *outcome = RT_OVER_LIMIT;
    return reject(s, cls, &row, hash, key, from, kind, why, err);
  }
  return take_new(s, cls, &row, hash, key, from, opts, outcome, err);
}

rt_err rt__session_take(rt_session *s, rt_view asset, rt__live *live,
                        const rt_dispatch_opts *opts, rt_outcome *outcome,
                        rt_error *err) {
  input in;
  origin from;
  rt_value *metadata = NULL;
  rt_err rc = read_input(asset, &in, err);
  if (rc == RT_OK && live &&
      !rt__capability_sends(live->cap->decl, in.class_.at, in.class_.size)) {
    rc = rt_fail(err, RT_EINVAL,
                 "'%s' sent a %.*s, which its output does not declare",
                 live->cap->decl->name, (int)in.class_.size, in.class_.at);
  }
  if (rc == RT_OK) rc = read_metadata(&in, &metadata, err);
  if (rc != RT_OK) return rc;
  origin_of(live, &from);
  rt__class *cls = rt__again_begin(s, err) == RT_OK
                       ? rt__session_class(s, in.class_.at, in.class_.size, err)
                       : NULL;
  /* From here on a failure is the store's, told with another code. */
  rc = cls ? decide(s, cls, &in, metadata, &from, opts, outcome, err)
           : RT_EUNAVAIL;
  rt_value_unref(metadata);
  return rc == RT_EINVAL ? RT_EINTERNAL : rc;
}

/* One target is one rejection of the job, however often it is asked for. */
rt_err rt__session_refuse(rt_session *s, rt__live *live, const char *target,
                          const char *why, rt_error *err) {
  origin from;
  rt_err rc = RT_OK;
  bool utf8 = rt__utf8_valid(target, strlen(target));
  input in = {.value = {utf8 ? target : "?", utf8 ? strlen(target) : 1}};
  origin_of(live, &from);
  rt__class *cls = rt__session_class(s, "target", 6, err);
  if (!cls) return RT_EUNAVAIL;
  rt__text key = key_text(s, cls, &in);
  uint64_t hash = rt__store_hash(s->store, key);
  rt__asset_row row = {.value = in.value};
  rc = reject(s, cls, &row, hash, key, &from, "scope", why, err);
  rt__session_log(s, RT_LOG_WARN, "session '%s': %s: %s", s->name,
                  live->cap->decl->name, why);
  return rc;
}

rt_err rt__session_take_tick(rt_session *s, rt__class *cls, const char *value,
                             rt_error *err) {
  origin from;
  rt_outcome outcome;
  input in = {.value = {value, strlen(value)}};
  origin_of(NULL, &from);
  rt__text key = key_text(s, cls, &in);
  uint64_t hash = rt__store_hash(s->store, key);
  rt__asset_row row = {.value = in.value}, found = {0};
  rt_err rc = rt__again_begin(s, err);
  if (rc == RT_OK) rc = rt__store_find(s->store, hash, key, &found, err);
  if (rc != RT_OK || found.id) return rc;
  return take_new(s, cls, &row, hash, key, &from, NULL, &outcome, err);
}
