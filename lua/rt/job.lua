--- rt.job - what runs in the processes of jobs, and the job object that capabilities get.
-- The executor (process/job*.c) starts these functions: build() loads a capability into this VM,
-- run() is a job, prepare() asks match, rate_key and prioritize for a batch.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local closure = require("rt.closure")
local core = require("rt.core.job")
local declaration = require("rt.declaration")
local duration = require("rt.duration")
local errors = require("rt.errors")
local events = require("events")
local loader = require("rt.loader")
local log = require("log")
local source = require("rt.source")
local state = require("rt.task").state
local task = require("rt.task")
local time = require("rt.core.time")
local task_core = require("rt.core.task")

local M = {}

-- Only in a run that records what its jobs do.
local recording = task_core.settings().record and require("rt.record")
-- In one that only asks what would run.
local dry_run = task_core.settings().dry_run

local pcall, type, tostring, error = pcall, type, tostring, error
local await = task.await

-- the job object --------------------------------------------------------------------------------

---@class rt.Job
---@field id number
---@field capability string
---@field target string  "class:value"
---@field key string  of its asset
---@field errors table[]  {capability, kind, message} of earlier stages that failed on its asset
---@field attempt integer  from 1
---@field session string  its name
---@field options table
local methods = {}

--- Stream a result, or a list of them, to the session; waits until the engine has applied it.
---@param asset table  {class=, value=, key?, metadata?}
---@return string|string[]|nil outcome, rt.Error? err  as session:dispatch
function methods.send(job, asset)
  if type(job) ~= "userdata" then
    error("send: a job is missing in front: call it with a colon, job:send { class =, value = }", 2)
  end
  if type(asset) ~= "table" then check.table(asset, 1, "send") end
  local op, err = core.send(job, asset)
  if not op then return nil, err end
  if recording then recording.sent(asset) end
  return await(op)
end

--- End this invocation; the job runs again after `delay`, without using up an attempt.
---@param delay number|string
function methods.snooze(job, delay)
  local seconds = duration.seconds(delay, 1, "snooze")
  local ok, err = core.snooze(job, seconds)
  if not ok then return nil, err end
  task.exit(0)
end

--- "Come back later": end this invocation; it and all jobs of the capability with the same rate key
--- (without one: all of the capability) start no earlier than then, in every session.
---@param when number|string|{at: number}  a duration, or a unix time
function methods.hold(job, when)
  local seconds
  if type(when) == "table" then
    local at = check.number(when.at, "at", "hold")
    if at ~= at then check.fail("at", "hold", "unix time expected, got nan") end
    seconds = math.max(0, at - time.now())
  else
    seconds = duration.seconds(when, 1, "hold")
  end
  local ok, err = core.snooze(job, seconds, true)
  if not ok then return nil, err end
  task.exit(0)
end

local LEVELS = { debug = log.debug, info = log.info, warn = log.warn, error = log.error }

--- Write to the log, with the job, its capability and its target among the fields. Who listens to
--- `session`, `job.log` hears it too.
---@param level "debug"|"info"|"warn"|"error"
---@param message string
---@param fields table?
function methods.log(job, level, message, fields)
  check.string(level, 1, "log")
  check.string(message, 2, "log")
  check.optional_table(fields, 3, "log")
  local write = LEVELS[level]
  if not write then check.fail(1, "log", "debug, info, warn or error expected") end
  local all = { job = job.id, capability = job.capability, target = job.target }
  for key, value in pairs(fields or {}) do
    all[key] = value
  end
  local path = job.session .. "/" .. job.key
  events.send("session", "job.log", path, { level = level, message = message, fields = all })
  return write(message, all)
end

--- Tell how far the job is.
---@param fraction number  0 to 1
---@param text string?
function methods.progress(job, fraction, text)
  check.number(fraction, 1, "progress")
  check.optional_string(text, 2, "progress")
  return core.progress(job, fraction, text)
end

--- Has the job been asked to end?
function methods.canceled(job)
  return core.canceled(job)
end

--- When it must have ended (as time.now()), or nil.
function methods.deadline(job)
  return core.deadline(job)
end

-- options ---------------------------------------------------------------------------------------

local function converted(spec, value)
  if not spec or type(value) ~= "string" then return value end
  if spec.type == "number" then return tonumber(value) or value end
  if spec.type == "boolean" then return value == "true" or value == "1" or value == "yes" end
  return value
end

local function options_of(functions, given)
  local declared, options = functions.options, {}
  for name, spec in pairs(declared) do
    options[name] = spec.default
  end
  for name, value in pairs(given or {}) do
    options[name] = converted(declared[name], value)
  end
  return options
end

local function job_options(job)
  local mine = state()
  local options = mine.options
  if not options then
    options = options_of(core.options(job))
    mine.options = options
  end
  return options
end

core.meta.__index = function(job, key)
  local method = methods[key]
  if method then return method end
  if key == "options" then return job_options(job) end
  return core.get(job, key)
end
core.meta.__newindex = function()
  error("a job's fields cannot be set", 2)
end
core.meta.__tostring = function(job)
  return "job " .. tostring(core.get(job, "id"))
