/* test_status.c - codes, error text and the small tools of runtime/base.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/queue.h"
#include "base/utf8.h"

static void codes_have_text_and_kind(void **state) {
  (void)state;
  assert_string_equal(rt_status_text(RT_OK), "success");
  assert_string_equal(rt_status_kind(RT_ENOTFOUND), "NOT_FOUND");
  assert_string_equal(rt_status_kind(RT_EFULL), "UNAVAILABLE");
  assert_string_equal(rt_status_kind((rt_err)-999), "UNKNOWN");
  assert_string_equal(rt_status_text((rt_err)-999), "unknown error");
  assert_int_equal(rt_status_from_kind("TIMEOUT"), RT_ETIMEOUT);
  assert_int_equal(rt_status_from_kind("CANCELED"), RT_ECANCELED);
  assert_int_equal(rt_status_from_kind("UNAVAILABLE"), RT_EUNAVAIL);
  assert_int_equal(rt_status_from_kind("nonsense"), RT_EUNKNOWN);
  assert_int_equal(rt_status_from_kind(""), RT_EUNKNOWN);
  assert_int_equal(rt_status_from_kind(NULL), RT_EUNKNOWN);
  assert_string_equal(rt_version(), RT_VERSION_STRING);
}

static void failing_fills_and_adds_context(void **state) {
  (void)state;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt_fail(&err, RT_ETIMEOUT, "no answer from %s", "x"),
                   RT_ETIMEOUT);
  assert_true(err.retryable);
  assert_int_equal(rt_fail_context(&err, "query %d", 7), RT_ETIMEOUT);
  assert_string_equal(err.message, "query 7: no answer from x");
  assert_int_equal(rt_fail(NULL, RT_EINVAL, "unheard"), RT_EINVAL);
  assert_int_equal(rt_fail_context(NULL, "unheard"), RT_EUNKNOWN);
}

static void long_text_is_cut_at_a_character(void **state) {
  (void)state;
  rt_error err = RT_ERROR_INIT;
  char text[1200];
  for (size_t i = 0; i + 1 < sizeof(text); i += 2)
    memcpy(text + i, "\xC3\xA9", 2);
  text[sizeof(text) - 2] = '\0';
  for (int lead = 0; lead < 3; lead++) {
    rt_fail(&err, RT_EINVAL, "%.*s%s", lead, "abc", text);
    assert_true(strlen(err.message) >= sizeof(err.message) - 3);
    assert_true(rt__utf8_valid(err.message, strlen(err.message)));
    rt_fail_context(&err, "%s", text);
    assert_true(rt__utf8_valid(err.message, strlen(err.message)));
  }
}

static void buffers_grow_and_are_taken(void **state) {
  (void)state;
  rt__buf buf = {0};
  for (int i = 0; i < 1000; i++) rt__buf_printf(&buf, "%d,", i);
  rt__buf_putc(&buf, '.');
  size_t size;
  char *text = rt__buf_take(&buf, &size);
  assert_non_null(text);
  assert_int_equal(size, 3891);
  assert_memory_equal(text, "0,1,2,3,", 8);
  assert_string_equal(text + size - 5, "999,.");
  assert_null(buf.data);
  rt_free(text);
  text = rt__buf_take(&buf, NULL);
  assert_string_equal(text, "");
  rt_free(text);
  assert_false(rt__buf_reserve(&buf, SIZE_MAX / 2 + 2));
  rt__buf_puts(&buf, "ignored");
  assert_null(rt__buf_take(&buf, NULL));
  assert_false(buf.failed);
}

static void map_agrees_with_an_array(void **state) {
  (void)state;
  enum { KEYS = 500, STEPS = 20000 };
  static int values[KEYS];
  bool there[KEYS] = {false};
  rt__map map = {0};
  size_t count = 0;
  srand(7);
  for (int step = 0; step < STEPS; step++) {
    int i = rand() % KEYS;
    char key[16];
    int n = snprintf(key, sizeof(key), "key%d", i);
    if (rand() % 2) {
      void *old;
      assert_int_equal(rt__map_set(&map, key, (size_t)n, &values[i], &old),
                       RT_OK);
      assert_ptr_equal(old, there[i] ? &values[i] : NULL);
      count += !there[i];
      there[i] = true;
    } else {
      void *gone = rt__map_remove(&map, key, (size_t)n);
      assert_ptr_equal(gone, there[i] ? &values[i] : NULL);
      count -= there[i];
      there[i] = false;
    }
    assert_int_equal(map.count, count);
  }
  size_t at = 0, seen = 0, size;
  const char *key;
  int *value;
  while ((value = rt__map_next(&map, &at, &key, &size)) != NULL) {
    assert_true(there[value - values]);
    assert_int_equal(atoi(key + 3), value - values);
    assert_int_equal(size, strlen(key));
    seen++;
  }
  assert_int_equal(seen, count);
  assert_null(rt__map_get(&map, "key", 3));
  rt__map_deinit(&map);
  assert_null(rt__map_get(&map, "key1", 4));
}

static void queue_keeps_order_and_refuses_when_closed(void **state) {
  (void)state;
  rt__queue queue;
  rt__node nodes[3];
  bool was_empty;
  assert_int_equal(rt__queue_init(&queue), RT_OK);
  assert_true(rt__queue_push(&queue, &nodes[0], &was_empty));
  assert_true(was_empty);
  assert_true(rt__queue_push(&queue, &nodes[1], &was_empty));
  assert_false(was_empty);
  assert_int_equal(rt__queue_count(&queue), 2);
  rt__queue_close(&queue);
  assert_false(rt__queue_push(&queue, &nodes[2], NULL));
  rt__node *first = rt__queue_take(&queue);
  assert_ptr_equal(first, &nodes[0]);
  assert_ptr_equal(first->next, &nodes[1]);
  assert_null(first->next->next);
  assert_null(rt__queue_take(&queue));
  rt__queue_deinit(&queue);
}

static void utf8_is_checked_and_written(void **state) {
  (void)state;
  static const char *const bad[] = {"\x80",
                                    "\xC0\x80",
                                    "\xC3",
                                    "\xE0\x80\x80",
                                    "\xED\xA0\x80",
                                    "\xF4\x90\x80\x80",
                                    "\xF0\x80\x80\x80",
                                    "\xFF",
                                    "ok\xE2\x82"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    assert_false(rt__utf8_valid(bad[i], strlen(bad[i])));
  for (unsigned code = 0; code <= 0x10FFFF; code++) {
    char out[4];
    size_t n = rt__utf8_encode(code, out);
    bool surrogate = code >= 0xD800 && code < 0xE000;
    assert_int_equal(rt__utf8_length(out, n), surrogate ? 0 : n);
  }
}

static void clock_and_hash(void **state) {
  (void)state;
  uint64_t a = rt__now_ns(), b = rt__now_ns();
  assert_true(b >= a && rt__now_unix() > 1.6e9);
  assert_true(rt__hash("abc", 3, 1) == rt__hash("abc", 3, 1));
  assert_true(rt__hash("abc", 3, 1) != rt__hash("abc", 3, 2));
  assert_true(rt__hash("abc\0", 4, 1) != rt__hash("abc", 3, 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_have_text_and_kind),
      cmocka_unit_test(failing_fills_and_adds_context),
      cmocka_unit_test(long_text_is_cut_at_a_character),
      cmocka_unit_test(buffers_grow_and_are_taken),
      cmocka_unit_test(map_agrees_with_an_array),
      cmocka_unit_test(queue_keeps_order_and_refuses_when_closed),
      cmocka_unit_test(utf8_is_checked_and_written),
      cmocka_unit_test(clock_and_hash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
