/* bind_process.c - rt.core.process: processes, messages, names.
 *
 * A destination is the text of a PID or a registered name. Messages are in
 * bind/mail.c.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/mail.h"
#include "process/fence.h"
#include "process/listing.h"
#include "process/naming.h"
#include "process/spawn.h"

static int done(lua_State *L, rt_err code, const char *what) {
  if (code != RT_OK) return rt__lua_fail_text(L, code, what);
  lua_pushboolean(L, 1);
  return 1;
}

/* pid() -> own PID */
static int l_pid(lua_State *L) {
  rt__mail_push_pid(L, rt__lua_process(L)->pid);
  return 1;
}

/* note(pid, topic, ...) -> true | nil, err: mail between halves of the library,
 * to the inlet "@..." of that process */
static int l_note(lua_State *L) {
  const char *topic = luaL_checkstring(L, 2);
  rt_pid to = rt__mail_dest(L, 1);
  rt_error err = RT_ERROR_INIT;
  rt_value *payloads;
  luaL_argcheck(L, *topic == '@', 2, "topic of the library expected");
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (rt__mail_encode(L, 3, "argument", &payloads, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  rt__package *package = rt__package_new(RT__MESSAGE, rt__lua_process(L)->pid,
                                         to, topic, payloads);
  rt_value_unref(payloads);
  if (!package)
    return rt__lua_fail_text(L, RT_ENOMEM, "no memory for a message");
  return done(L, rt__route(rt__runtime_of(L), rt__worker_of(L), package),
              "no such process");
}

/* alive(pid) -> is there such a process? */
static int l_alive(lua_State *L) {
  rt_pid pid = rt__mail_dest(L, 1);
  lua_pushboolean(L, pid && rt__pid_alive(rt__runtime_of(L), pid));
  return 1;
}

/* --- spawn
 * -------------------------------------------------------------------- */

/* What source.start makes of the text; "child-..." has a supervisor. */
static const char *const kinds[] = {"function",     "source",  "child-function",
                                    "child-source", "library", NULL};

/* spawn(text, name, kind, monitored, linked, ...) -> PID | nil, err */
static int l_spawn(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  const char *kind = kinds[luaL_checkoption(L, 3, NULL, kinds)];
  rt_error err;
  rt_value *args;
  rt_pid pid;
  rt__error_begin(&err);
  rt__code *code = rt__code_at(L, 1, 2);
  if (rt__mail_encode(L, 6, "argument", &args, &err) != RT_OK) {
    rt__code_unref(code);
    return rt__lua_fail(L, &err);
  }
  rt__recipe *recipe =
      rt__recipe_new(&rt__worker_of(L)->packages, code, args); /* takes code */
  rt_value_unref(args);
  if (!recipe)
    return rt__lua_fail_text(L, RT_ENOMEM, "no memory for a process");
  recipe->kind = kind;
  recipe->monitored = lua_toboolean(L, 4);
  recipe->linked = lua_toboolean(L, 5);
  recipe->fence = rt__fence_ref(rt__fence_of(L));
  if (rt__spawn(rt__runtime_of(L), NULL, rt__worker_of(L), process->pid, recipe,
                &pid, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  if (lua_toboolean(L, 5)) rt__process_link(process, pid);
  rt__mail_push_pid(L, pid);
  return 1;
}

/* --- monitors and links
 * ---------------------------------------------------------- */

static int relate(lua_State *L, rt__package_kind kind) {
  rt__process *process = rt__lua_process(L);
  rt__worker *worker = rt__worker_of(L);
  rt_pid to = rt__mail_dest(L, 1);
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (to == process->pid)
    return rt__lua_fail_text(L, RT_EINVAL, "a process cannot watch itself");
  if (kind == RT__LINK) rt__process_link(process, to);
  if (kind == RT__UNLINK) rt__process_unlink(process, to);
  rt__package *package = rt__package_new(kind, process->pid, to, NULL, NULL);
  if (!package) return rt__lua_fail_text(L, RT_ENOMEM, "no memory");
  if (rt__route(worker->rt, worker, package) == RT_ENOTFOUND &&
      (kind == RT__MONITOR || kind == RT__LINK))
    rt__announce_dead(worker, kind, to, process->pid);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_monitor(lua_State *L) {
  return relate(L, RT__MONITOR);
}
static int l_unmonitor(lua_State *L) {
  return relate(L, RT__UNMONITOR);
}
static int l_link(lua_State *L) {
  return relate(L, RT__LINK);
}
static int l_unlink(lua_State *L) {
  return relate(L, RT__UNLINK);
}

/* cancel(dest, reason, or_end) -> true | nil, err */
static int l_cancel(lua_State *L) {
  const char *reason = luaL_optstring(L, 2, NULL);
  rt_pid to = rt__mail_dest(L, 1);
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  return done(L,
              rt__process_cancel_from(rt__runtime_of(L), rt__worker_of(L),
                                      rt__lua_process(L)->pid, to, reason,
                                      lua_toboolean(L, 3)),
              "no such process");
}

/* terminate(dest) -> true | nil, err */
static int l_terminate(lua_State *L) {
  rt_pid to = rt__mail_dest(L, 1);
  rt__process *here = to ? rt__process_find(rt__worker_of(L), to) : NULL;
  if (to && !here) here = rt__spawn_now(rt__worker_of(L), to);
  if (!to) return rt__lua_fail_text(L, RT_ENOTFOUND, "no such process");
  if (here) {
    rt__process_kill(here, RT_ECANCELED, NULL);
    lua_pushboolean(L, 1);
    return 1;
  }
  return done(L, rt_process_terminate(rt__runtime_of(L), to),
              "no such process");
}

/* trap([on]) -> does it trap the end of linked processes? */
static int l_trap(lua_State *L) {
  rt__process *process = rt__lua_process(L);
  if (!lua_isnone(L, 1)) process->trap_links = lua_toboolean(L, 1);
  lua_pushboolean(L, process->trap_links);
  return 1;
}

/* --- names
 * ---------------------------------------------------------------------- */

/* register(name, pid or nil) -> true | nil, err */
static int l_register(lua_State *L) {
  size_t size;
  const char *name = luaL_checklstring(L, 1, &size);
  rt_runtime *rt = rt__runtime_of(L);
  rt_pid pid = rt__lua_process(L)->pid;
  rt_error err;
  if (!lua_isnoneornil(L, 2)) pid = rt_pid_parse(luaL_checkstring(L, 2));
  rt__error_begin(&err);
  if (rt__process_register(rt, pid, name, size, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* lookup(name) -> PID | nil, err */
static int l_lookup(lua_State *L) {
  size_t size;
  const char *name = luaL_checklstring(L, 1, &size);
  rt_runtime *rt = rt__runtime_of(L);
  rt_pid pid = rt__names_find(&rt->names, name, size);
  if (!pid || !rt__pid_alive(rt, pid))
    return rt__lua_fail_text(L, RT_ENOTFOUND, "no process has this name");
  rt__mail_push_pid(L, pid);
  return 1;
}

/* unregister(name) -> true | nil, err */
static int l_unregister(lua_State *L) {
  size_t size;
  const char *name = luaL_checklstring(L, 1, &size);
  rt_runtime *rt = rt__runtime_of(L);
  rt_pid owner = 0;
  rt_err rc =
      rt__names_remove(&rt->names, name, size, rt__lua_process(L)->pid, &owner);
  if (rc == RT_EPERM && rt__pid_alive(rt, owner)) {
    char pid[RT_PID_TEXT], text[RT_PID_TEXT + 32];
    rt_pid_text(owner, pid);
    snprintf(text, sizeof(text), "the name belongs to %s", pid);
    return rt__lua_fail_text(L, rc, text);
  }
  return done(L, rc == RT_EPERM ? RT_ENOTFOUND : rc,
              "no process has this name");
}

/* list() -> operation whose result is the list of processes */
static int l_list(lua_State *L) {
  return rt__listing(L);
}

static const luaL_Reg functions[] = {{"pid", l_pid},
                                     {"listen", rt__mail_listen},
                                     {"pause", rt__mail_pause},
                                     {"next", rt__mail_next},
                                     {"send", rt__mail_send},
                                     {"await", rt__mail_await},
                                     {"unlisten", rt__mail_unlisten},
                                     {"pump", rt__mail_pump},
                                     {"inbox", rt__mail_inbox},
                                     {"message_meta", rt__mail_meta},
                                     {"spawn", l_spawn},
                                     {"note", l_note},
                                     {"alive", l_alive},
                                     {"monitor", l_monitor},
                                     {"unmonitor", l_unmonitor},
                                     {"link", l_link},
                                     {"unlink", l_unlink},
                                     {"cancel", l_cancel},
                                     {"terminate", l_terminate},
                                     {"trap", l_trap},
                                     {"register", l_register},
                                     {"lookup", l_lookup},
                                     {"unregister", l_unregister},
                                     {"list", l_list},
                                     {NULL, NULL}};

int rt__open_process(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
