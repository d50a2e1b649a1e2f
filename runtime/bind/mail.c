/* mail.c - messages between processes.
 *
 *   same VM:     send --copy--> [its channel: who waits, or the ring]
 *   else:        mail_far.c
 *
 * Where nothing is in the way - its mail is empty, it reads it, none of its
 * fibers was stopped half-way - a message goes from the sender's stack straight
 * into the channel it belongs to, copied once. Whatever is not plain is left to
 * the library's inlet, which does the same in Lua. The slots of a channel and
 * of a process's state are those of lua/rt/channel.lua and lua/process.lua.
 *
 * SPDX-License-Identifier: MIT */
#include "bind/mail.h"
#include "bind/bind.h"
#include "bind/mail_channel.h"
#include "bind/mail_quick.h"

#include <math.h>
#include <string.h>

#define DEPTH_MAX 16 /* of a table that is copied straight */
#define EXACT     9007199254740992.0

/* --- PIDs
 * ---------------------------------------------------------------------- */

/* Strings are unique, so that the address is enough while the text is kept:
 * the VM's table `pid_texts` holds those of both arrays. */
static void keep(lua_State *L, const rt__vm *vm, int index, unsigned slot) {
  int top = rt__slot_top(L);
  rt__slot_push_ref(L, vm->pid_texts);
  rt__slot_copy(L, index);
  rt__slot_set(L, top + 1, (int)slot + 1);
  rt__slot_cut(L, top);
}

void rt__mail_push_pid(lua_State *L, rt_pid pid) {
  rt__vm *vm = rt__slot_owner(L);
  unsigned slot = rt__pid_slot(pid) & (RT__PID_TEXTS - 1);
  unsigned kept = RT__PID_TEXTS * 2 + slot;
  if (vm->pid_of_text[slot] == pid) {
    rt__slot_push_ref(L, vm->pid_texts);
    rt__slot_push(L, rt__slot_top(L), (int)kept + 1);
    rt__slot_drop_below(L);
    return;
  }
  char text[RT_PID_TEXT];
  rt_pid_text(pid, text);
  lua_pushstring(L, text);
  vm->pid_of_text[slot] = 0;
  keep(L, vm, rt__slot_top(L), kept);
  vm->pid_of_text[slot] = pid;
}

static rt_pid parse_dest(lua_State *L, rt__vm *vm, int index, const char *text,
                         size_t size) {
  rt_pid pid = rt_pid_parse(text);
  if (!pid) return rt__names_find(&vm->worker->rt->names, text, size);
  unsigned slot = rt__pid_text_set(text) * 2 + (vm->pid_way++ & 1);
  rt__pid_text *known = &vm->pid_by_text[slot];
  known->text = NULL;
  keep(L, vm, index, slot);
  known->text = text;
  known->pid = pid;
  return pid;
}

rt_pid rt__mail_dest(lua_State *L, int index) {
  rt__vm *vm = rt__slot_owner(L);
  size_t size;
  const char *text = rt__slot_is_string(L, index)
                         ? rt__slot_string(L, index, &size)
                         : luaL_checklstring(L, index, &size);
  const rt__pid_text *known = &vm->pid_by_text[rt__pid_text_set(text) * 2];
  if (known[0].text == text) return known[0].pid;
  if (known[1].text == text) return known[1].pid;
  return parse_dest(L, vm, index, text, size);
}

/* --- copying a value within its VM
 * --------------------------------------------------- */

static bool copy(lua_State *L, int index, int depth, size_t *room);

static bool spend(size_t *room, size_t bytes) {
  if (bytes > *room) return false;
  *room -= bytes;
  return true;
}

static bool plain_key(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) return true;
  if (lua_type(L, index) != LUA_TNUMBER) return false;
  lua_Number n = lua_tonumber(L, index);
  return n == floor(n) && fabs(n) <= EXACT;
}

static bool copy_table(lua_State *L, int index, int depth, size_t *room) {
  size_t n = lua_objlen(L, index);
  if (depth == DEPTH_MAX || !lua_checkstack(L, 8)) return false;
  if (lua_getmetatable(L, index)) return false;
  if (!spend(room, 40 + n * 8)) return false;
  lua_createtable(L, (int)n, 0);
  int made = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int key = lua_gettop(L) - 1;
    if (!plain_key(L, key) || !spend(room, 24)) return false;
    lua_pushvalue(L, key);
    if (!copy(L, key + 1, depth + 1, room)) return false;
    lua_rawset(L, made);
    lua_settop(L, key);
  }
  return true;
}

/* Pushes a copy; false, with more or less on the stack, when it is nothing
 * plain, or too much. Strings are shared, they do not change. */
