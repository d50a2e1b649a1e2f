/* allow.h - which groups of the library scripts may use.
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_ALLOW_H
#define RT__PROCESS_ALLOW_H

#include "rt/runtime.h"

/* RT_EINVAL: a word that is none, or unsafe scripts. */
rt_err rt__allow_check(const rt_runtime_opts *opts, rt_error *err);

#endif
