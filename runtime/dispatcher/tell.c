/* tell.c - what only the engine knows and reports ask for: they read the file
 * and know no declarations. Each is a named value in it, written when it
 * changes.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"

static rt_err note(rt_session *s, const char *prefix, const char *of,
                   int64_t value, rt_error *err) {
  size_t size = strlen(prefix) + strlen(of) + 1;
  char *name = malloc(size);
  if (!name) return rt_fail(err, RT_ENOMEM, "no memory");
  snprintf(name, size, "%s%s", prefix, of);
  rt_err rc = RT_OK;
  if (rt__store_meta_int(s->store, name, 0) != value) {
    rc = rt__store_set_int(s->store, name, value, err);
  }
  free(name);
  return rc;
}

/* --- a capability that is there -------------------------------------- */
static int64_t scale_of(const rt__cap *cap) {
  if (!cap || !cap->scaled) return 0;
  return cap->scale < INT64_MAX ? (int64_t)cap->scale + 1 : INT64_MAX;
}

rt_err rt__tell_capability(rt_session *s, const rt__cap *cap, rt_error *err) {
  const rt_capability *decl = cap->decl;
  bool wanted = rt__session_wants(s, decl);
  rt_err rc = note(s, RT__META_LEFT_OUT, decl->name, !wanted, err);
  if (rc != RT_OK || !wanted) return rc;
  rc = note(s, RT__META_PRIORITY, decl->name, decl->priority, err);
  if (rc == RT_OK) rc = note(s, RT__META_ELSEWHERE, decl->name, 0, err);
  if (rc == RT_OK) rc = note(s, RT__META_WAITS, decl->name, 0, err);
  if (rc == RT_OK)
    rc = note(s, RT__META_SCALED, decl->name, scale_of(cap), err);
  if (rc != RT_OK) return rc;
  return note(s, RT__META_INSTANCES, decl->name, decl->max_instances, err);
}

/* --- now and then: what its jobs wait for ---------------------------- */
/* Those that run in other sessions, when all are taken and some wait here. */
static uint32_t missed(const rt_session *s, const rt__known *known) {
  const rt__cap *cap = known->cap;
  uint32_t here = 0;
  bool waits = false;
  if (!cap || rt__cap_has_room(cap)) return 0;
  for (size_t i = 0; i < s->lane_count; i++) {
    const rt__lane *lane = s->lanes[i];
    if (lane->cap != cap) continue;
    here += lane->running;
    waits = waits || lane->ready.count > 0;
  }
  return waits ? rt__cap_running(cap) - here : 0;
}

/* Do jobs of it wait for a token, of a key or of its own? */
static bool starved(const rt_session *s, const rt__known *known) {
  rt__cap *cap = known->cap;
  if (!cap || cap->decl->rate <= 0) return false;
  for (size_t i = 0; i < s->lane_count; i++) {
    const rt__lane *lane = s->lanes[i];
    if (lane->cap != cap) continue;
    if (lane->waiting > 0) return true;
    if (lane->ready.count > 0 && !lane->ready.at[0]->promised &&
        !rt__bucket_ready(&cap->bucket, cap->decl->rate, s->engine->now,
                          NULL)) {
      return true;
    }
  }
  return false;
}

rt_err rt__tell_waits(rt_session *s, rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++) {
    rt__known *known = s->known[i];
    uint32_t elsewhere = missed(s, known);
    bool waits = starved(s, known);
    if (elsewhere != known->elsewhere) {
      known->elsewhere = elsewhere;
      rc = note(s, RT__META_ELSEWHERE, known->name, elsewhere, err);
    }
    if (rc == RT_OK && waits != known->starved) {
      known->starved = waits;
      rc = note(s, RT__META_WAITS, known->name, waits, err);
    }
  }
  return rc;
}

/* --- what was scaled by hand ------------------------------------------ */
rt_err rt__tell_scales(rt_session *s, rt_error *err) {
  uint64_t scales = s->engine->scales;
  rt_err rc = RT_OK;
  if (s->scales_told == scales) return RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++) {
    const rt__known *known = s->known[i];
    if (known->cap)
      rc = note(s, RT__META_SCALED, known->name, scale_of(known->cap), err);
  }
  if (rc == RT_OK) s->scales_told = scales;
  return rc;
}

/* --- a session that is held ------------------------------------------ */
rt_err rt__tell_paused(rt_session *s, rt_error *err) {
  if (s->paused == s->paused_told) return RT_OK;
  rt_err rc = rt__store_set_int(s->store, RT__META_PAUSED, s->paused, err);
  if (rc == RT_OK) s->paused_told = s->paused;
  return rc;
}
