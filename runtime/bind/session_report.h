/* bind/session_report.h - reports for scripts, read on the thread pool.
 * Only this folder includes it. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_SESSION_REPORT_H
#define RT__BIND_SESSION_REPORT_H

#include <lua.h>

/* report(verb, {dir, name, ...}) -> operation. */
int rt__l_report(lua_State *L);

#endif
