--- A DNS server for specs, in plain Lua over udp (and tcp for what was cut short).
--
--   local server = dns_server.start(function(name, kind, n) return reply end)
--   server.address     "127.0.0.1:PORT"
--   server.count       questions so far
--
-- A reply is nil (silence), a number (an rcode), { records } where a record is {kind, data} or
-- {kind, data, ttl, name}, with raw = bytes (sent instead), or truncated = true.
-- SPDX-License-Identifier: MIT
local udp = require("udp")
local tcp = require("tcp")

local M = {}

M.TYPES = {
  A = 1,
  NS = 2,
  CNAME = 5,
  SOA = 6,
  PTR = 12,
  MX = 15,
  TXT = 16,
  AAAA = 28,
  SRV = 33,
  CAA = 257,
}
local NAMES = {}
for name, number in pairs(M.TYPES) do
  NAMES[number] = name
end

function M.u16(n)
  return string.char(math.floor(n / 256) % 256, n % 256)
end

function M.u32(n)
  return M.u16(math.floor(n / 65536)) .. M.u16(n % 65536)
end

function M.name(text)
  return (text:gsub("%.?([^.]+)%.?", function(label)
    return string.char(#label) .. label
  end)) .. "\0"
end

function M.ip(text)
  return (text:gsub("(%d+)%.?", function(n)
    return string.char(tonumber(n))
  end))
end

local function read_question(packet)
  local labels, at = {}, 13
  while packet:byte(at) ~= 0 do
    local size = packet:byte(at)
    labels[#labels + 1] = packet:sub(at + 1, at + size)
    at = at + 1 + size
  end
  local hi, lo = packet:byte(at + 1, at + 2)
  return table.concat(labels, "."), NAMES[hi * 256 + lo] or hi * 256 + lo, packet:sub(13, at + 4)
end

local function header(packet, flags, answers)
  return packet:sub(1, 2) .. M.u16(flags) .. M.u16(1) .. M.u16(answers) .. M.u16(0) .. M.u16(0)
end

local function encode(packet, question, reply)
  if type(reply) == "number" then return header(packet, 0x8180 + reply, 0) .. question end
  if reply.raw then return packet:sub(1, 2) .. reply.raw end
  if reply.truncated then return header(packet, 0x8380, 0) .. question end
  local parts = { header(packet, 0x8180 + (reply.rcode or 0), #reply), question }
  for _, record in ipairs(reply) do
    local kind, data, ttl, owner = record[1], record[2], record[3], record[4]
    parts[#parts + 1] = (owner and M.name(owner) or "\192\12")
      .. M.u16(M.TYPES[kind] or kind)
      .. M.u16(1)
      .. M.u32(ttl or 300)
      .. M.u16(#data)
      .. data
  end
  return table.concat(parts)
end

-- An answer to `packet`, or nil.
local function answer(server, packet, over_tcp)
  local name, kind, question = read_question(packet)
  server.count = server.count + 1
  local reply = server.reply(name, kind, server.count, over_tcp)
  return reply and encode(packet, question, reply)
end

local function serve_udp(server)
  while true do
    local packet, address, port = server.socket:receive()
    if not packet then return end
    local bytes = answer(server, packet, false)
    if bytes then server.socket:send(bytes, address, port) end
  end
end

local function serve_tcp(server)
  while true do
    local conn = server.listener:accept()
    if not conn then return end
    local size = conn:read(2)
    local packet = size and conn:read(size:byte(1) * 256 + size:byte(2))
    local bytes = packet and answer(server, packet, true)
    if bytes then conn:write(M.u16(#bytes) .. bytes) end
    conn:close()
  end
end

-- One port for both; a free one of tcp may be taken for udp.
local function bind(server)
  for _ = 1, 50 do
    local listener = assert(tcp.listen(server.host, 0))
    local socket = udp.open(server.host, listener:port())
    if socket then
      server.listener, server.socket, server.port = listener, socket, listener:port()
      return
    end
    listener:close()
  end
  error("no free port")
end

function M.start(reply, host)
  local server = { reply = reply, count = 0, host = host or "127.0.0.1" }
  bind(server)
  server.address = (host == "::1" and "[%s]:%d" or "%s:%d"):format(server.host, server.port)
  coroutine.spawn(serve_udp, server)
  coroutine.spawn(serve_tcp, server)
  function server.stop()
    server.socket:close()
    server.listener:close()
  end
  return server
end

return M
