--- The bus as scripts see it. SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")
local kit = require("bus_kit")

local LONG, fresh, receive, paths = kit.LONG, kit.fresh, kit.receive, kit.paths
local send_range, settle = kit.send_range, kit.settle

describe("events.subscribe", function()
  it("hears what matches, with all its parts", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s .. ".*", "(new|gone)"))
    local data = { list = { 1, 2 }, text = "x", flag = false }
    assert.is_true(events.send(s .. ".a", "new", "1", data))
    assert(events.send(s .. ".a", "other", "2"))
    assert(events.send(s, "new", "3"))
    assert(events.send(s .. ".b", "gone", "4"))
    local first = receive(sub:channel())
    assert.same({
      system = s .. ".a",
      kind = "new",
      path = "1",
      data = { list = { 1, 2 }, text = "x", flag = false },
    }, first)
    assert.same({ system = s .. ".b", kind = "gone", path = "4" }, receive(sub:channel()))
    assert.is_true(sub:close())
  end)

  it("takes nil, an empty kind and ** as any kind", function()
    local s = fresh("s")
    for _, kind in ipairs({ "", "**" }) do
      local sub = assert(events.subscribe(s, kind))
      assert(events.send(s, "any.kind.at.all", "p"))
      assert.equal("any.kind.at.all", receive(sub:channel()).kind)
      sub:close()
    end
    local sub = assert(events.subscribe(s))
    assert(events.send(s, "k", "p"))
    assert.equal("k", receive(sub:channel()).kind)
    sub:close()
  end)

  it("carries any data, nil apart", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    for _, data in ipairs({ 0, -1.5, "", "text", true, false, {}, { { {} } } }) do
      assert(events.send(s, "k", "p", data))
      assert.same(data, receive(sub:channel()).data)
    end
    sub:close()
  end)

  it("refuses an empty system and zero bytes", function()
    for _, system in ipairs({ "", "a\0b" }) do
      local sub, err = events.subscribe(system)
      assert.is_nil(sub)
      assert.equal("INVALID", err:kind())
    end
  end)

  it("raises for wrong types, naming the argument", function()
    assert.error_matches(function()
      events.subscribe(nil)
    end, "bad argument #1 to 'subscribe' %(string expected, got nil%)")
    assert.error_matches(function()
      events.subscribe("s", 5)
    end, "bad argument #2 to 'subscribe'")
    assert.error_matches(function()
      events.subscribe("s", "k", { buffer = "many" })
    end, "buffer")
    assert.error_matches(function()
      events.subscribe("s", "k", { buffer = 0 })
    end, "buffer")
    assert.error_matches(function()
      events.subscribe("s", "k", { overflow = "explode" })
    end, "overflow")
  end)

  it("gives the same channel each time, for receiving only", function()
    local sub = assert(events.subscribe(fresh("s")))
    assert.equal(sub:channel(), sub:channel())
    assert.has_error(function()
      sub:channel():send("x")
    end)
    sub:close()
  end)

  it("keeps what is buffered readable after close", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    send_range(s, 1, 3)
    settle()
    assert.is_true(sub:close())
    assert.is_true(sub:close())
    send_range(s, 4, 5)
    assert.equal("1 2 3", paths(sub:channel(), 3))
    local value, ok = receive(sub:channel())
    assert.is_nil(value)
    assert.is_false(ok)
  end)

  it("ends a waiting receive when it is closed", function()
    local sub = assert(events.subscribe(fresh("s")))
    local result = channel.new(1)
    coroutine.spawn(function()
      local value, ok = sub:channel():receive()
      result:send({ value = value, ok = ok })
    end)
    time.sleep(0)
    sub:close()
    assert.same({ ok = false }, receive(result))
  end)

  it("serves several receivers of one channel", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    local got = channel.new(10)
    for _ = 1, 4 do
      coroutine.spawn(function()
        got:send(sub:channel():receive(LONG).path)
      end)
    end
    time.sleep(0)
    send_range(s, 1, 2)
    local seen = { [receive(got)] = true, [receive(got)] = true }
    send_range(s, 3, 4)
    seen[receive(got)], seen[receive(got)] = true, true
    assert.same({ ["1"] = true, ["2"] = true, ["3"] = true, ["4"] = true }, seen)
    sub:close()
  end)

  it("works in select, closed ones too", function()
    local s = fresh("s")
    local a, b = assert(events.subscribe(s, "a")), assert(events.subscribe(s, "b"))
    local function wait()
      return channel.select({
        a:channel():case_receive(),
        b:channel():case_receive(),
        timeout = LONG,
      })
    end
    assert(events.send(s, "b", "1"))
    local result = wait()
    assert.equal(b:channel(), result.channel)
    assert.equal("1", result.value.path)
    coroutine.spawn(function()
      events.send(s, "a", "2")
    end)
    result = wait()
    assert.equal(a:channel(), result.channel)
    assert.equal("2", result.value.path)
    a:close()
    result = wait()
    assert.equal(a:channel(), result.channel)
    assert.is_false(result.ok)
    b:close()
  end)

  it("times out", function()
    local sub = assert(events.subscribe(fresh("s")))
    local value, ok, err = sub:channel():receive(0)
    assert.is_nil(value)
    assert.is_nil(ok)
    assert.equal("TIMEOUT", err:kind())
    local _, _, later = sub:channel():receive("10ms")
    assert.equal("TIMEOUT", later:kind())
    sub:close()
  end)
