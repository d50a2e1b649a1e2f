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

#include <math.h>
#include <string.h>

#define DEPTH_MAX 16 /* of a table that is copied straight */
#define EXACT     9007199254740992.0

/* --- PIDs
 * ---------------------------------------------------------------------- */

static unsigned slot_of_text(const char *text) {
  uintptr_t at = (uintptr_t)text;
  return (unsigned)(at >> 4 ^ at >> 14) & (RT__PID_TEXTS - 1);
}

/* Strings are unique, so that the address is enough while the text is kept:
 * the VM's table `pid_texts` holds those of both arrays. */
static void keep(lua_State *L, rt__vm *vm, int index, unsigned slot) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->pid_texts);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, (int)slot + 1);
  lua_pop(L, 1);
}

void rt__mail_push_pid(lua_State *L, rt_pid pid) {
  rt__vm *vm = rt__vm_of(L);
  unsigned slot = rt__pid_slot(pid) & (RT__PID_TEXTS - 1);
  if (vm->pid_of_text[slot] == pid) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->pid_texts);
    lua_rawgeti(L, -1, (int)(RT__PID_TEXTS + slot) + 1);
    lua_remove(L, -2);
    return;
  }
  char text[RT_PID_TEXT];
  rt_pid_text(pid, text);
  lua_pushstring(L, text);
  vm->pid_of_text[slot] = 0;
  keep(L, vm, lua_gettop(L), RT__PID_TEXTS + slot);
  vm->pid_of_text[slot] = pid;
}

rt_pid rt__mail_dest(lua_State *L, int index) {
  rt__vm *vm = rt__vm_of(L);
  size_t size;
  const char *text = luaL_checklstring(L, index, &size);
  rt__pid_text *known = &vm->pid_by_text[slot_of_text(text)];
  if (known->text == text) return known->pid;
  rt_pid pid = rt_pid_parse(text);
  if (!pid) return rt__names_find(&vm->worker->rt->names, text, size);
  known->text = NULL;
  keep(L, vm, index, slot_of_text(text));
  known->text = text;
  known->pid = pid;
  return pid;
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
  switch (lua_type(L, index)) {
  case LUA_TNIL:
  case LUA_TBOOLEAN:
  case LUA_TNUMBER:
    lua_pushvalue(L, index);
    return spend(room, 16);
  case LUA_TSTRING:
    lua_pushvalue(L, index);
    return spend(room, 16 + lua_objlen(L, index));
  case LUA_TTABLE:
    return copy_table(L, index, depth, room);
  default:
    return false;
  }
}

/* --- into a channel
 * ---------------------------------------------------------------- */

bool rt__mail_find_channel(lua_State *L, const rt__process *to, int topic) {
  if (to->state != LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, to->state);
    lua_rawgeti(L, -1, STATE_LISTENERS);
    if (lua_istable(L, -1)) {
      lua_pushvalue(L, topic);
      lua_rawget(L, -2);
      if (lua_istable(L, -1)) return true;
    }
  }
  if (to->inbox == LUA_NOREF) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, to->inbox);
  return true;
}

/* {topic, from, count, payloads...}, from the stack. */
static void push_message(lua_State *L, rt__vm *vm, int topic, rt_pid from,
                         int first, int count) {
  lua_createtable(L, 3 + count, 0);
  lua_pushvalue(L, topic);
  lua_rawseti(L, -2, 1);
  if (from)
    rt__mail_push_pid(L, from);
  else
    lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, count);
  lua_rawseti(L, -2, 3);
  for (int i = 0; i < count; i++) {
    lua_pushvalue(L, first + i);
    lua_rawseti(L, -2, 4 + i);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->message_meta);
  lua_setmetatable(L, -2);
}

/* A ring of twice the size, its slots false when empty as channel.lua has
 * them. */
static void grow_ring(lua_State *L, int ch, int mask) {
  int size = mask < 0 ? 4 : (mask + 1) * 2;
  int first = (int)number_in(L, ch, FIRST);
  lua_rawgeti(L, ch, RING);
  int old = lua_gettop(L);
  lua_createtable(L, size + 1, 0);
  for (int i = 0; i < size; i++) {
    if (i <= mask)
      lua_rawgeti(L, old, ((first + i) & mask) + 1);
    else
      lua_pushboolean(L, 0);
    lua_rawseti(L, old + 1, i + 1);
  }
  lua_rawseti(L, ch, RING);
  lua_pushinteger(L, 0);
  lua_rawseti(L, ch, FIRST);
  lua_pushinteger(L, size - 1);
  lua_rawseti(L, ch, MASK);
  lua_settop(L, old - 1);
}

/* Appends the value on top, which is popped. */
static void append(lua_State *L, int ch, int count) {
  int mask = (int)number_in(L, ch, MASK);
  if (count > mask) {
    grow_ring(L, ch, mask);
    mask = (int)number_in(L, ch, MASK);
  }
  int at = ((int)number_in(L, ch, FIRST) + count) & mask;
  lua_rawgeti(L, ch, RING);
  lua_insert(L, -2);
  lua_rawseti(L, -2, at + 1);
  lua_pop(L, 1);
  lua_pushinteger(L, count + 1);
  lua_rawseti(L, ch, COUNT);
}

