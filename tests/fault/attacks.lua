--- What a hostile script may try, one function for each attack, in the order they are run.
-- An attack goes on until it is ended from outside, unless it is one of `memory`, which may meet
-- the limit of its VM first. Where it asks for something that scripts do not get, it checks that it
-- does not get it and raises when it does: the suite takes an error for a breach.
-- SPDX-License-Identifier: MIT
local M = {}

local function attack(name, run, options)
  local entry = options or {}
  entry.name, entry.run = name, run
  M[#M + 1] = entry
end

local function refused(what, ...)
  if pcall(...) then error("not refused: " .. what, 0) end
end

local function absent(what, value)
  if value ~= nil then error("there is a " .. what, 0) end
end

local function forever() while true do end end

-- --- loops ---------------------------------------------------------------------------------------

attack("empty loop", function() while true do end end)

attack("compiled loop", function()
  local n = 0
  for i = 1, 1e15 do n = n + i % 7 end
  return n
end)

attack("loop that is never compiled", function()
  while true do
    local co = function() end
    co()
  end
end)

attack("goto", function() ::again:: goto again end)

attack("tail calls", function()
  local function f() return f() end
  f()
end)

attack("deep recursion", function()
  local function f(n) return 1 + f(n) end
  while true do pcall(f, 1) end
end)

attack("loop over pairs", function()
  local t = {}
  for i = 1, 1e4 do t["k" .. i] = i end
  while true do
    for _ in pairs(t) do end
  end
end)

attack("endless iterator", function()
  for _ in function() return 1 end do end
end)

attack("compiling", function()
  while true do loadstring("local x = 1 return x")() end
end)

-- --- protected calls -----------------------------------------------------------------------------

attack("loop of pcalls", function()
  while true do pcall(forever) end
end)

attack("recursion of pcalls", function()
  local function f() pcall(f) f() end
  while true do pcall(f) end
end)

attack("pcall of pcall", function()
  while true do pcall(pcall, pcall, pcall, forever) end
end)

attack("xpcall, itself the handler", function()
  local function f() return xpcall(f, f) end
  while true do f() end
end)

attack("endless loop as error handler", function()
  while true do xpcall(error, forever) end
end, { held = true })

attack("error handler that fails for ever", function()
  local function handler() error("again") end
  while true do xpcall(error, handler) end
end)

attack("error handlers in error handlers", function()
  local function handler() xpcall(error, handler) end
  while true do xpcall(error, handler) end
end, { held = true })

-- --- metamethods ---------------------------------------------------------------------------------

for _, event in ipairs({
  "index", "newindex", "add", "unm", "eq", "lt", "le", "concat", "call", "len",
}) do
  attack("loop in __" .. event, function()
    local use = {
      index = function(a) return a.x end,
      newindex = function(a) a.x = 1 end,
      add = function(a) return a + 1 end,
      unm = function(a) return -a end,
      eq = function(a, b) return a == b end,
      lt = function(a, b) return a < b end,
      le = function(a, b) return a <= b end,
      concat = function(a) return a .. "x" end,
      call = function(a) return a() end,
      len = function(a) return #a end,
    }
    local meta = { ["__" .. event] = forever }
    local a, b = setmetatable({}, meta), setmetatable({}, meta)
    while true do
      pcall(use[event], a, b)
      if event == "len" then forever() end -- tables have no __len here
    end
  end)
end

attack("chain of __index", function()
  local t = {}
  for _ = 1, 1e5 do t = setmetatable({}, { __index = t }) end
  while true do pcall(function() return t.x end) end
end)

attack("__index that calls itself", function()
  local meta = {}
  meta.__index = function(t, k) return t[k .. "x"] end
  while true do pcall(function() return setmetatable({}, meta).x end) end
end, { memory = true })

attack("loop in __tostring", function()
  local t = setmetatable({}, { __tostring = forever })
  while true do pcall(tostring, t) end
end)

attack("finalizers", function()
  absent("newproxy", newproxy)
  while true do setmetatable({}, { __gc = forever, __mode = "kv" }) end
end)

attack("error with a hostile __tostring", function()
  local hostile = setmetatable({}, { __tostring = forever, __eq = forever, __index = forever })
  local inner = process.spawn_monitored(function()
    error(setmetatable({}, { __tostring = function() while true do end end }))
  end)
  process.monitor(inner)
  while true do
    pcall(error, hostile)
    pcall(errors.wrap, hostile, hostile)
    pcall(print, hostile)
    forever()
  end
end)

-- --- callbacks of the library -------------------------------------------------------------------

attack("loop in a sort callback", function()
  while true do pcall(table.sort, { 3, 2, 1, 5, 4 }, forever) end
end)

attack("sort without order", function()
  local t = {}
  for i = 1, 5000 do t[i] = i end
  while true do
    pcall(table.sort, t, function() return math.random() < 0.5 end)
  end
end)

attack("loop in a gsub callback", function()
  while true do pcall(string.gsub, "aaaa", "a", forever) end
end)

attack("loop in the reader of load", function()
  while true do pcall(load, forever) end
end)

attack("endless reader of load", function()
  while true do pcall(load, function() return "local x = 1 " end) end
end, { memory = true })

-- --- coroutines ---------------------------------------------------------------------------------

attack("loop in nested coroutines", function()
  local function nest(n)
    if n == 0 then forever() end
    coroutine.wrap(nest)(n - 1)
  end
  while true do pcall(nest, 50) end
end)

attack("chain of coroutine.wrap", function()
  local function f() return coroutine.wrap(f)() end
  while true do pcall(f) end
end)

attack("loop of pcalls in coroutines", function()
  while true do
    coroutine.resume(coroutine.create(function()
      coroutine.wrap(function()
        while true do pcall(error) end
      end)()
    end))
  end
end)

attack("coroutines that yield for ever", function()
  local function yields() while true do coroutine.yield() end end
  while true do
    local co = coroutine.wrap(yields)
    for _ = 1, 1000 do co() end
  end
end)

attack("fibers without end", function()
  local function f()
    coroutine.spawn(f)
    coroutine.spawn(forever)
  end
  f()
  forever()
end, { memory = true })

-- --- strings -------------------------------------------------------------------------------------

attack("catastrophic pattern", function()
  local s = ("a"):rep(60000)
  while true do pcall(string.find, s, "a-a-a-a-a-a-a-a-b") end
end)

attack("catastrophic gmatch and gsub", function()
  local s = ("a"):rep(60000)
  while true do
    pcall(string.gsub, s, ".-.-.-.-b", "")
    pcall(function() for _ in s:gmatch(".-.-.-.-b") do end end)
  end
end)

attack("plain search", function()
  local s = ("a"):rep(1e6)
  local pattern = ("a"):rep(5e5) .. "b"
  while true do s:find(pattern, 1, true) end
end)

attack("string.rep", function()
  while true do pcall(string.rep, "x", 1e9) end
end, { memory = true })

attack("giant concatenation", function()
  local s = "x"
  while true do s = s .. s end
end, { memory = true })

attack("table.concat", function()
  local t, s = {}, ("x"):rep(1e6)
  for i = 1, 1e5 do t[i] = s end
  while true do pcall(table.concat, t) end
end, { memory = true })

attack("string.format", function()
  local s = ("x"):rep(1e6)
  local format = ("%s"):rep(200)
  local args = {}
  for i = 1, 200 do args[i] = s end
  while true do
    pcall(string.format, format, unpack(args))
    pcall(string.format, "%99999999d", 1)
    pcall(string.format, "%.99f", 1e300)
  end
end, { memory = true })

attack("unpack", function()
  while true do pcall(unpack, {}, 1, 1e8) end
end, { memory = true })

-- --- much for one call ---------------------------------------------------------------------------

local function many(make)
  local t = {}
  for i = 1, 5e5 do t[i] = make(i) end
  return t
end

attack("sort of many numbers", function()
  local t = many(math.random)
  while true do
    for i = 1, #t do t[i] = math.random() end
    table.sort(t)
  end
end, { memory = true })

attack("concat of many numbers", function()
  local t = many(math.random)
  while true do table.concat(t, ",") end
end, { memory = true })

attack("JSON of many", function()
  local json = require("json")
  local t = many(function() return { false } end)
  while true do pcall(json.encode, t) end
end, { memory = true })

attack("JSON text of many", function()
  local json = require("json")
  local text = "[" .. ("[],"):rep(2e5) .. "[]]"
  while true do pcall(json.decode, text) end
end, { memory = true })

attack("encodings of much", function()
  local crypto = require("crypto")
  local s = ("x"):rep(8e6)
  while true do
    pcall(crypto.hex_decode, crypto.hex_encode(s))
    pcall(crypto.base64_decode, crypto.base64_encode(s))
    pcall(crypto.sha512, s)
    pcall(crypto.hmac, "sha512", "key", s)
  end
end, { memory = true })

attack("compiling much", function()
  local text = ("do end "):rep(1e6)
  while true do pcall(loadstring, text) end
end, { memory = true })

attack("reading much code", function()
  local text = "return [[" .. ("x"):rep(1e7) .. "]]"
  while true do
    local once = text
    pcall(load, function()
      local part = once
      once = nil
      return part
    end)
  end
end, { memory = true })

attack("messages of many", function()
  local t = many(function(i) return i end)
  while true do
    process.send(process.pid(), "many", t)
    process.inbox():receive()
  end
end, { memory = true, waits = true })

-- --- memory, and what others keep for it ---------------------------------------------------------

attack("tables", function()
  local t = {}
  while true do t[#t + 1] = {} end
end, { memory = true })

attack("memory under pcall", function()
  local t, s = {}, ("x"):rep(1e5)
  while true do
    pcall(function() t[#t + 1] = s .. #t end)
  end
end, { memory = true })

attack("memory of many coroutines", function()
  local t = {}
  while true do
    local co = coroutine.create(function(...) coroutine.yield(...) end)
    coroutine.resume(co, {}, {}, {})
    t[#t + 1] = co
  end
end, { memory = true })

attack("mailbox of its own", function()
  local me, s = process.pid(), ("x"):rep(1000)
  while true do process.send(me, "flood", s) end
end, { memory = true })

attack("mailbox of another", function()
  local other = assert(process.spawn_linked(function() process.events():receive() end))
  local s = ("x"):rep(1000)
  while true do process.send(other, "flood", s) end
end, { memory = true })

attack("processes that wait", function()
  while true do
    process.spawn_linked(function() process.inbox():receive() end)
  end
end, { memory = true })

attack("processes that spawn", function()
  local source = "./tests/fault/fork.lua"
  while true do process.spawn_linked(source) end
end, { memory = true })

attack("processes that compute", function()
  while true do
    process.spawn_linked(function() while true do end end)
  end
end, { memory = true })

attack("timers", function()
  local time = require("time")
  local kept = {}
  while true do kept[#kept + 1] = time.after(3600) end
end, { memory = true })

attack("timers that are due", function()
  local time = require("time")
  while true do
    time.after(0)
    time.sleep(0)
  end
end, { memory = true, waits = true })

attack("channels", function()
  local kept = {}
  while true do
    local ch = channel.new(1000)
    for i = 1, 1000 do ch:send(i) end
    kept[#kept + 1] = ch
  end
end, { memory = true })

attack("subscriptions", function()
  local events = require("events")
  local kept = {}
  while true do
    kept[#kept + 1] = events.subscribe("attack", "a.b.c")
  end
end, { memory = true, waits = true })

attack("events", function()
  local events = require("events")
  local sub = assert(events.subscribe("attack"))
  local s = ("x"):rep(1000)
  while true do events.send("attack", "flood", "p", s) end
  sub:close()
end, { memory = true, waits = true })

attack("names", function()
  local i = 0
  while true do
    i = i + 1
    process.registry.register("attack" .. i)
  end
end, { memory = true })

attack("waking itself", function()
  local time = require("time")
  while true do time.sleep(0) end
end, { waits = true })

attack("sending to itself", function()
  local me, inbox = process.pid(), process.inbox()
  while true do
    process.send(me, "x")
    inbox:receive()
  end
end, { waits = true })

attack("calls that fail", function()
  local json = require("json")
  while true do
    process.send("nobody", "x")
    json.decode("[")
    process.registry.lookup("nobody")
  end
end)

attack("output", function()
  while true do print("") end
end)

-- --- what scripts do not get ---------------------------------------------------------------------

attack("debug", function()
  for _, name in ipairs({ "sethook", "setmetatable", "setupvalue", "setlocal", "getregistry",
    "getupvalue", "getlocal", "setfenv", "getmetatable", "upvaluejoin" }) do
    absent("debug." .. name, debug[name])
  end
  refused("a change of debug", function() debug.x = 1 end)
  for level = 0, 20 do
    local info = debug.getinfo(level)
    if info and info.func and getfenv(info.func) ~= getfenv(1) then
      refused("setfenv of a caller", setfenv, info.func, {})
    end
  end
  forever()
end)

attack("bytecode", function()
  local code = string.dump and select(2, pcall(string.dump, function() return 1 end))
  code = type(code) == "string" and code or "\27LJ\2\2\0"
  if load(code) or loadstring(code) then error("bytecode was loaded", 0) end
  local function once()
    local part = code
    code = nil
    return part
  end
  if load(once) then error("bytecode was loaded", 0) end
  code = "\27LJ\2\2\0"
  if load(code, "x", "b") or load("\27Lua") then error("bytecode was loaded", 0) end
  forever()
end)

attack("native code", function()
  for _, name in ipairs({ "ffi", "jit", "uv", "luv", "lfs", "package" }) do
    absent("global " .. name, rawget(_G, name))
  end
  for _, name in ipairs({ "ffi", "jit", "jit.util", "uv", "luv", "string.buffer", "rt.task",
    "rt.core.task", "rt.core.process" }) do
    refused("module " .. name, require, name)
  end
  if package then absent("package.loadlib", package.loadlib) end
  forever()
end)

attack("metatable of strings", function()
  refused("setmetatable of a string", setmetatable, "", {})
  local meta = getmetatable("")
  if type(meta) == "table" then refused("a new __index", function() meta.__index = {} end) end
  for _, name in ipairs({ "string", "table", "math", "os", "io", "coroutine", "process" }) do
    refused("a change of " .. name, function() _G[name].x = forever end)
    refused("rawset of " .. name, rawset, _G[name], "x", forever)
    refused("setmetatable of " .. name, setmetatable, _G[name], {})
  end
  forever()
end)

attack("the collector", function()
  for _, what in ipairs({ "stop", "restart", "setpause", "setstepmul", "generational" }) do
    refused("collectgarbage " .. what, collectgarbage, what, 1e9)
  end
  while true do collectgarbage() end
end)

attack("the environment of others", function()
  for _, fn in ipairs({ print, pcall, require, string.gsub, table.sort, process.spawn, pairs }) do
    if getfenv(fn) ~= _G and getfenv(fn).process ~= process then
      error("the library's environment is open", 0)
    end
    refused("setfenv", setfenv, fn, {})
  end
  forever()
end)

attack("os and io", function()
  local time = require("time")
  local dir = os.tmpname()
  os.remove(dir)
  for _ = 1, 3 do
    pcall(io.open, "/proc/self/mem", "r+")
    pcall(io.lines, "/no/such/file")
    pcall(os.rename, "/no/such/file", "/no/such/other")
    time.sleep(0)
  end
  absent("other locale", os.setlocale("de_DE.UTF-8"))
  forever()
end, { waits = true })

return M
