/* bind_fs.c - rt.core.fs: file system work as operations on libuv's thread
 * pool (sys/fs.h). lua/fs.lua checks arguments; watching is bind_watch.c, open
 * files are bind_io.c. SPDX-License-Identifier: MIT */
#include "bind/bind_fs.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

int rt__open_fs(lua_State *L);

/* --- the operation ------------------------------------------------------ */

static void run_work(uv_work_t *work) {
  rt__fs_run(&((rt__fs_op *)work->data)->fs);
}

static void after_work(uv_work_t *work, int status) {
  rt__fs_op *op = work->data;
  if (status == UV_ECANCELED)
    op->fs.code = rt_fail(&op->fs.error, RT_ECANCELED, "fs: canceled");
  if (op->finish) op->finish(op);
  if (op->fs.code != RT_OK) rt__op_fail(&op->op, &op->fs.error);
  rt__op_end(&op->op);
}

static void cancel(rt__op *op) {
  uv_cancel((uv_req_t *)&((rt__fs_op *)op)->work);
}

static void push_list(lua_State *L, const rt__fs *fs) {
  lua_createtable(L, (int)fs->count, 0);
  lua_createtable(L, (int)fs->count, 0);
  for (size_t i = 0; i < fs->count; i++) {
    lua_pushstring(L, fs->entries[i].name);
    lua_rawseti(L, -3, (int)i + 1);
    lua_pushstring(L, rt__fs_type_name(fs->entries[i].type));
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

static double seconds(struct timespec t) {
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void push_stat(lua_State *L, const struct stat *st) {
  lua_createtable(L, 0, 12);
  lua_pushstring(L, rt__fs_type_name(st->st_mode));
  lua_setfield(L, -2, "type");
  set_number(L, "size", (double)st->st_size);
  set_number(L, "mode", (double)(st->st_mode & 07777));
  set_number(L, "uid", (double)st->st_uid);
  set_number(L, "gid", (double)st->st_gid);
  set_number(L, "inode", (double)st->st_ino);
  set_number(L, "links", (double)st->st_nlink);
  set_number(L, "atime", seconds(st->st_atim));
  set_number(L, "mtime", seconds(st->st_mtim));
  set_number(L, "ctime", seconds(st->st_ctim));
}

static int push(lua_State *L, rt__op *base) {
  rt__fs_op *op = (rt__fs_op *)base;
  if (op->push) return op->push(L, op);
  rt__fs *fs = &((rt__fs_op *)base)->fs;
  switch (fs->kind) {
  case RT__FS_LIST:
    push_list(L, fs);
    return 2;
  case RT__FS_STAT:
    push_stat(L, &fs->stat);
    return 1;
  case RT__FS_READ:
  case RT__FS_READ_FD:
  case RT__FS_REAL:
  case RT__FS_TEMP_DIR:
  case RT__FS_TEMP_FILE:
    lua_pushlstring(L, fs->data ? fs->data : "", fs->size);
    return 1;
  default:
    lua_pushboolean(L, 1);
    return 1;
  }
}

static void release(rt__op *base) {
  rt__fs_op *op = (rt__fs_op *)base;
  if (op->drop) op->drop(op);
  rt__fs_deinit(&op->fs);
}

static const rt__op_type fs_type = {"fs", cancel, push, release};

rt__fs_op *rt__fs_op_new(lua_State *L, rt__fs_kind kind) {
  rt__fs_op *op = rt__op_new(L, sizeof(*op), &fs_type);
  op->fs.kind = kind;
  op->fs.fd = -1;
  return op;
}

int rt__fs_op_start(lua_State *L, rt__fs_op *op) {
  op->work.data = op;
  int rc = uv_queue_work(rt__worker_loop(op->op.worker), &op->work, run_work,
                         after_work);
  if (rc < 0) {
    rt_error err = RT_ERROR_INIT;
    rt_fail(&err, RT_EINTERNAL, "fs: %s", uv_strerror(rc));
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* A copy, or an operation that has failed (and false). */
bool rt__fs_op_copy(rt__fs_op *op, char **out, const char *data, size_t size) {
  rt_error err = RT_ERROR_INIT;
  *out = malloc(size + 1);
  if (*out) {
    memcpy(*out, data, size);
    (*out)[size] = 0;
    return true;
  }
  rt_fail(&err, RT_ENOMEM, "fs: no memory");
  rt__op_fail(&op->op, &err);
  rt__op_end(&op->op);
  return false;
}

/* --- functions ---------------------------------------------------------- */

/* One that takes a path (argument 1) and what `fill` reads. */
static rt__fs_op *begin(lua_State *L, rt__fs_kind kind) {
  size_t size;
  const char *path = luaL_checklstring(L, 1, &size);
  rt__fs_op *op = rt__fs_op_new(L, kind);
  rt__fs_op_copy(op, &op->fs.path, path, size);
  return op;
}

static int finish(lua_State *L, rt__fs_op *op) {
  if (op->op.ended) return rt__op_return(L, &op->op);
  return rt__fs_op_start(L, op);
}

/* read(path, max) -> op: data */
static int l_read(lua_State *L) {
  uint64_t max = (uint64_t)luaL_checknumber(L, 2);
  rt__fs_op *op = begin(L, RT__FS_READ);
  op->fs.max = max;
  return finish(L, op);
}

/* write(path, data, mode, append, exclusive) -> op */
static int l_write(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  mode_t mode = (mode_t)luaL_checkinteger(L, 3);
  rt__fs_op *op = begin(L, RT__FS_WRITE);
  op->fs.mode = mode;
  op->fs.append = lua_toboolean(L, 4);
  op->fs.exclusive = lua_toboolean(L, 5);
  op->fs.size = size;
  if (!op->op.ended) rt__fs_op_copy(op, &op->fs.data, data, size);
  return finish(L, op);
}

/* stat(path, nofollow) -> op: table */
static int l_stat(lua_State *L) {
  rt__fs_op *op = begin(L, RT__FS_STAT);
  op->fs.nofollow = lua_toboolean(L, 2);
  return finish(L, op);
}

/* list(path) -> op: names, types */
static int l_list(lua_State *L) {
  return finish(L, begin(L, RT__FS_LIST));
}

/* mkdir(path, mode, parents) -> op */
static int l_mkdir(lua_State *L) {
  mode_t mode = (mode_t)luaL_checkinteger(L, 2);
  rt__fs_op *op = begin(L, RT__FS_MKDIR);
  op->fs.mode = mode;
  op->fs.parents = lua_toboolean(L, 3);
  return finish(L, op);
}

/* remove(path, recursive) -> op */
static int l_remove(lua_State *L) {
  rt__fs_op *op = begin(L, RT__FS_REMOVE);
  op->fs.recursive = lua_toboolean(L, 2);
  return finish(L, op);
}

/* rename(from, to) -> op */
static int l_rename(lua_State *L) {
  size_t size;
  const char *to = luaL_checklstring(L, 2, &size);
  rt__fs_op *op = begin(L, RT__FS_RENAME);
  if (!op->op.ended) rt__fs_op_copy(op, &op->fs.to, to, size);
  return finish(L, op);
}

/* real(path) -> op: path */
static int l_real(lua_State *L) {
  return finish(L, begin(L, RT__FS_REAL));
}

/* temp(template, directory) -> op: path */
static int l_temp(lua_State *L) {
  return finish(
      L, begin(L, lua_toboolean(L, 2) ? RT__FS_TEMP_DIR : RT__FS_TEMP_FILE));
}

int rt__open_fs(lua_State *L) {
  static const luaL_Reg functions[] = {{"read", l_read},
                                       {"write", l_write},
                                       {"stat", l_stat},
                                       {"list", l_list},
                                       {"mkdir", l_mkdir},
                                       {"remove", l_remove},
                                       {"rename", l_rename},
                                       {"real", l_real},
                                       {"temp", l_temp},
                                       {"watch", rt__l_watch},
                                       {"next", rt__l_watch_next},
                                       {"unwatch", rt__l_unwatch},
                                       {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