/* Resume who waits with the value on top, which is popped. */
static void hand_over(lua_State *L, int ch, rt__fiber *fiber) {
  lua_pushboolean(L, 0);
  lua_rawseti(L, ch, PARKED);
  lua_pushboolean(L, 1);
  lua_xmove(L, fiber->co, 2);
  fiber->args = 2;
  rt__fiber_wake(fiber);
}

/* Can it take a message? From the fiber that waits in PARKED, or else the
 * number of values in the ring. */
static bool has_room(lua_State *L, rt__vm *vm, int ch, rt__fiber **fiber,
                     int *count, int most) {
  lua_rawgeti(L, ch, PARKED);
  bool waits = lua_type(L, -1) == LUA_TNUMBER;
  *fiber = waits ? rt__fiber_standing(vm, lua_tonumber(L, -1)) : NULL;
  lua_pop(L, 1);
  *count = 0;
  if (waits) /* who waits first: nothing is in the ring, it is not closed */
    return *fiber && !(*fiber)->op && lua_checkstack((*fiber)->co, 4);
  if (truth_in(L, ch, CLOSED) || truth_in(L, ch, RECEIVERS)) return false;
  *count = (int)number_in(L, ch, COUNT);
  return *count < most;
}

bool rt__mail_put(lua_State *L, rt__process *to, int ch, int topic, rt_pid from,
                  int first, int count, bool share, int most) {
  rt__vm *vm = to->vm;
  rt__fiber *fiber;
  size_t room = DIRECT_MAX;
  int top = lua_gettop(L);
  int waiting;
  if (!has_room(L, vm, ch, &fiber, &waiting, most)) goto leave;
  bool object = number_in(L, ch, LIBRARY) == MESSAGES;
  int made = lua_gettop(L) + 1;
  for (; !object && count > 1; count--) /* nobody sees these */
    if (!share && lua_type(L, first + count - 1) > LUA_TSTRING) goto leave;
  if (!share) {
    luaL_checkstack(L, count + 10, "too many payloads");
    for (int i = 0; i < count; i++) {
      if (!copy(L, first + i, 0, &room)) goto leave;
      lua_settop(L, made + i); /* as copies go, nothing is left above */
    }
    first = made;
  }
  if (object)
    push_message(L, vm, topic, from, first, count);
  else if (count > 0)
    lua_pushvalue(L, first);
  else
    lua_pushnil(L);
  if (fiber)
    hand_over(L, ch, fiber);
  else
    append(L, ch, waiting);
  /* The sender makes room for who is to read it. */
  if (waiting + 1 == UNREAD_MAX && vm->fiber && vm->running != to)
    rt__vm_interrupt(vm);
  lua_settop(L, top);
  return true;

leave:
  lua_settop(L, top);
  return false;
}

bool rt__mail_deliver(lua_State *L, rt__process *to, int topic, rt_pid from,
                      int first, int count, bool share) {
  int top = lua_gettop(L);
  bool done = rt__mail_find_channel(L, to, topic) &&
              rt__mail_put(L, to, lua_gettop(L), topic, from, first, count,
                           share, UNREAD_MAX);
  lua_settop(L, top);
  return done;
}

/* --- sending
 * ----------------------------------------------------------------------- */

static bool plain_sailing(const rt__process *to) {
  return to && to->reads_mail && !to->mail.first && !to->rare->held &&
         !to->preempted && to->ending == RT_OK && !to->dying;
}

static void check_string(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) return;
  luaL_error(L, "bad argument #%d to 'send' (string expected, got %s)", index,
             lua_isnone(L, index) ? "nil" : luaL_typename(L, index));
}

/* send(dest, topic, ...) -> true | nil, err */
int rt__mail_send(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  rt__vm *vm = process->vm;
  check_string(L, 1);
  check_string(L, 2);
  const char *topic = lua_tostring(L, 2);
  rt_pid to = rt__mail_dest(L, 1);
  if (lua_gettop(L) - 2 > RT__PAYLOADS_MAX)
    return luaL_error(L, "more than %d payloads", RT__PAYLOADS_MAX);
  if (*topic == 0) return rt__lua_fail_text(L, RT_EINVAL, "the topic is empty");
  if (*topic == '@')
    return rt__lua_fail_text(L, RT_EINVAL,
                             "topics that begin with '@' are reserved");
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (to >> 52 == process->pid >> 52) {
    rt__process *here = rt__pids_get(&vm->pids, to);
    if (plain_sailing(here) && rt__mail_deliver(L, here, 2, process->pid, 3,
                                                lua_gettop(L) - 2, false)) {
      lua_pushboolean(L, 1);
      return 1;
    }
  }
  return rt__mail_send_far(L, process, to);
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

/* meta(table): the metatable of messages */
int rt__mail_meta(lua_State *L) {
  rt__vm *vm = rt__vm_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  vm->message_meta = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_createtable(L, RT__PID_TEXTS * 2 + 1, 0);
  for (int i = 1; i <= RT__PID_TEXTS * 2; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
  vm->pid_texts = luaL_ref(L, LUA_REGISTRYINDEX);
  memset(vm->pid_by_text, 0, sizeof(vm->pid_by_text));
  memset(vm->pid_of_text, 0, sizeof(vm->pid_of_text));
  return 0;
}
