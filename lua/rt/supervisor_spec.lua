--- rt.supervisor_spec - checks what a supervisor is to do, and makes plain data of it.
-- What comes out can be copied to the supervisor's process: functions as bytecode, sources by
-- their path, durations in seconds, every default filled in. Faults name the field, with its place
-- in the tree: `children[2].restart: ...`.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local errors = require("rt.errors")
local recipe = require("rt.recipe")

local M = {}

local STRATEGIES = { one_for_one = true, one_for_all = true, rest_for_one = true }
local RESTARTS = { permanent = true, transient = true, temporary = true }

--- Of a supervisor; its children may say otherwise. `terminal`: kinds of errors after which another
-- try would fail alike, or nobody wants one.
M.defaults = {
  backoff = { initial = 1, factor = 2, max = 90, jitter = 0.1, attempts = 0, stable = 5 },
  start = 10,
  shutdown = 10,
  terminal = { "CANCELED", "INVALID", "PERMISSION_DENIED" },
}

-- Raised by what follows, caught by check: a fault and where.
local function fault(where, expected, value)
  local shown = type(value)
  if shown == "string" or shown == "number" or shown == "boolean" then
    shown = "'" .. tostring(value) .. "'"
  end
  error(errors.make(("%s: %s expected, got %s"):format(where, expected, shown), "INVALID"), 0)
end

local function below(where, field)
  return where == "" and field or where .. "." .. field
end

local function known(spec, where, fields)
  for key in pairs(spec) do
    if not fields[key] then
      error(errors.make(("%s: no such field"):format(below(where, tostring(key))), "INVALID"), 0)
    end
  end
end

-- --- single values -------------------------------------------------------------------------------

local function name_of(value, where)
  if type(value) ~= "string" or value == "" then fault(where, "name", value) end
  return value
end

local function one_of(choices, words)
  return function(value, where)
    if type(value) ~= "string" or not choices[value] then fault(where, words, value) end
    return value
  end
end

local strategy_of = one_of(STRATEGIES, "one_for_one, one_for_all or rest_for_one")
local restart_of = one_of(RESTARTS, "permanent, transient or temporary")

local function seconds_of(value, where)
  local seconds = duration.parse(value)
  if not seconds then fault(where, "duration", value) end
  return seconds
end

local function count_of(value, where)
  if not check.is_integer(value) or value < 0 then
    fault(where, "whole number, 0 or more,", value)
  end
  return value
end

local function number_from(least, most, words)
  return function(value, where)
    local fits = type(value) == "number" and value >= least and value <= most
    if not fits then fault(where, words, value) end
    return value
  end
end

-- --- groups of values ----------------------------------------------------------------------------

local backoff_fields = {
  initial = seconds_of,
  factor = number_from(1, 1e6, "number, 1 or more,"),
  max = seconds_of,
  jitter = number_from(0, 1, "number from 0 to 1"),
  attempts = count_of,
  stable = seconds_of,
}

local function backoff_of(value, where, base)
  if value == nil then return base end
  if type(value) ~= "table" then fault(where, "table", value) end
  known(value, where, backoff_fields)
  local made = {}
  for field, convert in pairs(backoff_fields) do
    local given = value[field]
    if given ~= nil then given = convert(given, below(where, field)) end
    made[field] = given == nil and base[field] or given
  end
  return made
end

local function intensity_of(value, where)
  if value == nil then return nil end
  if type(value) ~= "table" then fault(where, "table {restarts, period}", value) end
  known(value, where, { restarts = true, period = true })
  return {
    restarts = count_of(value.restarts, below(where, "restarts")),
    period = seconds_of(value.period, below(where, "period")),
  }
end

local function kinds_of(value, where)
  if value == nil then value = M.defaults.terminal end
  if type(value) ~= "table" then fault(where, "list of kinds", value) end
  local set = {}
  for i, kind in ipairs(value) do
    set[name_of(kind, ("%s[%d]"):format(where, i))] = true
  end
  return set
end

-- --- children ------------------------------------------------------------------------------------

local function prefixed(where, err)
  return errors.make(where .. ": " .. err:message(), err:kind())
end

