/* queue.c - the session queue itself: has, append, next, processed, delete,
 * and "remove", which knows no unknown asset.
 *
 * An asset is unprocessed while a lane of its class has not ended it; one that
 * no capability takes, while it was not called processed (the bit HAND).
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

#define HAND (1ULL << RT__LANES_MAX)
#define PAGE 256

typedef struct queue_cmd {
  rt__cmd cmd;
  rt_reply_fn fn;
  void *arg;
  char verb[16];
  rt_value *args;
} queue_cmd;

static rt_value *bool_value(bool flag) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_builder_bool(b, flag);
  rt_builder_finish(b, &value, NULL);
  rt_builder_free(b);
  return value;
}

/* The stored asset that this one is; found->id 0 when there is none. */
static rt_err find(rt_session *s, rt_view asset, rt__asset_row *found,
                   rt_error *err) {
  rt__text key = {NULL, 0}, class_ = {NULL, 0}, value = {NULL, 0};
  memset(found, 0, sizeof(*found));
  if (rt_view_type(asset) != RT_MAP) {
    return rt_fail(err, RT_EINVAL, "no associated entity or asset");
  }
  key.at = rt_view_string(rt_view_get(asset, "key"), &key.size);
  class_.at = rt_view_string(rt_view_get(asset, "class"), &class_.size);
  value.at = rt_view_string(rt_view_get(asset, "value"), &value.size);
  if (!key.at) {
    if (!class_.size || !value.size) {
      return rt_fail(err, RT_EINVAL, "the asset has no class or no value");
    }
    rt__buf_clear(&s->scratch);
    rt__buf_append(&s->scratch, class_.at, class_.size);
    rt__buf_putc(&s->scratch, ':');
    rt__buf_append(&s->scratch, value.at, value.size);
    key = (rt__text){s->scratch.data, s->scratch.size};
  }
  return rt__store_find(s->store, rt__store_hash(s->store, key), key, found,
                        err);
}

static rt_err append(rt_session *s, rt_view asset, rt_value **out,
                     rt_error *err) {
  rt_outcome outcome = RT_QUEUED;
  rt_err rc = rt__session_take(s, asset, NULL, NULL, &outcome, err);
  if (rc == RT_OK && outcome == RT_DUPLICATE) {
    return rt_fail(err, RT_EEXIST, "the asset is in the queue already");
  }
  if (rc == RT_OK && (outcome == RT_OUT_OF_SCOPE || outcome == RT_OVER_LIMIT)) {
    return rt_fail(err, RT_EINVAL, "the asset is %s", rt_outcome_text(outcome));
  }
  if (rc == RT_OK) rc = rt__session_round(s, err);
  if (rc == RT_OK) *out = bool_value(true);
  return rc;
}

/* --- next
 * ---------------------------------------------------------------------------
 */
typedef struct page {
  rt_session *s;
  rt_builder *b;
  int64_t left, last, rows;
  uint64_t mask;
} page;

static uint64_t open_mask(const rt__class *cls) {
  uint64_t mask = 0;
  for (size_t i = 0; i < cls->lane_count; i++) {
    if (cls->lanes[i]->cap) mask |= cls->lanes[i]->bit;
  }
  return mask ? mask : HAND;
}

static rt_err on_next(const rt__asset_row *row, void *arg) {
  page *p = arg;
  p->last = row->id;
  p->rows++;
  rt__item *item = rt__item_get(p->s, row->id);
  uint64_t done = item ? item->done : row->done;
  if ((done & p->mask) == p->mask || (done & HAND) || p->left == 0) {
    return RT_OK;
  }
  p->left--;
  rt_builder_begin_map(p->b);
  rt_builder_key(p->b, "class");
  rt_builder_string(p->b, p->s->classes[row->class_id - 1]->name);
  rt_builder_key(p->b, "value");
  rt_builder_lstring(p->b, row->value.at, row->value.size);
  if (row->key.at) {
    rt_builder_key(p->b, "key");
    rt_builder_lstring(p->b, row->key.at, row->key.size);
  }
  if (row->metadata) {
    rt_builder_key(p->b, "metadata");
    rt_builder_value(p->b, row->metadata);
  }
  rt_builder_end(p->b);
  return RT_OK;
}

