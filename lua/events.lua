--- events - the bus: publish events, hear those whose names match a pattern.
-- A subscription's events wait in C, bounded, until its channel is read: the channel asks for a
-- batch when it runs empty (its `source`), and mail pokes it when it was found empty before.
--
--   bus --> feed (C, bounded) --take, on demand--> channel --> receive
--             \--mail "@events": something is there--^
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local check = require("rt.check")
local core = require("rt.core.events")
local duration = require("rt.duration")
local errors = require("rt.errors")
local log = require("log")
local monotonic = require("rt.core.time").monotonic
local task = require("rt.task")

local type, setmetatable = type, setmetatable
local send_core, take = core.send, core.take
local poke, push, count, library = channel.poke, channel.push, channel.count, channel.library
local is_waited_for = channel.waiting

local M = {}

local OVERFLOW = { drop_oldest = 0, drop_newest = 1, close = 2 }
local DEFAULT_BUFFER = 262144
local BATCH = 64

-- The channels of this VM's subscriptions by their number, as long as somebody can read them.
local open_ones = setmetatable({}, { __mode = "v" })

task.inlet("@events", function(number)
  local ch = open_ones[number]
  if ch then poke(ch) end
end)

-- Where take() puts the fields of events, four for each: false, or what differs from the event
-- before; the fourth, the data, always. One serves all subscriptions of a VM: whoever is in the
-- middle of using it has it taken away.
local spare

local function take_spare()
  local batch = spare
  if batch then
    spare = nil
    return batch
  end
  batch = {}
  for i = 1, BATCH * 4 do
    batch[i] = false
  end
  return batch
end

local function unpack_events(ch, batch, n)
  local system, kind, path
  for i = 1, n * 4, 4 do
    if batch[i] then
      system, kind = batch[i], batch[i + 1]
      batch[i], batch[i + 1] = false, false
    end
    if batch[i + 2] then
      path = batch[i + 2]
      batch[i + 2] = false
    end
    -- constants first: bytecode keeps the room for their keys only
    local event = { system = "", kind = "", path = "", data = false }
    event.system, event.kind, event.path, event.data = system, kind, path, batch[i + 3]
    batch[i + 3] = false
    push(ch, event)
  end
end

-- Until something is in the ring, who waited has it, or the feed is empty and will send mail: that
-- is what a receiver finds before it waits again.
local function pull(ch)
  local handle = library(ch)
  local batch = take_spare()
  repeat
    local n = take(handle, batch)
    if n > 0 then
      unpack_events(ch, batch, n)
    elseif n < 0 then
      channel.close(ch)
    end
  until n <= 0 or count(ch) > 0 or not is_waited_for(ch)
  spare = batch
end

-- Subscriptions -------------------------------------------------------------------------------

-- A small array, for there may be a million: its channel, whose `library` is the handle of the
-- feed, and whether it is open.
local CHANNEL, OPEN = 1, 2

---@class rt.Subscription
local subscription = {}
local subscription_meta = { __index = subscription, __metatable = false, __name = "subscription" }

--- The channel of its events, {system=, kind=, path=, data=}; the same one each time.
---@return rt.Channel
function subscription:channel()
  return self[CHANNEL]
end

--- Hear no more. What is buffered stays readable. Idempotent.
---@return true
function subscription:close()
  if self[OPEN] then
    self[OPEN] = false
    core.close(library(self[CHANNEL]))
    poke(self[CHANNEL])
  end
  return true
end

--- How many events were lost because the buffer was full.
---@return integer
function subscription:dropped()
  return core.dropped(library(self[CHANNEL]))
end

local function read_options(opts, fname)
  if opts == nil then return DEFAULT_BUFFER, 0 end
  check.optional_integer(opts.buffer, "buffer", fname)
  local size = opts.buffer or DEFAULT_BUFFER
  if size < 1 or size > 2 ^ 31 then
    check.fail("buffer", fname, "integer from 1 to 2^31 expected", 2)
  end
  local overflow = check.optional_one_of(opts.overflow, "overflow", fname, OVERFLOW)
  return size, OVERFLOW[overflow or "drop_oldest"]
end

local function make_subscription(handle, number)
  local ch = channel.new({ library = handle, source = pull })
  open_ones[number] = ch
  return setmetatable({ ch, true }, subscription_meta)
end

local function subscribe(system, kind, size, overflow)
  local op, err = core.subscribe(system, kind, size, overflow)
  if not op then return nil, err end
  local handle, number = task.await(op)
  if not handle then return nil, number end
  return make_subscription(handle, number)
end

