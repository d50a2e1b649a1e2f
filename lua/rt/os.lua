--- rt.os - what of the os library waits, or would change the whole program, made safe for scripts.
-- The rest (clock, date, difftime, getenv, time, exit) is put beside it by rt.sandbox.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local errors = require("rt.errors")
local fs = require("fs")
local popen = require("rt.popen")

local M = {}

--- Run a shell command; what it prints goes where print goes. The status as of Lua 5.1 (256 times
--- the exit code, 0 for success), then "exit" or "signal" and its number. Without a command: 1.
function M.execute(command)
  if command == nil then return 1 end
  check.string(command, 1, "execute")
  local code, signal = popen.shell(command)
  if not code then return -1, signal end
  if signal ~= 0 then return signal, "signal", signal end
  return code * 256, "exit", code
end

function M.remove(path)
  check.string(path, 1, "remove")
  return fs.remove(path)
end

function M.rename(from, to)
  check.string(from, 1, "rename")
  check.string(to, 2, "rename")
  return fs.rename(from, to)
end

function M.tmpname()
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
