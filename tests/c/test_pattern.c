/* test_pattern.c - the rows of the pattern language, W-17 to W-26, each
 * held everywhere patterns are used: the matcher, the way for hostile ones, the
 * index (as system and as kind), inputs and outputs of a capability, rules of a
 * scope, and a table that shares no code with them. SPDX-License-Identifier:
 * MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../fuzz/model.h"
#include "bus/index.h"
#include "bus/pattern.h"
#include "bus/tree.h"
#include "dispatcher/scope.h"
#include "registry/capability.h"

typedef struct row {
  const char *pattern, *subject;
  bool expected;
} row;

static bool compiled(const row *r, bool hostile) {
  uint64_t cost;
  rt__pattern *p = rt__pattern_new(r->pattern, strlen(r->pattern));
  assert_non_null(p); /* W-23: there is no invalid pattern */
  bool yes = rt__pattern_matches_counted(p, r->subject, strlen(r->subject),
                                         hostile, &cost);
  rt__pattern_free(p);
  return yes;
}

/* In an index among others, as the pattern of the kind or of the system. */
static bool indexed(const row *r, bool as_system, bool hostile) {
  static const char *const others[] = {"other", "**.other.**", "(x1|x2).**"};
  rt__entry *other[3], *entry, **found;
  rt__index *index = rt__index_new();
  const char *system = as_system ? r->pattern : "s";
  const char *kind = as_system ? "**" : r->pattern;
  const char *s = as_system ? r->subject : "s";
  const char *k = as_system ? "k" : r->subject;
  for (int i = 0; i < 3; i++)
    assert_int_equal(rt__index_add(index, others[i], "k", NULL, &other[i]),
                     RT_OK);
  assert_int_equal(rt__index_add(index, system, kind, NULL, &entry), RT_OK);
  index->scan_only = hostile;
  size_t n = rt__index_match(index, s, strlen(s), k, strlen(k), &found);
  bool yes = n > 0 && found[n - 1] == entry;
  assert_int_equal(rt__index_has(index, s, strlen(s), k, strlen(k)), n > 0);
  rt__index_remove(index, entry);
  for (int i = 0; i < 3; i++) rt__index_remove(index, other[i]);
  assert_int_equal(rt__index_nodes(index), 1);
  rt__index_free(index);
  return yes;
}

static bool capability_takes(const row *r, bool input) {
  char *pattern = (char *)r->pattern;
  rt_capability c = {0};
  c.input = c.output = &pattern;
  c.input_count = c.output_count = 1;
  return input ? rt__capability_takes(&c, r->subject, strlen(r->subject))
               : rt__capability_sends(&c, r->subject, strlen(r->subject));
}

/* As a rule on values; some texts are no patterns there, but addresses, or
 * begin with a mark. */
static bool in_scope(const row *r) {
  rt__scope scope;
  char why[256];
  assert_int_equal(rt__scope_init(&scope, &r->pattern, 1, NULL), RT_OK);
  bool yes = rt__scope_has(&scope, "text", r->subject, strlen(r->subject), why,
                           sizeof(why));
  rt__scope_deinit(&scope);
  return yes;
}

static void check_one(const row *r, const char *where, bool yes) {
  if (yes != r->expected)
    fail_msg("%s: '%s' on '%s' should be %s", where, r->pattern, r->subject,
             r->expected ? "true" : "false");
}

static void check(const row *r) {
  const model_text p = {r->pattern, strlen(r->pattern)};
  const model_text s = {r->subject, strlen(r->subject)};
  check_one(r, "table", model_matches(p, s));
  check_one(r, "public", rt_pattern_match(p.at, p.size, s.at, s.size));
  check_one(r, "matcher", compiled(r, false));
  check_one(r, "hostile", compiled(r, true));
  check_one(r, "input", capability_takes(r, true));
  check_one(r, "output", capability_takes(r, false));
  if (p.size) check_one(r, "scope", in_scope(r));
  if (!p.size || !s.size) return; /* events have no empty names */
  check_one(r, "kind", indexed(r, false, false));
  check_one(r, "kind, hostile", indexed(r, false, true));
  check_one(r, "system", indexed(r, true, false));
  check_one(r, "system, hostile", indexed(r, true, true));
}

