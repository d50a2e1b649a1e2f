---@meta time
-- What editors know of clocks and timers: local time = require("time").
-- SPDX-License-Identifier: MIT

---@class rt.Timer
local Timer = {}

--- The channel that gets the time, once.
---@return rt.Channel
function Timer:channel() end

--- Stop; the channel stays open and silent.
---@return boolean  was it still to fire?
function Timer:stop() end

--- Fire `d` from now instead, whether it has fired or not.
---@param d rt.Duration
---@return boolean  was it still to fire?
function Timer:reset(d) end

---@class rt.Ticker
local Ticker = {}

--- The channel that gets the time at each tick.
---@return rt.Channel
function Ticker:channel() end

--- Stop; the channel stays open and silent.
---@return true
function Ticker:stop() end

---@class rt.time
local time = {}

--- Seconds since 1970-01-01 UTC, with fraction.
---@return number
function time.now() end

--- Seconds since some instant in the past; never runs backwards.
---@return number
function time.monotonic() end

--- Suspend this coroutine.
---@param d rt.Duration
---@return true? ok, rt.Error? err  CANCELED when the wait was cut short
function time.sleep(d) end

--- Seconds in "250ms", "1h30m" or a number.
---@param text rt.Duration
---@return number? seconds, rt.Error? err  INVALID
function time.parse_duration(text) end

--- A channel that gets the time once, `d` from now.
---@param d rt.Duration
---@return rt.Channel
function time.after(d) end

--- Fires once, `d` from now.
---@param d rt.Duration
---@return rt.Timer
function time.timer(d) end

--- Ticks every `d`, without drift.
---@param d rt.Duration  at least a millisecond
---@return rt.Ticker
function time.ticker(d) end

return time
