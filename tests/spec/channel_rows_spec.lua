--- Channels, coroutines and timers, sentence by sentence: what the contract says of them and other
-- specs do not try. Names begin with the rows of the inventory they belong to.
-- SPDX-License-Identifier: MIT
local time = require("time")
local WAIT = 30

local function raises(words, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(words, tostring(err), 1, true)
end

-- Whether one waits is seen by the turns others get.
local function turns(n)
  for _ = 1, n do time.sleep(0) end
end

describe("W-46: channel.new", function()
  it("without a number hands over directly, with one buffers as many", function()
    for _, capacity in ipairs { 0, 1, 3, 100 } do
      local ch, sent = channel.new(capacity), 0
      coroutine.spawn(function()
        for i = 1, capacity + 1 do
          ch:send(i)
          sent = sent + 1
        end
      end)
      turns(3)
      assert.equal(capacity, sent)
      for i = 1, capacity + 1 do assert.same({ i, true }, { ch:receive(WAIT) }) end
      turns(3)
      assert.equal(capacity + 1, sent)
    end
  end)

  it("send answers true; a receive three values or two", function()
    local ch = channel.new(1)
    assert.same({ true }, { ch:send("x") })
    assert.equal(2, select("#", ch:receive()))
    local value, ok, err = ch:receive(0)
    assert.is_nil(value)
    assert.is_nil(ok)
    assert.equal("TIMEOUT", err:kind())
    assert.is_true(err:retryable())
  end)
end)

describe("W-47: close", function()
  it("is idempotent, and leaves what is buffered", function()
    local ch = channel.new(2)
    ch:send("a")
    ch:send("b")
    ch:close()
    ch:close()
    assert.same({ "a", true }, { ch:receive() })
    assert.same({ "b", true }, { ch:receive() })
    for _ = 1, 3 do assert.same({ nil, false }, { ch:receive() }) end
    raises("send on a closed channel", ch.send, ch, 1)
  end)

  it("wakes each who waits: receivers with nil, false, senders with the error", function()
    local empty, full, got = channel.new(), channel.new(), {}
    for i = 1, 3 do
      coroutine.spawn(function() got[i] = { empty:receive() } end)
      coroutine.spawn(function() got[i + 3] = { pcall(full.send, full, i) } end)
    end
    coroutine.spawn(function() got[7] = channel.select { empty:case_receive() } end)
    coroutine.spawn(function() got[8] = { pcall(channel.select, { full:case_send(1) }) } end)
    turns(3)
    empty:close()
    full:close()
    turns(3)
    for i = 1, 3 do
      assert.same({ nil, false }, got[i])
      assert.is_false(got[i + 3][1])
      assert.matches("send on a closed channel", got[i + 3][2], 1, true)
    end
    assert.is_false(got[7].ok)
    assert.equal(empty, got[7].channel)
    assert.is_false(got[8][1])
  end)
end)

describe("W-48: channel.select", function()
  it("answers channel, value and ok; default; timeout", function()
    local a, b = channel.new(1), channel.new(1)
    assert.same({ default = true, ok = true },
      channel.select { a:case_receive(), b:case_receive(), default = true })
    assert.same({ timeout = true }, channel.select { a:case_receive(), timeout = "1ms" })
    assert.same({ timeout = true }, channel.select { a:case_receive(), timeout = 0 })
    b:send(false)
    local got = channel.select { a:case_receive(), b:case_receive(), default = true }
    assert.equal(b, got.channel)
    assert.is_false(got.value)
    assert.is_true(got.ok)
    got = channel.select { a:case_send("sent"), default = true }
    assert.equal(a, got.channel)
    assert.is_true(got.ok)
    assert.equal("sent", (a:receive()))
  end)

  it("a closed channel is ready with ok=false, its send raises", function()
    local closed, open = channel.new(), channel.new()
    closed:close()
    local got = channel.select { open:case_receive(), closed:case_receive() }
    assert.equal(closed, got.channel)
    assert.is_false(got.ok)
    assert.is_nil(got.value)
    raises("closed channel", channel.select, { open:case_receive(), closed:case_send(1) })
  end)

  it("takes every ready case in the long run, wherever it stands", function()
    local chans, cases, seen = {}, {}, {}
    for i = 1, 5 do
      chans[i] = channel.new(1)
      chans[i]:send(i)
      cases[i] = chans[i]:case_receive()
      seen[i] = 0
    end
    for _ = 1, 5000 do
      local value = channel.select(cases).value
      seen[value] = seen[value] + 1
      chans[value]:send(value)
    end
    -- 1,000 each expected; ten deviations are 283
    for i = 1, 5 do assert.is_true(math.abs(seen[i] - 1000) < 300, i .. ": " .. seen[i]) end
  end)

  it("loses nothing when its time runs out", function()
    local ch, got = channel.new(), 0
    coroutine.spawn(function()
      for _ = 1, 200 do ch:send(true) end
      ch:close()
    end)
    repeat
      local result = channel.select { ch:case_receive(), timeout = 0 }
      if result.ok then got = got + 1 end
      if result.timeout then time.sleep(0) end
    until result.ok == false
    assert.equal(200, got)
  end)
end)

describe("W-49: coroutine.spawn", function()
  it("starts a coroutine of the same process, with its globals and its PID", function()
    rows_global = "ours" -- luacheck: ignore
    local got = channel.new(1)
    coroutine.spawn(function(...)
      got:send({ rows_global, process.pid(), select("#", ...), ... }) -- luacheck: ignore
    end, "x", nil, "y")
    local seen = assert((got:receive(WAIT)))
    rows_global = nil -- luacheck: ignore
    assert.equal("ours", seen[1])
    assert.equal(process.pid(), seen[2])
    assert.equal(3, seen[3])
    assert.equal("y", seen[6])
  end)

  it("ends the process with its uncaught error, whatever the others do", function()
    local _, err = process.exec(function()
      coroutine.spawn(function()
        require("time").sleep(0.001)
        error(errors.new { message = "in a coroutine", kind = "CONFLICT" })
      end)
      process.inbox():receive()
    end)
    assert.equal("CONFLICT", err:kind())
    assert.equal("in a coroutine", err:message())
  end)

  it("goes with its process", function()
    local value = process.exec(function()
      coroutine.spawn(function() process.inbox():receive() end)
      coroutine.spawn(function() while true do require("time").sleep(0.001) end end)
      return "over"
    end)
    assert.equal("over", value)
  end)
end)

describe("W-51 W-53: PIDs", function()
  it("are never used again; what is late for a dead process reaches no other", function()
    local seen, dead = {}, {}
    for i = 1, 300 do
      local pid = process.spawn_monitored(function() end)
      assert.is_nil(seen[pid])
      seen[pid], dead[i] = true, pid
      assert.equal(pid, assert(process.events():receive(WAIT)).from)
    end
    local fresh = {}
    for i = 1, 300 do
      fresh[i] = process.spawn(function() process.inbox():receive() end)
      assert.is_nil(seen[fresh[i]])
    end
    for _, pid in ipairs(dead) do
      local ok, err = process.send(pid, "late")
      assert.is_nil(ok)
      assert.equal("NOT_FOUND", err:kind())
      assert.equal("NOT_FOUND", select(2, process.terminate(pid)):kind())
      assert.equal("NOT_FOUND", select(2, process.cancel(pid)):kind())
    end
    for _, pid in ipairs(fresh) do assert.is_true(process.terminate(pid)) end
  end)
end)

describe("W-58: timers", function()
  it("many at once fire each, none too early", function()
    local early, done = 0, channel.new(200)
    for i = 200, 1, -1 do
      coroutine.spawn(function()
        local start = time.monotonic()
        time.after(i / 10000):receive(WAIT)
        if time.monotonic() - start < i / 10000 - 0.001 then early = early + 1 end
        done:send(true)
      end)
    end
    for _ = 1, 200 do assert(done:receive(WAIT)) end
    assert.equal(0, early)
  end)

  it("stop and reset say whether it was still to fire", function()
    local timer = time.timer("1h")
    assert.is_true(timer:reset("2h"))
    assert.is_true(timer:stop())
    assert.is_false(timer:stop())
    assert.is_false(timer:reset("1ms"))
    assert.is_number((timer:channel():receive(WAIT)))
    assert.is_false(timer:stop())
    local value, ok = timer:channel():receive(0)
    assert.is_nil(value)
    assert.is_nil(ok) -- open and silent
  end)

  it("take durations as numbers and strings, and refuse the rest by name", function()
    for _, name in ipairs { "sleep", "after", "timer", "ticker" } do
      for _, wrong in ipairs { -1, "soon", "-1s", {}, true } do
        raises("bad argument #1 to '" .. name .. "'", time[name], wrong)
      end
      raises("bad argument #1 to '" .. name .. "'", time[name])
    end
    assert.equal(5400.25, time.parse_duration("1h30m250ms"))
    assert.equal("INVALID", select(2, time.parse_duration("later")):kind())
  end)
end)
