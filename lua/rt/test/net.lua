--- rt.test.net - tcp, tls and udp for capability tests: connections to peers made of Lua.
-- A peer is a list of what it does, or a function over the other end of the connection. Both ends
-- are two byte buffers; reading waits on the test's clock.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local errors = require("rt.errors")
local fence = require("rt.test.fence")

local M = {}

local CONNECT_TIMEOUT = 30
local LINE_MAX = 64 * 1024

-- one end of a connection -----------------------------------------------------------------------

local conn = {}
local conn_meta = { __index = conn, __metatable = false, __name = "connection" }

local function wake(self)
  local fiber = self._reader
  self._reader = nil
  if fiber then self._world.task.wake(fiber) end
end

local function give(self, bytes)
  self._inbox = self._inbox .. bytes
  wake(self)
end

local function take(self, count)
  local bytes = self._inbox:sub(1, count)
  self._inbox = self._inbox:sub(count + 1)
  return bytes
end

-- What a read of this kind has by now: done, bytes, err.
local modes = {}

function modes.some(self, max)
  if self._inbox ~= "" then return true, take(self, max or #self._inbox) end
  return self._eof, nil
end

function modes.exact(self, _, count)
  if #self._inbox >= count then return true, take(self, count) end
  if not self._eof then return false end
  return true, self._inbox ~= "" and take(self, count) or nil
end

function modes.all(self, max)
  if max and #self._inbox >= max then return true, take(self, max) end
  if not self._eof then return false end
  return true, take(self, #self._inbox)
end

function modes.line(self, max)
  local last = self._inbox:find("\n", 1, true)
  if (last or #self._inbox) > (max or LINE_MAX) then
    return true, nil, errors.make("read: line too long", "INVALID")
  end
  if last then return true, (take(self, last):gsub("\r?\n$", "")) end
  if not self._eof then return false end
  return true, self._inbox ~= "" and take(self, #self._inbox) or nil
end

local function mode_of(what)
  if what == nil then return "some" end
  return type(what) == "number" and "exact" or what
end

function conn:read(what, opts)
  if type(what) == "table" then
    what, opts = nil, what
  end
  opts = check.optional_table(opts, 2, "read") or {}
  local mode = modes[mode_of(what)]
  if not mode then check.fail(1, "read", "number, 'line' or 'all' expected") end
  local timeout = duration.optional(opts.timeout, "timeout", "read")
  local due = timeout and self._world.time.monotonic() + timeout
  while true do
    if self._closed then return nil, errors.make("read: closed", "CANCELED") end
    local done, bytes, err = mode(self, opts.max, what)
    if done then return bytes, err end
    local left = due and due - self._world.time.monotonic()
    if left and left <= 0 then return nil, errors.make("read: timed out", "TIMEOUT", true) end
    self._reader = self._world.task.fiber()
    self._world.task.park(left)
  end
end

function conn:lines(opts)
  return function()
    local line, err = self:read("line", opts)
    if err then error(err, 2) end
    return line
  end
end

function conn:write(bytes)
  check.string(bytes, 1, "write")
  if self._closed or self._shut then return nil, errors.make("write: closed", "CANCELED") end
  if self._place then
    self._world:note(("%s.write %s %s"):format(self._kind, self._place, bytes))
  end
  if self._other._closed then
    return nil, errors.make("write: connection reset by peer", "UNAVAILABLE", true)
  end
  give(self._other, bytes)
  return true
end

function conn:shutdown()
  self._shut = true
  self._other._eof = true
  wake(self._other)
  return true
end

function conn:close()
  if self._closed then return true end
  self._closed = true
  wake(self)
  return self:shutdown()
end

function conn:peer()
  return self._host, self._port
end

function conn:address()
  if not self._closed then return "127.0.0.1", 40000 end
end

function conn:handshake()
  return true
end

function conn:certificates()
  if not self._tls then return nil, errors.make("certificates: no TLS", "INVALID") end
  return self._tls.certificates or {}
end

function conn:tls()
  local tls = self._tls
  if not tls then return nil, errors.make("tls: the connection has no TLS", "INVALID") end
  return {
    version = tls.version or "TLSv1.3",
    cipher = tls.cipher or "TLS_AES_256_GCM_SHA384",
    alpn = tls.alpn,
    verified = tls.verified ~= false,
  }
end

local function pair(world, kind, host, port, spec)
  local near = setmetatable({ _inbox = "", _world = world, _host = host, _port = port }, conn_meta)
  local far = setmetatable({ _inbox = "", _world = world, _host = host, _port = port }, conn_meta)
  near._other, far._other = far, near
  near._kind, near._place = kind, ("%s:%d"):format(host, port)
  if kind == "tls" then near._tls = type(spec) == "table" and spec or {} end
  return near, far
end

-- peers -----------------------------------------------------------------------------------------

-- Read until `text` has come, or the end.
local function wait_for(peer, text)
  local seen = ""
  while not seen:find(text, 1, true) do
    local bytes = peer:read()
    if not bytes then return end
    seen = seen .. bytes
  end
end

-- A list: strings are sent, { wait = "text" } and { delay = "1s" } wait; then it closes, unless
-- `open` is set.
local function play(world, peer, list)
  for _, step in ipairs(list) do
    if type(step) == "string" then
      peer:write(step)
    else
      world:delay(step)
      if step.wait then wait_for(peer, step.wait) end
      if step.send then peer:write(step.send) end
    end
  end
  if not list.open then peer:close() end
end

local function start_peer(world, peer, spec)
  if spec == true then return end
  world.task.spawn(function()
    if type(spec) == "function" then
      spec(peer)
      return peer:close()
    end
    play(world, peer, type(spec) == "string" and { spec } or spec)
  end)
end

local function connect(world, kind, host, port, opts)
  check.string(host, 1, "connect")
  check.integer(port, 2, "connect")
  opts = check.optional_table(opts, 3, "connect") or {}
  local timeout = duration.optional(opts.timeout, "timeout", "connect") or CONNECT_TIMEOUT
  local place = ("%s:%d"):format(host, port)
  local may, refused = fence.allows(world, "connect to", host, port)
  if not may then return nil, refused end
  world:note(("%s.connect %s"):format(kind, place))
  local spec = world:fake(kind, { place, host })
  local err = world:failure(spec, ("connect to %s port %d"):format(host, port), timeout)
  if err then return nil, err end
  local near, far = pair(world, kind, host, port, spec)
  start_peer(world, far, spec)
  return near
end

-- udp -------------------------------------------------------------------------------------------

local socket = {}
local socket_meta = { __index = socket, __metatable = false, __name = "udp socket" }

local function replies_of(spec, bytes, host, port)
  if type(spec) == "function" then spec = spec(bytes, host, port) end
  if spec == nil or spec == "timeout" then return {} end
  return type(spec) == "string" and { spec } or spec
end

function socket:send(bytes, host, port)
  check.string(bytes, 1, "send")
  check.string(host, 2, "send")
  check.integer(port, 3, "send")
  if self._closed then return nil, errors.make("send: closed", "CANCELED") end
  local world, place = self._world, ("%s:%d"):format(host, port)
  local may, refused = fence.allows(world, "send to", host, port)
  if not may then return nil, refused end
  world:note(("udp.send %s %s"):format(place, bytes))
  local spec = world:fake("udp", { place, host })
  local err = spec ~= "timeout" and world:failure(spec, "send to " .. place)
  if err then return nil, err end
  for _, reply in ipairs(replies_of(spec, bytes, host, port)) do
    self._channel:send({ reply, host, port })
  end
  return true
end

function socket:receive(opts)
  opts = check.optional_table(opts, 1, "receive") or {}
  local datagram, ok, err = self._channel:receive(opts.timeout)
  if datagram then return datagram[1], datagram[2], datagram[3] end
  if ok == false then return nil, errors.make("receive: closed", "CANCELED") end
  return nil, errors.make("receive: timed out", err and err:kind() or "TIMEOUT", true)
end

function socket:port()
  return 40000
end

function socket:address()
  return "0.0.0.0", 40000
end

function socket:close()
  self._closed = true
  self._channel:close()
  return true
end

-- modules ---------------------------------------------------------------------------------------

local function no_server(world, name)
  return function()
    world:fault("%s is not there in a capability test", name)
  end
end

function M.install(world)
  local modules = world.modules
  for _, kind in ipairs({ "tcp", "tls" }) do
    modules[kind] = {
      connect = function(host, port, opts)
        return connect(world, kind, host, port, opts)
      end,
      listen = no_server(world, kind .. ".listen"),
    }
  end
  function modules.tls.upgrade(stream, opts)
    local host, port = stream:peer()
    world:note(("tls.upgrade %s:%d"):format(host, port))
    local spec = world:fake("tls", { ("%s:%d"):format(host, port), host })
    local timeout = duration.optional((opts or {}).timeout, "timeout", "upgrade")
    local err = world:failure(spec, ("handshake with %s port %d"):format(host, port), timeout)
    if err then
      stream:close()
      return nil, err
    end
    stream._tls = type(spec) == "table" and spec or {}
    return stream
  end
  modules.udp = {
    open = function()
      return setmetatable({ _world = world, _channel = world.channel.new(65536) }, socket_meta)
    end,
  }
end

return M