end)

describe("a full buffer", function()
  local function filled(overflow)
    local s = fresh("s")
    local sub = assert(events.subscribe(s, nil, { buffer = 4, overflow = overflow }))
    send_range(s, 1, 10)
    settle()
    return sub, s
  end

  it("drops the oldest by default", function()
    for _, overflow in ipairs({ false, "drop_oldest" }) do
      local sub = filled(overflow or nil)
      assert.equal(6, sub:dropped())
      assert.equal("7 8 9 10", paths(sub:channel(), 4))
      sub:close()
      assert.equal(6, sub:dropped())
    end
  end)

  it("drops the newest when told so", function()
    local sub, s = filled("drop_newest")
    assert.equal(6, sub:dropped())
    assert.equal("1 2 3 4", paths(sub:channel(), 4))
    send_range(s, 11, 11)
    assert.equal("11", paths(sub:channel(), 1))
    sub:close()
  end)

  it("closes when told so", function()
    local sub = filled("close")
    assert.equal(1, sub:dropped())
    assert.equal("1 2 3 4", paths(sub:channel(), 4))
    local value, ok = receive(sub:channel())
    assert.is_nil(value)
    assert.is_false(ok)
    sub:close()
  end)

  it("delays nobody else, and is told on the bus", function()
    local s = fresh("s")
    local lagging = assert(events.subscribe("bus", "subscriber.lagging"))
    local slow = assert(events.subscribe(s, nil, { buffer = 2 }))
    local fast = assert(events.subscribe(s))
    send_range(s, 1, 100)
    for i = 1, 100 do
      assert.equal(tostring(i), receive(fast:channel()).path)
    end
    settle()
    assert.equal(98, slow:dropped())
    local event = receive(lagging:channel())
    assert.equal(process.pid(), event.data.pid)
    assert.equal(s, event.data.system)
    assert.equal(1, event.data.dropped)
    lagging:close()
    slow:close()
    fast:close()
  end)
end)

