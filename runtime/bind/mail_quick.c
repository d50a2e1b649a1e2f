/* mail_quick.c - see mail_quick.h. It looks at LuaJIT's structs, by the rules
 * of process/slots.h. SPDX-License-Identifier: MIT */
#include "bind/mail_quick.h"

#include "bind/mail_channel.h"

#ifndef RT_LUAJIT_SYSTEM

#define PAYLOADS_MAX 8
#define STRING_MAX   (DIRECT_MAX / (PAYLOADS_MAX + 1))

/* --- channels ------------------------------------------------------------- */

/* The slots of a channel, counted from 0; NULL: it is none as we make them. */
static TValue *slots_of(const GCtab *ch) {
  return ch->asize > LIBRARY ? tvref(ch->array) : NULL;
}

/* What a slot says, 0 to `most`; -1: nothing like that. */
static int number_in(const TValue *slot, int most) {
  if (!tvisnum(slot)) return -1;
  lua_Number n = numV(slot);
  return n >= 0 && n <= most ? (int)n : -1;
}

/* Its ring, when there is room in it and nobody waits in line; `*at` is where
 * the next value goes. */
static GCtab *ring_of(const TValue *slots, int *count, uint32_t *at) {
  int mask = number_in(&slots[MASK], RING_MAX - 1);
  int first = number_in(&slots[FIRST], mask);
  *count = number_in(&slots[COUNT], UNREAD_MAX - 2);
  if (mask < 0 || first < 0 || *count < 0 || *count > mask) return NULL;
  if (tvistruecond(&slots[CLOSED]) || tvistruecond(&slots[RECEIVERS]) ||
      !tvistab(&slots[RING]))
    return NULL;
  GCtab *ring = tabV(&slots[RING]);
  if (gcref(ring->metatable)) return NULL;
  *at = (uint32_t)((first + *count) & mask) + 1;
  return *at < ring->asize ? ring : NULL;
}

/* --- messages ------------------------------------------------------------- */

/* Are all of them shared, not copied, and small? */
static bool all_shared(const TValue *o, const TValue *end) {
  for (; o < end; o++)
    if (!tvisnumber(o) && !tvispri(o) &&
        !(tvisstr(o) && strV(o)->len <= STRING_MAX))
      return false;
  return true;
}

static bool push_pid(lua_State *L, const rt__vm *vm, rt_pid pid, TValue *out) {
  unsigned slot = rt__pid_slot(pid) & (RT__PID_TEXTS - 1);
  GCtab *texts = tabV(lj_tab_getint(tabV(registry(L)), vm->pid_texts));
  const TValue *text = lj_tab_getint(texts, RT__PID_TEXTS * 2 + (int)slot + 1);
  if (vm->pid_of_text[slot] != pid || !text) return false;
  copyTV(L, out, text);
  return true;
}

/* The message as an object, which new as it is needs no barrier. NULL: a step
 * of the collector is due, or the sender's text is not at hand. */
static GCtab *make_message(lua_State *L, const rt__vm *vm, rt_pid from,
                           const TValue *topic, int count) {
  TValue pid;
  if (G(L)->gc.total >= G(L)->gc.threshold || !push_pid(L, vm, from, &pid))
    return NULL;
  GCtab *message = lj_tab_new(L, (uint32_t)count + 4, 0);
  TValue *slots = tvref(message->array);
  copyTV(L, &slots[1], topic);
  copyTV(L, &slots[2], &pid);
  setnumV(&slots[3], count);
  for (int i = 0; i < count; i++) copyTV(L, &slots[4 + i], &topic[1 + i]);
  setgcref(message->metatable,
           obj2gco(tabV(lj_tab_getint(tabV(registry(L)), vm->message_meta))));
  return message;
}

/* What the channel is to have. False: it cannot be made now. */
static bool make_content(lua_State *L, const rt__vm *vm, const TValue *slots,
                         const TValue *topic, int count, TValue *out) {
  const TValue *kind = &slots[LIBRARY];
  if (tvisnum(kind) && numV(kind) == MESSAGES) {
    GCtab *message = make_message(L, vm, vm->running->pid, topic, count);
    if (!message) return false;
    settabV(L, out, message);
  } else if (count > 0) {
    copyTV(L, out, &topic[1]);
  } else {
    setnilV(out);
  }
  return true;
}

/* --- sending -------------------------------------------------------------- */

/* The process of the text, when it can take a message as it comes. */
static rt__process *find_reader(const rt__vm *vm, const char *text) {
  const rt__pid_text *known = &vm->pid_by_text[rt__pid_text_set(text) * 2];
  if (known->text != text && (++known)->text != text) return NULL;
  if (!known->pid || known->pid >> 52 != vm->running->pid >> 52) return NULL;
  rt__process *to = rt__pids_get(&vm->pids, known->pid);
  return to && rt__process_takes_mail(to) ? to : NULL;
}

