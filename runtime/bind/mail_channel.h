/* bind/mail_channel.h - channels as C sees them, for bind/mail*.c.
 *
 * Thread rule: the worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_MAIL_CHANNEL_H
#define RT__BIND_MAIL_CHANNEL_H

#include "process/sched.h"
#include "process/slots.h"

/* slots of a channel */
enum {
  RING = 1,
  FIRST,
  COUNT,
  MASK,
  CAPACITY,
  CLOSED,
  PARKED,
  RECEIVERS,
  SENDERS,
  OWNER,
  SOURCE,
  LIBRARY /* MESSAGES: it takes message objects, not first payloads */
};
#define MESSAGES 2
/* slots of a process's state */
enum { STATE_LISTENERS = 1 };

#define UNREAD_MAX 1000  /* messages in a ring; more wait in C, counted */
#define DIRECT_MAX 65536 /* bytes of a message that may wait in a ring */
#define RING_MAX   (1 << 24)

/* What a channel says of its ring. A script can write into its channels as into
 * any table, so nothing in them is believed. What has a metatable is no ring,
 * it may be a table of the library, which all processes share. False: there is
 * no ring, or what is said of it cannot be. */
typedef struct rt__ring {
  int first, count, mask; /* -1: none yet */
} rt__ring;
bool rt__mail_ring(lua_State *L, int ch, rt__ring *out);

/* Pushes the channel for the topic at `topic`; false: there is none, or the
 * library has to look for it. */
bool rt__mail_find_channel(lua_State *L, rt__process *to, int topic);
/* Put the message whose topic is at `topic` and whose `count` payloads begin
 * at `first` into the channel. `share`: they need not be copied. Answers false,
 * nothing done, when the library has to look at it, or `most` are there. */
bool rt__mail_put(lua_State *L, rt__process *to, int ch, int topic, rt_pid from,
                  int first, int count, bool share, int most);
/* The same, where it belongs. */
bool rt__mail_deliver(lua_State *L, rt__process *to, int topic, rt_pid from,
                      int first, int count, bool share);
/* The messages held for the channel at `ch`, as far as there is room, or all.
 */
void rt__mail_take_held(lua_State *L, rt__process *process, int ch, bool all);
/* The message on the stack, as send() got it, in a package: true, or nil, err.
 */
int rt__mail_send_far(lua_State *L, const rt__process *process, rt_pid to);

#endif
