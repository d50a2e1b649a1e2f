--- rt.io - the io library of scripts: the same calls, none of which blocks a worker.
-- Failures are nil and an error object, whose text stands where Lua's own message would. A file is
-- closed, and what was written to it kept, when its process ends.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local errors = require("rt.errors")
local file = require("rt.file")
local output = require("rt.core.task").output
local permit = require("rt.permit")
local popen = require("rt.popen")
local stdin = require("rt.stdin")
local task = require("rt.task")

local M = {}

-- stdout and stderr -------------------------------------------------------------------------------

local function refuse()
  return nil, errors.make("io: not for an output", "INVALID")
end

local function returns_self(self)
  return self
end

local function stream(fd, name)
  local methods = {
    read = refuse,
    seek = refuse,
    close = refuse,
    flush = returns_self,
    setvbuf = function()
      return true
    end,
    lines = function()
      error("file is not open for reading", 2)
    end,
    write = function(self, ...)
      local list = { ... }
      for i = 1, select("#", ...) do
        if type(list[i]) == "number" then list[i] = tostring(list[i]) end
        check.string(list[i], i, "write")
      end
      output(fd, table.concat(list))
      return self
    end,
  }
  return setmetatable({}, {
    __index = methods,
    __metatable = "FILE*",
    __tostring = function()
      return "file (" .. name .. ")"
    end,
  })
end

M.stdin, M.stdout, M.stderr = stdin, stream(1, "stdout"), stream(2, "stderr")

-- files -------------------------------------------------------------------------------------------

local function is_file(value)
  return type(value) == "table" and getmetatable(value) == "FILE*"
end

local function check_path(path, n, fname)
  if type(path) == "number" then path = tostring(path) end
  if type(path) ~= "string" then
    check.fail(n, fname, "string expected, got " .. type(path), 2)
  end
  return path
end

local function open(path, mode, fname)
  local denied = permit.denied("fs", "io." .. fname)
  if denied then return nil, denied end
  if path == "" or path:find("\0", 1, true) then
    return nil, errors.make("io: no path: '" .. path .. "'", "INVALID")
  end
  return file.open(path, mode)
end

function M.open(path, mode)
  path = check_path(path, 1, "open")
  mode = check.optional_string(mode, 2, "open") or "r"
  if not mode:find("^[rwa]%+?b?$") then check.fail(2, "open", "invalid mode") end
  return open(path, mode, "open")
end

function M.popen(command, mode)
  check.string(command, 1, "popen")
  mode = check.optional_string(mode, 2, "popen") or "r"
  if mode ~= "r" and mode ~= "w" then check.fail(2, "popen", "invalid mode") end
  local denied = permit.denied("exec", "io.popen")
  if denied then return nil, denied end
  return popen.open(command, mode)
end

function M.tmpfile()
  local denied = permit.denied("fs", "io.tmpfile")
  if denied then return nil, denied end
  local fs = require("fs")
  local path, err = fs.temp_file("lua")
  if not path then return nil, err end
  local f
  f, err = open(path, "w+", "tmpfile")
  fs.remove(path)
  return f, err
end

function M.type(value)
  if not is_file(value) then return nil end
  if tostring(value) == "file (closed)" then return "closed file" end
  return "file"
end

function M.close(f)
  if f == nil then f = M.output() end
  if not is_file(f) then check.fail(1, "close", "file expected, got " .. type(f)) end
  return f:close()
end

-- the default input and output, of each process ---------------------------------------------------

local function default(name, mode, key, std)
  return function(f)
    local state = task.state()
    if f == nil then return state[key] or std end
    if type(f) == "string" then
      local made, err = open(f, mode, name)
      if not made then error(err, 2) end
      f = made
    elseif not is_file(f) then
      check.fail(1, name, "file or string expected, got " .. type(f))
    end
    state[key] = f
    return f
  end
end

M.input = default("input", "r", "rt.io.input", M.stdin)
M.output = default("output", "w", "rt.io.output", M.stdout)

function M.read(...)
  return M.input():read(...)
end

function M.write(...)
  return M.output():write(...)
end

function M.lines(path, ...)
  if path == nil then return M.input():lines(...) end
  path = check_path(path, 1, "lines")
  local f, err = open(path, "r", "lines")
  if not f then error(err, 2) end
  local formats, count = { ... }, select("#", ...)
  return function()
    if M.type(f) ~= "file" then error("file is already closed", 2) end
    local function pass(value, fault, ...)
      if value == nil then
        f:close()
        if errors.is_error(fault) then error(fault, 3) end
        return nil
      end
      return value, fault, ...
    end
    return pass(f:read(unpack(formats, 1, count)))
  end
end

return M
