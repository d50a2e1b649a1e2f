/* base/utf8.h - checking UTF-8. [any] thread. SPDX-License-Identifier: MIT */
#ifndef RT__BASE_UTF8_H
#define RT__BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes (1..4) of the well-formed sequence at `text`, of which `size` bytes are
 * there; 0 when it is none (overlong, surrogate, cut, beyond U+10FFFF). */
size_t rt__utf8_length(const char *text, size_t size);
bool rt__utf8_valid(const char *text, size_t size);
/* Write U+0000..U+10FFFF; returns the number of bytes (1..4). */
size_t rt__utf8_encode(unsigned code, char out[4]);

#endif
