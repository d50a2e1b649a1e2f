-- Processes: spawning, messages, events, monitors, links, names.
local time = require("time")
local WAIT = 30

local function next_event()
  local event, ok, err = process.events():receive(WAIT)
  assert(event, tostring(err) .. tostring(ok))
  return event
end

local function event_of(pid)
  local event
  repeat
    event = next_event()
  until event.from == pid
  return event
end

local function write(name, text)
  local path = os.tmpname and os.tmpname() or nil
  path = path or ("/tmp/rt-" .. name .. "-" .. tostring(math.random(1e9)))
  path = path .. ".lua"
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

describe("process.spawn", function()
  it("runs a function with copied arguments", function()
    local given = { 1, { deep = true } }
    local value = process.exec(function(t, n)
      t[1] = "changed"
      return { t[2].deep, n }
    end, given, 7)
    assert.same({ true, 7 }, value)
    assert.equal(1, given[1])
  end)

  it("gives each process its own globals", function()
    leak = "mine" -- luacheck: ignore
    assert.equal("nil", process.exec(function() return type(leak) end)) -- luacheck: ignore
    process.exec(function() leak = "theirs" end) -- luacheck: ignore
    assert.equal("mine", leak) -- luacheck: ignore
    leak = nil -- luacheck: ignore
  end)

  it("refuses a function with upvalues, naming one", function()
    local outer = 1
    local pid, err = process.spawn(function() return outer end)
    assert.is_nil(pid)
    assert.equal("INVALID", err:kind())
    assert.matches("'outer'", err:message(), 1, true)
  end)

  it("refuses C functions and other types", function()
    local pid, err = process.spawn(math.floor)
    assert.is_nil(pid)
    assert.equal("INVALID", err:kind())
    assert.has_error(function() process.spawn(5) end)
    assert.has_error(function() process.spawn() end)
  end)

  it("refuses arguments that cannot be copied, naming where", function()
    local pid, err = process.spawn(function() end, { user = { cb = print } })
    assert.is_nil(pid)
    assert.equal("INVALID", err:kind())
    assert.matches("user.cb: function", err:message(), 1, true)
  end)

  it("runs a file: the function it returns, or the chunk itself", function()
    local returns = write("returns", "return function(a) return a + 1 end")
    local chunk = write("chunk", "local a = ... return a * 2")
    assert.equal(5, process.exec(returns, 4))
    assert.equal(8, process.exec(chunk, 4))
    os.remove(returns)
    os.remove(chunk)
  end)

  it("answers what is missing or malformed at once", function()
    local pid, err = process.spawn("./no/such/file.lua")
    assert.is_nil(pid)
    assert.equal("NOT_FOUND", err:kind())
    pid, err = process.spawn("no_such_module")
    assert.is_nil(pid)
    assert.equal("NOT_FOUND", err:kind())
    pid, err = process.spawn("")
    assert.is_nil(pid)
    assert.equal("INVALID", err:kind())
    local bad = write("bad", "return = 5")
    pid, err = process.spawn(bad)
    assert.is_nil(pid)
    assert.equal("INVALID", err:kind())
    os.remove(bad)
  end)

  it("starts many", function()
    local sum, ch = 0, process.listen("n")
    for i = 1, 500 do
      process.spawn(function(parent, n) process.send(parent, "n", n) end, process.pid(), i)
    end
    for _ = 1, 500 do
      sum = sum + assert((ch:receive(WAIT)))
    end
    process.unlisten(ch)
    assert.equal(125250, sum)
  end)
end)

