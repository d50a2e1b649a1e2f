/* public.c - the calls that go from a runtime to its engine.
 * SPDX-License-Identifier: MIT */
#include "dispatcher/session.h"

rt_err rt_session_open(rt_session **out, rt_runtime *rt,
                       const rt_session_opts *opts, rt_error *err) {
  return rt__session_open(out, rt__runtime_engine(rt), opts, err);
}

void rt_session_open_async(rt_runtime *rt, const rt_session_opts *opts,
                           rt_session_fn fn, void *arg) {
  rt__session_open_async(rt__runtime_engine(rt), opts, fn, arg);
}
