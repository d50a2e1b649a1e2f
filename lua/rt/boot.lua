--- rt.boot - the first module of a VM: what the scheduler in C calls.
-- SPDX-License-Identifier: MIT
local coroutines = require("rt.coroutines")
local errors = require("rt.errors")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task = require("rt.task")
local core = require("rt.core.process")

local next_mail = core.next
local inlet_of = task.inlet_of

local handle

-- `handle` for each package, as long as there is one. The topics of scripts have one inlet.
function handle(topic, from, ...)
  if not topic then return end
  local inlet = inlet_of(topic)
  if inlet then
    inlet(...)
  else
    inlet = inlet_of("*")
    if inlet then inlet(topic, from, ...) end
  end
  return handle(next_mail())
end

local function inlet()
  return handle(next_mail())
end

--- The error of a fiber that failed as an error map's parts.
local function trace(err, co)
  local map = errors.to_map(err)
  map.stack = coroutines.trace(err, co)
  return map
end

source.load_library()

return {
  globals = sandbox.globals,
  inlet = inlet,
  start = source.start,
  trace = trace,
}
