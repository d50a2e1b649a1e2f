/* process/naming.h - a name for a living process; any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_NAMING_H
#define RT__PROCESS_NAMING_H

#include "rt/process.h"

/* rt_process_register() with a name of any bytes. */
rt_err rt__process_register(rt_runtime *rt, rt_pid pid, const char *name,
                            size_t size, rt_error *err);

#endif
