--- Processes, sentence by sentence: what the contract says of them and other specs do not try.
-- Names begin with the rows of the inventory they belong to.
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local time = require("time")
local WAIT = 30

local function event_of(pid, kind)
  while true do
    local event = assert(process.events():receive(WAIT))
    if event.from == pid and (not kind or event.kind == kind) then return event end
  end
end

local function kind_of(fn, ...)
  local value, err = fn(...)
  assert.is_nil(value)
  return err:kind()
end

describe("W-42: spawn", function()
  local dir, path, before
  before_each(function()
    dir = assert(fs.temp_dir("rows-"))
    assert(fs.write(dir .. "/double.lua", "return function(n) return n * 2 end"))
    assert(fs.write(dir .. "/whole.lua", "local n = ... return n * 2"))
    assert(fs.mkdir(dir .. "/deep"))
    assert(fs.write(dir .. "/deep/double.lua", "local n = ... return n * 2"))
    path, before = dir .. "/double.lua", package.path
    package.path = dir .. "/?.lua;" .. package.path
  end)
  after_each(function()
    package.path = before
    process.set_options { trap_links = false }
    fs.remove(dir, { recursive = true })
  end)

  -- form -> the kinds of events the spawner gets of a normal end
  local forms = {
    spawn = {},
    spawn_monitored = { EXIT = true },
    spawn_linked = { LINK_DOWN = true },
    spawn_linked_monitored = { EXIT = true, LINK_DOWN = true },
  }
  local sources = {
    path = function() return path end,
    ["path of a chunk"] = function() return dir .. "/whole.lua" end,
    module = function() return "double" end,
    ["module in a folder"] = function() return "deep.double" end,
    ["function"] = function()
      return function(n) return n * 2 end
    end,
  }
  for form, expected in pairs(forms) do
    for name, source in pairs(sources) do
      it(("%s from a %s"):format(form, name), function()
        process.set_options { trap_links = true }
        local pid = assert(process[form](source(), 21))
        local got = {}
        for _ in pairs(expected) do
          local event = event_of(pid)
          got[event.kind] = true
          if event.kind == "EXIT" then assert.equal(42, event.result.value) end
        end
        assert.same(expected, got)
        assert.equal(42, process.exec(source(), 21))
      end)
    end
    it(form .. " refuses what cannot be copied, is missing, is no source", function()
      local cyclic = {}
      cyclic.a = { b = cyclic }
      for place, value in pairs {
        ["argument.x[2]: function"] = { x = { 1, print } },
        ["argument: thread"] = coroutine.create(print),
        ["argument.a.b: "] = cyclic,
      } do
        local pid, err = process[form](path, value)
        assert.is_nil(pid)
        assert.equal("INVALID", err:kind())
        assert.matches(place, err:message(), 1, true)
      end
      assert.equal("NOT_FOUND", kind_of(process[form], "no.such.module"))
      assert.equal("NOT_FOUND", kind_of(process[form], dir .. "/none.lua"))
      assert.equal("INVALID", kind_of(process[form], ""))
      local ok, words = pcall(process[form], nil)
      assert.is_false(ok)
      assert.matches("bad argument #1 to '" .. form .. "'", words, 1, true)
    end)
  end

  it("a path is relative to the working directory", function()
    local relative = ("../"):rep(20) .. path:sub(2)
    assert.equal(4, process.exec(relative, 2))
  end)
end)

describe("W-42: identity", function()
  it("the PID is the same in each coroutine, and nobody else's", function()
    local pids = { [process.pid()] = true }
    coroutine.wrap(function() assert.is_true(pids[process.pid()]) end)()
    for _ = 1, 100 do
      local pid = process.exec(function() return process.pid() end)
      assert.is_nil(pids[pid])
      pids[pid] = true
    end
  end)

  it("destinations are PIDs or names, everywhere", function()
    local pid = process.spawn(function()
      local asked = process.events()
      process.registry.register("rows.one")
      asked:receive()
      process.inbox():receive()
    end)
    local due = time.monotonic() + WAIT
    while not process.registry.lookup("rows.one") do
      assert(time.monotonic() < due)
      time.sleep(0.001)
    end
    for _, call in ipairs { "monitor", "unmonitor", "link", "unlink", "monitor", "cancel" } do
      assert.is_true(process[call]("rows.one"), call)
      assert.equal("NOT_FOUND", kind_of(process[call], "rows.nobody"), call)
      assert.has_error(function() process[call](nil) end)
      assert.has_error(function() process[call](5) end)
    end
    assert.is_true(process.terminate("rows.one"))
    assert.equal("CANCELED", event_of(pid).result.error:kind())
    assert.equal("NOT_FOUND", kind_of(process.terminate, "rows.one"))
    assert.equal("NOT_FOUND", kind_of(process.send, pid, "topic"))
    assert.equal("NOT_FOUND", kind_of(process.registry.lookup, "rows.one"))
  end)

  it("does not watch itself", function()
    assert.equal("INVALID", kind_of(process.monitor, process.pid()))
    assert.equal("INVALID", kind_of(process.link, process.pid()))
  end)
end)

