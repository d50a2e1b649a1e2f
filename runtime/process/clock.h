/* process/clock.h - the timers and tickers of a process.
 *
 *   start --> armed --due--> in line --"@time"--> next(): its object
 *               '--stop--> gone  '--stop--> gone
 *
 * What is due waits in line until the library, told by one mail however many
 * there are, takes it from there. A clock is a number of its process; its
 * object is kept until then, in a table of the VM.
 *
 * Worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_CLOCK_H
#define RT__PROCESS_CLOCK_H

#include "process/sched.h"

/* Of the running process, for the object on top of L, which is popped. Raises
 * when memory is short. */
uint32_t rt__clock_start(lua_State *L, double seconds);
/* Was it still to fire? Once it has been taken its number means nothing. */
bool rt__clock_stop(lua_State *L, uint32_t id);
/* Take the next that is due: pushes its object; false: there is none. */
bool rt__clock_next(lua_State *L);
/* There may be more: have the library told again. */
void rt__clock_rest(lua_State *L);

#endif
