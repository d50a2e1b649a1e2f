/* test_cli_options.c - arguments against a table of options.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.c"

typedef struct fields {
  bool loud;
  const char *name, *mode;
  int64_t count;
  double wait;
  cli_list words;
} fields;

static const cli_option table[] = {
    {"--loud", 'l', CLI_FLAG, offsetof(fields, loud), "", "", 0},
    {"--name", 'n', CLI_TEXT, offsetof(fields, name), "NAME", "", 0},
    {"--mode", 0, CLI_CHOICE, offsetof(fields, mode), "fast|slow", "", 0},
    {"--count", 0, CLI_INTEGER, offsetof(fields, count), "N", "", 1},
    {"--wait", 0, CLI_DURATION, offsetof(fields, wait), "D", "", 0},
    {"--words", 'w', CLI_LIST, offsetof(fields, words), "W", "", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

static char said[500];

/* Parse the words of `line`, split at blanks. */
static bool parse(cli_parse *p, fields *f, const char *line) {
  static char text[200];
  static char *argv[20];
  int argc = 0;
  memset(f, 0, sizeof(*f));
  p->options = table;
  p->fields = f;
  memset(said, 0, sizeof(said));
  strcpy(text, line);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
    argv[argc++] = word;
  }
  FILE *say = fmemopen(said, sizeof(said), "w");
  bool ok = cli_parse_args(p, argc, argv, say);
  fclose(say);
  return ok;
}

static void test_values(void **state) {
  cli_parse p = {0};
  fields f;
  (void)state;
  assert_true(
      parse(&p, &f, "--loud --name=x --mode slow --count 12 --wait 2m"));
  assert_true(f.loud);
  assert_string_equal(f.name, "x");
  assert_string_equal(f.mode, "slow");
  assert_int_equal(f.count, 12);
  assert_true(f.wait == 120);
  cli_parse_free(&p);
}

static void test_lists_grow(void **state) {
  cli_parse p = {.wanted = 1};
  fields f;
  (void)state;
  assert_true(parse(&p, &f, "first -w a b -n x -wc d -- -e"));
  assert_int_equal(f.words.count, 4);
  assert_string_equal(f.words.items[1], "b");
  assert_string_equal(f.words.items[2], "c");
  assert_string_equal(f.words.items[3], "d");
  assert_int_equal(p.bare.count, 2);
  assert_string_equal(p.bare.items[0], "first");
  assert_string_equal(p.bare.items[1], "-e");
  cli_parse_free(&p);
}

static void test_wanted_first(void **state) {
  cli_parse p = {.wanted = 1};
  fields f;
  (void)state;
  assert_true(parse(&p, &f, "-w a name b"));
  assert_int_equal(f.words.count, 2);
  assert_string_equal(p.bare.items[0], "name");
  cli_parse_free(&p);
}

static void test_stops_at_bare(void **state) {
  cli_parse p = {.stop_at_bare = true};
  fields f;
  (void)state;
  assert_true(parse(&p, &f, "-l script --loud"));
  assert_int_equal(p.used, 1);
  cli_parse_free(&p);
}

static void test_mistakes(void **state) {
  static const char *const cases[][2] = {
      {"--nam x", "did you mean '--name'"},
      {"--zzzzzzz", "unknown option '--zzzzzzz'"},
      {"-z", "unknown option '-z'"},
      {"--name", "needs a value"},
      {"--name=", "empty"},
      {"--loud=1", "takes no value"},
      {"--mode medium", "none of fast|slow"},
      {"--mode fast|slow", "none of fast|slow"},
      {"--count 0", "from 1 up"},
      {"--count 1e3", "'1e3'"},
      {"--count 99999999999999999999", "whole number"},
      {"--wait -1", "duration"},
      {"--wait 5parsec", "'5parsec'"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    cli_parse p = {0};
    fields f;
    assert_false(parse(&p, &f, cases[i][0]));
    if (!strstr(said, cases[i][1])) {
      fail_msg("'%s' said: %s", cases[i][0], said);
    }
    cli_parse_free(&p);
  }
}

static void test_sizes(void **state) {
  static const struct {
    const char *text;
    int64_t bytes;
  } good[] = {{"1", 1},
              {"1048576", 1048576},
              {"800K", 819200},
              {"512M", 512 << 20},
              {"1.5G", 1610612736},
              {"2T", 2ll << 40}};
  static const char *const bad[] = {"",    "K",   "4KB", "1k",  "-1",
                                    "1e3", "inf", "1 M", "0x1", "9999999T"};
  int64_t bytes;
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
    assert_true(cli_size(good[i].text, &bytes));
    assert_int_equal(bytes, good[i].bytes);
  }
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    assert_false(cli_size(bad[i], &bytes));
}

static void test_durations(void **state) {
  static const struct {
    const char *text;
    double seconds;
  } good[] = {{"0", 0},      {"0.25", 0.25},  {"250ms", 0.25},
              {"5s", 5},     {"1h30m", 5400}, {".5", 0.5},
              {"1d", 86400}, {"1.5m", 90},    {"10us", 0.00001}};
  static const char *const bad[] = {"",    "s",   "1x",  "-1",    "1s2", ".",
                                    "1 s", "inf", "nan", "1e999", "0x10"};
  double seconds;
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
    assert_true(cli_duration(good[i].text, &seconds));
    assert_true(seconds > good[i].seconds - 1e-9);
    assert_true(seconds < good[i].seconds + 1e-9);
  }
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    assert_false(cli_duration(bad[i], &seconds));
  }
}

static void test_nearest(void **state) {
  static const char *const names[] = {"run", "resume", "sessions", NULL};
  (void)state;
  assert_string_equal(cli_nearest("resum", names), "resume");
  assert_string_equal(cli_nearest("rnu", names) ? "x" : "none", "none");
  assert_string_equal(cli_nearest("ru", names), "run");
  assert_null(cli_nearest("graph", names));
  assert_int_equal(cli_distance("kitten", "sitting"), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),       cmocka_unit_test(test_lists_grow),
      cmocka_unit_test(test_wanted_first), cmocka_unit_test(test_stops_at_bare),
      cmocka_unit_test(test_mistakes),     cmocka_unit_test(test_durations),
      cmocka_unit_test(test_sizes),        cmocka_unit_test(test_nearest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
