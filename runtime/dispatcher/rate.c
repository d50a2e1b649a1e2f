/* rate.c - one capability over all sessions: instances and token buckets.
 *
 * A bucket holds at most one second's worth of tokens. A job that reached the
 * head of its lane with a rate key has a token promised, and takes it when it
 * starts. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

bool rt__cap_needs_prepare(const rt__cap *cap) {
  const rt_capability *decl = cap->decl;
  if (decl->has_rate_key || decl->has_prioritize) return true;
  return decl->has_match && (decl->rate > 0 || decl->max_instances > 0);
}

static void fill(rt__bucket *bucket, double rate, uint64_t now) {
  double burst = rate < 1 ? 1 : rate;
  if (!bucket->last_ns) {
    bucket->tokens = burst;
  } else {
    bucket->tokens += (double)(now - bucket->last_ns) * 1e-9 * rate;
    if (bucket->tokens > burst) bucket->tokens = burst;
  }
  bucket->last_ns = now;
}

bool rt__bucket_ready(rt__bucket *bucket, double rate, uint64_t now,
                      uint64_t *wake) {
  fill(bucket, rate, now);
  double lack = bucket->promised + 1 - bucket->tokens;
  if (lack <= 1e-9) return true;
  if (wake) rt__wake_at(wake, now + 1000 + rt__ns(lack / rate));
  return false;
}

void rt__bucket_take(rt__bucket *bucket) {
  bucket->tokens -= 1;
}

rt__bucket *rt__cap_key(rt__cap *cap, const char *key) {
  rt__bucket *bucket = rt__map_get(&cap->keys, key, strlen(key));
  if (bucket) return bucket;
  bucket = calloc(1, sizeof(*bucket));
  if (!bucket) return NULL;
  bucket->key = strdup(key);
  if (bucket->key &&
      rt__map_set(&cap->keys, key, strlen(key), bucket, NULL) == RT_OK) {
    return bucket;
  }
  free(bucket->key);
  free(bucket);
  return NULL;
}

uint64_t rt__cap_held(const rt__cap *cap, const char *key, uint64_t now) {
  const rt__bucket *bucket = &cap->bucket;
  if (key) bucket = rt__map_get(&cap->keys, key, strlen(key));
  return bucket && bucket->hold_ns > now ? bucket->hold_ns : 0;
}

void rt__cap_hold(rt__cap *cap, const char *key, uint64_t until) {
  rt__bucket *bucket = key ? rt__cap_key(cap, key) : &cap->bucket;
  if (bucket && bucket->hold_ns < until) bucket->hold_ns = until;
}

static void inherit_bucket(rt__bucket *to, const rt__bucket *from) {
  to->tokens = from->tokens;
  to->last_ns = from->last_ns;
  to->hold_ns = from->hold_ns;
}

void rt__cap_inherit(rt__cap *cap, rt__cap *before) {
  size_t at = 0;
  rt__bucket *from;
  cap->before = before;
  while (cap->before && cap->before->running == 0)
    cap->before = cap->before->before;
  cap->scaled = before->scaled;
  cap->scale = before->scale;
  inherit_bucket(&cap->bucket, &before->bucket);
  while ((from = rt__map_next(&before->keys, &at, NULL, NULL))) {
    rt__bucket *to = rt__cap_key(cap, from->key);
    if (to) inherit_bucket(to, from);
  }
}

uint32_t rt__cap_running(const rt__cap *cap) {
  uint32_t running = 0;
  for (; cap; cap = cap->before) running += cap->running;
  return running;
}

/* Buckets that are full and that nobody waits for are as good as new ones. */
void rt__cap_sweep(rt__cap *cap, uint64_t now) {
  size_t at = 0;
  rt__bucket *bucket;
  double rate = cap->decl->rate, burst = rate < 1 ? 1 : rate;
  while ((bucket = rt__map_next(&cap->keys, &at, NULL, NULL))) {
    if (bucket->listed || bucket->promised || bucket->free_ns > now ||
        bucket->hold_ns > now)
      continue;
    fill(bucket, rate, now);
    if (bucket->tokens < burst) continue;
    rt__map_remove(&cap->keys, bucket->key, strlen(bucket->key));
    free(bucket->key);
    free(bucket);
  }
}

void rt__cap_free(rt__cap *cap) {
  size_t at = 0;
  rt__bucket *bucket;
  while ((bucket = rt__map_next(&cap->keys, &at, NULL, NULL))) {
    free(bucket->key);
    free(bucket);
  }
  rt__map_deinit(&cap->keys);
  rt__capability_unref(cap->decl);
  free(cap);
}
