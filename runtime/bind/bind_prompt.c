/* bind_prompt.c - rt.core.prompt: what lua/rt/prompt.lua tells rt/prompt.h.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "bind/bind.h"
#include "process/prompt.h"

static rt_prompt *prompt_of(lua_State *L) {
  rt_prompt *prompt = rt__prompt_of(L);
  if (!prompt) luaL_error(L, "no prompt is running");
  return prompt;
}

/* running(fiber): what a break ends */
static int l_running(lua_State *L) {
  rt__prompt_running(prompt_of(L), luaL_checknumber(L, 1));
  return 0;
}

/* answer(id, outcome, text or nil) */
static int l_answer(lua_State *L) {
  static const char *const names[] = {"done", "failed", "more", NULL};
  size_t size = 0;
  uint64_t id = (uint64_t)luaL_checknumber(L, 1);
  rt_prompt_outcome outcome =
      (rt_prompt_outcome)luaL_checkoption(L, 2, NULL, names);
  const char *text = luaL_optlstring(L, 3, NULL, &size);
  /* A process that is ending answers by its end. */
  if (rt__vm_of(L)->refused || rt__process_of(L)->ending != RT_OK) return 0;
  rt__prompt_answer(prompt_of(L), id, outcome, text, size);
  return 0;
}

static const luaL_Reg functions[] = {
    {"running", l_running}, {"answer", l_answer}, {NULL, NULL}};

int rt__open_prompt(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
