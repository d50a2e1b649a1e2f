/* bind_process.c - rt.core.process: processes, messages, names.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "process/spawn.h"

static rt__process *process_of(lua_State *L) {
  rt__process *process = rt__process_of(L);
  if (!process) luaL_error(L, "no process is running");
  return process;
}

static void push_pid(lua_State *L, rt_pid pid) {
  char text[RT_PID_TEXT];
  rt_pid_text(pid, text);
  lua_pushstring(L, text);
}

/* pid() -> own PID */
static int l_pid(lua_State *L) {
  push_pid(L, process_of(L)->pid);
  return 1;
}

/* listen(): the library takes mail from now on */
static int l_listen(lua_State *L) {
  rt__process *process = process_of(L);
  process->reads_mail = true;
  if (lua_toboolean(L, 1)) process->reads_events = true;
  if (process->mail.first) rt__process_ready(process);
  return 0;
}

/* next() -> topic, sender or nil, payloads...; nothing when there is no mail */
static int l_next(lua_State *L) {
  rt__process *process = process_of(L);
  rt__package *package = rt__mailbox_take(&process->mail);
  if (!package) return 0;
  rt_value *payloads = package->payloads;
  package->payloads = NULL;
  lua_pushstring(L, package->topic);
  if (package->from)
    push_pid(L, package->from);
  else
    lua_pushnil(L);
  rt__package_free(package);
  rt_view item;
  rt_iter iter = rt_iter_of(rt_value_view(payloads));
  luaL_checkstack(L, (int)iter.left + 4, "too many payloads");
  while (rt_iter_next(&iter, NULL, &item)) rt__lua_decode(L, item);
  rt_value_unref(payloads);
  return lua_gettop(L);
}

static const luaL_Reg functions[] = {{"pid", l_pid},
                                     {"listen", l_listen},
                                     {"next", l_next},
                                     {NULL, NULL}};

int rt__open_process(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
