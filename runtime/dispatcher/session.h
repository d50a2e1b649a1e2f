/* session.h - opening a session of an engine, for those who have no runtime.
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_SESSION_H
#define RT__DISPATCHER_SESSION_H

#include "dispatcher/executor.h"

/* [any] As rt_session_open_async(). */
void rt__session_open_async(rt__engine *engine, const rt_session_opts *opts,
                            rt_session_fn fn, void *arg);
/* [any, waits] As rt_session_open(). */
rt_err rt__session_open(rt_session **out, rt__engine *engine,
                        const rt_session_opts *opts, rt_error *err);

#endif
