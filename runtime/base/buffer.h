/* base/buffer.h - a growable run of bytes.
 *
 * Zeroed memory is an empty buffer. When memory is short the buffer is marked
 * `failed` and further appends do nothing, so a caller may check once at the
 * end. One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__BASE_BUFFER_H
#define RT__BASE_BUFFER_H

#include "rt/status.h"

typedef struct rt__buf {
  char *data; /* NULL while nothing was appended */
  size_t size, room;
  bool failed;
} rt__buf;

void rt__buf_deinit(rt__buf *buf); /* empty again */
void rt__buf_clear(rt__buf *buf);  /* keeps its memory */
/* Room for `more` bytes behind `size`; false (and failed) when there is none.
 */
bool rt__buf_reserve(rt__buf *buf, size_t more);
void rt__buf_append(rt__buf *buf, const void *bytes, size_t size);
void rt__buf_puts(rt__buf *buf, const char *text);
void rt__buf_putc(rt__buf *buf, char c);
void rt__buf_printf(rt__buf *buf, const char *fmt, ...) RT_PRINTF(2, 3);
/* The bytes [own, rt_free], terminated, and the buffer empty; NULL when failed.
 * `*size` may be NULL. */
char *rt__buf_take(rt__buf *buf, size_t *size);

#endif