--- Hear events whose system and kind match. Returns when the bus has confirmed: what anybody sends
--- afterwards is seen.
---@param system string  pattern
---@param kind string?  pattern; nil, "" or "**" means any
---@param opts { buffer: integer?, overflow: "drop_oldest"|"drop_newest"|"close"|nil }?
---@return rt.Subscription? sub, rt.Error? err
function M.subscribe(system, kind, opts)
  check.string(system, 1, "subscribe")
  check.optional_string(kind, 2, "subscribe")
  check.optional_table(opts, 3, "subscribe")
  local size, overflow = read_options(opts, "subscribe")
  return subscribe(system, kind, size, overflow)
end

-- Sending -------------------------------------------------------------------------------------

local function send_later(op, ...)
  local ok, err = task.await(op)
  if not ok then return nil, err end
  local sent, why = send_core(...)
  if sent == false then return send_later(why, ...) end
  return sent, why
end

--- Publish an event; true also when nobody listens. Waits only while the bus is full.
---@param data any  plain values; nil for none
---@return true? ok, rt.Error? err
function M.send(system, kind, path, data)
  if type(system) ~= "string" then check.string(system, 1, "send") end
  if type(kind) ~= "string" then check.string(kind, 2, "send") end
  if type(path) ~= "string" then check.string(path, 3, "send") end
  local sent, why = send_core(system, kind, path, data)
  if sent == false then return send_later(why, system, kind, path, data) end
  return sent, why
end

--- Counters of the bus: subscribers, published, delivered, dropped, queued, and `rejected`, a table
--- of refused calls by reason: cap, full, closed, invalid, memory.
---@return table
function M.stats()
  return core.stats()
end

-- Subscribers ---------------------------------------------------------------------------------

---@class rt.Subscriber
local subscriber = {}
local subscriber_meta = { __index = subscriber, __metatable = false, __name = "subscriber" }

local function handle(self, event)
  self.running = true
  local ok, err = pcall(self.handler, event)
  self.running = false
  if not ok then
    local why = errors.of(err)
    log.error("event handler failed", {
      error = why:message(),
      system = event.system,
      kind = event.kind,
      path = event.path,
    })
  end
  local waiting = self.waiting
  self.waiting = nil
  for i = 1, waiting and #waiting or 0 do
    task.wake(waiting[i])
  end
end

local function serve(self)
  self.fiber = task.fiber()
  for event in self.sub:channel():values() do
    if self.closed then break end
    handle(self, event)
  end
end

