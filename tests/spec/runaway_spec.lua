-- Code that does not come back is ended, whatever it does, and hurts only itself.
-- Each case runs in a process of its own, which must start, hear nothing and end when terminated;
-- meanwhile a neighbour on every worker answers.
local build = require("build")

local WAIT = 60

local function neighbours()
  local pids = {}
  for i = 1, 8 do
    pids[i] = process.spawn(function()
      local inbox = process.inbox()
      while true do
        local msg = inbox:receive()
        process.send(msg:from(), "alive", true)
      end
    end)
  end
  return pids
end

local function end_of(pid)
  while true do
    local event = assert(process.events():receive(WAIT))
    if event.from == pid then return event.result.error end
  end
end

local cases = {
  ["an empty loop"] = function() while true do end end,
  ["a compiled loop"] = function()
    local n = 0
    for i = 1, 1e15 do n = n + i % 7 end
    return n
  end,
  ["goto"] = function() ::again:: goto again end,
  ["tail calls"] = function()
    local function f() return f() end
    f()
  end,
  ["recursion under pcall"] = function()
    local function f() pcall(f) f() end
    while true do pcall(f) end
  end,
  ["deep recursion"] = function()
    local function f(n) return 1 + f(n) end
    while true do pcall(f, 1) end
  end,
  ["xpcall with itself as handler"] = function()
    local function f() return xpcall(f, f) end
    while true do f() end
  end,
  ["a loop of pcalls"] = function()
    while true do
      pcall(function() while true do end end)
    end
  end,
  ["a loop as __index"] = function()
    local t = setmetatable({}, { __index = function() while true do end end })
    while true do
      pcall(function() return t.x end)
    end
  end,
  ["a loop as __tostring"] = function()
    local t = setmetatable({}, { __tostring = function() while true do end end })
    while true do pcall(tostring, t) end
  end,
  ["a loop in a sort callback"] = function()
    table.sort({ 1, 2, 3, 4, 5 }, function()
      while true do
        pcall(function() while true do end end)
      end
    end)
  end,
  ["a loop in a gsub callback"] = function()
    while true do
      pcall(string.gsub, "aaaa", "a", function() while true do end end)
    end
  end,
  ["a loop in nested coroutines"] = function()
    while true do
      local co = coroutine.create(function()
        coroutine.wrap(function()
          while true do pcall(error) end
        end)()
      end)
      coroutine.resume(co)
    end
  end,
  ["coroutines without end"] = function()
    local function f()
      local co = coroutine.wrap(f)
      return co()
    end
    while true do pcall(f) end
  end,
  ["a catastrophic pattern"] = function()
    local s = ("a"):rep(60000)
    while true do pcall(string.find, s, "a-a-a-a-a-a-a-a-b") end
  end,
  ["compiling"] = function()
    while true do loadstring("local x = 1 return x")() end
  end,
  ["pairs"] = function()
    local t = {}
    for i = 1, 100 do t[i] = i end
    while true do
      for _ in pairs(t) do end
    end
  end,
  ["strings"] = function()
    while true do
      local s = ("x"):rep(1e6)
      s:gsub("x", "y")
    end
  end,
  ["waking itself"] = function()
    local time = require("time")
    while true do time.sleep(0) end
  end,
  ["sending to itself"] = function()
    local me, inbox = process.pid(), process.inbox()
    while true do
      process.send(me, "x")
      inbox:receive()
    end
  end,
  ["spawning fibers"] = function()
    local function f()
      coroutine.spawn(f)
      coroutine.spawn(function() end)
    end
    f()
    process.inbox():receive()
  end,
}

local names = {}
for name in pairs(cases) do names[#names + 1] = name end
table.sort(names)

describe("a process that does not come back", function()
  local others
  setup(function() others = neighbours() end)
  teardown(function()
    for _, pid in ipairs(others) do process.terminate(pid) end
  end)

  for _, name in ipairs(names) do
    local test, title = it, "is ended: " .. name
    if name:find("pattern") then test, title = build.stops_patterns(it, pending, title) end
    test(title, function()
      local pid = assert(process.spawn_monitored(cases[name]))
      local alive = process.listen("alive")
      for _, other in ipairs(others) do process.send(other, "are you") end
      for _ = 1, #others do assert((alive:receive(WAIT))) end
      process.unlisten(alive)
      process.terminate(pid)
      -- where it cannot be preempted it may have been ended before, for holding up its worker
      local kind = end_of(pid):kind()
      if kind == "TIMEOUT" then assert.matches("pattern", name) end
      assert.is_true(kind == "CANCELED" or kind == "TIMEOUT", kind)
    end)
  end

  it("even when its error does not come to words", function()
    local pid = process.spawn_monitored(function()
      error(setmetatable({}, { __tostring = function() while true do end end }))
    end)
    assert.matches("cannot be put into words", end_of(pid):message(), 1, true)
    pid = process.spawn_monitored(function()
      local function own() return "words of its own" end
      error(setmetatable({}, { __tostring = own, __eq = function() while true do end end }))
    end)
    assert.equal("words of its own", end_of(pid):message())
    pid = process.spawn_monitored(function()
      local err = errors.new("x")
      err._message = setmetatable({}, { __tostring = function() while true do end end })
      coroutine.wrap(error)(err)
    end)
    assert.is_string(end_of(pid):message())
    pid = process.spawn_monitored(function()
      error(setmetatable({}, { __tostring = function() error("again") end }))
    end)
    assert.is_string(end_of(pid):message())
  end)

  it("even where it cannot be preempted", function()
    local pid = process.spawn_monitored(function()
      while true do
        xpcall(error, function() while true do end end)
      end
    end)
    -- on another worker it is terminated; on this one it is ended for holding it up
    process.terminate(pid)
    local kind = end_of(pid):kind()
    assert.is_true(kind == "CANCELED" or kind == "TIMEOUT")
  end)

  it("and the error of one made from a text names the file that called it", function()
    local stack = ""
    for _ = 1, 100 do -- now and then it is ended before it gets there
      local pid = process.spawn_monitored(function() loadstring("while true do end")() end)
      require("time").sleep(0.01)
      process.terminate(pid)
      stack = end_of(pid):stack() or ""
      if stack:find("[string", 1, true) then break end
    end
    assert.matches('%(%[string "while true do end"%]:1%), called at %S*runaway_spec.lua:%d+', stack)
  end)
end)
