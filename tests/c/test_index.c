/* test_index.c - the index against a table of segments by segments: random
 * subscriptions come and go, over alphabets made to collide, names short and
 * long. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../fuzz/model.h"
#include "bus/index.h"
#include "bus/tree.h"

enum { SUBS = 120, TEXT = 4000 };

typedef struct alphabet {
  const char *pattern[10], *name[5];
} alphabet;

static const alphabet alphabets[] = {
    {{"a", "b", "*", "**", "**", "(a|b)", "(|b)", "(a)", "a*", ""},
     {"a", "b", "ab", "", "a"}},
    {{"", "", "**", "**", "*", "()", "(|)", "(|a)", "***", "a"},
     {"", "", "a", "*", ""}},
    {{"**", "**", "**", "*", "a", "(a|b|c)", "(b|c)", "(c|a)", "b", "c"},
     {"a", "b", "c", "a", "d"}},
    {{"(", ")", "|", "(*|**)", "**", "(a", "a)", "((a|b))", "*", "(a|(b|c))"},
     {"(", "(a", "b)", "*", "**"}},
    {{"\xFF", "\xC3\xA9", "\n", "**", "*", "(\xFF|\n)", "(\t|\xC3)", "\\", "?",
      "a|b"},
     {"\xFF", "\n", "\\", "a|b", "\xC3"}},
};

typedef struct random {
  unsigned long long state;
} random_t;

static unsigned dice(random_t *r, unsigned sides) {
  r->state ^= r->state << 13;
  r->state ^= r->state >> 7;
  r->state ^= r->state << 17;
  return (unsigned)(r->state >> 33) % sides;
}

/* `count` random parts, joined; never empty. */
static void join(random_t *r, char *out, const char *const *parts, unsigned n,
                 unsigned count) {
  char *at = out;
  for (unsigned i = 0; i < count; i++)
    at += sprintf(at, "%s%s", i ? "." : "", parts[dice(r, n)]);
  if (!*out) strcpy(out, ".");
}

static model_text text(const char *s) {
  return (model_text){s, strlen(s)};
}

typedef struct sub {
  rt__entry *entry; /* NULL: none */
  unsigned serial;
  char system[64], kind[256];
} sub;

typedef struct world {
  random_t random;
  const alphabet *alphabet;
  rt__index *index;
  sub subs[SUBS];
  unsigned serial;
  size_t found;
} world;

static void toggle(world *w, unsigned longest) {
  sub *s = &w->subs[dice(&w->random, SUBS)];
  if (s->entry) {
    rt__index_remove(w->index, s->entry);
    s->entry = NULL;
    return;
  }
  join(&w->random, s->system, w->alphabet->pattern, 10,
       1 + dice(&w->random, 3));
  join(&w->random, s->kind, w->alphabet->pattern, 10,
       1 + dice(&w->random, longest));
  if (dice(&w->random, 4) == 0) strcpy(s->kind, "**");
  s->serial = w->serial++;
  assert_int_equal(rt__index_add(w->index, s->system, s->kind, s, &s->entry),
                   RT_OK);
}

static bool wants(const sub *s, const char *system, const char *kind) {
  return s->entry && model_matches(text(s->system), text(system)) &&
         model_matches(text(s->kind), text(kind));
}

/* All that match, each once, oldest first. */
static void check(world *w, const char *system, const char *kind) {
  rt__entry **found;
  size_t expected = 0;
  for (int i = 0; i < SUBS; i++) expected += wants(&w->subs[i], system, kind);
  size_t n = rt__index_match(w->index, system, strlen(system), kind,
                             strlen(kind), &found);
  assert_int_equal(n, expected);
  for (size_t i = 0; i < n; i++) {
    const sub *s = rt__entry_arg(found[i]);
    assert_true(wants(s, system, kind));
    if (i > 0)
      assert_true(((const sub *)rt__entry_arg(found[i - 1]))->serial <
                  s->serial);
  }
  assert_int_equal(
      rt__index_has(w->index, system, strlen(system), kind, strlen(kind)),
      n > 0);
  w->found += n;
}

static void live(world *w, int rounds, unsigned longest, unsigned name) {
  static char system[TEXT], kind[TEXT];
  w->index = rt__index_new();
  for (int i = 0; i < rounds; i++) {
    toggle(w, longest);
    join(&w->random, system, w->alphabet->name, 5, 1 + dice(&w->random, 4));
    join(&w->random, kind, w->alphabet->name, 5, 1 + dice(&w->random, name));
    w->index->scan_only = false;
    check(w, system, kind);
    w->index->scan_only = true;
    check(w, system, kind);
  }
  for (int i = 0; i < SUBS; i++)
    if (w->subs[i].entry) rt__index_remove(w->index, w->subs[i].entry);
  assert_int_equal(rt__index_nodes(w->index), 1);
  assert_int_equal(w->index->edges.count, 0);
  assert_int_equal(w->index->literals.count, 0);
  rt__index_free(w->index);
}

static void agrees_with_the_table(void **state) {
  (void)state;
  for (size_t a = 0; a < sizeof(alphabets) / sizeof(*alphabets); a++) {
    world *w = calloc(1, sizeof(*w));
    w->random.state = 88172645463325252u + a;
    w->alphabet = &alphabets[a];
    live(w, 1500, 6, 6);
    assert_true(w->found > 1000);
    free(w);
  }
}

/* Names so long that the walk is given up by itself, and blocks longer than a
 * word has bits. */
static void agrees_on_long_names(void **state) {
  (void)state;
  for (size_t a = 0; a < 3; a++) {
    world *w = calloc(1, sizeof(*w));
    w->random.state = 1181783497276652981u + a;
    w->alphabet = &alphabets[a];
    live(w, 60, 20, 300);
    free(w);
  }
}

/* One long block between two `**`, in all lengths around a word's bits. */
static void blocks_of_all_lengths(void **state) {
  (void)state;
  static const char *const parts[] = {"*", "(a|b)", "*", "(a|c)", "a"};
  random_t r = {424242};
  for (unsigned size = 1; size<200; size += size % 64> 60 ? 1 : 7) {
    char pattern[4 * TEXT], block[2 * TEXT], name[2 * TEXT];
    join(&r, block, parts, 5, size);
    snprintf(pattern, sizeof(pattern), "**.%s.**.c", block);
    for (int round = 0; round < 20; round++) {
      static const char *const letters[] = {"a", "a", "a", "a", "b"};
      join(&r, name, letters, 5, size + dice(&r, 300));
      if (round % 2) strcat(name, ".c");
      rt__pattern *p = rt__pattern_new(pattern, strlen(pattern));
      bool expected = model_matches(text(pattern), text(name));
      uint64_t cost;
      assert_int_equal(
          rt__pattern_matches_counted(p, name, strlen(name), true, &cost),
          expected);
      assert_int_equal(rt__pattern_matches(p, name, strlen(name)), expected);
      rt__pattern_free(p);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_the_table),
      cmocka_unit_test(agrees_on_long_names),
      cmocka_unit_test(blocks_of_all_lengths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
