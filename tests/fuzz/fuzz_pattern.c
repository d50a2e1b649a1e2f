/* fuzz_pattern.c - "PATTERN NUL SUBJECT": the matcher, the way for hostile
 * ones, and a table of segments by segments say the same; the cost is bounded.
 * SPDX-License-Identifier: MIT */
#include "bus/pattern.h"
#include "model.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static bool matches(const rt__pattern *p, model_text s, bool hostile) {
  uint64_t cost, n = s.size + 1, m = p->size + 1;
  bool yes = rt__pattern_matches_counted(p, s.at, s.size, hostile, &cost);
  if (cost > 2048 + 8 * (n + m) + 2 * n * (m / 64 + 1)) abort();
  return yes;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  const unsigned char *zero = size ? memchr(data, 0, size) : NULL;
  if (!zero) return 0;
  const model_text pattern = {(const char *)data, (size_t)(zero - data)};
  const model_text subject = {(const char *)zero + 1, size - pattern.size - 1};
  bool expected = model_matches(pattern, subject);
  rt__pattern *p = rt__pattern_new(pattern.at, pattern.size);
  if (matches(p, subject, false) != expected) abort();
  if (matches(p, subject, true) != expected) abort();
  if (rt_pattern_match(pattern.at, pattern.size, subject.at, subject.size) !=
      expected)
    abort();
  rt__pattern_free(p);
  return 0;
}
