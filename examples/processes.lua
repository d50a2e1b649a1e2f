-- processes.lua - isolated processes that send each other messages.
-- A worker that fails takes nobody along: its monitor hears of it and starts another.
-- Run it: runtime examples/processes.lua
-- SPDX-License-Identifier: MIT

-- A process function shares nothing with us: it has its own globals, and gets copies.
local function worker(parent)
  local inbox = process.inbox()
  while true do
    local message = inbox:receive()
    local n = message:payload()
    if n == 13 then error("I do not like 13") end
    process.send(parent, "done", n, n * n)
  end
end

local done, events = process.inbox(), process.events()
local pid = assert(process.spawn_monitored(worker, process.pid()))

local restarts = 0
for n = 11, 15 do
  assert(process.send(pid, "work", n))
  local got = channel.select({ done:case_receive(), events:case_receive(), timeout = "10s" })
  if got.channel == done then
    local number, square = got.value:payload()
    print(number .. " squared is " .. square)
  elseif got.channel == events and got.value.kind == process.event.EXIT then
    restarts = restarts + 1
    print("the worker ended: " .. tostring(got.value.result.error):match("I do .*"))
    pid = assert(process.spawn_monitored(worker, process.pid()))
  end
end

-- exec: spawn, wait, take the result
print("4! is " .. assert(process.exec(function(n)
  local product = 1
  for i = 2, n do
    product = product * i
  end
  return product
end, 4)))

process.terminate(pid)
print("restarts: " .. restarts)
