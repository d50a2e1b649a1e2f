/* schedule.c - capabilities that run at their times.
 *
 * A tick is an asset as a seed is one, of class `tick.NAME`, which no other
 * capability takes; its value is the time it was due. So a tick is a job like
 * any other: leased, retried, explained. One that comes while the one before is
 * still open is left out; of those that were missed (the program did not run,
 * the machine slept) one is made up for. Times are those of the clock on the
 * wall: when that is set back, the next is found anew. When the next one is due
 * stands in the file.
 *
 * A session in which something is scheduled has more to come: it does not
 * finish by itself.
 * SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "dispatcher/internal.h"
#include "store/schema.h"

static bool is_scheduled(const rt__known *known) {
  return known->cap && rt__capability_scheduled(known->cap->decl);
}

bool rt__session_scheduled(const rt_session *s) {
  for (size_t i = 0; i < s->known_count; i++)
    if (is_scheduled(s->known[i])) return true;
  return false;
}

/* The first time after `now`, in unix seconds. */
static double next_time(const rt_capability *decl, double now) {
  if (decl->every > 0) return now + decl->every;
  int64_t next = rt__cron_next(&decl->cron, (int64_t)floor(now));
  return next < 0 ? now + 86400 * 365.0 : (double)next;
}

static char *meta_name(const rt__known *known) {
  size_t size = strlen(RT__META_TICK) + strlen(known->name) + 1;
  char *name = malloc(size);
  if (name) snprintf(name, size, "%s%s", RT__META_TICK, known->name);
  return name;
}

static rt_err set_due(rt_session *s, rt__known *known, double due,
                      rt_error *err) {
  char *name = meta_name(known);
  if (!name) return rt_fail(err, RT_ENOMEM, "no memory");
  known->due = due;
  rt_err rc = rt__store_set_int(s->store, name, (int64_t)(due * 1000), err);
  free(name);
  return rc;
}

/* As the file says, if that can be: the first one of `every` is due at once. */
static rt_err arm(rt_session *s, rt__known *known, double now, rt_error *err) {
  const rt_capability *decl = known->cap->decl;
  char *name = meta_name(known);
  if (!name) return rt_fail(err, RT_ENOMEM, "no memory");
  double due = (double)rt__store_meta_int(s->store, name, 0) / 1000;
  double next = next_time(decl, now);
  free(name);
  known->armed = known->cap;
  if (due <= 0) due = decl->every > 0 ? now : next;
  if (due > next)
    due = next; /* the clock was set back, or it was declared
                   otherwise then */
  return set_due(s, known, due, err);
}

static void write_time(char *out, size_t size, double when) {
  time_t whole = (time_t)when;
  int ms = (int)((when - (double)whole) * 1000);
  struct tm utc;
  gmtime_r(&whole, &utc);
  size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
  if (ms > 0)
    snprintf(out + n, size - n, ".%03dZ", ms);
  else
    snprintf(out + n, size - n, "Z");
}

static bool still_open(const rt_session *s, const rt__class *cls) {
  (void)s;
  for (size_t i = 0; i < cls->lane_count; i++)
    if (rt__lane_open(cls->lanes[i]) > 0) return true;
  return false;
}

static rt_err tick(rt_session *s, rt__known *known, double now, rt_error *err) {
  char name[256], value[64];
  double due = known->due;
  snprintf(name, sizeof(name), "%s%s", RT__TICK_CLASS, known->name);
  rt__class *cls = rt__session_class(s, name, strlen(name), err);
  if (!cls) return RT_EUNAVAIL;
  double next = next_time(known->cap->decl, now);
  if (known->cap->decl->every > 0 && due + known->cap->decl->every > now)
    next = due + known->cap->decl->every; /* no drift */
  rt_err rc = set_due(s, known, next, err);
  if (rc != RT_OK) return rc;
  if (still_open(s, cls)) {
    rt__session_log(s, RT_LOG_INFO,
                    "session '%s': %s still runs at its next time, which is "
                    "left out",
                    s->name, known->name);
    return RT_OK;
  }
  write_time(value, sizeof(value), due);
  return rt__session_take_tick(s, cls, value, err);
}

static rt_err look(rt_session *s, rt__known *known, double now, bool back,
                   rt_error *err) {
  rt_err rc = RT_OK;
  if (known->armed != known->cap) rc = arm(s, known, now, err);
  if (rc == RT_OK && back) {
    double next = next_time(known->cap->decl, now);
    if (next < known->due) rc = set_due(s, known, next, err);
  }
  if (rc == RT_OK && now >= known->due) rc = tick(s, known, now, err);
  if (rc == RT_OK)
    rt__wake_at(&s->wake_ns,
                s->engine->now + rt__ns(known->due - now) + 1000000);
  return rc;
}

rt_err rt__session_ticks(rt_session *s, rt_error *err) {
  if (!rt__session_scheduled(s)) return RT_OK;
  double now = rt__now_unix();
  bool back = now < s->wall_last - 1;
  s->wall_last = now;
  if (!rt__session_gate(s)) return RT_OK;
  rt_err rc = rt__session_round(s, err);
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++)
    if (is_scheduled(s->known[i])) rc = look(s, s->known[i], now, back, err);
  return rc;
}

rt_err rt__session_unschedule(rt_session *s, const rt__cap *cap,
                              rt_error *err) {
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < s->known_count; i++) {
    rt__known *known = s->known[i];
    if (known->armed != cap) continue;
    known->armed = NULL;
    rc = set_due(s, known, 0, err);
  }
  return rc;
}
