--- Processes: spawning, memory, messages, timers, preemption. Beside it: processes.erl, run by
-- processes.sh where Erlang is installed, and the limit in bench_processes.c.
-- Sizes: BENCH_SPAWN, BENCH_MESSAGES, BENCH_IDLE (list), BENCH_TIMERS, BENCH_ROUNDS; BENCH_ONLY
-- names one part.
-- SPDX-License-Identifier: MIT
local time = require("time")

local function size(name, default)
  return tonumber(os.getenv(name) or "") or default
end

local SPAWN, MESSAGES = size("BENCH_SPAWN", 200000), size("BENCH_MESSAGES", 300000)

local function report(name, figure, unit)
  print(("%-52s %12.0f %s"):format(name, figure, unit))
end

local function rate(name, count, seconds, unit)
  report("runtime: " .. name, count / seconds, unit)
end

-- --- placement -----------------------------------------------------------------------------------

local function place_of(pid)
  return pid:match("^{(%x+)|")
end

-- `count` processes at `place`, or (`other`) anywhere else; nil when there is no such place.
local function spawn_at(place, other, count, fn, ...)
  local found, misplaced = {}, {}
  while #found < count and #misplaced < count + 1000 do
    local pid = assert(process.spawn(fn, ...))
    local list = (place_of(pid) == place) == not other and found or misplaced
    list[#list + 1] = pid
  end
  for _, pid in ipairs(misplaced) do
    process.terminate(pid)
  end
  return #found == count and found or nil
end

local here = place_of(process.pid())

local results = process.listen("result")

local function result()
  return (assert(results:receive("120s")))
end

-- --- spawn ---------------------------------------------------------------------------------------

local function nothing(parent)
  if parent then process.send(parent, "result", 0) end
end

-- The last ones tell: each worker starts its own in order.
local function spawn_many(what, name)
  local start = time.monotonic()
  for _ = 1, SPAWN do
    process.spawn(what)
  end
  for _ = 1, 8 do
    process.spawn(what, process.pid())
  end
  for _ = 1, 8 do
    result()
  end
  rate(name, SPAWN, time.monotonic() - start, "processes/s")
end

-- --- messages ------------------------------------------------------------------------------------

local function ponger()
  local inbox = process.inbox()
  while true do
    local msg = inbox:receive()
    process.send(msg:from(), "pong", (msg:payload()))
  end
end

local function pinger(main)
  local clock = require("time")
  local pongs = process.listen("pong")
  local ponger_pid, count = process.inbox():receive():payload()
  local function go(n)
    for i = 1, n do
      process.send(ponger_pid, "ping", i)
      pongs:receive()
    end
  end
  go(math.floor(count / 10))
  local start = clock.monotonic()
  go(count)
  process.send(main, "result", clock.monotonic() - start)
end

local function ping_pong(name, other, count)
  local b = spawn_at(here, other, 1, ponger)
  if not b then return print(name .. ": there is one worker only") end
  local a = spawn_at(here, false, 1, pinger, process.pid())
  process.send(a[1], "go", b[1], count)
  rate(name, count, result(), "round trips/s")
  process.terminate(b[1])
end

local function sink(main, count)
  local clock = require("time")
  local ch = process.listen("item")
  local start
  for i = 1, count do
    ch:receive()
    if i == 1 then start = clock.monotonic() end
  end
  process.send(main, "result", clock.monotonic() - start)
end

local function source()
  local sleep = require("time").sleep
  local target, count = process.inbox():receive():payload()
  for i = 1, count do
    while not process.send(target, "item", i) do
      sleep(0.001) -- its mailbox is full
    end
  end
end

local function one_way(name, other, count)
  local to = spawn_at(here, false, 1, sink, process.pid(), count)
  local from = spawn_at(here, other, 1, source)
  if not from then return print(name .. ": there is one worker only") end
  process.send(from[1], "go", to[1], count)
  rate(name, count, result(), "messages/s")
end

local function member(main)
  local tokens = process.listen("token")
  local after = process.inbox():receive():payload()
  process.send(main, "result", 0) -- it listens
  while true do
    local left = tokens:receive()
    if left == 0 then return process.send(main, "result", 0) end
    process.send(after, "token", left - 1)
  end
end

local function ring(name, count, hops)
  local members = spawn_at(here, false, count, member, process.pid())
  for i = 1, count do
    process.send(members[i], "next", members[i % count + 1])
  end
  for _ = 1, count do
    result()
  end
  local start = time.monotonic()
  process.send(members[1], "token", hops)
  result()
  rate(name, hops, time.monotonic() - start, "hops/s")
  for _, pid in ipairs(members) do
    process.terminate(pid)
  end
end

-- --- idle ----------------------------------------------------------------------------------------

local function resident()
  local file = assert(io.open("/proc/self/statm"))
  local pages = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return pages * 4096
end

local function idler(parent)
  local inbox = process.inbox()
  if parent then process.send(parent, "result", 0) end
  inbox:receive()
end

-- Works, and makes garbage, for a while: the longest time between two rounds.
local function restless(main, seconds)
  local clock = require("time").monotonic
  local start, longest = clock(), 0
  local last = start
  while last - start < seconds do
    local t = {}
    for i = 1, 100 do
      t[i] = { i, tostring(i) }
    end
    process.send(process.pid(), "turn", #t)
    process.inbox():receive()
    local now = clock()
    longest = math.max(longest, now - last)
    last = now
  end
  process.send(main, "result", longest)
end

local function pauses(name, seconds)
  local count = 4
  for _ = 1, count do
    assert(process.spawn(restless, process.pid(), seconds))
  end
  local longest = 0
  for _ = 1, count do
    longest = math.max(longest, result())
  end
  report("runtime: longest pause, " .. name, longest * 1000, "ms")
end

local function idle(count)
  local before = resident()
  local pids = {}
  for i = 1, count do
    pids[i] = assert(process.spawn(idler))
    if i % 1000 == 0 then time.sleep(0) end
  end
  for _ = 1, 16 do
    pids[#pids + 1] = assert(process.spawn(idler, process.pid()))
  end
  for _ = 1, 16 do
    result()
  end
  local texts = count * (32 + 8) -- of the list of PIDs above
  report(("runtime: %d idle in receive"):format(count), (resident() - before - texts) / count,
    "bytes each")
  pauses(("%d idle"):format(count), 2)
  for _, pid in ipairs(pids) do
    process.terminate(pid)
  end
end

-- --- timers --------------------------------------------------------------------------------------

local function timers(count)
  local all, start = {}, time.monotonic()
  for i = 1, count do
    all[i] = time.timer(3600)
  end
  rate("timers, set", count, time.monotonic() - start, "timers/s")
  start = time.monotonic()
  for i = 1, count do
    all[i]:stop()
  end
  rate("timers, canceled", count, time.monotonic() - start, "timers/s")
  for i = 1, count do
    all[i] = time.timer(0.001)
  end
  start = time.monotonic()
  for i = 1, count do
    all[i]:channel():receive()
  end
  rate("timers, fired and received", count, time.monotonic() - start, "timers/s")
end

-- --- preemption ----------------------------------------------------------------------------------

-- The processor's time of the same work in pieces too short to be preempted, and in one go.
local function compute(main, rounds)
  local clock, sleep = os.clock, require("time").sleep
  local function work(n)
    local start, x = clock(), 0
    for i = 1, n do
      x = (x * 31 + i) % 65521
    end
    return clock() - start, x
  end
  local piece, short, long = rounds / 200, math.huge, math.huge
  for _ = 1, 200 do
    sleep(0)
    short = math.min(short, (work(piece)))
  end
  for _ = 1, 5 do
    long = math.min(long, (work(rounds)))
  end
  process.send(main, "result", long / (short * 200))
end

local function preemption(rounds)
  spawn_at(here, false, 1, compute, process.pid(), rounds)
  report("runtime: computing, preempted every 10 ms, takes", result() * 100, "% of not preempted")
end

-- --- all -----------------------------------------------------------------------------------------

local parts = {
  { "spawn", function()
    spawn_many(nothing, "spawn a function")
    spawn_many("tests/bench/child.lua", "spawn a file")
  end },
  { "ping", function()
    ping_pong("ping-pong, same VM", false, MESSAGES)
    ping_pong("ping-pong, two workers", true, MESSAGES / 3)
  end },
  { "send", function()
    one_way("one way, same VM", false, MESSAGES * 2)
    one_way("one way, two workers", true, MESSAGES * 2)
  end },
  { "ring", function()
    ring("ring of 1,000", 1000, MESSAGES * 2)
  end },
  { "timers", function()
    timers(size("BENCH_TIMERS", 100000))
  end },
  { "preemption", function()
    preemption(size("BENCH_ROUNDS", 40000000))
  end },
  { "idle", function()
    for count in (os.getenv("BENCH_IDLE") or "100000 1000000"):gmatch("%d+") do
      if os.getenv("BENCH_ONLY") == "idle" then
        idle(tonumber(count))
      else -- in a program of its own, whose memory is not used yet
        local run = "BENCH_ONLY=idle BENCH_IDLE=%d '%s' tests/bench/processes.lua"
        local out = io.popen(run:format(count, os.getenv("RUNTIME") or "build/runtime"))
        io.write(out:read("*a"))
        out:close()
      end
    end
  end },
}

local only = os.getenv("BENCH_ONLY")
for _, part in ipairs(parts) do
  if not only or only == part[1] then part[2]() end
end
