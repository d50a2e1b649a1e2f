/* grant.c - asking Lua before jobs may run, and handing jobs over.
 *
 * Of all that can run the lowest priority number goes first, then the oldest
 * asset. A job is handed to the executor only after the commit that says it is
 * running, so that whatever it does, its lease is on disk.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

#define PREPARE_MAX 64

/* --- prepare --------------------------------------------------------- */
static rt_value *options_of(rt_session *s, const rt__lane *lane) {
  rt_value *options = s->known[lane->capability - 1]->options;
  return options ? rt_value_ref(options) : NULL;
}

static void prepare_lane(rt_session *s, rt__lane *lane) {
  size_t count = lane->fresh.count;
  if (count > PREPARE_MAX) count = PREPARE_MAX;
  rt__prepare *batch =
      calloc(1, sizeof(*batch) + count * sizeof(*batch->items));
  if (!batch) return;
  batch->engine = s->engine;
  batch->session = rt_session_ref(s);
  batch->capability = rt__capability_ref(lane->cap->decl);
  batch->options = options_of(s, lane);
  while (batch->count < count) {
    rt__live *live = lane->fresh.at[0];
    if (!rt__item_load(s, live->item->id, NULL)) break;
    rt__heap_remove(&lane->fresh, live);
    live->state = RT__LIVE_PREPARING;
    lane->preparing++;
    rt__prepare_item *item = &batch->items[batch->count++];
    item->job = live->id;
    item->asset = rt_value_ref(live->item->asset);
  }
  if (batch->count == 0) {
    rt__prepare_free(batch);
    return;
  }
  s->engine->executor.prepare(s->engine->executor.self, batch);
}

void rt__session_prepare(rt_session *s) {
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    while (lane->cap && lane->fresh.count > 0 &&
           lane->ready.count + lane->preparing < RT__WINDOW_MIN) {
      size_t before = lane->fresh.count;
      prepare_lane(s, lane);
      if (lane->fresh.count == before) break;
    }
  }
}

void rt__prepare_free(rt__prepare *batch) {
  if (!batch) return;
  for (size_t i = 0; i < batch->count; i++) {
    rt_value_unref(batch->items[i].asset);
    free(batch->items[i].reason);
    free(batch->items[i].rate_key);
  }
  rt_session_unref(batch->session);
  rt__capability_unref(batch->capability);
  rt_value_unref(batch->options);
  free(batch);
}

/* --- tokens of rate keys --------------------------------------------- */
static void wake_bucket(rt__engine *engine, rt__cap *cap, rt__bucket *bucket) {
  if (bucket->hold_ns > engine->now) {
    rt__wake_at(&engine->wake_ns, bucket->hold_ns);
    return;
  }
  while (bucket->first && rt__bucket_ready(bucket, cap->decl->rate, engine->now,
                                           &engine->wake_ns)) {
    rt__live *live = bucket->first;
    bucket->first = live->bucket_next;
    bucket->count--;
    if (!bucket->first) bucket->last = NULL;
    live->lane->waiting--;
    live->state = RT__LIVE_READY;
    if (!rt__heap_push(&live->lane->ready, live)) break;
    bucket->promised++;
    live->promised = true;
    live->session->touched = true;
  }
}

void rt__caps_wake(rt__engine *engine) {
  for (rt__cap *cap = engine->caps; cap; cap = cap->next) {
    rt__bucket **at = &cap->waiting;
    while (*at) {
      rt__bucket *bucket = *at;
      wake_bucket(engine, cap, bucket);
      if (bucket->first) {
        at = &bucket->next;
      } else {
        *at = bucket->next;
        bucket->listed = false;
      }
    }
  }
}

/* --- leases ---------------------------------------------------------- */
bool rt__live_last(const rt__live *live) {
  return live->crashes + 1 >= RT__CRASHES_MAX;
}

static bool may_start(rt_session *s, rt__lane *lane, rt__live *live) {
  rt__cap *cap = lane->cap;
  if (!cap || (rt__live_last(live) && s->running > 0)) return false;
  if (!rt__cap_has_room(cap)) {
    cap->starved = true;
    return false;
  }
  uint64_t held = rt__cap_held(cap, live->rate_key, s->engine->now);
  if (held) {
    rt__wake_at(&s->wake_ns, held);
    return false;
  }
  if (cap->decl->rate <= 0 || live->promised) return true;
  return rt__bucket_ready(&cap->bucket, cap->decl->rate, s->engine->now,
                          &s->wake_ns);
}

static rt__live *choose(rt_session *s) {
  rt__live *best = NULL;
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__lane *lane = s->lanes[i];
    if (lane->ready.count == 0) continue;
    rt__live *head = lane->ready.at[0];
    if (best && !rt__live_before(head, best)) continue;
    if (may_start(s, lane, head)) best = head;
  }
  return best;
}

static bool grow_slots(rt_session *s) {
  size_t room = s->slot_room + RT__SEGMENT;
  rt__live **slots = realloc(s->slots, room * sizeof(*slots));
  if (slots) s->slots = slots;
  uint32_t *spare = realloc(s->free_slots, room * sizeof(*spare));
  if (spare) s->free_slots = spare;
  bool *segments = realloc(s->segments, room / RT__SEGMENT);
  if (segments) s->segments = segments;
  if (!slots || !spare || !segments) return false;
  for (size_t i = room; i > s->slot_room; i--) {
    s->slots[i - 1] = NULL;
    s->free_slots[s->free_count++] = (uint32_t)i - 1;
  }
  s->segments[room / RT__SEGMENT - 1] = false;
  s->slot_room = room;
  return true;
}

