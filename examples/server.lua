-- server.lua - a line server, and a thousand requests by clients of the same program.
-- Each connection is served by a coroutine that reads from top to bottom.
-- Run it: runtime examples/server.lua [PORT]   (with a port it serves until it is stopped)
-- SPDX-License-Identifier: MIT
local tcp = require("tcp")

local server = assert(tcp.listen("127.0.0.1", tonumber(arg[1] or 0)))

local function serve(conn)
  while true do
    local line = conn:read("line", { timeout = "30s" })
    if not line then break end
    conn:write(line:reverse() .. "\n")
  end
  conn:close()
end

local function accept()
  while true do
    local conn = server:accept()
    if not conn then break end
    coroutine.spawn(serve, conn)
  end
end

if arg[1] then
  print("serving on port " .. server:port())
  accept()
  return
end

coroutine.spawn(accept)

local CLIENTS, REQUESTS = 20, 50
local finished = channel.new(CLIENTS)

local function client(number)
  local conn = assert(tcp.connect("127.0.0.1", server:port(), { timeout = "10s" }))
  for i = 1, REQUESTS do
    local text = ("client %d request %d"):format(number, i)
    assert(conn:write(text .. "\n"))
    assert(conn:read("line", { timeout = "30s" }) == text:reverse())
  end
  conn:close()
  finished:send(REQUESTS)
end

for number = 1, CLIENTS do
  coroutine.spawn(client, number)
end
local answered = 0
for _ = 1, CLIENTS do
  answered = answered + finished:receive("60s")
end
print(answered .. " requests answered")
server:close()
