/* naming.c - names of processes, as scripts and hosts give them: one that is
 * left by a process whose end was not seen yet is free.
 * SPDX-License-Identifier: MIT */
#include "process/naming.h"

#include <string.h>

#include "process/sched.h"

static rt_err check_name(const char *name, size_t size, rt_error *err) {
  if (!name || size == 0) return rt_fail(err, RT_EINVAL, "the name is empty");
  if (*name == '{')
    return rt_fail(err, RT_EINVAL, "a name may not begin with '{'");
  return RT_OK;
}

rt_err rt__process_register(rt_runtime *rt, rt_pid pid, const char *name,
                            size_t size, rt_error *err) {
  rt_err rc = check_name(name, size, err);
  if (rc != RT_OK) return rc;
  if (!pid || !rt__pid_alive(rt, pid))
    return rt_fail(err, RT_ENOTFOUND, "no such process");
  rt_pid owner = rt__names_find(&rt->names, name, size);
  if (owner && !rt__pid_alive(rt, owner))
    rt__names_remove(&rt->names, name, size, owner, NULL);
  rc = rt__names_add(&rt->names, name, size, pid);
  if (rc == RT_EEXIST) return rt_fail(err, rc, "the name is taken");
  if (rc != RT_OK) return rt_fail(err, rc, "no memory for a name");
  if (rt__pid_alive(rt, pid)) return RT_OK;
  rt__names_remove(&rt->names, name, size, pid, NULL); /* it ended meanwhile */
  return rt_fail(err, RT_ENOTFOUND, "no such process");
}

rt_err rt_process_register(rt_runtime *rt, rt_pid pid, const char *name,
                           rt_error *err) {
  return rt__process_register(rt, pid, name, name ? strlen(name) : 0, err);
}

rt_err rt_process_unregister(rt_runtime *rt, rt_pid pid, const char *name) {
  rt_err rc = rt__names_remove(&rt->names, name, strlen(name), pid, NULL);
  return rc == RT_EPERM ? RT_ENOTFOUND : rc;
}

rt_pid rt_process_lookup(rt_runtime *rt, const char *name) {
  rt_pid pid = rt__names_find(&rt->names, name, strlen(name));
  return pid && rt__pid_alive(rt, pid) ? pid : 0;
}
