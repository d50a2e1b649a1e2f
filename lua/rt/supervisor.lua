--- rt.supervisor - the process of a supervisor: starts its children in order, sees them end,
-- starts them again with growing delays, and ends them in reverse.
-- One fiber does all of it, so that no two changes of the tree overlap: requests of other
-- processes (mail "@supervisor") wait for their turn. It runs no code of scripts: what it waits for
-- is bounded by the grace and start times of the children.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel")
local children = require("rt.supervisor_children")
local core = require("rt.core.process")
local errors = require("rt.errors")
local events = require("events")
local log = require("log")
local process = require("process")
local task = require("rt.task")
local time = require("time")

local internal = channel.internal
local monotonic, random = time.monotonic, math.random
local words, tell, reason_of = children.words, children.tell, children.reason_of
local add, remove, index_of = children.add, children.remove, children.index_of
local start_child, stop_child = children.start_child, children.stop_child
local stop_all, pump = children.stop_all, children.pump

local M = {}

local REQUESTS_MAX = 1000

--- Topics of the library's mail.
M.REQUEST, M.REPLY = "@supervisor", "@supervisor.reply"

local function reply(request, value, err)
  core.note(request.from, M.REPLY, request.ref, value, err and errors.to_map(err) or nil)
end

local function refuse(request, message, kind)
  reply(request, nil, errors.make(message, kind))
end

-- --- starting again ------------------------------------------------------------------------------

local function give_up(self, child, err, why)
  self.failure = errors.make(("supervisor '%s' gave up: child '%s' %s; at last: %s"):format(
    self.name, child.spec.id, why, words(err)), "UNAVAILABLE", true)
  self.stopping = "its supervisor gave up"
  events.send("supervisor", "supervisor.gave_up", self.name,
    { child = child.spec.id, reason = reason_of(self.failure) })
end

