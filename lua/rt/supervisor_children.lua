--- rt.supervisor_children - a supervisor's hold on its children: waiting, starting, ending.
-- `self` is the supervisor as rt.supervisor makes it. Whatever waits here takes events meanwhile:
--   events (EXIT, CANCEL, LINK_DOWN) --pump--> what is noted at once: pid gone, reason to stop
--                                    --stash-> ends, which rt.supervisor deals with one by one
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel")
local core = require("rt.core.process")
local errors = require("rt.errors")
local events = require("events")
local process = require("process")
local source = require("rt.source")
local specs = require("rt.supervisor_spec")
local time = require("time")

local monotonic = time.monotonic

local M = {}

-- --- what is told --------------------------------------------------------------------------------

function M.words(err)
  return err and err:message() or "it returned"
end

-- On the bus: system "supervisor", kind "child.*", path SUPERVISOR/CHILD.
function M.tell(self, child, kind, data)
  data = data or {}
  data.pid, data.supervisor = child.pid, self.name
  events.send("supervisor", kind, self.name .. "/" .. child.spec.id, data)
end

function M.reason_of(err)
  return err and { kind = err:kind(), message = err:message() } or nil
end

-- --- waiting -------------------------------------------------------------------------------------

local function on_exit(self, event)
  local child = self.by_pid[event.from]
  if not child then return end
  self.by_pid[event.from] = nil
  child.pid, child.ended, child.exit = nil, monotonic(), event
  self.stash[#self.stash + 1] = child
end

local function on_event(self, event)
  if event.kind == "EXIT" then return on_exit(self, event) end
  if event.kind == "CANCEL" then
    self.stopping = event.reason or "canceled"
  elseif self.linked[event.from] then
    self.linked[event.from] = nil
  elseif event.reason then -- who started us has failed
    self.stopping = "its owner failed: " .. event.reason:message()
  end
end

-- Takes one event, or waits for one; answers a request when `cases` take requests.
function M.pump(self, cases, timeout)
  cases.timeout = timeout
  local got = channel.select(cases)
  if not got or got.timeout then return nil end
  if got.channel == self.requests then return got.value end
  if got.channel == self.events then on_event(self, got.value) end
  return nil
end

-- --- ending --------------------------------------------------------------------------------------

local function forget_exit(self, child)
  for i = #self.stash, 1, -1 do
    if self.stash[i] == child then table.remove(self.stash, i) end
  end
end

-- Asks, waits for the grace time, ends. A child that reads no events is ended at once.
function M.stop_child(self, child, reason)
  if child.pid then
    local grace = child.spec.shutdown
    if not grace or grace > 0 then
      core.cancel(child.pid, reason, true)
      local due = grace and monotonic() + grace
      while child.pid and (not due or monotonic() < due) do
        M.pump(self, self.exits, due and math.max(due - monotonic(), 0))
      end
    end
    if child.pid then core.terminate(child.pid) end
    while child.pid do
      M.pump(self, self.exits)
    end
    M.tell(self, child, "child.stopped", { reason = { kind = "CANCELED", message = reason } })
  end
  forget_exit(self, child)
end

function M.index_of(self, child)
  for i, other in ipairs(self.children) do
    if other == child then return i end
  end
  return nil
end

function M.remove(self, child)
  table.remove(self.children, M.index_of(self, child))
  self.by_id[child.spec.id] = nil
end

function M.stop_all(self, reason)
  for i = #self.children, 1, -1 do
    M.stop_child(self, self.children[i], reason)
  end
end

-- --- starting ------------------------------------------------------------------------------------

local function launch(self, child)
  local spec = child.spec
  if spec.nested then
    return core.spawn("rt.supervisor", "supervisor", "library", true, true,
      spec.nested, self.name .. "/" .. spec.id, process.pid())
  end
  local text = spec.text
  if not text then
    local why
    text, why = source.read(spec.name:sub(2))
    if not text then return nil, errors.make(why, "NOT_FOUND") end
  end
  return core.spawn(text, spec.name, spec.kind, true, true, process.pid(), unpack(spec.args))
end

-- Until it says that it is ready, fails, or takes too long.
local function await_ready(self, child)
  local limit = child.spec.ready
  local due = limit and monotonic() + limit
  while child.pid and not child.ready and not self.stopping do
    local left = due and due - monotonic()
    if left and left <= 0 then break end
    M.pump(self, self.exits, left)
  end
  if child.ready and child.pid then return true end
  local err = child.exit and child.exit.result.error
  if child.pid and self.stopping then
    M.stop_child(self, child, self.stopping)
    return nil, errors.make("canceled while it started", "CANCELED")
  end
  if child.pid then
    err = errors.make(("not ready within %g s"):format(limit or 0), "TIMEOUT", true)
    core.terminate(child.pid)
    while child.pid do
      M.pump(self, self.exits)
    end
  end
  forget_exit(self, child)
  return nil, err or errors.make("it ended before it was ready", "UNAVAILABLE", true)
end

function M.start_child(self, child)
  child.wanted, child.due, child.exit, child.explicit = true, nil, nil, nil
  child.ready = false
  local pid, err = launch(self, child)
  if not pid then return nil, err end
  child.pid, child.since, child.state = pid, monotonic(), "starting"
  self.by_pid[pid] = child
  self.linked[pid] = true
  if child.spec.ready or child.spec.nested then
    local ok
    ok, err = await_ready(self, child)
    if not ok then return nil, err end
  end
  child.state, child.reason = "running", nil
  M.tell(self, child, "child.started", { restarts = child.restarts })
  return pid
end

function M.add(self, spec)
  specs.adopt(spec, self.defaults)
  local child = { spec = spec, state = "stopped", restarts = 0, tries = 0 }
  self.children[#self.children + 1] = child
  self.by_id[spec.id] = child
  return child
end

return M
