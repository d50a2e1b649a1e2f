/* lua_shape.c - see lua_shape.h. SPDX-License-Identifier: MIT */
#include "bind/lua_shape.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "process/sched.h"

enum { PLACES = 256, MAKE_AT = 8 };

struct rt__shapes {
  rt__shape *places[PLACES];
};

void rt__shapes_free(rt__shapes *shapes) {
  if (!shapes) return;
  for (int i = 0; i < PLACES; i++) free(shapes->places[i]);
  free(shapes);
}

rt__shape *rt__shape_at(lua_State *L, uint32_t count, const unsigned char *at,
                        const unsigned char *end) {
  rt__vm *vm = rt__vm_of(L);
  if (count == 0 || count > RT__SHAPE_KEYS || end - at < 2) return NULL;
  size_t size = (size_t)(*at & 31);
  if ((*at & 0xE0) != 0xA0 || (size_t)(end - at) <= size) return NULL;
  if (!vm->shapes && !(vm->shapes = calloc(1, sizeof(*vm->shapes))))
    return NULL;
  unsigned place = (count * 31 + at[0]) * 31 + at[1] + at[size] * 17u;
  rt__shape **found = &vm->shapes->places[place % PLACES];
  if (!*found) *found = calloc(1, sizeof(**found));
  return *found;
}

/* Its function as text; the keys byte by byte, whatever they are. */
static void write_source(const rt__shape *shape, rt__buf *out) {
  const unsigned char *key = shape->keys;
  rt__buf_puts(out, "return function(");
  for (uint32_t i = 1; i <= shape->count; i++)
    rt__buf_printf(out, "%sa%u", i > 1 ? "," : "", i);
  rt__buf_puts(out, ") return {");
  for (uint32_t i = 1; i <= shape->count; i++) {
    size_t size = *key++ & 31;
    rt__buf_puts(out, "[\"");
    for (; size > 0; size--) rt__buf_printf(out, "\\%03d", *key++);
    rt__buf_printf(out, "\"]=a%u,", i);
  }
  rt__buf_puts(out, "} end");
}

static void make(lua_State *L, rt__shape *shape) {
  rt__buf source = {0};
  write_source(shape, &source);
  bool ok = !source.failed &&
            luaL_loadbuffer(L, source.data, source.size, "=shape") == 0;
  rt__buf_deinit(&source);
  shape->score = 0;
  if (!ok) return;
  lua_newtable(L); /* no process's globals */
  lua_setfenv(L, -2);
  lua_call(L, 0, 1);
  shape->make = luaL_ref(L, LUA_REGISTRYINDEX);
  shape->made = true;
}

void rt__shape_learn(lua_State *L, rt__shape *shape, uint32_t count,
                     const unsigned char *keys, size_t size) {
  if (shape->made) return;
  if (shape->count == count && shape->size == size &&
      memcmp(shape->keys, keys, size) == 0) {
    if (++shape->score >= MAKE_AT) make(L, shape);
  } else if (shape->score > 0) {
    shape->score--;
  } else {
    shape->count = count;
    shape->size = (uint32_t)size;
    memcpy(shape->keys, keys, size);
  }
}
