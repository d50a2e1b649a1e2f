/* rt/queue.h - the queue of a session: assets that wait to be worked on.
 *
 * For hosts that work on assets themselves, beside capabilities or instead of
 * them. All calls are [any] thread and [wait] for the engine: not on a thread
 * of the runtime; rt_session_queue_async() of rt/session.h does not wait. Any
 * of them may fail with RT_ECANCELED: the session is closed; RT_EUNAVAIL: its
 * file cannot be written; RT_ENOMEM.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_QUEUE_H
#define RT_QUEUE_H

#include "rt/session.h"

RT_BEGIN_DECL

/* [any, waits] Is `asset` {class, value, key?} [borrowed] known to the session?
 * `*found` is false on failure. */
RT_API rt_err rt_queue_has(rt_session *session, const rt_value *asset,
                           bool *found, rt_error *err);
/* [any, waits] Append an asset [borrowed]. RT_EEXIST: it is there already;
 * RT_EINVAL: it is no asset. On failure nothing was stored. */
RT_API rt_err rt_queue_append(rt_session *session, const rt_value *asset,
                              rt_error *err);
/* [any, waits] The `count` oldest unprocessed assets of a class, an array
 * [own]; it only looks. On failure `*out` is NULL. */
RT_API rt_err rt_queue_next(rt_session *session, const char *class_name,
                            uint32_t count, rt_value **out, rt_error *err);
/* [any, waits] Nothing is to be done any more for this asset [borrowed]; or
 * take it out. An unknown one is fine. */
RT_API rt_err rt_queue_processed(rt_session *session, const rt_value *asset,
                                 rt_error *err);
RT_API rt_err rt_queue_delete(rt_session *session, const rt_value *asset,
                              rt_error *err);

RT_END_DECL
#endif
