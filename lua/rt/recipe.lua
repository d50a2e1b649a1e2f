--- rt.recipe - what a process is to run: a function's bytecode, or the text of a source.
-- Shared by process.spawn and supervisors. The caller reads and compiles the source, so that a
-- missing or malformed one is told where it was asked for.
-- SPDX-License-Identifier: MIT
local errors = require("rt.errors")
local source = require("rt.source")

local type, setmetatable = type, setmetatable
local getinfo, getupvalue, dump = debug.getinfo, debug.getupvalue, string.dump

local M = {}

-- function -> its bytecode; and its chunk name
local dumped = setmetatable({}, { __mode = "k" })
local named = setmetatable({}, { __mode = "k" })

local function fail(kind, message)
  return nil, errors.make(message, kind)
end

local function code_of(fn)
  local code = dumped[fn]
  if code then return code end
  if getinfo(fn, "S").what == "C" then
    return fail("INVALID", "a C function cannot be a process")
  end
  local name = getupvalue(fn, 1)
  if name then
    return fail("INVALID", "the function has the upvalue '" .. name .. "': pass it as an argument")
  end
  code = dump(fn)
  local info = getinfo(fn, "S")
  named[fn] = ("@%s:%d"):format(info.short_src, info.linedefined)
  dumped[fn] = code
  return code
end

--- Text, chunk name and kind ("function" or "source") of a function or a source's name.
---@param what function|string
---@return string? text, string|rt.Error name, string? kind
function M.of(what)
  if type(what) == "function" then
    local code, err = code_of(what)
    if not code then return nil, err end
    return code, named[what], "function"
  end
  if what == "" then return fail("INVALID", "the source is empty") end
  local text, name = source.find(what, source.path())
  if not text then return fail("NOT_FOUND", name) end
  local ok, err = source.compile(text, name)
  if not ok then return fail("INVALID", err) end
  return text, name, "source"
end

return M