static bool copy(lua_State *L, int index, int depth, size_t *room) {
  if (rt__slot_is_plain(L, index)) {
    size_t size = 0;
    if (rt__slot_is_string(L, index)) rt__slot_string(L, index, &size);
    rt__slot_copy(L, index);
    return spend(room, 16 + size);
  }
  return rt__slot_is_table(L, index) && copy_table(L, index, depth, room);
}

/* --- into a channel
 * ---------------------------------------------------------------- */

/* Pushes the channel that listens to the topic, more or less if there is none.
 * What a process keeps for its listeners keeps the string and the table. */
static bool find_listener(lua_State *L, rt__process *to, int topic) {
  rt__slot_push_ref(L, to->state);
  rt__slot_push(L, rt__slot_top(L), STATE_LISTENERS);
  if (!rt__slot_is_table(L, rt__slot_top(L))) return false;
  rt__slot_push_field(L, rt__slot_top(L), topic);
  int found = rt__slot_top(L);
  if (!rt__slot_is_table(L, found)) return false;
  to->topic = rt__slot_address(L, topic);
  to->listener = rt__slot_address(L, found);
  return true;
}

bool rt__mail_find_channel(lua_State *L, rt__process *to, int topic) {
  if (to->topic && to->topic == rt__slot_address(L, topic)) {
    rt__slot_push_table(L, to->listener);
    return true;
  }
  if (to->state != LUA_NOREF && find_listener(L, to, topic)) return true;
  if (to->inbox == LUA_NOREF) return false;
  rt__slot_push_ref(L, to->inbox);
  return true;
}

/* {topic, from, count, payloads...}, from the stack. */
static void push_message(lua_State *L, const rt__vm *vm, int topic, rt_pid from,
                         int first, int count) {
  lua_createtable(L, 3 + count, 0);
  int made = rt__slot_top(L);
  rt__slot_copy(L, topic);
  rt__slot_set(L, made, 1);
  if (from)
    rt__mail_push_pid(L, from);
  else
    rt__slot_push_bool(L, false);
  rt__slot_set(L, made, 2);
  rt__slot_set_number(L, made, 3, count);
  for (int i = 0; i < count; i++) {
    rt__slot_copy(L, first + i);
    rt__slot_set(L, made, 4 + i);
  }
  rt__slot_set_meta(L, made, vm->message_meta);
}

bool rt__mail_ring(lua_State *L, int ch, rt__ring *out) {
  lua_Number first = rt__slot_number(L, ch, FIRST);
  lua_Number count = rt__slot_number(L, ch, COUNT);
  lua_Number mask = rt__slot_number(L, ch, MASK);
  if (!(mask >= -1 && mask < RING_MAX && count >= 0 && count <= mask + 1 &&
        first >= 0 && first <= (mask < 0 ? 0 : mask)))
    return false;
  *out = (rt__ring){(int)first, (int)count, (int)mask};
  return out->mask < 0 || rt__slot_holds_table(L, ch, RING);
}

/* A ring of twice the size, its slots false when empty as channel.lua has
 * them. False: the channel was used meanwhile, by a finalizer. */
static bool grow_ring(lua_State *L, int ch, rt__ring *ring) {
  int size = ring->mask < 0 ? 4 : (ring->mask + 1) * 2;
  rt__ring now;
  lua_createtable(L, size + 1, 0);
  if (!rt__mail_ring(L, ch, &now) || memcmp(&now, ring, sizeof(now)) != 0)
    return false;
  rt__slot_push(L, ch, RING);
  int old = rt__slot_top(L), made = old - 1;
  for (int i = 0; i < size; i++) {
    if (i <= ring->mask)
      rt__slot_push(L, old, ((ring->first + i) & ring->mask) + 1);
    else
      rt__slot_push_bool(L, false);
    rt__slot_set(L, made, i + 1);
  }
  rt__slot_cut(L, made);
  rt__slot_set(L, ch, RING);
  ring->first = 0;
  ring->mask = size - 1;
  rt__slot_set_number(L, ch, FIRST, 0);
  rt__slot_set_number(L, ch, MASK, size - 1);
  return true;
}

/* Appends the value on top; false likewise. */
static bool append(lua_State *L, int ch, rt__ring *ring) {
  int value = rt__slot_top(L);
  if (ring->count > ring->mask && !grow_ring(L, ch, ring)) return false;
  rt__slot_push(L, ch, RING);
  rt__slot_copy(L, value);
  rt__slot_set(L, value + 1, ((ring->first + ring->count) & ring->mask) + 1);
  rt__slot_set_number(L, ch, COUNT, ring->count + 1);
  return true;
}

/* Resume who waits with the value on top, which is popped. */
static void hand_over(lua_State *L, int ch, rt__fiber *fiber) {
  rt__slot_set_bool(L, ch, PARKED, false);
  rt__slot_push_bool(L, true);
  rt__slot_move(L, fiber->co, 2);
  fiber->args = 2;
  rt__fiber_wake(fiber);
}

