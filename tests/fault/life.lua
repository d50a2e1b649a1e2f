--- The lives that the soak spawns: life(kind, seed, parent).
-- SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")

local M = {}

local function spend(random, seconds)
  local stop, n = time.monotonic() + seconds, 0
  repeat n = n + random(10) until time.monotonic() > stop
  return n
end

function M.echo()
  for message in process.inbox():values() do
    local to, data = message:payload()
    if message:topic() == "link" then
      process.link(to)
    elseif type(to) == "string" and message:topic() == "hello" then
      process.send(to, "echo", data)
    end
  end
end

function M.sleeper(random)
  for _ = 1, random(50) do time.sleep(random() * 0.02) end
end

function M.fails(random)
  time.sleep(random() * 0.05)
  if random(2) == 1 then error({ code = random(100) }) end
  coroutine.wrap(function() error("soak: it fails") end)()
end

function M.returns(random)
  return { number = random(100), text = ("x"):rep(random(100)) }
end

function M.hog(random)
  if random(4) == 1 then
    while true do pcall(spend, random, 1) end
  end
  for _ = 1, random(5) do
    spend(random, random() * 0.02)
    time.sleep(0.001)
  end
end

function M.parent(random, seed)
  local kinds = { "echo", "sleeper", "fails", "returns", "channels", "timers" }
  for i = 1, random(6) do
    process.spawn_linked("./tests/fault/life.lua", kinds[random(#kinds)], seed + i)
  end
  if random(2) == 1 then process.exec("./tests/fault/life.lua", "returns", seed) end
  time.sleep(random() * 0.1)
end

function M.fibers(random)
  for _ = 1, random(10) do
    coroutine.spawn(function() time.sleep(random() * 0.1) end)
  end
  time.sleep(random() * 0.05)
end

function M.channels(random)
  local ch = channel.new(random(4) - 1)
  local n = random(200)
  coroutine.spawn(function()
    for i = 1, n do ch:send(i) end
    ch:close()
  end)
  for _ in ch:values() do
    if random(20) == 1 then channel.select({ ch:case_receive(), timeout = 0.001 }) end
  end
end

function M.subscriber(random)
  local sub = assert(events.subscribe("soak", random(2) == 1 and "kind.*" or nil, { buffer = 16 }))
  for _ = 1, random(20) do
    sub:channel():receive(0.02)
    if random(5) == 1 then events.send("soak", "kind.x", "p", { 1 }) end
  end
  if random(2) == 1 then sub:close() end
end

function M.timers(random)
  local ticker = time.ticker(0.001 + random() * 0.01)
  local timer = time.timer(random())
  for _ = 1, random(10) do ticker:channel():receive() end
  if random(2) == 1 then timer:stop() end
  timer:reset(random() * 0.01)
  time.after(random() * 0.05):receive()
end

function M.named(random)
  process.registry.register("soak" .. random(20))
  process.inbox():receive(random() * 0.2)
end

function M.hoarder(random)
  local t = {}
  for i = 1, random(20000) do t[i] = { i } end
  time.sleep(random() * 0.05)
  return #t
end

function M.waits()
  for event in process.events():values() do
    if event.kind == process.event.CANCEL then return end
  end
end

return function(kind, seed)
  math.randomseed(seed)
  return M[kind](math.random, seed)
end
