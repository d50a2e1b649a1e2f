/* rerun.c - when a capability runs again, and events as its inputs.
 *
 * An event is an asset that the engine makes, of the class asset.gone:CLASS.
 * Only inputs that begin with asset.new, asset.changed or asset.gone take it:
 * "*" and "**" mean what capabilities find.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "registry/capability.h"

/* --- durations: "24h", "1h30m", as rt.duration reads them -------------- */
static bool unit_of(const char *text, size_t size, double *seconds) {
  static const struct {
    const char *name;
    double seconds;
  } units[] = {{"d", 86400}, {"h", 3600},  {"m", 60},   {"s", 1},
               {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}};
  for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
    if (strlen(units[i].name) != size) continue;
    if (memcmp(units[i].name, text, size) != 0) continue;
    *seconds = units[i].seconds;
    return true;
  }
  return false;
}

/* Digits with at most one point: strtod() takes more, and asks the locale. */
static const char *number_of(const char *at, double *number) {
  double scale = 1;
  bool point = false, digits = false;
  for (*number = 0; (*at >= '0' && *at <= '9') || (*at == '.' && !point);
       at++) {
    if (*at == '.') {
      point = true;
      continue;
    }
    digits = true;
    if (point) scale /= 10;
    *number = point ? *number + scale * (*at - '0') : *number * 10 + *at - '0';
  }
  return digits ? at : NULL;
}

bool rt__duration_parse(const char *at, double *seconds) {
  for (*seconds = 0; *at;) {
    double number, unit;
    at = number_of(at, &number);
    if (!at) return false;
    size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    if (!unit_of(at, size, &unit)) return false;
    *seconds += number * unit;
    at += size;
  }
  if (*seconds > 1e10) *seconds = 1e10;
  return *seconds > 0;
}

bool rt__rerun_parse(const char *text, rt__rerun *rerun, double *seconds) {
  *seconds = 0;
  *rerun = RT__RERUN_ONCE;
  if (strcmp(text, "once") == 0) return true;
  *rerun = RT__RERUN_ON_CHANGE;
  if (strcmp(text, "on_change") == 0) return true;
  *rerun = RT__RERUN_ALWAYS;
  if (strcmp(text, "always") == 0) return true;
  *rerun = RT__RERUN_AFTER;
  return strncmp(text, "after:", 6) == 0 &&
         rt__duration_parse(text + 6, seconds);
}

/* --- inputs ------------------------------------------------------------ */
/* Bytes of "asset.KIND" that the name begins with, up to its end or a colon;
 * 0: it is no event. */
static size_t event_size(const char *name, size_t size) {
  static const char *const kinds[] = {"asset.new", "asset.changed",
                                      "asset.gone"};
  for (size_t i = 0; i < 3; i++) {
    size_t length = strlen(kinds[i]);
    if (size < length || memcmp(name, kinds[i], length) != 0) continue;
    if (size == length || name[length] == ':') return length;
  }
  return 0;
}

bool rt__input_is_event(const char *input) {
  return event_size(input, strlen(input)) > 0;
}

bool rt__input_takes(const char *input, const char *class_, size_t size) {
  size_t length = strlen(input);
  size_t asked = event_size(input, length), event = event_size(class_, size);
  if (!asked && !event) return rt_pattern_match(input, length, class_, size);
  if (asked != event || memcmp(input, class_, event) != 0) return false;
  if (length == asked) return true;
  if (size == event) return false;
  return rt_pattern_match(input + asked + 1, length - asked - 1,
                          class_ + event + 1, size - event - 1);
}
