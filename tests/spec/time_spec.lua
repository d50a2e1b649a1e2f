--- time: clocks, sleeping, timers and tickers.
-- SPDX-License-Identifier: MIT
local time = require("time")

local LONG = 30

describe("clocks", function()
  it("tell the time of day and one that never runs backwards", function()
    assert.is_true(math.abs(time.now() - os.time()) < 5)
    local before = time.monotonic()
    for _ = 1, 1000 do
      local now = time.monotonic()
      assert.is_true(now >= before)
      before = now
    end
  end)
end)

describe("time.sleep", function()
  it("waits at least as long as asked", function()
    for _, d in ipairs({ 0.02, "20ms" }) do
      local before = time.monotonic()
      assert.is_true(time.sleep(d))
      assert.is_true(time.monotonic() - before >= 0.0199)
    end
  end)

  it("takes zero", function()
    assert.is_true(time.sleep(0))
  end)

  it("lets the other coroutines go on", function()
    local ran = false
    coroutine.spawn(function()
      ran = true
    end)
    time.sleep(0.01)
    assert.is_true(ran)
  end)

  it("shows little of a long text that is none", function()
    for _, text in ipairs({ ("x"):rep(1e6), ("1s"):rep(5e5) }) do
      local seconds, err = time.parse_duration(text)
      assert.is_nil(seconds)
      assert.equal("INVALID", err:kind())
      assert.is_true(#err:message() < 100)
      local _, raised = pcall(time.sleep, text)
      assert.is_true(#tostring(raised) < 300)
    end
    assert.equal(100, (time.parse_duration(("1s"):rep(100))))
  end)

  it("refuses what is no duration", function()
    for _, bad in ipairs({ -1, "x", {}, 0 / 0 }) do
      assert.error_matches(function()
        time.sleep(bad)
      end, "bad argument #1 to 'sleep' %(duration expected")
    end
    assert.has_error(function()
      time.sleep()
    end)
  end)
end)

describe("time.after", function()
  it("tells the time once", function()
    local ch = time.after("5ms")
    local value, ok = ch:receive(LONG)
    assert.is_number(value)
    assert.is_true(ok)
    local _, again, err = ch:receive(0.01)
    assert.is_nil(again)
    assert.equal("TIMEOUT", err:kind())
  end)

  it("serves as a timeout in select", function()
    local ch, after = channel.new(), time.after(0.005)
    local r = channel.select({ ch:case_receive(), after:case_receive() })
    assert.equal(after, r.channel)
  end)

  it("cannot be sent into", function()
    assert.error_matches(function()
      time.after(0.001):send(1)
    end, "receiving only")
  end)

  it("works for many at once", function()
    local done = channel.new(200)
    for i = 1, 200 do
      coroutine.spawn(function()
        time.after((i % 10) / 1000):receive()
        done:send(true)
      end)
    end
    for _ = 1, 200 do
      assert.is_true((done:receive(LONG)))
    end
  end)
end)

describe("time.timer", function()
  it("fires once, and can be set again", function()
    local timer = time.timer(0.005)
    assert.is_number((timer:channel():receive(LONG)))
    assert.is_false(timer:reset(0.005))
    assert.is_number((timer:channel():receive(LONG)))
    assert.is_false(timer:stop())
  end)

  it("is silent once stopped", function()
    local timer = time.timer(0.05)
    assert.is_true(timer:stop())
    assert.is_false(timer:stop())
    local value, ok, err = timer:channel():receive(0.1)
    assert.is_nil(value)
    assert.is_nil(ok)
    assert.equal("TIMEOUT", err:kind())
  end)

  it("forgets a tick nobody took when it is stopped", function()
    local timer = time.timer(0)
    time.sleep(0.01)
    timer:stop()
    local _, ok = timer:channel():receive(0)
    assert.is_nil(ok)
  end)

  it("can be brought forward and put off", function()
    local timer = time.timer(1000)
    assert.is_true(timer:reset(0.005))
    assert.is_number((timer:channel():receive(LONG)))
    timer:reset(0.05)
    assert.is_true(timer:reset(1000))
    local _, ok = timer:channel():receive(0.1)
    assert.is_nil(ok)
    timer:stop()
  end)

  it("survives stop and reset in a row", function()
    local timer = time.timer(0.001)
    for _ = 1, 50 do
      timer:stop()
      timer:reset(0.001)
      timer:stop()
      timer:reset(1000)
    end
    timer:reset(0.001)
    assert.is_number((timer:channel():receive(LONG)))
  end)
end)

describe("timers", function()
  it("all fire, whatever their number", function()
    local all = {}
    for i = 1, 5000 do
      all[i] = time.timer(i % 2 == 0 and 0 or 0.02)
    end
    for i = 2, 5000, 2 do
      assert.is_number((all[i]:channel():receive(LONG)))
    end
    for i = 1, 5000, 2 do
      assert.is_number((all[i]:channel():receive(LONG)))
    end
  end)

  it("can be stopped when they are due already", function()
    local all, stopped = {}, 0
    for i = 1, 2000 do
      all[i] = time.timer(0)
    end
    time.sleep(0.001)
    for i = 1, 2000 do
      if all[i]:stop() then stopped = stopped + 1 end
    end
    time.sleep(0.01)
    for i = 1, 2000 do
      local _, ok = all[i]:channel():receive(0)
      assert.is_nil(ok)
    end
    assert.is_true(stopped <= 2000)
  end)

  it("are set again from where the one before is received", function()
    local timer = time.timer(0)
    for _ = 1, 100 do
      assert.is_number((timer:channel():receive(LONG)))
      timer:reset(0)
    end
    timer:stop()
  end)

  it("are kept while they are to fire", function()
    local after = {}
    for i = 1, 100 do
      local ch = channel.new(1)
      after[i] = ch
      coroutine.spawn(function()
        ch:send((time.after(0.01):receive(LONG)))
      end)
    end
    for _ = 1, 20 do
      collectgarbage("step", 1000)
    end
    for i = 1, 100 do
      assert.is_number((after[i]:receive(LONG)))
    end
  end)

  it("end with their process", function()
    local pid = process.spawn_monitored(function()
      local t = require("time")
      for i = 1, 1000 do
        t.after(i / 1000)
      end
      t.ticker(0.001)
    end)
    local event = process.events():receive(LONG)
    assert.equal(pid, event.from)
    assert.is_nil(event.result.error)
  end)
end)

describe("time.ticker", function()
  it("ticks until it is stopped", function()
    local ticker = time.ticker("5ms")
    for _ = 1, 3 do
      assert.is_number((ticker:channel():receive(LONG)))
    end
    ticker:stop()
    ticker:stop()
    local _, ok = ticker:channel():receive(0.03)
    assert.is_nil(ok)
  end)

  it("keeps one tick for a slow reader, not many", function()
    local ticker = time.ticker(0.001)
    time.sleep(0.05)
    assert.is_number((ticker:channel():receive(0)))
    local _, ok = ticker:channel():receive(0)
    assert.is_nil(ok)
    ticker:stop()
  end)

  it("refuses a period of zero", function()
    assert.error_matches(function()
      time.ticker(0)
    end, "bad argument #1 to 'ticker'")
  end)
end)
