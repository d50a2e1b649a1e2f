--- supervisor - keeps processes running: starts them in order, restarts those that fail, ends
-- them in reverse.
-- A supervisor is a process of its own (rt.supervisor); what is here checks the declaration, starts
-- that process, and asks it.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local copy = require("rt.copy")
local core = require("rt.core.process")
local errors = require("rt.errors")
local specs = require("rt.supervisor_spec")
local supervising = require("rt.supervisor")
local task = require("rt.task")

local M = {}

-- A supervisor that died cannot answer: how often to look, in seconds, while a call waits.
local LOOK = 0.25

local function fail(kind, message)
  return nil, errors.make(message, kind)
end

--- What is used where a declaration is silent: {backoff, start, shutdown, terminal}.
---@return table
function M.defaults()
  return copy(specs.defaults)
end

-- --- asking --------------------------------------------------------------------------------------

local function box()
  local state = task.state()
  local mine = state.supervisors
  if not mine then
    mine = { last = 0, waits = {} }
    state.supervisors = mine
  end
  return mine
end

local function new_wait()
  local mine = box()
  mine.last = mine.last + 1
  local wait = { ref = mine.last, fiber = task.fiber() }
  mine.waits[wait.ref] = wait
  return wait
end

task.inlet(supervising.REPLY, function(ref, value, err)
  local waits = box().waits
  local wait = waits[ref]
  if not wait then return end
  waits[ref] = nil
  wait.done, wait.value, wait.err = true, value, err
  task.wake(wait.fiber)
end)

-- Looks once more when it is dead: its last words may be on their way.
local function answer(wait, dest)
  local dead = false
  while not wait.done do
    local _, err = task.park(LOOK)
    if wait.done then break end
    if err and not errors.is(err, "TIMEOUT") then return nil, err end
    if dead then
      box().waits[wait.ref] = nil
      return fail("NOT_FOUND", "the supervisor has ended")
    end
    dead = not core.alive(dest)
  end
  if wait.err then return nil, errors.from_map(wait.err) end
  return wait.value
end

local function call(dest, op, arg)
  local wait = new_wait()
  local ok, err = core.note(dest, supervising.REQUEST, core.pid(), wait.ref, op, arg)
  if not ok then
    box().waits[wait.ref] = nil
    return nil, err
  end
  return answer(wait, dest)
end

-- --- the handle ----------------------------------------------------------------------------------

---@class rt.Supervisor
local methods = {}
local meta = { __index = methods, __metatable = false, __name = "supervisor" }

local function handle(dest)
  return setmetatable({ _dest = dest }, meta)
end

--- Its PID, or the name it was asked for by.
---@return string
function methods:pid()
  return self._dest
end

--- Its children in the order of their start: {id, pid, state, type, restart, restarts, reason,
--- delay}. States: starting, running, waiting (for its restart, `delay` seconds from now), stopped,
--- failed.
---@return table[]?, rt.Error?
function methods:which_children()
  return call(self._dest, "which")
end

---@return {children:integer, running:integer, workers:integer, supervisors:integer}?, rt.Error?
function methods:count()
  return call(self._dest, "count")
end

--- Add a child and start it.
---@return string? pid, rt.Error?  ALREADY_EXISTS, INVALID naming the field, or why it did not start
function methods:start_child(spec)
  check.table(spec, 1, "start_child")
  local made, err = specs.child(spec)
  if not made then return nil, err end
  return call(self._dest, "start", made)
end

--- End a child; it stays known (unless temporary) and can be restarted.
---@return true?, rt.Error?
function methods:terminate_child(id)
  check.string(id, 1, "terminate_child")
  return call(self._dest, "terminate", id)
end

--- Start a child that is stopped, failed or waiting now; end one that runs first.
---@return string? pid, rt.Error?
function methods:restart_child(id)
  check.string(id, 1, "restart_child")
  return call(self._dest, "restart", id)
end

--- Forget a child that does not run.
---@return true?, rt.Error?  CONFLICT when it runs or waits for its restart
function methods:delete_child(id)
  check.string(id, 1, "delete_child")
  return call(self._dest, "delete", id)
end

--- End all children in reverse, then the supervisor; true when that is done.
---@param reason string?
---@return true?, rt.Error?
function methods:stop(reason)
  check.optional_string(reason, 1, "stop")
  return call(self._dest, "stop", reason)
end

--- Wait until it has ended: true, or nil and why it gave up.
---@return true?, rt.Error?
function methods:wait()
  return call(self._dest, "wait")
end

-- --- the module ----------------------------------------------------------------------------------

--- Start a supervisor and its children, linked to this process unless `link` is false. Returns when
--- all have started; when one cannot, those before it are ended again.
---@param spec table
---@return rt.Supervisor?, rt.Error?  INVALID naming the field; why a child did not start
function M.start(spec)
  check.table(spec, 1, "start")
  check.optional_boolean(spec.link, "link", "start")
  local made, err = specs.supervisor(spec)
  if not made then return nil, err end
  local wait = new_wait()
  local pid
  if spec.link ~= false then core.listen() end
  pid, err = core.spawn("rt.supervisor", "supervisor", "library", false, spec.link ~= false,
    made, nil, core.pid(), wait.ref)
  if not pid then
    box().waits[wait.ref] = nil
    return nil, err
  end
  local ok
  ok, err = answer(wait, pid)
  if not ok then return nil, err end
  return handle(pid)
end

--- The supervisor with this PID or name.
---@return rt.Supervisor?, rt.Error?  NOT_FOUND
function M.at(dest)
  check.string(dest, 1, "at")
  if not core.alive(dest) then return fail("NOT_FOUND", "no such process") end
  return handle(dest)
end

--- PID of the supervisor that started this process, or nil.
function M.parent()
  return task.state().supervisor
end

--- Tell it that this process is ready (for children with `ready`).
---@return true?, rt.Error?  INVALID in a process without supervisor
function M.ready()
  local parent = M.parent()
  if not parent then return fail("INVALID", "this process has no supervisor") end
  local state = task.state()
  if state.said_ready then return true end
  state.said_ready = true
  return core.note(parent, supervising.REQUEST, core.pid(), 0, "ready")
end

return M
