-- channels.lua - producers and consumers as coroutines of one process.
-- Three producers send squares through one channel, two consumers add them up.
-- Run it: runtime examples/channels.lua
-- SPDX-License-Identifier: MIT
local time = require("time")

local numbers = channel.new(4) -- a send waits while four wait already
local totals = channel.new()

local function produce(from, to, done)
  for n = from, to do
    numbers:send(n * n)
  end
  done:send(true)
end

local function consume()
  local sum = 0
  for square in numbers:values() do -- until the channel is closed and empty
    sum = sum + square
  end
  totals:send(sum)
end

local done = channel.new()
for part = 0, 2 do
  coroutine.spawn(produce, part * 100 + 1, part * 100 + 100, done)
end
coroutine.spawn(consume)
coroutine.spawn(consume)

for _ = 1, 3 do
  done:receive()
end
numbers:close()
print("sum of squares: " .. totals:receive() + totals:receive())

-- select takes whichever comes first
local quick, slow = time.after("5ms"), time.after("10s")
local first = channel.select({ quick:case_receive(), slow:case_receive(), timeout = "5s" })
print("first: " .. (first.channel == quick and "quick" or "slow"))
os.exit(0) -- else the slow timer would keep the program alive
