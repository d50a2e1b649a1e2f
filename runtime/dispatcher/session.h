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

/* [any] As the calls of the same name in rt/session.h; the reply comes on the
 * engine's thread, also when the runtime is attached to a host's loop. */
void rt__session_dispatch_async(rt_session *session, const rt_value *assets,
                                const rt_dispatch_opts *opts, rt_reply_fn fn,
                                void *arg);
void rt__session_wait_async(rt_session *session, rt_reply_fn fn, void *arg);
void rt__session_stats_async(rt_session *session, rt_reply_fn fn, void *arg);
void rt__session_cancel_async(rt_session *session, const char *reason,
                              bool discard, rt_reply_fn fn, void *arg);
void rt__session_close_async(rt_session *session, rt_reply_fn fn, void *arg);
void rt__session_queue_async(rt_session *session, const char *verb,
                             const rt_value *args, rt_reply_fn fn, void *arg);
void rt__session_delete_async(rt_session *session, const char *key,
                              rt_reply_fn fn, void *arg);
void rt__session_running_async(rt_session *session, rt_reply_fn fn, void *arg);
void rt__session_kill_async(rt_session *session, uint64_t job,
                            const char *reason, rt_reply_fn fn, void *arg);
void rt__session_scale_async(rt_session *session, const char *capability,
                             int64_t instances, rt_reply_fn fn, void *arg);
/* The one that a host set is called no more, if nobody runs in it. */
void rt__session_forget_commit(rt_session *session);
/* The loop that callbacks of the session go to, or NULL. */
struct rt__host *rt__session_host(const rt_session *session);

#endif
