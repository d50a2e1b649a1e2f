/* base/hash.h - a fast 64-bit hash of bytes. [any] thread.
 *
 * Not cryptographic. With a seed that outsiders do not know it is hard to make
 * collisions on purpose. SPDX-License-Identifier: MIT */
#ifndef RT__BASE_HASH_H
#define RT__BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rt__hash(const void *bytes, size_t size, uint64_t seed);
/* A seed that differs from call to call and program to program. */
uint64_t rt__hash_seed(void);

#endif
