/* code.c - what processes run: text and name, shared, and at hand in each VM.
 *
 * Spawning the same function again must not copy its code, and starting it
 * must not make a Lua string of it anew. So each VM keeps the codes it met
 * last, with their strings: found by the address of the strings when spawning,
 * by the address of the code when starting.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "process/spawn.h"

rt__code *rt__code_new(const char *name, const char *text, size_t size) {
  size_t named = strlen(name) + 1;
  rt__code *code = malloc(sizeof(*code) + size + 1 + named);
  if (!code) return NULL;
  atomic_init(&code->refs, 1);
  code->size = size;
  memcpy(code->text, text, size);
  code->text[size] = 0;
  code->name = memcpy(code->text + size + 1, name, named);
  return code;
}

rt__code *rt__code_ref(rt__code *code) {
  atomic_fetch_add_explicit(&code->refs, 1, memory_order_relaxed);
  return code;
}

void rt__code_unref(rt__code *code) {
  if (code && atomic_fetch_sub(&code->refs, 1) == 1) free(code);
}

static unsigned place(const void *at) {
  uintptr_t n = (uintptr_t)at;
  return (unsigned)(n >> 4 ^ n >> 10) & (RT__CODES - 1);
}

/* The strings stand in the VM's table `code_texts`, two for each entry. */
static void keep(lua_State *L, rt__vm *vm, rt__known_code *entry, int text,
                 int name, rt__code *code) {
  int at = (int)(entry - vm->codes) * 2 + 1;
  rt__code_unref(entry->code);
  entry->code = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->code_texts);
  lua_pushvalue(L, text);
  lua_rawseti(L, -2, at);
  lua_pushvalue(L, name);
  lua_rawseti(L, -2, at + 1);
  lua_pop(L, 1);
  entry->text = lua_tostring(L, text);
  entry->name = lua_tostring(L, name);
  entry->code = rt__code_ref(code);
}

rt__code *rt__code_at(lua_State *L, int text, int name) {
  rt__vm *vm = rt__vm_of(L);
  size_t size;
  const char *bytes = luaL_checklstring(L, text, &size);
  const char *words = luaL_checkstring(L, name);
  rt__known_code *entry = &vm->codes[place(bytes)];
  if (entry->code && entry->text == bytes && entry->name == words)
    return rt__code_ref(entry->code);
  rt__code *code = rt__code_new(words, bytes, size);
  if (!code) luaL_error(L, "out of memory");
  keep(L, vm, entry, text, name, code);
  return code;
}

void rt__code_push(lua_State *L, rt__code *code) {
  rt__vm *vm = rt__vm_of(L);
  rt__known_code *entry = &vm->codes[RT__CODES + place(code)];
  int at = (int)(entry - vm->codes) * 2 + 1;
  if (entry->code == code) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->code_texts);
    lua_rawgeti(L, -1, at);
    lua_rawgeti(L, -2, at + 1);
    lua_remove(L, -3);
    return;
  }
  lua_pushlstring(L, code->text, code->size);
  lua_pushstring(L, code->name);
  int name = lua_gettop(L);
  keep(L, vm, entry, name - 1, name, code);
}

void rt__codes_init(lua_State *L, rt__vm *vm) {
  lua_createtable(L, RT__CODES * 4 + 1, 0);
  for (int i = 1; i <= RT__CODES * 4; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
  vm->code_texts = luaL_ref(L, LUA_REGISTRYINDEX);
}

void rt__codes_deinit(rt__vm *vm) {
  for (int i = 0; i < RT__CODES * 2; i++) rt__code_unref(vm->codes[i].code);
  memset(vm->codes, 0, sizeof(vm->codes));
}
