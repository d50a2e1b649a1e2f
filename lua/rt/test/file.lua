--- rt.test.file - a file of capability tests: read, and checked field by field.
-- A fault is one line: the file, the field, what was expected. SPDX-License-Identifier: MIT
local core_task = require("rt.core.task")
local duration = require("rt.duration")
local errors = require("rt.errors")
local source = require("rt.source")

local M = {}

local MODULES = {
  tcp = true, tls = true, udp = true, dns = true, http = true, exec = true, fs = true, time = true,
}
local STATES = {
  completed = true, skipped = true, failed = true, retrying = true, snoozed = true,
}

local function got(value)
  if type(value) == "string" then return ('"%s"'):format(value:sub(1, 40)) end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return type(value)
end

local function fail(where, expected, value)
  error({ fault = ("%s: expected %s, got %s"):format(where, expected, got(value)) }, 0)
end

local function typed(name, article)
  return function(where, value)
    if type(value) ~= name then fail(where, article, value) end
    return value
  end
end
local a_string, a_table = typed("string", "a string"), typed("table", "a table")
local a_boolean, a_function = typed("boolean", "true or false"), typed("function", "a function")

local function a_count(where, value)
  local ok = type(value) == "number" and value >= 1 and value == math.floor(value)
  if not ok then fail(where, "a whole number above 0", value) end
  return value
end

local function seconds(where, value)
  return duration.parse(value) or fail(where, 'a duration such as "5s"', value)
end

local function list_of(check)
  return function(where, value)
    a_table(where, value)
    for key in pairs(value) do
      if type(key) ~= "number" or key > #value then fail(where, "a list", value) end
    end
    for i, item in ipairs(value) do
      check(("%s[%d]"):format(where, i), item)
    end
    return value
  end
end

local ASSET = { class = true, value = true, key = true, metadata = true }

local function some_asset(where, value)
  a_table(where, value)
  for key in pairs(value) do
    if not ASSET[key] then fail(where, "class, value, key and metadata only", key) end
  end
  if value.metadata ~= nil then a_table(where .. ".metadata", value.metadata) end
  return value
end

local function an_asset(where, value)
  some_asset(where, value)
  for _, field in ipairs({ "class", "value" }) do
    if type(value[field]) ~= "string" or value[field] == "" then
      fail(("%s.%s"):format(where, field), "a string", value[field])
    end
  end
  return value
end

local function fakes(where, value)
  a_table(where, value)
  for module, each in pairs(value) do
    if not MODULES[module] then
      fail(where, "fakes for dns, exec, fs, http, tcp, time, tls or udp", module)
    end
    local fine = type(each) == "table" or (type(each) == "function" and module ~= "fs")
    if not fine then fail(("%s.%s"):format(where, module), "a table", each) end
  end
  if value.time and type((value.time).now or 0) ~= "number" then
    fail(where .. ".time.now", "unix seconds", value.time.now)
  end
  return value
end

local function a_state(where, value)
  if not STATES[value] then
    fail(where, "completed, skipped, failed, retrying or snoozed", value)
  end
  return value
end

local function an_error(where, value)
  if type(value) ~= "string" and type(value) ~= "table" then
    fail(where, "a text, or { kind =, message = }", value)
  end
  return value
end

local function anything(_, value)
  return value
end

local function a_step(where, value)
  if type(value) ~= "table" then return { after = seconds(where, value) } end
  for key in pairs(value) do
    if key ~= "after" and key ~= "metadata" then fail(where, "after and metadata only", key) end
  end
  if value.metadata ~= nil then a_table(where .. ".metadata", value.metadata) end
  return { after = seconds(where .. ".after", value.after), metadata = value.metadata }
end

-- Durations, or { after =, metadata = }; one by itself is a list, too.
local function some_steps(where, value)
  if type(value) ~= "table" or value.after ~= nil then return { a_step(where, value) } end
  local steps = {}
  list_of(function(place, item)
    steps[#steps + 1] = a_step(place, item)
  end)(where, value)
  return steps
end

-- How many, or when each begins.
local function some_runs(where, value)
  if type(value) == "number" and value >= 0 and value == math.floor(value) then return value end
  if type(value) ~= "table" then
    fail(where, "a number of runs, or the times they begin", value)
  end
  local times = {}
  list_of(function(place, item)
    times[#times + 1] = seconds(place, item)
  end)(where, value)
  return times
end

local CASE = {
  name = a_string, asset = an_asset, options = a_table, attempt = a_count, session = a_string,
  fakes = fakes, replay = a_string, expect = list_of(some_asset), ordered = a_boolean,
  state = a_state, reason = a_string, error = an_error, snooze = seconds,
  errors = list_of(a_table), calls = list_of(a_string), rate_key = anything,
  prioritize = anything, check = a_function, scope = list_of(a_string), advance = some_steps,
  runs = some_runs,
}

local FILE = {
  capability = a_string, name = a_string, cases = list_of(a_table), fakes = fakes,
  options = a_table, replay = a_string, scope = list_of(a_string),
}

local function check_fields(where, value, fields)
  local names = {}
  for key in pairs(value) do
    names[#names + 1] = tostring(key)
  end
  table.sort(names)
  for _, key in ipairs(names) do
    if not fields[key] then error({ fault = where .. key .. ": unknown field" }, 0) end
    value[key] = fields[key](where .. key, value[key])
  end
end

local function check_case(case, i)
  local where = ("cases[%d]."):format(i)
  check_fields(where, case, CASE)
  if case.runs and not case.advance then
    fail(where .. "runs", "advance beside it, which makes several", case.runs)
  end
  case.name = case.name or ("case %d"):format(i)
  if not case.asset and not case.advance then
    fail(where .. "asset", "{ class =, value = }", nil)
  end
end

local function check(value)
  if type(value) ~= "table" then fail("the file", "to return a table", value) end
  local first = type(value[1]) == "table" and value[1] or value
  if first.invoke and not value.cases then
    local shape = "{ capability = PATH, cases = {...} }"
    error({ fault = "a capability, no test file: that returns " .. shape }, 0)
  end
  check_fields("", value, FILE)
  if not value.capability then fail("capability", "the path of a capability file", nil) end
  if not value.cases and not value.replay then
    fail("cases", "a list of cases, or replay = the file of a recorded run", nil)
  end
  for i, case in ipairs(value.cases or {}) do
    check_case(case, i)
  end
  return value
end

--- The folder a path is in, with its "/"; "" for none.
function M.folder(path)
  return path:match("^(.*/)[^/]*$") or ""
end

--- `path` as seen from the folder of `file`.
function M.beside(file, path)
  if path:sub(1, 1) == "/" then return path end
  return M.folder(file) .. path
end

--- Evaluate and check a test file.
---@param path string
---@return table? suite, string? fault
function M.read(path)
  local text, err = source.read(path)
  if not text then return nil, err end
  local chunk
  chunk, err = source.load(text, "@" .. path, core_task.globals())
  if not chunk then return nil, err end
  local ok, value = pcall(chunk)
  if not ok then return nil, tostring(errors.of(value)._message) end
  ok, value = pcall(check, value)
  if ok then return value end
  if type(value) == "table" and value.fault then return nil, path .. ": " .. value.fault end
  error(value, 0)
end

return M
