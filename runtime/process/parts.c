/* parts.c - start and end of the bus, the registry, the engine and its jobs.
 *
 * The engine stops first, as it needs workers to drain; the bus stops when no
 * process can subscribe any more. What VMs point to is released after them.
 *
 * SPDX-License-Identifier: MIT */
#include "process/parts.h"

#include "bus/bridge.h"
#include "bus/bus.h"
#include "process/embed.h"
#include "process/job.h"

#define STOP_BUS_S 5.0

rt_err rt__parts_first(rt_runtime *rt, rt_error *err) {
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  opts.intake_bytes = rt->opts.bus_intake_bytes;
  opts.max_subscribers = rt->opts.max_subscribers;
  rt_err rc = rt_bus_new(&rt->bus, &opts, err);
  if (rc == RT_OK && rt->embed->host)
    rc = rt__bus_set_host(rt->bus, rt->embed->host, false, err);
  if (rc == RT_OK) rc = rt__bridge_new(&rt->bridge, rt, rt->bus, err);
  if (rc == RT_OK) rc = rt__registry_new(&rt->registry, rt, err);
  return rc;
}

rt_err rt__parts_last(rt_runtime *rt, rt_error *err) {
  rt_err rc = rt__jobs_new(&rt->jobs, rt, err);
  if (rc != RT_OK) return rc;
  rc = rt__engine_new(&rt->engine, rt, rt->bus, rt->registry,
                      rt__jobs_executor(rt->jobs), err);
  if (rc == RT_OK) rt__parts_watch(rt);
  return rc;
}

void rt__parts_drain(rt_runtime *rt, double grace) {
  if (rt->engine) rt__engine_stop(rt->engine, grace);
}

void rt__parts_leave(rt__worker *worker) {
  if (worker->rt->jobs) rt__jobs_leave(worker);
}

bool rt__parts_stop(rt_runtime *rt) {
  return !rt->bus || rt_bus_stop(rt->bus, STOP_BUS_S) == RT_OK;
}

/* Who points to whom: the engine to the bus, the bridge to the bus. */
void rt__parts_free(rt_runtime *rt) {
  rt__engine_free(rt->engine);
  rt__jobs_free(rt->jobs);
  rt__registry_free(rt->registry);
  rt__bridge_free(rt->bridge);
  rt_bus_free(rt->bus);
}
