--- time - clocks, sleeping, and channels that tell when time has passed.
-- Timers are kept in C; what is due offers the instant to a channel of one place, so that a slow
-- reader finds one tick waiting, never a heap of them.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local check = require("rt.check")
local core = require("rt.core.time")
local duration = require("rt.duration")
local errors = require("rt.errors")
local task = require("rt.task")

local M = {}

local getmetatable = debug.getmetatable
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
    return nil, errors.make(("no duration: '%.40s'"):format(text), "INVALID")
  end
  return seconds
end

-- What timers and tickers share ---------------------------------------------------------------

-- Slots of their objects; small, for there may be a million. ID: false when not to fire.
local TICKS, ID, PERIOD, DUE = 1, 2, 3, 4
local OPTS = { capacity = 1, library = true }
local BATCH = 256

local function drain(ch)
  while channel.count(ch) > 0 do
    ch:receive(0)
  end
end

-- Was it still to fire?
local function halt(self)
  local id = self[ID]
  drain(self[TICKS])
  if not id then return false end
  self[ID] = false
  return core.stop(id)
end

-- Timers --------------------------------------------------------------------------------------

---@class rt.Timer
local timer = {}
local timer_meta = { __index = timer, __metatable = false, __name = "timer" }

--- The channel that gets the time, once.
---@return rt.Channel
function timer:channel()
  return self[TICKS]
end

--- Stop; the channel stays open and silent.
---@return boolean  was it still to fire?
function timer:stop()
  return halt(self)
end

--- Fire `d` from now instead, whether it has fired or not.
---@return boolean  was it still to fire?
function timer:reset(d)
  local seconds = duration.seconds(d, 1, "reset")
  local active = halt(self)
  self[ID] = core.start(self, seconds)
  return active
end

--- Fires once, `d` from now.
---@param d number|string
---@return rt.Timer
function M.timer(d)
  local seconds = duration.seconds(d, 1, "timer")
  local self = setmetatable({ channel.new(OPTS), false }, timer_meta)
  self[ID] = core.start(self, seconds)
  return self
end

--- A channel that gets the time once, `d` from now.
---@param d number|string
---@return rt.Channel
function M.after(d)
  local seconds = duration.seconds(d, 1, "after")
  local ticks = channel.new(OPTS)
  core.start(ticks, seconds)
  return ticks
end

-- Tickers -------------------------------------------------------------------------------------

---@class rt.Ticker
local ticker = {}
local ticker_meta = { __index = ticker, __metatable = false, __name = "ticker" }

--- The channel that gets the time at each tick.
---@return rt.Channel
function ticker:channel()
  return self[TICKS]
end

--- Stop; the channel stays open and silent.
function ticker:stop()
  halt(self)
  return true
end

--- Ticks every `d`, without drift; a tick nobody took is not followed by a second one.
---@param d number|string  above zero; at least a millisecond
---@return rt.Ticker
function M.ticker(d)
  local seconds = duration.seconds(d, 1, "ticker")
  if seconds == 0 then check.fail(1, "ticker", "duration above zero expected") end
  local period = math.max(seconds, SHORTEST)
  local self = { channel.new(OPTS), false, period, monotonic() + period }
  self[ID] = core.start(setmetatable(self, ticker_meta), period)
  return self
end

-- What is due ---------------------------------------------------------------------------------

-- The instants that were missed are left out.
local function set_again(self)
  local now = monotonic()
  local late = math.floor((now - self[DUE]) / self[PERIOD])
  self[DUE] = self[DUE] + (math.max(late, 0) + 1) * self[PERIOD]
  self[ID] = core.start(self, self[DUE] - now)
end

local function fire(object, now)
  local meta = getmetatable(object)
  if meta ~= timer_meta and meta ~= ticker_meta then return channel.offer(object, now) end
  object[ID] = false
  if meta == ticker_meta then set_again(object) end
  channel.offer(object[TICKS], now)
end

task.inlet("@time", function()
  local now = core.now()
  for _ = 1, BATCH do
    local object = core.due()
    if not object then return end
    fire(object, now)
  end
  core.rest()
end)

return M