/* Can it take a message? The fiber that waits in PARKED, or else its ring. */
static bool has_room(lua_State *L, const rt__process *to, int ch,
                     rt__fiber **fiber, rt__ring *ring, int most) {
  lua_Number wait = rt__slot_number(L, ch, PARKED);
  *fiber = NULL;
  if (wait > 0) { /* then nothing is in the ring, and it is not closed */
    *ring = (rt__ring){0, 0, -1};
    *fiber = to->main && rt__fiber_stands(to->main, wait)
                 ? to->main
                 : rt__fiber_standing(to->vm, wait);
    return *fiber && (*fiber)->process == to && !(*fiber)->op &&
           (rt__slot_has_room((*fiber)->co, 4) ||
            lua_checkstack((*fiber)->co, 4));
  }
  if (rt__slot_truth(L, ch, CLOSED) || rt__slot_truth(L, ch, RECEIVERS))
    return false;
  return rt__mail_ring(L, ch, ring) && ring->count < most;
}

/* Pushes copies of `count` values; false, with more or less on the stack, when
 * one is nothing plain. */
static bool copy_all(lua_State *L, int first, int count) {
  size_t room = DIRECT_MAX;
  int made = rt__slot_top(L) + 1;
  if (!rt__slot_has_room(L, count + 10))
    luaL_checkstack(L, count + 10, "too many payloads");
  for (int i = 0; i < count; i++) {
    if (!copy(L, first + i, 0, &room)) return false;
    rt__slot_cut(L, made + i); /* as copies go, nothing is left above */
  }
  return true;
}

/* Nothing to be copied, and not too much? */
static bool all_plain(lua_State *L, int first, int count) {
  size_t room = DIRECT_MAX;
  for (int i = first; i < first + count; i++) {
    size_t size = 0;
    if (!rt__slot_is_plain(L, i)) return false;
    if (rt__slot_is_string(L, i)) rt__slot_string(L, i, &size);
    if (!spend(&room, 16 + size)) return false;
  }
  return true;
}

/* Pushes what the channel is to have; false likewise. */
static bool push_content(lua_State *L, const rt__vm *vm, int ch, int topic,
                         rt_pid from, int first, int count, bool share) {
  bool object = rt__slot_number(L, ch, LIBRARY) == MESSAGES;
  for (; !object && count > 1; count--) /* nobody sees these */
    if (!share && !rt__slot_is_plain(L, first + count - 1)) return false;
  if (!share && !all_plain(L, first, count)) {
    int made = rt__slot_top(L) + 1;
    if (!copy_all(L, first, count)) return false;
    first = made;
  }
  if (object)
    push_message(L, vm, topic, from, first, count);
  else if (count > 0)
    rt__slot_copy(L, first);
  else
    lua_pushnil(L);
  return true;
}

/* Finalizers, which --unsafe scripts may have, run where something is made:
 * they may have used the channel, or ended the process. */
static bool still_has_room(lua_State *L, const rt__vm *vm, rt_pid pid, int ch,
                           rt__fiber **fiber, rt__ring *ring, int most) {
  if (!vm->worker->rt->opts.unsafe) return true;
  const rt__process *to = rt__pids_get(&vm->pids, pid);
  return to && has_room(L, to, ch, fiber, ring, most);
}

bool rt__mail_put(lua_State *L, rt__process *to, int ch, int topic, rt_pid from,
                  int first, int count, bool share, int most) {
  rt__vm *vm = to->vm;
  rt_pid pid = to->pid;
  rt__fiber *fiber;
  rt__ring ring;
  int top = rt__slot_top(L);
  bool done = has_room(L, to, ch, &fiber, &ring, most) &&
              push_content(L, vm, ch, topic, from, first, count, share) &&
              still_has_room(L, vm, pid, ch, &fiber, &ring, most);
  if (done && fiber)
    hand_over(L, ch, fiber);
  else if (done)
    done = append(L, ch, &ring);
  /* The sender makes room for who is to read it. */
  if (done && ring.count + 1 == UNREAD_MAX && vm->fiber && vm->running != to)
    rt__vm_interrupt(vm);
  rt__slot_cut(L, top);
  return done;
}

bool rt__mail_deliver(lua_State *L, rt__process *to, int topic, rt_pid from,
                      int first, int count, bool share) {
  int top = rt__slot_top(L);
  bool done = rt__mail_find_channel(L, to, topic) &&
              rt__mail_put(L, to, rt__slot_top(L), topic, from, first, count,
                           share, UNREAD_MAX);
  rt__slot_cut(L, top);
  return done;
}

/* --- sending
 * ----------------------------------------------------------------------- */

static void check_string(lua_State *L, int index) {
  if (rt__slot_is_string(L, index)) return;
  luaL_error(L, "bad argument #%d to 'send' (string expected, got %s)", index,
             lua_isnone(L, index) ? "nil" : luaL_typename(L, index));
}

