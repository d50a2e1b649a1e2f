/* bind_watch.c - changes of files and folders (inotify, by libuv).
 *
 * A watch is a userdata and a resource of its process. Changes wait in it, at
 * most MAX_CHANGES, until an operation of next() takes them all; more are
 * counted as lost. The watch's memory lives until libuv has closed the handle:
 *
 *   inotify -> changes -> next() -> a fiber -> channel (lua/fs.lua)
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind_fs.h"
#include "bind/net_bind.h"
#include "sys/sys_error.h"

#define WATCH       "rt.fs.watch"
#define MAX_CHANGES 4096

typedef struct change {
  char *name;
  int events;
} change;

typedef struct changes {
  change *at;
  size_t count, room, lost;
} changes;

typedef struct next_op next_op;

typedef struct watch {
  uv_fs_event_t handle; /* its data is the watch */
  rt__resource resource;
  struct watch **slot; /* the userdata; set to NULL when closed */
  next_op *waiting;    /* or NULL */
  changes changes;
} watch;

/* Takes the changes when it ends, so that it outlives the watch. */
struct next_op {
  rt__op op;
  watch *w; /* while it waits */
  bool closed;
  changes changes;
};

static void free_changes(changes *c) {
  for (size_t i = 0; i < c->count; i++) free(c->at[i].name);
  free(c->at);
  *c = (changes){0};
}

static void on_closed(uv_handle_t *handle) {
  watch *w = handle->data;
  free_changes(&w->changes);
  free(w);
}

static void end_next(watch *w, next_op *op) {
  w->waiting = NULL;
  op->w = NULL;
  op->changes = w->changes;
  w->changes = (changes){0};
  rt__op_end(&op->op);
}

static void close_watch(watch *w) {
  *w->slot = NULL;
  rt__resource_remove(&w->resource);
  if (w->waiting) {
    w->waiting->closed = true;
    end_next(w, w->waiting);
  }
  uv_close((uv_handle_t *)&w->handle, on_closed);
}

static void close_resource(rt__resource *resource) {
  close_watch((watch *)((char *)resource - offsetof(watch, resource)));
}

static bool same_as_last(const changes *c, const char *name, int events) {
  if (c->count == 0) return false;
  const change *last = &c->at[c->count - 1];
  return last->events == events && strcmp(last->name, name) == 0;
}

static bool append(changes *c, const char *name, int events) {
  if (c->count == c->room) {
    size_t room = c->room ? c->room * 2 : 16;
    change *at =
        room <= MAX_CHANGES ? realloc(c->at, room * sizeof(*at)) : NULL;
    if (!at) return false;
    c->at = at;
    c->room = room;
  }
  char *copy = strdup(name);
  if (!copy) return false;
  c->at[c->count++] = (change){copy, events};
  /* cppcheck-suppress memleak ; the list owns the copy */
  return true;
}

static void on_change(uv_fs_event_t *handle, const char *name, int events,
                      int status) {
  watch *w = handle->data;
  changes *c = &w->changes;
  if (!name || status < 0) name = "";
  if (!same_as_last(c, name, events) && !append(c, name, events)) c->lost++;
  if (w->waiting) end_next(w, w->waiting);
}

/* --- next --------------------------------------------------------------- */

/* -> {name, event, ...}, number lost | nil when closed */
static int push_changes(lua_State *L, rt__op *base) {
  next_op *op = (next_op *)base;
  const changes *c = &op->changes;
  if (op->closed && c->count == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_createtable(L, (int)c->count * 2, 0);
  for (size_t i = 0; i < c->count; i++) {
    lua_pushstring(L, c->at[i].name);
    lua_rawseti(L, -2, (int)i * 2 + 1);
    lua_pushstring(L, c->at[i].events & UV_RENAME ? "rename" : "change");
    lua_rawseti(L, -2, (int)i * 2 + 2);
  }
  lua_pushnumber(L, (lua_Number)c->lost);
  return 2;
}

static void cancel_next(rt__op *base) {
  next_op *op = (next_op *)base;
  if (op->w) op->w->waiting = NULL;
  op->w = NULL;
  rt__op_end(base);
}

static void release_next(rt__op *base) {
  free_changes(&((next_op *)base)->changes);
}

static const rt__op_type next_type = {"fs.watch", cancel_next, push_changes,
                                      release_next};

static watch **check_watch(lua_State *L) {
  return luaL_checkudata(L, 1, WATCH);
}

/* next(watch) -> op */
int rt__l_watch_next(lua_State *L) {
  watch *w = *check_watch(L);
  next_op *op = rt__op_new(L, sizeof(*op), &next_type);
  op->closed = !w;
  op->w = w;
  if (!w)
    rt__op_end(&op->op);
  else if (w->changes.count)
    end_next(w, op);
  else
    w->waiting = op;
  return rt__op_return(L, &op->op);
}

/* --- opening and closing ------------------------------------------------ */

int rt__l_unwatch(lua_State *L) {
  watch **slot = check_watch(L);
  if (*slot) close_watch(*slot);
  return 0;
}

/* watch(path) -> watch | nil, err */
int rt__l_watch(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  const char *path = luaL_checkstring(L, 1);
  rt__process *process = rt__process_of(L);
  watch **slot = lua_newuserdata(L, sizeof(*slot));
  *slot = NULL;
  rt__bind_meta(L, WATCH, rt__l_unwatch);
  luaL_getmetatable(L, WATCH);
  lua_setmetatable(L, -2);
  watch *w = calloc(1, sizeof(*w));
  if (!w || !process) {
    free(w);
    rt_fail(&err, RT_ENOMEM, "fs: no memory to watch '%s'", path);
    return rt__lua_fail(L, &err);
  }
  uv_fs_event_init(rt__worker_loop(rt__worker_of(L)), &w->handle);
  w->handle.data = w;
  int rc = uv_fs_event_start(&w->handle, on_change, path, 0);
  if (rc < 0) {
    uv_close((uv_handle_t *)&w->handle, on_closed);
    rt__sys_fail(&err, rc, "fs: cannot watch '%s'", path);
    return rt__lua_fail(L, &err);
  }
  w->resource.close = close_resource;
  rt__resource_add(process, &w->resource);
  w->slot = slot;
  *slot = w;
  return 1;
}
