/* process/listing.h - the operation behind process.list().
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_LISTING_H
#define RT__PROCESS_LISTING_H

#include <lua.h>

/* Push an operation whose result is a list of {pid, state, mailbox, memory,
 * age}, oldest first. */
int rt__listing(lua_State *L);

#endif
