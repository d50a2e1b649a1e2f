/* test_value.c - building, reading, checking and JSON of values.
 * SPDX-License-Identifier: MIT */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rt/value.h"

static rt_value *parse(const char *text) {
  rt_error err = RT_ERROR_INIT;
  rt_value *v;
  if (rt_value_from_json(&v, text, strlen(text), &err) != RT_OK)
    fail_msg("%s: %s", text, err.message);
  return v;
}

static void check_json(const rt_value *v, const char *want) {
  char *text;
  size_t size;
  assert_int_equal(rt_value_to_json(&text, &size, v, NULL), RT_OK);
  assert_string_equal(text, want);
  assert_int_equal(size, strlen(want));
  rt_free(text);
}

static void check_round_trip(const char *text, const char *want) {
  rt_value *v = parse(text);
  check_json(v, want);
  rt_value_unref(v);
}

static rt_value *finish(rt_builder *b) {
  rt_value *v;
  rt_error err = RT_ERROR_INIT;
  if (rt_builder_finish(b, &v, &err) != RT_OK) fail_msg("%s", err.message);
  return v;
}

/* --- building and reading -------------------------------------------- */

static void builds_and_reads_all_types(void **state) {
  (void)state;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_map(b);
  rt_builder_key(b, "s");
  rt_builder_lstring(b, "a\0b", 3);
  rt_builder_key(b, "i");
  rt_builder_int(b, -5);
  rt_builder_key(b, "n");
  rt_builder_number(b, 2.5);
  rt_builder_key(b, "whole");
  rt_builder_number(b, 4);
  rt_builder_key(b, "t");
  rt_builder_bool(b, true);
  rt_builder_key(b, "nil");
  rt_builder_nil(b);
  rt_builder_int(b, 7);
  rt_builder_string(b, "seven");
  rt_builder_key(b, "list");
  rt_builder_begin_array(b);
  for (int i = 0; i < 100; i++) rt_builder_int(b, i);
  rt_builder_end(b);
  rt_builder_end(b);
  rt_value *v = finish(b);
  rt_view view = rt_value_view(v);
  size_t size;
  assert_int_equal(rt_view_type(view), RT_MAP);
  assert_int_equal(rt_view_count(view), 8);
  assert_memory_equal(rt_view_string(rt_view_get(view, "s"), &size), "a\0b", 3);
  assert_int_equal(size, 3);
  assert_int_equal(rt_view_int(rt_view_get(view, "i"), 0), -5);
  assert_true(rt_view_number(rt_view_get(view, "i"), 0) == -5);
  assert_true(rt_view_number(rt_view_get(view, "n"), 0) == 2.5);
  assert_int_equal(rt_view_int(rt_view_get(view, "n"), 9), 9);
  assert_int_equal(rt_view_int(rt_view_get(view, "whole"), 9), 4);
  assert_true(rt_view_bool(rt_view_get(view, "t"), false));
  assert_int_equal(rt_view_type(rt_view_get(view, "nil")), RT_NIL);
  assert_null(rt_view_get(view, "absent").at);
  rt_view list = rt_view_get(view, "list");
  assert_int_equal(rt_view_count(list), 100);
  assert_int_equal(rt_view_int(rt_view_at(list, 99), 0), 99);
  assert_null(rt_view_at(list, 100).at);
  assert_null(rt_view_at(view, 0).at);
  assert_null(rt_view_get(list, "s").at);
  assert_null(rt_view_string(list, &size));
  rt_value_unref(v);
  rt_builder_free(b);
}

static void walks_arrays_and_maps(void **state) {
  (void)state;
  rt_value *v = parse("{\"a\":[1,[2,3]],\"b\":{\"c\":null},\"d\":4}");
  rt_iter iter = rt_iter_of(rt_value_view(v));
  rt_view key, item;
  char seen[8] = {0};
  size_t size;
  assert_true(iter.map);
  while (rt_iter_next(&iter, &key, &item))
    strncat(seen, rt_view_string(key, &size), 1);
  assert_string_equal(seen, "abd");
  iter = rt_iter_of(rt_view_get(rt_value_view(v), "a"));
  assert_true(rt_iter_next(&iter, &key, &item));
  assert_null(key.at);
  assert_true(rt_iter_next(&iter, NULL, &item));
  assert_int_equal(rt_view_count(item), 2);
  assert_false(rt_iter_next(&iter, &key, &item));
  iter = rt_iter_of(item);
  assert_false(rt_iter_next(&iter, NULL, NULL));
  rt_value *copy;
  assert_int_equal(
      rt_view_copy(&copy, rt_view_get(rt_value_view(v), "b"), NULL), RT_OK);
  check_json(copy, "{\"c\":null}");
  rt_value_unref(copy);
  assert_int_equal(rt_view_copy(&copy, item, NULL), RT_OK);
  check_json(copy, "null");
  rt_value_unref(copy);
  rt_value_unref(v);
}

