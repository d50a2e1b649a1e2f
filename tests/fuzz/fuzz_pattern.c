/* fuzz_pattern.c - "pattern NUL subject": the matcher and the index agree with
 * each other and with a table of segments by segments. For libFuzzer.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bus/index.h"
#include "bus/pattern.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { SEGMENTS_MAX = 64 };

static size_t split(rt__text text, rt__text *out) {
  const char *next = text.at, *end = text.at + text.size;
  size_t n = 0;
  while (next && n < SEGMENTS_MAX) out[n++] = rt__segment_at(next, end, &next);
  return next ? SEGMENTS_MAX + 1 : n;
}

static bool is(rt__text a, const char *b) {
  return a.size == strlen(b) && memcmp(a.at, b, a.size) == 0;
}

static bool takes(rt__text segment, rt__text subject) {
  size_t n = segment.size;
  if (is(segment, "*")) return true;
  if (n < 2 || segment.at[0] != '(' || segment.at[n - 1] != ')')
    return n == subject.size && memcmp(segment.at, subject.at, n) == 0;
  const char *at = segment.at + 1, *end = segment.at + n - 1;
  for (;;) {
    const char *bar = at < end ? memchr(at, '|', (size_t)(end - at)) : NULL;
    size_t len = (size_t)((bar ? bar : end) - at);
    if (len == subject.size && memcmp(at, subject.at, len) == 0) return true;
    if (!bar) return false;
    at = bar + 1;
  }
}

/* 1, 0, or -1 for what is too long for the table. */
static int model(rt__text pattern, rt__text subject) {
  static bool table[SEGMENTS_MAX + 1][SEGMENTS_MAX + 1];
  rt__text p[SEGMENTS_MAX + 1], s[SEGMENTS_MAX + 1];
  size_t pn = split(pattern, p), sn = split(subject, s);
  if (pattern.size == 0) return 0;
  if (is(pattern, "*")) return subject.size > 0 && sn == 1;
  if (pn > SEGMENTS_MAX || sn > SEGMENTS_MAX) return -1;
  memset(table, 0, sizeof(table));
  table[pn][sn] = true;
  for (size_t i = pn; i-- > 0;)
    for (size_t j = sn + 1; j-- > 0;)
      if (is(p[i], "**"))
        table[i][j] = table[i + 1][j] || (j < sn && table[i][j + 1]);
      else
        table[i][j] = j < sn && takes(p[i], s[j]) && table[i + 1][j + 1];
  return table[0][0];
}

static bool indexed(const char *pattern, rt__text subject) {
  rt__index *index = rt__index_new();
  rt__entry *entry;
  if (rt__index_add(index, "s", pattern, NULL, &entry) != RT_OK) abort();
  bool yes = rt__index_has(index, "s", 1, subject.at, subject.size);
  rt__index_remove(index, entry);
  if (rt__index_nodes(index) != 1) abort();
  rt__index_free(index);
  return yes;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  const unsigned char *zero = size ? memchr(data, 0, size) : NULL;
  if (!zero) return 0;
  rt__text pattern = {(const char *)data, (size_t)(zero - data)};
  rt__text subject = {(const char *)zero + 1, size - pattern.size - 1};
  bool yes =
      rt_pattern_match(pattern.at, pattern.size, subject.at, subject.size);
  int expected = model(pattern, subject);
  if (expected >= 0 && yes != (expected == 1)) abort();
  if (pattern.size > 0 && subject.size > 0 &&
      indexed(pattern.at, subject) != yes)
    abort();
  return 0;
}
