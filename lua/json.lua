--- json - JSON text to Lua values and back.
-- Arrays become tables marked as arrays, so that an empty one stays one; null becomes json.null
-- (a plain nil where it is encoded). Objects are encoded with their keys in byte order.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.json")

local raw_meta, rawget = debug.getmetatable, rawget
local marked = raw_meta(core.array({}))

local M = {}

--- null, where a nil would vanish. It is true in a condition: compare with `== json.null`.
M.null = core.null

--- Mark `t` (default: a new table) as an array, also when it is empty.
---@param t table?
---@return table  t
function M.array(t)
  t = check.optional_table(t, 1, "array") or {}
  local meta = raw_meta(t)
  if meta and meta ~= marked and rawget(meta, "__metatable") ~= nil then
    check.fail(1, "array", "its metatable is protected")
  end
  return core.array(t)
end

--- Text of `value`. A table whose keys are 1..n is an array, any other an object.
---@param value any
---@param opts {indent: integer?}?  spaces a level; without it one line
---@return string? text, rt.Error? err  INVALID for what JSON cannot hold, naming the key path
function M.encode(value, opts)
  check.optional_table(opts, 2, "encode")
  local indent = opts and check.optional_integer(opts.indent, "indent", "encode") or 0
  if indent < 0 or indent > 16 then
    check.fail("indent", "encode", "0 to 16 expected, got " .. indent)
  end
  return core.encode(value, indent)
end

--- Value of `text`. Integers beyond 2^53 are rounded, as all numbers of Lua are.
---@param text string
---@return any value, rt.Error? err  INVALID, naming line and column
function M.decode(text)
  return core.decode(check.string(text, 1, "decode"))
end

return M
