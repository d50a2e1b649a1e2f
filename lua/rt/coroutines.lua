--- rt.coroutines - the coroutine library of scripts, in which a wait works at any depth.
-- A wait of the system yields a tag that `resume` passes outwards, coroutine by coroutine, to the
-- scheduler; the answer comes back the same way. A yield of the script carries a tag of its own. A
-- coroutine that was preempted by the hook yields nothing at all, and is passed on likewise.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local task = require("rt.task")

local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local status, running = coroutine.status, coroutine.running
local error, type, setmetatable = error, type, setmetatable
local traceback = debug.traceback
local yieldable, unpark, keep_on = core.yieldable, core.unpark, core.keep_on
local USER, PREEMPT = core.USER, core.PREEMPT

local TOO_DEEP = "C stack overflow (coroutines nested too deep)"

local M = {}

-- Coroutines made here -> how deep they are nested; the scheduler's own are not for scripts to
-- resume. The bound keeps a preemption, which goes through all levels, cheap.
local known = setmetatable({}, { __mode = "k" })
local MAX_DEPTH = 190

-- Keeps the traceback of a coroutine that failed, for who reports its error in the end.
local function note(co, err)
  local state = task.state()
  local trace = state.trace
  if not trace then
    trace = {}
    state.trace = trace
  end
  -- The innermost failure of one error comes first.
  if not rawequal(trace.err, err) or not trace.text then
    trace.err, trace.text = err, traceback(co)
  else
    trace.text = trace.text .. "\n" .. traceback(co)
  end
end

local answer

local function pass_on(co, ...)
  if not yieldable() then
    -- Preempted where the whole process cannot be: go on, unless it is to end.
    if ... == PREEMPT then
      keep_on()
      return answer(co, resume(co))
    end
    unpark()
    error("cannot wait inside a callback of a C function (such as table.sort or string.gsub)", 0)
  end
  return answer(co, resume(co, yield(...)))
end

local function untagged(_, ...)
  return true, ...
end

function answer(co, ok, ...)
  local tag = ...
  if not ok then
    note(co, tag)
    return false, tag
  end
  if status(co) == "dead" then return true, ... end
  if tag == USER then return untagged(...) end
  if tag == nil then return pass_on(co, PREEMPT) end
  return pass_on(co, ...)
end

-- False when it would be nested too deep.
local function descend(co)
  local depth = (known[running()] or 0) + 1
  if depth > MAX_DEPTH then return false end
  if known[co] ~= depth then known[co] = depth end
  return true
end

function M.resume(co, ...)
  if type(co) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected, got " .. type(co) .. ")", 2)
  end
  if not known[co] then error("cannot resume a coroutine of the scheduler", 2) end
  if not descend(co) then return false, TOO_DEEP end
  return answer(co, resume(co, ...))
end

function M.create(fn)
  if type(fn) ~= "function" then
    error("bad argument #1 to 'create' (function expected, got " .. type(fn) .. ")", 2)
  end
  local co = create(fn)
  known[co] = 0
  return co
end

local function unwrap(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function M.wrap(fn)
  if type(fn) ~= "function" then
    error("bad argument #1 to 'wrap' (function expected, got " .. type(fn) .. ")", 2)
  end
  local co = create(fn)
  known[co] = 0
  return function(...)
    if not descend(co) then error(TOO_DEEP, 2) end
    return unwrap(answer(co, resume(co, ...)))
  end
end

function M.yield(...)
  local co = running()
  if not (co and known[co]) then error("attempt to yield from outside a coroutine", 2) end
  return yield(USER, ...)
end

function M.running()
  local co = running()
  if co and known[co] then return co end
  return nil
end

function M.isyieldable()
  local co = running()
  return co ~= nil and known[co] ~= nil and yieldable()
end

M.status = status

--- Another coroutine inside the same process, run by the scheduler.
function M.spawn(fn, ...)
  if type(fn) ~= "function" then
    error("bad argument #1 to 'spawn' (function expected, got " .. type(fn) .. ")", 2)
  end
  task.spawn(fn, ...)
end

--- The traceback for an error that ended a fiber, with those of the coroutines it came through.
function M.trace(err, co)
  local trace = task.state().trace
  local outer = traceback(co)
  if trace and rawequal(trace.err, err) and trace.text then
    return trace.text .. "\nresumed from " .. outer
  end
  return outer
end

return M
