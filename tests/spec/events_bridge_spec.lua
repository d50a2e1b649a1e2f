--- The way of an event into a process: rows W-30, W-32, W-37, what data becomes on that way, and
-- that it leaves no memory behind. SPDX-License-Identifier: MIT
local events = require("events")
local fs = require("fs")
local kit = require("bus_kit")

local LONG, fresh, receive = kit.LONG, kit.fresh, kit.receive

-- Hears `system`, tells "ready", then the sum of `count` numbers.
local function adder(system, answer, count)
  local bus = require("events")
  local ch = assert(bus.subscribe(system)):channel()
  assert(bus.send(answer, "ready", "p"))
  local sum = 0
  for _ = 1, count do
    sum = sum + ch:receive().data.number
  end
  assert(bus.send(answer, "sum", "p", sum))
end

describe("W-30 the bridge", function()
  it("brings each of many processes every event, once", function()
    local s, answer = fresh("s"), fresh("answer")
    local sub = assert(events.subscribe(answer))
    local readers, count = 40, 300
    for _ = 1, readers do
      assert(process.spawn(adder, s, answer, count))
    end
    for _ = 1, readers do
      assert.equal("ready", receive(sub:channel()).kind)
    end
    local before = events.stats()
    for i = 1, count do
      assert(events.send(s, "k", "p", { number = i }))
    end
    for _ = 1, readers do
      assert.equal(count * (count + 1) / 2, receive(sub:channel()).data)
    end
    kit.settle()
    local after = events.stats()
    assert.equal(count * readers + readers, after.delivered - before.delivered)
    assert.equal(0, after.dropped - before.dropped)
    sub:close()
  end)

  it("wakes who waits again and again, event by event", function()
    local s, answer = fresh("s"), fresh("answer")
    local sub = assert(events.subscribe(answer))
    local exits = process.events()
    assert(process.spawn_monitored(function(system, back)
      local bus = require("events")
      local ch = assert(bus.subscribe(system)):channel()
      assert(bus.send(back, "ready", "p"))
      for event in ch:values() do
        if event.kind == "stop" then return end
        assert(bus.send(back, event.kind, event.path, event.data))
      end
    end, s, answer))
    assert.equal("ready", receive(sub:channel()).kind)
    for i = 1, 500 do
      assert(events.send(s, "k" .. i % 3, "p" .. i % 7, i))
      local event = receive(sub:channel())
      assert.equal(i, event.data)
      assert.equal("k" .. i % 3, event.kind)
      assert.equal("p" .. i % 7, event.path)
    end
    assert(events.send(s, "stop", "p"))
    assert.is_nil(receive(exits).result.error)
    sub:close()
  end)

  it("tells names and paths apart within one batch", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s .. ".**"))
    local names = { s .. ".a", s .. ".ab", s .. ".a.b" }
    for i = 1, 300 do
      local system, kind, path = names[i % 3 + 1], "k" .. i % 2, "p" .. math.floor(i / 10)
      assert(events.send(system, kind, path, i % 5 ~= 0 and i or nil))
    end
    for i = 1, 300 do
      assert.same({
        system = names[i % 3 + 1],
        kind = "k" .. i % 2,
        path = "p" .. math.floor(i / 10),
        data = i % 5 ~= 0 and i or nil,
      }, receive(sub:channel()))
    end
    sub:close()
  end)
end)

describe("W-32 events.subscribe", function()
  it("gives each call a subscription and a channel of its own", function()
    local s = fresh("s")
    local a, b = assert(events.subscribe(s)), assert(events.subscribe(s))
    assert.not_equal(a, b)
    assert.not_equal(a:channel(), b:channel())
    assert(events.send(s, "k", "p"))
    assert.equal("p", receive(a:channel()).path)
    a:close()
    assert.equal("p", receive(b:channel()).path)
    assert(events.send(s, "k", "q"))
    assert.equal("q", receive(b:channel()).path)
    assert.is_nil((a:channel():receive(LONG)))
    b:close()
  end)

  it("refuses an empty system in the words of the bus", function()
    local sub, err = events.subscribe("")
    assert.is_nil(sub)
    assert.equal("INVALID", err:kind())
    assert.matches("system pattern is required", err:message(), 1, true)
  end)
end)

describe("W-37 what brings events to a process", function()
  it("is no message of anybody: inbox and listeners see nothing of it", function()
    local s = fresh("s")
    local inbox, listener = process.inbox(), process.listen(s)
    local sub = assert(events.subscribe(s))
    local waiting = channel.new(1)
    coroutine.spawn(function()
      waiting:send((receive(sub:channel())))
    end)
    assert(events.send(s, "k", "p", { x = 1 }))
    assert.equal("p", receive(waiting).path)
    assert.is_nil((inbox:receive(0)))
    assert.is_nil((listener:receive(0)))
    assert.is_true(process.unlisten(listener))
    sub:close()
  end)
end)

-- Maps of few keys whose order and names share beginnings, nested, with values that look like keys.
local function random_value(random, depth)
  local pick = random(depth > 3 and 5 or 8)
  if pick == 1 then return random(2) == 1 end
  if pick == 2 then return random(1000) - 500 end
  if pick == 3 then return random(1000) / 7 end
  if pick == 4 then return ("ab"):rep(random(3)) end
  if pick == 5 then return ("\0\n\"\\]"):sub(1, random(5)) end
  local map = {}
  for _ = 1, random(pick == 6 and 16 or 4) - 1 do
    local key = ({ "a", "ab", "b", "ba", "\0", "\"", "end", "" })[random(8)]
    if pick == 8 then key = key .. random(3) end
    map[key] = random_value(random, depth + 1)
  end
  return map
