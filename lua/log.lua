--- log - lines for the runtime's log, with a level and fields.
-- Where they go, and from which level on, is for who runs the runtime to say.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.log")
local errors = require("rt.errors")

local M = {}

local function level(name, number)
  --- Write a line; never waits.
  ---@param message string|rt.Error
  ---@param fields table?  plain values by name
  ---@return true? ok, rt.Error? err  INVALID naming a field that cannot be logged (the line is
  --- written without fields)
  return function(message, fields)
    if errors.is_error(message) then message = tostring(message) end
    check.string(message, 1, name)
    check.optional_table(fields, 2, name)
    return core.write(number, message, fields)
  end
end

M.debug = level("debug", 0)
M.info = level("info", 1)
M.warn = level("warn", 2)
M.error = level("error", 3)

return M
