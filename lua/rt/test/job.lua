--- rt.test.job - runs a capability on one asset in a test's world.
-- What the engine would make of it: the gate, what is sent, undeclared classes, retries, snoozing,
-- the time limit. SPDX-License-Identifier: MIT
local check = require("rt.check")
local copy = require("rt.copy")
local core = require("rt.core.registry")
local duration = require("rt.duration")
local errors = require("rt.errors")
local fence = require("rt.test.fence")
local json = require("json")

local M = {}

local VALUE_MAX, METADATA_MAX = 64 * 1024, 1024 * 1024
local LEVELS = { debug = true, info = true, warn = true, error = true }

-- what is sent ----------------------------------------------------------------------------------

local function any_matches(patterns, class)
  for _, pattern in ipairs(patterns) do
    if core.matches(pattern, class) then return true end
  end
  return false
end

local function invalid(text)
  return nil, errors.make(text, "INVALID")
end

local function check_asset(asset)
  if type(asset.class) ~= "string" or not asset.class:find("^[%w_-]+$") then
    return invalid("asset: class: letters, digits, '_' and '-' expected")
  end
  local value = asset.value
  if type(value) ~= "string" or value == "" or #value > VALUE_MAX or value:find("%c") then
    return invalid("asset: value: text without control characters expected, up to 64 KB")
  end
  if asset.key ~= nil and (type(asset.key) ~= "string" or asset.key == "") then
    return invalid("asset: key: a string expected")
  end
  local ok, text, err = pcall(json.encode, asset.metadata)
  if not ok or not text then return invalid("asset: metadata: " .. tostring(err or text)) end
  if #text > METADATA_MAX then return invalid("asset: metadata: more than 1 MB") end
  return true
end

