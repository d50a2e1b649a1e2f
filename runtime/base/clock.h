/* base/clock.h - monotonic and wall time. [any] thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BASE_CLOCK_H
#define RT__BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that only goes forward. */
uint64_t rt__now_ns(void);
/* Seconds since 1970, with fraction. */
double rt__now_unix(void);

#endif
