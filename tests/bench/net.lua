--- Figures of the network modules on loopback: a connect scan, HTTP, DNS questions, bytes.
-- SPDX-License-Identifier: MIT
local dns = require("dns")
local http = require("http")
local tcp = require("tcp")
local time = require("time")
local udp = require("udp")

-- Call `work(i)` for 1..count, `parallel` at a time; seconds it took.
local function side_by_side(count, parallel, work)
  local done, at = channel.new(parallel), 0
  local began = time.monotonic()
  for _ = 1, parallel do
    coroutine.spawn(function()
      while at < count do
        at = at + 1
        work(at)
      end
      done:send(true)
    end)
  end
  for _ = 1, parallel do
    done:receive()
  end
  return time.monotonic() - began
end

local function report(what, figure, unit)
  print(("%-44s %10.0f %s"):format(what, figure, unit))
end

local function scan()
  local open = 0
  local took = side_by_side(65535, 128, function(port)
    local conn = tcp.connect("127.0.0.1", port, { timeout = 2 })
    if conn then
      open = open + 1
      conn:close()
    end
  end)
  report(("connect scan, 65535 ports, %d open"):format(open), took * 1000, "ms")
end

local function exchanges()
  local server = assert(http.listen("127.0.0.1", 0, function()
    return "hello"
  end))
  local url = ("http://127.0.0.1:%d/"):format(server:port())
  local count = 5000
  local took = side_by_side(count, 50, function()
    assert(http.get(url))
  end)
  server:close()
  report("HTTP exchanges, client and server, 50 at once", count / took, "/s")
end

-- A server that answers every question with one address.
local function questions()
  local socket = assert(udp.open("127.0.0.1", 0))
  coroutine.spawn(function()
    local tail = "\192\12\0\1\0\1\0\0\0\60\0\4\127\0\0\1"
    while true do
      local packet, address, port = socket:receive()
      if not packet then return end
      local question = packet:match("^.-%z....", 13)
      socket:send(packet:sub(1, 2) .. "\129\128\0\1\0\1\0\0\0\0" .. question .. tail, address, port)
    end
  end)
  local count, opts = 20000, { server = "127.0.0.1:" .. socket:port() }
  local took = side_by_side(count, 500, function(i)
    assert(dns.resolve(("n%d.test"):format(i), "A", opts))
  end)
  socket:close()
  report("DNS questions, client and server, 500 at once", count / took, "/s")
end

local function bytes()
  local server = assert(tcp.listen("127.0.0.1", 0))
  local client = assert(tcp.connect("127.0.0.1", server:port()))
  local peer = assert(server:accept())
  local began, total = time.monotonic(), 0
  coroutine.spawn(function()
    local chunk = ("x"):rep(1048576)
    for _ = 1, 500 do
      assert(client:write(chunk))
    end
    client:close()
  end)
  local piece = peer:read()
  while piece do
    total = total + #piece
    piece = peer:read()
  end
  report("bytes through one connection", total / 1e6 / (time.monotonic() - began), "MB/s")
  peer:close()
  server:close()
end

scan()
exchanges()
questions()
bytes()
