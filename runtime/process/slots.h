/* process/slots.h - slots of Lua's arrays and stacks, read and written in
 * place.
 *
 * A message is so short that calls of Lua's API were a third of its cost. With
 * our own LuaJIT these few do without: they look at its structs, as its own
 * library does. With LUAJIT=system they are what they stand for. Rules:
 *
 *   - an index is that of a stack slot that is there, counted from 1;
 *   - who pushes has room, as after lua_checkstack(); a C function is called
 *     with LUA_MINSTACK;
 *   - a value stored in a table needs the collector's barrier, which
 *     rt__slot_set() has; numbers, booleans and stacks need none.
 *
 * Thread rule: the worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_SLOTS_H
#define RT__PROCESS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#ifndef RT_LUAJIT_SYSTEM
#include <lj_obj.h> /* the others need it */

#include <lj_gc.h>
#include <lj_state.h>
#include <lj_tab.h>

/* What lua_newstate() was given. */
static inline void *rt__slot_owner(lua_State *L) {
  return G(L)->allocd;
}

static inline TValue *rt__slot_at(lua_State *L, int index) {
  return L->base + index - 1;
}

/* lua_gettop, and lua_settop to less than there is */
static inline int rt__slot_top(lua_State *L) {
  return (int)(L->top - L->base);
}
static inline void rt__slot_cut(lua_State *L, int top) {
  L->top = L->base + top;
}

static inline bool rt__slot_is_table(lua_State *L, int index) {
  return tvistab(rt__slot_at(L, index));
}
/* Also asked of an argument that is not there. */
static inline bool rt__slot_is_string(lua_State *L, int index) {
  return index <= rt__slot_top(L) && tvisstr(rt__slot_at(L, index));
}
/* A light userdata as a number, and pushed again. */
static inline uint64_t rt__slot_bits(lua_State *L, int index) {
  return rt__slot_at(L, index)->u64;
}
static inline void rt__slot_push_bits(lua_State *L, uint64_t bits) {
  L->top++->u64 = bits;
}
/* The address of a string or table; that table pushed again, which somebody
 * has kept. NULL: it is not known how. */
static inline void *rt__slot_address(lua_State *L, int index) {
  return gcval(rt__slot_at(L, index));
}
static inline void rt__slot_push_table(lua_State *L, void *address) {
  settabV(L, L->top, (GCtab *)address);
  L->top++;
}
/* Nil, a boolean, a number or a string: what is shared, not copied. */
static inline bool rt__slot_is_plain(lua_State *L, int index) {
  const TValue *o = rt__slot_at(L, index);
  return tvispri(o) || tvisnumber(o) || tvisstr(o);
}
/* lua_tolstring of a string */
static inline const char *rt__slot_string(lua_State *L, int index,
                                          size_t *size) {
  const GCstr *s = strV(rt__slot_at(L, index));
  *size = s->len;
  return strdata(s);
}

/* lua_pushvalue, lua_pushboolean */
static inline void rt__slot_copy(lua_State *L, int index) {
  copyTV(L, L->top, rt__slot_at(L, index));
  L->top++;
}
static inline void rt__slot_push_bool(lua_State *L, bool value) {
  setboolV(L->top, value);
  L->top++;
}

/* Private: lua_rawgeti of a table. */
static inline void rt__slot_push_of(lua_State *L, GCtab *table, int slot) {
  const TValue *o = lj_tab_getint(table, slot);
  if (o)
    copyTV(L, L->top, o);
  else
    setnilV(L->top);
  L->top++;
}
/* lua_rawgeti of the table at `table`; of the registry */
static inline void rt__slot_push(lua_State *L, int table, int slot) {
  rt__slot_push_of(L, tabV(rt__slot_at(L, table)), slot);
}
static inline void rt__slot_push_ref(lua_State *L, int ref) {
  rt__slot_push_of(L, tabV(registry(L)), ref);
}
/* lua_rawget of the table at `table` with the string at `key` */
static inline void rt__slot_push_field(lua_State *L, int table, int key) {
  const TValue *o =
      lj_tab_getstr(tabV(rt__slot_at(L, table)), strV(rt__slot_at(L, key)));
  if (o)
    copyTV(L, L->top, o);
  else
    setnilV(L->top);
  L->top++;
}

