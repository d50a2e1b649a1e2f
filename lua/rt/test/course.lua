--- rt.test.course - a case that goes on: the clock is advanced, and what falls due runs.
-- What the engine would start by time: the ticks of `every`, what snoozes or is tried again, and,
-- at each step of `advance`, the asset found again in another run of the session, which `rerun`
-- answers. All runs share one instance of the capability and one set of known keys.
-- SPDX-License-Identifier: MIT
local copy = require("rt.copy")
local duration = require("rt.duration")
local job = require("rt.test.job")
local json = require("json")
local registry = require("rt.core.registry")

local M = {}

local MOST = 10000 -- runs
local BACKOFF = 0.5
local SLACK = 1e-6 -- of adding up fractions of seconds

-- ticks -----------------------------------------------------------------------------------------

local function iso(unix)
  local whole = math.floor(unix)
  local ms = math.floor((unix - whole) * 1000)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (ms > 0 and (".%03dZ"):format(ms) or "Z")
end

-- The first time after `at` on the case's clock; nil: never.
local function next_tick(self, at)
  local every = self.capability.every
  if type(every) == "number" then return at + every end
  local next = registry.cron_next(every, math.floor(self.base + at))
  return next and next - self.base
end

local function tick_asset(self, due)
  return { class = "tick." .. self.capability.name, value = iso(self.base + due) }
end

-- running ---------------------------------------------------------------------------------------

local function run(self, asset, attempt)
  local clock = self.world.clock
  if #self.runs == MOST then self.world:fault("more than %d runs", MOST) end
  local at = clock.at
  self.again.asset, self.again.attempt = asset, attempt
  local result = job.run(self.world, self.capability, self.options, self.case, self.again)
  self.runs[#self.runs + 1] = {
    at = at, state = result.state, reason = result.reason, attempt = attempt,
    value = asset.value,
  }
  self.result, self.open = result, nil
  if result.state == "snoozed" then
    self.open = { asset = asset, attempt = attempt, due = clock.at + result.snooze }
  elseif result.state == "retrying" then
    local due = clock.at + BACKOFF * 2 ^ (attempt - 1)
    self.open = { asset = asset, attempt = attempt + 1, due = due }
  else
    self.ended = clock.at
  end
end

-- A tick that comes while a job is open is left out.
local function tick(self)
  local due = self.due
  self.due = next_tick(self, due)
  if not self.open then run(self, tick_asset(self, due), self.case.attempt or 1) end
  while self.due and self.due < self.world.clock.at - SLACK do
    self.due = next_tick(self, self.due)
  end
end

local function advance(self, target)
  local clock = self.world.clock
  while true do
    local open, due = self.open, self.due
    local first = math.min(open and open.due or math.huge, due or math.huge)
    if first > target + SLACK then break end
    clock.at = math.max(clock.at, first)
    if open and open.due <= first then
      run(self, open.asset, open.attempt)
    else
      tick(self)
    end
  end
  clock.at = math.max(clock.at, target)
end

-- found again -----------------------------------------------------------------------------------

-- What a later run found replaces what was there, key by key. Has anything changed?
local function merge(asset, fresh)
  local before = json.encode(asset.metadata or {})
  local merged = copy(asset.metadata or {})
  for key, value in pairs(fresh or {}) do
    merged[key] = value
  end
  asset.metadata = next(merged) ~= nil and merged or asset.metadata
  return json.encode(merged) ~= before
end

local function is_stale(self, changed)
  local rerun = self.capability.rerun
  if rerun == "always" then return true end
  if rerun == "on_change" then return changed end
  local after = rerun:match("^after:(.+)$")
  return after ~= nil and self.ended + duration.parse(after) <= self.world.clock.at + SLACK
end

local function find_again(self, step)
  local changed = merge(self.asset, step.metadata)
  if self.open or not is_stale(self, changed) then return end
  run(self, self.asset, self.case.attempt or 1)
end

-- Nothing has run: a time that never came.
local function nothing(world)
  return {
    state = "waiting", sent = world.sent, calls = world.calls, logs = world.logs,
    events = world.events, files = world.tree, faults = world.faults, progress = {},
  }
end

--- Run a case with `advance`: the result of the last run, with `runs`, a list of {at, state,
--- reason, attempt, value}.
---@param world rt.TestWorld
---@param capability table
---@param options table
---@param case table
---@return table result
function M.run(world, capability, options, case)
  local self = {
    world = world, capability = capability, options = options, case = case,
    base = world.clock.time.now() - world.clock.at,
    runs = {}, again = { seen = {} },
    asset = case.asset and copy(case.asset), ended = world.clock.at,
  }
  local ok, err = pcall(function()
    if self.asset then
      run(self, self.asset, case.attempt or 1)
    else
      self.due = type(capability.every) == "number" and world.clock.at or next_tick(self, 0)
      advance(self, world.clock.at)
    end
    for _, step in ipairs(case.advance) do
      advance(self, world.clock.at + step.after)
      if self.asset then find_again(self, step) end
    end
  end)
  if not ok and #world.faults == 0 then error(err, 0) end
  local result = self.result or nothing(world)
  result.runs, result.time = self.runs, world.clock:elapsed()
  return result
end

return M
