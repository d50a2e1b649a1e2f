/* fuzz_json.c - bytes that claim to be JSON, read by both parsers: into a value
 * (value/json_parse.c), which is written and read again with the same result,
 * and into Lua tables (bind/json_decode.c). Both take the same texts.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>

#include "bind/json.h"
#include "bind/lua_value.h"
#include "process/sched.h"
#include "value.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Marks tables as arrays, which matters to nobody here. */
void rt__lua_mark_array(lua_State *L) {
  (void)L;
}

bool rt__vm_is_ending(lua_State *L) {
  (void)L;
  return false;
}

static bool into_lua(const char *text, size_t size) {
  rt_error err = RT_ERROR_INIT;
  char *copy = malloc(size + 1); /* Lua's strings are terminated */
  lua_State *L = luaL_newstate();
  if (size) memcpy(copy, text, size);
  copy[size] = '\0';
  bool ok = rt__json_decode(L, copy, size, &err) == RT_OK;
  if (ok && lua_gettop(L) != 1) abort();
  if (!ok && !*err.message) abort();
  lua_close(L);
  free(copy);
  return ok;
}

/* Where they differ on purpose: only Lua's passes over a byte order mark, and
 * it nests deeper. */
static bool may_differ(const char *text, size_t size, const char *message) {
  return (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) ||
         strstr(message, "nested too deep");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  const char *text = (const char *)data;
  rt_value *value;
  rt_error err = RT_ERROR_INIT;
  bool ok = rt_value_from_json(&value, text, size, &err) == RT_OK;
  if (into_lua(text, size) != ok && !may_differ(text, size, err.message))
    abort();
  if (!ok && !*err.message) abort();
  if (!ok) return 0;
  check_view(rt_value_view(value));
  check_json(value);
  check_copy(value);
  rt_value_unref(value);
  return 0;
}
