/* mail_far.c - messages that cannot go straight into a channel (bind/mail.c):
 * to other VMs, to who is not ready for them, and those of C.
 *
 *   send --encode--> package --> mailbox --pump--> its channel
 *                                   |full
 *                                   +--> held, until the channel is read
 *
 * SPDX-License-Identifier: MIT */
#include <limits.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/lua_value.h"
#include "bind/mail.h"
#include "bind/mail_channel.h"
#include "process/held.h"
#include "value/wire.h"

/* --- mail for full channels
 * ----------------------------------------------------------------- */

/* Is the channel full for the package? In a ring only one message may be large,
 * which bounds its bytes. One that somebody waits at is empty. */
static bool is_full(lua_State *L, const rt__process *process, int ch,
                    const rt__package *package) {
  if (rt__held_of(process->rare->held, lua_topointer(L, ch))) return true;
  lua_Number count = rt__slot_number(L, ch, COUNT);
  return count >= UNREAD_MAX ||
         (count > 0 && rt__package_size(package) > DIRECT_MAX);
}

/* Messages held for a channel that is closed are dropped, as any are. */
static void drop_held(rt__process *process, const void *channel) {
  rt__held *held;
  while ((held = rt__held_of(process->rare->held, channel))) {
    rt__package *package = rt__held_take(&process->rare->held, held);
    rt__mail_was_read(process, rt__package_size(package));
    rt__package_free(package);
  }
}

static rt__held *held_for(rt__process *process, const void *channel) {
  rt__rare *rare = rt__process_rare(process);
  return rare ? rt__held_for(&rare->held, channel) : NULL;
}

/* Put the next message aside when its channel is full: it stays counted. */
static bool hold(lua_State *L, rt__process *process) {
  rt__package *package = process->mail.first;
  rt__held *held = NULL;
  int top = lua_gettop(L);
  lua_pushstring(L, package->topic);
  if (rt__mail_find_channel(L, process, top + 1)) {
    int ch = lua_gettop(L);
    const void *channel = lua_topointer(L, ch);
    if (rt__slot_truth(L, ch, CLOSED))
      drop_held(process, channel);
    else if (is_full(L, process, ch, package))
      held = held_for(process, channel);
  }
  lua_settop(L, top);
  if (held) rt__mailbox_put(&held->mail, rt__mailbox_take(&process->mail));
  return held != NULL;
}

/* --- sending
 * ----------------------------------------------------------------------- */

/* The arguments from `first` on as an array in the VM's builder; NULL: what
 * cannot cross a border is among them. */
static rt_builder *encode(lua_State *L, int first, const char *what,
                          rt_error *err) {
  int top = lua_gettop(L);
  rt_builder *builder = rt__vm_of(L)->builder;
  rt_builder_reset(builder); /* an error may have ended the call before */
  rt_builder_begin_array(builder);
  for (int i = first; i <= top; i++) {
    if (rt__lua_encode_into(L, i, what, builder, err) == RT_OK) continue;
    rt_builder_reset(builder);
    return NULL;
  }
  rt_builder_end(builder);
  return builder;
}

rt_err rt__mail_encode(lua_State *L, int first, const char *what,
                       rt_value **out, rt_error *err) {
  *out = NULL;
  if (lua_gettop(L) < first) return RT_OK;
  rt_builder *builder = encode(L, first, what, err);
  return builder ? rt_builder_finish(builder, out, err) : RT_EINVAL;
}

#define SMALL 96 /* bytes of what is encoded without the VM's builder */

/* The payloads, an array of few plain values, into `data`; its size, or 0: they
 * are anything else. */
static size_t encode_small(lua_State *L, int first, unsigned char *data) {
  int top = lua_gettop(L);
  unsigned char *at = data + 1, *end = data + SMALL;
  if (top - first + 1 > 15) return 0;
  data[0] = (unsigned char)(0x90 | (top - first + 1));
  for (int i = first; i <= top; i++)
    if (!(at = rt__lua_put_plain(L, i, at, (size_t)(end - at)))) return 0;
  return (size_t)(at - data);
}

