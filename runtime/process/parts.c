/* parts.c - start and end of the bus, the registry and the engine.
 * SPDX-License-Identifier: MIT */
#include "process/parts.h"

rt_err rt__parts_first(rt_runtime *rt, rt_error *err) {
  (void)rt;
  (void)err;
  return RT_OK;
}

rt_err rt__parts_last(rt_runtime *rt, rt_error *err) {
  (void)rt;
  (void)err;
  return RT_OK;
}

void rt__parts_drain(rt_runtime *rt, double grace) {
  (void)rt;
  (void)grace;
}

void rt__parts_stop(rt_runtime *rt) { (void)rt; }

void rt__parts_free(rt_runtime *rt) { (void)rt; }
