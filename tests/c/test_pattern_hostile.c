/* test_pattern_hostile.c - no pattern and no name is slow: steps are counted,
 * never time. The bound is what bus/scan.h promises: the size of the patterns,
 * plus for each pattern the segments of the name for each 64 segments between
 * two `**`. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/index.h"
#include "bus/pattern.h"
#include "repeat.h"

static size_t segments(const char *text) {
  size_t n = 1;
  for (; *text; text++) n += *text == '.';
  return n;
}

/* --- one pattern ----------------------------------------------------- */

/* Match, and check the cost against the bound. */
static bool bounded(const char *pattern, const char *subject) {
  size_t p_size = strlen(pattern), s_size = strlen(subject);
  uint64_t n = segments(subject), m = segments(pattern), cost;
  rt__pattern *p = rt__pattern_new(pattern, p_size);
  bool yes = rt__pattern_matches_counted(p, subject, s_size, false, &cost);
  uint64_t bound = 2048 + 8 * s_size + 8 * p_size + 2 * n * (m / 64 + 1);
  if (cost > bound)
    fail_msg("%.20s... (%zu) on %.20s... (%zu): %llu steps, bound %llu",
             pattern, p_size, subject, s_size, (unsigned long long)cost,
             (unsigned long long)bound);
  rt__pattern_free(p);
  return yes;
}

/* A pattern that is made on the spot. */
static bool made(char *pattern, const char *subject) {
  bool yes = bounded(pattern, subject);
  free(pattern);
  return yes;
}

static void one_pattern_is_linear(void **state) {
  (void)state;
  char *letters = repeat("", "a.", 32000, "a");
  char *dots = repeat("", ".", 65535, "");
  char *mixed = repeat("", "a.b.", 16000, "a");
  /* many `**` */
  assert_false(made(repeat("", "**.a.", 12000, "b"), letters));
  assert_true(made(repeat("", "**.a.", 12000, "**"), letters));
  assert_true(made(repeat("", "**.a.", 12000, "a"), letters));
  assert_false(made(repeat("", "**.b.", 2, "a"), letters));
  assert_true(made(repeat("", "**..", 20000, "**"), dots));
  assert_false(made(repeat("", "**..", 20000, "a"), dots));
  /* one long block, which nearly stands everywhere */
  assert_false(made(repeat("**.", "a.", 16000, "b"), letters));
  assert_false(made(repeat("**.", "a.", 16000, "b.**"), letters));
  assert_true(made(repeat("**.", "a.", 16000, "a.**"), letters));
  assert_false(made(repeat("**.", "*.", 16000, "b.**"), letters));
  assert_false(made(repeat("**.", ".", 30000, "x.**"), dots));
  assert_true(made(repeat("**.", "*.*.", 9000, "b.**"), mixed));
  assert_false(made(repeat("**.", "a.*.", 7000, "*.a.a.**"), mixed));
  assert_true(made(repeat("**.", "a.*.", 7000, "**"), mixed));
  /* many long blocks */
  char *block = repeat("**.", "a.*.*.", 30, "(a|b).");
  assert_true(made(repeat("", block, 300, "**"), letters));
  assert_false(made(repeat("", block, 300, "**.b"), letters));
  free(block);
  /* alternations */
  assert_false(made(repeat("**.(", "a|", 30000, "a).b.**"), letters));
  assert_true(made(repeat("**.", "(a|b|c).", 4000, "**"), mixed));
  assert_false(made(repeat("**.", "(a|b|c).", 4000, "c.**"), mixed));
  free(mixed);
  free(dots);
  free(letters);
}

static void long_segments_are_not_compared_again_and_again(void **state) {
  (void)state;
  char *word = repeat("", "x", 999, ".");
  char *subject = repeat("", word, 64, "y");
  char *pattern = repeat("**.", word, 32, "z.**");
  assert_false(bounded(pattern, subject));
  free(pattern);
  free(subject);
  free(word);
}

/* --- many subscriptions ---------------------------------------------- */

typedef struct shelf {
  rt__index *index;
  rt__entry *entry[20000];
  char *kind[20000];
  bool hit[20000];
  size_t count;
  uint64_t room; /* what the patterns' sizes allow */
} shelf;

static shelf *shelf_new(void) {
  shelf *s = calloc(1, sizeof(*s));
  s->index = rt__index_new();
  return s;
}

