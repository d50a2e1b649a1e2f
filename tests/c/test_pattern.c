/* test_pattern.c - the vectors, a table-based model, and hostile patterns.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/index.h"
#include "bus/pattern.h"

static bool match(const char *pattern, const char *subject) {
  return rt_pattern_match(pattern, strlen(pattern), subject, strlen(subject));
}

/* Does an index that holds this kind pattern find this kind? */
static bool indexed(const char *pattern, const char *subject) {
  rt__index *index = rt__index_new();
  rt__entry *entry, **found;
  assert_int_equal(rt__index_add(index, "s", pattern, &index, &entry), RT_OK);
  size_t n = rt__index_match(index, "s", 1, subject, strlen(subject), &found);
  assert_true(n == 0 || found[0] == entry);
  rt__index_remove(index, entry);
  assert_int_equal(rt__index_nodes(index), 1);
  rt__index_free(index);
  return n == 1;
}

static FILE *open_vectors(void) {
  FILE *f = fopen("tests/vectors/wildcard.tsv", "r");
  if (!f) f = fopen("../tests/vectors/wildcard.tsv", "r");
  if (!f) fail_msg("run from the project's folder");
  return f;
}

static void vectors_hold(void **state) {
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
    bool expected = strncmp(want, "true", 4) == 0;
    if (match(line, subject) != expected)
      fail_msg("%s ~ %s should be %s", line, subject, want);
    /* events have no empty name, and an empty filter means any there */
    if (*line && *subject && indexed(line, subject) != expected)
      fail_msg("index: %s ~ %s should be %s", line, subject, want);
    count++;
  }
  free(line);
  fclose(f);
  assert_true(count > 200);
}

/* --- an independent model: a table of segments by segments ----------- */

static size_t model_split(const char *text, char parts[][16]) {
  size_t n = 0, size = 0;
  for (;; text++) {
    if (*text == '.' || !*text) {
      parts[n++][size] = '\0';
      size = 0;
      if (!*text) return n;
    } else
      parts[n][size++] = *text;
  }
}

static bool model_takes(const char *segment, const char *subject) {
  size_t n = strlen(segment);
  if (strcmp(segment, "*") == 0) return true;
  if (n < 2 || segment[0] != '(' || segment[n - 1] != ')')
    return strcmp(segment, subject) == 0;
  char options[16];
  snprintf(options, sizeof(options), "%.*s|", (int)n - 2, segment + 1);
  for (char *at = options, *bar; (bar = strchr(at, '|')); at = bar + 1) {
    *bar = '\0';
    if (strcmp(at, subject) == 0) return true;
  }
  return false;
}

static bool model(const char *pattern, const char *subject) {
  char p[12][16], s[12][16];
  bool table[13][13] = {{false}};
  if (!*pattern) return false;
  if (strcmp(pattern, "*") == 0) return *subject && !strchr(subject, '.');
  size_t pn = model_split(pattern, p), sn = model_split(subject, s);
  table[pn][sn] = true;
  for (size_t i = pn; i-- > 0;)
    for (size_t j = sn + 1; j-- > 0;)
      if (strcmp(p[i], "**") == 0)
        table[i][j] = table[i + 1][j] || (j < sn && table[i][j + 1]);
      else
        table[i][j] = j < sn && model_takes(p[i], s[j]) && table[i + 1][j + 1];
  return table[0][0];
}

static void join_random(char *out, const char *const *parts, int n, int max) {
  int count = 1 + rand() % max;
  *out = '\0';
  for (int i = 0; i < count; i++) {
    if (i) strcat(out, ".");
    strcat(out, parts[rand() % n]);
  }
}

static void agrees_with_the_model(void **state) {
  (void)state;
  static const char *const words[] = {"a", "b", "ab", ""};
  static const char *const wild[] = {"a",     "b",    "*",   "**", "**",
                                     "(a|b)", "(|b)", "(a)", "a*", ""};
  char pattern[200], subject[200];
  size_t yes = 0;
  srand(11);
  for (int round = 0; round < 200000; round++) {
    join_random(pattern, wild, 10, 7);
    join_random(subject, words, 4, 8);
    bool expected = model(pattern, subject);
    if (match(pattern, subject) != expected)
      fail_msg("%s ~ %s should be %d", pattern, subject, expected);
    yes += expected;
  }
  assert_true(yes > 1000);
}

/* --- the index ------------------------------------------------------- */

static void index_finds_just_what_matches(void **state) {
  (void)state;
  enum { ENTRIES = 300, ROUNDS = 3000 };
  static const char *const words[] = {"a", "b", "ab", "c"};
  static const char *const wild[] = {"a", "b", "*", "**", "(a|b)", "(c|ab|a)"};
  static char system[ENTRIES][64], kind[ENTRIES][64];
  rt__entry *entry[ENTRIES] = {NULL}, **found;
  rt__index *index = rt__index_new();
  srand(5);
  for (int round = 0; round < ROUNDS; round++) {
    int i = rand() % ENTRIES;
    if (entry[i]) {
      rt__index_remove(index, entry[i]);
      entry[i] = NULL;
    } else {
      join_random(system[i], wild, 6, 3);
      join_random(kind[i], wild, 6, 3);
      assert_int_equal(
          rt__index_add(index, system[i], kind[i], &entry[i], &entry[i]),
          RT_OK);
    }
    char s[64], k[64];
    join_random(s, words, 4, 4);
    join_random(k, words, 4, 4);
    size_t n = rt__index_match(index, s, strlen(s), k, strlen(k), &found);
    size_t expected = 0;
    for (int e = 0; e < ENTRIES; e++)
      expected += entry[e] && match(system[e], s) && match(kind[e], k);
    assert_int_equal(n, expected);
    for (size_t f = 0; f < n; f++)
      assert_ptr_equal(*(rt__entry **)rt__entry_arg(found[f]), found[f]);
    assert_int_equal(rt__index_has(index, s, strlen(s), k, strlen(k)), n > 0);
  }
  for (int i = 0; i < ENTRIES; i++)
    if (entry[i]) rt__index_remove(index, entry[i]);
  assert_int_equal(rt__index_nodes(index), 1);
  rt__index_free(index);
}

/* --- hostile ones: they end, and soon -------------------------------- */

static char *repeat(const char *part, size_t times, const char *tail) {
  size_t n = strlen(part);
  char *out = malloc(n * times + strlen(tail) + 1);
  for (size_t i = 0; i < times; i++) memcpy(out + i * n, part, n);
  strcpy(out + n * times, tail);
  return out;
}

static void hostile_patterns_are_not_slow(void **state) {
  (void)state;
  char *subject = repeat("a.", 4000, "a");
  char *stars = repeat("**.a.", 2000, "b");
  char *block = repeat("a.", 2000, "b");
  char *wide = repeat("x|", 30000, "a)");
  char *pattern = malloc(strlen(block) + 4);
  sprintf(pattern, "**.%s", block);
  wide[0] = '(';
  assert_false(match(stars, subject));
  assert_false(match(pattern, subject));
  assert_true(match("**.a.**", subject));
  assert_true(match(wide, "a"));
  assert_false(indexed(stars, subject));
  assert_false(indexed(pattern, subject));
  assert_true(indexed(wide, "a"));
  char *deep = repeat("(a|b).", 2000, "**");
  assert_true(indexed(deep, subject));
  free(deep);
  free(pattern);
  free(wide);
  free(block);
  free(stars);
  free(subject);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vectors_hold),
      cmocka_unit_test(agrees_with_the_model),
      cmocka_unit_test(index_finds_just_what_matches),
      cmocka_unit_test(hostile_patterns_are_not_slow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
