--- rt.os - what of the os library waits, or would change the whole program, made safe for scripts.
-- The rest (clock, date, difftime, time, exit) is put beside it by rt.sandbox.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local errors = require("rt.errors")
local fs = require("fs")
local permit = require("rt.permit")
local popen = require("rt.popen")

local getenv = os.getenv

local M = {}

--- Run a shell command; what it prints goes where print goes. The status as of Lua 5.1 (256 times
--- the exit code, 0 for success), then "exit" or "signal" and its number. Without a command: 1.
function M.execute(command)
  local denied = permit.denied("exec", "os.execute")
  if command == nil then return denied and 0 or 1 end
  check.string(command, 1, "execute")
  if denied then return -1, denied end
  local code, signal = popen.shell(command)
  if not code then return -1, signal end
  if signal ~= 0 then return signal, "signal", signal end
  return code * 256, "exit", code
end

function M.getenv(name)
  check.string(name, 1, "getenv")
  local denied = permit.denied("env", "os.getenv")
  if denied then return nil, denied end
  return getenv(name)
end

function M.remove(path)
  check.string(path, 1, "remove")
  local denied = permit.denied("fs", "os.remove")
  if denied then return nil, denied end
  return fs.remove(path)
end

function M.rename(from, to)
  check.string(from, 1, "rename")
  check.string(to, 2, "rename")
  local denied = permit.denied("fs", "os.rename")
  if denied then return nil, denied end
  return fs.rename(from, to)
end

function M.tmpname()
  local denied = permit.denied("fs", "os.tmpname")
  if denied then error(denied, 2) end
  local path, err = fs.temp_file("lua")
  if not path then error(err, 2) end
  return path
end

--- Only asks: the locale belongs to the whole program.
function M.setlocale(locale, category)
  check.optional_string(locale, 1, "setlocale")
  check.optional_string(category, 2, "setlocale")
  if locale == nil or locale == "C" or locale == "POSIX" then return "C" end
  return nil, errors.make("os: the locale cannot be changed", "INVALID")
end

return M
