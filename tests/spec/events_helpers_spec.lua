--- Subscribers, routers and awaiters as scripts see them. SPDX-License-Identifier: MIT
local events = require("events")
local time = require("time")
local kit = require("bus_kit")

local fresh, receive, send_range, settle = kit.fresh, kit.receive, kit.send_range, kit.settle

describe("events.on", function()
  it("calls its handler serially and goes on after errors", function()
    local s = fresh("s")
    local seen, inside, done = {}, 0, channel.new(1)
    local subscriber = assert(events.on(s, "k", function(event)
      inside = inside + 1
      assert(inside == 1)
      time.sleep(0.001)
      inside = inside - 1
      seen[#seen + 1] = event.path
      if event.path == "2" then error("on purpose") end
      if event.path == "4" then done:send(true) end
    end))
    send_range(s, 1, 4)
    receive(done)
    assert.equal("1 2 3 4", table.concat(seen, " "))
    assert.is_true(subscriber:close())
    assert.is_true(subscriber:close())
    send_range(s, 5, 6)
    settle()
    time.sleep(0)
    assert.equal(4, #seen)
  end)

  it("waits in close for a running handler", function()
    local s = fresh("s")
    local entered, go, finished = channel.new(1), channel.new(1), false
    local subscriber = assert(events.on(s, nil, function()
      entered:send(true)
      go:receive()
      finished = true
    end))
    assert(events.send(s, "k", "p"))
    receive(entered)
    coroutine.spawn(function()
      time.sleep(0.01)
      go:send(true)
    end)
    subscriber:close()
    assert.is_true(finished)
  end)

  it("closes from inside its handler", function()
    local s = fresh("s")
    local calls, done, subscriber = 0, channel.new(1), nil
    subscriber = assert(events.on(s, nil, function()
      calls = calls + 1
      subscriber:close()
      done:send(true)
    end))
    send_range(s, 1, 3)
    receive(done)
    settle()
    time.sleep(0)
    assert.equal(1, calls)
  end)

  it("refuses an empty system and raises without a handler", function()
    local subscriber, err = events.on("", nil, print)
    assert.is_nil(subscriber)
    assert.equal("INVALID", err:kind())
    assert.error_matches(function()
      events.on("s", "k")
    end, "bad argument #3 to 'on'")
  end)
end)

describe("events.router", function()
  it("routes, takes more handlers, stops all", function()
    local s = fresh("s")
    local heard = channel.new(100)
    local function handler(name)
      return function(event)
        heard:send(name .. event.path)
        if event.path == "bad" then error("on purpose") end
      end
    end
    local router = assert(events.router({
      { system = s, kind = "a", handle = handler("a") },
      { system = s, kind = "b", handle = handler("b") },
    }))
    assert(events.send(s, "a", "bad"))
    assert.equal("abad", receive(heard))
    assert(events.send(s, "a", "1"))
    assert.equal("a1", receive(heard))
    assert.is_true(router:add({ system = s, kind = "c", handle = handler("c") }))
    assert(events.send(s, "c", "2"))
    assert.equal("c2", receive(heard))
    assert(events.send(s, "b", "3"))
    assert.equal("b3", receive(heard))
    local before = events.stats().subscribers
    assert.is_true(router:stop())
    assert.is_true(router:stop())
    assert.equal(before - 3, events.stats().subscribers)
    local ok, err = router:add({ system = s, handle = print })
    assert.is_nil(ok)
    assert.equal("CANCELED", err:kind())
  end)

  it("tells which handler is wrong, and leaves nothing behind", function()
    local before = events.stats().subscribers
    local router, err = events.router({
      { system = "fine", handle = print },
      { system = "", handle = print },
    })
    assert.is_nil(router)
    assert.equal("INVALID", err:kind())
    assert.equal(before, events.stats().subscribers)
    assert.error_matches(function()
      events.router({ { system = "s" } })
    end, "handle")
  end)
end)

describe("events.awaiter", function()
  it("wakes all waiters of a path, with what was decided", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s, "**"))
    local one, two = assert(awaiter:prepare("7")), assert(awaiter:prepare("7"))
    local other = assert(awaiter:prepare("8", { timeout = "30s" }))
    local later = channel.new(1)
    coroutine.spawn(function()
      later:send(two:wait())
    end)
    assert(events.send(s, "order.accepted", "7", { id = 1 }))
    assert(events.send(s, "order.rejected", "7", "too late"))
    assert(events.send(s, "rejected", "8", "no stock"))
    local result = assert(one:wait())
    assert.is_true(result.accepted)
    assert.equal(1, result.event.data.id)
    assert.is_nil(result.error)
    assert.is_true(receive(later).accepted)
    result = assert(other:wait())
    assert.is_false(result.accepted)
    assert.equal("no stock", result.error)
    assert.is_true(one:close())
    awaiter:close()
  end)

  it("times out, naming the path", function()
    local awaiter = assert(events.awaiter(fresh("s"), "k"))
    local waiter = assert(awaiter:prepare("lost/one", { timeout = "10ms" }))
    local result, err = waiter:wait()
    assert.is_nil(result)
    assert.equal("TIMEOUT", err:kind())
    assert.matches("lost/one", err:message(), 1, true)
    waiter:close()
    awaiter:close()
  end)

  it("knows accept, x.accept and x.accepted", function()
    local s = fresh("s")
    local awaiter = assert(events.awaiter(s))
    local kinds = { accept = true, ["a.accept"] = true, ["a.accepted"] = true, accepted = false,
      ["xaccept"] = false, ["accept.x"] = false }
    for kind, accepted in pairs(kinds) do
      local waiter = assert(awaiter:prepare(kind))
      assert(events.send(s, kind, kind))
      assert.equal(accepted, assert(waiter:wait()).accepted)
    end
    awaiter:close()
  end)

  it("refuses an empty path, and ends its waiters when closed", function()
    local awaiter = assert(events.awaiter(fresh("s")))
    local waiter, err = awaiter:prepare("")
    assert.is_nil(waiter)
    assert.equal("INVALID", err:kind())
    waiter = assert(awaiter:prepare("p"))
    coroutine.spawn(function()
      time.sleep(0.01)
      awaiter:close()
    end)
    local result, why = waiter:wait()
    assert.is_nil(result)
    assert.equal("CANCELED", why:kind())
    local _, closed = awaiter:prepare("p")
    assert.equal("CANCELED", closed:kind())
  end)
end)