static int send_in_steps(lua_State *L, const rt__vm *vm) {
  const rt__process *process = vm->running ? vm->running : rt__lua_process(L);
  check_string(L, 1);
  check_string(L, 2);
  size_t size;
  const char *topic = rt__slot_string(L, 2, &size);
  rt_pid to = rt__mail_dest(L, 1);
  int count = rt__slot_top(L) - 2;
  if (count > RT__PAYLOADS_MAX)
    return luaL_error(L, "more than %d payloads", RT__PAYLOADS_MAX);
  if (*topic == 0) return rt__lua_fail_text(L, RT_EINVAL, "the topic is empty");
  if (*topic == '@')
    return rt__lua_fail_text(L, RT_EINVAL,
                             "topics that begin with '@' are reserved");
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (to >> 52 == process->pid >> 52) {
    rt__process *here = rt__pids_get(&vm->pids, to);
    if (here && rt__process_takes_mail(here) &&
        rt__mail_deliver(L, here, 2, process->pid, 3, count, false)) {
      rt__slot_push_bool(L, true);
      return 1;
    }
  }
  return rt__mail_send_far(L, process, to);
}

/* send(dest, topic, ...) -> true | nil, err */
int rt__mail_send(lua_State *L) {
  rt__vm *vm = rt__slot_owner(L);
  if (!rt__mail_quick_send(L, vm)) return send_in_steps(L, vm);
  rt__slot_push_bool(L, true);
  return 1;
}

/* --- receiving
 * --------------------------------------------------------------------- */

/* inbox() -> the channel of the running process's inbox, if it has one;
 * inbox(channel) sets it */
int rt__mail_inbox(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  if (lua_istable(L, 1) && process->inbox == LUA_NOREF) {
    lua_settop(L, 1);
    process->inbox = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  if (process->inbox == LUA_NOREF) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, process->inbox);
  return 1;
}

/* The oldest of `count` values in the ring. */
static int push_oldest(lua_State *L, int ch, const rt__ring *has) {
  rt__slot_push(L, ch, RING);
  int ring = rt__slot_top(L);
  rt__slot_push(L, ring, has->first + 1);
  rt__slot_set_bool(L, ring, has->first + 1, false);
  rt__slot_set_number(L, ch, FIRST, (has->first + 1) & has->mask);
  rt__slot_set_number(L, ch, COUNT, has->count - 1);
  rt__slot_push_bool(L, true);
  return 2;
}

/* Two values instead, or 0: the running fiber stands in its PARKED. */
static int stand_at(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (rt__slot_truth(L, 1, CLOSED)) {
    lua_pushnil(L);
    rt__slot_push_bool(L, false);
    return 2;
  }
  rt__fiber *fiber = rt__lua_waiter(L);
  rt__process *process = fiber->process;
  lua_Number serial = (lua_Number)process->serial;
  if (!rt__slot_truth(L, 1, OWNER))
    rt__slot_set_number(L, 1, OWNER, serial);
  else if (rt__slot_number(L, 1, OWNER) != serial)
    return luaL_error(L, "channel belongs to another process");
  process->reads_mail = true;
  if (process->rare->held) {
    rt__mail_take_held(L, process, 1, false);
    rt__ring ring;
    if (rt__mail_ring(L, 1, &ring) && ring.count > 0)
      return push_oldest(L, 1, &ring);
  }
  fiber->timed_out = fiber->woken = false;
  fiber->parking = true;
  rt__slot_set_number(L, 1, PARKED, rt__fiber_stand(fiber));
  return 0;
}

/* await(channel) -> its next value, true; or nil, false when it is closed. For
 * a channel of messages whose ring is empty, at which nobody waits. Mail that
 * is still in C goes to the inlet, before this process has its next turn. */
int rt__mail_await(lua_State *L) {
  rt__vm *vm = rt__slot_owner(L);
  int values = rt__mail_quick_wait(L, vm) ? 0 : stand_at(L);
  if (values) return values;
  rt__slot_push_bits(L, vm->wait_tag);
  return lua_yield(L, 1);
}

/* unlisten(): a listener is no more */
int rt__mail_unlisten(lua_State *L) {
  rt__lua_process(L)->topic = NULL;
  return 0;
}

/* meta(table): the metatable of messages */
int rt__mail_meta(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  vm->message_meta = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_createtable(L, RT__PID_TEXTS * 3 + 1, 0);
  for (int i = 1; i <= RT__PID_TEXTS * 3; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
  vm->pid_texts = luaL_ref(L, LUA_REGISTRYINDEX);
  memset(vm->pid_by_text, 0, sizeof(vm->pid_by_text));
  memset(vm->pid_of_text, 0, sizeof(vm->pid_of_text));
  return 0;
}