local function send_one(run, asset)
  local ok, err = check_asset(asset)
  if not ok then return nil, err end
  if not any_matches(run.capability.output, asset.class) then
    run.undeclared = run.undeclared or asset.class
    return invalid(("class '%s' is not declared as an output"):format(asset.class))
  end
  local key = asset.key or asset.class .. ":" .. asset.value
  if not fence.has(run.world, asset.class, asset.value) then return "out_of_scope" end
  if run.seen[key] then return "duplicate" end
  run.seen[key] = true
  local sent = run.world.sent
  sent[#sent + 1] =
    { class = asset.class, value = asset.value, key = asset.key, metadata = copy(asset.metadata) }
  return "queued"
end

-- the job object --------------------------------------------------------------------------------

local methods = {}

-- job object -> its run
local run_of = setmetatable({}, { __mode = "k" })

function methods.send(job, asset)
  check.table(asset, 1, "send")
  local run = run_of[job]
  if asset.class ~= nil or asset[1] == nil then return send_one(run, asset) end
  local outcomes = {}
  for i, each in ipairs(asset) do
    local outcome, err = send_one(run, each)
    if not outcome then return nil, err end
    outcomes[i] = outcome
  end
  return outcomes
end

function methods.snooze(job, delay)
  local run = run_of[job]
  run.snoozed = duration.seconds(delay, 1, "snooze")
  run.world.task.exit()
end

-- There is one job only: nothing else of its key waits.
function methods.hold(job, when)
  local run = run_of[job]
  if type(when) == "table" then
    when = math.max(0, check.number(when.at, "at", "hold") - run.world.modules.time.now())
  end
  run.snoozed = duration.seconds(when, 1, "hold")
  run.world.task.exit()
end

function methods.log(job, level, message, fields)
  check.string(level, 1, "log")
  check.string(message, 2, "log")
  if not LEVELS[level] then check.fail(1, "log", "debug, info, warn or error expected") end
  return run_of[job].world.modules.log[level](message, fields)
end

function methods.progress(job, fraction, text)
  check.number(fraction, 1, "progress")
  local run = run_of[job]
  run.progress[#run.progress + 1] = { fraction = fraction, text = text }
  return true
end

function methods.canceled()
  return false
end

function methods.deadline(job)
  local run = run_of[job]
  return run.timeout and run.world.clock.time.now() + run.timeout or nil
end

local function job_of(run, case)
  local fields = {
    id = 1,
    capability = run.capability.name,
    target = run.asset.class .. ":" .. run.asset.value,
    key = run.asset.key,
    errors = copy(case.errors or {}),
    attempt = run.attempt,
    session = case.session or "test",
    options = run.options,
  }
  local job = setmetatable({}, {
    __metatable = false,
    __index = function(_, key)
      return methods[key] or fields[key]
    end,
    __newindex = function()
      error("a job's fields cannot be set", 2)
    end,
    __tostring = function()
      return "job 1"
    end,
  })
  run_of[job] = run
  return job
end

-- running ---------------------------------------------------------------------------------------

-- Calls one of the functions that may not wait.
local function gate(run, name, ...)
  local fn, args = run.capability[name], { ... }
  if not fn then return true end
  local results
  local ending = run.world.clock:run(function()
    results = { fn(unpack(args)) }
  end, 0)
  if ending.kind == "done" then return results[1], results[2], true end
  if ending.kind == "error" then return nil, tostring(ending.error) end
  if ending.kind == "stuck" then return nil, "did not return" end
  return nil, "may not wait"
end

-- Before the gate, as on a worker; it may wait.
local function set_up(run, result, context)
  local setup = run.capability.setup
  if not setup then return true end
  local yes, why
  local ending = run.world.clock:run(function()
    yes, why = setup(context)
  end, 60)
  if ending.kind == "error" then
    result.state, result.error = "failed", errors.wrap(ending.error, "setup")
    return false
  end
  local soft = yes == false or (yes == nil and why ~= nil)
  if ending.kind == "done" and not soft then return true end
  local words = ending.kind == "done" and why or "did not return within 60 s"
  result.state, result.reason = "skipped", "setup: " .. tostring(words)
  return false
end

local function ask(run, result, context)
  local yes, why, answered = gate(run, "match", run.asset, context)
  if not yes then
    if not answered and why then why = "match: " .. why end
    result.state, result.reason = "skipped", type(why) == "string" and why or "match said no"
    return false
  end
  for _, name in ipairs({ "rate_key", "prioritize" }) do
    if run.capability[name] then
      local value, fault, ok = gate(run, name, run.asset, context)
      if not ok then
        result.state, result.reason = "skipped", name .. ": " .. fault
        return false
      end
      result[name] = value
    end
  end
  return true
end

local function fail(run, result, err, attempt)
  local again = err._retryable and attempt <= run.capability.retries
  result.state, result.error = again and "retrying" or "failed", err
end

local function words_of_timeout(run, ending)
  local text = ("timed out after %g s"):format(run.timeout)
  return ending.idle and text .. " (it waits for what never comes)" or text
end

local function settle(run, result, ending, attempt)
  if ending.kind == "exit" and run.snoozed then
    result.state, result.snooze = "snoozed", run.snoozed
  elseif ending.kind == "error" then
    local err = errors.of(ending.error)
    result.stack = ending.stack
    fail(run, result, err, attempt)
  elseif ending.kind == "timeout" then
    fail(run, result, errors.make(words_of_timeout(run, ending), "TIMEOUT", true), attempt)
  elseif ending.kind == "waits" then
    fail(run, result, errors.make("waits for what never comes", "TIMEOUT"), attempt)
  elseif ending.kind == "stuck" then
    local text = ("computes without end (stopped after %g s of real time)"):format(ending.limit)
    result.stack = ending.stack
    fail(run, result, errors.make(text, "TIMEOUT"), attempt)
  elseif run.undeclared then
    local text = ("class '%s' is not declared as an output"):format(run.undeclared)
    fail(run, result, errors.make(text, "INVALID"), attempt)
  else
    result.state = "completed"
  end
end

--- Run it: what became of it.
---@param world rt.TestWorld
---@param capability table  a checked declaration, made in this world
---@param options table  all options with their values
---@param case table
---@param again {asset: table, attempt: integer, seen: table, ready: boolean?}?  one of several runs
---@return table result  {state, reason?, error?, snooze?, rate_key?, prioritize?, sent, calls, ...}
function M.run(world, capability, options, case, again)
  again = again or { asset = case.asset, attempt = case.attempt or 1, seen = {} }
  local asset = copy(again.asset)
  asset.key = asset.key or asset.class .. ":" .. asset.value
  local run = {
    world = world,
    capability = capability,
    options = options,
    asset = asset,
    attempt = again.attempt,
    timeout = capability.timeout or nil,
    seen = again.seen,
    progress = {},
  }
  local result = {
    sent = world.sent, calls = world.calls, logs = world.logs, events = world.events,
    files = world.tree, faults = world.faults, progress = run.progress,
  }
  run.seen[asset.key] = true
  local context = { session = case.session or "test", options = options }
  again.ready = again.ready or set_up(run, result, context)
  if again.ready and ask(run, result, context) then
    local job = job_of(run, case)
    local ending = world.clock:run(function()
      capability.invoke(job, asset)
    end, run.timeout)
    settle(run, result, ending, run.attempt)
  end
  result.time = world.clock:elapsed()
  return result
end

--- Does one of the patterns take this class?
M.takes = any_matches

return M
