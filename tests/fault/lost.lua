--- A supervisor's children share a worker with a script that is stuck in C code: they end with it
-- and are started again, while this worker goes on. Prints "ok NAME" lines.
-- SPDX-License-Identifier: MIT
local supervisor = require("supervisor")
local time = require("time")

local function place(pid) return pid:match("^{(%x*)%x|") end
local here = place(process.pid())

local function check(name, ok) print((ok and "ok - " or "not ok - ") .. name) end

-- A supervisor on this worker; all others may be anywhere.
local function start()
  local children = {}
  for i = 1, 8 do
    children[i] = { id = "c" .. i, ready = true, start = { function(name)
      assert(process.registry.register(name))
      require("supervisor").ready()
      process.inbox():receive()
    end, "c" .. i } }
  end
  return assert(supervisor.start({ name = "app", children = children, link = false,
    backoff = { initial = "10ms", max = "50ms" } }))
end

local app, place_of_app
for _ = 1, 50 do
  app = start()
  place_of_app = place(assert(process.registry.lookup("app")))
  if place_of_app == here then break end
  assert(app:stop())
end
check("the supervisor is on this worker", place_of_app == here and app ~= nil)

local before, away = {}, 0
for i = 1, 8 do
  before[i] = assert(process.registry.lookup("c" .. i))
  if place(before[i]) ~= here then away = away + 1 end
end
check("some of its children are not", away > 0)

local innocent, told = nil, 0
for i = 1, 8 do
  if place(before[i]) ~= here then
    innocent = before[i]
    assert(process.monitor(innocent))
  end
end

local victim
repeat
  victim = assert(process.spawn(function()
    process.inbox():receive()
    local ffi = require("ffi")
    ffi.cdef([[int poll(void *, unsigned long, int);]])
    ffi.C.poll(nil, 0, -1)
  end))
until place(victim) ~= here
assert(process.send(victim, "go"))

local rounds = 0
coroutine.spawn(function()
  while true do
    rounds = rounds + 1
    time.sleep(0.005)
  end
end)

local good = true
while told < away do
  local event = process.events():receive("60s")
  if not event then break end
  told = told + 1
  local err = event.result.error
  good = good and event.kind == "EXIT" and err:kind() == "UNAVAILABLE" and err:retryable()
    and tostring(err):find("is stuck in C code", 1, true) ~= nil
end
check("each innocent process is told with that reason", good and told == away)
check("processes elsewhere went on meanwhile", rounds > 20)

local again
for _ = 1, 6000 do
  again = 0
  for i = 1, 8 do
    local pid = process.registry.lookup("c" .. i)
    if pid and (pid ~= before[i] or place(pid) == here) then again = again + 1 end
  end
  if again == 8 then break end
  time.sleep(0.01)
end
check("the supervisor has started all of them again", again == 8)
local placed = false
for i = 1, 8 do
  placed = placed or place(process.registry.lookup("c" .. i)) == place(innocent)
end
check("also on the worker that took its place", placed)
os.exit(0)
