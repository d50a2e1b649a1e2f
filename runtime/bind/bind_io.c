/* bind_io.c - rt.core.io: open files and standard input, for lua/rt/io.lua.
 *
 * A file is a userdata over a counted struct; operations hold it too, so that
 * closing it under one that runs does not free its descriptor for reuse. What
 * is written gathers in `out` until a flush; the end of the process, or the
 * collector, flushes it at once (at most FLUSH_AT bytes and one write more).
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "bind/bind_fs.h"
#include "bind/bind_io.h"
#include "bind/net_bind.h"

int rt__open_io(lua_State *L);

#define FILE_TYPE "rt.io.file"
/* Bytes written that are held back. */
#define FLUSH_AT 65536

typedef struct file {
  unsigned refs;
  int fd;
  bool closed, append;
  char *path;
  rt__buf out;
  int64_t out_at; /* where `out` goes */
  rt__resource resource;
} file;

static void unref(file *f) {
  if (--f->refs > 0) return;
  if (f->fd >= 0) close(f->fd);
  rt__buf_deinit(&f->out);
  free(f->path);
  free(f);
}

static void write_now(file *f) {
  const char *data = f->out.data;
  int64_t at = f->append ? -1 : f->out_at;
  while (f->out.size > 0) {
    ssize_t n = at < 0 ? write(f->fd, data, f->out.size)
                       : pwrite(f->fd, data, f->out.size, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    data += n;
    f->out.size -= (size_t)n;
    if (at >= 0) at += n;
  }
}

/* What an operation still reads or writes keeps the descriptor open. */
static void close_file(file *f) {
  if (f->closed) return;
  write_now(f);
  f->closed = true;
  rt__resource_remove(&f->resource);
  unref(f);
}

static void close_resource(rt__resource *resource) {
  file *f = (file *)((char *)resource - offsetof(file, resource));
  write_now(f);
  f->closed = true;
  unref(f);
}

/* --- the userdata, which holds a reference of its own -------------------- */

static file *check_file(lua_State *L) {
  return *(file **)luaL_checkudata(L, 1, FILE_TYPE);
}

static int collect(lua_State *L) {
  file **slot = luaL_checkudata(L, 1, FILE_TYPE);
  if (!*slot) return 0;
  close_file(*slot);
  unref(*slot);
  *slot = NULL;
  return 0;
}

static int push_file(lua_State *L, rt__fs_op *op) {
  file **slot = lua_newuserdata(L, sizeof(*slot));
  *slot = NULL;
  luaL_getmetatable(L, FILE_TYPE);
  lua_setmetatable(L, -2);
  file *f = calloc(1, sizeof(*f));
  if (!f) return luaL_error(L, "io: no memory");
  f->fd = op->fs.fd;
  op->fs.fd = -1;
  f->path = op->fs.path;
  op->fs.path = NULL;
  f->append = op->fs.flags & O_APPEND;
  f->refs = 2; /* the userdata, and being open */
  f->resource.close = close_resource;
  rt__resource_add(op->op.process, &f->resource);
  *slot = f;
  return 1;
}

static void drop_open(rt__fs_op *op) {
  if (op->fs.fd >= 0) close(op->fs.fd);
  op->fs.fd = -1;
}

static int flags_of(lua_State *L, int index) {
  const char *mode = luaL_checkstring(L, index);
  bool plus = strchr(mode, '+') != NULL;
  int access = plus ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
  if (*mode == 'w') return access | O_CREAT | O_TRUNC;
  if (*mode == 'a') return access | O_CREAT | O_APPEND;
  return access;
}

/* open(path, mode) -> op: file */
static int l_open(lua_State *L) {
  size_t size;
  const char *path = luaL_checklstring(L, 1, &size);
  int flags = flags_of(L, 2);
  rt__fs_op *op = rt__fs_op_new(L, RT__FS_OPEN);
  op->push = push_file;
  op->drop = drop_open;
  op->fs.flags = flags;
  op->fs.mode = 0666;
  if (!rt__fs_op_copy(op, &op->fs.path, path, size))
    return rt__op_return(L, &op->op);
  return rt__fs_op_start(L, op);
}

/* --- reading and writing ------------------------------------------------ */

static void drop_ref(rt__fs_op *op) {
  unref(op->arg);
}

static rt__fs_op *file_op(lua_State *L, file *f, rt__fs_kind kind) {
  if (f->closed) luaL_error(L, "attempt to use a closed file");
  rt__fs_op *op = rt__fs_op_new(L, kind);
  op->fs.fd = f->fd;
  op->arg = f;
  op->drop = drop_ref;
  f->refs++;
  return op;
}

/* read(file, size, offset) -> op: data, "" at the end */
static int l_read(lua_State *L) {
  lua_Number size = luaL_checknumber(L, 2), offset = luaL_checknumber(L, 3);
  rt__fs_op *op = file_op(L, check_file(L), RT__FS_READ_FD);
  file *f = op->arg;
  op->fs.max = (uint64_t)size;
  op->fs.offset = (int64_t)offset;
  if (!rt__fs_op_copy(op, &op->fs.path, f->path, strlen(f->path)))
    return rt__op_return(L, &op->op);
  return rt__fs_op_start(L, op);
}

/* write(file, data, offset) -> is a flush due? The offset counts when nothing
 * is held back. */
static int l_write(lua_State *L) {
  size_t size;
  file *f = check_file(L);
  const char *data = luaL_checklstring(L, 2, &size);
  if (f->closed) luaL_error(L, "attempt to use a closed file");
  if (f->out.size == 0) f->out_at = (int64_t)luaL_checknumber(L, 3);
  rt__buf_append(&f->out, data, size);
  if (f->out.failed) {
    f->out.failed = false;
    luaL_error(L, "not enough memory");
  }
  lua_pushboolean(L, f->out.size >= FLUSH_AT);
  return 1;
}

/* flush(file) -> op. Takes what is held back; a failure loses it. */
static int l_flush(lua_State *L) {
  rt__fs_op *op = file_op(L, check_file(L), RT__FS_WRITE_FD);
  file *f = op->arg;
  op->fs.offset = f->append ? -1 : f->out_at;
  op->fs.data = f->out.data;
  op->fs.size = f->out.size;
  f->out = (rt__buf){0};
  if (!rt__fs_op_copy(op, &op->fs.path, f->path, strlen(f->path)))
    return rt__op_return(L, &op->op);
  return rt__fs_op_start(L, op);
}

/* held(file) -> bytes that wait for a flush */
static int l_held(lua_State *L) {
  lua_pushnumber(L, (lua_Number)check_file(L)->out.size);
  return 1;
}

/* size(file) -> bytes, or nil for what has none */
static int l_size(lua_State *L) {
  struct stat st;
  file *f = check_file(L);
  if (f->closed || fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) return 0;
  lua_pushnumber(L, (lua_Number)st.st_size);
  return 1;
}

static int l_close(lua_State *L) {
  close_file(check_file(L));
  return 0;
}

int rt__open_io(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", l_open},   {"read", l_read},
      {"write", l_write}, {"flush", l_flush},
      {"held", l_held},   {"size", l_size},
      {"close", l_close}, {"read_stdin", rt__l_read_stdin},
      {NULL, NULL}};
  rt__bind_meta(L, FILE_TYPE, collect);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
