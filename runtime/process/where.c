/* where.c - where a process was computing when it had to be ended.
 *
 * What is named is the innermost function of the script, with its file and
 * line; the library's own functions are passed over. If it was made from a
 * text, which says little, the line of the file that called it is named too.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/sched.h"

#define LEVELS 64
#define LINES  16 /* of a VM whose runtime stops */

static bool of_library(const lua_Debug *ar) {
  return ar->currentline < 0 || strncmp(ar->source, "=rt/", 4) == 0;
}

/* The next function outwards from `level` that has a line; false if none. */
static bool next_named(lua_State *L, int *level, lua_Debug *ar) {
  for (; *level < LEVELS && lua_getstack(L, *level, ar); (*level)++)
    if (lua_getinfo(L, "nSl", ar) && !of_library(ar)) return true;
  return false;
}

static bool of_file(const lua_Debug *ar) {
  return *ar->source == '@';
}

static char *describe(lua_State *L, int level, lua_Debug *ar) {
  char text[256];
  size_t used;
  if (ar->name && *ar->name)
    snprintf(text, sizeof(text), "in function '%.40s' (%s:%d)", ar->name,
             ar->short_src, ar->currentline);
  else
    snprintf(text, sizeof(text), "in function <%s:%d> (%s:%d)", ar->short_src,
             ar->linedefined, ar->short_src, ar->currentline);
  used = strlen(text);
  while (!of_file(ar)) {
    level++;
    if (!next_named(L, &level, ar)) break;
    if (of_file(ar))
      snprintf(text + used, sizeof(text) - used, ", called at %s:%d",
               ar->short_src, ar->currentline);
  }
  return strdup(text);
}

void rt__process_note(rt__process *process, lua_State *L) {
  lua_Debug ar;
  int level = 0;
  if (process->rare->where || !next_named(L, &level, &ar)) return;
  rt__rare *rare = rt__process_rare(process);
  if (rare) rare->where = describe(L, level, &ar);
}

/* Who is ended with another, or with many, is not told of one by one. */
static bool worth_a_line(rt__process *process, rt_err how) {
  if (how == RT_OK || how == RT_EUNKNOWN || !process->rare->where) return false;
  if (process->is_main || process->rare->on_exit)
    return false; /* told elsewhere */
  if (how == RT_ECANCELED) return !process->rare->end_error;
  return how != RT_ECLOSED || ++process->vm->told <= LINES;
}

void rt__process_tell_where(rt__process *process, rt_err how,
                            const rt_value *error) {
  size_t size = 0;
  char pid[RT_PID_TEXT];
  if (!worth_a_line(process, how)) return;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(error), "message"), &size);
  rt_pid_text(process->pid, pid);
  rt_runtime_log(process->vm->worker->rt, RT_LOG_WARN, NULL,
                 "process %s ended %s: %.*s", pid, process->rare->where,
                 (int)size, text ? text : "");
}
