--- time - clocks, sleeping, and channels that tell when time has passed.
-- A timer is a fiber of its process that waits for the next instant and then offers it to a channel
-- of one place, so that a slow reader finds one tick waiting, never a heap of them.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local check = require("rt.check")
local core = require("rt.core.time")
local duration = require("rt.duration")
local errors = require("rt.errors")
local task = require("rt.task")

local M = {}

local monotonic = core.monotonic

-- Ticks closer than this would only keep a worker busy.
local SHORTEST = 0.001

--- Seconds since 1970-01-01 UTC, with fraction.
---@return number
M.now = core.now

--- Seconds since some instant in the past; never runs backwards.
---@return number
M.monotonic = monotonic

--- Suspend this coroutine.
---@param d number|string
---@return true? ok, rt.Error? err  nil, CANCELED when the wait was cut short
function M.sleep(d)
  local seconds = duration.seconds(d, 1, "sleep")
  local _, err = task.park(seconds)
  if err and not errors.is(err, "TIMEOUT") then return nil, err end
  return true
end

--- Seconds in "250ms", "1h30m" or a number.
---@return number? seconds, rt.Error? err  INVALID for what is no duration
function M.parse_duration(text)
  if type(text) ~= "string" and type(text) ~= "number" then
    check.fail(1, "parse_duration", "string or number expected, got " .. type(text))
  end
  local seconds = duration.parse(text)
  if not seconds then
    return nil, errors.make(("no duration: '%s'"):format(text), "INVALID")
  end
  return seconds
end

-- What timers and tickers share ---------------------------------------------------------------

-- Waits for `self.due` and calls `self.fire`, until there is nothing due.
local function serve(self)
  self.fiber = task.fiber()
  while self.due do
    local left = self.due - monotonic()
    if left <= 0 then
      self:fire()
    else
      task.park(left)
    end
  end
  self.fiber, self.running = nil, false
end

local function set_due(self, due)
  self.due = due
  if not self.running then
    if not due then return end
    self.running = true
    task.spawn(serve, self)
  elseif self.fiber then
    task.wake(self.fiber)
  end
end

local function drain(ch)
  while channel.count(ch) > 0 do
    ch:receive(0)
  end
end

local function clock(meta, fire, period)
  local ticks = channel.new({ capacity = 1, library = true })
  return setmetatable({ ticks = ticks, fire = fire, period = period }, meta)
end

local function fire_once(self)
  self.due = nil
  channel.offer(self.ticks, M.now())
end

local function fire_again(self)
  local now = monotonic()
  -- the instants that were missed are left out
  local late = math.floor((now - self.due) / self.period)
  self.due = self.due + (late + 1) * self.period
  channel.offer(self.ticks, M.now())
end

-- Timers --------------------------------------------------------------------------------------

---@class rt.Timer
local timer = {}
local timer_meta = { __index = timer, __metatable = false, __name = "timer" }

--- The channel that gets the time, once.
---@return rt.Channel
function timer:channel()
  return self.ticks
end

--- Stop; the channel stays open and silent.
---@return boolean  was it still to fire?
function timer:stop()
  local active = self.due ~= nil
  drain(self.ticks)
  if active then set_due(self, nil) end
  return active
end

--- Fire `d` from now instead, whether it has fired or not.
---@return boolean  was it still to fire?
function timer:reset(d)
  local seconds = duration.seconds(d, 1, "reset")
  local active = self.due ~= nil
  drain(self.ticks)
  set_due(self, monotonic() + seconds)
  return active
end

--- Fires once, `d` from now.
---@param d number|string
---@return rt.Timer
function M.timer(d)
  local seconds = duration.seconds(d, 1, "timer")
  local self = clock(timer_meta, fire_once)
  set_due(self, monotonic() + seconds)
  return self
end

--- A channel that gets the time once, `d` from now.
---@param d number|string
---@return rt.Channel
function M.after(d)
  local seconds = duration.seconds(d, 1, "after")
  local self = clock(timer_meta, fire_once)
  set_due(self, monotonic() + seconds)
  return self.ticks
end

-- Tickers -------------------------------------------------------------------------------------

---@class rt.Ticker
local ticker = {}
local ticker_meta = { __index = ticker, __metatable = false, __name = "ticker" }

--- The channel that gets the time at each tick.
---@return rt.Channel
function ticker:channel()
  return self.ticks
end

--- Stop; the channel stays open and silent.
function ticker:stop()
  drain(self.ticks)
  if self.due then set_due(self, nil) end
  return true
end

--- Ticks every `d`, without drift; a tick nobody took is not followed by a second one.
---@param d number|string  above zero; at least a millisecond
---@return rt.Ticker
function M.ticker(d)
  local seconds = duration.seconds(d, 1, "ticker")
  if seconds == 0 then check.fail(1, "ticker", "duration above zero expected") end
  local self = clock(ticker_meta, fire_again, math.max(seconds, SHORTEST))
  set_due(self, monotonic() + self.period)
  return self
end

return M
