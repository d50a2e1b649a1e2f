--- rt.duration - durations as the API takes them: a number of seconds, or a string such as
-- "250ms", "5s" or "1h30m". Units: d, h, m, s, ms, us, ns; each part may have a fraction.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")

local M = {}

-- Longer than anyone waits, and still safe as milliseconds in 64 bits.
local LONGEST = 1e10

local TEXT_MAX = 256 -- bytes: a longer text is none

local UNITS = { d = 86400, h = 3600, m = 60, s = 1, ms = 1e-3, us = 1e-6, ns = 1e-9 }

local function parse(text)
  if text == "0" then return 0 end
  if #text > TEXT_MAX then return nil end
  local total, at = 0, 1
  while at <= #text do
    local number, unit, past = text:match("^(%d*%.?%d*)(%a+)()", at)
    local scale = unit and UNITS[unit]
    local amount = scale and tonumber(number)
    if not amount then return nil end
    total, at = total + amount * scale, past
  end
  return at > 1 and total or nil
end

--- Seconds in `value`, or nil when it is no duration.
---@param value any
---@return number?
function M.parse(value)
  local seconds
  if type(value) == "number" then
    seconds = value
  elseif type(value) == "string" then
    seconds = parse(value)
  end
  if not seconds or seconds < 0 or seconds ~= seconds then return nil end
  return seconds < LONGEST and seconds or LONGEST
end

local function refusal(value)
  local shown = type(value)
  if shown == "string" or shown == "number" then
    shown = ("'%.40s'"):format(value)
  end
  return "duration expected, got " .. shown
end

--- Seconds in argument `n` of `fname`; raises in the name of that function's caller.
---@return number
function M.seconds(value, n, fname)
  local seconds = M.parse(value)
  if not seconds then check.fail(n, fname, refusal(value), 2) end
  return seconds
end

--- The same, with nil for nil.
---@return number?
function M.optional(value, n, fname)
  if value == nil then return nil end
  local seconds = M.parse(value)
  if not seconds then check.fail(n, fname, refusal(value), 2) end
  return seconds
end

return M