/* The arguments from `first` on as a package; NULL: see *err. */
static rt__package *pack(lua_State *L, const rt__process *from, rt_pid to,
                         int first, rt_error *err) {
  unsigned char small[SMALL];
  const unsigned char *data = small;
  size_t topic_size, size = 0;
  const char *topic = lua_tolstring(L, 2, &topic_size);
  rt_builder *builder = NULL;
  if (lua_gettop(L) >= first && (size = encode_small(L, first, small)) == 0) {
    builder = encode(L, first, "payload", err);
    if (!builder || rt__builder_peek(builder, &data, &size, err) != RT_OK)
      return NULL;
  }
  rt__package *package =
      rt__package_message(&from->vm->worker->packages, from->pid, to, topic,
                          topic_size, data, size);
  if (builder) rt_builder_reset(builder);
  if (!package) rt_fail(err, RT_ENOMEM, "no memory for a message");
  return package;
}

int rt__mail_send_far(lua_State *L, const rt__process *process, rt_pid to) {
  rt__worker *worker = process->vm->worker;
  rt_error err = RT_ERROR_INIT;
  if (!rt__pid_alive(worker->rt, to))
    return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  rt__package *package = pack(L, process, to, 3, &err);
  if (!package) return rt__lua_fail(L, &err);
  rt_err rc = rt__route(worker->rt, worker, package);
  if (rc == RT_EFULL) return rt__lua_fail_text(L, rc, "its mailbox is full");
  if (rc != RT_OK) return rt__lua_fail_text(L, rc, "no such process");
  lua_pushboolean(L, 1);
  return 1;
}

/* --- receiving
 * --------------------------------------------------------------------- */

/* pause(): leave messages where they are until listen() */
int rt__mail_pause(lua_State *L) {
  rt__lua_process(L)->reads_mail = false;
  return 0;
}

void rt__mail_take_held(lua_State *L, rt__process *process, int ch, bool all) {
  rt__held *held;
  const void *channel = lua_topointer(L, ch);
  if (rt__slot_truth(L, ch, CLOSED)) drop_held(process, channel);
  while ((held = rt__held_of(process->rare->held, channel))) {
    const rt__package *package = held->mail.first;
    int top = lua_gettop(L);
    size_t size = rt__package_size(package);
    if (!all && size > DIRECT_MAX && rt__slot_number(L, ch, COUNT) > 0) break;
    lua_pushstring(L, package->topic);
    int count = rt__lua_decode_items(L, rt__package_view(package), UINT32_MAX);
    bool done = rt__mail_put(L, process, ch, top + 1, package->from, top + 2,
                             count, true, all ? INT_MAX : UNREAD_MAX);
    lua_settop(L, top);
    if (!done) break;
    rt__mail_was_read(process, size);
    rt__package_free(rt__held_take(&process->rare->held, held));
  }
}

/* listen(events, channel, all): the library takes messages from now on, first
 * those that are held for the channel */
int rt__mail_listen(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  process->reads_mail = true;
  if (lua_toboolean(L, 1)) process->reads_events = true;
  if (process->rare->held && lua_istable(L, 2))
    rt__mail_take_held(L, process, 2, lua_toboolean(L, 3));
  return 0;
}

/* next() -> topic, sender or nil, payloads...; nothing when there is no mail */
int rt__mail_next(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  while (!process->rare->notes.first && process->reads_mail &&
         process->mail.first && hold(L, process)) {
  }
  const rt__package *package = rt__process_first_mail(process);
  if (!package) return 0;
  lua_pushstring(L, package->topic);
  if (package->from)
    rt__mail_push_pid(L, package->from);
  else
    lua_pushnil(L);
  int count = rt__lua_decode_items(L, rt__package_view(package), UINT32_MAX);
  /* taken last: an error before would leave it to nobody */
  rt__package_free(rt__process_next_mail(process));
  return count + 2;
}

/* --- pumping: many messages in one go ---------------------------------- */

/* Where messages of one topic go. On the stack from 1 on: topic, what led to
 * the channel, channel, ring; more is above `base`. */
