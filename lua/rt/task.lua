--- rt.task - waiting, fibers, and what a process keeps for the library.
-- Everything that waits goes through await or park, so that it can be timed out, cancelled and
-- ended, also from coroutines inside coroutines (see rt.coroutines).
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local mail = require("rt.core.process")
local next_mail, pump = mail.next, mail.pump

local yield = coroutine.yield
local select = select
local WAIT, EXIT = core.WAIT, core.EXIT

local M = {}

--- The running fiber, a number; nil outside of fibers (in an inlet).
M.fiber = core.fiber

--- wake(fiber, ...): its park returns true, ...; false when it was not parked.
M.wake = core.wake

--- hand(fiber, ...): likewise for one that yielded WAIT itself; its yield returns ...
M.hand = core.hand
--- stand(owner or false, timeout) -> a number for the wait, owner: the running fiber is going to
-- yield WAIT until hand(); nothing when it is another process's. serial(): what `owner` would be.
M.stand, M.serial, M.WAIT = core.stand, core.serial, WAIT

--- expired() -> nil, the error of a wait that timed out.
M.expired = core.expired

--- spawn(fn, ...): another fiber of this process. An uncaught error in it ends the process.
M.spawn = core.spawn

--- A table private to the running process, for the library; key it by module name.
M.state = core.state
-- peek(): the same, or nil when nothing has been kept yet.
M.peek = core.peek

--- Wait for a C operation.
---@param op userdata  what a C half returned
---@param timeout number?  seconds; nil waits for ever
---@return any ...  its results, or nil, err
function M.await(op, timeout)
  if core.await(op, timeout) then yield(WAIT) end
  return core.take(op)
end

local function parked(...)
  if select("#", ...) > 0 then return ... end
  return core.expired()
end

--- Suspend the running fiber until it is woken.
---@param timeout number?  seconds
---@return true?, any ...  what was given to wake, or nil, err (TIMEOUT)
function M.park(timeout)
  core.park(timeout)
  return parked(yield(WAIT))
end

--- End the running process (the program in the main process). Does not return.
function M.exit(code)
  core.exit(code)
  yield(EXIT)
end

--- Mail from C to this process's half of the library: topic "@..." -> function(payload...).
local inlets = {}
function M.inlet(topic, fn)
  inlets[topic] = fn
end

-- One package after the other; topics of scripts have the inlet "*".
local function handle(left, topic, from, ...)
  if not topic then return false end
  local inlet = inlets[topic]
  if inlet then
    inlet(...)
  else
    inlet = inlets["*"]
    if inlet then inlet(topic, from, ...) end
  end
  if left == 1 then return true end
  return handle(left - 1, next_mail())
end

local BATCH = 256

--- Hand mail of the running process to its inlets; true when there may be more.
function M.drain()
  if pump() then return true end
  return handle(BATCH, next_mail())
end

local before_mail

--- Called before the scheduler hands over mail; it may tell that messages are to wait.
function M.before_mail(fn)
  before_mail = fn
end

--- What the scheduler calls.
function M.on_mail()
  before_mail()
  return M.drain()
end

return M
