--- rt.test.clock - a scheduler with a clock of its own, in which a capability is tested.
-- It stands in for rt.task and rt.core.time: the fibers of a case run in it one after the other,
-- and when all of them wait the clock jumps to the next instant somebody waits for. So a case that
-- sleeps an hour takes no time, and always goes the same way. Everything runs inside one fiber of
-- the real scheduler, to which preemption and real waits are passed on.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local errors = require("rt.errors")
local real = require("rt.core.time")

local create, resume, status = coroutine.create, coroutine.resume, coroutine.status
local yield, traceback = coroutine.yield, debug.traceback
local select, unpack = select, unpack

local M = {}

-- What a fiber of ours yields.
local WAIT, EXIT = {}, {}

-- Real seconds that a case may compute: an endless loop is no reason to hang.
local LIMIT = 10
-- 2026-01-01 00:00:00 UTC, so that a test that says nothing gives the same on every day.
local WALL = 1767225600

---@class rt.TestClock
local clock = {}
clock.__index = clock

local function pack(...)
  return { n = select("#", ...), ... }
end

-- timers ----------------------------------------------------------------------------------------

-- Sorted by instant, then by age. Either a fiber waits, or an object of rt.core.time is due.
local function add(self, timer)
  local timers = self.timers
  local i = #timers
  while i > 0 and timers[i].due > timer.due do
    timers[i + 1] = timers[i]
    i = i - 1
  end
  timers[i + 1] = timer
end

local function add_timer(self, fiber, timeout)
  local timer = { due = self.at + timeout, fiber = fiber }
  add(self, timer)
  fiber.timer = timer
end

local function is_over(timer)
  if timer.fiber then return timer.fiber.timer ~= timer end
  return timer.stopped
end

local function next_timer(self)
  local timers = self.timers
  while timers[1] and is_over(timers[1]) do
    table.remove(timers, 1)
  end
  return timers[1]
end

-- fibers ----------------------------------------------------------------------------------------

local function make_ready(self, fiber, results)
  fiber.waiting, fiber.timer = false, nil
  fiber.results = results
  self.last = self.last + 1
  self.ready[self.last] = fiber
end

local function wait(self, timeout)
  local fiber = self.running
  fiber.waiting = true
  if timeout then add_timer(self, fiber, timeout) end
end

local function expired()
  return nil, errors.make("timed out", "TIMEOUT", true)
end

local function parked(...)
  if select("#", ...) > 0 then return ... end
  return expired()
end

--- What the library calls rt.task, with this clock behind it.
local function task_of(self)
  local task = { WAIT = WAIT, expired = expired }
  function task.fiber()
    return self.running
  end
  function task.serial()
    return self
  end
  function task.stand(owner, timeout)
    if owner and owner ~= self then return nil end
    wait(self, timeout)
    return self.running, self
  end
  function task.hand(fiber, ...)
    if not fiber.waiting then return false end
    make_ready(self, fiber, pack(...))
    return true
  end
  function task.wake(fiber, ...)
    return task.hand(fiber, true, ...)
  end
  function task.park(timeout)
    wait(self, timeout)
    return parked(yield(WAIT))
  end
  function task.spawn(fn, ...)
    make_ready(self, { co = create(fn) }, pack(...))
  end
  function task.exit()
    yield(EXIT)
  end
  function task.inlet(topic, fn)
    self.inlets[topic] = fn
  end
  return task
end

--- What the library calls rt.core.time.
local function time_of(self, base)
  local time = {}
  function time.monotonic()
    return self.at
  end
  function time.now()
    return base + self.at
  end
  function time.start(object, seconds)
    local timer = { due = self.at + seconds, object = object }
    add(self, timer)
    return timer
  end
  function time.stop(timer)
    local was = not timer.stopped
    timer.stopped = true
    return was
  end
  function time.due()
    local timer = self.due
    self.due = nil
    return timer and timer.object
  end
  return time
end

-- Another turn of the real scheduler, on behalf of who was preempted or really waits.
local function outside(self, co, tag, ...)
  if tag ~= nil then return resume(co, yield(tag, ...)) end
  if core.yieldable() then
    yield(core.PREEMPT)
  else
    core.keep_on()
  end
  if self:late() then return true, nil end
  return resume(co)
end

-- false, error; or true and what it yielded (nil: its function returned).
local function advance(self, co, ok, tag, ...)
  if not ok then return false, tag end
  if status(co) == "dead" or tag == WAIT or tag == EXIT then return true, tag end
  if self:late() then return true, nil end
  return advance(self, co, outside(self, co, tag, ...))
end

--- Has the case computed for too long?
function clock:late()
  return real.monotonic() - self.started > self.limit
end

-- running ---------------------------------------------------------------------------------------

-- One turn of a fiber: how the case ended, or nil.
local function turn(self, fiber)
  local results = fiber.results
  self.running = fiber
  local ok, tag = advance(self, fiber.co, resume(fiber.co, unpack(results, 1, results.n)))
  self.running = nil
  if not ok then return { kind = "error", error = tag, stack = traceback(fiber.co) } end
  if tag == EXIT then return { kind = "exit" } end
  if tag == WAIT then return nil end
  if status(fiber.co) ~= "dead" then
    return { kind = "stuck", limit = self.limit, stack = traceback(fiber.co) }
  end
  return fiber == self.main and { kind = "done" } or nil
end

-- All wait: to the next instant, or the end.
local function jump(self, deadline)
  if deadline == self.at then return { kind = "waits" } end
  local timer = next_timer(self)
  if self:late() then return { kind = "stuck", limit = self.limit, stack = "" } end
  if not timer and not deadline then return { kind = "waits" } end
  if deadline and (not timer or timer.due > deadline) then
    self.at = deadline
    return { kind = "timeout", idle = not timer }
  end
  table.remove(self.timers, 1)
  self.at = timer.due
  if timer.fiber then
    make_ready(self, timer.fiber, pack())
  else
    self.due = timer
    self.inlets["@time"]()
  end
  return nil
end

--- Run `fn` and what it spawns until it returns.
---@param timeout number?  seconds of the clock's time; 0: it may not wait
---@return table outcome  kind: "done", "exit", "error", "timeout", "waits" (for ever), "stuck"
function clock:run(fn, timeout)
  local deadline = timeout and self.at + timeout
  self.ready, self.timers, self.first, self.last = {}, {}, 1, 0
  self.started = real.monotonic()
  self.main = { co = create(fn) }
  make_ready(self, self.main, pack())
  while true do
    local fiber = self.ready[self.first]
    local ending
    if fiber then
      self.ready[self.first] = nil
      self.first = self.first + 1
      ending = turn(self, fiber)
    else
      ending = jump(self, deadline)
    end
    if ending then return ending end
  end
end

--- Seconds that have passed in it.
function clock:elapsed()
  return self.at
end

---@param wall number?  unix seconds at which it begins
---@param limit number?  real seconds that a case may compute
---@return rt.TestClock
function M.new(wall, limit)
  local self = setmetatable({ at = 0, limit = limit or LIMIT }, clock)
  local base = wall or WALL
  self.timers, self.inlets = {}, {}
  self.task = task_of(self)
  self.time = time_of(self, base)
  return self
end

return M
