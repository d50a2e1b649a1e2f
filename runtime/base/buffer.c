/* buffer.c - see buffer.h. SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rt__buf_deinit(rt__buf *buf) {
  free(buf->data);
  memset(buf, 0, sizeof(*buf));
}

void rt__buf_clear(rt__buf *buf) {
  buf->size = 0;
  buf->failed = false;
}

bool rt__buf_reserve(rt__buf *buf, size_t more) {
  if (buf->failed) return false;
  if (more <= buf->room - buf->size) return true;
  size_t room = buf->room ? buf->room : 64;
  while (room - buf->size < more) {
    if (room > SIZE_MAX / 2) {
      buf->failed = true;
      return false;
    }
    room *= 2;
  }
  char *data = realloc(buf->data, room);
  if (!data) {
    buf->failed = true;
    return false;
  }
  buf->data = data;
  buf->room = room;
  return true;
}

void rt__buf_append(rt__buf *buf, const void *bytes, size_t size) {
  if (size == 0 || !rt__buf_reserve(buf, size)) return;
  memcpy(buf->data + buf->size, bytes, size);
  buf->size += size;
}

void rt__buf_puts(rt__buf *buf, const char *text) {
  rt__buf_append(buf, text, strlen(text));
}

void rt__buf_putc(rt__buf *buf, char c) {
  rt__buf_append(buf, &c, 1);
}

void rt__buf_printf(rt__buf *buf, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  if (n < 0)
    buf->failed = true;
  else if (rt__buf_reserve(buf, (size_t)n + 1)) {
    vsnprintf(buf->data + buf->size, (size_t)n + 1, fmt, again);
    buf->size += (size_t)n;
  }
  va_end(again);
}

char *rt__buf_take(rt__buf *buf, size_t *size) {
  char *data = NULL;
  if (rt__buf_reserve(buf, 1)) {
    data = buf->data;
    data[buf->size] = '\0';
    if (size) *size = buf->size;
    memset(buf, 0, sizeof(*buf));
  } else
    rt__buf_deinit(buf);
  return data;
}
