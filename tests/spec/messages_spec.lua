-- Messages on both of their ways: within a VM straight into a channel, and as packages between VMs.
-- Processes are placed in turn, so that of several some are here and some are not.
local WAIT = 30

-- Answers each message with its payloads, under the same topic.
local function echo()
  local inbox = process.inbox()
  while true do
    local msg = inbox:receive()
    process.send(msg:from(), msg:topic(), msg:payload())
  end
end

local function several(fn, ...)
  local pids = {}
  for i = 1, 4 do
    pids[i] = assert(process.spawn(fn, ...))
  end
  return pids
end

local function terminate(pids)
  for _, pid in ipairs(pids) do
    process.terminate(pid)
  end
end

describe("a message", function()
  it("comes back as it was, whatever it holds", function()
    local pids = several(echo)
    local back = process.listen("back")
    local cases = {
      1, -0.5, "", "text", ("x"):rep(100000), true, false, {}, { 1, 2, 3 },
      { a = { b = { c = { 1, { "deep" } } } }, [5] = "five", [-1] = false },
    }
    for _, pid in ipairs(pids) do
      for _, case in ipairs(cases) do
        assert(process.send(pid, "back", case))
        assert.same(case, (back:receive(WAIT)))
      end
    end
    process.unlisten(back)
    terminate(pids)
  end)

  it("goes to who listens to its topic now, not to who did", function()
    local me = process.pid()
    local inbox = process.inbox()
    for _ = 1, 3 do
      local first = process.listen("turn")
      for i = 1, 3 do
        assert(process.send(me, "turn", i))
        assert.equal(i, (first:receive(WAIT)))
      end
      process.unlisten(first)
      assert(process.send(me, "turn", "inbox"))
      assert.equal("inbox", (inbox:receive(WAIT):payload()))
      local second = process.listen("turn")
      assert(process.send(me, "turn", "again"))
      assert.equal("again", (second:receive(WAIT)))
      assert.same({ nil, false }, { first:receive(WAIT) })
      process.unlisten(second)
    end
  end)

  it("goes to one of several coroutines that wait for it", function()
    local me = process.pid()
    local ch = process.listen("work")
    local got, done = {}, channel.new(3)
    for i = 1, 3 do
      coroutine.spawn(function()
        for _ = 1, 20 do
          local value = ch:receive()
          got[#got + 1] = value
        end
        done:send(i)
      end)
    end
    for i = 1, 60 do
      assert(process.send(me, "work", i))
      if i % 7 == 0 then require("time").sleep(0) end
    end
    for _ = 1, 3 do
      assert.is_not_nil((done:receive(WAIT)))
    end
    table.sort(got)
    assert.equal(60, #got)
    for i = 1, 60 do
      assert.equal(i, got[i])
    end
    process.unlisten(ch)
  end)

  it("is a copy", function()
    local pids = several(echo)
    local back = process.listen("back")
    for _, pid in ipairs(pids) do
      local inner = { 1 }
      local given = { inner, inner }
      assert(process.send(pid, "back", given))
      inner[1] = "changed"
      local got = back:receive(WAIT)
      assert.same({ { 1 }, { 1 } }, got)
      assert.is_false(got[1] == got[2])
    end
    process.unlisten(back)
    terminate(pids)
  end)

  it("carries all its payloads, nils between them too", function()
    local pids = several(echo)
    local inbox = process.inbox()
    for _, pid in ipairs(pids) do
      assert(process.send(pid, "many", 1, nil, { 3 }, nil))
      local msg = inbox:receive(WAIT)
      assert.equal("many", msg:topic())
      assert.equal(pid, msg:from())
      assert.equal(4, select("#", msg:payload()))
      local a, b, c, d = msg:payload()
      assert.same({ 1, nil, { 3 }, nil }, { a, b, c, d })
      assert(process.send(pid, "none"))
      assert.equal(0, select("#", inbox:receive(WAIT):payload()))
    end
    terminate(pids)
  end)

  it("that cannot be copied is refused by its path, also behind what a listener sees", function()
    local own = process.listen("own")
    local function refused(words, ...)
      local ok, err = process.send(process.pid(), "own", ...)
      assert.is_nil(ok)
      assert.equal("INVALID", err:kind())
      assert.matches(words, err:message(), 1, true)
    end
    refused("payload: function", print)
    refused("payload.a.b: function", { a = { b = print } })
    refused("payload: function", 1, print)
    refused("payload.x: function", 1, 2, { x = print })
    local cycle = {}
    cycle.me = cycle
    refused("cycle", cycle)
    refused("key", { [0.5] = 1 })
    assert.is_nil((own:receive(0)))
    process.unlisten(own)
  end)
end)

describe("many messages", function()
  it("of any size and topic comes whole and in its turn, however they mix", function()
    local function sender(to, count)
      for i = 1, count do
        local size = i * 37 % 200
        local topic = i % 3 == 0 and ("t"):rep(1 + i * 13 % 150) or "plain"
        process.send(to, topic, i, ("s"):rep(size), i % 5 == 0 and { i } or nil, i % 2 == 0)
      end
    end
    local count = 3000
    local inbox, plain = process.inbox(), process.listen("plain", { message = true })
    for _ = 1, 2 do -- one is here, one is not
      local from = assert(process.spawn(sender, process.pid(), count))
      for i = 1, count do
        local msg = (i % 3 == 0 and inbox or plain):receive(WAIT)
        local n, text, list, even = msg:payload()
        assert(n == i and #text == i * 37 % 200 and even == (i % 2 == 0) and msg:from() == from)
        assert(i % 5 ~= 0 and list == nil or list[1] == i)
        assert(#msg:topic() == (i % 3 == 0 and 1 + i * 13 % 150 or 5))
      end
    end
    process.unlisten(plain)
  end)

  it("of one sender stay in order, however late they are read", function()
    local function sender(main, count)
      for i = 1, count do
        while not process.send(main, "count", i, i % 7 == 0 and { i } or nil) do
          require("time").sleep(0.01)
        end
      end
      process.send(main, "sent", 0)
    end
    for _ = 1, 2 do
      local numbers, sent = process.listen("count"), process.listen("sent")
      process.spawn(sender, process.pid(), 5000)
      assert(sent:receive(WAIT))
      for i = 1, 5000 do
        assert.equal(i, (numbers:receive(WAIT)))
      end
      process.unlisten(numbers)
      process.unlisten(sent)
    end
  end)

  -- Long enough that the watchdog stops some of them half-way through a receive.
  it("are all served, also to who was preempted on its way to the wait", function()
    local function member(main, hops)
      local tokens = process.listen("token")
      local after = process.inbox():receive():payload()
      process.send(main, "ready", 0)
      while true do
        local left = tokens:receive()
        if left == 0 then return process.send(main, "done", hops) end
        assert(process.send(after, "token", left - 1))
      end
    end
    local ready, done = process.listen("ready"), process.listen("done")
    local members, hops = {}, 30000
    for i = 1, 30 do
      members[i] = assert(process.spawn(member, process.pid(), hops))
    end
    for i = 1, 30 do
      process.send(members[i], "next", members[i % 30 + 1])
    end
    for _ = 1, 30 do
      assert(ready:receive(WAIT))
    end
    assert(process.send(members[1], "token", hops))
    assert.equal(hops, (done:receive(WAIT * 4)))
    terminate(members)
    process.unlisten(ready)
    process.unlisten(done)
  end)
end)

describe("a receive with a timeout", function()
  it("that ran out leaves the message to the next", function()
    local late = process.listen("late")
    for i = 1, 20 do
      local value, ok, err = late:receive(0.001)
      assert.is_nil(value)
      assert.is_nil(ok)
      assert.equal("TIMEOUT", err:kind())
      assert(process.send(process.pid(), "late", i))
      assert.equal(i, (late:receive(WAIT)))
    end
    process.unlisten(late)
  end)

  it("takes turns with others on the same channel", function()
    local ch, got = process.listen("turn"), channel.new(10)
    for i = 1, 3 do
      coroutine.spawn(function() got:send({ i, (ch:receive(WAIT)) }) end)
    end
    require("time").sleep(0)
    for i = 1, 3 do
      assert(process.send(process.pid(), "turn", i))
    end
    for i = 1, 3 do
      assert.same({ i, i }, (got:receive(WAIT)))
    end
    process.unlisten(ch)
  end)
end)
