/* bind/bind_io.h - parts of rt.core.io. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_IO_H
#define RT__BIND_IO_H

#include <lua.h>

/* bind_stdin.c: read_stdin() -> op: bytes, "" at the end. */
int rt__l_read_stdin(lua_State *L);

#endif
