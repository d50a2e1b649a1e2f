/* own_lua.c - an embedding program with a LuaJIT of its own beside the one
 * inside the library: neither sees the other's symbols.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lualib.h>
#include <rt/rt.h>
#include <stdio.h>

static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)arg;
  fwrite(text, 1, size, fd == 1 ? stdout : stderr);
}

int main(void) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_runtime *rt = NULL;
  rt_error err;
  int exit_code = -1;
  lua_State *L = luaL_newstate();
  if (!L) return 1;
  luaL_openlibs(L);
  opts.output = on_output;
  opts.workers = 1;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) return 1;
  if (luaL_dostring(L, "x = 1 for i = 1, 1000 do x = x + i end")) return 1;
  script.code = "print(x)";
  script.code_size = 8;
  script.name = "=embedded";
  if (rt_runtime_run(rt, &script, &exit_code, &err) != RT_OK) return 1;
  lua_getglobal(L, "x");
  printf("%g\n", lua_tonumber(L, -1));
  rt_runtime_free(rt);
  lua_close(L);
  return exit_code;
}
