/* siphash.h - SipHash-1-3 of a text: a keyed hash, so that nobody
 * who chooses values can choose collisions. Any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_SIPHASH_H
#define RT__STORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rt__siphash_of(const uint64_t key[2], const char *at, size_t size);

#endif
