--- rt.popen - shell commands for io.popen and os.execute, run by exec's core.
-- A command that is read from runs at once, and what it prints is there to read when it has ended.
-- One that is written to runs when it is closed; what it prints goes where print goes.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.exec")
local errors = require("rt.errors")
local reader = require("rt.reader")
local task = require("rt.task")

local M = {}

local OUTPUT_MAX = 64 * 1024 * 1024
-- Which outputs are passed on.
local STDERR, BOTH = 4, 6

--- Run a shell command; its output is passed on. -> code, signal or nil, err
function M.shell(command, input)
  if command:find("\0", 1, true) then
    return nil, errors.make("exec: command with a zero byte", "INVALID")
  end
  local argv = { "sh", "-c", command }
  local code, signal = task.await(core.run("/bin/sh", argv, nil, nil, input, OUTPUT_MAX, BOTH))
  if not code then return nil, signal end
  return code, signal
end

local methods = {}
local meta = {
  __index = methods,
  __metatable = "FILE*",
  __tostring = function(self)
    return self.closed and "file (closed)" or "file (popen)"
  end,
}

-- Waits for the command that is read from.
local function finished(self)
  if not self.ended then
    self.waiter = task.fiber()
    local ok, err
    repeat
      ok, err = task.park()
    until self.ended or not ok
    self.waiter = nil
    if not self.ended then return nil, err end
  end
  return true
end

local function fill(self)
  local ok, err = finished(self)
  if not ok then return nil, err end
  if self.code == nil then return nil, self.fault end
  local out = self.output
  self.output = nil
  return out
end

local function run(self, command)
  local argv = { "sh", "-c", command }
  local op = core.run("/bin/sh", argv, nil, nil, nil, OUTPUT_MAX, STDERR)
  local code, signal, out = task.await(op)
  self.code, self.output = code, out
  if code then
    self.signal = signal
  else
    self.fault = signal
  end
  self.ended = true
  if self.waiter then task.wake(self.waiter) end
end

--- io.popen
function M.open(command, mode)
  if command:find("\0", 1, true) then
    return nil, errors.make("io: command with a zero byte", "INVALID")
  end
  local self = setmetatable({ command = command, mode = mode }, meta)
  if mode == "w" then
    self.parts = {}
  else
    reader.init(self, fill)
    task.spawn(run, self, command)
  end
  return self
end

local function opened(self, level)
  if self.closed then error("attempt to use a closed file", level + 1) end
end

local function wrong_way()
  return nil, errors.make("io: the command is not open for this", "INVALID")
end

function methods:read(...)
  opened(self, 2)
  if self.mode == "w" then return wrong_way() end
  return reader.read(self, "read", ...)
end

function methods:lines(...)
  opened(self, 2)
  local formats, count = { ... }, select("#", ...)
  return function()
    opened(self, 2)
    local line, err = reader.read(self, "lines", unpack(formats, 1, count))
    if err then error(err, 2) end
    return line
  end
end

function methods:write(...)
  opened(self, 2)
  if self.mode ~= "w" then return wrong_way() end
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    if type(text) == "number" then text = tostring(text) end
    self.parts[#self.parts + 1] = check.string(text, i, "write")
  end
  return self
end

function methods:flush()
  return self
end

function methods.setvbuf()
  return true
end

methods.seek = wrong_way

--- true (nil unless the command ended with 0), "exit" or "signal", and its number.
function methods:close()
  opened(self, 2)
  self.closed = true
  local code, signal
  if self.mode == "w" then
    code, signal = M.shell(self.command, table.concat(self.parts))
  else
    local ok, err = finished(self)
    if not ok then return nil, err end
    code, signal = self.code, self.signal or self.fault
  end
  if not code then return nil, signal end
  if signal ~= 0 then return nil, "signal", signal end
  return code == 0 or nil, "exit", code
end

return M