describe("W-43 W-45: messages", function()
  it("the inbox and the events are the same channels each time", function()
    assert.equal(process.inbox(), process.inbox())
    assert.equal(process.events(), process.events())
  end)

  it("a listener gets first payloads, or messages, also nil and none", function()
    local plain, objects = process.listen("plain"), process.listen("objects", { message = true })
    process.send(process.pid(), "plain", "first", "second")
    process.send(process.pid(), "plain", nil, "second")
    process.send(process.pid(), "plain")
    process.send(process.pid(), "objects", nil, "second", nil)
    process.send(process.pid(), "objects")
    assert.same({ "first", true }, { plain:receive(WAIT) })
    for _ = 1, 2 do
      local value, ok = plain:receive(WAIT)
      assert.is_nil(value)
      assert.is_true(ok)
    end
    local msg = objects:receive(WAIT)
    assert.equal(3, select("#", msg:payload()))
    assert.equal("second", (select(2, msg:payload())))
    assert.equal(0, select("#", objects:receive(WAIT):payload()))
    process.unlisten(plain)
    process.unlisten(objects)
    assert.same({ nil, false }, { plain:receive(WAIT) })
  end)

  it("reserved and empty topics are refused by listen and send", function()
    for _, topic in ipairs { "@event", "@", "" } do
      assert.equal("INVALID", kind_of(process.listen, topic))
      assert.equal("INVALID", kind_of(process.send, process.pid(), topic))
    end
    assert.equal("NOT_FOUND", kind_of(process.unlisten, channel.new()))
  end)

  it("what cannot be copied is refused, naming the key path", function()
    local me = process.pid()
    for place, value in pairs {
      ["payload.user.cb: function"] = { user = { cb = print } },
      ["payload[2][1]: thread"] = { 1, { coroutine.create(print) } },
      ["payload: "] = print,
    } do
      local ok, err = process.send(me, "t", value)
      assert.is_nil(ok)
      assert.equal("INVALID", err:kind())
      assert.matches(place, err:message(), 1, true)
    end
    local result, err = process.exec(function() return { a = { b = { print } } } end)
    assert.is_nil(result)
    assert.matches("result.a.b[1]: function", err:message(), 1, true)
  end)

  it("are copies, in this VM and in others", function()
    for _ = 1, 4 do
      local value = { list = { 1, 2 } }
      local pid = process.spawn(function(to)
        local got = process.inbox():receive():payload()
        got.list[1] = "changed"
        process.send(to, "copy", got)
      end, process.pid())
      local answers = process.listen("copy")
      process.send(pid, "x", value)
      assert.equal("changed", (answers:receive(WAIT)).list[1])
      assert.equal(1, value.list[1])
      process.unlisten(answers)
    end
  end)
end)

