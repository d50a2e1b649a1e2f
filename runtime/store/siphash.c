/* siphash.c - the hash of siphash.h. SPDX-License-Identifier: MIT */
#include "store/siphash.h"

#include <string.h>

static uint64_t rotl(uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

static void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotl(v[1], 13) ^ v[0];
  v[3] = rotl(v[3], 16) ^ v[2];
  v[0] = rotl(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotl(v[1], 17) ^ v[2];
  v[3] = rotl(v[3], 21) ^ v[0];
  v[2] = rotl(v[2], 32);
}

static void word(uint64_t v[4], uint64_t m) {
  v[3] ^= m;
  sip_round(v);
  v[0] ^= m;
}

uint64_t rt__siphash_of(const uint64_t key[2], const char *at, size_t size) {
  uint64_t v[4] = {
      key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
      key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
  uint64_t last = (uint64_t)size << 56;
  size_t whole = size & ~(size_t)7;
  for (size_t i = 0; i < whole; i += 8) {
    uint64_t m;
    memcpy(&m, at + i, 8);
    word(v, m);
  }
  for (size_t i = whole; i < size; i++) {
    last |= (uint64_t)(unsigned char)at[i] << (8 * (i - whole));
  }
  word(v, last);
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
