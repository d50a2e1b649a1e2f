--- rt.test.verdict - what a case expected against what it got, in words.
-- Assets and calls are compared as sets: what came too little and what came too much is told, each
-- on a line of its own. An expected asset fits a sent one when the fields it has are the same; of
-- the metadata only those that are given count. SPDX-License-Identifier: MIT
local json = require("json")

local M = {}

local function show(value)
  if value == nil then return "nothing" end
  if type(value) == "string" then return value end
  if type(value) ~= "table" then return tostring(value) end
  local ok, text = pcall(json.encode, value)
  return ok and text or tostring(value)
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- assets ----------------------------------------------------------------------------------------

local function asset_line(asset)
  local words = { ("%s:%s"):format(tostring(asset.class), tostring(asset.value)) }
  if asset.key then words[#words + 1] = "key " .. tostring(asset.key) end
  if asset.metadata then words[#words + 1] = show(asset.metadata) end
  return table.concat(words, "  ")
end

local function fits(wanted, sent)
  for _, field in ipairs({ "class", "value", "key" }) do
    if wanted[field] ~= nil and wanted[field] ~= sent[field] then return false end
  end
  for key, value in pairs(wanted.metadata or {}) do
    if not same(value, (sent.metadata or {})[key]) then return false end
  end
  return true
end

-- Those of `wanted` that nothing of `got` fits, and those of `got` left over; most particular
-- expectations choose first.
local function compare(wanted, got, fit)
  local missing, taken = {}, {}
  for _, item in ipairs(wanted) do
    local found
    for i, each in ipairs(got) do
      if not found and not taken[i] and fit(item, each) then found = i end
    end
    if found then
      taken[found] = true
    else
      missing[#missing + 1] = item
    end
  end
  local extra = {}
  for i, each in ipairs(got) do
    if not taken[i] then extra[#extra + 1] = each end
  end
  return missing, extra
end

-- Which of the extra ones was probably meant by a missing one: the same class and value.
local function likely(item, extra)
  for i, each in ipairs(extra) do
    if each.class == item.class and each.value == item.value then return table.remove(extra, i) end
  end
  for i, each in ipairs(extra) do
    if each.class == item.class then return table.remove(extra, i) end
  end
  return nil
end

local function add(lines, what, expected, got)
  lines[#lines + 1] = { what = what, expected = expected, got = got }
end

local function check_sent(lines, wanted, sent)
  local missing, extra = compare(wanted, sent, fits)
  for _, item in ipairs(missing) do
    local instead = likely(item, extra)
    add(lines, "sent", asset_line(item), instead and asset_line(instead) or "nothing like it")
  end
  for _, item in ipairs(extra) do
    add(lines, "sent", "nothing more", asset_line(item))
  end
end

local function check_order(lines, wanted, sent)
  for i = 1, math.max(#wanted, #sent) do
    local a, b = wanted[i], sent[i]
    if not a or not b or not fits(a, b) then
      local expected = a and asset_line(a) or "nothing more"
      add(lines, ("sent [%d]"):format(i), expected, b and asset_line(b) or "nothing")
    end
  end
end

-- the rest --------------------------------------------------------------------------------------

local function equal(a, b)
  return a == b
end

local function check_calls(lines, wanted, calls)
  local missing, extra = compare(wanted, calls, equal)
  for _, call in ipairs(missing) do
    add(lines, "calls", call, "no such call")
  end
  for _, call in ipairs(extra) do
    add(lines, "calls", "no more calls", call)
  end
end

local function error_line(err)
  return err and ("%s: %s"):format(err:kind(), err:message()) or "no error"
end

local function check_error(lines, wanted, err)
  if type(wanted) == "string" then wanted = { message = wanted } end
  local ok = err ~= nil
  if ok and wanted.kind then ok = err:kind() == wanted.kind end
  if ok and wanted.message then ok = err:message():find(wanted.message, 1, true) ~= nil end
  if ok then return end
  local expected = { wanted.kind or "any kind" }
  if wanted.message then expected[2] = ("with %q"):format(wanted.message) end
  add(lines, "error", table.concat(expected, " "), error_line(err))
end

--- What state a case waits for when it does not say.
local function state_of(case)
  if case.state then return case.state end
  if case.reason then return "skipped" end
  if case.runs == 0 then return "waiting" end
  if case.snooze then return "snoozed" end
  return not case.error and "completed" or nil
end

local function state_line(result)
  local why = result.reason or (result.error and error_line(result.error))
  return why and ("%s (%s)"):format(result.state, why) or result.state
end

local function check_state(lines, case, result)
  local wanted = state_of(case)
  if wanted and wanted ~= result.state then
    add(lines, "state", wanted, state_line(result))
    if result.stack then lines[#lines].detail = result.stack end
  end
  if case.reason and not tostring(result.reason):find(case.reason, 1, true) then
    add(lines, "reason", case.reason, show(result.reason))
  end
  if case.error then check_error(lines, case.error, result.error) end
  if case.snooze and case.snooze ~= result.snooze then
    add(lines, "snooze", case.snooze .. " s", result.snooze and result.snooze .. " s" or "none")
  end
end

local function times_of(runs)
  local words = {}
  for i, each in ipairs(runs) do
    words[i] = ("%g s"):format(type(each) == "table" and each.at or each)
  end
  return ("%d (%s)"):format(#runs, #words > 0 and table.concat(words, ", ") or "none")
end

-- A number of them, or when each begins.
local function check_runs(lines, wanted, runs)
  if type(wanted) == "number" then
    if wanted ~= #runs then add(lines, "runs", tostring(wanted), times_of(runs)) end
    return
  end
  local same_times = #wanted == #runs
  for i, at in ipairs(wanted) do
    same_times = same_times and math.abs(runs[i].at - at) < 1e-3
  end
  if not same_times then add(lines, "runs", times_of(wanted), times_of(runs)) end
end

local function check_function(lines, case, result)
  local ok, err = pcall(case.check, result)
  if not ok then add(lines, "check", "no error", tostring(err)) end
end

--- All that differs: a list of {what, expected, got, detail?}; empty when the case passed.
---@param case table
---@param result table  of rt.test.job
function M.compare(case, result)
  local lines = {}
  for _, fault in ipairs(result.faults) do
    add(lines, "fakes", "a fake for every call", fault)
  end
  check_state(lines, case, result)
  if case.expect then
    local differ = case.ordered and check_order or check_sent
    differ(lines, case.expect, result.sent)
  end
  if case.calls then check_calls(lines, case.calls, result.calls) end
  for _, field in ipairs({ "rate_key", "prioritize" }) do
    if case[field] ~= nil and case[field] ~= result[field] then
      add(lines, field, show(case[field]), show(result[field]))
    end
  end
  if case.runs then check_runs(lines, case.runs, result.runs) end
  if case.check then check_function(lines, case, result) end
  return lines
end

return M
