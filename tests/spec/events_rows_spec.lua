--- Rows of the feature list about the bus and the relay, as scripts meet them.
-- SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")
local kit = require("bus_kit")

local fresh, receive, send_range, settle = kit.fresh, kit.receive, kit.send_range, kit.settle

describe("W-01 W-31 an event", function()
  it("has no data key when there is none", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    assert(events.send(s, "k", "p"))
    assert(events.send(s, "k", "p", false))
    local keys = {}
    for key in pairs(receive(sub:channel())) do
      keys[#keys + 1] = key
    end
    table.sort(keys)
    assert.equal("kind path system", table.concat(keys, " "))
    assert.is_false(receive(sub:channel()).data)
    sub:close()
  end)

  it("is a copy for each subscriber", function()
    local s = fresh("s")
    local a, b = assert(events.subscribe(s)), assert(events.subscribe(s))
    local data = { list = { 1 } }
    assert(events.send(s, "k", "p", data))
    data.list[1] = 2
    local first = receive(a:channel())
    first.data.list[1] = 3
    assert.same({ list = { 1 } }, receive(b:channel()).data)
    a:close()
    b:close()
  end)
end)

describe("W-03 the dispatcher", function()
  it("shows two subscribers the same order of several senders", function()
    local s, go = fresh("s"), fresh("go")
    local a, b = assert(events.subscribe(s)), assert(events.subscribe(s .. ".**"))
    local exits = process.events()
    for i = 1, 4 do
      assert(process.spawn_monitored(function(system, name)
        local bus = require("events")
        for n = 1, 200 do
          assert(bus.send(system, "k", name .. "/" .. n))
        end
      end, s, go .. i))
    end
    for _ = 1, 4 do
      assert.is_nil(receive(exits).result.error)
    end
    for _ = 1, 800 do
      local one, other = receive(a:channel()).path, receive(b:channel()).path
      if one ~= other then assert.equal(one, other) end
    end
    a:close()
    b:close()
  end)
end)

describe("W-06 W-16 events.stats", function()
  it("has a gauge of subscribers and refusals by reason", function()
    local before = events.stats()
    local sub = assert(events.subscribe(fresh("s")))
    assert.equal(before.subscribers + 1, events.stats().subscribers)
    sub:close()
    assert.equal(before.subscribers, events.stats().subscribers)
    assert.is_nil((events.subscribe("")))
    assert.is_nil((events.subscribe("a\0")))
    assert.is_nil((events.send("s", "", "p")))
    assert.is_nil((events.send("s", "k", "p\0")))
    local after = events.stats()
    assert.equal(before.rejected.invalid + 4, after.rejected.invalid)
    for _, reason in ipairs({ "cap", "full", "closed", "memory" }) do
      assert.equal(before.rejected[reason], after.rejected[reason])
      assert.equal(0, after.rejected[reason])
    end
  end)
end)

describe("W-14 W-33 W-36 a subscription", function()
  local function subscriber(system, answer)
    local bus = require("events")
    local sub = assert(bus.subscribe(system))
    assert(bus.send(answer, "ready", "p"))
    sub:channel():receive()
  end

  it("goes at once when its process is terminated, without an event", function()
    local s, answer = fresh("s"), fresh("answer")
    local ready = assert(events.subscribe(answer))
    local before = events.stats().subscribers
    local pids = {}
    for i = 1, 10 do
      pids[i] = assert(process.spawn(subscriber, s, answer))
    end
    for _ = 1, 10 do
      receive(ready:channel())
    end
    assert.equal(before + 10, events.stats().subscribers)
    for _, pid in ipairs(pids) do
      assert(process.terminate(pid))
    end
    kit.wait_for_subscribers(before)
    ready:close()
  end)

  it("goes when its process fails", function()
    local before = events.stats().subscribers
    local _, err = process.exec(function()
      assert(require("events").subscribe("left.behind"))
      error("on purpose")
    end)
    assert.is_not_nil(err)
    kit.wait_for_subscribers(before)
  end)

  it("hears nothing that is sent after close, and nothing twice", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s))
    send_range(s, 1, 2)
    settle()
    sub:close()
    send_range(s, 3, 4)
    settle()
    assert.equal("1 2", kit.paths(sub:channel(), 2))
    local value, ok = receive(sub:channel())
    assert.is_nil(value)
    assert.is_false(ok)
    assert.equal(0, sub:dropped())
  end)
end)

