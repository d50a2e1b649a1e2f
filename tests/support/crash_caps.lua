--- Capabilities in Lua for tests/c/test_crash.c. Which numbers a number leads to is the same
-- arithmetic as there. Environment: CRASH_DIR, CRASH_SEED, CRASH_LIFE.
-- SPDX-License-Identifier: MIT
local fs = require("fs")
local time = require("time")

local DIR = os.getenv("CRASH_DIR")
local SEED = tonumber(os.getenv("CRASH_SEED"))
local LIFE = os.getenv("CRASH_LIFE")
local NODES = 200 -- of each session: the numbers of the second go on behind the first's

local function mix(capability, n, i)
  local h = (SEED + n * 31 + capability * 7919 + i * 10473) % 65537
  for _ = 1, 3 do
    h = (h * 75 + 74) % 65537
  end
  return h
end

-- Each execution is a line, before anything else.
local function note(capability, n, attempt)
  assert(fs.append(DIR .. "/log", ("%s %d %d %d\n"):format(LIFE, capability, n, attempt)))
end

local function send(job, capability, n, from, to)
  for i = from, math.min(to, mix(capability, n, 0) % 3) do
    local found = mix(capability, n, i) % NODES + 1 + math.floor((n - 1) / NODES) * NODES
    assert(job:send({ class = "node", value = ("%d"):format(found) }))
    time.sleep(0.002)
  end
end

local function declare(number, name, fields)
  local body = fields.body
  return capability({
    name = name,
    input = { "node" },
    output = { "node" },
    retries = fields.retries,
    match = fields.match,
    invoke = function(job, asset)
      local n = tonumber(asset.value)
      note(number, n, job.attempt)
      if body then body(job, n, number) end
    end,
  })
end

local slow = declare(0, "slow", {
  body = function(job, n, number) send(job, number, n, 1, 2) end,
})

local flaky = declare(1, "flaky", {
  retries = 3,
  body = function(job, n, number)
    send(job, number, n, 1, 1)
    if job.attempt == 1 and mix(number, n, 9) % 6 == 0 then
      error(errors.new({ message = "again", kind = "UNAVAILABLE", retryable = true }))
    end
    send(job, number, n, 2, 2)
  end,
})

local sleepy = declare(2, "sleepy", {
  body = function(job, n, number)
    send(job, number, n, 1, 1)
    local slept = ("%s/slept.%d"):format(DIR, n)
    if mix(number, n, 9) % 6 == 0 and not fs.exists(slept) then
      assert(fs.write(slept, ""))
      job:snooze("50ms")
    end
    send(job, number, n, 2, 2)
  end,
})

local gated = declare(5, "gated", {
  match = function(asset)
    if tonumber(asset.value) % 2 == 1 then return false, "odd" end
    return true
  end,
})

return { slow, flaky, sleepy, gated }