/* The number there; 0 when it is none. Is it anything but false and nil? */
static inline lua_Number rt__slot_number(lua_State *L, int table, int slot) {
  const TValue *o = lj_tab_getint(tabV(rt__slot_at(L, table)), slot);
  return o && tvisnumber(o) ? numberVnum(o) : 0;
}
static inline bool rt__slot_truth(lua_State *L, int table, int slot) {
  const TValue *o = lj_tab_getint(tabV(rt__slot_at(L, table)), slot);
  return o && tvistruecond(o);
}

/* Is there a table, and none that is guarded by a metatable? */
static inline bool rt__slot_holds_table(lua_State *L, int table, int slot) {
  const TValue *o = lj_tab_getint(tabV(rt__slot_at(L, table)), slot);
  return o && tvistab(o) && !gcref(tabV(o)->metatable);
}

/* lua_rawseti of a number, a boolean, the value on top, which is popped */
static inline void rt__slot_set_number(lua_State *L, int table, int slot,
                                       lua_Number n) {
  TValue *o = lj_tab_setint(L, tabV(rt__slot_at(L, table)), slot);
  setnumV(o, n);
}
static inline void rt__slot_set_bool(lua_State *L, int table, int slot,
                                     bool value) {
  TValue *o = lj_tab_setint(L, tabV(rt__slot_at(L, table)), slot);
  setboolV(o, value);
}
static inline void rt__slot_set(lua_State *L, int table, int slot) {
  GCtab *t = tabV(rt__slot_at(L, table));
  TValue *o = lj_tab_setint(L, t, slot);
  copyTV(L, o, --L->top);
  lj_gc_anybarriert(L, t);
}

/* lua_setmetatable of the table at `table`, to that of the registry */
static inline void rt__slot_set_meta(lua_State *L, int table, int ref) {
  GCtab *t = tabV(rt__slot_at(L, table));
  const GCtab *meta = tabV(lj_tab_getint(tabV(registry(L)), ref));
  setgcref(t->metatable, obj2gco(meta));
  lj_gc_objbarriert(L, t, meta);
}

/* luaL_ref and luaL_unref of the registry, which they may be mixed with: its
 * slot 0 leads to a slot that is free, that to the next. */
static inline int rt__slot_ref(lua_State *L) {
  GCtab *t = tabV(registry(L));
  const TValue *free = lj_tab_getint(t, 0);
  uint32_t ref = free && tvisnum(free) ? (uint32_t)numV(free) : 0;
  if (ref == 0 || ref >= t->asize || tvisnil(L->top - 1))
    return luaL_ref(L, LUA_REGISTRYINDEX);
  TValue *slots = tvref(t->array);
  copyTV(L, &slots[0], &slots[ref]);
  copyTV(L, &slots[ref], --L->top);
  lj_gc_anybarriert(L, t);
  return (int)ref;
}
static inline void rt__slot_unref(lua_State *L, int ref) {
  GCtab *t = tabV(registry(L));
  if (ref < 0) return;
  if ((uint32_t)ref >= t->asize) {
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    return;
  }
  TValue *slots = tvref(t->array);
  copyTV(L, &slots[ref], &slots[0]);
  setnumV(&slots[0], ref);
}

/* The table on top, which is popped, becomes the globals of a coroutine. */
static inline void rt__slot_set_globals(lua_State *L, lua_State *co) {
  GCtab *t = tabV(--L->top);
  setgcref(co->env, obj2gco(t));
  lj_gc_objbarrier(L, obj2gco(co), t);
}
/* lua_tothread */
static inline lua_State *rt__slot_thread(lua_State *L, int index) {
  return threadV(rt__slot_at(L, index));
}