describe("W-12 W-35 a reader that never reads", function()
  it("loses exactly what does not fit, whatever its policy", function()
    local s = fresh("s")
    local kept = { drop_oldest = "8 9 10", drop_newest = "1 2 3", close = "1 2 3" }
    local lost = { drop_oldest = 7, drop_newest = 7, close = 1 }
    for overflow in pairs(kept) do
      local sub = assert(events.subscribe(s, nil, { buffer = 3, overflow = overflow }))
      local before = events.stats().dropped
      send_range(s, 1, 10)
      settle()
      assert.equal(lost[overflow], sub:dropped())
      assert.equal(before + lost[overflow], events.stats().dropped)
      assert.equal(kept[overflow], kit.paths(sub:channel(), 3))
      sub:close()
    end
  end)

  it("has its bound exactly while a small buffer is read", function()
    local s = fresh("s")
    local sub = assert(events.subscribe(s, nil, { buffer = 4 }))
    send_range(s, 1, 4)
    settle()
    assert.equal("1", kit.paths(sub:channel(), 1))
    send_range(s, 5, 6)
    settle()
    assert.equal(1, sub:dropped())
    assert.equal("3 4 5 6", kit.paths(sub:channel(), 4))
    sub:close()
  end)

  it("is told of at doubled marks", function()
    local s = fresh("s")
    local lagging = assert(events.subscribe("bus", "subscriber.lagging"))
    local slow = assert(events.subscribe(s, "**", { buffer = 1, overflow = "drop_newest" }))
    send_range(s, 1, 20)
    settle()
    local marks = {}
    for i = 1, 5 do -- 1, 2, 4, 8, 16 lost of 19
      local event = receive(lagging:channel())
      marks[i] = event.data.dropped
      assert.equal(process.pid(), event.path)
      assert.equal(1, event.data.buffer)
    end
    assert.equal("1 2 4 8 16", table.concat(marks, " "))
    local _, _, err = lagging:channel():receive(0)
    assert.equal("TIMEOUT", err:kind())
    slow:close()
    lagging:close()
  end)
end)

describe("W-34 events.send", function()
  it("does not look at data that nobody hears", function()
    local s = fresh("nobody")
    assert.is_true(events.send(s, "k", "p", { print }))
    local sub = assert(events.subscribe(s, "other"))
    assert.is_true(events.send(s, "k", "p", { print }))
    local ok, err = events.send(s, "other", "p", { print })
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    sub:close()
  end)
end)

describe("W-27 a subscriber", function()
  it("does not handle what came before its close and was not begun", function()
    local s = fresh("s")
    local seen, entered, go = {}, channel.new(5), channel.new(5)
    local subscriber = assert(events.on(s, "*", function(event)
      seen[#seen + 1] = event.path
      entered:send(true)
      go:receive()
    end))
    send_range(s, 1, 5)
    settle()
    receive(entered)
    local closed = channel.new(1)
    coroutine.spawn(function()
      closed:send(subscriber:close())
    end)
    time.sleep(0)
    go:send(true)
    assert.is_true(receive(closed))
    assert.equal("1", table.concat(seen, " "))
    assert.equal(0, subscriber:dropped())
  end)

  it("may be closed by two at once", function()
    local s = fresh("s")
    local entered, go, done = channel.new(1), channel.new(1), channel.new(2)
    local subscriber = assert(events.on(s, nil, function()
      entered:send(true)
      go:receive()
    end))
    assert(events.send(s, "k", "p"))
    receive(entered)
    for _ = 1, 2 do
      coroutine.spawn(function()
        done:send(subscriber:close())
      end)
    end
    time.sleep(0)
    go:send(true)
    assert.is_true(receive(done))
    assert.is_true(receive(done))
  end)
end)

describe("W-28 a router", function()
  it("is empty without routes, and takes them later", function()
    local s = fresh("s")
    local heard = channel.new(10)
    local router = assert(events.router())
    assert(router:add({ system = s, handle = function(event)
      heard:send(event.path)
      error("on purpose")
    end }))
    send_range(s, 1, 3)
    for i = 1, 3 do -- its failures are logged, and it goes on
      assert.equal(tostring(i), receive(heard))
    end
    assert.is_true(router:stop())
  end)

  it("is stopped from inside a handler", function()
    local s = fresh("s")
    local done, router = channel.new(1), nil
    router = assert(events.router({ { system = s, handle = function()
      done:send(router:stop())
    end } }))
    assert(events.send(s, "k", "p"))
    assert.is_true(receive(done))
    local _, err = router:add({ system = s, handle = print })
    assert.equal("CANCELED", err:kind())
  end)
end)

describe("W-29 an awaiter", function()
  it("keeps the first event between prepare and wait, drops later ones", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s))
    local waiter = assert(awaiter:prepare("p"))
    assert(events.send(s, "a.accept", "p", 1))
    assert(events.send(s, "b.reject", "p", 2))
    settle()
    for _ = 1, 2 do -- it can be asked again
      local result = assert(waiter:wait())
      assert.equal(1, result.event.data)
      assert.is_true(result.accepted)
    end
    awaiter:close()
  end)

  it("stays timed out, and is forgotten then", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s))
    local waiter = assert(awaiter:prepare("p/1", { timeout = 0 }))
    local _, err = waiter:wait()
    assert.equal("timed out waiting for an event at p/1", err:message())
    assert.is_true(err:retryable())
    assert(events.send(s, "accept", "p/1"))
    settle()
    time.sleep(0)
    _, err = waiter:wait()
    assert.equal("TIMEOUT", err:kind())
    awaiter:close()
  end)

  it("keeps no waiter that timed out", function()
    local awaiter = assert(events.awaiter(fresh("s")))
    local seen = setmetatable({}, { __mode = "k" })
    local function lose()
      local waiter = assert(awaiter:prepare("p", { timeout = 0 }))
      waiter:wait()
      seen[waiter] = true
    end
    for _ = 1, 100 do
      lose()
    end
    local start, left = time.monotonic(), 100
    while left > 1 and time.monotonic() - start < kit.LONG do -- one may be on the stack
      collectgarbage("step", 1000)
      left = 0
      for _ in pairs(seen) do
        left = left + 1
      end
    end
    assert.is_true(left <= 1)
    awaiter:close()
  end)

  it("wakes several that wait on one path, and none on another", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s))
    local done = channel.new(3)
    for _ = 1, 3 do
      local waiter = assert(awaiter:prepare("p"))
      coroutine.spawn(function()
        done:send(waiter:wait())
      end)
    end
    local other = assert(awaiter:prepare("q", { timeout = "1ms" }))
    assert(events.send(s, "x.accepted", "p"))
    for _ = 1, 3 do
      assert.is_true(receive(done).accepted)
    end
    local _, err = other:wait()
    assert.matches("at q$", err:message())
    awaiter:close()
  end)

  it("hears nothing of a waiter that was closed", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s))
    local waiter = assert(awaiter:prepare("p"))
    assert.is_true(waiter:close())
    assert.is_true(waiter:close())
    local _, err = waiter:wait()
    assert.equal("CANCELED", err:kind())
    awaiter:close()
    _, err = awaiter:prepare("p")
    assert.equal("CANCELED", err:kind())
  end)