static void put(shelf *s, char *kind) {
  assert_int_equal(rt__index_add(s->index, "s", kind, &s->kind[s->count],
                                 &s->entry[s->count]),
                   RT_OK);
  s->kind[s->count++] = kind;
  s->room += 16 * (segments(kind) + 4);
}

static void shelf_free(shelf *s) {
  for (size_t i = 0; i < s->count; i++) {
    rt__index_remove(s->index, s->entry[i]);
    free(s->kind[i]);
  }
  assert_int_equal(rt__index_nodes(s->index), 1);
  rt__index_free(s->index);
  free(s);
}

/* Some of the patterns, each for itself, say the same. */
static void check_some(const shelf *s, const char *name, size_t size) {
  for (size_t i = 0; i < s->count; i += 1 + s->count / 40)
    assert_int_equal(s->hit[i], rt_pattern_match(s->kind[i], strlen(s->kind[i]),
                                                 name, size));
}

/* Look a name up, and check what it cost; `each`: steps that a segment may
 * cost. */
static size_t look_up(shelf *s, const char *name, uint64_t each) {
  rt__entry **found;
  size_t size = strlen(name), last = 0;
  size_t n = rt__index_match(s->index, "s", 1, name, size, &found);
  uint64_t cost = rt__index_cost(s->index);
  uint64_t bound = 8192 + s->room + segments(name) * each;
  if (cost > bound)
    fail_msg("%zu patterns, %zu bytes: %llu steps, bound %llu", s->count, size,
             (unsigned long long)cost, (unsigned long long)bound);
  memset(s->hit, 0, sizeof(s->hit));
  for (size_t i = 0; i < n; i++) {
    size_t at = (size_t)((char **)rt__entry_arg(found[i]) - s->kind);
    assert_true(i == 0 || at > last);
    s->hit[last = at] = true;
  }
  check_some(s, name, size);
  assert_int_equal(rt__index_has(s->index, "s", 1, name, size), n > 0);
  return n;
}

static char *format(const char *text, unsigned n) {
  char *out = malloc(strlen(text) + 20);
  sprintf(out, text, n, n + 1);
  return out;
}

/* A pattern with `stars` times `**.LETTER`, chosen by a seed. */
static char *starry(unsigned seed, int stars, const char *letters) {
  char *out = malloc((size_t)stars * 6 + 40);
  size_t n = (size_t)sprintf(out, "(a|h%u)", seed);
  for (int i = 0; i < stars; i++) {
    seed = seed * 1103515245u + 12345u;
    char c = letters[(seed >> 16) % strlen(letters)];
    n += (size_t)sprintf(out + n, ".**.%c", c);
  }
  strcpy(out + n, ".**");
  return out;
}

static char *random_name(size_t count, const char *letters) {
  char *out = malloc(count * 2 + 1);
  unsigned seed = 7;
  for (size_t i = 0; i < count; i++) {
    seed = seed * 1103515245u + 12345u;
    out[i * 2] = letters[(seed >> 16) % strlen(letters)];
    out[i * 2 + 1] = '.';
  }
  out[0] = 'a';
  out[count * 2 - 1] = '\0';
  return out;
}

static void thousand_subscriptions_with_thirty_stars(void **state) {
  (void)state;
  enum { COUNT = 1000 };
  shelf *s = shelf_new();
  for (unsigned i = 0; i < COUNT; i++) put(s, starry(i, 30, "abc"));
  char *letters = repeat("", "a.", 30000, "a"),
       *dots = repeat("a", ".", 30000, "");
  char *random = random_name(30000, "abc"), *rare = random_name(30000, "abx");
  look_up(s, letters, COUNT * 2);
  look_up(s, dots, COUNT * 2);
  assert_int_equal(look_up(s, random, COUNT * 2), COUNT);
  look_up(s, rare, COUNT * 2);
  look_up(s, "a.b.c", COUNT * 2);
  free(rare);
  free(random);
  free(dots);
  free(letters);
  shelf_free(s);
}

/* Nothing of these can be skipped by looking at heads and tails, and each
 * block nearly stands at every place. */
static void what_nearly_matches_everywhere(void **state) {
  (void)state;
  enum { COUNT = 500 };
  shelf *s = shelf_new();
  for (unsigned i = 0; i < COUNT; i++)
    put(s, format("(a|h%u).**.a.a.*.a.b.**", i));
  for (unsigned i = 0; i < COUNT; i++)
    put(s, format("(a|k%u).**.b.**.a.a.*.a.c", i));
  char *letters = repeat("a.c.b.", "a.", 30000, "a");
  assert_int_equal(look_up(s, letters, COUNT * 4), 0);
  free(letters);
  shelf_free(s);
}

