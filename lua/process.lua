--- process - isolated processes that exchange copied messages.
-- Mail waits in C until the process asks for it (inbox, events or listen, the first time). From
-- then on the scheduler calls the inlets below, which hand each message to the channel of its
-- topic, or to the inbox. A receiver that finds its channel empty looks for mail itself first.
-- SPDX-License-Identifier: MIT
local channel = require("rt.channel").internal
local check = require("rt.check")
local core = require("rt.core.process")
local errors = require("rt.errors")
local recipe = require("rt.recipe")
local task = require("rt.task")

local drain = task.drain
local select, type, setmetatable, unpack = select, type, setmetatable, unpack

local M = {}

M.event = { EXIT = "EXIT", LINK_DOWN = "LINK_DOWN", CANCEL = "CANCEL" }

local function fail(kind, message)
  return nil, errors.make(message, kind)
end

-- --- messages ------------------------------------------------------------------------------------

-- A message is an array, which bind/mail.c makes as well.
local TOPIC, FROM, COUNT, FIRST = 1, 2, 3, 4

---@class rt.Message
local message_methods = {}
local message_meta = { __index = message_methods, __metatable = false, __name = "message" }
core.message_meta(message_meta)

---@return string?  PID of the sender; nil when it came from the host program
function message_methods:from()
  return self[FROM] or nil
end

---@return string
function message_methods:topic()
  return self[TOPIC]
end

---@return any ...  all payloads
function message_methods:payload()
  local count = self[COUNT]
  if count == 1 then return self[FIRST] end
  return unpack(self, FIRST, FIRST + count - 1)
end

local function new_message(topic, from, ...)
  return setmetatable({ topic, from or false, select("#", ...), ... }, message_meta)
end

-- --- mail ----------------------------------------------------------------------------------------

-- What a process keeps here, in slots of its state (bind/mail_channel.h knows the first), besides
-- core.inbox(): one that has only an inbox needs no state.
local LISTENERS = 1 -- topic -> channel
local EVENTS = 2 -- channel
local EXECS = 3 -- PID -> who waits for its result

local state, peek = task.state, task.peek

local function table_in(mine, slot)
  local t = mine[slot]
  if not t then
    t = {}
    mine[slot] = t
  end
  return t
end

-- A receiver that finds its channel empty looks for mail first.
local function pull(ch)
  core.listen(nil, ch)
  while channel.count(ch) == 0 and drain() do -- luacheck: ignore
  end
end

local function drain_all()
  while drain() do -- luacheck: ignore
  end
end

local function new_channel(messages)
  return channel.mail(messages and channel.MESSAGES or channel.MAIL, pull)
end

local function inbox_of()
  return core.inbox() or core.inbox(new_channel(true))
end

local function on_message(topic, from, ...)
  local mine = peek()
  local ch = mine and mine[LISTENERS] and mine[LISTENERS][topic] or inbox_of()
  if channel.messages(ch) then
    channel.push(ch, new_message(topic, from, ...))
  else
    channel.push(ch, (...))
  end
end

local UNREAD_MAX = 1000

local function error_of(map)
  if type(map) == "table" then return errors.from_map(map) end
  return map
end

local function finish_exec(mine, pid, value, err)
  local wait = mine[EXECS][pid]
  mine[EXECS][pid] = nil
  wait.done, wait.value, wait.err = true, value, err
  task.wake(wait.fiber)
end

local function on_event(kind, from, value, err)
  local mine = state()
  err = error_of(err)
  if kind == "EXIT" and mine[EXECS] and mine[EXECS][from] then
    return finish_exec(mine, from, value, err)
  end
  local event = { kind = kind, from = from }
  if kind == "EXIT" then
    event.result = { value = value, error = err }
  elseif kind == "LINK_DOWN" then
    event.reason = err
  else
    event.reason = value
  end
  if not mine[EVENTS] then mine[EVENTS] = channel.new({ library = true, source = pull }) end
  -- whoever was asked that often needs no more of it
  if kind == "CANCEL" and channel.count(mine[EVENTS]) >= UNREAD_MAX then return end
  channel.push(mine[EVENTS], event)
end

-- Messages that nobody reads stay in C: they are counted there, their senders refused in the end.
local function hold_back()
  local mine, count = peek(), 0
  if mine and mine[LISTENERS] then
    for _, ch in pairs(mine[LISTENERS]) do
      if channel.waiting(ch) then return end
      count = count + channel.count(ch)
    end
  end
  local inbox = core.inbox()
  if inbox then
    if channel.waiting(inbox) then return end
    count = count + channel.count(inbox)
  end
  if count >= UNREAD_MAX then core.pause() end
end

task.before_mail(hold_back)
task.inlet("*", on_message)
task.inlet("@event", on_event)

-- --- receiving -----------------------------------------------------------------------------------

--- The channel of messages for which there is no listener.
---@return rt.Channel
function M.inbox()
  core.listen()
  local ch = inbox_of()
  drain_all()
  return ch
end

