--- rt.loader - runs a capability file and registers what it declares.
-- run() is the main function of the process that process/job_load.c starts for each file. Every
-- fault is one line with the file, the line or the field, and what was expected.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.job")
local declaration = require("rt.declaration")
local errors = require("rt.errors")
local source = require("rt.source")
local task_core = require("rt.core.task")

local M = {}

local function one_line(text)
  return (text:gsub("%s*[\r\n]+%s*", " "))
end

-- Lua's messages about the file begin with its name already.
local function fault(file, text, kind)
  text = one_line(tostring(text))
  if text:sub(1, #file + 1) ~= file .. ":" then text = file .. ": " .. text end
  core.fault(text, kind)
end

local function evaluate(file, text)
  local chunk, err = source.load(text, "@" .. file, task_core.globals())
  if not chunk then return nil, err end
  local ok, value = pcall(chunk)
  if not ok then return nil, errors.of(value)._message end
  return { value }
end

-- One declaration, or those of a list.
local function declared(value)
  if type(value) ~= "table" then
    return nil, "expected a capability or a list of them, got " .. type(value)
  end
  if declaration.is(value) or value.name ~= nil or value.invoke ~= nil then return { value } end
  if #value == 0 then return nil, "expected a capability or a list of them, got an empty table" end
  return value
end

local function add(file, value, index, count)
  local where = count > 1 and ("capability %d: "):format(index) or ""
  local decl, why = declaration.check(value)
  if not decl then return fault(file, where .. why) end
  local ok, err = core.add(declaration.plain(decl), index)
  if not ok then fault(file, err:message(), err:kind()) end
end

function M.run()
  local file, text = core.loading()
  local result, err = evaluate(file, text)
  if not result then return fault(file, err) end
  local list, why = declared(result[1])
  if not list then return fault(file, why) end
  for index = 1, #list do
    add(file, list[index], index, #list)
  end
end

return M
