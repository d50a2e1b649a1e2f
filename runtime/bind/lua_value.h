/* bind/lua_value.h - what the encoders of Lua tables share.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BIND_LUA_VALUE_H
#define RT__BIND_LUA_VALUE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "rt/value.h"

/* Registry name of the metatable that marks a table as an array, also when it
 * is empty. */
#define RT__LUA_ARRAY "rt.json.array"

/* Mark the table on top as an array. */
void rt__lua_mark_array(lua_State *L);
/* Are the keys of the table at `index` (absolute) exactly 1..n with n > 0?
 * Returns n, or 0 when not. Never raises. */
size_t rt__lua_array_size(lua_State *L, int index, bool *array);

/* Write nil, a boolean, a number or a string as an item at `at`, where there
 * are `room` bytes; what is behind it, or NULL: it is none of them, or too
 * long. */
unsigned char *rt__lua_put_plain(lua_State *L, int index, unsigned char *at,
                                 size_t room);
/* Push the items of an array, `most` of them; answers how many. */
int rt__lua_decode_items(lua_State *L, rt_view array, uint32_t most);

#endif
