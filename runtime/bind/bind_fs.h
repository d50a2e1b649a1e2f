/* bind/bind_fs.h - file system operations shared by bind_fs.c, bind_watch.c
 * and bind_io.c. Worker's thread. SPDX-License-Identifier: MIT */
#ifndef RT__BIND_FS_H
#define RT__BIND_FS_H

#include "process/op.h"
#include "sys/fs.h"

typedef struct rt__fs_op rt__fs_op;
struct rt__fs_op {
  rt__op op;
  uv_work_t work;
  rt__fs fs;
  void *arg;
  void (*finish)(rt__fs_op *op); /* the work is done; or NULL */
  void (*drop)(rt__fs_op *op);   /* released, after `finish`; or NULL */
  int (*push)(lua_State *L, rt__fs_op *op); /* other results; or NULL */
};

/* Raises when memory is short or the process may not wait. */
rt__fs_op *rt__fs_op_new(lua_State *L, rt__fs_kind kind);
/* Begin the work and push the operation; returns 1. */
int rt__fs_op_start(lua_State *L, rt__fs_op *op);
/* A terminated copy of `data` in `*out`. False when there is no memory; the
 * operation has then ended. */
bool rt__fs_op_copy(rt__fs_op *op, char **out, const char *data, size_t size);

/* bind_watch.c */
int rt__l_watch(lua_State *L);
int rt__l_watch_next(lua_State *L);
int rt__l_unwatch(lua_State *L);

#endif