static void of_equal_keys_the_last_counts(void **state) {
  (void)state;
  rt_value *v = parse("{\"a\":1,\"a\":2}");
  assert_int_equal(rt_view_int(rt_view_get(rt_value_view(v), "a"), 0), 2);
  rt_value_unref(v);
}

static void containers_of_every_head_size(void **state) {
  (void)state;
  static const uint32_t sizes[] = {0, 1, 15, 16, 65535, 65536, 70000};
  rt_builder *b = rt_builder_new();
  for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
    rt_builder_begin_array(b);
    rt_builder_begin_map(b);
    for (uint32_t n = 0; n < sizes[i]; n++) {
      rt_builder_int(b, n);
      rt_builder_bool(b, true);
    }
    rt_builder_end(b);
    rt_builder_begin_array(b);
    for (uint32_t n = 0; n < sizes[i]; n++) rt_builder_int(b, n);
    rt_builder_end(b);
    rt_builder_end(b);
    rt_value *v = finish(b), *again;
    rt_view list = rt_view_at(rt_value_view(v), 1);
    assert_int_equal(rt_view_count(rt_view_at(rt_value_view(v), 0)), sizes[i]);
    assert_int_equal(rt_view_count(list), sizes[i]);
    if (sizes[i])
      assert_int_equal(rt_view_int(rt_view_at(list, sizes[i] - 1), -1),
                       sizes[i] - 1);
    assert_int_equal(
        rt_value_from_data(&again, rt_value_data(v), rt_value_size(v), NULL),
        RT_OK);
    assert_true(rt_value_equal(v, again));
    rt_value_unref(again);
    rt_value_unref(v);
  }
  rt_builder_free(b);
}

static void wrong_nesting_is_told(void **state) {
  (void)state;
  rt_builder *b = rt_builder_new();
  rt_value *v;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_builder_finish(b, &v, &err), RT_EINVAL);
  assert_string_equal(err.message, "value: nothing was built");
  rt_builder_int(b, 1);
  rt_builder_int(b, 2);
  assert_int_equal(rt_builder_finish(b, &v, &err), RT_EINVAL);
  rt_builder_begin_map(b);
  rt_builder_nil(b);
  assert_int_equal(rt_builder_finish(b, &v, &err), RT_EINVAL);
  assert_string_equal(err.message, "value: a key is missing");
  rt_builder_begin_map(b);
  rt_builder_key(b, "k");
  rt_builder_end(b);
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  rt_builder_begin_array(b);
  rt_builder_key(b, "k");
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  rt_builder_begin_array(b);
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  rt_builder_end(b);
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  assert_null(v);
  rt_builder_string(b, "fine again");
  v = finish(b);
  check_json(v, "\"fine again\"");
  rt_value_unref(v);
  rt_builder_free(b);
}

static void depth_is_bounded_everywhere(void **state) {
  (void)state;
  rt_builder *b = rt_builder_new();
  rt_value *v, *deep;
  for (int i = 0; i < RT_VALUE_MAX_DEPTH; i++) rt_builder_begin_array(b);
  for (int i = 0; i < RT_VALUE_MAX_DEPTH; i++) rt_builder_end(b);
  deep = finish(b);
  assert_int_equal(
      rt_value_from_data(&v, rt_value_data(deep), rt_value_size(deep), NULL),
      RT_OK);
  rt_value_unref(v);
  rt_builder_value(b, deep);
  rt_value_unref(finish(b));
  rt_builder_begin_array(b); /* one more than there may be */
  rt_builder_value(b, deep);
  rt_builder_end(b);
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  for (int i = 0; i <= RT_VALUE_MAX_DEPTH; i++) rt_builder_begin_array(b);
  assert_int_equal(rt_builder_finish(b, &v, NULL), RT_EINVAL);
  char *text;
  size_t size;
  assert_int_equal(rt_value_to_json(&text, &size, deep, NULL), RT_OK);
  assert_int_equal(size, 2 * RT_VALUE_MAX_DEPTH);
  assert_int_equal(rt_value_from_json(&v, text, size, NULL), RT_OK);
  assert_true(rt_value_equal(v, deep));
  rt_value_unref(v);
  rt_free(text);
  rt_value_unref(deep);
  enum { FLOOD = 200000 };
  char *flood = malloc(FLOOD);
  memset(flood, 0x91, FLOOD);
  assert_int_equal(rt_value_from_data(&v, flood, FLOOD, NULL), RT_EINVAL);
  memset(flood, '[', FLOOD);
  assert_int_equal(rt_value_from_json(&v, flood, FLOOD, NULL), RT_EINVAL);
  free(flood);
  rt_builder_free(b);
}

