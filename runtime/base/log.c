/* log.c - see log.h. SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdio.h>

void rt__log_vwrite(const rt__log *log, rt_log_level level,
                    const rt_value *fields, const char *fmt, va_list args) {
  char line[8192];
  if (!log || !log->fn) return;
  vsnprintf(line, sizeof(line), fmt, args);
  log->fn(level, line, fields, log->arg);
}

void rt__log_write(const rt__log *log, rt_log_level level,
                   const rt_value *fields, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  rt__log_vwrite(log, level, fields, fmt, args);
  va_end(args);
}
