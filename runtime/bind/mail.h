/* bind/mail.h - messages between processes, as rt.core.process offers them.
 * SPDX-License-Identifier: MIT */
#ifndef RT__BIND_MAIL_H
#define RT__BIND_MAIL_H

#include <lua.h>

#include "process/sched.h"

/* The text of a PID. Texts that were used lately are at hand. */
void rt__mail_push_pid(lua_State *L, rt_pid pid);
/* The PID of a destination, dead or alive; 0: no such name. */
rt_pid rt__mail_dest(lua_State *L, int index);
/* The arguments from `first` on as an array [own]; *out stays NULL when there
 * are none. */
rt_err rt__mail_encode(lua_State *L, int first, const char *what,
                       rt_value **out, rt_error *err);

/* Functions of rt.core.process. */
int rt__mail_listen(lua_State *L);
int rt__mail_inbox(lua_State *L);
int rt__mail_pause(lua_State *L);
int rt__mail_next(lua_State *L);
int rt__mail_pump(lua_State *L);
int rt__mail_send(lua_State *L);
int rt__mail_await(lua_State *L);
int rt__mail_unlisten(lua_State *L);
int rt__mail_meta(lua_State *L);

#endif