/* --- wire form from outside ------------------------------------------ */

static void malformed_bytes_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
  } bad[] = {
      {"", 0},         /* nothing */
      {"\xC1", 1},     /* reserved */
      {"\x01\x02", 2}, /* two values */
      {"\xA5"
       "ab",
       3},                             /* cut string */
      {"\xDB\xFF\xFF\xFF\xFF", 5},     /* string of 4 GiB */
      {"\xDD\xFF\xFF\xFF\xFF\x01", 6}, /* array of 2^32 - 1 */
      {"\xDF\xFF\xFF\xFF\xFF", 5},     /* map of 2^32 - 1 */
      {"\xCB\x00\x00", 3},             /* cut double */
      {"\x81\x01", 2},                 /* a key alone */
      {"\x81\xC0\x01", 3},             /* nil as key */
      {"\x81\x90\x01", 3},             /* array as key */
      {"\x81\xCA\x00\x00\x00\x00\x01", 7} /* float as key */,
      {"\xD4\x00\x00", 3}, /* extension */
      {"\xC7\x01\x00\x00", 4},
      {"\xC9\xFF\xFF\xFF\xFF\x00", 6},
  };
  rt_value *v;
  rt_error err = RT_ERROR_INIT;
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    assert_int_equal(rt_value_from_data(&v, bad[i].bytes, bad[i].size, &err),
                     RT_EINVAL);
    assert_null(v);
  }
  assert_int_equal(rt_value_from_data(&v, NULL, 0, &err), RT_EINVAL);
}

static void foreign_encodings_are_read(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *json;
  } good[] = {
      {"\xC4\x02hi", 4, "\"hi\""}, /* bin */
      {"\xCF\x00\x00\x00\x00\x00\x00\x00\x05", 9, "5"},
      {"\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9, "1.8446744073709552e+19"},
      {"\xD3\x80\x00\x00\x00\x00\x00\x00\x00", 9, "-9223372036854775808"},
      {"\xD0\x80", 2, "-128"},
      {"\xD1\xFF\x00", 3, "-256"},
      {"\xD2\xFF\xFF\xFF\xFF", 5, "-1"},
      {"\xCA\x3F\xC0\x00\x00", 5, "1.5"},
      {"\xCB\x7F\xF0\x00\x00\x00\x00\x00\x00", 9, "null"}, /* infinite */
      {"\xDC\x00\x01\xE0", 4, "[-32]"},
      {"\xDE\x00\x01\xFF\xC3", 5, "{\"-1\":true}"},
      {"\x81\xA1\xFF\xA1\xFF", 5, "{\"\xEF\xBF\xBD\":\"\xEF\xBF\xBD\"}"},
  };
  rt_value *v;
  for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
    assert_int_equal(rt_value_from_data(&v, good[i].bytes, good[i].size, NULL),
                     RT_OK);
    check_json(v, good[i].json);
    rt_value_unref(v);
  }
}

/* Read everything a value holds, by all calls. */
static void touch(rt_view view, unsigned depth) {
  size_t size;
  rt_view key, item;
  assert_true(depth <= RT_VALUE_MAX_DEPTH);
  rt_view_int(view, 0);
  rt_view_number(view, 0);
  rt_view_bool(view, false);
  rt_view_get(view, "key");
  rt_view_at(view, 3);
  const char *text = rt_view_string(view, &size);
  for (size_t i = 0; text && i < size; i++)
    assert_true((const unsigned char *)text + i < view.end);
  rt_iter iter = rt_iter_of(view);
  while (rt_iter_next(&iter, &key, &item)) touch(item, depth + 1);
}

static void random_bytes_never_hurt(void **state) {
  (void)state;
  unsigned accepted = 0;
  srand(42);
  for (int round = 0; round < 60000; round++) {
    size_t size = (size_t)(rand() % 48);
    unsigned char *bytes = malloc(size ? size : 1); /* its end is guarded */
    for (size_t i = 0; i < size; i++)
      bytes[i] = (unsigned char)(rand() % 3 ? 0x80 + rand() % 0x30 : rand());
    rt_value *v;
    if (rt_value_from_data(&v, bytes, size, NULL) == RT_OK) {
      char *text;
      touch(rt_value_view(v), 0);
      assert_int_equal(rt_value_to_json(&text, NULL, v, NULL), RT_OK);
      rt_value *back;
      assert_int_equal(rt_value_from_json(&back, text, strlen(text), NULL),
                       RT_OK);
      rt_value_unref(back);
      rt_free(text);
      accepted++;
    } else
      assert_null(v);
    rt_value_unref(v);
    free(bytes);
  }
  assert_true(accepted > 100);
}