static bool has_listener(lua_State *L, const rt__process *to,
                         const GCstr *topic) {
  if (to->state == LUA_NOREF) return false;
  const TValue *state = lj_tab_getint(tabV(registry(L)), to->state);
  if (!state || !tvistab(state)) return false;
  const TValue *all = lj_tab_getint(tabV(state), STATE_LISTENERS);
  return all && tvistab(all) && lj_tab_getstr(tabV(all), topic);
}

/* The channel of the topic: the listener that was found last, or its inbox. */
static GCtab *find_channel(lua_State *L, const rt__process *to,
                           const GCstr *topic) {
  if (to->topic == topic) return to->listener;
  char first = *strdata(topic);
  if (to->inbox == LUA_NOREF || first == 0 || first == '@' ||
      has_listener(L, to, topic))
    return NULL;
  const TValue *inbox = lj_tab_getint(tabV(registry(L)), to->inbox);
  return inbox && tvistab(inbox) ? tabV(inbox) : NULL;
}

/* Hand it to the main fiber, which waits for it. */
static bool hand_over(lua_State *L, rt__process *to, TValue *slots,
                      const TValue *topic, int count) {
  rt__fiber *fiber = to->main;
  if (!fiber || !rt__fiber_stands(fiber, numV(&slots[PARKED])) || fiber->op ||
      !rt__slot_has_room(fiber->co, 4))
    return false;
  lua_State *co = fiber->co;
  if (!make_content(L, to->vm, slots, topic, count, co->top)) return false;
  setboolV(co->top + 1, 1);
  co->top += 2;
  setboolV(&slots[PARKED], 0);
  fiber->args = 2;
  if (fiber->timer.at) rt__timer_stop(to->vm->worker, &fiber->timer);
  rt__fiber_ready(fiber);
  return true;
}

static bool append(lua_State *L, rt__process *to, TValue *slots,
                   const TValue *topic, int count) {
  int held;
  uint32_t at;
  GCtab *ring = ring_of(slots, &held, &at);
  if (!ring ||
      !make_content(L, to->vm, slots, topic, count, &tvref(ring->array)[at]))
    return false;
  lj_gc_anybarriert(L, ring);
  setnumV(&slots[COUNT], held + 1);
  return true;
}

bool rt__mail_quick_send(lua_State *L, rt__vm *vm) {
  const TValue *topic = L->base + 1;
  int count = (int)(L->top - topic) - 1;
  if (!vm->running || count < 0 || count > PAYLOADS_MAX || !tvisstr(topic) ||
      !tvisstr(L->base) || !all_shared(topic + 1, L->top))
    return false;
  rt__process *to = find_reader(vm, strVdata(L->base));
  GCtab *ch = to ? find_channel(L, to, strV(topic)) : NULL;
  TValue *slots = ch ? slots_of(ch) : NULL;
  if (!slots) return false;
  const TValue *parked = &slots[PARKED];
  if (tvisnum(parked)) return hand_over(L, to, slots, topic, count);
  return !tvistruecond(parked) && append(L, to, slots, topic, count);
}

/* --- waiting -------------------------------------------------------------- */

/* Is it this process's channel, or nobody's, with which it becomes so? */
static bool own(TValue *slots, const rt__process *process) {
  TValue *owner = &slots[OWNER];
  if (tvisnum(owner)) return numV(owner) == (lua_Number)process->serial;
  if (tvistruecond(owner)) return false;
  setnumV(owner, (lua_Number)process->serial);
  return true;
}

bool rt__mail_quick_wait(lua_State *L, rt__vm *vm) {
  rt__process *process = vm->running;
  rt__fiber *fiber = vm->fiber;
  if (!process || !fiber || fiber->process != process || process->nowait ||
      process->rare->held || L->top == L->base || !tvistab(L->base) ||
      !lua_isyieldable(L))
    return false;
  TValue *slots = slots_of(tabV(L->base));
  if (!slots || tvistruecond(&slots[CLOSED]) || !own(slots, process))
    return false;
  process->reads_mail = true;
  fiber->timed_out = fiber->woken = false;
  fiber->parking = true;
  setnumV(&slots[PARKED], rt__fiber_stand(fiber));
  return true;
}

#else

bool rt__mail_quick_send(lua_State *L, rt__vm *vm) {
  (void)L;
  (void)vm;
  return false;
}

bool rt__mail_quick_wait(lua_State *L, rt__vm *vm) {
  (void)L;
  (void)vm;
  return false;
}

#endif
