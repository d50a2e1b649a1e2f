--- rt.test.replay - a recorded run played back in a capability test.
-- Reads the lines of rt.record and answers the same calls with what was answered then, each in its
-- order for its key, after the time it took. What the recording does not have fails the case.
-- SPDX-License-Identifier: MIT
local errors = require("rt.errors")
local json = require("json")
local record = require("rt.record")
local source = require("rt.source")

local M = {}

-- reading -----------------------------------------------------------------------------------------

local function add_line(runs, by_id, line)
  local id = ("%s\0%s\0%s"):format(line.capability, tostring(line.job), tostring(line.attempt))
  local run = by_id[id]
  if line.call == "begin" or not run then
    run = { capability = line.capability, attempt = line.attempt, sent = {}, calls = {} }
    by_id[id] = run
    runs[#runs + 1] = run
  end
  if line.call == "begin" then
    run.asset, run.options = record.unpack(line.asset), record.unpack(line.options)
    run.session, run.now = line.session, line.now
  elseif line.call == "send" then
    run.sent[#run.sent + 1] = record.unpack(line.asset)
  elseif line.call == "end" then
    run.ended, run.error = true, line.error
  else
    run.calls[#run.calls + 1] = line
  end
end

local function is_line(line)
  return type(line) == "table" and type(line.call) == "string"
    and type(line.capability) == "string"
end

--- The attempts of jobs in a recording, in the order in which they began.
---@param path string
---@return table[]? runs, string? fault
function M.read(path)
  local text, err = source.read(path)
  if not text then return nil, err end
  local runs, by_id, n = {}, {}, 0
  for each in text:gmatch("[^\n]+") do
    local line
    n = n + 1
    line, err = json.decode(each)
    if not is_line(line) then
      local why = err and err:message() or "no line of a recording"
      return nil, ("%s:%d: expected a line of `runtime run --record`: %s"):format(path, n, why)
    end
    add_line(runs, by_id, line)
  end
  for _, run in ipairs(runs) do
    run.all = runs
  end
  return runs
end

-- Each key once, as the session would have counted them.
local function once(sent, asset)
  local list, seen = {}, { [asset.key or asset.class .. ":" .. asset.value] = true }
  for _, each in ipairs(sent) do
    local key = each.key or each.class .. ":" .. each.value
    if not seen[key] then list[#list + 1] = each end
    seen[key] = true
  end
  return list
end

--- The case that says: the same as then.
function M.case(run)
  local case = {
    name = ("%s:%s, attempt %d"):format(run.asset.class, run.asset.value, run.attempt),
    asset = run.asset,
    options = run.options,
    attempt = run.attempt,
    session = run.session,
    expect = once(run.sent, run.asset),
    run = run,
  }
  if run.error then case.error = { kind = run.error.kind } end
  return case
end

-- playing -----------------------------------------------------------------------------------------

local function index(calls)
  local queues = {}
  for _, line in ipairs(calls) do
    local id = line.call .. " " .. tostring(record.unpack(line.key))
    local queue = queues[id] or { at = 0, queues = queues }
    queues[id] = queue
    queue[#queue + 1] = line
  end
  return queues
end

local function error_of(line)
  local err = line.error
  return errors.make(tostring(err.message), tostring(err.kind), err.retryable == true)
end

-- What another job of the capability was answered: this one may have had it from a cache then.
local function from_others(run, id)
  for _, other in ipairs(run.all) do
    if other ~= run and other.capability == run.capability then
      local queues = index(other.calls)
      if queues[id] then return queues[id] end
    end
  end
  return nil
end

-- The next answer to this call, and the queues it is from.
local function play(player, queues, call, key)
  local id = call .. " " .. tostring(key)
  local queue = queues[id]
  if not queue and queues == player.queues then
    queue = from_others(player.run, id)
    queues[id] = queue
  end
  local line = queue and queue[queue.at + 1]
  if not line then
    local count = queue and #queue or 0
    player.world:fault("the recording has %d %s of '%s', this is one more", count,
      count == 1 and "call" or "calls", id)
  end
  queue.at = queue.at + 1
  if type(line.took) == "number" and line.took > 0 then player.world.task.park(line.took) end
  return line, queue.queues
end

local conn = {}
local conn_meta = { __index = conn, __metatable = false, __name = "connection" }

local function reading(name)
  return function(self)
    local line = play(self._player, self._queues, name, self._id)
    if line.error then return nil, error_of(line) end
    local from = record.unpack(line.from or {})
    return record.unpack(line.result), from[1], from[2]
  end
end
conn.read, conn.receive = reading("read"), reading("receive")

function conn:lines()
  return function()
    local line, err = self:read()
    if err then error(err, 2) end
    return line
  end
end

function conn:certificates()
  return self._details.certificates or {}
end

function conn:tls()
  return self._details.tls
end

for _, name in ipairs({ "write", "send", "shutdown", "close", "handshake" }) do
  conn[name] = function()
    return true
  end
end

function conn:peer()
  local host, port = self._place:match("^(.*):(%d+)$")
  return host, tonumber(port)
end

function conn:address()
  return "127.0.0.1", 40000
end

function conn:port()
  return 40000
end

local function connection(player, key, line, queues)
  return setmetatable({
    _player = player,
    _queues = queues,
    _place = key,
    _id = line.conn,
    _details = record.unpack(line.tls) or {},
  }, conn_meta)
end

local function player_function(player, call)
  local key_of = record.keys[call]
  return function(...)
    local key = key_of(...)
    player.world:note(call .. " " .. key)
    local line, queues = play(player, player.queues, call, key)
    if line.error then return nil, error_of(line) end
    if line.conn then return connection(player, key, line, queues) end
    return record.unpack(line.result), record.unpack(line.second)
  end
end

--- Let the modules that have no fakes answer from the recorded `run`.
function M.install(world, run, fakes)
  local player = { world = world, run = run, queues = index(run.calls) }
  for call in pairs(record.keys) do
    local module, name = call:match("^(%w+)%.(%w+)$")
    if not fakes[module] then
      local mine = world.modules[module]
      mine[name] = player_function(player, call)
    end
  end
end

return M