end)

describe("W-38 W-39 W-40 the relay", function()
  it("has PIDs in one form, and no process behind any other text", function()
    assert.matches("^{%x+|%x+%.%x+}$", process.pid())
    local bad = { "{", "{}", "{0|0.1", "0|0.1}", "{0|0.1}x", "{node@0|0.1}", "{zz|0.1}", "nobody" }
    for _, text in ipairs(bad) do
      local ok, err = process.send(text, "t", 1)
      assert.is_nil(ok)
      assert.equal("NOT_FOUND", err:kind())
    end
  end)

  it("knows no process of another worker, VM, slot or life", function()
    local place, slot, life = process.pid():match("^{(%x+)|(%x+)%.(%x+)}$")
    local next_life = ("%x"):format(tonumber(life, 16) + 1)
    for _, pid in ipairs({
      "{fff|0.1}", "{ff0|0.1}", "{" .. place .. "|fffff.1}",
      "{" .. place .. "|" .. slot .. "." .. next_life .. "}", "{" .. place .. "|" .. slot .. ".0}",
    }) do
      local ok, err = process.send(pid, "t", 1)
      assert.is_nil(ok)
      assert.equal("NOT_FOUND", err:kind())
      assert.is_nil((process.terminate(pid)))
    end
  end)

  it("keeps the order of each sender, and drops nothing that is read", function()
    local inbox = process.inbox()
    local exits = process.events()
    for i = 1, 4 do
      assert(process.spawn_monitored(function(to, name)
        for n = 1, 500 do
          assert(process.send(to, "order", name, n))
        end
      end, process.pid(), "s" .. i))
    end
    local next_of = { s1 = 1, s2 = 1, s3 = 1, s4 = 1 }
    for _ = 1, 2000 do
      local name, n = receive(inbox):payload()
      if next_of[name] ~= n then assert.equal(next_of[name], n) end
      next_of[name] = n + 1
    end
    for _ = 1, 4 do
      assert.is_nil(receive(exits).result.error)
    end
  end)

  it("answers NOT_FOUND for a process that has ended", function()
    local exits = process.events()
    local pid = assert(process.spawn_monitored(function() end))
    receive(exits)
    local ok, err = process.send(pid, "t", 1)
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
  end)
end)
