/* base/clock.h - monotonic and wall time. [any] thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BASE_CLOCK_H
#define RT__BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that only goes forward. */
uint64_t rt__now_ns(void);
/* A span in nanoseconds: 0 when it is negative or no number, at most 1e18. */
uint64_t rt__span_ns(double seconds);
/* Seconds since 1970, with fraction. */
double rt__now_unix(void);

#endif
