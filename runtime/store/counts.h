/* counts.h - counters and durations as the statistics show them; shared by the
 * engine, which has them in memory, and the reports, which read them.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_COUNTS_H
#define RT__STORE_COUNTS_H

#include "store/store.h"

#define RT__TIMES 64

typedef struct rt__counts {
  int64_t total, done, skipped, failed, canceled;
  int64_t queued, running; /* queued: with those that run */
} rt__counts;

/* A lane that is not loaded counts what is open as skipped. */
void rt__counts_add(rt__counts *sum, const rt__lane_row *row, bool loaded);
/* Members of a map, and a map of one capability. */
void rt__counts_build(rt_builder *b, const rt__counts *sum);
void rt__counts_capability(rt_builder *b, const rt__counts *sum,
                           const uint32_t times[RT__TIMES]);
int rt__times_bin(double seconds);
double rt__times_quantile(const uint32_t times[RT__TIMES], double part);

#endif
