--- Channels are tables that scripts hold in their hands. What one writes into its own hurts it
-- alone, whether the next message comes from its own VM or another one.
-- SPDX-License-Identifier: MIT
local WAIT = 30

-- What is written, slot by slot: ring, first, count, mask, capacity, closed, waiting, receivers,
-- senders, owner, source, kind.
local spoilers = {
  ["a ring that is none"] = { [1] = "text", [3] = 1, [4] = 1023 },
  ["a ring that is too short"] = { [1] = {}, [3] = 2, [4] = 1023 },
  ["a ring that is gone"] = { [1] = false, [3] = 3, [4] = 7 },
  ["a count beyond the ring"] = { [3] = 2 ^ 40 },
  ["a count below nothing"] = { [3] = -5 },
  ["a count that is no number"] = { [3] = 0 / 0 },
  ["a mask without end"] = { [1] = {}, [4] = 2 ^ 52, [3] = 2 ^ 30 },
  ["a mask that is almost none"] = { [1] = "text", [4] = -0.5 },
  ["a first that is no number"] = { [1] = {}, [2] = 0 / 0, [3] = 1, [4] = 3 },
  ["a wait that is nobody's"] = { [7] = 2 ^ 21 * 12345 },
  ["a wait that is no number"] = { [7] = "text" },
  ["a first beyond the ring"] = { [2] = -2 ^ 31, [3] = 1, [4] = 3 },
  ["a capacity that is none"] = { [5] = "x" },
  ["receivers that are none"] = { [8] = true },
  ["an owner that is none"] = { [10] = {} },
  ["a kind that is none"] = { [12] = 77 },
}

-- Spoils its channel, says that it is ready, and takes what comes.
local function victim(parent, slots)
  local ch = process.inbox()
  for slot, value in pairs(slots) do
    ch[slot] = value
  end
  process.send(parent, "ready", process.pid())
  while true do
    local _, ok = ch:receive()
    if not ok then return end
  end
end

local function innocent()
  local inbox = process.inbox()
  while true do
    local msg = inbox:receive()
    process.send(msg:from(), "pong", msg:payload())
  end
end

describe("a channel that its script has spoilt", function()
  for what, slots in pairs(spoilers) do
    it("harms nobody else: " .. what, function()
      local pongs, ready = process.listen("pong"), process.listen("ready")
      local good, bad = {}, {}
      for i = 1, 4 do
        good[i] = assert(process.spawn(innocent))
        bad[i] = assert(process.spawn(victim, process.pid(), slots))
      end
      for _ = 1, 4 do
        assert(ready:receive(WAIT))
      end
      for round = 1, 50 do
        for i = 1, 4 do
          process.send(bad[i], "topic", round)
          process.send(bad[i], "topic", round, { round })
          assert(process.send(good[i], "ping", round))
          assert.equal(round, (pongs:receive(WAIT)))
        end
      end
      for i = 1, 4 do
        process.terminate(bad[i])
        process.terminate(good[i])
      end
      process.unlisten(pongs)
      process.unlisten(ready)
    end)
  end

  it("puts nothing into the library that all share", function()
    local function taker(parent)
      local ch = process.inbox()
      ch[1], ch[2], ch[3], ch[4] = string, 0, 0, 3
      process.send(parent, "ready", 0)
      process.events():receive()
    end
    local ready = process.listen("ready")
    local takers = {}
    for i = 1, 4 do -- some of them in this VM
      takers[i] = assert(process.spawn_monitored(taker, process.pid()))
    end
    for _ = 1, 4 do
      assert(ready:receive(WAIT))
    end
    for i = 1, 4 do
      process.send(takers[i], "topic", 1)
      process.send(takers[i], "topic", { 1 })
      process.cancel(takers[i])
    end
    for _ = 1, 4 do
      assert(process.events():receive(WAIT))
    end
    process.unlisten(ready)
    for i = 1, 4 do
      assert.is_nil(string[i])
    end
  end)

  it("does not resume who waits in another process", function()
    -- Numbers of waits are small, so all those that may be in use are tried.
    local function sleeper(parent)
      local ch = process.listen("never")
      process.send(parent, "ready", 0)
      local got = ch:receive()
      process.send(parent, "woken", tostring(got))
    end
    local ready, woken = process.listen("ready"), process.listen("woken")
    local sleepers = {}
    for i = 1, 8 do
      sleepers[i] = assert(process.spawn(sleeper, process.pid()))
    end
    for _ = 1, 8 do
      assert(ready:receive(WAIT))
    end
    local mine = require("channel").new(1)
    coroutine.spawn(function() mine:receive() end)
    require("time").sleep(0)
    local sample = mine[7] -- where waits of this time are
    assert.is_number(sample)
    mine:send(0)
    local own = process.listen("own")
    local slots = 2 ^ 21 -- what is above counts the waits, what is below names a coroutine
    local newest = math.floor(sample / slots)
    for ticket = newest, math.max(newest - 100, 1), -1 do
      for slot = 0, 40 do
        local guess = ticket * slots + slot
        mine[7] = guess
        pcall(mine.send, mine, "stolen")
        mine[1], mine[2], mine[3], mine[4], mine[7] = false, 0, 0, -1, false
        own[7] = guess
        process.send(process.pid(), "own", "stolen")
        own[1], own[2], own[3], own[4], own[7] = false, 0, 0, -1, false
      end
    end
    assert.is_nil((woken:receive(0.05)))
    for i = 1, 8 do
      assert(process.send(sleepers[i], "never", i))
    end
    local sum = 0
    for _ = 1, 8 do
      sum = sum + tonumber((woken:receive(WAIT)))
    end
    assert.equal(36, sum)
  end)
end)
