--- The bus from process to process: events a second, one to one and one to many.
-- SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")

local EVENTS, FANS = 300000, 100

-- Tells "ready", reads `count` events, tells "done".
local function reader(system, count)
  local bus = require("events")
  local sub = assert(bus.subscribe(system))
  local ch = sub:channel()
  assert(bus.send("bench", "ready", system))
  for _ = 1, count do
    ch:receive()
  end
  assert(bus.send("bench", "done", system, sub:dropped()))
end

local function wait_for(ch, kind, count)
  local lost = 0
  for _ = 1, count do
    repeat
      local event = assert(ch:receive("120s"))
      if event.data then lost = lost + event.data end
    until event.kind == kind
  end
  assert(lost == 0, "events were dropped")
end

local function measure(name, readers, count)
  local system = "flow" .. readers
  local ch = assert(events.subscribe("bench")):channel()
  for _ = 1, readers do
    assert(process.spawn(reader, system, count))
  end
  wait_for(ch, "ready", readers)
  local start = time.monotonic()
  for i = 1, count do
    assert(events.send(system, "kind", "path", { id = i, name = "an event", ok = true }))
  end
  wait_for(ch, "done", readers)
  local rate = count * readers / (time.monotonic() - start)
  print(("%-44s %12.0f %s"):format(name, rate, "deliveries/s"))
end

measure("Lua: 1 to 1", 1, EVENTS)
measure("Lua: 1 to 10", 10, EVENTS / 10)
measure("Lua: 1 to 100", FANS, EVENTS / FANS)

local start = time.monotonic()
for i = 1, EVENTS * 4 do
  events.send("nobody", "listens", "path", { id = i })
end
local rate = EVENTS * 4 / (time.monotonic() - start)
print(("%-44s %12.0f %s"):format("Lua: nobody listens", rate, "events/s"))
