--- A supervised tree: a counter that fails now and then, and a pool of workers of its own.
-- Run it: runtime examples/supervisor.lua
-- SPDX-License-Identifier: MIT
local events = require("events")
local supervisor = require("supervisor")

-- Counts what it is sent; 3 is more than it can take.
local function counter(parent)
  local sum = 0
  process.registry.register("counter")
  process.send(parent, "up", "counter")
  for message in process.inbox():values() do
    local n = message:payload()
    if n == 3 then error("3 is too much") end
    sum = sum + n
    process.send(parent, "sum", sum)
  end
end

-- Works until it is asked to end.
local function worker(parent, name)
  local asked = process.events()
  process.send(parent, "up", name)
  asked:receive()
  process.send(parent, "down", name)
end

local me = process.pid()
local up, down, sums = process.listen("up"), process.listen("down"), process.listen("sum")
local told = assert(events.subscribe("supervisor", "child.restarting"))

local app = assert(supervisor.start {
  name = "app",
  strategy = "one_for_one",
  backoff = { initial = "10ms", attempts = 5 },
  children = {
    { id = "counter", start = { counter, me } },
    {
      id = "pool",
      supervisor = {
        strategy = "one_for_all",
        children = {
          { id = "w1", start = { worker, me, "w1" }, shutdown = "5s" },
          { id = "w2", start = { worker, me, "w2" }, shutdown = "5s" },
        },
      },
    },
  },
})
for _ = 1, 3 do up:receive() end

for n = 1, 3 do process.send("counter", "n", n) end
print("sums: " .. sums:receive() .. " " .. sums:receive())

local event = told:channel():receive()
print(event.path .. " failed: " .. event.data.reason.message:gsub("^.-:%d+: ", ""))
print(up:receive() .. " is up again")

for _, child in ipairs(assert(app:which_children())) do
  print(child.id, child.type, child.state, child.restarts)
end

app:stop("the day is over")
print("ended in reverse: " .. down:receive() .. " " .. down:receive())
