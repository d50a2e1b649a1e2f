/* cli/when.c - points in time as they are given on the command line.
 * SPDX-License-Identifier: MIT */
#include "when.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

/* "@1700000000" */
static bool unix_time(const char *text, double *out) {
  char *end = NULL;
  if (text[1] < '0' || text[1] > '9') return false;
  *out = strtod(text + 1, &end);
  return *end == '\0';
}

static bool date(const char *text, double *out) {
  static const char *const forms[] = {"%Y-%m-%d",          "%Y-%m-%d %H:%M",
                                      "%Y-%m-%dT%H:%M",    "%Y-%m-%d %H:%M:%S",
                                      "%Y-%m-%dT%H:%M:%S", NULL};
  for (const char *const *form = forms; *form; form++) {
    struct tm tm = {0};
    const char *end = strptime(text, *form, &tm);
    if (!end || (*end && strcmp(end, "Z") != 0)) continue;
    tm.tm_isdst = -1;
    *out = (double)(*end ? timegm(&tm) : mktime(&tm));
    return true;
  }
  return false;
}

bool cli_when(const char *text, double *out) {
  double ago;
  if (text[0] == '@') return unix_time(text, out);
  if (date(text, out)) return true;
  if (!cli_duration(text, &ago)) return false;
  *out = now() - ago;
  return true;
}
