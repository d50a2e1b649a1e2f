-- Coroutines of scripts: waits at any depth, errors across borders, nesting, spawn.
local time = require("time")
local channel = require("channel")

describe("coroutines", function()
  it("behave like Lua's", function()
    local co = coroutine.create(function(a, b)
      local c, d = coroutine.yield(a + b)
      coroutine.yield()
      local e = coroutine.yield(nil, c, d)
      return "end", e
    end)
    assert.equal("suspended", coroutine.status(co))
    assert.same({ true, 3 }, { coroutine.resume(co, 1, 2) })
    assert.equal(1, select("#", coroutine.resume(co, "c", "d")))
    assert.equal(4, select("#", coroutine.resume(co)))
    assert.same({ true, "end", 5 }, { coroutine.resume(co, 5) })
    assert.equal("dead", coroutine.status(co))
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("cannot resume dead coroutine", err)
    assert.same({ 1, 2, 3 }, { coroutine.wrap(function(...) return ... end)(1, 2, 3) })
    assert.equal(0, select("#", coroutine.wrap(function() end)()))
  end)

  it("wait inside of coroutines inside of coroutines", function()
    local steps = {}
    local outer = coroutine.wrap(function()
      local inner = coroutine.wrap(function()
        time.sleep(0.001)
        steps[#steps + 1] = "slept"
        coroutine.yield("inner yields")
        time.sleep(0.001)
        return "inner ends"
      end)
      table.insert(steps, inner())
      time.sleep(0.001)
      coroutine.yield("outer yields")
      table.insert(steps, inner())
      return "outer ends"
    end)
    assert.equal("outer yields", outer())
    assert.equal("outer ends", outer())
    assert.same({ "slept", "inner yields", "inner ends" }, steps)
  end)

  it("are preempted inside of coroutines", function()
    local pid = process.spawn_monitored(function()
      local sum = 0
      local gen = coroutine.wrap(function()
        for round = 1, 3 do
          coroutine.wrap(function()
            local stop = os.clock() + 0.03
            repeat sum = sum + 1 until os.clock() > stop
          end)()
          coroutine.yield(round)
        end
      end)
      return { gen(), gen(), gen(), sum > 0 }
    end)
    local event = process.events():receive(30)
    assert.equal(pid, event.from)
    assert.same({ 1, 2, 3, true }, event.result.value)
  end)

  it("yield what they are given through pcall and metamethods", function()
    local t = setmetatable({}, { __index = function(_, k) return coroutine.yield(k) end })
    local co = coroutine.wrap(function()
      local ok, v = pcall(function() return t.x end)
      return ok, v
    end)
    assert.equal("x", co())
    assert.same({ true, 9 }, { co(9) })
  end)

  it("may wait in callbacks of sort and gsub", function()
    local t = { 3, 1, 2 }
    table.sort(t, function(a, b)
      time.sleep(0.001)
      return a < b
    end)
    assert.same({ 1, 2, 3 }, t)
    local s = ("abc"):gsub("%w", function(c)
      time.sleep(0.001)
      return c:upper()
    end)
    assert.equal("ABC", s)
  end)

  it("say where an error came from", function()
    local value, err = process.exec(function()
      local function culprit() error("here") end
      local co = coroutine.wrap(function() culprit() end)
      co()
    end)
    assert.is_nil(value)
    assert.matches("culprit", err:stack())
    assert.matches("resumed from", err:stack())
  end)

  it("nest to a bound, with an error", function()
    local function nest(n)
      local ok, depth = coroutine.resume(coroutine.create(nest), n + 1)
      if ok then return depth end
      assert(type(depth) == "string")
      return n
    end
    local depth = nest(0)
    assert.is_true(depth > 50 and depth < 1000)
  end)

  it("refuse what makes no sense", function()
    assert.has_error(function() coroutine.create(5) end)
    assert.has_error(function() coroutine.wrap() end)
    assert.has_error(function() coroutine.resume(5) end)
    assert.has_error(function() coroutine.spawn("x") end)
    local value, err = process.exec(function() coroutine.yield() end)
    assert.is_nil(value)
    assert.matches("outside a coroutine", err:message())
    assert.is_true(process.exec(function() return coroutine.running() == nil end))
  end)

  it("running answers the coroutine itself", function()
    local co
    co = coroutine.create(function() return coroutine.running() == co, coroutine.isyieldable() end)
    assert.same({ true, true, true }, { coroutine.resume(co) })
  end)
end)

describe("coroutine.spawn", function()
  it("runs beside the others", function()
    local ch, order = channel.new(2), {}
    coroutine.spawn(function()
      order[#order + 1] = "spawned"
      ch:send("x")
    end)
    order[#order + 1] = "spawner"
    assert.equal("x", (ch:receive(30)))
    assert.same({ "spawner", "spawned" }, order)
  end)

  it("passes arguments", function()
    local ch = channel.new(1)
    coroutine.spawn(function(...) ch:send({ ... }) end, 1, "b")
    assert.same({ 1, "b" }, (ch:receive(30)))
  end)

  it("ends the process with an uncaught error", function()
    local value, err = process.exec(function()
      coroutine.spawn(function() error("in the spawned") end)
      require("time").sleep(1000)
    end)
    assert.is_nil(value)
    assert.matches("in the spawned", err:message())
  end)
end)
