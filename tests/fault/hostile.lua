--- Walks everything a script can reach and calls it with hostile arguments, from a seed.
--   runtime tests/fault/hostile.lua SEED SECONDS
-- Each round a process of its own does it for a moment and is ended; neighbours on every worker
-- must go on answering. Results are called with and walked, too. Run in an empty folder.
-- SPDX-License-Identifier: MIT
local time = require("time")

local WAIT = 60

local function attacker(seed, calls)
  math.randomseed(seed)
  local random, type, pcall, pairs, unpack = math.random, type, pcall, pairs, unpack
  local floor, rep, huge = math.floor, string.rep, math.huge
  local coroutine, select = coroutine, select
  local setmetatable, getmetatable = setmetatable, getmetatable
  local getinfo = debug.getinfo

  -- What would end the program or fill its output is left out, and what waits for ever is ended.
  local left_out = { [print] = true, [os.exit] = true, [os.tmpname or false] = true }
  local functions, objects, seen = {}, {}, {}
  local function reach(value, depth)
    local kind = type(value)
    if kind ~= "table" and kind ~= "function" and kind ~= "userdata" and kind ~= "thread" then
      return
    end
    if seen[value] or depth > 6 or #objects > 3000 then return end
    seen[value] = true
    if left_out[value] then return end
    objects[#objects + 1] = value
    if kind == "function" then
      functions[#functions + 1] = value
      return
    end
    if kind ~= "table" then return end
    local n = 0
    pcall(function()
      for k, v in pairs(value) do
        n = n + 1
        if n > 200 then break end
        reach(k, depth + 1)
        reach(v, depth + 1)
      end
    end)
    local ok, meta = pcall(getmetatable, value)
    if ok then
      reach(meta, depth + 1)
      if type(meta) == "table" then reach(meta.__index, depth + 1) end
    end
  end

  for _, name in ipairs({ "time", "session", "registry", "json", "log", "dns", "tcp", "udp", "tls",
    "http", "exec", "fs", "crypto", "events", "supervisor", "errors", "channel" }) do
    local ok, module = pcall(require, name)
    if ok then
      if name == "log" then
        for _, fn in pairs(module) do left_out[fn] = true end
      end
      reach(module, 0)
    end
  end
  for _, stream in ipairs({ io.stdout, io.stderr }) do left_out[stream] = true end
  left_out[io.write or false] = true
  reach(_G, 0)
  for level = 0, 10 do
    local info = getinfo(level)
    if info then reach(info.func, 0) end
  end
  for _, make in ipairs({
    function() return channel.new(3) end,
    function() return process.inbox() end,
    function() return require("events").subscribe("hostile") end,
    function() return require("time").timer(1000) end,
    function() return require("time").ticker(0.01) end,
    function() return io.open("/dev/null", "r+") end,
    function() return require("tcp").listen("127.0.0.1", 0) end,
    function() return require("udp").open("127.0.0.1", 0) end,
    function() return coroutine.create(function() coroutine.yield() end) end,
    function() return errors.new({ message = "x", kind = "INVALID" }) end,
    function() return ("x"):gmatch("x") end,
  }) do
    local ok, made = pcall(make)
    if ok then reach(made, 0) end
  end

  local function raise() error("hostile") end
  local cyclic = {}
  cyclic[1], cyclic.x, cyclic[cyclic] = cyclic, cyclic, cyclic
  local closed = channel.new(1)
  closed:close()
  local ended = coroutine.create(function() end)
  coroutine.resume(ended)
  local raising = setmetatable({}, {
    __index = raise, __newindex = raise, __call = raise, __tostring = raise, __eq = raise,
    __lt = raise, __le = raise, __len = raise, __concat = raise, __unm = raise, __pairs = raise,
  })
  local plain = {
    0, 1, -1, 2, 3, 0.5, 255, 2 ^ 31, 2 ^ 31 - 1, -2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 63, -2 ^ 63, 1e308,
    huge, -huge, 0 / 0, -0, true, false, "", "\0", "%", "[", "(()", "%s%d%q", "*a", "n", "r",
    "w", "a b", "/nonexistent/x", "127.0.0.1", "-1", "0x", "1e400", "**", "a.(b|c).*",
    "{1.2.3}", "<0.0.0>", "1s", "-5m", rep("a", 70), rep("(", 300), rep("x", 5000), rep("[", 5000),
    "\255\254", "return 1", "function(", "@x", "main",
  }
  local special = {
    cyclic, raising, closed, ended, raise, {}, { 1, 2, 3 }, { n = 1e9 }, { [1e9] = 1 },
    setmetatable,
    { timeout = -1 }, { timeout = 0 / 0 }, { timeout = huge }, { timeout = "x", buffer = -1 },
    { size = 2 ^ 53, max = -1, tries = 0 / 0, headers = cyclic, body = raising }, function() end,
    function(...) return ... end, function() return huge end,
  }
  local function argument()
    local kind = random(10)
    if kind <= 4 then return plain[random(#plain)] end
    if kind <= 6 then return special[random(#special)] end
    if kind <= 9 and #objects > 0 then return objects[random(#objects)] end
    return nil
  end

  local stop = require("time").monotonic() + 1.5
  local now = require("time").monotonic
  local function note(ok, ...)
    if not ok then return end
    for i = 1, select("#", ...) do
      if #objects < 3000 then reach((select(i, ...)), 3) end
    end
  end
  local function call(fn)
    local count = floor(random() * 5)
    note(pcall(fn, argument(), argument(), argument(), argument(), nil))
    note(pcall(fn, unpack({ argument(), argument(), argument() }, 1, count < 3 and count or 3)))
    local object = objects[random(#objects)]
    note(pcall(function() return object[argument()] end))
    pcall(function() object[argument()] = argument() end)
    pcall(function() return object .. argument(), object + 1 end)
    pcall(function() return object(argument()) end)
  end
  -- What waits holds one coroutine only; two of them have the same objects.
  for _ = 1, 20 do
    coroutine.spawn(function()
      for _ = 1, calls do
        if now() > stop then return end
        call(functions[random(#functions)])
      end
    end)
  end
  for _ = 1, calls do
    if now() > stop then break end
    call(functions[random(#functions)])
  end
end

local function neighbour()
  local inbox = process.inbox()
  while true do
    local message = inbox:receive()
    process.send(message:from(), "alive", message:payload())
  end
end

local seed, seconds = tonumber(arg[1]) or os.time(), tonumber(arg[2]) or 10
local events, alive = process.events(), process.listen("alive")
local neighbours = {}
for i = 1, 8 do neighbours[i] = assert(process.spawn(neighbour)) end

local function all_answer(round)
  for i = 1, #neighbours do
    assert(process.send(neighbours[i], "are you there", round), "a neighbour is gone")
  end
  for _ = 1, #neighbours do
    assert(alive:receive(WAIT) == round, "a neighbour does not answer")
  end
end

-- While memory is short, it is refused.
local function start(number)
  local give_up = time.monotonic() + WAIT
  while true do
    local pid, err = process.spawn_monitored(attacker, number, 2000)
    if pid then return pid end
    assert(time.monotonic() < give_up, err)
    time.sleep(0.05)
  end
end

print("seed " .. seed)
local stop, round = time.monotonic() + seconds, 0
repeat
  round = round + 1
  local pid = start(seed + round)
  if not events:receive(2) then
    all_answer(-round)
    process.terminate(pid)
    assert(events:receive(WAIT), "round " .. round .. " does not end")
  end
  all_answer(round)
until time.monotonic() > stop
print("survived " .. round .. " rounds")
os.exit(0)
