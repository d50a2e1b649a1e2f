/* bench_pattern.c - matching names made to be slow, beside the backtracking of
 * the system we take after. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bus/index.h"
#include "bus/pattern.h"
#include "repeat.h"

static double now(void) {
  return (double)uv_hrtime() / 1e6;
}

/* --- the baseline: each `**` tries all it might take ----------------- */

static bool same(rt__text a, rt__text b) {
  return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

static bool backtrack(const rt__segment *p, size_t pn, const rt__text *s,
                      size_t sn) {
  if (pn == 0) return sn == 0;
  if (p->kind == RT__SEGMENT_REST) {
    for (size_t skip = 0; skip <= sn; skip++)
      if (backtrack(p + 1, pn - 1, s + skip, sn - skip)) return true;
    return false;
  }
  return sn > 0 && (p->kind == RT__SEGMENT_ANY || same(p->text, *s)) &&
         backtrack(p + 1, pn - 1, s + 1, sn - 1);
}

static double time_backtrack(const char *pattern, const char *name) {
  rt__text segments[64];
  const char *next = name, *end = name + strlen(name);
  size_t n = 0;
  while (next) segments[n++] = rt__segment_at(next, end, &next);
  rt__pattern *p = rt__pattern_new(pattern, strlen(pattern));
  double start = now();
  if (backtrack(p->segments, p->count, segments, n)) puts("wrong");
  double took = now() - start;
  rt__pattern_free(p);
  return took;
}

static double time_match(const char *pattern, const char *name, int times) {
  rt__pattern *p = rt__pattern_new(pattern, strlen(pattern));
  size_t size = strlen(name), yes = 0;
  double start = now();
  for (int i = 0; i < times; i++) yes += rt__pattern_matches(p, name, size);
  double took = (now() - start) / times;
  if (yes) puts("wrong");
  rt__pattern_free(p);
  return took;
}

static void stars(void) {
  char *name = repeat("", "a.", 39, "a");
  for (size_t n = 2; n <= 6; n += 2) {
    char *pattern = repeat("", "**.a.", n, "**.b");
    double there = time_backtrack(pattern, name);
    double here = time_match(pattern, name, 10000);
    printf("  %zu times `**` on 40 segments: backtracking %8.3f ms, here %.4f "
           "ms (%.0f x)\n",
           n, there, here, there / here);
    free(pattern);
  }
  free(name);
}

/* --- long ones ------------------------------------------------------- */

static void one(const char *what, char *pattern, const char *name) {
  printf("  %-56s %9.4f ms\n", what, time_match(pattern, name, 3));
  free(pattern);
}

static void many(const char *what, const char *format, int count,
                 const char *name) {
  rt__index *index = rt__index_new();
  rt__entry **entry = calloc((size_t)count, sizeof(*entry)), **found;
  char *text = malloc(strlen(format) + 32);
  for (int i = 0; i < count; i++) {
    sprintf(text, format, i);
    if (rt__index_add(index, "s", text, NULL, &entry[i]) != RT_OK) abort();
  }
  double best = 1e9;
  for (int round = 0; round < 3; round++) {
    double start = now();
    rt__index_match(index, "s", 1, name, strlen(name), &found);
    double took = now() - start;
    if (took < best) best = took;
  }
  printf("  %-56s %9.4f ms\n", what, best);
  for (int i = 0; i < count; i++) rt__index_remove(index, entry[i]);
  rt__index_free(index);
  free(entry);
  free(text);
}

int main(void) {
  char *name = repeat("a.b.", "a.", 29997, "a"),
       *empty = repeat("a.b", ".", 29998, "a");
  char *thirty = repeat("(a|h%d)", ".**.a.a.b", 30, ".**");
  puts("one pattern");
  stars();
  one("12,000 times `**` on 30,000 segments",
      repeat("", "**.a.", 12000, "b.**.b"), name);
  one("a block of 16,000 between two `**` on 30,000 segments",
      repeat("**.", "a.", 16000, "b.**"), name);
  puts("an index");
  many("1,000 with 30 times `**`, a name of 30,000 segments", thirty, 1000,
       name);
  many("the same, empty segments", thirty, 1000, empty);
  many("4,000 that nearly match at each of 30,000 segments",
       "(a|h%d).**.a.a.b.**", 4000, name);
  many("4,000 of `**.xN.**`, a name of 30,000 segments", "**.x%d.**", 4000,
       name);
  many("4,000 of `**.xN.**`, a name of 3 segments", "**.x%d.**", 4000, "a.b.c");
  free(thirty);
  free(empty);
  free(name);
  return 0;
}
