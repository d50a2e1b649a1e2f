/* allow.c - which groups of the library scripts may use: the words of it. What
 * follows from them is in lua/rt/permit.lua.
 * SPDX-License-Identifier: MIT */
#include "process/allow.h"

#include <string.h>

static bool known(const char *word, size_t size) {
  static const char *const words[] = {"net", "fs", "exec", "env", "none"};
  for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
    if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0) {
      return true;
    }
  }
  return false;
}

rt_err rt__allow_check(const rt_runtime_opts *opts, rt_error *err) {
  const char *at = opts->allow;
  if (!at) return RT_OK;
  if (opts->unsafe) {
    return rt_fail(err, RT_EINVAL,
                   "allow: unsafe scripts cannot be held to it");
  }
  for (;; at++) {
    size_t size = strcspn(at, ",");
    if (!known(at, size)) {
      return rt_fail(err, RT_EINVAL,
                     "allow: '%.*s' is none of net, fs, exec, env, none",
                     (int)(size < 40 ? size : 40), at);
    }
    at += size;
    if (!*at) return RT_OK;
  }
}