/* lua_remove of the one below the top */
static inline void rt__slot_drop_below(lua_State *L) {
  copyTV(L, L->top - 2, L->top - 1);
  L->top--;
}

/* Is there room for `n` more, without growing? lua_xmove, where there is. */
static inline bool rt__slot_has_room(lua_State *L, int n) {
  return tvref(L->maxstack) - L->top > n;
}
static inline void rt__slot_move(lua_State *L, lua_State *to, int n) {
  L->top -= n;
  for (int i = 0; i < n; i++) copyTV(to, to->top + i, L->top + i);
  to->top += n;
}

#else

static inline void *rt__slot_owner(lua_State *L) {
  void *ud;
  lua_getallocf(L, &ud);
  return ud;
}
#define rt__slot_top                    lua_gettop
#define rt__slot_drop_below(L)          lua_remove(L, -2)
#define rt__slot_cut                    lua_settop
#define rt__slot_copy                   lua_pushvalue
#define rt__slot_push_bool              lua_pushboolean
#define rt__slot_push                   lua_rawgeti
#define rt__slot_push_ref(L, ref)       lua_rawgeti(L, LUA_REGISTRYINDEX, ref)
#define rt__slot_set                    lua_rawseti
#define rt__slot_move                   lua_xmove
#define rt__slot_is_table(L, i)         (lua_type(L, i) == LUA_TTABLE)
#define rt__slot_is_string(L, i)        (lua_type(L, i) == LUA_TSTRING)
#define rt__slot_string(L, i, out)      lua_tolstring(L, i, out)
#define rt__slot_has_room(L, n)         lua_checkstack(L, n)
static inline uint64_t rt__slot_bits(lua_State *L, int index) {
  return (uintptr_t)lua_touserdata(L, index);
}
static inline void rt__slot_push_bits(lua_State *L, uint64_t bits) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)bits);
}
#define rt__slot_address(L, index)      NULL
#define rt__slot_thread                 lua_tothread
#define rt__slot_ref(L)                 luaL_ref(L, LUA_REGISTRYINDEX)
#define rt__slot_unref(L, ref)          luaL_unref(L, LUA_REGISTRYINDEX, ref)
static inline void rt__slot_set_globals(lua_State *L, lua_State *co) {
  lua_pushthread(co);
  lua_insert(co, 1);
  lua_xmove(L, co, 1);
  lua_setfenv(co, 1);
  lua_remove(co, 1);
}
#define rt__slot_push_table(L, address) lua_pushnil(L)
static inline bool rt__slot_is_plain(lua_State *L, int index) {
  int type = lua_type(L, index);
  return type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER ||
         type == LUA_TSTRING;
}
static inline void rt__slot_push_field(lua_State *L, int table, int key) {
  lua_pushvalue(L, key);
  lua_rawget(L, table);
}
static inline void rt__slot_set_meta(lua_State *L, int table, int ref) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
  lua_setmetatable(L, table);
}
static inline lua_Number rt__slot_number(lua_State *L, int table, int slot) {
  lua_rawgeti(L, table, slot);
  lua_Number n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}
static inline bool rt__slot_truth(lua_State *L, int table, int slot) {
  lua_rawgeti(L, table, slot);
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}
static inline bool rt__slot_holds_table(lua_State *L, int table, int slot) {
  int top = lua_gettop(L);
  lua_rawgeti(L, table, slot);
  bool yes = lua_istable(L, -1) && !lua_getmetatable(L, -1);
  lua_settop(L, top);
  return yes;
}
static inline void rt__slot_set_number(lua_State *L, int table, int slot,
                                       lua_Number n) {
  lua_pushnumber(L, n);
  lua_rawseti(L, table, slot);
}
static inline void rt__slot_set_bool(lua_State *L, int table, int slot,
                                     bool value) {
  lua_pushboolean(L, value);
  lua_rawseti(L, table, slot);
}

#endif
#endif