-- `start`: a source or function, or a list of it and its arguments.
local function code_of(made, start, where)
  local what, args = start, {}
  if type(start) == "table" then
    what = start[1]
    for i = 2, #start do
      args[i - 1] = start[i]
    end
  end
  if type(what) ~= "string" and type(what) ~= "function" then
    fault(where, "path, module or function, or a list of it and arguments,", what)
  end
  local text, name, kind = recipe.of(what)
  if not text then error(prefixed(where, name), 0) end
  made.kind, made.name, made.args = "child-" .. kind, name, args
  -- a source is read again at each start
  if kind == "function" then made.text = text end
end

local child_fields = {
  id = true,
  start = true,
  supervisor = true,
  restart = true,
  shutdown = true,
  ready = true,
  backoff = true,
}

local function ready_of(value, where, defaults)
  if not value then return nil end
  if value == true then return defaults.start end
  return seconds_of(value, where)
end

local supervisor_of

local function child_of(spec, where, defaults)
  if type(spec) ~= "table" then fault(where, "table", spec) end
  known(spec, where, child_fields)
  local made = { id = name_of(spec.id, below(where, "id")) }
  made.restart = restart_of(spec.restart or "permanent", below(where, "restart"))
  made.backoff = backoff_of(spec.backoff, below(where, "backoff"), defaults.backoff)
  if spec.shutdown ~= nil then
    made.shutdown = seconds_of(spec.shutdown, below(where, "shutdown"))
  elseif spec.supervisor == nil then
    made.shutdown = defaults.shutdown
  end
  if (spec.supervisor == nil) == (spec.start == nil) then
    fault(below(where, "start"), "either this or 'supervisor'", spec.start)
  end
  if spec.supervisor ~= nil then
    made.kind = "supervisor"
    made.nested = supervisor_of(spec.supervisor, below(where, "supervisor"))
  else
    made.ready = ready_of(spec.ready, below(where, "ready"), defaults)
    code_of(made, spec.start, below(where, "start"))
  end
  return made
end

-- --- supervisors ---------------------------------------------------------------------------------

local supervisor_fields = {
  name = true,
  strategy = true,
  children = true,
  backoff = true,
  intensity = true,
  start = true,
  shutdown = true,
  terminal = true,
  link = true,
}

local function children_of(list, where, defaults)
  local made, taken = {}, {}
  if list == nil then return made end
  if type(list) ~= "table" then fault(where, "list", list) end
  for i, spec in ipairs(list) do
    local place = ("%s[%d]"):format(where, i)
    local child = child_of(spec, place, defaults)
    if taken[child.id] then fault(below(place, "id"), "name of its own", child.id) end
    taken[child.id], made[i] = true, child
  end
  return made
end

function supervisor_of(spec, where)
  if type(spec) ~= "table" then fault(where, "table", spec) end
  known(spec, where, supervisor_fields)
  local defaults = {
    backoff = backoff_of(spec.backoff, below(where, "backoff"), M.defaults.backoff),
    start = seconds_of(spec.start or M.defaults.start, below(where, "start")),
    shutdown = seconds_of(spec.shutdown or M.defaults.shutdown, below(where, "shutdown")),
  }
  return {
    name = spec.name ~= nil and name_of(spec.name, below(where, "name")) or nil,
    strategy = strategy_of(spec.strategy or "one_for_one", below(where, "strategy")),
    intensity = intensity_of(spec.intensity, below(where, "intensity")),
    terminal = kinds_of(spec.terminal, below(where, "terminal")),
    defaults = defaults,
    children = children_of(spec.children, below(where, "children"), defaults),
  }
end

local function try(fn, ...)
  local ok, made = pcall(fn, ...)
  if ok then return made end
  if errors.is_error(made) then return nil, made end
  error(made, 0)
end

--- A supervisor as plain data, or nil, err.
function M.supervisor(spec)
  return try(supervisor_of, spec, "")
end

-- For a supervisor that runs already: it fills in what is missing, with M.adopt.
local OPEN = { backoff = {}, start = true }

local function lone_child(spec)
  return child_of(spec, "", OPEN)
end

--- A single child as plain data, or nil, err.
function M.child(spec)
  return try(lone_child, spec)
end

--- In the supervisor: what a child leaves to it.
function M.adopt(child, defaults)
  for field, value in pairs(defaults.backoff) do
    if child.backoff[field] == nil then child.backoff[field] = value end
  end
  if child.ready == true then child.ready = defaults.start end
  if not child.shutdown and not child.nested then child.shutdown = defaults.shutdown end
  return child
end

return M
