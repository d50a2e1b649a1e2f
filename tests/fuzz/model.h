/* fuzz/model.h - what a pattern means, told as simply as possible: a table of
 * segments by segments. Shares no code with what it checks.
 * SPDX-License-Identifier: MIT */
#ifndef RT_FUZZ_MODEL_H
#define RT_FUZZ_MODEL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct model_text {
  const char *at;
  size_t size;
} model_text;

static inline size_t model_split(model_text text, char by, model_text *out) {
  size_t n = 0, from = 0;
  for (size_t i = 0; i <= text.size; i++)
    if (i == text.size || text.at[i] == by) {
      out[n++] = (model_text){text.at + from, i - from};
      from = i + 1;
    }
  return n;
}

static inline bool model_same(model_text a, const char *b, size_t size) {
  return a.size == size && (size == 0 || memcmp(a.at, b, size) == 0);
}

static inline bool model_takes(model_text p, model_text s) {
  if (model_same(p, "*", 1)) return true;
  if (p.size < 2 || p.at[0] != '(' || p.at[p.size - 1] != ')')
    return model_same(p, s.at, s.size);
  model_text *options = malloc((p.size + 1) * sizeof(*options));
  const model_text inside = {p.at + 1, p.size - 2};
  size_t n = model_split(inside, '|', options);
  bool yes = false;
  for (size_t i = 0; i < n; i++) yes |= model_same(options[i], s.at, s.size);
  free(options);
  return yes;
}

static inline bool model_matches(model_text pattern, model_text subject) {
  model_text *p = malloc((pattern.size + 1) * sizeof(*p));
  model_text *s = malloc((subject.size + 1) * sizeof(*s));
  size_t pn = model_split(pattern, '.', p), sn = model_split(subject, '.', s);
  /* row[j]: does what is left of the pattern match s[j..]? */
  bool *row = calloc(sn + 1, 1), *above = calloc(sn + 1, 1), *t;
  row[sn] = true;
  for (size_t i = pn; i-- > 0;) {
    t = row, row = above, above = t;
    bool rest = model_same(p[i], "**", 2);
    for (size_t j = sn + 1; j-- > 0;)
      if (rest)
        row[j] = above[j] || (j < sn && row[j + 1]);
      else
        row[j] = j < sn && model_takes(p[i], s[j]) && above[j + 1];
  }
  bool yes = row[0];
  if (pattern.size == 0) yes = false;
  if (model_same(pattern, "*", 1)) yes = subject.size > 0 && sn == 1;
  free(above);
  free(row);
  free(s);
  free(p);
  return yes;
}

#endif