static void check_all(const row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) check(&rows[i]);
}
#define CHECK(...)                                                             \
  do {                                                                         \
    static const row rows[] = {__VA_ARGS__};                                   \
    check_all(rows, sizeof(rows) / sizeof(*rows));                             \
  } while (0)

static void w17_segments(void **state) {
  (void)state;
  CHECK({"a.b.c", "a.b.c", true}, {"a.b.c", "a.b", false},
        {"a.b.c", "a.b.c.d", false}, {"a.*.c", "a.x.c", true},
        {"a.*.c", "a.c", false}, {"a.*.c", "a.x.y.c", false},
        {"a.**.c", "a.c", true}, {"a.**.c", "a.x.y.c", true},
        {"a.**.c", "a.x.y", false}, {"a.(b|c).d", "a.b.d", true},
        {"a.(b|c).d", "a.c.d", true}, {"a.(b|c).d", "a.d.d", false});
}

static void w18_wildcards_are_whole_segments(void **state) {
  (void)state;
  CHECK({"a*", "a*", true}, {"a*", "ab", false}, {"***", "***", true},
        {"***", "a", false}, {"a.***.b", "a.x.b", false},
        {"a(b|c)", "a(b|c)", true}, {"a(b|c)", "ab", false},
        {"(b|c)d", "(b|c)d", true}, {"(b|c)d", "bd", false},
        {"a\\.b", "a\\.b", true}, {"\\*", "x", false}, {"A.b", "a.b", false},
        {"\xC3\xA9.*", "\xC3\xA9.x", true}, {"\xC3\xA9", "e", false},
        {"\xFF.*", "\xFF.\xFE", true});
}

static void w19_a_star_alone(void **state) {
  (void)state;
  CHECK({"*", "a", true}, {"*", "", false}, {"*", "a.b", false},
        {"*", ".", false}, {"a.*", "a.", true}, {"*.*", ".", true},
        {"*.**", "", true}, {"**.*", "", true}, {"*.a", ".a", true});
}

static void w20_two_stars_take_an_empty_subject(void **state) {
  (void)state;
  CHECK({"**", "", true}, {"**.**", "", true}, {"**", ".", true},
        {"**", "a.b.c", true}, {"a.**", "", false}, {"**.", "", true});
}

static void w21_an_empty_pattern_matches_nothing(void **state) {
  (void)state;
  CHECK({"", "", false}, {"", "a", false}, {"", ".", false});
}

static void w22_alternation_in_detail(void **state) {
  (void)state;
  CHECK({"(*|a)", "*", true}, {"(*|a)", "b", false}, {"(**|a)", "**", true},
        {"(**|a)", "x.y", false}, {"x.(a|)", "x.", true},
        {"x.(a|)", "x", false}, {"(a| b)", " b", true}, {"(a| b)", "b", false},
        {"((a|b))", "(a", true}, {"((a|b))", "b)", true},
        {"((a|b))", "a", false}, {"(a|b)(c|d)", "b)(c", true},
        {"(a|b)(c|d)", "a", true}, {"(a|b)(c|d)", "ac", false},
        {"(a.b|c)", "(a.b|c)", true}, {"(a.b|c)", "c", false},
        {"(a|b", "(a|b", true}, {"(a|b", "a", false}, {"a|b)", "a|b)", true},
        {"()", "()", false}, {"()", "", true}, {"(", "(", true},
        {"(a|a|a)", "a", true}, {"(a)", "a", true}, {"(|)", "|", false});
}

/* Each byte string of up to three of these is a pattern, and each is matched
 * the same everywhere. */
static void w23_every_text_is_a_pattern(void **state) {
  (void)state;
  static const char bytes[] = {'*', '(', ')', '|', '.', 'a', '\xFF', '\n'};
  enum { KINDS = 8, SIZES = 4 };
  const char *subjects[] = {"a", "*", "a.a", ".", "(", "()", "|"};
  for (int n = 0; n < KINDS * KINDS * KINDS * SIZES; n++) {
    char pattern[4];
    int size = n % SIZES, rest = n / SIZES;
    for (int i = 0; i < size; i++, rest /= KINDS)
      pattern[i] = bytes[rest % KINDS];
    pattern[size] = '\0';
    row r = {pattern, subjects[n % 7], false};
    const model_text p = {pattern, (size_t)size};
    const model_text s = {r.subject, strlen(r.subject)};
    r.expected = model_matches(p, s);
    check(&r);
  }
}

