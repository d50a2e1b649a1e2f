/* embedded.h - the Lua library of lua/, as bytecode inside the program.
 *
 * The build compiles each lua/A/B.lua to module "A.B" with its debug
 * information. Constant data: any thread may look.
 * SPDX-License-Identifier: MIT */
#ifndef RT_BASE_EMBEDDED_H
#define RT_BASE_EMBEDDED_H
#include <stddef.h>

struct rt__embedded {
  const char *name;
  const unsigned char *data;
  size_t size;
};

/* The module called `name`, or NULL. */
const struct rt__embedded *rt__embedded_find(const char *name);

/* All modules by name, ended by one whose name is NULL. */
const struct rt__embedded *rt__embedded_list(void);

#endif
