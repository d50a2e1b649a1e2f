--- udp - datagrams.
--
--   local socket = assert(udp.open("127.0.0.1", 0))
--   socket:send("ping", "127.0.0.1", 9999)
--   local bytes, address, port = socket:receive({ timeout = "1s" })
--
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.udp")
local core_dns = require("rt.core.dns")
local duration = require("rt.duration")
local stream = require("rt.stream")
local task = require("rt.task")

local M = {}

---@class rt.UdpSocket
local socket = {}

-- The address of `host`; a name is looked up.
local function address_of(host, left)
  if core_dns.literal(host) then return host end
  local list, err = task.await(core_dns.lookup(host), left())
  if not list then return nil, err end
  return list[1]
end

--- Send one datagram. That nobody listens there is not told.
---@param bytes string
---@param host string
---@param port integer
---@param opts {timeout:number|string?}?
---@return boolean? ok, rt.Error? err
function socket:send(bytes, host, port, opts)
  check.string(bytes, 1, "send")
  check.string(host, 2, "send")
  check.integer(port, 3, "send")
  opts = check.optional_table(opts, 4, "send") or {}
  local left = stream.deadline(duration.optional(opts.timeout, "timeout", "send"))
  if port < 1 or port > 65535 then return stream.invalid("send: no port: %d", port) end
  local address, err = address_of(host, left)
  if not address then return nil, err end
  local op
  op, err = core.send(self, bytes, address, port, host)
  if not op then return nil, err end
  return task.await(op, left())
end

--- Wait for a datagram.
---@param opts {timeout:number|string?}?
---@return string? bytes, string|rt.Error address, integer? port
function socket:receive(opts)
  opts = check.optional_table(opts, 1, "receive") or {}
  return task.await(core.receive(self), duration.optional(opts.timeout, "timeout", "receive"))
end

---@return integer
function socket:port()
  local _, port = core.address(self)
  return port
end

---@return string address, integer port
function socket:address()
  return core.address(self)
end

--- Close; a second call does nothing. Who waits gets CANCELED.
function socket:close()
  core.close(self)
  return true
end

core.methods(socket)

--- Open a socket bound to a local address; by default any address and a free port.
---@param host string?
---@param port integer?
---@return rt.UdpSocket? socket, rt.Error? err
function M.open(host, port)
  host = check.optional_string(host, 1, "open") or "*"
  port = check.optional_integer(port, 2, "open") or 0
  local ok, err = stream.check_place(host, port, "open", 0)
  if not ok then return nil, err end
  return core.open(host, port)
end

return M