/* There a further inner `**` costs ten times more; here it costs a step. */
static void w24_the_cost_is_bounded(void **state) {
  (void)state;
  char pattern[2048] = "", subject[512] = "a";
  for (int i = 1; i < 40; i++) strcat(subject, ".a");
  for (int stars = 1; stars <= 200; stars++) {
    uint64_t cost;
    char text[2056];
    strcat(pattern, "**.a.");
    snprintf(text, sizeof(text), "%sb", pattern);
    rt__pattern *p = rt__pattern_new(text, strlen(text));
    assert_false(
        rt__pattern_matches_counted(p, subject, strlen(subject), false, &cost));
    assert_true(cost < 8 * (strlen(text) + strlen(subject)));
    rt__pattern_free(p);
  }
}

static FILE *open_vectors(void) {
  FILE *f = fopen("tests/vectors/wildcard.tsv", "r");
  if (!f) f = fopen("../tests/vectors/wildcard.tsv", "r");
  if (!f) fail_msg("run from the project's folder");
  return f;
}

static void w25_the_vectors_hold_everywhere(void **state) {
  (void)state;
  FILE *f = open_vectors();
  char *line = NULL;
  size_t room = 0, count = 0;
  while (getline(&line, &room, f) > 0) {
    char *subject = strchr(line, '\t');
    if (!subject) continue;
    *subject++ = '\0';
    char *want = strchr(subject, '\t');
    assert_non_null(want);
    *want++ = '\0';
    const row r = {line, subject, strncmp(want, "true", 4) == 0};
    check(&r);
    count++;
  }
  free(line);
  fclose(f);
  assert_int_equal(count, 236);
}

/* What another matcher, of prefixes, would say; the rest of this row is in
 * tests/spec/pattern_spec.lua, from a script. */
static void w26_one_language_no_prefixes(void **state) {
  (void)state;
  CHECK({"test.*", "test.a.b", false}, {"test.*", "test.a", true},
        {"te*", "test", false}, {"**", "anything", true},
        {"*.created", "user.created", true}, {"(a|b)", "a", true},
        {"*", "a.b", false});
}

/* --- random ones ----------------------------------------------------- */

static void join_random(char *out, const char *const *parts, int n, int max) {
  int count = 1 + rand() % max;
  *out = '\0';
  for (int i = 0; i < count; i++) {
    if (i) strcat(out, ".");
    strcat(out, parts[rand() % n]);
  }
}

static void both_ways_agree_with_the_table(void **state) {
  (void)state;
  static const char *const words[] = {"a", "b", "ab", ""};
  static const char *const wild[] = {"a",     "b",    "*",   "**", "**",
                                     "(a|b)", "(|b)", "(a)", "a*", ""};
  char pattern[200], subject[200];
  size_t yes = 0;
  srand(11);
  for (int round = 0; round < 100000; round++) {
    join_random(pattern, wild, 10, 7);
    join_random(subject, words, 4, 8);
    const model_text p = {pattern, strlen(pattern)};
    const model_text s = {subject, strlen(subject)};
    row r = {pattern, subject, model_matches(p, s)};
    check_one(&r, "matcher", compiled(&r, false));
    check_one(&r, "hostile", compiled(&r, true));
    yes += r.expected;
  }
  assert_true(yes > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(w17_segments),
      cmocka_unit_test(w18_wildcards_are_whole_segments),
      cmocka_unit_test(w19_a_star_alone),
      cmocka_unit_test(w20_two_stars_take_an_empty_subject),
      cmocka_unit_test(w21_an_empty_pattern_matches_nothing),
      cmocka_unit_test(w22_alternation_in_detail),
      cmocka_unit_test(w23_every_text_is_a_pattern),
      cmocka_unit_test(w24_the_cost_is_bounded),
      cmocka_unit_test(w25_the_vectors_hold_everywhere),
      cmocka_unit_test(w26_one_language_no_prefixes),
      cmocka_unit_test(both_ways_agree_with_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
