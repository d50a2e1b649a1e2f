/* pattern.c - compiling and matching; see pattern.h.
 *
 * Matching needs no memory and no recursion: since `**` is the only part that
 * takes a varying number of segments, it is enough to go back to the last one
 * and try what follows it a segment later. What repeats itself (`**.a.a.a.b` on
 * a.a.a...) makes that quadratic; so steps are counted, and past a limit the
 * other way is taken, which needs memory and is never slow (scan.h).
 * SPDX-License-Identifier: MIT */
#include "bus/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "bus/scan.h"

/* Bytes looked at before a match counts as hostile. */
enum { LIMIT_BASE = 1024, LIMIT_FACTOR = 4 };

static int compare(rt__text a, rt__text b) {
  if (a.size != b.size) return a.size < b.size ? -1 : 1;
  return a.size ? memcmp(a.at, b.at, a.size) : 0;
}

static int compare_options(const void *a, const void *b) {
  return compare(*(const rt__text *)a, *(const rt__text *)b);
}

rt__text rt__segment_at(const char *at, const char *end, const char **next) {
  const char *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
  *next = dot ? dot + 1 : NULL;
  return (rt__text){at, (size_t)((dot ? dot : end) - at)};
}

static size_t count_of(const char *text, size_t size, char c) {
  size_t n = 0;
  for (size_t i = 0; i < size; i++) n += text[i] == c;
  return n;
}

/* Split what stands between the brackets; returns the number of options. */
static size_t split(rt__text text, rt__text *options) {
  const char *at = text.at + 1, *end = text.at + text.size - 1;
  size_t n = 0, kept = 0;
  for (;;) {
    const char *bar = at < end ? memchr(at, '|', (size_t)(end - at)) : NULL;
    options[n++] = (rt__text){at, (size_t)((bar ? bar : end) - at)};
    if (!bar) break;
    at = bar + 1;
  }
  qsort(options, n, sizeof(*options), compare_options);
  for (size_t i = 0; i < n; i++)
    if (kept == 0 || compare(options[kept - 1], options[i]) != 0)
      options[kept++] = options[i];
  return kept;
}

static rt__segment_kind kind_of(rt__text t) {
  if (t.size == 1 && t.at[0] == '*') return RT__SEGMENT_ANY;
  if (t.size == 2 && memcmp(t.at, "**", 2) == 0) return RT__SEGMENT_REST;
  if (t.size >= 2 && t.at[0] == '(' && t.at[t.size - 1] == ')')
    return RT__SEGMENT_ONE_OF;
  return RT__SEGMENT_PLAIN;
}

static void compile(rt__pattern *p, const char *text, rt__text *options) {
  const char *end = text + p->size, *next = text;
  while (next) {
    rt__segment *s = &p->segments[p->count];
    s->text = rt__segment_at(next, end, &next);
    s->kind = kind_of(s->text);
    s->options = options;
    s->option_count = 0;
    if (s->kind == RT__SEGMENT_ONE_OF) {
      s->option_count = split(s->text, options);
      options += count_of(s->text.at, s->text.size, '|') + 1;
    }
    bool again = s->kind == RT__SEGMENT_REST && p->count > 0 &&
                 s[-1].kind == RT__SEGMENT_REST;
    if (!again) p->count++;
  }
}

rt__pattern *rt__pattern_new(const char *text, size_t size) {
  size_t segments = count_of(text, size, '.') + 1;
  size_t options = count_of(text, size, '|') + segments;
  size_t room = segments * sizeof(rt__segment) + options * sizeof(rt__text);
  rt__pattern *p = malloc(sizeof(*p) + room + size);
  if (!p) return NULL;
  p->size = size;
  p->count = 0;
  p->segments = (rt__segment *)(p + 1);
  rt__text *free_options = (rt__text *)(p->segments + segments);
  char *copy = (char *)(free_options + options);
  if (size) memcpy(copy, text, size);
  compile(p, copy, free_options);
  return p;
}

void rt__pattern_free(rt__pattern *pattern) {
  free(pattern);
}

