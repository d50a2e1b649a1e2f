/* paths.h - where a session's files are, and whose they are.
 *
 * Names are checked here, so no name leads out of its folder. Ownership is an
 * open-file-description lock on DIR/NAME.lock: the kernel drops it when its
 * owner dies, and it holds also between two runtimes in one program. Any
 * thread may call.
 * SPDX-License-Identifier: MIT */
#ifndef RT__STORE_PATHS_H
#define RT__STORE_PATHS_H

#include <stdbool.h>
#include <sys/types.h>

#include "rt/status.h"

#define RT__DIR_DEFAULT ".runtime"

/* RT_EINVAL with words when `name` is no session name. */
rt_err rt__session_name_check(const char *name, rt_error *err);
/* DIR/NAME + suffix [free], NULL when memory is short. `dir` NULL: default. */
char *rt__session_path(const char *dir, const char *name, const char *suffix);
/* Make the folder and those above it. */
rt_err rt__session_mkdir(const char *dir, rt_error *err);

/* Take the ownership: *fd is to be given to rt__owner_release(). RT_ECONFLICT
 * names the process that has it. *died (or NULL): whoever had it before did
 * not release it. */
rt_err rt__owner_take(int *fd, const char *dir, const char *name, bool *died,
                      rt_error *err);
/* `clean` false: the next owner takes it as if this one had died. */
void rt__owner_release(int fd, bool clean);
/* Leave words for those who ask what the owner waits for; NULL: nothing. */
void rt__owner_tell(int fd, const char *words);
/* Those words [free], while somebody owns it; else NULL. */
char *rt__owner_told(const char *dir, const char *name);
/* The process that owns it now, 0 when nobody does. */
pid_t rt__owner_of(const char *dir, const char *name);

#endif
