/* bench_assets.h - what the benchmarks of sessions dispatch.
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_ASSETS_H
#define BENCH_ASSETS_H

#include <stdio.h>

#include "rt/value.h"

/* The asset number `n` [own]. */
static inline rt_value *asset_of(long n) {
  char value[64];
  rt_value *asset = NULL;
  rt_builder *b = rt_builder_new();
  snprintf(value, sizeof(value), "host-%ld.example", n);
  rt_builder_begin_map(b);
  rt_builder_key(b, "class");
  rt_builder_string(b, "node");
  rt_builder_key(b, "value");
  rt_builder_string(b, value);
  rt_builder_end(b);
  rt_builder_finish(b, &asset, NULL);
  rt_builder_free(b);
  return asset;
}

#endif