--- Hear no more; waits for a running handler, unless called from inside it. Idempotent.
---@return true
function subscriber:close()
  self.closed = true
  self.sub:close()
  while self.running and task.fiber() ~= self.fiber do
    self.waiting = self.waiting or {}
    self.waiting[#self.waiting + 1] = task.fiber()
    local _, err = task.park()
    if err then return nil, err end
  end
  return true
end

--- How many events were lost because the buffer was full.
---@return integer
function subscriber:dropped()
  return self.sub:dropped()
end

local function attach(system, kind, handler, size, overflow)
  local sub, err = subscribe(system, kind, size, overflow)
  if not sub then return nil, err end
  local self = setmetatable({ sub = sub, handler = handler, running = false }, subscriber_meta)
  task.spawn(serve, self)
  return self
end

--- Call `handler(event)` for each event, one after the other. One that fails is logged.
---@return rt.Subscriber? subscriber, rt.Error? err
function M.on(system, kind, handler, opts)
  check.string(system, 1, "on")
  check.optional_string(kind, 2, "on")
  check.func(handler, 3, "on")
  check.optional_table(opts, 4, "on")
  local size, overflow = read_options(opts, "on")
  return attach(system, kind, handler, size, overflow)
end

-- Routers -------------------------------------------------------------------------------------

---@class rt.EventRouter
local router = {}
local router_meta = { __index = router, __metatable = false, __name = "event router" }

local function check_route(route, n, fname)
  check.table(route, n, fname)
  check.string(route.system, "system", fname)
  check.optional_string(route.kind, "kind", fname)
  check.func(route.handle, "handle", fname)
end

--- One handler more: {system=, kind=, handle=}.
---@return true? ok, rt.Error? err  CANCELED after stop()
function router:add(route)
  check_route(route, 1, "add")
  if self.stopped then return nil, errors.make("event router: stopped", "CANCELED") end
  local one, err = attach(route.system, route.kind, route.handle, DEFAULT_BUFFER, 0)
  if not one then return nil, err end
  if self.stopped then -- while it waited for the bus
    one:close()
    return nil, errors.make("event router: stopped", "CANCELED")
  end
  self.subscribers[#self.subscribers + 1] = one
  return true
end

--- Close all handlers; waits for running ones. Idempotent.
---@return true
function router:stop()
  self.stopped = true
  for _, one in ipairs(self.subscribers) do
    one.closed = true
    one.sub:close()
  end
  for _, one in ipairs(self.subscribers) do
    one:close()
  end
  return true
end

--- Several handlers that are stopped together.
---@param routes table[]  {system=, kind=, handle=} each
---@return rt.EventRouter? router, rt.Error? err
function M.router(routes)
  check.optional_table(routes, 1, "router")
  local self = setmetatable({ subscribers = {}, stopped = false }, router_meta)
  for _, route in ipairs(routes or {}) do
    check_route(route, 1, "router")
  end
  for _, route in ipairs(routes or {}) do
    local ok, err = self:add(route)
    if not ok then
      self:stop()
      return nil, err
    end
  end
  return self
end

-- Awaiters ------------------------------------------------------------------------------------

---@class rt.Waiter
local waiter = {}
local waiter_meta = { __index = waiter, __metatable = false, __name = "waiter" }

---@class rt.Awaiter
local awaiter = {}
local awaiter_meta = { __index = awaiter, __metatable = false, __name = "awaiter" }

local function is_accept(kind)
  return kind == "accept" or kind:sub(-7) == ".accept" or kind:sub(-9) == ".accepted"
end

local function settle(one, result, err)
  if one.result or one.err then return end
  one.result, one.err = result, err
  for _, fiber in ipairs(one.fibers) do
    task.wake(fiber)
  end
end

local function answer(self, event)
  local list = self.paths[event.path]
  if not list then return end
  self.paths[event.path] = nil -- each keeps the first event of its path
  local accepted = is_accept(event.kind)
  local result = { event = event, accepted = accepted }
  if not accepted then result.error = event.data end
  for _, one in ipairs(list) do
    settle(one, result)
  end
end

local function serve_awaiter(self)
  for event in self.sub:channel():values() do
    answer(self, event)
  end
end

--- Begin to wait for an event of `path`, before what triggers it.
---@param opts { timeout: number|string|nil }?  30 s by default, from now
---@return rt.Waiter? waiter, rt.Error? err
function awaiter:prepare(path, opts)
  check.string(path, 1, "prepare")
  check.optional_table(opts, 2, "prepare")
  local timeout = duration.optional(opts and opts.timeout, "timeout", "prepare") or 30
  if path == "" then return nil, errors.make("awaiter: path is required", "INVALID") end
  if self.closed then return nil, errors.make("awaiter: closed", "CANCELED") end
  local one = setmetatable({
    awaiter = self,
    path = path,
    due = monotonic() + timeout,
    fibers = {},
  }, waiter_meta)
  local list = self.paths[path] or {}
  list[#list + 1] = one
  self.paths[path] = list
  return one
end

--- Hear no more; those who wait get CANCELED. Idempotent.
---@return true
function awaiter:close()
  self.closed = true
  self.sub:close()
  local paths = self.paths
  self.paths = {}
  for _, list in pairs(paths) do
    for _, one in ipairs(list) do
      settle(one, nil, errors.make("awaiter: closed", "CANCELED"))
    end
  end
  return true
end

-- Its awaiter need not look for it any more.
local function delist(self)
  local paths = self.awaiter.paths
  local list = paths[self.path]
  for i = list and #list or 0, 1, -1 do
    if list[i] == self then table.remove(list, i) end
  end
  if list and #list == 0 then paths[self.path] = nil end
end

local function time_out(self)
  delist(self)
  settle(
    self,
    nil,
    errors.make("timed out waiting for an event at " .. self.path, "TIMEOUT", true)
  )
end

--- Wait for the event.
---@return { event: table, accepted: boolean, error: any }? result, rt.Error? err
function waiter:wait()
  while not self.result and not self.err do
    local left = self.due - monotonic()
    if left <= 0 then
      time_out(self)
      break
    end
    self.fibers[#self.fibers + 1] = task.fiber()
    local _, err = task.park(left)
    if err and not errors.is(err, "TIMEOUT") then return nil, err end
  end
  return self.result, self.err
end

--- Wait no more. Idempotent.
---@return true
function waiter:close()
  delist(self)
  settle(self, nil, errors.make("waiter: closed", "CANCELED"))
  return true
end

--- Wait for single events by their path.
---@return rt.Awaiter? awaiter, rt.Error? err
function M.awaiter(system, kind)
  check.string(system, 1, "awaiter")
  check.optional_string(kind, 2, "awaiter")
  local sub, err = subscribe(system, kind, DEFAULT_BUFFER, 0)
  if not sub then return nil, err end
  local self = setmetatable({ sub = sub, paths = {} }, awaiter_meta)
  task.spawn(serve_awaiter, self)
  return self
end

return M