--- The channel of events about other processes, and CANCEL.
---@return rt.Channel
function M.events()
  core.listen(true)
  local mine = state()
  if not mine[EVENTS] then mine[EVENTS] = channel.new({ library = true, source = pull }) end
  drain_all()
  return mine[EVENTS]
end

--- The channel of one topic: first payloads, or message objects.
---@param topic string
---@param options {message: boolean?}?
---@return rt.Channel?, rt.Error?
function M.listen(topic, options)
  check.string(topic, 1, "listen")
  check.optional_table(options, 2, "listen")
  if topic == "" then return fail("INVALID", "the topic is empty") end
  if topic:byte(1) == 64 then return fail("INVALID", "topics that begin with '@' are reserved") end
  local listeners = table_in(state(), LISTENERS)
  if listeners[topic] then
    return fail("ALREADY_EXISTS", "the topic '" .. topic .. "' has a listener")
  end
  core.listen()
  drain_all() -- what has arrived before belongs to the inbox
  local ch = new_channel(options ~= nil and options.message == true)
  listeners[topic] = ch
  return ch
end

--- Stop listening; the channel is closed, what it holds stays readable.
---@param ch rt.Channel
function M.unlisten(ch)
  local listeners = table_in(state(), LISTENERS)
  for topic, listener in pairs(listeners) do
    if listener == ch then
      core.listen()
      drain_all()
      core.listen(nil, ch, true)
      listeners[topic] = nil
      core.unlisten()
      channel.close(ch)
      return true
    end
  end
  return fail("NOT_FOUND", "no listener has this channel")
end

-- --- sending -------------------------------------------------------------------------------------

--- Send a message to a PID or a registered name.
---@type fun(dest: string, topic: string, ...: any): true?, rt.Error?
M.send = core.send

---@return string
M.pid = core.pid

-- --- spawning ------------------------------------------------------------------------------------

local function spawn(fname, monitored, linked, what, ...)
  if type(what) ~= "function" and type(what) ~= "string" then
    check.fail(1, fname, "string or function expected, got " .. type(what))
  end
  local text, name, kind = recipe.of(what)
  if not text then return nil, name end
  if monitored or linked then core.listen() end
  return core.spawn(text, name, kind, monitored, linked, ...)
end

--- Start a process. `what` is a path (with "/" or ".lua"), a module name, or a function without
-- upvalues; the other arguments are copied to it.
---@return string? pid, rt.Error?
function M.spawn(what, ...)
  return spawn("spawn", false, false, what, ...)
end

function M.spawn_monitored(what, ...)
  return spawn("spawn_monitored", true, false, what, ...)
end

function M.spawn_linked(what, ...)
  return spawn("spawn_linked", false, true, what, ...)
end

function M.spawn_linked_monitored(what, ...)
  return spawn("spawn_linked_monitored", true, true, what, ...)
end

--- Start a process and wait for its result.
---@return any, rt.Error?
function M.exec(what, ...)
  local pid, err = spawn("exec", true, false, what, ...)
  if not pid then return nil, err end
  local wait = { fiber = task.fiber() }
  table_in(state(), EXECS)[pid] = wait
  while not wait.done do
    task.park()
  end
  if wait.err then return nil, wait.err end
  return wait.value
end

-- --- watching ------------------------------------------------------------------------------------

--- Be told by an EXIT event when it ends.
function M.monitor(dest)
  check.string(dest, 1, "monitor")
  core.listen()
  return core.monitor(dest)
end

function M.unmonitor(dest)
  check.string(dest, 1, "unmonitor")
  return core.unmonitor(dest)
end

--- Share its fate: see set_options.
function M.link(dest)
  check.string(dest, 1, "link")
  core.listen()
  return core.link(dest)
end

function M.unlink(dest)
  check.string(dest, 1, "unlink")
  return core.unlink(dest)
end

--- Ask it to end: it gets a CANCEL event.
function M.cancel(dest, reason)
  check.string(dest, 1, "cancel")
  check.optional_string(reason, 2, "cancel")
  return core.cancel(dest, reason)
end

--- End it, also in the middle of a loop.
function M.terminate(dest)
  check.string(dest, 1, "terminate")
  return core.terminate(dest)
end

--- trap_links: the end of a linked process comes as a LINK_DOWN event instead of ending this one.
function M.set_options(options)
  check.table(options, 1, "set_options")
  check.optional_boolean(options.trap_links, "trap_links", "set_options")
  if options.trap_links ~= nil then
    core.listen()
    core.trap(options.trap_links)
  end
  return true
end

function M.get_options()
  return { trap_links = core.trap() }
end

--- All processes, oldest first: {pid, name, state, mailbox, memory, age}.
function M.list()
  return task.await(core.list())
end

-- --- names ---------------------------------------------------------------------------------------

M.registry = {}

function M.registry.register(name, pid)
  check.string(name, 1, "register")
  check.optional_string(pid, 2, "register")
  return core.register(name, pid)
end

function M.registry.lookup(name)
  check.string(name, 1, "lookup")
  return core.lookup(name)
end

function M.registry.unregister(name)
  check.string(name, 1, "unregister")
  return core.unregister(name)
end

return M
