/* base/log.h - where log lines go: a callback, or nowhere.
 *
 * Constant once set up, so any thread may write. SPDX-License-Identifier: MIT
 */
#ifndef RT__BASE_LOG_H
#define RT__BASE_LOG_H

#include <stdarg.h>

#include "rt/runtime.h"

typedef struct rt__log {
  rt_log_fn fn; /* NULL: lines are dropped */
  void *arg;
} rt__log;

/* `log` may be NULL. Lines longer than 8 KiB are cut. */
void rt__log_write(const rt__log *log, rt_log_level level,
                   const rt_value *fields, const char *fmt, ...)
    RT_PRINTF(4, 5);
void rt__log_vwrite(const rt__log *log, rt_log_level level,
                    const rt_value *fields, const char *fmt, va_list args)
    RT_PRINTF(4, 0);

#endif
