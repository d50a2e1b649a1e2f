/* status.c - result codes and error text (rt/status.h).
 *
 * Pure functions over plain data; no state. SPDX-License-Identifier: MIT */
#include "rt/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rt_version(void) {
  return RT_VERSION_STRING;
}

const char *rt_luajit(void) {
#ifdef RT_LUAJIT_SYSTEM
  return "packaged";
#else
  return "bundled";
#endif
}

const char *rt_status_text(rt_err code) {
  switch (code) {
#define CASE(name, number, kind, text)                                         \
  case RT_##name:                                                              \
    return text;
    RT_STATUS_MAP(CASE)
#undef CASE
  }
  return "unknown error";
}

const char *rt_status_kind(rt_err code) {
  switch (code) {
#define CASE(name, number, kind, text)                                         \
  case RT_##name:                                                              \
    return kind;
    RT_STATUS_MAP(CASE)
#undef CASE
  }
  return "UNKNOWN";
}

rt_err rt_status_from_kind(const char *kind) {
  static const struct {
    const char *kind;
    rt_err code;
  } map[] = {
#define ROW(name, number, kind, text) {kind, RT_##name},
      RT_STATUS_MAP(ROW)
#undef ROW
  };
  if (!kind || !*kind) return RT_EUNKNOWN;
  for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++)
    if (strcmp(map[i].kind, kind) == 0) return map[i].code;
  return RT_EUNKNOWN;
}

/* May the same call succeed later? */
static bool is_retryable(rt_err code) {
  return code == RT_EUNAVAIL || code == RT_ETIMEOUT || code == RT_ERATE ||
         code == RT_EFULL;
}

/* A text that was cut must not end in half a UTF-8 sequence. */
static void trim_cut(char *text, size_t size) {
  size_t n = strlen(text), back = 0;
  if (n + 1 < size) return;
  while (back < 3 && back < n && ((unsigned char)text[n - 1 - back] >> 6) == 2)
    back++;
  if (back < n && (unsigned char)text[n - 1 - back] >= 0xC0)
    text[n - 1 - back] = '\0';
}

rt_err rt_fail(rt_error *err, rt_err code, const char *fmt, ...) {
  if (!err) return code;
  va_list args;
  err->code = code;
  err->retryable = is_retryable(code);
  va_start(args, fmt);
  vsnprintf(err->message, sizeof(err->message), fmt, args);
  va_end(args);
  trim_cut(err->message, sizeof(err->message));
  return code;
}

/* Append to the message what still fits. */
static void append(rt_error *err, const char *text) {
  size_t used = strlen(err->message), more = strlen(text);
  size_t room = sizeof(err->message) - 1 - used;
  if (more > room) more = room;
  memcpy(err->message + used, text, more);
  err->message[used + more] = '\0';
}

rt_err rt_fail_context(rt_error *err, const char *fmt, ...) {
  if (!err) return RT_EUNKNOWN;
  char old[sizeof(err->message)];
  memcpy(old, err->message, sizeof(old));
  va_list args;
  va_start(args, fmt);
  vsnprintf(err->message, sizeof(err->message), fmt, args);
  va_end(args);
  if (old[0]) append(err, ": ");
  append(err, old);
  trim_cut(err->message, sizeof(err->message));
  return err->code;
}

void rt_free(void *memory) {
  free(memory);
}
