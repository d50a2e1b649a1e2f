/* utf8.c - see utf8.h. SPDX-License-Identifier: MIT */
#include "base/utf8.h"

static bool is_tail(unsigned char c) {
  return (c & 0xC0) == 0x80;
}

size_t rt__utf8_length(const char *text, size_t size) {
  const unsigned char *p = (const unsigned char *)text;
  if (size == 0) return 0;
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
  if (size < 2 || !is_tail(p[1])) return 0;
  if (p[0] < 0xE0) return 2;
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
  if (p[0] == 0xED && p[1] > 0x9F) return 0;
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;
  if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
  if (size < 3 || !is_tail(p[2])) return 0;
  if (p[0] < 0xF0) return 3;
  return size >= 4 && is_tail(p[3]) ? 4 : 0;
}

bool rt__utf8_valid(const char *text, size_t size) {
  while (size > 0) {
    size_t n = rt__utf8_length(text, size);
    if (n == 0) return false;
    text += n;
    size -= n;
  }
  return true;
}

size_t rt__utf8_encode(unsigned code, char out[4]) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = n - 1; i > 0; i--, code >>= 6)
    out[i] = (char)(0x80 | (code & 0x3F));
  out[0] = (char)(lead[n] | code);
  return n;
}
