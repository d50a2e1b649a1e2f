/* registry/cron.h - times given by five fields, in UTC.
 *
 *   minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec,
 *   day of week 0-7 or sun-sat (0 and 7: Sunday)
 *
 * A field is "*", a number, a range "a-b", either with a step "/n", or a list
 * of these between commas. When both days are given, one of them is enough.
 * @hourly @daily @weekly @monthly @yearly stand for the usual five. There is no
 * daylight saving in UTC, so no time comes twice or never.
 * SPDX-License-Identifier: MIT */
#ifndef RT__REGISTRY_CRON_H
#define RT__REGISTRY_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "rt/status.h"

typedef struct rt__cron {
  uint64_t minutes, hours, days, months, weekdays; /* sets of bits */
  bool any_day, any_weekday;
} rt__cron;

/* RT_EINVAL names the field and what was expected; so for what never comes,
 * such as the 30th of February. */
rt_err rt__cron_parse(rt__cron *out, const char *text, rt_error *err);
/* The first such minute after `after` (unix seconds); -1: none in 30 years. */
int64_t rt__cron_next(const rt__cron *cron, int64_t after);

#endif
