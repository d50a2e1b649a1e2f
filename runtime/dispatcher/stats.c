/* stats.c - the numbers of a session.
 * SPDX-License-Identifier: MIT */

#include "dispatcher/internal.h"
#include "store/counts.h"

int64_t rt__session_open_jobs(const rt_session *s) {
  int64_t open = 0;
  for (size_t i = 0; i < s->lane_count; i++) {
    if (s->lanes[i]->cap) open += rt__lane_open(s->lanes[i]);
  }
  return open;
}

void rt__known_time(rt__known *known, double seconds) {
  known->times[rt__times_bin(seconds)]++;
  known->dirty = true;
}

static void put(rt_builder *b, const char *name, int64_t value) {
  rt_builder_key(b, name);
  rt_builder_int(b, value);
}

static void capabilities(rt_builder *b, rt_session *s) {
  rt_builder_key(b, "capabilities");
  rt_builder_begin_map(b);
  for (size_t i = 0; i < s->known_count; i++) {
    rt__known *known = s->known[i];
    rt__counts sum = {0};
    for (size_t k = 0; k < s->lane_count; k++) {
      rt__lane *lane = s->lanes[k];
      if (lane->capability != known->id) continue;
      rt__counts_add(&sum, &lane->row, lane->cap != NULL);
      sum.running += lane->running;
    }
    rt_builder_key(b, known->name);
    rt__counts_capability(b, &sum, known->times);
  }
  rt_builder_end(b);
}

/* The first asset of a lane that waits; INT64_MAX: none does. */
static int64_t first_waiting(const rt__lane *lane) {
  const rt__live *live = lane->first;
  int64_t ran = lane->running;
  if (!lane->cap) return INT64_MAX;
  while (live && live->state == RT__LIVE_RUNNING && ran-- > 0) {
    live = live->next;
  }
  if (live && live->state != RT__LIVE_RUNNING) return live->item->id;
  return lane->behind ? lane->cursor + 1 : INT64_MAX;
}

/* Seconds since the oldest asset that waits for a job was stored. */
static double oldest_waiting(rt_session *s) {
  int64_t first = INT64_MAX;
  for (size_t i = 0; i < s->lane_count; i++) {
    int64_t id = first_waiting(s->lanes[i]);
    if (id < first) first = id;
  }
  if (first == INT64_MAX || !s->loaded) return 0;
  int64_t created = rt__store_created_ms(s->store, first);
  double age = rt__session_now(s) - (double)created / 1000;
  return created && age > 0 ? age : 0;
}

rt_value *rt__session_stats_value(rt_session *s) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return NULL;
  rt__counts sum = {0};
  for (size_t i = 0; i < s->lane_count; i++) {
    rt__counts_add(&sum, &s->lanes[i]->row, s->lanes[i]->cap != NULL);
  }
  sum.running = s->running;
  rt_builder_begin_map(b);
  rt__counts_build(b, &sum);
  put(b, "reruns", s->reruns);
  rt_builder_key(b, "oldest_waiting");
  rt_builder_number(b, oldest_waiting(s));
  rt_builder_key(b, "assets");
  rt_builder_begin_map(b);
  for (size_t i = 0; i < s->class_count; i++) {
    put(b, s->classes[i]->name, s->classes[i]->assets);
  }
  rt_builder_end(b);
  capabilities(b, s);
  rt__budget_stats(s, b);
  rt__operate_stats(s, b);
  if (s->engine) rt__memory_stats(b, s->engine);
  if (s->failed || s->locked) {
    rt_builder_key(b, "fault");
    rt_builder_string(b, s->failed ? s->fault.message : s->lock_words);
  }
  int64_t held = s->loaded ? rt__store_held_bytes(s->store) : 0;
  if (held > 0) put(b, "journal_bytes", held);
  rt_builder_end(b);
  rt_builder_finish(b, &value, NULL);
  rt_builder_free(b);
  return value;
}