-- Too many restarts of any children within the period?
local function too_intense(self)
  local intensity = self.spec.intensity
  if not intensity then return false end
  local now, recent = monotonic(), {}
  for _, at in ipairs(self.recent) do
    if now - at < intensity.period then recent[#recent + 1] = at end
  end
  recent[#recent + 1] = now
  self.recent = recent
  return #recent > intensity.restarts
end

-- initial * factor^(tries - 1), at most max, more or less by the jitter.
local function delay_of(child)
  local backoff = child.spec.backoff
  local delay = math.min(backoff.initial * backoff.factor ^ (child.tries - 1), backoff.max)
  return delay * (1 + backoff.jitter * (2 * random() - 1))
end

-- The first child of those that share the fate of this one, and the last.
local function fellows(self, child)
  local at = index_of(self, child)
  local strategy = self.spec.strategy
  if strategy == "one_for_one" then return at, at end
  return strategy == "one_for_all" and 1 or at, #self.children
end

local function put_off(self, child, delay)
  local first, last = fellows(self, child)
  for i = last, first, -1 do
    local other = self.children[i]
    if other ~= child and other.wanted then
      stop_child(self, other, ("child '%s' failed"):format(child.spec.id))
      if other.spec.restart == "temporary" then remove(self, other) end
    end
  end
  first, last = fellows(self, child)
  local due = monotonic() + delay
  for i = first, last do
    local other = self.children[i]
    if other.wanted then other.due, other.state = due, "waiting" end
  end
end

local function start_again(self, child, err, ran)
  local backoff = child.spec.backoff
  if ran >= backoff.stable then child.tries = 0 end
  child.tries, child.reason = child.tries + 1, words(err)
  if backoff.attempts > 0 and child.tries > backoff.attempts then
    return give_up(self, child, err, ("failed after %d restarts"):format(backoff.attempts))
  end
  if too_intense(self) then return give_up(self, child, err, "was one restart too many") end
  child.restarts = child.restarts + 1
  local delay = delay_of(child)
  tell(self, child, "child.restarting",
    { reason = reason_of(err), delay = delay, attempt = child.tries })
  log.warn(("supervisor '%s': child '%s' ended (%s); restart %d in %.3g s"):format(
    self.name, child.spec.id, words(err), child.tries, delay))
  put_off(self, child, delay)
end

-- --- ends ----------------------------------------------------------------------------------------

-- It stays ended: nobody wants another try, or another would fail alike.
local function settle(self, child, state, err)
  child.wanted, child.state, child.reason = false, state, err and words(err) or nil
  if state == "failed" then
    log.error(("supervisor '%s': child '%s' failed and is not started again: %s"):format(
      self.name, child.spec.id, words(err)))
  end
  tell(self, child, state == "failed" and "child.failed" or "child.stopped",
    { reason = reason_of(err), terminal = state == "failed" or nil })
  if child.spec.restart == "temporary" then remove(self, child) end
end

local function is_terminal(self, err)
  return err ~= nil and not err:retryable() and self.spec.terminal[err:kind()] == true
end

local function after_end(self, child)
  local exit, restart = child.exit, child.spec.restart
  local err = exit.result.error
  if child.explicit then return settle(self, child, "stopped") end
  if err and err:kind() == "CANCELED" and is_terminal(self, err) then
    return settle(self, child, "stopped", err)
  end
  if restart == "temporary" then return settle(self, child, err and "failed" or "stopped", err) end
  if not err and restart == "transient" then return settle(self, child, "stopped") end
  if is_terminal(self, err) then return settle(self, child, "failed", err) end
  if err then tell(self, child, "child.failed", { reason = reason_of(err) }) end
  start_again(self, child, err, child.ended - child.since)
end

local function next_due(self)
  local due
  for _, child in ipairs(self.children) do
    if child.due and (not due or child.due < due) then due = child.due end
  end
  return due
end

local function start_due(self)
  for _, child in ipairs(self.children) do
    if child.due and child.due <= monotonic() and not self.stopping then
      local pid, err = start_child(self, child)
      if not pid and not self.stopping then
        tell(self, child, "child.failed", { reason = reason_of(err) })
        return start_again(self, child, err, 0)
      end
    end
  end
end

-- --- requests ------------------------------------------------------------------------------------

local requests = {}

local function find(self, request)
  local child = self.by_id[request.arg]
  if not child then
    refuse(request, ("no child '%s'"):format(tostring(request.arg)), "NOT_FOUND")
  end
  return child
end

local function row(child)
  local due = child.due
  return {
    id = child.spec.id,
    pid = child.pid,
    state = child.state,
    type = child.spec.nested and "supervisor" or "worker",
    restart = child.spec.restart,
    restarts = child.restarts,
    reason = child.reason,
    delay = due and math.max(due - monotonic(), 0) or nil,
  }
end

function requests.which(self, request)
  local rows = {}
  for i, child in ipairs(self.children) do
    rows[i] = row(child)
  end
  reply(request, rows)
end

function requests.count(self, request)
  local counts = { children = #self.children, running = 0, workers = 0, supervisors = 0 }
  for _, child in ipairs(self.children) do
    local kind = child.spec.nested and "supervisors" or "workers"
    counts[kind] = counts[kind] + 1
    if child.pid then counts.running = counts.running + 1 end
  end
  reply(request, counts)
end

function requests.start(self, request)
  local spec = request.arg
  if self.by_id[spec.id] then
    return refuse(request, ("there is a child '%s'"):format(spec.id), "ALREADY_EXISTS")
  end
  local child = add(self, spec)
  local pid, err = start_child(self, child)
  if not pid then remove(self, child) end
  reply(request, pid, err)
end

-- Takes back a restart that is to come, of the fellows too.
local function hold(self, child, reason)
  stop_child(self, child, reason)
  child.wanted, child.due, child.state = false, nil, "stopped"
end

function requests.terminate(self, request)
  local child = find(self, request)
  if not child then return end
  hold(self, child, "terminated by its supervisor")
  if child.spec.restart == "temporary" then remove(self, child) end
  reply(request, true)
end

function requests.restart(self, request)
  local child = find(self, request)
  if not child then return end
  hold(self, child, "restarted by its supervisor")
  child.tries = 0
  local pid, err = start_child(self, child)
  if not pid then child.wanted, child.state, child.reason = false, "failed", words(err) end
  reply(request, pid, err)
end

function requests.delete(self, request)
  local child = find(self, request)
  if not child then return end
  if child.wanted then
    local message = "child '%s' is to run: terminate it first"
    return refuse(request, message:format(child.spec.id), "CONFLICT")
  end
  remove(self, child)
  reply(request, true)
end

function requests.stop(self, request)
  self.stopping = request.arg or "stopped"
  self.stopper = request
end

function requests.wait(self, request)
  self.waiters[#self.waiters + 1] = request
end

-- --- the process ---------------------------------------------------------------------------------

local function ignore() end

-- What has ended is dealt with before what is asked.
local function serve(self)
  while not self.stopping do
    local ended = table.remove(self.stash, 1)
    if ended then
      after_end(self, ended)
    else
      start_due(self)
      local due = next_due(self)
      local idle = #self.stash == 0 and not self.stopping
      local request = idle and pump(self, self.all, due and math.max(due - monotonic(), 0))
      if request then (requests[request.op] or ignore)(self, request) end
    end
  end
end

local function start_all(self)
  for _, spec in ipairs(self.spec.children) do
    local child = add(self, spec)
    local pid, err = start_child(self, child)
    if not pid then
      local message = ("child '%s': %s"):format(spec.id, words(err))
      return nil, errors.make(message, err:kind(), err:retryable())
    end
    if self.stopping then return nil, errors.make("canceled while it started", "CANCELED") end
  end
  return true
end

local function close(self, reason)
  stop_all(self, reason)
  task.state().supervising = nil
  while internal.count(self.requests) > 0 do
    local request = self.requests:receive(0)
    if request then refuse(request, "the supervisor has ended", "CANCELED") end
  end
  internal.close(self.requests)
  for _, request in ipairs(self.waiters) do
    reply(request, not self.failure or nil, self.failure)
  end
end

local function new(spec, name)
  local self = {
    spec = spec,
    name = name,
    defaults = spec.defaults,
    children = {},
    by_id = {},
    by_pid = {},
    linked = {}, -- PIDs whose LINK_DOWN is that of a child
    waiters = {},
    stash = {},
    recent = {},
    requests = internal.new({ library = true }),
    notes = internal.new({ library = true }),
    events = process.events(),
  }
  self.exits = { self.events:case_receive(), self.notes:case_receive() }
  self.all = { self.events:case_receive(), self.notes:case_receive(), self.requests:case_receive() }
  return self
end

local function open(self)
  process.set_options({ trap_links = true })
  if self.spec.name then
    local ok, err = process.registry.register(self.spec.name)
    if not ok then
      return nil, errors.make(("name '%s': %s"):format(self.spec.name, err:message()), err:kind())
    end
  end
  return start_all(self)
end

--- What a supervisor's process runs. `parent` waits to be told that all have started: a supervisor,
-- or (with `ref`) the process that asked for this one.
function M.run(spec, name, parent, ref)
  local self = new(spec, spec.name or name or process.pid())
  task.state().supervising = self
  local ok, err = open(self)
  local asked = ref and { from = parent, ref = ref }
  if not ok then
    close(self, "its supervisor could not start")
    if asked then return reply(asked, nil, err) end
    error(err, 0)
  end
  if asked then
    reply(asked, true)
  else
    core.note(parent, M.REQUEST, process.pid(), 0, "ready")
  end
  serve(self)
  close(self, self.stopping)
  if self.stopper then reply(self.stopper, true) end
  if self.failure then error(self.failure, 0) end
end

-- --- mail ----------------------------------------------------------------------------------------

-- What children say of themselves; before their EXIT, so it is noted at once.
local told = {
  ready = function(self, child)
    if not child.ready then internal.push(self.notes, true) end
    child.ready = true
  end,
  exit = function(_, child, code)
    child.explicit = code
  end,
}

task.inlet(M.REQUEST, function(from, ref, op, arg)
  local self = task.state().supervising
  local saying = told[op]
  if saying then
    local child = self and self.by_pid[from]
    if child then saying(self, child, arg) end
    return
  end
  local request = { from = from, ref = ref, op = op, arg = arg }
  if not self then return refuse(request, "it is no supervisor", "INVALID") end
  if internal.count(self.requests) >= REQUESTS_MAX then
    return refuse(request, "too many requests wait", "UNAVAILABLE")
  end
  internal.push(self.requests, request)
end)

return M
