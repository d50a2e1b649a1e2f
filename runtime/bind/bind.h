/* bind/bind.h - the C halves of the Lua library and how a VM finds modules.
 *
 * `require` in the library knows two places: the C halves ("rt.core.NAME") and
 * the embedded Lua modules. Neither is reachable for scripts.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__BIND_BIND_H
#define RT__BIND_BIND_H

#include <lua.h>

#include "process/sched.h"

/* Make `require` of the library's modules work in a new VM. */
void rt__bind_open(lua_State *L);
/* A message handler: the error as text with a traceback. */
int rt__traceback(lua_State *L);
/* The process that runs; raises when none does. */
rt__process *rt__lua_process(lua_State *L);
/* The running fiber; raises when it cannot wait here. */
struct rt__fiber *rt__lua_waiter(lua_State *L);

#define X(name) int rt__open_##name(lua_State *L);
#include "bind/list.h"
#undef X

#endif