/* --- JSON ------------------------------------------------------------ */

static void json_keeps_what_it_says(void **state) {
  (void)state;
  static const char *const same[] = {"null",
                                     "true",
                                     "false",
                                     "0",
                                     "-1",
                                     "1.5",
                                     "\"\"",
                                     "[]",
                                     "{}",
                                     "[[]]",
                                     "[{},[],{}]",
                                     "{\"a\":[1,2,{\"b\":null}]}",
                                     "1e+300",
                                     "0.1",
                                     "123456.789",
                                     "9007199254740993",
                                     "9223372036854775807",
                                     "-9223372036854775808",
                                     "\"\\b\\f\\n\\r\\t\\\"\\\\\"",
                                     "\"\xC3\xA9\xE6\x97\xA5\"",
                                     "-0",
                                     "4.94065645841247e-324",
                                     "1.7976931348623157e+308"};
  for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
    check_round_trip(same[i], same[i]);
  check_round_trip(" [ 1 , 2 ]\n", "[1,2]");
  check_round_trip("\"\\u0041\\u00e9\\/\"", "\"A\xC3\xA9/\"");
  check_round_trip("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
  check_round_trip("\"\\ud83d\\ud83d\\ude00\"",
                   "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"");
  check_round_trip("\"\\ude00 \\ud83dx\"", "\"\xEF\xBF\xBD \xEF\xBF\xBDx\"");
  check_round_trip("\"a\xFF\xC0\xAFz\"",
                   "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\"");
  check_round_trip("\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\\u007f\"");
  check_round_trip("18446744073709551615", "1.8446744073709552e+19");
  check_round_trip("1.0", "1");
}

static void bad_json_is_refused_with_its_place(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",        " ",           "nul",    "[",        "[1",  "[1,]",
      "[,1]",    "{\"a\"}",     "{a:1}",  "{\"a\":}", "{,}", "01",
      "1.",      ".5",          "+1",     "1e",       "--1", "\"",
      "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "[1 2]",    "1 2", "{\"a\":1,}",
      "NaN",     "Infinity",    "1e999",  "'a'",      "]",   "tru",
      "\"\\",    "\"\\u",       "//",     "[1]x",     "\x01"};
  rt_value *v;
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    rt_error err = RT_ERROR_INIT;
    if (rt_value_from_json(&v, bad[i], strlen(bad[i]), &err) != RT_EINVAL)
      fail_msg("accepted: %s", bad[i]);
    assert_null(v);
    assert_non_null(strstr(err.message, "at byte "));
  }
  assert_int_equal(rt_value_from_json(&v, NULL, 0, NULL), RT_EINVAL);
}

static void numbers_ignore_the_locale(void **state) {
  (void)state;
  static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE"};
  for (size_t i = 0; i < 3; i++)
    if (setlocale(LC_NUMERIC, comma[i])) break;
  check_round_trip("[1.5,0.25]", "[1.5,0.25]");
  setlocale(LC_NUMERIC, "C");
}

static void strings_and_references(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 70000};
  char *text = malloc(70000);
  memset(text, 'x', 70000);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
    rt_value *v = rt_value_string(text, sizes[i]), *again;
    size_t size;
    assert_non_null(rt_view_string(rt_value_view(v), &size));
    assert_int_equal(size, sizes[i]);
    assert_ptr_equal(rt_value_ref(v), v);
    rt_value_unref(v);
    assert_int_equal(
        rt_value_from_data(&again, rt_value_data(v), rt_value_size(v), NULL),
        RT_OK);
    assert_true(rt_value_equal(v, again));
    rt_value_unref(again);
    rt_value_unref(v);
  }
  free(text);
  assert_null(rt_value_ref(NULL));
  rt_value_unref(NULL);
  assert_true(rt_value_equal(NULL, NULL));
  assert_int_equal(rt_view_type(rt_value_view(NULL)), RT_NIL);
  check_json(NULL, "null");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(builds_and_reads_all_types),
      cmocka_unit_test(walks_arrays_and_maps),
      cmocka_unit_test(of_equal_keys_the_last_counts),
      cmocka_unit_test(containers_of_every_head_size),
      cmocka_unit_test(wrong_nesting_is_told),
      cmocka_unit_test(depth_is_bounded_everywhere),
      cmocka_unit_test(malformed_bytes_are_refused),
      cmocka_unit_test(foreign_encodings_are_read),
      cmocka_unit_test(random_bytes_never_hurt),
      cmocka_unit_test(json_keeps_what_it_says),
      cmocka_unit_test(bad_json_is_refused_with_its_place),
      cmocka_unit_test(numbers_ignore_the_locale),
      cmocka_unit_test(strings_and_references),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
