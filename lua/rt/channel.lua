--- rt.channel - channels between the fibers of one process, and select.
-- Values wait in a ring that grows up to the capacity; who finds nothing to take, or no room,
-- parks in a list of the channel. A hand-over between fibers never goes through the ring.
--
--   send --> [receiver parked?] --yes--> straight to it
--                |no
--            [room?] --yes--> ring --> receive
--                |no
--            parked sender --(room again)--> ring
--
-- The module `channel` is the public face. The library feeds channels of its own (inboxes,
-- subscriptions, timers) through M.internal, none of which waits or raises:
--
--   new{capacity=, library=true, source=}  a channel. No capacity: unbounded. `library`: scripts
--                      may not send into it. `source(ch)` is asked to push more when a
--                      receiver finds the ring empty (pull what C still holds for it); it may
--                      also close the channel
--   mail(kind, source) a channel of messages: internal.MAIL for their first payloads,
--                      internal.MESSAGES for objects
--   push(ch, v)        append whatever the capacity says; false when closed
--   offer(ch, v)       append when there is room; false when full or closed
--   displace(ch, v)    append; when full the oldest value goes. True, and true when one went
--   close(ch)          what is buffered stays readable
--   count(ch)          values in the ring
--   waiting(ch)        does a receiver wait?
--   closed(ch), messages(ch)
--   breakable(), forget(fiber)  of a process whose fibers can be ended one by one (the prompt's)
--   poke(ch)           its source has something: serve the receivers that wait
--
-- They may be called whichever process runs, for a channel of any process of the VM; the receiver
-- they serve is woken with task.wake(). Scripts' own calls are checked to come from one process.
-- task.park() must come back (with nil, err) rather than raise, so that lists stay true.
--
-- A channel is an array (and bind/mail*.c, which puts messages in, knows its slots): small, for
-- there may be a million. The first receiver to wait stands in the slot PARKED; only those behind
-- it, and waits of select, take a place in the list.
-- SPDX-License-Identifier: MIT
local bit = require("bit")
local check = require("rt.check")
local duration = require("rt.duration")
local errors = require("rt.errors")
local task = require("rt.task")

local band, bxor, lshift, rshift = bit.band, bit.bxor, bit.lshift, bit.rshift
local setmetatable, error, type, select = setmetatable, error, type, select
local yield, WAIT = coroutine.yield, task.WAIT
local stand, hand, serial = task.stand, task.hand, task.serial
local await_mail = require("rt.core.process").await
local getmetatable = debug.getmetatable
local huge = math.huge

local M = { internal = {} }
local internal = M.internal

---@class rt.Channel
local methods = {}
local meta = { __index = methods, __metatable = false, __name = "channel" }
local case_meta = { __metatable = false, __name = "channel case" }

-- The slots; false where there is nothing.
local RING, FIRST, COUNT, MASK, CAPACITY, CLOSED = 1, 2, 3, 4, 5, 6
local PARKED = 7 -- the wait of the fiber that came first
local RECEIVERS, SENDERS = 8, 9 -- lists of who waits
local OWNER = 10 -- the process it serves
local SOURCE, LIBRARY = 11, 12
local MAIL, MESSAGES = 1, 2 -- in LIBRARY: it takes messages' first payloads, message objects

-- A ring larger than this is given back when it runs empty.
local KEEP = 4096

local SEND_CLOSED = "send on a closed channel"

-- ring ------------------------------------------------------------------------------------------

-- Slots hold false when empty, so that the table stays an array.
local function grow(ch)
  local old, first, mask = ch[RING], ch[FIRST], ch[MASK]
  local size = mask < 0 and 4 or (mask + 1) * 2
  local ring = {}
  for i = 1, size do
    ring[i] = false
  end
  for i = 0, mask do
    ring[i + 1] = old[band(first + i, mask) + 1]
  end
  ch[RING], ch[FIRST], ch[MASK] = ring, 0, size - 1
  return size - 1
end

local function append(ch, value)
  local count, mask = ch[COUNT], ch[MASK]
  if count > mask then mask = grow(ch) end
  ch[RING][band(ch[FIRST] + count, mask) + 1] = value
  ch[COUNT] = count + 1
end

local function shift(ch)
  local ring, at, count = ch[RING], ch[FIRST] + 1, ch[COUNT] - 1
  local value = ring[at]
  ring[at] = false
  ch[FIRST], ch[COUNT] = band(at, ch[MASK]), count
  if count == 0 and ch[MASK] >= KEEP then
    ch[RING], ch[FIRST], ch[MASK] = false, 0, -1
  end
  return value
end

-- who waits -------------------------------------------------------------------------------------

-- A node stands in a channel's list `side` (RECEIVERS or SENDERS, false when empty) for a
-- waiter; a select's waiter has several nodes. The first hand-over takes them all out.

local function enroll(ch, side, waiter, value)
  local list = ch[side]
  if not list then
    list = {}
    list.next, list.prev = list, list
    ch[side] = list
  end
  local last = list.prev
  local node = { channel = ch, side = side, waiter = waiter, value = value }
  node.prev, node.next = last, list
  last.next, list.prev = node, node
  return node
end

local function unlink(node)
  local before, after = node.prev, node.next
  before.next, after.prev = after, before
  if before == after then node.channel[node.side] = false end
end

local function leave(waiter)
  if waiter.node then return unlink(waiter.node) end
  for i = 1, #waiter do
    unlink(waiter[i])
  end
end

-- A chunk of the prompt can be broken while it waits, and its process goes on: `standing` knows
-- the waiters of such a process (by its serial in `breakable`), fiber by fiber.
local breakable
local standing = {}

local function stands(waiter)
  if breakable and breakable[serial()] then standing[waiter.fiber] = waiter end
end

local function stood(waiter)
  if breakable then standing[waiter.fiber] = nil end
end

local function settle(node, value, ok)
  local waiter = node.waiter
  leave(waiter)
  waiter.done, waiter.value, waiter.ok = node, value, ok
  task.wake(waiter.fiber)
end

-- A channel serves the process that first waited on it.
local function own(ch, level)
  local me, owner = serial(), ch[OWNER]
  if not owner then
    ch[OWNER] = me
  elseif owner ~= me then
    error("channel belongs to another process", level + 1)
  end
end

-- Takes out a value; the caller knows that there is one or that a sender waits.
local function take(ch)
  local senders = ch[SENDERS]
  if ch[COUNT] > 0 then
    local value = shift(ch)
    if senders then
      local node = senders.next
      append(ch, node.value)
      settle(node, nil, true)
    end
    return value
  end
  local node = senders.next
  settle(node, nil, true)
  return node.value
end

local function can_receive(ch)
  if ch[COUNT] > 0 or ch[SENDERS] then return true end
  if ch[SOURCE] and not ch[CLOSED] then
    ch[SOURCE](ch)
    if ch[COUNT] > 0 then return true end
  end
  return false
end

local function waited(ch)
  return (ch[PARKED] or ch[RECEIVERS]) ~= false
end

-- Hands `value` to a receiver or the ring, whose bound the caller has seen to.
local function put(ch, value)
  local parked = ch[PARKED]
  if parked then
    ch[PARKED] = false
    if hand(parked, value, true) then return end -- else its time is up
  end
  local receivers = ch[RECEIVERS]
  if receivers then return settle(receivers.next, value, true) end
  append(ch, value)
end

-- methods ---------------------------------------------------------------------------------------

local function receive_in_line(ch, timeout)
  local waiter = { fiber = task.fiber() }
  stands(waiter)
  waiter.node = enroll(ch, RECEIVERS, waiter)
  local _, err = task.park(timeout)
  stood(waiter)
  if waiter.done then return waiter.value, waiter.ok end
  leave(waiter)
  return nil, nil, err
end

-- Nothing was handed over: the time is up, unless a value came meanwhile.
local function in_time(ch, fiber, ...)
  if select("#", ...) > 0 then return ... end
  if ch[PARKED] == fiber then ch[PARKED] = false end
  if ch[COUNT] > 0 then return take(ch), true end
  local _, err = task.expired()
  return nil, nil, err
end

-- Tail-called by receive(), so that one level up is receive's caller.
local function receive_or_wait(ch, timeout)
  if can_receive(ch) then
    if ch[SENDERS] then own(ch, 2) end
    return take(ch), true
  end
  if ch[CLOSED] then return nil, false end
  if timeout == 0 then
    return nil, nil, errors.make("channel: nothing to receive", "TIMEOUT", true)
  end
  if ch[PARKED] or ch[RECEIVERS] then
    own(ch, 2)
    return receive_in_line(ch, timeout)
  end
  local fiber, owner = stand(ch[OWNER], timeout)
  if not fiber then error("channel belongs to another process", 2) end
  ch[PARKED], ch[OWNER] = fiber, owner
  if not timeout then return yield(WAIT) end
  return in_time(ch, fiber, yield(WAIT))
end

--- The next value and true; nil, false when the channel is closed and empty; nil, nil and an error
--- of kind TIMEOUT when nothing came in time. 0 does not wait.
---@param timeout number|string|nil
function methods:receive(timeout)
  if timeout ~= nil then timeout = duration.seconds(timeout, 1, "receive") end
  local count = self[COUNT]
  if count > 0 and not self[SENDERS] and self[MASK] < KEEP then
    -- shift(), spelled out: this is the path of every message and event
    local ring, at = self[RING], self[FIRST] + 1
    local value = ring[at]
    ring[at] = false
    self[FIRST], self[COUNT] = band(at, self[MASK]), count - 1
    return value, true
  end
  if count == 0 and timeout == nil and type(self[LIBRARY]) == "number" and not self[PARKED]
      and not self[RECEIVERS] then
    return await_mail(self)
  end
  return receive_or_wait(self, timeout)
end

--- Hand over `value`; waits while the buffer is full (or, unbuffered, until it is received).
--- Raises when the channel is closed, also while waiting.
---@return true
function methods:send(value)
  if self[CLOSED] then error(SEND_CLOSED, 2) end
  if self[LIBRARY] then error("channel is for receiving only", 2) end
  if self[PARKED] or self[RECEIVERS] then
    own(self, 2)
    put(self, value)
    return true
  end
  if self[COUNT] < self[CAPACITY] then
    append(self, value)
    return true
  end
  own(self, 2)
  local waiter = { fiber = task.fiber() }
  stands(waiter)
  waiter.node = enroll(self, SENDERS, waiter, value)
  local _, err = task.park()
  stood(waiter)
  if not waiter.done then
    leave(waiter)
    return nil, err
  end
  if not waiter.ok then error(SEND_CLOSED, 2) end
  return true
end

--- Nothing can be sent any more; what is buffered stays readable. Idempotent.
function methods:close()
  if self[CLOSED] then return end
  self[CLOSED] = true
  local parked = self[PARKED]
  if parked then
    self[PARKED] = false
    hand(parked, nil, false)
  end
  while self[RECEIVERS] do
    settle(self[RECEIVERS].next, nil, false)
  end
  while self[SENDERS] do
    settle(self[SENDERS].next, nil, false)
  end
end

--- For select: receive from this channel.
function methods:case_receive()
  local case = self.case
  if not case then
    case = setmetatable({ channel = self }, case_meta)
    self.case = case
  end
  return case
end

--- For select: send `value` into this channel.
function methods:case_send(value)
  return setmetatable({ channel = self, send = true, value = value }, case_meta)
end

local function next_value(ch)
  local value, ok
  repeat
    value, ok = ch:receive()
  until value ~= nil or not ok
  return value
end

--- `for v in ch:values() do`: every value until the channel is closed and empty; nils are skipped.
function methods:values()
  return next_value, self
end

-- select ----------------------------------------------------------------------------------------

-- Chance, not turns: processes of a VM share this, and turns could fall into step with them.
local seed = 0x2545f491
local function random(n)
  seed = bxor(seed, lshift(seed, 13))
  seed = bxor(seed, rshift(seed, 17))
  seed = bxor(seed, lshift(seed, 5))
  return seed % n
end

local function case_ready(case)
  local ch = case.channel
  if ch[CLOSED] then return true end
  if case.send then return waited(ch) or ch[COUNT] < ch[CAPACITY] end
  return can_receive(ch) or ch[CLOSED]
end

local function pick_ready(cases, count)
  local picked, found = nil, 0
  for i = 1, count do
    local case = cases[i]
    if case_ready(case) then
      found = found + 1
      if found == 1 or random(found) == 0 then picked = case end
    end
  end
  return picked
end

-- `ready` says that it will not wait; levels count up to the caller of select.
local function run_ready(case)
  local ch = case.channel
  if case.send then
    if ch[CLOSED] then error(SEND_CLOSED, 3) end
    if waited(ch) then own(ch, 3) end
    put(ch, case.value)
    return { channel = ch, ok = true }
  end
  if ch[COUNT] > 0 or ch[SENDERS] then
    if ch[SENDERS] then own(ch, 3) end
    return { channel = ch, value = take(ch), ok = true }
  end
  return { channel = ch, ok = false }
end

local function check_cases(cases)
  for i = 1, #cases do
    local case = cases[i]
    if type(case) ~= "table" or getmetatable(case) ~= case_meta then
      check.fail(1, "select", "case expected at [" .. i .. "], got " .. type(case), 2)
    end
    if case.send and case.channel[LIBRARY] then
      error("channel is for receiving only", 3)
    end
  end
  return #cases
end

local function select_wait(cases, count, timeout)
  for i = 1, count do
    own(cases[i].channel, 3)
  end
  local waiter = { fiber = task.fiber() }
  stands(waiter)
  for i = 1, count do
    local case = cases[i]
    waiter[i] = enroll(case.channel, case.send and SENDERS or RECEIVERS, waiter, case.value)
  end
  local _, err = task.park(timeout)
  stood(waiter)
  local node = waiter.done
  if node then
    local sent = node.side == SENDERS
    if sent and not waiter.ok then error(SEND_CLOSED, 3) end
    return { channel = node.channel, value = waiter.value, ok = waiter.ok }
  end
  leave(waiter)
  if timeout and errors.is(err, "TIMEOUT") then return { timeout = true } end
  return nil, err
end

--- Wait for the first of several sends and receives that can go on; one of those that are ready
--- is taken by chance.
---@param cases table  cases, and default=true and timeout=duration as wanted
---@return table  {channel=, value=, ok=}, {default=true, ok=true} or {timeout=true}
function M.select(cases)
  check.table(cases, 1, "select")
  local timeout = duration.optional(cases.timeout, "timeout", "select")
  local count = check_cases(cases)
  local picked = pick_ready(cases, count)
  if picked then
    local result = run_ready(picked)
    return result
  end
  if cases.default then return { default = true, ok = true } end
  if timeout == 0 then return { timeout = true } end
  if count == 0 and not timeout then check.fail(1, "select", "no case, default or timeout") end
  local result, err = select_wait(cases, count, timeout)
  return result, err
end

-- making and feeding ----------------------------------------------------------------------------

local function make(capacity, library, source)
  return setmetatable({
    false, 0, 0, -1, capacity, false, -- RING to CLOSED
    false, false, false, false, -- PARKED to OWNER
    source or false, library or false,
  }, meta)
end

--- A channel that buffers `n` values; 0, the default: a send waits for its receiver.
---@param n integer?
---@return rt.Channel
function M.new(n)
  n = check.optional_integer(n, 1, "new") or 0
  if n < 0 then check.fail(1, "new", "capacity must not be negative") end
  return make(n)
end

function M.is_channel(value)
  return type(value) == "table" and getmetatable(value) == meta
end

function internal.new(opts)
  opts = opts or {}
  return make(opts.capacity or huge, opts.library, opts.source)
end

function internal.push(ch, value)
  if ch[CLOSED] then return false end
  put(ch, value)
  return true
end

function internal.offer(ch, value)
  if ch[CLOSED] or (not waited(ch) and ch[COUNT] >= ch[CAPACITY]) then return false end
  put(ch, value)
  return true
end

function internal.displace(ch, value)
  if ch[CLOSED] then return false end
  local full = not waited(ch) and ch[COUNT] >= ch[CAPACITY]
  if full then shift(ch) end
  put(ch, value)
  return true, full
end

internal.close = methods.close

--- Fibers of the running process may be ended one by one, and then have to be forgotten.
function internal.breakable()
  breakable = breakable or {}
  breakable[serial()] = true
end

--- The fiber has been ended: it waits nowhere any more.
function internal.forget(fiber)
  local waiter = standing[fiber]
  if not waiter then return end
  standing[fiber] = nil
  if not waiter.done then leave(waiter) end
end

function internal.count(ch)
  return ch[COUNT]
end

internal.MAIL, internal.MESSAGES = MAIL, MESSAGES

function internal.mail(kind, source)
  return make(huge, kind, source)
end

function internal.messages(ch)
  return ch[LIBRARY] == MESSAGES
end

function internal.waiting(ch)
  return waited(ch)
end

function internal.library(ch)
  return ch[LIBRARY]
end

function internal.closed(ch)
  return ch[CLOSED]
end

function internal.poke(ch)
  if waited(ch) and ch[SOURCE] and not ch[CLOSED] then ch[SOURCE](ch) end
end

return M
