--- rt.loader - runs a capability file and registers what it declares.
-- run() is the main function of the process that process/job_load.c starts for each file. Every
-- fault is one line with the file, the line or the field, and what was expected.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.job")
local crypto = require("crypto")
local declaration = require("rt.declaration")
local errors = require("rt.errors")
local sandbox = require("rt.sandbox")
local source = require("rt.source")
local task_core = require("rt.core.task")

local M = {}

-- Longer than any message of ours; what a file raises may be of any size.
local LONGEST = 4000

local function one_line(text)
  if #text > LONGEST then text = text:sub(1, LONGEST) .. "..." end
  return (text:gsub("%s*[\r\n]+%s*", " "):gsub("%z", "?"))
end

-- `return capability { ... }` is a tail call: the line of a faulty field is gone when it is found,
-- and is looked for in the text, from the capability's name on.
local function line_of(text, fault)
  local field = fault:match("^capability[^:]*: ([%w_]+): ")
  if not field then return "" end
  local name = fault:match("^capability '([^']+)'")
  local from = name and text:find(name, 1, true)
  local pattern = "%f[%w_]" .. field .. "%f[^%w_]%s*="
  local at = text:find(pattern, from or 1) or text:find(pattern) or from
  if not at then return "" end
  local _, breaks = text:sub(1, at):gsub("\n", "")
  return ":" .. (breaks + 1)
end

-- Lua's messages about the file begin with its name already.
local function fault(file, text, message, kind)
  message = one_line(tostring(message))
  if message:sub(1, #file + 1) ~= file .. ":" then
    message = file .. line_of(text, message) .. ": " .. message
  end
  core.fault(message, kind)
end

--- Let the running process `require` what lies beside a capability file.
function M.look_beside(file)
  local folder = file:match("^(.*/)[^/]*$") or ""
  local package = sandbox.base.package
  package.path = folder .. "?.lua;" .. package.path
end

local function evaluate(file, text)
  M.look_beside(file)
  local chunk, err = source.load(text, "@" .. file, task_core.globals())
  if not chunk then return nil, err end
  local noted = source.note_modules()
  local ok, value = pcall(chunk)
  if not ok then return nil, errors.of(value)._message end
  return { value, noted = noted }
end

-- The paths of the modules that the file required, and one word that changes with their texts.
local function modules_of(noted)
  if #noted == 0 then return nil end
  local paths, texts = {}, {}
  for i, module in ipairs(noted) do
    paths[i] = module.path
    texts[i] = ("%d:%s"):format(#module.text, module.text)
  end
  return paths, crypto.sha256(table.concat(texts)):sub(1, 16)
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

local function title(value, index)
  local name = type(value) == "table" and value.name
  if type(name) == "string" then return declaration.title(name) .. ": " end
  return ("capability %d: "):format(index)
end

local function add(file, text, value, index, noted)
  local decl, why = declaration.check(value)
  if not decl then return fault(file, text, title(value, index) .. why) end
  local plain = declaration.plain(decl)
  plain.modules, plain.modules_version = modules_of(noted)
  local ok, err = core.add(plain, index)
  if not ok then fault(file, text, err:message(), err:kind()) end
end

function M.run()
  local file, text = core.loading()
  local result, err = evaluate(file, text)
  if not result then return fault(file, text, err) end
  local list, why = declared(result[1])
  if not list then return fault(file, text, why) end
  for index = 1, #list do
    add(file, text, list[index], index, result.noted)
  end
end

return M
