/* repeat.h - texts made of one part many times: hostile patterns and names.
 * SPDX-License-Identifier: MIT */
#ifndef REPEAT_H
#define REPEAT_H

#include <stdlib.h>
#include <string.h>

/* `head`, `times` times `part`, `tail` [own: free()]. */
static inline char *repeat(const char *head, const char *part, size_t times,
                           const char *tail) {
  size_t h = strlen(head), n = strlen(part);
  char *out = malloc(h + n * times + strlen(tail) + 1);
  memcpy(out, head, h);
  for (size_t i = 0; i < times; i++) memcpy(out + h + i * n, part, n);
  strcpy(out + h + n * times, tail);
  return out;
}

#endif