static bool has_option(const rt__segment *s, rt__text subject) {
  size_t low = 0, high = s->option_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = compare(s->options[middle], subject);
    if (order == 0) return true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

static bool takes(const rt__segment *s, rt__text subject) {
  switch (s->kind) {
  case RT__SEGMENT_PLAIN:
    return compare(s->text, subject) == 0;
  case RT__SEGMENT_ONE_OF:
    return has_option(s, subject);
  default:
    return true;
  }
}

/* --- hostile ones: numbered segments, see scan.h --------------------- */

typedef struct hard {
  rt__literals literals;
  rt__token *tokens;
  rt__literal **options;
  size_t used; /* of options */
} hard;

static rt__literal *intern(hard *h, rt__text text) {
  return rt__literals_ref(&h->literals, text.at, text.size, false);
}

static bool make_token(hard *h, const rt__segment *s, rt__token *t) {
  *t = (rt__token){s->kind, (uint32_t)s->option_count, NULL, NULL};
  if (s->kind == RT__SEGMENT_PLAIN) return (t->plain = intern(h, s->text));
  if (s->kind != RT__SEGMENT_ONE_OF) return true;
  rt__literal **options = h->options + h->used;
  for (size_t i = 0; i < s->option_count; i++)
    if (!(options[i] = intern(h, s->options[i]))) return false;
  qsort(options, s->option_count, sizeof(*options), rt__literal_order);
  t->options = options;
  h->used += s->option_count;
  return true;
}

static bool hard_init(hard *h, const rt__pattern *p) {
  size_t options = 0;
  memset(h, 0, sizeof(*h));
  for (size_t i = 0; i < p->count; i++) options += p->segments[i].option_count;
  h->tokens = malloc(p->count * sizeof(*h->tokens));
  h->options = malloc((options + 1) * sizeof(rt__literal *));
  bool ok = h->tokens && h->options;
  for (size_t i = 0; ok && i < p->count; i++)
    ok = make_token(h, &p->segments[i], &h->tokens[i]);
  return ok;
}

static void hard_deinit(hard *h) {
  rt__literals_deinit(&h->literals);
  free(h->tokens);
  free(h->options);
}

/* False when memory is short. */
static bool match_hard(const rt__pattern *p, rt__text subject, bool *yes,
                       uint64_t *cost) {
  hard h;
  rt__subject s;
  bool ok = hard_init(&h, p);
  if (ok && rt__subject_init(&s, count_of(subject.at, subject.size, '.') + 1) !=
                RT_OK)
    ok = false;
  if (ok) {
    size_t end = rt__subject_add(&s, &h.literals, subject.at, subject.size);
    *yes = rt__subject_matches(&s, 0, end, h.tokens, p->count);
    *cost += s.cost + subject.size + p->size;
    rt__subject_deinit(&s);
  }
  hard_deinit(&h);
  return ok;
}

/* --- matching -------------------------------------------------------- */

typedef enum verdict { NO, YES, COSTLY } verdict;

static verdict match(const rt__pattern *p, rt__text subject, uint64_t limit,
                     uint64_t *cost) {
  const char *at = subject.at, *end = at + subject.size, *next;
  const char *retry_at = NULL; /* where what follows the last `**` starts */
  size_t i = 0, retry = 0;
  while (at) {
    if (i < p->count && p->segments[i].kind == RT__SEGMENT_REST) {
      if (++i == p->count) return YES;
      retry = i;
      retry_at = at;
      continue;
    }
    rt__text segment = rt__segment_at(at, end, &next);
    *cost += 1 + segment.size;
    if (*cost > limit) return COSTLY;
    if (i < p->count && takes(&p->segments[i], segment)) {
      i++;
      at = next;
    } else if (retry_at) { /* the last `**` takes one segment more */
      rt__segment_at(retry_at, end, &retry_at);
      at = retry_at;
      i = retry;
    } else
      return NO;
  }
  bool all = i == p->count ||
             (i + 1 == p->count && p->segments[i].kind == RT__SEGMENT_REST);
  return all ? YES : NO;
}

bool rt__pattern_matches_counted(const rt__pattern *p, const char *subject,
                                 size_t size, bool hostile, uint64_t *cost) {
  const rt__text text = {subject, size};
  uint64_t limit = hostile ? 0 : LIMIT_BASE + LIMIT_FACTOR * (uint64_t)size;
  bool yes;
  *cost = 0;
  if (p->size == 0) return false;
  if (p->size == 1 && *p->segments[0].text.at == '*')
    return size > 0 && !memchr(subject, '.', size);
  verdict v = match(p, text, limit, cost);
  if (v == COSTLY && match_hard(p, text, &yes, cost)) return yes;
  if (v == COSTLY) v = match(p, text, UINT64_MAX, cost);
  return v == YES;
}

bool rt__pattern_matches(const rt__pattern *p, const char *subject,
                         size_t size) {
  uint64_t cost;
  return rt__pattern_matches_counted(p, subject, size, false, &cost);
}

bool rt_pattern_match(const char *pattern, size_t pattern_size,
                      const char *subject, size_t subject_size) {
  bool wild = pattern_size > 0 && (memchr(pattern, '*', pattern_size) ||
                                   memchr(pattern, '(', pattern_size));
  if (!wild)
    return pattern_size > 0 && pattern_size == subject_size &&
           memcmp(pattern, subject, subject_size) == 0;
  rt__pattern *p = rt__pattern_new(pattern, pattern_size);
  bool yes = p && rt__pattern_matches(p, subject, subject_size);
  rt__pattern_free(p);
  return yes;
}
