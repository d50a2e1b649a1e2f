---@meta udp
-- What editors know of datagrams: local udp = require("udp"). SPDX-License-Identifier: MIT

---@class rt.UdpSocket
local UdpSocket = {}

--- Send one datagram. That nobody listens there is not told.
---@param bytes string
---@param host string
---@param port integer
---@param opts rt.Timeout?
---@return true? ok, rt.Error? err
function UdpSocket:send(bytes, host, port, opts) end

--- Wait for a datagram.
---@param opts rt.Timeout?
---@return string? bytes, string|rt.Error address, integer? port
function UdpSocket:receive(opts) end

---@return integer
function UdpSocket:port() end

---@return string address, integer port
function UdpSocket:address() end

---@return true
function UdpSocket:close() end

---@class rt.udp
local udp = {}

--- Open a socket bound to a local address; by default any address and a free port.
---@param host string?
---@param port integer?
---@return rt.UdpSocket? socket, rt.Error? err
function udp.open(host, port) end

return udp
