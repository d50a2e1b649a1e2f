--- The bus from process to process: events a second, one to one, several to one, one to many, and
-- beside subscriptions that do not match. Each figure is the best of three.
-- SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")

-- No more events than a buffer holds, so that none is dropped.
local EVENTS, FANS, TRIES = 240000, 100, 3

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

-- Waits for "go", sends `count` events.
local function sender(system, count)
  local bus = require("events")
  local go = assert(bus.subscribe("go." .. system)):channel()
  assert(bus.send("bench", "ready", system))
  go:receive()
  for i = 1, count do
    assert(bus.send(system, "kind", "path", { id = i, name = "an event", ok = true }))
  end
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

-- Deliveries a second. Processes are placed on the workers in turn, so an even number of senders
-- and readers has a reader beside and one away from each sender.
local function flow(senders, readers, count)
  local system = ("flow%dx%d"):format(senders, readers)
  local sub = assert(events.subscribe("bench"))
  local ch = sub:channel()
  for _ = 1, senders do
    assert(process.spawn(sender, system, count / senders))
  end
  for _ = 1, readers do
    assert(process.spawn(reader, system, count))
  end
  wait_for(ch, "ready", senders + readers)
  local start = time.monotonic()
  assert(events.send("go." .. system, "go", "bench"))
  wait_for(ch, "done", readers)
  local seconds = time.monotonic() - start
  sub:close()
  return count * readers / seconds
end

local function measure(name, senders, readers, count)
  local best = 0
  for _ = 1, TRIES do
    best = math.max(best, flow(senders, readers, count))
  end
  print(("%-44s %12.0f %s"):format(name, best, "deliveries/s"))
end

-- Keeps `count` subscriptions that hear nothing of the flows, until it hears "quit".
local function bystander(count)
  local bus = require("events")
  local subs = {}
  for i = 1, count do
    subs[i] = assert(bus.subscribe("other." .. i .. ".*", "(made|gone)"))
  end
  local quit = assert(bus.subscribe("quit")):channel()
  assert(bus.send("bench", "ready", "bystander"))
  quit:receive()
  return #subs
end

local function beside(count)
  local sub = assert(events.subscribe("bench"))
  assert(process.spawn(bystander, count))
  wait_for(sub:channel(), "ready", 1)
  measure(("Lua: 1 to 1 beside %d other patterns"):format(count), 1, 1, EVENTS)
  assert(events.send("quit", "quit", "bench"))
  sub:close()
end

measure("Lua: 1 to 1, on two workers", 1, 1, EVENTS)
measure("Lua: 4 to 1", 4, 1, EVENTS)
measure("Lua: 1 to 10", 1, 10, EVENTS / 10)
measure("Lua: 1 to 100", 1, FANS, EVENTS / FANS * 4)
beside(1000)
beside(4000)

local start = time.monotonic()
for i = 1, EVENTS * 4 do
  events.send("nobody", "listens", "path", { id = i })
end
local rate = EVENTS * 4 / (time.monotonic() - start)
print(("%-44s %12.0f %s"):format("Lua: nobody listens", rate, "events/s"))
