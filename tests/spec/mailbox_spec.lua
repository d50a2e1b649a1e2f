--- What is unread has a bound: a channel takes a thousand messages into Lua, the rest waits
-- outside, counted, each topic apart from the others.
-- SPDX-License-Identifier: MIT
local time = require("time")
local WAIT = 30
local FLOOD = 20000

-- Waits on one topic while the other is flooded; then reads that one too.
local function receiver(parent, mode)
  local flooded = mode ~= "inbox" and process.listen("flood", { message = true }) or process.inbox()
  local wanted = process.listen("wanted")
  process.send(parent, "said", "up")
  wanted:receive()
  process.send(parent, "said", "wanted came")
  wanted:receive()
  if mode == "unlisten" then process.unlisten(flooded) end
  local count = 0
  while true do
    local msg, ok = flooded:receive(mode == "unlisten" and 0 or nil)
    if not msg then return ok == false and count or "nothing" end
    count = count + 1
    if msg:payload() ~= count then return "lost one at " .. count end
    if count == 20000 and mode ~= "unlisten" then return count end
  end
end

local function row_of(pid)
  for _, row in ipairs(process.list()) do
    if row.pid == pid then return row end
  end
end

describe("unread mail", function()
  local said
  before_each(function() said = process.listen("said") end)
  after_each(function() process.unlisten(said) end)

  -- twice: in this VM and in another
  for _, mode in ipairs { "listen", "inbox", "unlisten", "listen", "inbox", "unlisten" } do
    it("of one topic does not stand in the way of another: " .. mode, function()
      local pid = process.spawn_monitored(receiver, process.pid(), mode)
      assert.equal("up", (said:receive(WAIT)))
      for i = 1, FLOOD do assert(process.send(pid, "flood", i)) end
      assert(process.send(pid, "wanted", true))
      assert.equal("wanted came", (said:receive(WAIT)))
      local due = time.monotonic() + WAIT
      while row_of(pid).mailbox < FLOOD - 1000 do
        assert(time.monotonic() < due, "it was pulled in: " .. row_of(pid).mailbox)
        time.sleep(0.001)
      end
      assert(process.send(pid, "wanted", true))
      local event = assert(process.events():receive(WAIT))
      assert.equal(pid, event.from)
      assert.equal(FLOOD, event.result.value)
    end)
  end

  it("of a channel that is closed is dropped", function()
    local flooded, wanted = process.listen("flood"), process.listen("wanted")
    local me = process.pid()
    local function unread()
      for _ = 1, 1500 do assert(process.send(me, "flood", true)) end
      assert.is_nil((wanted:receive(0)))
      return row_of(me).mailbox
    end
    assert.equal(500, unread())
    flooded:close()
    assert.is_true(process.unlisten(flooded))
    assert.equal(0, row_of(me).mailbox)
    flooded = process.listen("flood")
    assert.equal(500, unread())
    flooded:close()
    assert.equal(0, unread())
    process.unlisten(flooded)
    process.unlisten(wanted)
  end)

  it("is refused in the end, of any topic", function()
    local pid = process.spawn_monitored(function(parent)
      local flooded, wanted = process.listen("flood"), process.listen("wanted")
      process.send(parent, "said", "up")
      wanted:receive()
      local count = 0
      while flooded:receive() ~= "end" do count = count + 1 end
      return count
    end, process.pid())
    assert.equal("up", (said:receive(WAIT)))
    local big, sent = ("z"):rep(100000), 0
    local ok, err
    repeat
      ok, err = process.send(pid, "flood", big)
      if ok then sent = sent + 1 end
    until not ok
    assert.equal("UNAVAILABLE", err:kind())
    assert.is_true(sent > 600 and sent < 1000, tostring(sent)) -- 64 MB
    -- the one it waits for would be refused as well
    assert.equal("UNAVAILABLE", select(2, process.send(pid, "wanted", 1)):kind())
    process.terminate(pid)
    assert.equal("CANCELED", process.events():receive(WAIT).result.error:kind())
  end)

  it("a flood of cancels is heard, and bounded", function()
    local pid = process.spawn_monitored(function(parent)
      local asked, go = process.events(), process.listen("go")
      process.send(parent, "said", "up")
      go:receive()
      local count = 0
      while asked:receive(0) do count = count + 1 end
      return count
    end, process.pid())
    assert.equal("up", (said:receive(WAIT)))
    for i = 1, 20000 do assert.is_true(process.cancel(pid, "again " .. i)) end
    process.send(pid, "go")
    local count = process.events():receive(WAIT).result.value
    assert.is_true(count >= 1000 and count <= 3000, tostring(count))
  end)

  it("that was held is read in order, with what comes meanwhile", function()
    local pid = process.spawn_monitored(function(parent)
      local flooded, go = process.listen("flood"), process.listen("go")
      process.send(parent, "said", "up")
      go:receive()
      for i = 1, 6000 do
        local n = flooded:receive()
        if n ~= i then return ("%s instead of %d"):format(n, i) end
        if i % 1000 == 0 then process.send(parent, "said", "more") end
      end
      return "all"
    end, process.pid())
    assert.equal("up", (said:receive(WAIT)))
    for i = 1, 3000 do process.send(pid, "flood", i) end
    process.send(pid, "go")
    for i = 3001, 6000 do
      if i % 1000 == 1 then assert.equal("more", (said:receive(WAIT))) end
      process.send(pid, "flood", i)
    end
    assert.equal("all", process.events():receive(WAIT).result.value)
  end)
end)
