/* death.c - what is said of the end of a process: why, and to whom.
 *
 * The reason is an error as a map, made here for what did not come out of the
 * script itself. It goes to the log, to who monitors the process or is linked
 * to it, to who started it from C, and to the program when it was the main one.
 *
 * Thread rule: the worker's thread, but for rt__error_map(), which any may
 * call. SPDX-License-Identifier: MIT */
#include "process/sched.h"

rt_value *rt__error_map(rt_err code, const char *message, const char *stack) {
  rt_builder *builder = rt_builder_new();
  rt_value *map = NULL;
  if (!builder) return NULL;
  rt_builder_begin_map(builder);
  rt_builder_key(builder, "message");
  rt_builder_string(builder, message);
  rt_builder_key(builder, "kind");
  rt_builder_string(builder, rt_status_kind(code));
  rt_builder_key(builder, "retryable");
  rt_builder_bool(builder, code == RT_ETIMEOUT);
  if (stack) {
    rt_builder_key(builder, "stack");
    rt_builder_string(builder, stack);
  }
  rt_builder_end(builder);
  if (rt_builder_finish(builder, &map, NULL) != RT_OK) map = NULL;
  rt_builder_free(builder);
  return map;
}

static const char *text_of(rt_err how) {
  switch (how) {
  case RT_ECANCELED:
    return "terminated";
  case RT_ETIMEOUT:
    return "deadline exceeded";
  case RT_ENOMEM:
    return "out of memory: the VM's limit is reached";
  case RT_EINTERNAL:
    return "a channel is spoilt: a message could not be put into it";
  default:
    return "the runtime is stopping";
  }
}

rt_value *rt__process_reason(const rt__process *process, rt_err how) {
  return rt__error_map(how, text_of(how), process->rare->where);
}

static void log_death(rt__process *process, rt_err how, rt_value *error) {
  size_t size = 0, traced = 0;
  char pid[RT_PID_TEXT];
  const rt__rare *rare = process->rare;
  if (process->is_main || rare->on_exit) return; /* who started it tells */
  if (how != RT_EUNKNOWN && (how != RT_ENOMEM || rare->where)) return;
  rt_view view = rt_value_view(error);
  const char *text = rt_view_string(rt_view_get(view, "message"), &size);
  const char *stack = rt_view_string(rt_view_get(view, "stack"), &traced);
  rt_pid_text(process->pid, pid);
  rt_runtime_log(process->vm->worker->rt, RT_LOG_ERROR, NULL,
                 "process %s: %.*s%s%.*s", pid, (int)size, text ? text : "",
                 traced ? "\n" : "", (int)traced, stack ? stack : "");
}

void rt__process_tell(rt__process *process, rt_err how, rt_value *result,
                      rt_value *error) {
  rt_runtime *rt = process->vm->worker->rt;
  const rt__rare *rare = process->rare;
  log_death(process, how, error);
  rt__process_tell_where(process, how, error);
  rt__process_announce(process, how, result, error);
  if (rare->on_exit) rare->on_exit(process, how, result, error, rare->exit_arg);
  if (rare->public_exit)
    rare->public_exit(process->pid, rt_value_ref(result), rt_value_ref(error),
                      rare->public_arg);
  if (process->is_main) rt__runtime_main_ended(rt, how, error, process);
  rt__runtime_process_ended(rt);
}
