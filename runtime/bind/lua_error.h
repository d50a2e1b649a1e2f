/* bind/lua_error.h - error objects as C sees them; see lua/rt/errors.lua.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BIND_LUA_ERROR_H
#define RT__BIND_LUA_ERROR_H

#include <lua.h>
#include <stdbool.h>

/* Is the value at `index` an error object? Never raises. */
bool rt__lua_is_error(lua_State *L, int index);
/* Push {message, kind, retryable, details, stack} for the value at `index`,
 * which may be anything. False, nothing pushed, when that fails. Never raises.
 */
bool rt__lua_error_map(lua_State *L, int index);

#endif
