/* process/job_load.h - capability files into the registry.
 *
 * The caller's thread finds and reads the files and waits; each file's chunk
 * runs in a process of its own, bounded to 5 s, which checks and adds what the
 * chunk declares.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_JOB_LOAD_H
#define RT__PROCESS_JOB_LOAD_H

#include <lua.h>

#include "rt/registry.h"

typedef struct rt__load_opts {
  unsigned flags; /* RT__PUT_* */
  void (*loaded)(const char *name, void *arg);
  /* `kind` as scripts see it, "INVALID" or "ALREADY_EXISTS" */
  void (*fault)(const char *text, const char *kind, void *arg);
  void *arg;
} rt__load_opts;

/* [waits] Load a file or a folder; the callbacks come on this thread.
 * RT_ENOTFOUND: no such path. */
rt_err rt__load(rt_registry *registry, const char *path,
                const rt__load_opts *opts, rt_error *err);

/* For rt.loader, in the process that loads one file:
 * loading() -> file, text;  fault(text, kind);
 * add(map, index) -> true or nil, error */
int rt__l_loading(lua_State *L);
int rt__l_fault(lua_State *L);
int rt__l_add(lua_State *L);

#endif