describe("process.exec", function()
  it("answers the result", function()
    assert.same({ a = { 1, 2, 3 } }, process.exec(function() return { a = { 1, 2, 3 } } end))
    assert.is_nil(process.exec(function() end))
  end)

  it("answers the error, with its kind", function()
    local value, err = process.exec(function() error("plain") end)
    assert.is_nil(value)
    assert.equal("UNKNOWN", err:kind())
    assert.matches("plain", err:message())
    value, err = process.exec(function()
      error(errors.new({ message = "gone", kind = "NOT_FOUND" }))
    end)
    assert.is_nil(value)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("refuses a result that cannot be copied", function()
    local value, err = process.exec(function() return print end)
    assert.is_nil(value)
    assert.equal("INVALID", err:kind())
  end)

  it("nests", function()
    local value = process.exec(function()
      return process.exec(function() return process.exec(function() return "deep" end) end)
    end)
    assert.equal("deep", value)
  end)
end)

describe("messages", function()
  it("carry sender, topic and all payloads", function()
    local pid = process.spawn(function()
      local msg = process.inbox():receive()
      process.send(msg:from(), "answer", msg:topic(), msg:payload())
    end)
    process.send(pid, "question", 1, nil, { x = "y" }, false)
    local msg = process.inbox():receive(WAIT)
    assert.equal(pid, msg:from())
    assert.equal("answer", msg:topic())
    local topic, a, b, c, d = msg:payload()
    assert.equal("question", topic)
    assert.equal(1, a)
    assert.is_nil(b)
    assert.same({ x = "y" }, c)
    assert.is_false(d)
  end)

  it("of one sender keep their order", function()
    local pids = {}
    for _ = 1, 3 do
      pids[#pids + 1] = process.spawn(function(to)
        for i = 1, 300 do process.send(to, "seq", i) end
      end, process.pid())
    end
    local last, inbox = {}, process.inbox()
    for _ = 1, 900 do
      local msg = assert(inbox:receive(WAIT))
      local before = last[msg:from()] or 0
      assert.equal(before + 1, (msg:payload()))
      last[msg:from()] = before + 1
    end
    for _, pid in ipairs(pids) do assert.equal(300, last[pid]) end
  end)

  it("to oneself arrive", function()
    process.send(process.pid(), "self", "hi")
    assert.equal("hi", (process.inbox():receive(WAIT):payload()))
  end)

  it("go to the listener that exists when they arrive", function()
    process.send(process.pid(), "t", "before")
    local ch = process.listen("t")
    process.send(process.pid(), "t", "during")
    assert.equal("during", (ch:receive(WAIT)))
    assert.equal("before", (process.inbox():receive(WAIT):payload()))
    assert.is_true(process.unlisten(ch))
    process.send(process.pid(), "t", "after")
    assert.equal("after", (process.inbox():receive(WAIT):payload()))
    local none, err = process.unlisten(ch)
    assert.is_nil(none)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("can be listened to as objects, once a topic", function()
    local ch = process.listen("obj", { message = true })
    local again, err = process.listen("obj")
    assert.is_nil(again)
    assert.equal("ALREADY_EXISTS", err:kind())
    process.send(process.pid(), "obj", 5)
    local msg = ch:receive(WAIT)
    assert.equal("obj", msg:topic())
    process.unlisten(ch)
  end)

  it("wait until the process asks for them", function()
    local pid = process.spawn(function(parent)
      local go = require("time")
      go.sleep(0.02)
      local got = {}
      local inbox = process.inbox()
      for i = 1, 3 do got[i] = inbox:receive():payload() end
      process.send(parent, "got", got)
    end, process.pid())
    for i = 1, 3 do process.send(pid, "x", i) end
    assert.same({ 1, 2, 3 }, (process.inbox():receive(WAIT):payload()))
  end)

  it("that cannot be sent say why", function()
    local function kind_of(...)
      local ok, err = process.send(...)
      assert.is_nil(ok)
      return err:kind()
    end
    assert.equal("NOT_FOUND", kind_of("{0|fffff.1}", "t"))
    assert.equal("NOT_FOUND", kind_of("nobody", "t"))
    assert.equal("INVALID", kind_of(process.pid(), "@t"))
    assert.equal("INVALID", kind_of(process.pid(), ""))
    assert.equal("INVALID", kind_of(process.pid(), "t", print))
    local cyclic = {}
    cyclic.me = cyclic
    assert.equal("INVALID", kind_of(process.pid(), "t", cyclic))
    assert.has_error(function() process.send(nil, "t") end,
      "bad argument #1 to 'send' (string expected, got nil)")
  end)

  it("are refused when too many are unread", function()
    local pid = process.spawn_monitored(function(parent)
      process.inbox()
      process.send(parent, "asleep")
      require("time").sleep(1000)
    end, process.pid())
    process.inbox():receive(WAIT)
    local big, sent = ("z"):rep(100000), 0
    local ok, err = process.send(pid, "x", big)
    while ok do
      sent = sent + 1
      ok, err = process.send(pid, "x", big)
    end
    assert.equal("UNAVAILABLE", err:kind())
    assert.is_true(sent > 100)
    process.terminate(pid)
    assert.equal(pid, next_event().from)
  end)

  it("that were held back are read in the end", function()
    local pid = process.spawn_monitored(function(parent)
      local inbox, go = process.inbox(), process.listen("go")
      process.send(parent, "up")
      go:receive()
      require("time").sleep(0.02)
      for i = 1, 5000 do
        if inbox:receive():payload() ~= i then return i end
      end
      return "all"
    end, process.pid())
    process.inbox():receive(WAIT)
    process.send(pid, "go")
    for i = 1, 5000 do assert(process.send(pid, "x", i)) end
    local event = next_event()
    assert.equal(pid, event.from)
    assert.equal("all", event.result.value)
  end)

  it("are seen by a loop that never waits", function()
    local pid = process.spawn(function(parent)
      local inbox = process.inbox()
      process.send(parent, "ready")
      while true do
        local msg = inbox:receive(0)
        if msg then
          process.send(parent, "polled", msg:payload())
          return
        end
      end
    end, process.pid())
    assert.equal("ready", process.inbox():receive(WAIT):topic())
    process.send(pid, "x", 9)
    assert.equal(9, (process.inbox():receive(WAIT):payload()))
  end)
end)

describe("monitors", function()
  it("tell the result", function()
    local pid = process.spawn_monitored(function() return "value" end)
    local event = event_of(pid)
    assert.equal(process.event.EXIT, event.kind)
    assert.equal("value", event.result.value)
    assert.is_nil(event.result.error)
  end)

  it("tell the error", function()
    local event = event_of(process.spawn_monitored(function() error("oops") end))
    assert.matches("oops", event.result.error:message())
    assert.matches("traceback", event.result.error:stack())
  end)

  it("of a dead process tell at once", function()
    local pid = process.spawn_monitored(function() end)
    event_of(pid)
    assert.is_true(process.monitor(pid))
    assert.equal("NOT_FOUND", event_of(pid).result.error:kind())
  end)

  it("can be taken back", function()
    local pid = process.spawn(function() process.inbox():receive() end)
    process.monitor(pid)
    process.unmonitor(pid)
    process.send(pid, "go")
    local other = process.spawn_monitored(function() require("time").sleep(0.02) end)
    assert.equal(other, next_event().from)
  end)
end)

describe("cancel and terminate", function()
  it("cancel is heard as an event", function()
    local pid = process.spawn_monitored(function()
      local event = process.events():receive()
      return event.kind .. " " .. event.reason
    end)
    assert.is_true(process.cancel(pid, "enough"))
    assert.equal("CANCEL enough", event_of(pid).result.value)
    local ok, err = process.cancel("nobody")
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("terminate ends one that waits", function()
    local pid = process.spawn_monitored(function() require("time").sleep(1000) end)
    assert.is_true(process.terminate(pid))
    assert.equal("CANCELED", event_of(pid).result.error:kind())
    local ok, err = process.terminate(pid)
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("a process may terminate itself", function()
    local pid = process.spawn_monitored(function()
      process.terminate(process.pid())
      while true do end
    end)
    assert.equal("CANCELED", event_of(pid).result.error:kind())
  end)

  it("os.exit ends only a child", function()
    local pid = process.spawn_monitored(function() os.exit(5) end)
    assert.is_nil(event_of(pid).result.error)
  end)
end)

describe("links", function()
  after_each(function() process.set_options({ trap_links = false }) end)

  it("end a process with its peer", function()
    local pid = process.spawn_monitored(function()
      local child = process.spawn_linked(function()
        process.inbox():receive()
        error("child fails")
      end)
      process.send(child, "go")
      require("time").sleep(1000)
    end)
    assert.matches("child fails", event_of(pid).result.error:message())
  end)

  it("trapped come as events", function()
    process.set_options({ trap_links = true })
    assert.is_true(process.get_options().trap_links)
    local pid = process.spawn_linked(function() error("down") end)
    local event = event_of(pid)
    assert.equal(process.event.LINK_DOWN, event.kind)
    assert.matches("down", event.reason:message())
  end)

  it("a normal end is no reason to end", function()
    local pid = process.spawn_monitored(function()
      process.spawn_linked(function() end)
      require("time").sleep(0.05)
      return "alive"
    end)
    assert.equal("alive", event_of(pid).result.value)
  end)

  it("to a dead process", function()
    local dead = process.spawn_monitored(function() end)
    event_of(dead)
    process.set_options({ trap_links = true })
    process.link(dead)
    assert.equal(process.event.LINK_DOWN, event_of(dead).kind)
    local pid = process.spawn_monitored(function(other)
      process.link(other)
      require("time").sleep(1000)
    end, dead)
    assert.is_truthy(event_of(pid).result.error)
  end)

  it("can be taken back", function()
    local pid = process.spawn_linked(function()
      process.inbox():receive()
      error("nobody hears")
    end)
    process.monitor(pid)
    process.unlink(pid)
    process.send(pid, "go")
    assert.equal(process.event.EXIT, event_of(pid).kind)
  end)
end)

describe("process.registry", function()
  it("names processes", function()
    local me = process.pid()
    assert.is_true(process.registry.register("spec.me"))
    assert.equal(me, process.registry.lookup("spec.me"))
    process.send("spec.me", "hello")
    assert.equal("hello", process.inbox():receive(WAIT):topic())
    local ok, err = process.registry.register("spec.me")
    assert.is_nil(ok)
    assert.equal("ALREADY_EXISTS", err:kind())
    assert.is_true(process.registry.unregister("spec.me"))
    ok, err = process.registry.lookup("spec.me")
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
    ok, err = process.registry.unregister("spec.me")
    assert.is_nil(ok)
    assert.equal("NOT_FOUND", err:kind())
    ok, err = process.registry.register("")
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
  end)

  it("lets nobody take another's name away", function()
    local pid = process.spawn(function() process.inbox():receive() end)
    assert.is_true(process.registry.register("spec.theirs", pid))
    local ok, err = process.registry.unregister("spec.theirs")
    assert.is_nil(ok)
    assert.equal("PERMISSION_DENIED", err:kind())
    assert.matches(pid, err:message(), 1, true)
    assert.equal(pid, process.registry.lookup("spec.theirs"))
    process.terminate(pid)
  end)

  it("forgets names with their process", function()
    local pid = process.spawn_monitored(function()
      process.registry.register("spec.child")
      process.inbox():receive()
    end)
    while not process.registry.lookup("spec.child") do time.sleep(0.001) end
    process.send("spec.child", "end")
    event_of(pid)
    assert.is_nil((process.registry.lookup("spec.child")))
  end)
end)

describe("process.list", function()
  it("lists the oldest first", function()
    local pid = process.spawn(function() process.inbox():receive() end)
    local list = process.list()
    assert.equal(process.pid(), list[1].pid)
    local found
    for i, row in ipairs(list) do
      assert.is_string(row.state)
      assert.is_true(row.memory > 0 and row.mailbox >= 0 and row.age >= 0)
      if i > 1 then assert.is_true(row.age <= list[i - 1].age) end
      found = found or row.pid == pid
    end
    assert.is_true(found)
    process.terminate(pid)
  end)
end)
