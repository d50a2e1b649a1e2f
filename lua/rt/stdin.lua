--- rt.stdin - standard input as a file object. Reading waits as a coroutine.
-- What was read and not yet taken belongs to the process that read it; so one process should read.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.io")
local errors = require("rt.errors")
local reader = require("rt.reader")
local task = require("rt.task")

local methods = {}
local meta = {
  __index = methods,
  __metatable = "FILE*",
  __tostring = function()
    return "file (stdin)"
  end,
}

local function fill()
  return task.await(core.read_stdin())
end

local function state()
  local all = task.state()
  local own = all["rt.stdin"]
  if not own then
    own = reader.init({}, fill)
    all["rt.stdin"] = own
  end
  return own
end

function methods.read(_, ...)
  return reader.read(state(), "read", ...)
end

function methods.lines(_, ...)
  local formats, count = { ... }, select("#", ...)
  return function()
    local line, err = reader.read(state(), "lines", unpack(formats, 1, count))
    if err then error(err, 2) end
    return line
  end
end

local function refuse()
  return nil, errors.make("io: not for standard input", "INVALID")
end
methods.write, methods.seek, methods.close = refuse, refuse, refuse

function methods.flush(self)
  return self
end

function methods.setvbuf()
  return true
end

return setmetatable({}, meta)
