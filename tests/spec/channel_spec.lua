--- channel: buffers, closing, timeouts, select and its fairness.
-- SPDX-License-Identifier: MIT
local time = require("time")

local LONG = 30

describe("an unbuffered channel", function()
  it("hands values over in order", function()
    local ch, got = channel.new(), {}
    coroutine.spawn(function()
      for i = 1, 5 do
        assert.is_true(ch:send(i))
      end
      ch:close()
    end)
    for value in ch:values() do
      got[#got + 1] = value
    end
    assert.same({ 1, 2, 3, 4, 5 }, got)
  end)

  it("makes the sender wait for a receiver", function()
    local ch, sent = channel.new(), false
    coroutine.spawn(function()
      ch:send("x")
      sent = true
    end)
    time.sleep(0.01)
    assert.is_false(sent)
    assert.equal("x", (ch:receive(LONG)))
    time.sleep(0.01)
    assert.is_true(sent)
  end)

  it("serves receivers in the order they came", function()
    local ch, order, done = channel.new(), {}, channel.new(3)
    for i = 1, 3 do
      coroutine.spawn(function()
        order[i] = ch:receive(LONG)
        done:send(true)
      end)
    end
    time.sleep(0.01)
    for i = 1, 3 do
      ch:send(i)
    end
    for _ = 1, 3 do
      done:receive(LONG)
    end
    assert.same({ 1, 2, 3 }, order)
  end)
end)

describe("a buffered channel", function()
  it("takes its capacity without waiting, nils and falses included", function()
    local ch = channel.new(3)
    ch:send(1)
    ch:send(nil)
    ch:send(false)
    assert.same({ 1, true }, { ch:receive() })
    local value, ok = ch:receive()
    assert.is_nil(value)
    assert.is_true(ok)
    value, ok = ch:receive()
    assert.is_false(value)
    assert.is_true(ok)
  end)

  it("keeps the order of a sender that waits for room", function()
    local ch = channel.new(2)
    coroutine.spawn(function()
      for i = 1, 100 do
        ch:send(i)
      end
      ch:close()
    end)
    local expected = 1
    for value in ch:values() do
      assert.equal(expected, value)
      expected = expected + 1
    end
    assert.equal(101, expected)
  end)

  it("grows and wraps without losing anything", function()
    local ch, sent, got = channel.new(10000), 0, 0
    for round = 1, 50 do
      for _ = 1, round * 7 do
        sent = sent + 1
        ch:send(sent)
      end
      for _ = 1, round * 5 do
        got = got + 1
        assert.equal(got, (ch:receive(0)))
      end
    end
    while got < sent do
      got = got + 1
      assert.equal(got, (ch:receive(0)))
    end
    local _, ok, err = ch:receive(0)
    assert.is_nil(ok)
    assert.equal("TIMEOUT", err:kind())
  end)
end)

describe("receive with a timeout", function()
  it("answers nil, nil and an error of kind TIMEOUT", function()
    for _, timeout in ipairs({ 0, 0.001, "2ms" }) do
      local value, ok, err = channel.new():receive(timeout)
      assert.is_nil(value)
      assert.is_nil(ok)
      assert.equal("TIMEOUT", err:kind())
    end
  end)

  it("leaves nothing behind that could take a later value", function()
    local ch = channel.new()
    ch:receive(0.001)
    coroutine.spawn(function()
      ch:send("later")
    end)
    assert.equal("later", (ch:receive(LONG)))
  end)

  it("refuses what is no duration", function()
    for _, bad in ipairs({ -1, "x", {}, true }) do
      assert.error_matches(function()
        channel.new():receive(bad)
      end, "bad argument #1 to 'receive' %(duration expected")
    end
  end)
end)

describe("close", function()
  it("keeps what is buffered readable", function()
    local ch = channel.new(2)
    ch:send("a")
    ch:send("b")
    ch:close()
    ch:close()
    assert.same({ "a", true }, { ch:receive() })
    assert.same({ "b", true }, { ch:receive() })
    for _ = 1, 2 do
      local value, ok = ch:receive(LONG)
      assert.is_nil(value)
      assert.is_false(ok)
    end
  end)

  it("makes a send raise", function()
    local ch = channel.new(1)
    ch:close()
    assert.error_matches(function()
      ch:send(1)
    end, "send on a closed channel")
  end)

  it("wakes those who wait", function()
    local ch, results = channel.new(), channel.new(4)
    coroutine.spawn(function()
      local value, ok = ch:receive()
      results:send(value == nil and ok == false)
    end)
    local full = channel.new(1)
    full:send(1)
    coroutine.spawn(function()
      local ok, err = pcall(full.send, full, 2)
      results:send(not ok and tostring(err):find("closed") ~= nil)
    end)
    time.sleep(0.01)
    ch:close()
    full:close()
    assert.is_true((results:receive(LONG)))
    assert.is_true((results:receive(LONG)))
    assert.equal(1, (full:receive()))
  end)
end)

describe("select", function()
  it("takes default when nothing is ready", function()
    local ch = channel.new()
    local default = { default = true, ok = true }
    assert.same(default, channel.select({ ch:case_receive(), default = true }))
    assert.same(default, channel.select({ ch:case_send(1), default = true }))
    assert.same(default, channel.select({ default = true }))
  end)

  it("times out", function()
    local ch = channel.new()
    assert.same({ timeout = true }, channel.select({ ch:case_receive(), timeout = 0 }))
    assert.same({ timeout = true }, channel.select({ ch:case_receive(), timeout = "2ms" }))
    assert.same({ timeout = true }, channel.select({ timeout = 0.001 }))
  end)

  it("receives and sends what is ready", function()
    local a, b = channel.new(1), channel.new(1)
    a:send("v")
    local r = channel.select({ a:case_receive(), channel.new():case_receive() })
    assert.equal(a, r.channel)
    assert.equal("v", r.value)
    assert.is_true(r.ok)
    r = channel.select({ b:case_send("w") })
    assert.equal(b, r.channel)
    assert.is_true(r.ok)
    assert.equal("w", (b:receive(0)))
  end)

  it("waits for the first of several", function()
    local a, b = channel.new(), channel.new()
    coroutine.spawn(function()
      time.sleep(0.005)
      b:send("from b")
    end)
    local r = channel.select({ a:case_receive(), b:case_receive(), timeout = LONG })
    assert.equal(b, r.channel)
    assert.equal("from b", r.value)
    -- the other case is forgotten
    local _, ok = a:receive(0)
    assert.is_nil(ok)
    coroutine.spawn(function()
      a:send(2)
    end)
    assert.equal(2, (a:receive(LONG)))
  end)

  it("finds a closed channel ready", function()
    local ch = channel.new(1)
    ch:send(1)
    ch:close()
    assert.equal(1, channel.select({ ch:case_receive() }).value)
    local r = channel.select({ ch:case_receive(), timeout = LONG })
    assert.equal(ch, r.channel)
    assert.is_false(r.ok)
    assert.is_nil(r.value)
    assert.error_matches(function()
      channel.select({ ch:case_send(1) })
    end, "send on a closed channel")
  end)

  it("is woken by a close", function()
    local a, b = channel.new(), channel.new()
    coroutine.spawn(function()
      time.sleep(0.005)
      b:close()
    end)
    local r = channel.select({ a:case_receive(), b:case_receive(), timeout = LONG })
    assert.equal(b, r.channel)
    assert.is_false(r.ok)
  end)

  it("takes ready cases fairly", function()
    local chans, counts = {}, {}
    for i = 1, 4 do
      chans[i], counts[i] = channel.new(2000), 0
      for _ = 1, 2000 do
        chans[i]:send(i)
      end
    end
    for _ = 1, 2000 do
      local cases = {}
      for i = 1, 4 do
        cases[i] = chans[i]:case_receive()
      end
      local value = channel.select(cases).value
      counts[value] = counts[value] + 1
    end
    -- 500 each on average; 350 is more than seven standard deviations away
    for i = 1, 4 do
      assert.is_true(counts[i] > 350 and counts[i] < 650, "case " .. i .. ": " .. counts[i])
    end
  end)

  it("does not meet itself", function()
    local ch = channel.new()
    local r = channel.select({ ch:case_send(1), ch:case_receive(), timeout = 0.005 })
    assert.is_true(r.timeout)
  end)

  it("refuses nonsense", function()
    for _, bad in ipairs({ { 1 }, { channel.new() }, {} }) do
      assert.error_matches(function()
        channel.select(bad)
      end, "bad argument #1 to 'select'")
    end
    assert.error_matches(function()
      channel.select()
    end, "table expected, got nil")
    assert.error_matches(function()
      channel.select({ timeout = "x" })
    end, "bad argument 'timeout' to 'select'")
  end)
end)

describe("channels under load", function()
  it("lose and repeat nothing between many senders and receivers", function()
    local ch, done, seen = channel.new(3), channel.new(10), {}
    for p = 0, 3 do
      coroutine.spawn(function()
        for i = 1, 500 do
          local value = p * 500 + i
          if i % 3 == 0 then
            channel.select({ ch:case_send(value) })
          else
            ch:send(value)
          end
        end
        done:send(true)
      end)
    end
    for r = 1, 3 do
      coroutine.spawn(function()
        while true do
          local value, ok
          if r == 1 then
            local got = channel.select({ ch:case_receive() })
            value, ok = got.value, got.ok
          else
            value, ok = ch:receive()
          end
          if not ok then break end
          seen[value] = (seen[value] or 0) + 1
        end
        done:send(true)
      end)
    end
    for _ = 1, 4 do
      done:receive(LONG)
    end
    ch:close()
    for _ = 1, 3 do
      done:receive(LONG)
    end
    for value = 1, 2000 do
      assert.equal(1, seen[value], "value " .. value)
    end
  end)

  it("work from nested coroutines", function()
    local ch = channel.new()
    coroutine.spawn(function()
      ch:send("in")
    end)
    local inner = coroutine.wrap(function()
      local value = ch:receive(LONG)
      coroutine.yield(value)
      return (select(3, ch:receive(0.001))):kind()
    end)
    assert.equal("in", inner())
    assert.equal("TIMEOUT", inner())
  end)
end)

describe("channel.new", function()
  it("refuses what is no capacity", function()
    for _, bad in ipairs({ -1, 1.5, "x", {} }) do
      assert.error_matches(function()
        channel.new(bad)
      end, "bad argument #1 to 'new'")
    end
  end)

  it("makes objects whose inside is hidden", function()
    assert.is_false(getmetatable(channel.new()))
  end)

  it("cannot leave its process", function()
    local ok, err = process.send(process.pid(), "x", channel.new())
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
  end)
end)
