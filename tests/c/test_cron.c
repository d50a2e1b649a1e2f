/* test_cron.c - cron expressions: what is refused, and the next time.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "registry/cron.h"

static int64_t at(const char *text) {
  struct tm t = {0};
  assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &t));
  return timegm(&t);
}

typedef struct row {
  const char *cron, *after, *next;
} row;

static void finds_the_next_time(void **state) {
  static const row rows[] = {
      {"* * * * *", "2026-03-01 10:00:00", "2026-03-01 10:01:00"},
      {"* * * * *", "2026-03-01 10:00:59", "2026-03-01 10:01:00"},
      {"*/15 * * * *", "2026-03-01 10:00:00", "2026-03-01 10:15:00"},
      {"*/15 * * * *", "2026-03-01 10:46:00", "2026-03-01 11:00:00"},
      {"0 3 * * *", "2026-03-01 03:00:00", "2026-03-02 03:00:00"},
      {"0 3 * * *", "2026-12-31 03:00:00", "2027-01-01 03:00:00"},
      {"30 6-8 * * *", "2026-03-01 08:30:00", "2026-03-02 06:30:00"},
      {"0 0 1 jan *", "2026-03-01 00:00:00", "2027-01-01 00:00:00"},
      {"0 0 29 2 *", "2026-03-01 00:00:00", "2028-02-29 00:00:00"},
      {"0 0 31 * *", "2026-04-01 00:00:00", "2026-05-31 00:00:00"},
      {"0 12 * * mon-fri", "2026-03-06 12:00:00", "2026-03-09 12:00:00"},
      {"0 12 * * sat-sun", "2026-03-02 00:00:00", "2026-03-07 12:00:00"},
      {"0 12 * * sat-sun", "2026-03-07 12:00:00", "2026-03-08 12:00:00"},
      {"0 12 * * mon-sun", "2026-03-08 00:00:00", "2026-03-08 12:00:00"},
      {"0 12 * * sun-sun", "2026-03-02 00:00:00", "2026-03-08 12:00:00"},
      {"0 12 * * 0-0", "2026-03-02 00:00:00", "2026-03-08 12:00:00"},
      {"0 12 * * 7", "2026-03-02 00:00:00", "2026-03-08 12:00:00"},
      {"0 12 * * SUN", "2026-03-02 00:00:00", "2026-03-08 12:00:00"},
      {"0 0 13 * fri", "2026-03-01 00:00:00", "2026-03-06 00:00:00"},
      {"0 0 13 * fri", "2026-03-06 00:00:00", "2026-03-13 00:00:00"},
      {"0 0 5 * fri", "2026-03-02 00:00:00", "2026-03-05 00:00:00"},
      {"5,10,20-22 1 * * *", "2026-03-01 01:10:00", "2026-03-01 01:20:00"},
      {"5,10,20-22 1 * * *", "2026-03-01 01:22:00", "2026-03-02 01:05:00"},
      {"10/20 * * * *", "2026-03-01 01:30:00", "2026-03-01 01:50:00"},
      {"0 0-12/6 * * *", "2026-03-01 01:30:00", "2026-03-01 06:00:00"},
      {"@hourly", "2026-03-01 01:30:00", "2026-03-01 02:00:00"},
      {"@daily", "2026-03-01 01:30:00", "2026-03-02 00:00:00"},
      {"@weekly", "2026-03-02 01:30:00", "2026-03-08 00:00:00"},
      {"@monthly", "2026-03-02 01:30:00", "2026-04-01 00:00:00"},
      {"@yearly", "2026-03-02 01:30:00", "2027-01-01 00:00:00"},
      /* the hour that Berlin leaves out, and the one it has twice: UTC */
      {"30 1 * * *", "2026-03-28 01:30:00", "2026-03-29 01:30:00"},
      {"30 0 * * *", "2026-10-25 00:29:59", "2026-10-25 00:30:00"},
      {"30 0 * * *", "2026-10-25 00:30:00", "2026-10-26 00:30:00"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    rt_error err = RT_ERROR_INIT;
    rt__cron cron;
    char text[40];
    assert_int_equal(rt__cron_parse(&cron, rows[i].cron, &err), RT_OK);
    time_t next = (time_t)rt__cron_next(&cron, at(rows[i].after));
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime(&next));
    if (strcmp(text, rows[i].next) != 0)
      print_error("%s after %s\n", rows[i].cron, rows[i].after);
    assert_string_equal(text, rows[i].next);
  }
}

static void refuses_with_the_field(void **state) {
  static const char *const rows[][2] = {
      {"", "five fields"},
      {"* * * *", "five fields"},
      {"* * * * * *", "five fields"},
      {"@often", "five fields"},
      {"60 * * * *", "minute: expected"},
      {"-1 * * * *", "minute: expected"},
      {"x * * * *", "minute: expected"},
      {"1- * * * *", "minute: expected"},
      {"5-1 * * * *", "minute: expected"},
      {"1,,2 * * * *", "minute: expected"},
      {", * * * *", "minute: expected"},
      {"*/0 * * * *", "minute: expected a step"},
      {"*/x * * * *", "minute: expected a step"},
      {"*/ * * * *", "minute: expected a step"},
      {"** * * * *", "minute: expected"},
      {"1e1 * * * *", "minute: expected"},
      {"0 24 * * *", "hour: expected"},
      {"0 0 0 * *", "day of month: expected"},
      {"0 0 32 * *", "day of month: expected"},
      {"0 0 jan * *", "day of month: expected"},
      {"0 0 1 13 *", "month: expected"},
      {"0 0 1 0 *", "month: expected"},
      {"0 0 1 foo *", "month: expected"},
      {"0 0 * * 8", "day of week: expected"},
      {"0 0 * * sunday", "day of week: expected"},
      {"0 0 30 2 *", "a date that exists"},
      {"0 0 31 apr,jun *", "a date that exists"},
      {"999999999999999999999 * * * *", "minute: expected"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    rt_error err = RT_ERROR_INIT;
    rt__cron cron;
    rt_err rc = rt__cron_parse(&cron, rows[i][0], &err);
    if (rc != RT_EINVAL || !strstr(err.message, rows[i][1]))
      print_error("%s: %s\n", rows[i][0], err.message);
    assert_int_equal(rc, RT_EINVAL);
    assert_non_null(strstr(err.message, rows[i][1]));
  }
}

static void refuses_long_text(void **state) {
  rt_error err = RT_ERROR_INIT;
  rt__cron cron;
  char text[5000];
  (void)state;
  memset(text, '1', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  assert_int_equal(rt__cron_parse(&cron, text, &err), RT_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_the_next_time),
      cmocka_unit_test(refuses_with_the_field),
      cmocka_unit_test(refuses_long_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