/* What does not match costs nothing: neither by its number nor by `**`. */
static void others_with_stars_cost_nothing(void **state) {
  (void)state;
  shelf *s = shelf_new();
  for (unsigned i = 0; i < 1000; i++) {
    put(s, format("**.x%u.**", i));
    put(s, format("**.x%u.y%u", i));
    put(s, format("x%u.**.y", i));
    put(s, format("**.y.**.x%u.**", i));
  }
  s->room = 0;
  rt__entry **found;
  const char *names[] = {"a.b.c", "x.a", "user.created", "y.y.z"};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(
        rt__index_match(s->index, "s", 1, names[i], strlen(names[i]), &found),
        0);
    assert_true(rt__index_cost(s->index) < 40);
  }
  assert_int_equal(look_up(s, "y.x7.y8", 20), 3);
  char *letters = repeat("", "a.", 30000, "a");
  assert_int_equal(look_up(s, letters, 8), 0);
  free(letters);
  shelf_free(s);
}

/* Thousands that begin with the same option of an alternation: adding and
 * removing them is not quadratic (this test would not end soon). */
static void one_option_of_thousands(void **state) {
  (void)state;
  enum { COUNT = 20000 };
  shelf *s = shelf_new();
  for (unsigned i = 0; i < COUNT - 1; i++) put(s, format("(a|h%u).x", i));
  put(s, format("a.y%u", 1));
  assert_int_equal(look_up(s, "a.y1", COUNT), 1);
  assert_int_equal(look_up(s, "h5.x", COUNT), 1);
  assert_int_equal(look_up(s, "b.x", 4), 0);
  shelf_free(s);
}

static void a_deep_pattern_overflows_no_stack(void **state) {
  (void)state;
  shelf *s = shelf_new();
  put(s, repeat("", "**.a.", 100000, "**"));
  put(s, repeat("", "(a|b).", 100000, "a"));
  put(s, repeat("(", "(", 200000, "a"));
  put(s, repeat("(", "a|", 200000, "b)"));
  assert_int_equal(look_up(s, "a", 1000000), 1);
  assert_int_equal(look_up(s, "a.b.a", 1000000), 0);
  shelf_free(s);
}

/* The system's pattern and the kind's are matched apart, also when the walk
 * is given up. */
static void systems_and_kinds_stay_apart(void **state) {
  (void)state;
  rt__index *index = rt__index_new();
  rt__entry *entry[900], **found;
  char system[64], kind[64];
  for (int i = 0; i < 900; i++) {
    snprintf(system, sizeof(system), i % 3 ? "(a|s%d).**.b.**" : "(x|s%d).**",
             i);
    snprintf(kind, sizeof(kind), i % 2 ? "(a|k%d).**.a.**.%c" : "**", i,
             i % 5 ? 'b' : 'c');
    assert_int_equal(rt__index_add(index, system, kind, NULL, &entry[i]),
                     RT_OK);
  }
  char *name = random_name(20000, "ab"), *same = repeat("", "a.", 9000, "a");
  size_t size = strlen(name) - (name[strlen(name) - 1] == 'a' ? 2 : 0);
  size_t n = rt__index_match(index, name, size, name, size, &found);
  size_t expected = 0;
  for (int i = 0; i < 900; i++)
    if (i % 3 && (i % 2 == 0 || i % 5))
      assert_ptr_equal(found[expected++], entry[i]);
  assert_int_equal(n, expected);
  assert_true(rt__index_cost(index) < 900 * 40000);
  assert_int_equal(
      rt__index_match(index, same, strlen(same), name, size, &found), 0);
  assert_false(rt__index_has(index, same, strlen(same), name, size));
  assert_true(rt__index_has(index, name, size, name, size));
  for (int i = 0; i < 900; i++) rt__index_remove(index, entry[i]);
  rt__index_free(index);
  free(same);
  free(name);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_pattern_is_linear),
      cmocka_unit_test(long_segments_are_not_compared_again_and_again),
      cmocka_unit_test(thousand_subscriptions_with_thirty_stars),
      cmocka_unit_test(what_nearly_matches_everywhere),
      cmocka_unit_test(others_with_stars_cost_nothing),
      cmocka_unit_test(one_option_of_thousands),
      cmocka_unit_test(a_deep_pattern_overflows_no_stack),
      cmocka_unit_test(systems_and_kinds_stay_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
