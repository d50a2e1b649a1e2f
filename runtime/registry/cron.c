/* cron.c - see cron.h. SPDX-License-Identifier: MIT */
#include "registry/cron.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define YEARS     30
#define TEXT_SIZE 200

typedef struct field {
  const char *name;
  int low, high;
  const char *const *names; /* of the numbers from `low` on, or NULL */
  int name_count;
} field;

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed",
                                       "thu", "fri", "sat"};
static const field fields[5] = {{"minute", 0, 59, NULL, 0},
                                {"hour", 0, 23, NULL, 0},
                                {"day of month", 1, 31, NULL, 0},
                                {"month", 1, 12, months, 12},
                                {"day of week", 0, 7, weekdays, 7}};
static const char *const nicknames[][2] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"},  {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"}};

/* --- parsing ---------------------------------------------------------- */
static rt_err bad(const field *f, const char *part, rt_error *err) {
  return rt_fail(err, RT_EINVAL,
                 "%s: expected *, a number from %d to %d%s, a range or a list "
                 "of them, got \"%.60s\"",
                 f->name, f->low, f->high, f->names ? " or a name" : "", part);
}

/* A number or a name at *at; false: neither. */
static bool read_number(const field *f, const char **at, int *out) {
  int digits = 0;
  *out = 0;
  for (; **at >= '0' && **at <= '9' && digits < 3; (*at)++, digits++)
    *out = *out * 10 + (**at - '0');
  if (digits > 0) return true;
  for (int i = 0; i < f->name_count; i++) {
    if (strncasecmp(*at, f->names[i], 3) != 0) continue;
    *at += 3;
    *out = f->low + i;
    return true;
  }
  return false;
}

/* One of a list: *, N, N-M, each with /STEP. */
static rt_err read_part(const field *f, const char *part, uint64_t *set,
                        rt_error *err) {
  const char *at = part;
  int from = f->low, to = f->high, step = 1;
  bool star = *at == '*', range = star;
  if (star) {
    at++;
  } else {
    if (!read_number(f, &at, &from)) return bad(f, part, err);
    to = from;
    if (*at == '-') {
      at++;
      if (!read_number(f, &at, &to)) return bad(f, part, err);
      /* mon-sun: Sunday ends the week */
      if (to == 0 && from > 0 && f->high == 7) to = 7;
      range = true;
    }
  }
  if (*at == '/') {
    const field steps = {f->name, 1, f->high, NULL, 0};
    at++;
    if (!read_number(&steps, &at, &step) || step < 1)
      return rt_fail(err, RT_EINVAL,
                     "%s: expected a step of 1 or more, got \"%.60s\"", f->name,
                     part);
    if (!range) to = f->high;
  }
  if (*at || from < f->low || to > f->high || from > to)
    return bad(f, part, err);
  for (int i = from; i <= to; i += step) *set |= 1ull << i;
  return RT_OK;
}

static rt_err read_field(const field *f, char *text, uint64_t *set,
                         rt_error *err) {
  *set = 0;
  for (char *part = text; part;) {
    char *comma = strchr(part, ',');
    if (comma) *comma = '\0';
    rt_err rc = read_part(f, part, set, err);
    if (rc != RT_OK) return rc;
    part = comma ? comma + 1 : NULL;
  }
  return RT_OK;
}

rt_err rt__cron_parse(rt__cron *out, const char *text, rt_error *err) {
  uint64_t *const sets[5] = {&out->minutes, &out->hours, &out->days,
                             &out->months, &out->weekdays};
  char copy[TEXT_SIZE], *words[6], *save = NULL;
  int count = 0;
  memset(out, 0, sizeof(*out));
  for (size_t i = 0; i < sizeof(nicknames) / sizeof(*nicknames); i++)
    if (strcmp(text, nicknames[i][0]) == 0) text = nicknames[i][1];
  if (strlen(text) >= sizeof(copy))
    return rt_fail(err, RT_EINVAL, "expected five fields, got %zu characters",
                   strlen(text));
  strcpy(copy, text);
  for (char *word = strtok_r(copy, " \t", &save); word && count < 6;
       word = strtok_r(NULL, " \t", &save))
    words[count++] = word;
  if (count != 5)
    return rt_fail(err, RT_EINVAL,
                   "expected five fields (minute, hour, day of month, month, "
                   "day of week), got \"%.80s\"",
                   text);
  out->any_day = words[2][0] == '*';
  out->any_weekday = words[4][0] == '*';
  for (int i = 0; i < 5; i++) {
    rt_err rc = read_field(&fields[i], words[i], sets[i], err);
    if (rc != RT_OK) return rc;
  }
  if (out->weekdays & 1ull << 7) out->weekdays |= 1;
  if (rt__cron_next(out, 0) >= 0) return RT_OK;
  return rt_fail(err, RT_EINVAL, "expected a date that exists, got \"%.80s\"",
                 text);
}

/* --- the next time ---------------------------------------------------- */
static bool has(uint64_t set, int bit) {
  return set >> bit & 1;
}

static bool day_fits(const rt__cron *c, const struct tm *t) {
  bool day = has(c->days, t->tm_mday), weekday = has(c->weekdays, t->tm_wday);
  if (!has(c->months, t->tm_mon + 1)) return false;
  if (c->any_day || c->any_weekday) return day && weekday;
  return day || weekday;
}

int64_t rt__cron_next(const rt__cron *c, int64_t after) {
  int64_t day = after - ((after % 86400) + 86400) % 86400;
  int64_t first = after - ((after % 60) + 60) % 60 + 60;
  for (int days = 0; days < YEARS * 366; days++, day += 86400) {
    struct tm t;
    time_t at = (time_t)day;
    if (!gmtime_r(&at, &t)) return -1;
    if (!day_fits(c, &t)) continue;
    for (int hour = 0; hour < 24; hour++) {
      if (!has(c->hours, hour)) continue;
      for (int minute = 0; minute < 60; minute++) {
        int64_t found = day + hour * 3600 + minute * 60;
        if (has(c->minutes, minute) && found >= first) return found;
      }
    }
  }
  return -1;
}
