/* net/fault.h - system errors as results.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_FAULT_H
#define RT__NET_FAULT_H

#include "rt/status.h"

/* Fill `err` with `fmt`, ": " and the text of an errno (positive) or libuv
 * code (negative); returns the rt_err it maps to. */
rt_err rt__net_fault(rt_error *err, int code, const char *fmt, ...)
    RT_PRINTF(3, 4);

#endif
