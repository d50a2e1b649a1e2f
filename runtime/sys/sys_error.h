/* sys/sys_error.h - system error numbers as codes of ours. [any] thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__SYS_ERROR_H
#define RT__SYS_ERROR_H

#include "rt/status.h"

/* The code for an errno, which may be negated (as libuv gives them). */
rt_err rt__sys_code(int number);
/* Fill `err` with "MESSAGE: text of the number"; returns its code. */
rt_err rt__sys_fail(rt_error *err, int number, const char *fmt, ...)
    RT_PRINTF(3, 4);

#endif
