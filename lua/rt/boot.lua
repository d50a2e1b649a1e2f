--- rt.boot - the first module of a VM: what the scheduler in C calls.
-- SPDX-License-Identifier: MIT
local coroutines = require("rt.coroutines")
local errors = require("rt.errors")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task = require("rt.task")

--- The error of a fiber that failed as an error map's parts.
local function trace(err, co)
  local map = errors.to_map(err)
  map.stack = coroutines.trace(err, co)
  return map
end

source.load_library()

return {
  globals = sandbox.globals,
  inlet = task.on_mail,
  start = source.start,
  trace = trace,
}
