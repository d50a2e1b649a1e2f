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
#include "bind/mail.h"
#include "bind/mail_channel.h"
#include "process/held.h"

/* --- mail for full channels
 * ----------------------------------------------------------------- */

/* Is the channel full for the package? In a ring only one message may be large,
 * which bounds its bytes. One that somebody waits at is empty. */
static bool is_full(lua_State *L, const rt__process *process, int ch,
                    const rt__package *package) {
  if (rt__held_of(process->held, lua_topointer(L, ch))) return true;
  lua_Number count = number_in(L, ch, COUNT);
  return count >= UNREAD_MAX ||
         (count > 0 && rt__package_size(package) > DIRECT_MAX);
}

/* Messages held for a channel that is closed are dropped, as any are. */
static void drop_held(rt__process *process, const void *channel) {
  rt__held *held;
  while ((held = rt__held_of(process->held, channel))) {
    rt__package *package = rt__held_take(&process->held, held);
    rt__pids_unload(&process->vm->pids, process->pid,
                    rt__package_size(package));
    rt__package_free(package);
  }
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
    if (truth_in(L, ch, CLOSED))
      drop_held(process, channel);
    else if (is_full(L, process, ch, package))
      held = rt__held_for(&process->held, channel);
  }
  lua_settop(L, top);
  if (held) rt__mailbox_put(&held->mail, rt__mailbox_take(&process->mail));
  return held != NULL;
}

/* --- sending
 * ----------------------------------------------------------------------- */

rt_err rt__mail_encode(lua_State *L, int first, const char *what,
                       rt_value **out, rt_error *err) {
  int top = lua_gettop(L);
  *out = NULL;
  if (top < first) return RT_OK;
  rt_builder *builder = rt__vm_of(L)->builder;
  rt_builder_reset(builder); /* an error may have ended the call before */
  rt_builder_begin_array(builder);
  for (int i = first; i <= top; i++) {
    rt_err rc = rt__lua_encode_into(L, i, what, builder, err);
    if (rc != RT_OK) {
      rt_builder_reset(builder);
      return rc;
    }
  }
  rt_builder_end(builder);
  return rt_builder_finish(builder, out, err);
}

int rt__mail_send_far(lua_State *L, const rt__process *process, rt_pid to) {
  rt__worker *worker = process->vm->worker;
  rt_error err = RT_ERROR_INIT;
  rt_value *payloads;
  if (!rt__pid_alive(worker->rt, to))
    return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (rt__mail_encode(L, 3, "payload", &payloads, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  rt__package *package = rt__package_new(RT__MESSAGE, process->pid, to,
                                         lua_tostring(L, 2), payloads);
  rt_value_unref(payloads);
  if (!package)
    return rt__lua_fail_text(L, RT_ENOMEM, "no memory for a message");
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

/* Pushes the items of a package. */
static int push_payloads(lua_State *L, const rt_value *payloads) {
  int before = lua_gettop(L);
  rt_view item;
  rt_iter iter = rt_iter_of(rt_value_view(payloads));
  luaL_checkstack(L, (int)iter.left + 20, "too many payloads");
  while (rt_iter_next(&iter, NULL, &item)) rt__lua_decode(L, item);
  return lua_gettop(L) - before;
}

/* The messages held for the channel at `ch`, as far as there is room, or all.
 */
static void take_held(lua_State *L, rt__process *process, int ch, bool all) {
  rt__held *held;
  const void *channel = lua_topointer(L, ch);
  if (truth_in(L, ch, CLOSED)) drop_held(process, channel);
  while ((held = rt__held_of(process->held, channel))) {
    const rt__package *package = held->mail.first;
    int top = lua_gettop(L);
    size_t size = rt__package_size(package);
    if (!all && size > DIRECT_MAX && number_in(L, ch, COUNT) > 0) break;
    lua_pushstring(L, package->topic);
    int count = push_payloads(L, package->payloads);
    bool done = rt__mail_put(L, process, ch, top + 1, package->from, top + 2,
                             count, true, all ? INT_MAX : UNREAD_MAX);
    lua_settop(L, top);
    if (!done) break;
    rt__pids_unload(&process->vm->pids, process->pid, size);
    rt__package_free(rt__held_take(&process->held, held));
  }
}

/* listen(events, channel, all): the library takes messages from now on, first
 * those that are held for the channel */
int rt__mail_listen(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  process->reads_mail = true;
  if (lua_toboolean(L, 1)) process->reads_events = true;
  if (process->held && lua_istable(L, 2))
    take_held(L, process, 2, lua_toboolean(L, 3));
  return 0;
}

/* next() -> topic, sender or nil, payloads...; nothing when there is no mail */
int rt__mail_next(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  while (!process->notes.first && process->reads_mail && process->mail.first &&
         hold(L, process)) {
  }
  const rt__package *package = rt__process_first_mail(process);
  if (!package) return 0;
  lua_pushstring(L, package->topic);
  if (package->from)
    rt__mail_push_pid(L, package->from);
  else
    lua_pushnil(L);
  int count = push_payloads(L, package->payloads);
  /* taken last: an error before would leave it to nobody */
  rt__package_free(rt__process_next_mail(process));
  return count + 2;
}

/* pump() -> true: puts waiting messages where they belong, as long as they are
 * plain; the rest, and what is for the library, is left to next() */
int rt__mail_pump(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  bool any = false;
  while (!process->notes.first && process->reads_mail && process->mail.first) {
    const rt__package *package = process->mail.first;
    lua_settop(L, 0);
    if ((process->held || rt__package_size(package) > DIRECT_MAX) &&
        hold(L, process))
      continue;
    lua_pushstring(L, package->topic);
    int count = push_payloads(L, package->payloads);
    if (!rt__mail_deliver(L, process, 1, package->from, 2, count, true)) break;
    rt__package_free(rt__process_next_mail(process));
    any = true;
  }
  lua_pushboolean(L, any);
  return 1;
}