typedef struct lane {
  lua_State *L;
  rt__process *process;
  const char *topic;
  size_t topic_size;
  int ch, base;
  bool straight, object; /* its values go into the ring; as message objects */
  rt__ring ring;
} lane;

/* Nobody waits at it, and it has a ring: values are put in right here. */
static void look_at_ring(lane *to) {
  lua_State *L = to->L;
  lua_settop(L, to->ch);
  lua_rawgeti(L, to->ch, RING);
  to->base = to->ch + 1;
  to->straight = rt__mail_ring(L, to->ch, &to->ring) &&
                 lua_istable(L, to->base) &&
                 !rt__slot_truth(L, to->ch, PARKED) &&
                 !rt__slot_truth(L, to->ch, CLOSED) &&
                 !rt__slot_truth(L, to->ch, RECEIVERS);
  if (!to->straight) return;
  to->object = rt__slot_number(L, to->ch, LIBRARY) == MESSAGES;
}

/* False: the library has to find out where it goes. */
static bool enter(lane *to, const rt__package *package) {
  lua_State *L = to->L;
  if (to->ch && to->topic_size == package->topic_size &&
      memcmp(to->topic, package->topic, to->topic_size) == 0)
    return true;
  lua_settop(L, 0);
  to->ch = 0;
  lua_pushlstring(L, package->topic, package->topic_size);
  if (!rt__mail_find_channel(L, to->process, 1)) return false;
  to->topic = lua_tolstring(L, 1, &to->topic_size);
  to->ch = lua_gettop(L);
  look_at_ring(to);
  return true;
}

/* Straight into the ring while it has room; COUNT is written each time, as an
 * error may end this anywhere. */
static bool put_straight(lane *to, const rt__package *package) {
  lua_State *L = to->L;
  if (!to->straight || to->object || to->ring.count > to->ring.mask ||
      to->ring.count >= UNREAD_MAX)
    return false;
  lua_settop(L, to->base);
  if (rt__lua_decode_items(L, rt__package_view(package), 1) == 0)
    lua_pushnil(L);
  lua_rawseti(L, to->base,
              ((to->ring.first + to->ring.count) & to->ring.mask) + 1);
  lua_pushinteger(L, ++to->ring.count);
  lua_rawseti(L, to->ch, COUNT);
  return true;
}

static bool put(lane *to, const rt__package *package) {
  lua_State *L = to->L;
  if (put_straight(to, package)) return true;
  lua_settop(L, to->base);
  int count = rt__lua_decode_items(L, rt__package_view(package), UINT32_MAX);
  if (!rt__mail_put(L, to->process, to->ch, 1, package->from, to->base + 1,
                    count, true, UNREAD_MAX))
    return false;
  look_at_ring(to);
  return true;
}

/* The first message, which has been put in; its sender's count of its bytes
 * goes down later. */
static size_t discard_first(rt__process *process) {
  rt__package *package = rt__mailbox_take(&process->mail);
  size_t size = rt__package_size(package);
  rt__mail_was_taken(process->vm, size);
  rt__package_recycle(&process->vm->worker->packages, package);
  return size;
}

/* Count them down before there are too many: an error forgets them. */
static void read_bytes(const rt__process *process, size_t *bytes, size_t most) {
  if (*bytes <= most) return;
  rt__pids_unload(&process->vm->pids, process->pid, *bytes);
  *bytes = 0;
}

/* pump() -> true: puts waiting messages where they belong, as long as they are
 * plain; the rest, and what is for the library, is left to next() */
int rt__mail_pump(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  lane to = {.L = L, .process = process};
  size_t bytes = 0;
  bool any = false;
  while (!process->rare->notes.first && process->reads_mail &&
         process->mail.first) {
    const rt__package *package = process->mail.first;
    if ((process->rare->held || rt__package_size(package) > DIRECT_MAX) &&
        hold(L, process))
      continue;
    if (!enter(&to, package) || !put(&to, package)) break;
    bytes += discard_first(process);
    read_bytes(process, &bytes, DIRECT_MAX);
    any = true;
  }
  read_bytes(process, &bytes, 0);
  lua_settop(L, 0);
  lua_pushboolean(L, any);
  return 1;
}
