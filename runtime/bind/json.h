/* bind/json.h - JSON text to Lua values and back, without a value between.
 *
 * null is a light userdata NULL, arrays carry the metatable RT__LUA_ARRAY.
 * Both nest at most RT__JSON_DEPTH deep. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_JSON_H
#define RT__BIND_JSON_H

#include <lua.h>

#include "base/buffer.h"

#define RT__JSON_DEPTH 512

/* Push the value of a text (terminated behind `size`), or fail with RT_EINVAL
 * saying line and column. May raise when memory is short. */
rt_err rt__json_decode(lua_State *L, const char *text, size_t size,
                       rt_error *err);
/* Append the value at `index` (absolute). `indent`: spaces a level, 0 for one
 * line. Keys come in byte order. May raise when memory is short. */
rt_err rt__json_encode(lua_State *L, int index, int indent, rt__buf *out,
                       rt_error *err);

#endif
