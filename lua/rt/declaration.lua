--- rt.declaration - what `capability { ... }` accepts, field by field.
-- check(raw) answers a declaration: a table of the fields of API 4.1 with their defaults filled
-- in, durations as seconds and the rate as a number a second. Or nil and what is wrong, beginning
-- with the field: "timeout: expected a duration or false, got table".
-- plain(declaration) is the map that C keeps: the same without the functions.
-- SPDX-License-Identifier: MIT
local duration = require("rt.duration")
local cron = require("rt.core.registry").cron
local dry_run = require("rt.core.task").settings().dry_run

local M = {}

local floor, huge = math.floor, math.huge
local getmetatable = debug.getmetatable

local meta = { __metatable = false, __name = "capability" }

local NAME_LENGTH = 100
local DEFAULT_TIMEOUT = 3600
local DEFAULT_PRIORITY = 5
local LARGEST_COUNT = 2 ^ 31 - 1

-- A field's check answers its value, or nil and what was expected. "got" is added here.
local function got(value)
  if type(value) == "string" then
    return ('"%s"'):format(#value > 40 and value:sub(1, 40) .. "..." or value)
  end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return type(value)
end

local function a_function(value)
  if type(value) == "function" then return value end
  return nil, "a function"
end

local function a_string(value)
  if type(value) == "string" then return value end
  return nil, "a string"
end

local function a_boolean(value)
  if type(value) == "boolean" then return value end
  return nil, "true or false"
end

local function a_count(value)
  local ok = type(value) == "number" and value == floor(value)
  if ok and value >= 0 and value <= LARGEST_COUNT then return value end
  if ok and value > LARGEST_COUNT then return nil, "a whole number up to 2147483647" end
  return nil, "a whole number, 0 or more"
end

local function a_name(value)
  local ok = type(value) == "string" and value:find("^[%w_-][%w._-]*$") and #value <= NAME_LENGTH
  if ok then return value end
  return nil, "a name of letters, digits, '.', '_' and '-'"
end

local function list_length(list)
  local count = 0
  for key in pairs(list) do
    if type(key) ~= "number" then return nil end
    count = count + 1
  end
  return count == #list and count or nil
end

local function is_class(value)
  return type(value) == "string" and value:find("^[%w_.*()|-]+$") ~= nil
end

local EVENTS = { new = true, changed = true, gone = true }

-- A class, a pattern, or an event: "asset.gone", "asset.changed:ipv4".
local function is_input(value)
  local event, class = tostring(value):match("^asset%.(%a+):(.+)$")
  if not event then return is_class(value) end
  return EVENTS[event] ~= nil and is_class(class)
end

local function list_of(value, is)
  local count = type(value) == "table" and list_length(value)
  if not count then return nil, 'a list of classes such as { "domain" }' end
  local copy = {}
  for i = 1, count do
    if not is(value[i]) then
      return nil, ("a class or a pattern at [%d], got %s"):format(i, got(value[i])), true
    end
    copy[i] = value[i]
  end
  return copy
end

local function classes(value)
  return list_of(value, is_class)
end

local function some_classes(value, raw)
  local scheduled = raw.every ~= nil
  if type(value) == "table" and next(value) == nil and not scheduled then
    return nil, "at least one class, got an empty list", true
  end
  return list_of(value, is_input)
end

-- Words by which capabilities are chosen.
local function tags(value)
  local count = type(value) == "table" and list_length(value)
  if not count then return nil, 'a list of words such as { "passive" }' end
  local copy = {}
  for i = 1, count do
    local word = value[i]
    if type(word) ~= "string" or not word:find("^[%w_-]+$") then
      local expected = "a word of letters, digits, '_' and '-' at [%d], got %s"
      return nil, expected:format(i, got(word)), true
    end
    copy[i] = word
  end
  return copy
end

local function priority(value)
  if type(value) ~= "number" or value ~= value then return nil, "a number from 1 to 9" end
  if value == 0 then return DEFAULT_PRIORITY end
  return math.max(1, math.min(9, floor(value)))
end

local function timeout(value)
  if value == false then return false end
  local seconds = duration.parse(value)
  if seconds and seconds > 0 then return seconds end
  return nil, 'a duration above 0 such as "30s", or false'
end

-- Starts a second of 5, "200/s", "10/m", "1/250ms".
local function rate(value)
  local per_second = value
  if type(value) == "string" then
    local count, unit = value:match("^(%d+%.?%d*)/(.+)$")
    local seconds = unit and duration.parse(unit:find("^%d") and unit or "1" .. unit)
    per_second = seconds and seconds > 0 and tonumber(count) / seconds
  end
  local ok = type(per_second) == "number" and per_second > 0 and per_second < huge
  if ok then return per_second end
  return nil, 'a number a second or a string such as "200/s"'
end

local EVERY = 'a duration of 10 ms or more such as "1h", or a cron expression such as "0 3 * * *"'

-- Seconds between two ticks, or a cron expression.
local function every(value)
  local seconds = duration.parse(value)
  if seconds and seconds >= 0.01 then return seconds end
  if type(value) ~= "string" or not value:find("[%s@]") then
    return nil, EVERY
  end
  local ok, why = cron(value)
  if ok then return value end
  return nil, "a cron expression, " .. why:gsub("^expected ", ""), true
end

local RERUN = { once = true, on_change = true, always = true }

-- When it runs again on an asset: "once" (never), "on_change", "always", "after:24h".
local function rerun(value)
  local after = type(value) == "string" and value:match("^after:(.+)$")
  local seconds = after and duration.parse(after)
  if RERUN[value] or (seconds and seconds > 0) then return value end
  return nil, '"once", "on_change", "always" or "after:" and a duration such as "after:24h"'
end

local function version(value)
  local ok = type(value) == "string" and value ~= "" and #value <= 100 and not value:find("%c")
  if ok then return value end
  return nil, 'a string of 1 to 100 bytes such as "1.2"'
end

local OPTION_TYPES = { string = true, number = true, boolean = true }
local OPTION_FIELDS = { default = true, description = true, type = true }

local function option(name, spec)
  if type(name) ~= "string" or not name:find("^[%w_-]+$") then
    return nil, "names of letters, digits, '_' and '-' as keys, got " .. got(name)
  end
  if type(spec) ~= "table" then
    return nil, ("%s = { default =, description = }, got %s"):format(name, got(spec))
  end
  for key in pairs(spec) do
    if not OPTION_FIELDS[key] then
      local expected = "%s to have default, description and type only, got '%s'"
      return nil, expected:format(name, tostring(key))
    end
  end
  local kind = spec.type or (spec.default ~= nil and type(spec.default)) or "string"
  if not OPTION_TYPES[kind] or (spec.default ~= nil and type(spec.default) ~= kind) then
    return nil, ("%s to be a string, a number or a boolean as its type says"):format(name)
  end
  if spec.description ~= nil and type(spec.description) ~= "string" then
    return nil, ("%s.description to be a string"):format(name)
  end
  return { default = spec.default, description = spec.description, type = kind }
end

local function options(value)
  if type(value) ~= "table" then return nil, "a table of options" end
  local names, copy = {}, {}
  for name in pairs(value) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, name in ipairs(names) do
    local spec, expected = option(name, value[name])
    if not spec then return nil, expected, true end
    copy[name] = spec
  end
  return copy
end

-- In the order in which they are checked.
local FIELDS = {
  { "name", a_name, required = true },
  { "description", a_string, default = "" },
  { "input", some_classes, required = true },
  { "output", classes },
  { "tags", tags },
  { "invoke", a_function, required = true },
  { "match", a_function },
  { "every", every },
  { "setup", a_function },
  { "finish", a_function },
  { "active", a_boolean, default = false },
  { "exec", a_boolean, default = false },
  { "rate_key", a_function },
  { "prioritize", a_function },
  { "priority", priority, default = DEFAULT_PRIORITY },
  { "max_instances", a_count, default = 0 },
  { "timeout", timeout, default = DEFAULT_TIMEOUT },
  { "retries", a_count, default = 0 },
  { "rate", rate },
  { "options", options },
  { "rerun", rerun, default = "once" },
  { "version", version },
}

local KNOWN = {}
for _, field in ipairs(FIELDS) do
  KNOWN[field[1]] = true
end

local function unknown_field(raw)
  local names = {}
  for key in pairs(raw) do
    if not KNOWN[key] then names[#names + 1] = tostring(key) end
  end
  table.sort(names)
  return names[1]
end

local function check_field(field, value, raw)
  if value == nil then
    local spare = field[1] == "input" and raw.every ~= nil -- it has its times
    if field.required and not spare then return nil, field[1] .. ": missing" end
    return field.default
  end
  local result, expected, complete = field[2](value, raw)
  if result ~= nil then return result end
  if complete then return nil, ("%s: expected %s"):format(field[1], expected) end
  return nil, ("%s: expected %s, got %s"):format(field[1], expected, got(value))
end

--- Is it the answer of check()?
function M.is(value)
  return type(value) == "table" and getmetatable(value) == meta
end

---@param raw table
---@return table? declaration, string? fault
function M.check(raw)
  if M.is(raw) then return raw end
  if type(raw) ~= "table" then return nil, "expected a table, got " .. type(raw) end
  local stray = unknown_field(raw)
  if stray then return nil, stray .. ": unknown field" end
  local declaration = {}
  for _, field in ipairs(FIELDS) do
    local value, fault = check_field(field, raw[field[1]], raw)
    if fault then return nil, fault end
    declaration[field[1]] = value
  end
  declaration.input = declaration.input or {}
  declaration.output = declaration.output or {}
  declaration.options = declaration.options or {}
  return setmetatable(declaration, meta)
end

--- How messages call a capability, whatever its name is.
function M.title(name)
  if type(name) ~= "string" then return "capability" end
  return ("capability '%s'"):format(#name > NAME_LENGTH and name:sub(1, 40) .. "..." or name)
end

--- The global `capability`: a checked declaration, or an error that names file, line and field.
---@param raw table
function M.capability(raw)
  if type(raw) ~= "table" then
    error("capability: expected a table, got " .. type(raw), 2)
  end
  local declaration, fault = M.check(raw)
  if declaration then return declaration end
  error(("%s: %s"):format(M.title(raw.name), fault), 2)
end

--- The map of a declaration without its functions. Where nothing is invoked nothing waits for a
--- rate or a time.
function M.plain(declaration)
  return {
    name = declaration.name,
    description = declaration.description,
    input = declaration.input,
    output = declaration.output,
    priority = declaration.priority,
    max_instances = declaration.max_instances,
    timeout = declaration.timeout,
    retries = declaration.retries,
    rate = not dry_run and declaration.rate or nil,
    options = declaration.options,
    tags = declaration.tags,
    every = not dry_run and declaration.every or nil,
    scheduled = declaration.every ~= nil,
    active = declaration.active,
    exec = declaration.exec,
    rerun = declaration.rerun,
    version = declaration.version,
    has_setup = declaration.setup ~= nil,
    has_finish = declaration.finish ~= nil,
    has_match = declaration.match ~= nil,
    has_rate_key = declaration.rate_key ~= nil,
    has_prioritize = declaration.prioritize ~= nil,
  }
end

return M
