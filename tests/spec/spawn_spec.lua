-- A process is made at its first turn: until then whatever is done to it has to wait with it. Each
-- is done to several, placed in turn, so that some wait on this worker; the test does not wait
-- between a spawn and what it does.
local WAIT = 30
local COUNT = 40

local function echo()
  for msg in process.inbox():values() do
    if msg:topic() == "stop" then return "stopped" end
    process.send(msg:from(), "echo", msg:payload())
  end
end

local function idle()
  process.inbox():receive()
end

local function each(fn)
  for i = 1, COUNT do
    fn(i)
  end
end

local function event_of(pid)
  local events = process.events()
  while true do
    local event = assert(events:receive(WAIT))
    if event.from == pid then return event end
  end
end

describe("a process that had no turn yet", function()
  it("gets its mail in order, with what comes later", function()
    local echoes = process.listen("echo")
    each(function(i)
      local pid = assert(process.spawn(echo))
      for n = 1, 5 do
        assert(process.send(pid, "m", i * 10 + n))
      end
      assert.equal(i * 10 + 1, (echoes:receive(WAIT)))
      assert(process.send(pid, "m", i * 10 + 6))
      for n = 2, 6 do
        assert.equal(i * 10 + n, (echoes:receive(WAIT)))
      end
      assert(process.send(pid, "stop"))
    end)
    process.unlisten(echoes)
  end)

  it("is watched, and tells how it ended", function()
    each(function()
      local pid = assert(process.spawn(echo))
      assert(process.monitor(pid))
      assert(process.send(pid, "stop"))
      assert.equal("stopped", event_of(pid).result.value)
      local other = assert(process.spawn(echo))
      assert(process.monitor(other))
      assert(process.unmonitor(other))
      assert(process.send(other, "stop"))
    end)
  end)

  it("is ended at once, and is no more", function()
    each(function()
      local pid = assert(process.spawn_monitored(idle))
      assert(process.terminate(pid))
      local event = event_of(pid)
      assert.equal("CANCELED", event.result.error:kind())
      local ok, err = process.send(pid, "m")
      assert.is_nil(ok)
      assert.equal("NOT_FOUND", err:kind())
    end)
  end)

  it("is asked to end, and ends with who it is linked to", function()
    local function listener()
      return process.events():receive("30s").kind
    end
    each(function()
      local pid = assert(process.spawn_monitored(listener))
      assert(process.cancel(pid, "why"))
      assert.equal("CANCEL", event_of(pid).result.value)
    end)
    local function parent()
      return process.spawn_linked(function()
        require("time").sleep("1h")
      end), error("ends badly", 0)
    end
    each(function()
      local pid = assert(process.spawn_monitored(parent))
      assert.equal("ends badly", event_of(pid).result.error:message())
    end)
  end)

  it("takes its link down with it", function()
    local function parent()
      local child = assert(process.spawn_linked(function()
        require("time").sleep("1h")
      end))
      process.terminate(child)
      require("time").sleep("1h")
    end
    each(function()
      local pid = assert(process.spawn_monitored(parent))
      assert.equal("CANCELED", event_of(pid).result.error:kind())
    end)
  end)

  it("is listed", function()
    local pids, found = {}, 0
    each(function(i)
      pids[i] = assert(process.spawn(idle))
    end)
    local is_one = {}
    for _, pid in ipairs(pids) do
      is_one[pid] = true
    end
    for _, row in ipairs(process.list()) do
      if is_one[row.pid] then found = found + 1 end
    end
    assert.equal(COUNT, found)
    for _, pid in ipairs(pids) do
      process.terminate(pid)
    end
  end)

  it("has its turn although who started it goes on", function()
    local turns = process.listen("turn")
    local function starter(main)
      while true do
        process.spawn(function(to)
          process.send(to, "turn", 1)
        end, main)
      end
    end
    local pid = assert(process.spawn(starter, process.pid()))
    for _ = 1, 20000 do
      assert(turns:receive(WAIT))
    end
    process.terminate(pid)
    process.unlisten(turns)
  end)
end)

describe("a coroutine that is used again", function()
  it("keeps nothing of who had it before", function()
    for i = 1, 300 do
      local value, err = process.exec(function(n)
        local left = rawget(_G, "left") or rawget(getfenv(0), "left") or getfenv(1).left
        _G.left = n
        coroutine.spawn(function()
          rawset(_G, "inner", n)
        end)
        if n % 7 == 0 then error("ends badly", 0) end
        require("time").sleep(0)
        return left or "fresh"
      end, i)
      if i % 7 == 0 then
        assert.equal("ends badly", err:message())
      else
        assert.equal("fresh", value)
      end
    end
  end)

  it("takes any number of arguments and results", function()
    for i = 1, 200 do
      local args = {}
      for n = 1, i % 50 * 5 do
        args[n] = n
      end
      local count = process.exec(function(...)
        return select("#", ...)
      end, unpack(args))
      assert.equal(#args, count)
    end
  end)
end)
