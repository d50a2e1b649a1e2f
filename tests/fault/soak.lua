--- One round of the soak: random spawns, links, messages, names, subscriptions and kills for some
-- seconds, from a seed; then everything is ended, and the round returns when nothing is left.
-- SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")

local seconds, seed = tonumber(arg[1]), tonumber(arg[2])
local MOST = 300

local me = process.pid()
process.set_options({ trap_links = true })
local inbox, notes = process.inbox(), process.events()
local random = math.random
math.randomseed(seed)

local pids, count = {}, 0
local made, ended, sent = 0, 0, 0

-- What is spawned: kinds of life, each by name in tests/fault/life.lua.
local KINDS = {
  "echo", "echo", "echo", "sleeper", "sleeper", "fails", "returns", "hog", "parent", "fibers",
  "channels", "subscriber", "timers", "named", "hoarder", "waits",
}
local HOW = { "spawn", "spawn_monitored", "spawn_linked", "spawn_linked_monitored" }

local function any()
  return pids[random(count)]
end

local function add()
  if count >= MOST then return end
  local kind = KINDS[random(#KINDS)]
  local pid = process[HOW[random(#HOW)]]("./tests/fault/life.lua", kind, random(2 ^ 30), me)
  if not pid then return end
  made, count = made + 1, count + 1
  pids[count] = pid
end

local function drop(i)
  pids[i], pids[count] = pids[count], nil
  count = count - 1
end

local function bury()
  for i = count, 1, -1 do
    if not process.send(pids[i], "hello") then drop(i) end
  end
end

local actions = {
  add, add, add, add,
  function() process.terminate(any()) end,
  function() process.cancel(any(), "soak") end,
  function()
    for _ = 1, random(20) do
      sent = sent + 1
      process.send(any(), "hello", any(), { n = sent, text = ("x"):rep(random(200)) })
    end
  end,
  function() process.link(any()) end,
  function() process.unlink(any()) end,
  function() process.monitor(any()) end,
  function() process.unmonitor(any()) end,
  function() process.send(any(), "link", any()) end,
  function() process.send("soak" .. random(20), "hello", me, {}) end,
  function() events.send("soak", "kind." .. random(5), "path", { n = random(100) }) end,
  function() time.sleep(random() * 0.003) end,
  function()
    local i = random(count) -- some are forgotten; they end with the round
    if not process.monitor(pids[i]) then drop(i) end
  end,
}

local function read()
  while true do
    local result = channel.select({ inbox:case_receive(), notes:case_receive(), default = true })
    if result.default then return end
    local note = result.channel == notes and result.value
    if note and note.kind == process.event.EXIT then ended = ended + 1 end
  end
end

local stop = time.monotonic() + seconds
add()
while time.monotonic() < stop do
  if count == 0 then add() end
  if count > 0 then actions[random(#actions)]() end
  if random(8) == 1 then read() end
  if random(20) == 1 then bury() end
  if count > MOST * 0.9 then
    for _ = 1, MOST / 2 do
      process.terminate(pids[count])
      drop(count)
    end
  end
end

local left
repeat
  left = 0
  for _, row in ipairs(process.list()) do
    if row.pid ~= me then
      left = left + 1
      process.terminate(row.pid)
    end
  end
  read()
  time.sleep(0.01)
until left == 0
print(("made %d, ended %d, sent %d"):format(made, ended, sent))
