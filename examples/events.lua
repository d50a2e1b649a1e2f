-- events.lua - publish and subscribe: who hears what is said by patterns.
-- Run it: runtime examples/events.lua
-- SPDX-License-Identifier: MIT
local events = require("events")

-- A subscription is a channel. Its pattern is matched against the event's kind.
local orders = assert(events.subscribe("shop", "order.*"))

-- A subscriber calls a function for each event, one after the other.
local counted = 0
local counter = assert(events.on("shop", "**", function()
  counted = counted + 1
end))

-- An awaiter waits for the answer to something we are about to start.
local awaiter = assert(events.awaiter("shop", "payment.*"))
local waiter = assert(awaiter:prepare("order-1", { timeout = "5s" }))

events.send("shop", "order.placed", "order-1", { total = 25 })
events.send("shop", "order.shipped", "order-1")
events.send("shop", "stock.low", "apples") -- only the counter hears this one
events.send("shop", "payment.accepted", "order-1")

for _ = 1, 2 do
  local event = orders:channel():receive("5s")
  print(event.kind, event.path, event.data and event.data.total or "-")
end

local answer = assert(waiter:wait())
print("payment accepted: " .. tostring(answer.accepted))

orders:close()
while counted < 4 do
  require("time").sleep("1ms")
end
counter:close()
print("events counted: " .. counted)
