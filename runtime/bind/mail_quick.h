/* bind/mail_quick.h - the way of most messages, in few steps.
 *
 * A message of plain values, to a process of the VM that reads its mail, whose
 * main fiber waits at the channel or has room in its ring: that is looked at in
 * place, without a call. Whatever is not so, spoilt channels included, is left
 * to bind/mail.c, with nothing done; both must mean the same.
 *
 * With LUAJIT=system there is no such way: all is left.
 *
 * Thread rule: the worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_MAIL_QUICK_H
#define RT__BIND_MAIL_QUICK_H

#include "process/sched.h"

/* send(dest, topic, ...) with the arguments on the stack. True: it is sent. */
bool rt__mail_quick_send(lua_State *L, rt__vm *vm);
/* await(channel): true: the running fiber stands in its PARKED, and is to
 * yield. */
bool rt__mail_quick_wait(lua_State *L, rt__vm *vm);

#endif