describe("W-44: events", function()
  after_each(function() process.set_options { trap_links = false } end)

  it("that came before anyone asked for them are not lost", function()
    local got = process.exec(function()
      local child = process.spawn_monitored(function() return "early" end)
      while process.send(child, "still there?") do require("time").sleep(0.001) end
      process.cancel(process.pid(), "also early")
      local seen = {} -- from two senders: in any order
      for _ = 1, 2 do
        local event = process.events():receive()
        seen[event.kind] = event.result and event.result.value or event.reason
      end
      return seen
    end)
    assert.same({ EXIT = "early", CANCEL = "also early" }, got)
  end)

  it("CANCEL says who asks and why", function()
    local got = process.exec(function(parent)
      process.spawn(function(to) process.cancel(to, "go away") end, process.pid())
      local event = process.events():receive()
      return { event.kind, event.reason, event.from ~= nil and event.from ~= parent }
    end, process.pid())
    assert.same({ "CANCEL", "go away", true }, got)
  end)

  it("one EXIT for one monitor, however often it was asked for", function()
    local pid = process.spawn_monitored(function() process.inbox():receive() end)
    process.monitor(pid)
    process.monitor(pid)
    process.send(pid, "end")
    event_of(pid)
    local other = process.spawn_monitored(function() end)
    assert.equal(other, process.events():receive(WAIT).from)
  end)

  it("links go both ways, and say why", function()
    local pid = process.spawn_monitored(function() process.inbox():receive() end)
    local peer = process.spawn(function(other)
      process.link(other)
      error("the other end")
    end, pid)
    local err = event_of(pid).result.error
    assert.matches("the other end", err:message())
    assert.is_string(peer)
  end)

  it("a trapping process sees normal ends too, and options are its own", function()
    assert.is_false(process.get_options().trap_links)
    process.set_options { trap_links = true }
    assert.is_true(process.get_options().trap_links)
    assert.is_false(process.exec(function() return process.get_options().trap_links end))
    local pid = process.spawn_linked(function() end)
    assert.equal("LINK_DOWN", event_of(pid).kind)
    assert.has_error(function() process.set_options { trap_links = 1 } end)
    assert.has_error(function() process.set_options() end)
  end)
end)

describe("W-57: tracebacks", function()
  local stack
  local function in_order(parts)
    local at = 1
    for _, part in ipairs(parts) do
      local from, to = stack:find(part, at, true)
      assert.is_truthy(from, ("'%s' is missing after %d in:\n%s"):format(part, at, stack))
      at = to
    end
  end

  it("go through coroutines and through the processes that awaited", function()
    local _, err = process.exec(function()
      local function outer()
        local _, err = process.exec(function()
          local function innermost() error(errors.new { message = "deep", kind = "CONFLICT" }) end
          coroutine.wrap(function()
            coroutine.wrap(function() innermost() end)()
          end)()
        end)
        error(errors.wrap(err, "outer"))
      end
      outer()
    end)
    stack = err:stack()
    assert.equal("CONFLICT", err:kind())
    assert.equal("outer: deep", err:message())
    in_order { "innermost", "resumed from", "awaited in", "'outer'" }
  end)

  it("stay bounded however many awaited", function()
    local path = os.tmpname() .. ".lua"
    assert(fs.write(path, [[
      local path, depth = ...
      if depth == 0 then error("bottom") end
      local _, err = process.exec(path, path, depth - 1)
      error(err)
    ]]))
    local _, err = process.exec(path, path, 150)
    fs.remove(path)
    assert.matches("bottom", err:message())
    stack = err:stack()
    in_order { ":2:", "awaited in", ":4:", "..." }
    assert.is_true(#stack < 20000, #stack)
  end)
end)

describe("W-41: globals", function()
  it("are Lua's, LuaJIT's, and ours, in every process", function()
    local missing = process.exec(function()
      local list = {}
      local names = "assert error getmetatable ipairs next pairs pcall print rawequal rawget "
        .. "rawset require select setmetatable tonumber tostring type unpack xpcall "
        .. "loadstring load dofile bit coroutine debug io math os package string table "
        .. "process channel errors capability"
      for name in names:gmatch("%S+") do
        if _G[name] == nil then list[#list + 1] = name end
      end
      for _, name in ipairs { "events", "time", "session", "registry", "json", "log", "dns", "tcp",
        "udp", "tls", "http", "exec", "fs", "crypto", "supervisor" } do
        if type(require(name)) ~= "table" then list[#list + 1] = name end
      end
      return table.concat(list, " ")
    end)
    assert.equal("", missing)
  end)

  for _, code in ipairs {
    "string.foo = 1", "table.insert = nil", "math.pi = 3", "process.send = 1",
    "channel.new = 1", "errors.new = 1", "coroutine.spawn = 1", "process.event.EXIT = 1",
    "process.registry.x = 1", "require('events').send = 1", "require('time').now = 1",
    "require('supervisor').start = 1",
  } do
    it("changing the library raises, naming it: " .. code, function()
      local ok, err = pcall(assert(loadstring(code)))
      assert.is_false(ok)
      assert.matches("is frozen: cannot set '" .. code:match("%.(%a+) =") .. "'", err, 1, true)
    end)
  end
end)
