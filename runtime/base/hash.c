/* hash.c - multiply and fold, eight bytes a step. See hash.h.
 * SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <string.h>
#include <uv.h>

#define K0 0x9E3779B97F4A7C15u
#define K1 0xD6E8FEB86659FD93u

__extension__ typedef unsigned __int128 u128;

/* The 128-bit product, folded. */
static uint64_t mix(uint64_t a, uint64_t b) {
  u128 p = (u128)a * b;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t load8(const unsigned char *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

static uint64_t load4(const unsigned char *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

/* The last 0 to 7 bytes, all of them, without a loop. */
static uint64_t load_rest(const unsigned char *p, size_t n) {
  if (n >= 4) return load4(p) << 32 | load4(p + n - 4);
  if (n == 0) return 0;
  return (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
}

uint64_t rt__hash(const void *bytes, size_t size, uint64_t seed) {
  const unsigned char *p = bytes;
  uint64_t h = seed ^ K0;
  size_t left = size;
  for (; left >= 8; p += 8, left -= 8)
    h = mix(h ^ load8(p), K1) + (h << 1 | h >> 63);
  return mix(mix(h ^ load_rest(p, left), K0 ^ size), K1);
}

uint64_t rt__hash_seed(void) {
  uint64_t seed = 0;
  if (uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL) != 0)
    seed = uv_hrtime() ^ (uint64_t)(uintptr_t)&seed;
  return seed;
}