end
core.meta.__metatable = false
core.meta.__name = "job"

-- loading a capability into this VM -------------------------------------------------------------

local function from_chunk(file, name, text, index)
  if file then loader.look_beside(file) end
  local chunk, err = source.load(text, "@" .. (file or name), task_core.globals())
  if not chunk then error(err, 0) end
  local value = chunk()
  local raw = value
  if type(value) == "table" and not declaration.is(value) and value[index] then
    raw = value[index]
  end
  local declared, fault = declaration.check(raw)
  if not declared then error(("%s: %s"):format(file or name, fault), 0) end
  if declared.name ~= name then
    local message = "%s: declared '%s' where it was '%s' before"
    error(message:format(file or name, declared.name, name), 0)
  end
  return declared
end

local function words(err)
  return tostring(errors.of(err)._message)
end

-- Once in each VM. Why the capability does nothing here (a soft failure), or nil; raising stops
-- the session.
local function set_up(declared)
  local session, given = core.setup_context()
  local context = { session = session, options = options_of(declared, given) }
  local ok, yes, why = pcall(declared.setup, context)
  if not ok then
    core.setup_failed(words(yes))
    error(yes, 0)
  end
  if yes == false or (yes == nil and why ~= nil) then
    return "setup: " .. (why ~= nil and words(why) or "said no")
  end
  return nil
end

--- A process that loads the wanted capability and leaves its functions to the jobs of this VM.
function M.build()
  local file, name, text, index = core.wanted()
  local declared
  if closure.is_packed(text) then
    declared = closure.unpack(text, task_core.globals())
  else
    declared = from_chunk(file, name, text, index)
  end
  local disabled = declared.setup and set_up(declared) or nil
  core.ready(task_core.globals(), {
    disabled = disabled,
    invoke = declared.invoke,
    match = declared.match,
    rate_key = declared.rate_key,
    prioritize = declared.prioritize,
    finish = declared.finish,
    options = declared.options,
    package = state().package, -- user modules belong to the instance
  })
end

-- gates -----------------------------------------------------------------------------------------

local function context(functions)
  local session, given = core.context()
  return { session = session, options = options_of(functions, given) }
end

local function refusal(why)
  if type(why) == "string" and why ~= "" then return why end
  return "match said no"
end

local function rate_key_of(functions, asset, ctx)
  local ok, key = pcall(functions.rate_key, asset, ctx)
  if not ok then return nil, "rate_key: " .. words(key) end
  if key == nil then return nil end
  if type(key) ~= "string" and type(key) ~= "number" then
    return nil, "rate_key: expected a string, got " .. type(key)
  end
  return tostring(key)
end

local function priority_of(functions, asset, ctx)
  local ok, priority = pcall(functions.prioritize, asset, ctx)
  if not ok then return 0, "prioritize: " .. words(priority) end
  if priority == nil then return 0 end
  if type(priority) ~= "number" then
    return 0, "prioritize: expected a number, got " .. type(priority)
  end
  return math.max(1, math.min(9, math.floor(priority)))
end

-- Why the asset is skipped or nil, its rate key or nil, its priority or 0.
local function ask(functions, asset, ctx)
  if functions.disabled then return functions.disabled end
  if functions.match then
    local ok, yes, why = pcall(functions.match, asset, ctx)
    if not ok then return "match: " .. words(yes) end
    if not yes then return refusal(why) end
  end
  local key, priority, fault = nil, 0, nil
  if functions.rate_key then key, fault = rate_key_of(functions, asset, ctx) end
  if not fault and functions.prioritize then
    priority, fault = priority_of(functions, asset, ctx)
  end
  return fault, key, priority
end

--- A process that answers for each asset of a batch; it may not wait.
function M.prepare(functions)
  state().package = functions.package
  local ctx = context(functions)
  local asset = core.item()
  while asset ~= nil do
    core.answer(ask(functions, asset, ctx))
    asset = core.item()
  end
end

-- the end of a session --------------------------------------------------------------------------

--- A process for each instance that worked for a session, when that ends.
function M.finish(functions)
  local session, given, how = core.finish_context()
  state().package = functions.package
  if functions.disabled or not functions.finish or dry_run then return end
  functions.finish({ session = session, options = options_of(functions, given), reason = how })
end

-- a job -----------------------------------------------------------------------------------------

local function passes(functions, job, asset)
  local yes, why = functions.match(asset, context(functions))
  if yes then
    core.invoked(job)
    return true
  end
  core.skip(job, refusal(why))
  return false
end

-- An error loses its traceback on this way.
local function invoke_recorded(functions, job, asset)
  recording.begin(job, asset)
  local ok, err = pcall(functions.invoke, job, asset)
  recording.finish(not ok and err or nil)
  if not ok then error(err, 0) end
end

--- The process of a job.
function M.run(functions)
  local job, asset, gate = core.begin()
  local package = functions.package
  if package then state().package = package end
  if functions.disabled then return core.skip(job, functions.disabled) end
  if gate and not passes(functions, job, asset) then return end
  if dry_run then return end
  if recording then return invoke_recorded(functions, job, asset) end
  functions.invoke(job, asset)
end

return M
