--- rt.check - argument checks of the library's functions.
-- `check.string(value, n, fname)` answers the value, or raises "bad argument #n to 'fname'
-- (string expected, got nil)" in the name of whoever called the library function, so it is to be
-- called by that function itself. `n` is the argument's number (a method's self does not count)
-- or the name of a field. The `optional_` forms let nil pass.
-- SPDX-License-Identifier: MIT
local floor = math.floor

local M = {}

--- Raise for argument `n` of `fname`. `level` counts from the caller of this function.
---@param n integer|string  a number, or a field's name
function M.fail(n, fname, what, level)
  local where = type(n) == "number" and "#" .. n or "'" .. tostring(n) .. "'"
  error(("bad argument %s to '%s' (%s)"):format(where, fname, what), (level or 1) + 2)
end

local function mismatch(value, n, fname, expected)
  M.fail(n, fname, expected .. " expected, got " .. type(value), 3)
end

--- Is it a number without fraction that an integer type can hold?
function M.is_integer(value)
  return type(value) == "number" and value == floor(value) and value < 2 ^ 53 and value > -2 ^ 53
end

local function of_type(expected)
  return function(value, n, fname)
    if type(value) ~= expected then mismatch(value, n, fname, expected) end
    return value
  end, function(value, n, fname)
    if value ~= nil and type(value) ~= expected then mismatch(value, n, fname, expected) end
    return value
  end
end

M.string, M.optional_string = of_type("string")
M.number, M.optional_number = of_type("number")
M.boolean, M.optional_boolean = of_type("boolean")
M.table, M.optional_table = of_type("table")
M.func, M.optional_func = of_type("function")

function M.integer(value, n, fname)
  if not M.is_integer(value) then
    if type(value) == "number" then
      M.fail(n, fname, "number has no integer representation", 2)
    end
    mismatch(value, n, fname, "integer")
  end
  return value
end

function M.optional_integer(value, n, fname)
  if value == nil then return nil end
  if not M.is_integer(value) then
    if type(value) == "number" then
      M.fail(n, fname, "number has no integer representation", 2)
    end
    mismatch(value, n, fname, "integer")
  end
  return value
end

--- One of the strings in `set` (a table whose keys they are); nil when `value` is nil.
function M.optional_one_of(value, n, fname, set)
  if value == nil then return nil end
  if type(value) ~= "string" then mismatch(value, n, fname, "string") end
  if set[value] == nil then M.fail(n, fname, "invalid option '" .. value .. "'", 2) end
  return value
end

return M
