/* registry/capability_make.h - how the registry makes capabilities.
 *
 * Only this folder includes it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__REGISTRY_CAPABILITY_MAKE_H
#define RT__REGISTRY_CAPABILITY_MAKE_H

#include "registry/capability.h"

/* A capability [own] of a map as of API 4.1, in which `timeout` is seconds or
 * false, `rate` tokens a second, and has_match, has_rate_key, has_prioritize
 * stand for the functions. RT_EINVAL names the field. */
rt_err rt__capability_new(rt_capability **out, const rt_value *declaration,
                          rt_error *err);
/* Where a capability in Lua comes from; all is copied, `file` may be NULL. */
rt_err rt__capability_set_source(rt_capability *capability, const char *file,
                                 const char *source, size_t source_size,
                                 uint32_t index, rt_error *err);
/* The map [own] of a capability in C. */
rt_err rt__capability_declare(rt_value **out, const rt_capability_opts *opts,
                              rt_error *err);

#endif
