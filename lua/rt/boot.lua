--- rt.boot - the first module of a VM: what the scheduler in C calls.
-- SPDX-License-Identifier: MIT
local coroutines = require("rt.coroutines")
local errors = require("rt.errors")
local callbacks = require("rt.callbacks")
local match = require("rt.match")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task = require("rt.task")

local function with_stack(err, stack)
  local map = errors.to_map(err)
  map.stack = errors.chain(err, stack)
  return map
end

--- The error of a fiber that failed, as a map. Scripts' own metamethods are not called here, where
-- no fiber runs and nothing could end them: for an error that has some, the answer is nil and a
-- function that makes the map, to be run in a fiber.
local function trace(err, co)
  local stack
  if not task.state().unloaded then stack = coroutines.trace(err, co) end
  if errors.is_plain(err) then return with_stack(err, stack) end
  return nil, function()
    return with_stack(err, stack)
  end
end

source.load_library()

return {
  globals = sandbox.globals,
  inlet = task.on_mail,
  start = source.start,
  trace = trace,
  long = { match.find, match.match, callbacks.long_gsub },
}