describe("events.send", function()
  it("refuses empty strings and zero bytes", function()
    local bad = { { "", "k", "p" }, { "s", "", "p" }, { "s", "k", "" }, { "s", "k\0", "p" } }
    for _, names in ipairs(bad) do
      local ok, err = events.send(unpack(names))
      assert.is_nil(ok)
      assert.equal("INVALID", err:kind())
    end
  end)

  it("raises for wrong types", function()
    assert.error_matches(function()
      events.send("s", nil, "p")
    end, "bad argument #2 to 'send' %(string expected, got nil%)")
    assert.error_matches(function()
      events.send("s", "k", 5)
    end, "bad argument #3 to 'send'")
  end)

  it("refuses data that cannot cross, naming the key path", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    local ok, err = events.send(s, "k", "p", { user = { cb = print } })
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.matches("data.user.cb: function", err:message(), 1, true)
    sub:close()
  end)

  it("answers true when nobody listens", function()
    assert.is_true(events.send(fresh("nobody"), "k", "p", { 1 }))
  end)

  it("keeps the order of a sender, however many there are", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    send_range(s, 1, 20000)
    for i = 1, 20000 do
      local event = receive(sub:channel())
      if event.path ~= tostring(i) then assert.equal(tostring(i), event.path) end
    end
    sub:close()
  end)

  it("carries megabytes", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    local big = ("x"):rep(8 * 1024 * 1024)
    for i = 1, 10 do
      assert(events.send(s, "k", tostring(i), big))
      local event = receive(sub:channel())
      assert.equal(tostring(i), event.path)
      assert.equal(#big, #event.data)
    end
    assert.equal(0, sub:dropped())
    sub:close()
  end)

  it("waits as a coroutine while the bus is full; every event is accounted for", function()
    local s = fresh("s")
    local count, subs = 80000, {}
    for i = 1, 300 do -- so many that the bus is slower than its sender
      subs[i] = assert(events.subscribe(s, nil, { buffer = 2, overflow = "drop_newest" }))
    end
    local data = ("x"):rep(1000)
    for i = 1, count do -- more than the intake's 64 MB
      if not events.send(s, "k", tostring(i), data) then error("not sent") end
    end
    settle()
    for _, sub in ipairs(subs) do
      assert.equal(count - 2, sub:dropped())
      assert.equal("1 2", paths(sub:channel(), 2))
      sub:close()
    end
  end)
end)

describe("processes", function()
  -- Each echoes what it hears to the bus, until it hears "stop".
  local function echo(name, listen, answer)
    local bus = require("events")
    local sub = assert(bus.subscribe(listen))
    assert(bus.send(answer, "ready", name))
    for event in sub:channel():values() do
      if event.kind == "stop" then break end
      assert(bus.send(answer, event.kind, name, event.data))
    end
    return "done"
  end

  it("hear each other over the bus, in order", function()
    local s, answer = fresh("s"), fresh("answer")
    local sub = assert(events.subscribe(answer))
    local exits = process.events()
    for i = 1, 4 do
      assert(process.spawn_monitored(echo, "p" .. i, s, answer))
    end
    for _ = 1, 4 do
      assert.equal("ready", receive(sub:channel()).kind)
    end
    for i = 1, 50 do
      assert(events.send(s, "k", "p", { number = i }))
    end
    local next_of = { p1 = 1, p2 = 1, p3 = 1, p4 = 1 }
    for _ = 1, 200 do
      local event = receive(sub:channel())
      assert.equal(next_of[event.path], event.data.number)
      next_of[event.path] = next_of[event.path] + 1
    end
    assert(events.send(s, "stop", "p"))
    for _ = 1, 4 do
      assert.equal("done", receive(exits).result.value)
    end
    sub:close()
  end)

  it("lose their subscriptions when they end", function()
    local before = events.stats().subscribers
    local count = assert(process.exec(function()
      local bus = require("events")
      for _ = 1, 10 do
        assert(bus.subscribe("left.behind"))
      end
      return bus.stats().subscribers
    end))
    assert.equal(before + 10, count)
    kit.wait_for_subscribers(before)
  end)

  it("are not held up by one that never reads", function()
    local s = fresh("s")
    local exits = process.events()
    local ready = assert(events.subscribe(s, "ready"))
    local stuck = assert(process.spawn_monitored(function(system)
      local bus = require("events")
      local sub = bus.subscribe(system, "flood", { buffer = 10 })
      assert(sub and bus.send(system, "ready", "p"))
      while true do
      end
    end, s))
    receive(ready:channel())
    local sub = assert(events.subscribe(s, "flood"))
    for i = 1, 1000 do
      assert(events.send(s, "flood", tostring(i)))
    end
    assert.equal("1", receive(sub:channel()).path)
    assert(process.terminate(stuck))
    assert.equal(stuck, receive(exits).from)
    ready:close()
    sub:close()
  end)
end)

describe("events.stats", function()
  it("counts", function()
    local s = fresh("s")
    local before = events.stats()
    local sub = assert(events.subscribe(s, nil, { buffer = 2, overflow = "drop_newest" }))
    send_range(s, 1, 5)
    assert(events.send(fresh("nobody"), "k", "p"))
    settle()
    local after = events.stats()
    assert.equal(1, after.subscribers - before.subscribers)
    assert.equal(6, after.published - before.published)
    assert.equal(2, after.delivered - before.delivered)
    assert.equal(3, after.dropped - before.dropped)
    assert.equal(0, after.queued)
    sub:close()
  end)
end)