end

describe("data", function()
  it("keeps every number and string at the borders of its form", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    local list = { 0.5, 1 / 0, -1 / 0, 2 ^ 53, -2 ^ 53, 2 ^ 53 + 2, 1e300, -1e-300 }
    for _, power in ipairs({ 5, 7, 8, 15, 16, 31, 32, 40, 52 }) do
      for near = -1, 1 do
        list[#list + 1] = 2 ^ power + near
        list[#list + 1] = -2 ^ power + near
      end
    end
    for _, size in ipairs({ 0, 31, 32, 255, 256, 65535, 65536 }) do
      list[#list + 1] = ("x"):rep(size)
    end
    for _, value in ipairs(list) do
      assert(events.send(s, "k", "p", value))
      assert(events.send(s, "k", "p", { value = value, [1] = value }))
      assert.equal(value, receive(sub:channel()).data)
      assert.same({ value = value, [1] = value }, receive(sub:channel()).data)
    end
    assert(events.send(s, "k", "p", -0.0))
    assert.equal(-1 / 0, 1 / receive(sub:channel()).data)
    assert(events.send(s, "k", "p", 0 / 0))
    local nan = receive(sub:channel()).data
    assert.is_true(nan ~= nan)
    for _, count in ipairs({ 0, 15, 16, 17, 65535, 65536 }) do
      local array, map = {}, {}
      for i = 1, count do
        array[i] = i
        map["k" .. i] = i
      end
      assert(events.send(s, "k", "p", { array = array, map = map }))
      local got = receive(sub:channel()).data
      assert.equal(count, #got.array)
      for i = 1, count do
        if got.array[i] ~= i or got.map["k" .. i] ~= i then error("changed at " .. i) end
      end
    end
    sub:close()
  end)

  it("arrives as it was sent, whatever tables came before it", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    local state = 20260101
    local function random(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return math.floor(state / 65536) % n + 1
    end
    for _ = 1, 30 do
      local sent = {}
      for i = 1, 100 do
        sent[i] = { random_value(random, 0) }
        assert(events.send(s, "k", "p", sent[i]))
      end
      for i = 1, 100 do
        assert.same(sent[i], receive(sub:channel()).data)
      end
    end
    sub:close()
  end)

  it("of one shape that changes half-way is not mixed up", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    for _ = 1, 100 do
      assert(events.send(s, "k", "p", { id = 1, name = "n", flag = false }))
      assert.same({ id = 1, name = "n", flag = false }, receive(sub:channel()).data)
    end
    for _, data in ipairs({
      { id = 1, name = "n", flags = false },
      { id = { id = 2, name = "m", flag = true }, name = "n", flag = false },
      { id = 1, name = "n", other = { 1, 2, 3 } },
      { id = "id", [1] = 2, [7] = 3 },
    }) do
      assert(events.send(s, "k", "p", data))
      assert.same(data, receive(sub:channel()).data)
    end
    local first = { id = 1, name = "n", flag = true }
    assert(events.send(s, "k", "p", first))
    assert(events.send(s, "k", "p", first))
    local one, two = receive(sub:channel()).data, receive(sub:channel()).data
    one.id, one.more = 5, 6
    assert.same(first, two)
    sub:close()
  end)

  it("of many shapes makes no end of functions", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    for round = 1, 12 do
      for i = 1, 300 do
        assert(events.send(s, "k", "p", { ["key" .. i] = i, other = round }))
      end
      for i = 1, 300 do
        assert.same({ ["key" .. i] = i, other = round }, receive(sub:channel()).data)
      end
    end
    sub:close()
  end)
end)

-- Sanitizers keep what is freed, and take their time.
local WATCHED = os.getenv("ASAN_OPTIONS") ~= nil or os.getenv("TSAN_OPTIONS") ~= nil

-- Bytes of this program in memory.
local function resident()
  local pages = assert(fs.read("/proc/self/statm")):match("^%d+ (%d+)")
  return tonumber(pages) * 4096
end

describe("millions of events", function()
  it("leave nothing behind", function()
    local s, answer = fresh("s"), fresh("answer")
    local sub = assert(events.subscribe(answer))
    local readers, chunk = 10, 2000
    for _ = 1, readers do
      assert(process.spawn(function(system, back, size)
        local bus = require("events")
        local subscription = assert(bus.subscribe(system))
        local ch = subscription:channel()
        assert(bus.send(back, "ready", "p"))
        local count = 0
        for event in ch:values() do
          if event.kind == "stop" then break end
          count = count + 1
          if count % size == 0 then bus.send(back, "read", "p", subscription:dropped()) end
        end
      end, s, answer, chunk))
    end
    local function hear(kind)
      for _ = 1, readers do
        local event = receive(sub:channel())
        assert.equal(kind, event.kind)
        assert.is_true(not event.data or event.data == 0)
      end
    end
    local function run(chunks)
      for _ = 1, chunks do
        for i = 1, chunk do
          assert(events.send(s, "k", "path/" .. i, { id = i, name = "an event", ok = true }))
        end
        hear("read")
      end
    end
    hear("ready")
    run(WATCHED and 1 or 20)
    local before = resident()
    run(WATCHED and 4 or 80) -- 1.6 million deliveries
    local grown = resident() - before
    assert.is_true(WATCHED or grown < 48 * 1024 * 1024, grown .. " bytes more")
    assert(events.send(s, "stop", "p"))
    kit.settle()
    assert.equal(0, events.stats().queued)
    sub:close()
  end)
end)