static rt_err next(rt_session *s, rt_view args, rt_value **out, rt_error *err) {
  size_t size = 0;
  const char *name = rt_view_string(rt_view_at(args, 0), &size);
  int64_t count = rt_view_int(rt_view_at(args, 1), 1);
  if (!name) return rt_fail(err, RT_EINVAL, "next: which class?");
  rt__class *cls = rt__map_get(&s->class_index, name, size);
  page p = {.s = s, .b = rt_builder_new(), .left = count > 0 ? count : 0};
  if (!p.b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = RT_OK;
  rt_builder_begin_array(p.b);
  if (cls) p.mask = open_mask(cls);
  do {
    p.rows = 0;
    if (!cls || p.left == 0) break;
    rc = rt__store_scan(s->store, cls->id, 0, p.last, INT64_MAX, PAGE, on_next,
                        &p, err);
  } while (rc == RT_OK && p.rows == PAGE);
  rt_builder_end(p.b);
  if (rc == RT_OK) rc = rt_builder_finish(p.b, out, err);
  rt_builder_free(p.b);
  return rc;
}

/* --- processed ------------------------------------------------------- */
/* End all lanes of the asset that no running job holds. */
static rt_err end_lanes(rt_session *s, const rt__asset_row *found,
                        rt_error *err) {
  rt_err rc = rt__store_begin(s->store, err);
  rt__item *item = rc == RT_OK ? rt__item_load(s, found->id, err) : NULL;
  if (!item) return rc == RT_OK ? RT_EINTERNAL : rc;
  item->refs++;
  for (size_t i = 0; rc == RT_OK && i < item->cls->lane_count; i++) {
    rt__lane *lane = item->cls->lanes[i];
    if ((item->done & lane->bit) || item->id < lane->row.since) continue;
    rt__live *live =
        rt__idmap_get(&s->lives, RT__JOB_ID(item->id, lane->capability));
    if (live && live->state == RT__LIVE_RUNNING) continue;
    if (live) {
      rt__live_forget(s, live);
    } else {
      live = rt__live_new(s, lane, item);
      if (!live) rc = rt_fail(err, RT_ENOMEM, "no memory");
    }
    if (live) rc = rt__live_settle(s, live, RT__JOB_COMPLETED, NULL, err);
  }
  item->done |= HAND;
  item->refs--;
  rt__item_changed(s, item);
  return rc;
}

/* --- the command ----------------------------------------------------- */
static rt_err run_verb(rt_session *s, const queue_cmd *q, rt_value **out,
                       rt_error *err) {
  rt__asset_row found;
  rt_view args = rt_value_view(q->args);
  if (strcmp(q->verb, "next") == 0) return next(s, args, out, err);
  rt_view asset = rt_view_at(args, 0);
  if (strcmp(q->verb, "append") == 0) return append(s, asset, out, err);
  rt_err rc = find(s, asset, &found, err);
  if (rc != RT_OK) return rc;
  if (strcmp(q->verb, "has") == 0) {
    *out = bool_value(found.id != 0);
    return RT_OK;
  }
  if (!found.id && strcmp(q->verb, "remove") == 0) {
    size_t size = 0;
    const char *key = rt_view_string(rt_view_get(asset, "key"), &size);
    return rt_fail(err, RT_ENOTFOUND, "no asset '%.*s'",
                   (int)(size < 200 ? size : 200), key);
  }
  *out = bool_value(true);
  if (!found.id) return RT_OK;
  if (strcmp(q->verb, "remove") == 0) return rt__asset_delete(s, &found, err);
  if (strcmp(q->verb, "processed") == 0) return end_lanes(s, &found, err);
  if (strcmp(q->verb, "delete") == 0) return rt__asset_delete(s, &found, err);
  return rt_fail(err, RT_EINVAL, "the queue knows no '%s'", q->verb);
}

static bool only_looks(const char *verb) {
  return strcmp(verb, "has") == 0 || strcmp(verb, "next") == 0;
}

/* Is it the fault of who asks? Then nothing was changed. */
static bool refused(rt_err rc) {
  return rc == RT_EINVAL || rc == RT_EEXIST || rc == RT_ENOTFOUND ||
         rc == RT_ECONFLICT;
}

/* The reply comes after the commit of what was changed. */
static bool reply_later(rt_session *s, queue_cmd *q, rt_value *result) {
  rt__reply *reply = calloc(1, sizeof(*reply));
  if (!reply) return false;
  *reply = (rt__reply){NULL, q->fn, q->arg, result};
  *s->replies_last = reply;
  s->replies_last = &reply->next;
  return true;
}

static void run_queue(rt__engine *engine, rt__cmd *cmd) {
  queue_cmd *q = (queue_cmd *)cmd;
  rt_session *s = cmd->session;
  rt_error err = RT_ERROR_INIT;
  rt_value *result = NULL;
  rt_err rc;
  if (!engine || !s->engine || s->draining) {
    rc = rt_fail(&err, RT_ECANCELED, "session '%s' is closed", s->name);
  } else if (s->failed) {
    rc = rt_fail(&err, RT_EUNAVAIL, "%s", s->fault.message);
  } else {
    s->touched = true;
    rc = run_verb(s, q, &result, &err);
  }
  if (rc != RT_OK) {
    rt_value_unref(result);
    result = NULL;
  }
  bool changed = engine && s->engine && !s->failed && !only_looks(q->verb);
  if (rc != RT_OK && changed && !refused(rc) && rc != RT_ECANCELED) {
    rt__session_fail(s, &err);
  }
  if (rc != RT_OK || !changed || !reply_later(s, q, result)) {
    q->fn(rc, rc == RT_OK ? NULL : &err, result, q->arg);
  }
  rt_value_unref(q->args);
  rt__cmd_free(q);
}

void rt__session_queue_async(rt_session *s, const char *verb,
                             const rt_value *args, rt_reply_fn fn, void *arg) {
  queue_cmd *q = rt__cmd_new(sizeof(*q), run_queue, s);
  if (!q) {
    rt_error err = RT_ERROR_INIT;
    fn(rt_fail(&err, RT_ENOMEM, "no memory"), &err, NULL, arg);
    return;
  }
  q->fn = fn;
  q->arg = arg;
  strncpy(q->verb, verb, sizeof(q->verb) - 1);
  q->args = rt_value_ref(args);
  q->cmd.writes = true;
  rt__port_post(s->port, &q->cmd);
}

/* [{key = text}], NULL when memory is short. */
static rt_value *key_args(const char *key) {
  rt_value *args = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt_builder_begin_array(b);
  rt_builder_begin_map(b);
  rt_builder_key(b, "key");
  rt_builder_string(b, key ? key : "");
  rt_builder_end(b);
  rt_builder_end(b);
  rt_builder_finish(b, &args, NULL);
  rt_builder_free(b);
  return args;
}

void rt__session_delete_async(rt_session *s, const char *key, rt_reply_fn fn,
                              void *arg) {
  rt_value *args = key_args(key);
  if (args) {
    rt__session_queue_async(s, "remove", args, fn, arg);
    rt_value_unref(args);
    return;
  }
  rt_error err = RT_ERROR_INIT;
  fn(rt_fail(&err, RT_ENOMEM, "no memory"), &err, NULL, arg);
}