static void take_token(rt__live *live) {
  if (live->cap->decl->rate <= 0) return;
  rt__bucket *bucket = &live->cap->bucket;
  if (live->promised) {
    bucket = rt__cap_key(live->cap, live->rate_key);
    if (!bucket) return;
    bucket->promised--;
    live->promised = false;
  }
  rt__bucket_take(bucket);
}

rt__lease rt__live_lease(const rt_session *s, const rt__live *live) {
  return (rt__lease){live->id, live->attempt, s->epoch, live->grant};
}

static void lease(rt_session *s, rt__live *live) {
  rt__heap_remove(&live->lane->ready, live);
  live->cap = live->lane->cap;
  live->version = s->known[live->lane->capability - 1]->version;
  take_token(live);
  live->state = RT__LIVE_RUNNING;
  live->grant = ++s->grants;
  live->cap->running++;
  live->lane->running++;
  s->running++;
  s->alone = rt__live_last(live);
  live->slot = s->free_slots[--s->free_count];
  s->slots[live->slot] = live;
  s->segments[live->slot / RT__SEGMENT] = true;
  live->start_next = s->starting;
  s->starting = live;
}

rt_err rt__session_grant(rt_session *s, bool *started, rt_error *err) {
  *started = false;
  if (s->running >= s->concurrency || s->alone) return RT_OK;
  rt__live *live = choose(s);
  if (!live) return RT_OK;
  if (!live->item->asset && !rt__item_load(s, live->item->id, err)) {
    return err->code;
  }
  if (s->free_count == 0 && !grow_slots(s)) {
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  lease(s, live);
  *started = true;
  return rt__store_begin(s->store, err);
}

void rt__live_stopped(rt_session *s, rt__live *live) {
  rt__cap *cap = live->cap;
  cap->running--;
  if (cap->starved || cap->gone) { /* gone: what replaced it may wait */
    cap->starved = false;
    rt__engine_touch_all(s->engine);
  }
  live->lane->running--;
  s->running--;
  rt__memory_moved(s->engine, false);
  s->alone = false;
  s->slots[live->slot] = NULL;
  s->segments[live->slot / RT__SEGMENT] = true;
  s->free_slots[s->free_count++] = live->slot;
}

/* --- after the commit ------------------------------------------------ */
void rt__order_free(rt__order *order) {
  if (!order) return;
  rt_session_unref(order->session);
  rt__capability_unref(order->capability);
  rt_value_unref(order->asset);
  rt_value_unref(order->options);
  rt_value_unref(order->errors);
  free(order);
}

/* --- what earlier stages failed with ---------------------------------- */
typedef struct failures {
  rt_builder *b;
  const char *capability;
} failures;

static void copy_text(rt_builder *b, rt_view from, const char *name) {
  rt_builder_key(b, name);
  rt_builder_view(b, rt_view_get(from, name));
}

static rt_err on_failed(const rt__job_row *row, void *arg) {
  failures *f = arg;
  rt_view all = rt_value_view(row->errors);
  if (row->state != RT__JOB_FAILED || !row->errors) return RT_OK;
  rt_view last = rt_view_at(all, rt_view_count(all) - 1);
  if (!f->b) {
    f->b = rt_builder_new();
    if (f->b) rt_builder_begin_array(f->b);
  }
  if (!f->b) return RT_OK;
  rt_builder_begin_map(f->b);
  rt_builder_key(f->b, "capability");
  rt_builder_string(f->b, f->capability);
  copy_text(f->b, last, "kind");
  copy_text(f->b, last, "message");
  rt_builder_end(f->b);
  return RT_OK;
}

/* Looked up only where something has failed at all. */
static rt_value *errors_of(rt_session *s, const rt__live *live) {
  const rt__class *cls = live->item->cls;
  failures f = {NULL, NULL};
  rt_value *out = NULL;
  for (size_t i = 0; i < cls->lane_count; i++) {
    const rt__lane *lane = cls->lanes[i];
    if (lane->row.failed == 0 || lane->priority >= live->lane->priority) {
      continue;
    }
    f.capability = s->known[lane->capability - 1]->name;
    rt__store_job(s->store, live->item->id, lane->capability, on_failed, &f,
                  NULL);
  }
  if (!f.b) return NULL;
  rt_builder_end(f.b);
  rt_builder_finish(f.b, &out, NULL);
  rt_builder_free(f.b);
  return out;
}

static rt__order *order_of(rt_session *s, rt__live *live) {
  rt__order *order = calloc(1, sizeof(*order));
  if (!order) return NULL;
  order->lease = rt__live_lease(s, live);
  order->engine = s->engine;
  order->session = rt_session_ref(s);
  order->capability = rt__capability_ref(live->cap->decl);
  order->asset = rt_value_ref(live->item->asset);
  order->options = options_of(s, live->lane);
  order->errors = errors_of(s, live);
  order->timeout = live->cap->decl->timeout;
  order->gated = live->prepared;
  return order;
}

void rt__session_hand_over(rt_session *s) {
  rt__live *list = NULL;
  while (s->starting) { /* oldest first */
    rt__live *live = s->starting;
    s->starting = live->start_next;
    live->start_next = list;
    list = live;
  }
  while (list) {
    rt__live *live = list;
    list = live->start_next;
    live->start_ns = s->engine->now;
    rt__note_job(s, "job.started", live, NULL, 0);
    rt__order *order = order_of(s, live);
    if (order) {
      s->engine->executor.start(s->engine->executor.self, order);
      continue;
    }
    rt__live_stopped(s, live); /* no memory: later, perhaps */
    rt__live_queue(s, live);
    s->touched = true;
  }
}
