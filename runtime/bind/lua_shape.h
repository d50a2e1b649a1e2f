/* bind/lua_shape.h - maps that come again and again with the same keys.
 *
 * Making a table key by key means to hash and insert each of them. When maps
 * with the same few keys in the same order have come some times, their shape
 * gets a function of its own that makes such a table from its values alone:
 * function(a1, a2) return {id = a1, name = a2} end. A shape that has one keeps
 * it as long as the VM, and there are only so many.
 * Worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_LUA_SHAPE_H
#define RT__BIND_LUA_SHAPE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RT__SHAPE_KEYS = 12, RT__SHAPE_BYTES = 200 };

typedef struct rt__shape {
  uint32_t count; /* keys */
  uint32_t size;  /* bytes of `keys` */
  unsigned score; /* how often it came, until it is made */
  bool made;
  int make;                            /* ref of its function, when made */
  unsigned char keys[RT__SHAPE_BYTES]; /* as they are in the wire form */
} rt__shape;

typedef struct rt__shapes rt__shapes; /* of one VM */
void rt__shapes_free(rt__shapes *shapes);

/* The place of shapes that begin like this map of `count` pairs at `at`; NULL
 * when it cannot have one. What is there need not be its shape. */
rt__shape *rt__shape_at(lua_State *L, uint32_t count, const unsigned char *at,
                        const unsigned char *end);
/* These were the keys of a map that found the place so; may raise. */
void rt__shape_learn(lua_State *L, rt__shape *shape, uint32_t count,
                     const unsigned char *keys, size_t size);

#endif
