/* counts.c - sums of counters, and quantiles of durations. See counts.h.
 * SPDX-License-Identifier: MIT */
#include "store/counts.h"

#include <math.h>

/* Bins grow by the square root of two, from one microsecond. */
int rt__times_bin(double seconds) {
  double bin = seconds > 1e-6 ? 2 * log2(seconds * 1e6) : 0;
  return bin > RT__TIMES - 1 ? RT__TIMES - 1 : (int)bin;
}

double rt__times_quantile(const uint32_t times[RT__TIMES], double part) {
  uint64_t total = 0, seen = 0;
  for (int i = 0; i < RT__TIMES; i++) total += times[i];
  for (int i = 0; i < RT__TIMES && total > 0; i++) {
    seen += times[i];
    if ((double)seen >= part * (double)total) {
      return 1e-6 * pow(2, (i + 0.5) / 2);
    }
  }
  return 0;
}

static void put(rt_builder *b, const char *name, int64_t value) {
  rt_builder_key(b, name);
  rt_builder_int(b, value);
}

void rt__counts_add(rt__counts *sum, const rt__lane_row *row, bool loaded) {
  int64_t open =
      row->total - row->completed - row->skipped - row->failed - row->canceled;
  sum->total += row->total;
  sum->done += row->completed;
  sum->skipped += row->skipped + (loaded ? 0 : open);
  sum->failed += row->failed;
  sum->canceled += row->canceled;
  sum->queued += loaded ? open : 0;
}

void rt__counts_build(rt_builder *b, const rt__counts *sum) {
  put(b, "work_items_total", sum->total);
  put(b, "work_items_completed",
      sum->done + sum->skipped + sum->failed + sum->canceled);
  put(b, "queued", sum->queued - sum->running);
  put(b, "running", sum->running);
  put(b, "done", sum->done);
  put(b, "skipped", sum->skipped);
  put(b, "failed", sum->failed);
  put(b, "canceled", sum->canceled);
}

void rt__counts_capability(rt_builder *b, const rt__counts *sum,
                           const uint32_t times[RT__TIMES]) {
  rt_builder_begin_map(b);
  put(b, "queued", sum->queued - sum->running);
  put(b, "running", sum->running);
  put(b, "done", sum->done);
  put(b, "skipped", sum->skipped);
  put(b, "failed", sum->failed);
  rt_builder_key(b, "p50");
  rt_builder_number(b, rt__times_quantile(times, 0.5));
  rt_builder_key(b, "p95");
  rt_builder_number(b, rt__times_quantile(times, 0.95));
  rt_builder_end(b);
}
