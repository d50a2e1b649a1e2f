--- why_not answers for every pair of a capability and an asset, from the file alone: each cause
-- there is, asked through the module and through the command line of another process.
local env = require("session_env")
local exec = require("exec")
local json = require("json")
local registry = require("registry")
local time = require("time")

local runtime = assert(require("fs").realpath("/proc/self/exe"))

local function nothing() end
local function wait_for_cancel(job)
  while not job:canceled() do
    require("time").sleep(0.01)
  end
end

--- As `runtime why NAME CAPABILITY KEY --json` tells it.
local function by_program(name, capability, key)
  local args = { "why", name, capability, key, "--data", env.dir, "--json" }
  local out = assert(exec.run(runtime, args, { timeout = "60s" }))
  assert.equal(0, out.code, out.stderr)
  return json.decode(out.stdout)
end

local function both(s, name, row)
  local capability, key, cause, words = unpack(row)
  local label = capability .. " on " .. key
  local answer = assert(s:why_not(capability, key))
  assert.equal(cause, answer.cause, label .. ": " .. answer.answer)
  assert.matches(words, answer.answer)
  assert.same(answer, by_program(name, capability, key))
  return answer
end

-- What a session needs to have every cause that outlives a run.
local function settled()
  local caps = {
    { name = "work", input = { "a", "flood", "deep", "loop", "wide" },
      output = { "a", "b", "c", "deep", "loop", "out" }, invoke = function(job, asset)
        local class, value = asset.class, asset.value
        if class == "flood" then
          for i = 1, 4 do job:send({ class = "c", value = "f" .. i }) end
        elseif class == "deep" or class == "loop" then
          job:send({ class = class, value = value .. "x" })
        elseif class == "wide" then
          for i = 1, 3 do job:send({ class = "b", value = "w" .. i }) end
        else
          job:send({ class = "b", value = "same" })
          job:send({ class = "out", value = "side.test" })
        end
      end },
    { name = "gate", input = { "a" }, invoke = nothing,
      match = function() return false, "no mail port" end },
    { name = "quiet", input = { "a" }, invoke = nothing, match = function() return false end },
    { name = "listed", input = { "a" }, invoke = nothing,
      setup = function() return false, "no list" end },
    { name = "broken", input = { "a" }, invoke = function() error("cannot work") end },
    { name = "flaky", input = { "a" }, retries = 1, invoke = function()
      error(errors.new({ message = "try later", retryable = true }))
    end },
    { name = "after", input = { "b" }, invoke = nothing },
  }
  return caps
end

-- { capability, key, cause, words of the answer }
local outlives = {
  { "work", "a:1", "done", "^work: completed$" },
  { "after", "b:same", "duplicate", "found 1 time more, which starts nothing" },
  { "gate", "a:1", "gate", "^gate: skipped: no mail port" },
  { "quiet", "a:1", "gate", "match said no" },
  { "listed", "a:1", "setup", "skipped: setup: no list" },
  { "broken", "a:1", "failed", "failed: .*cannot work.* %(1 time%)" },
  { "flaky", "a:1", "failed", "failed: .*try later.* %(2 times%)" },
  { "after", "a:1", "type", "after does not take the class a" },
  { "other", "a:1", "unselected", "other was not chosen" },
  { "nobody", "a:1", "unregistered", "nobody is not known" },
  { "gate", "a:none", "unknown", "a:none was never found" },
  { "after", "out:side.test", "scope", "found by work on a:[12], but not taken: scope: excluded" },
  { "after", "c:f3", "fanout", "not taken: fanout: the job has sent its 2" },
  { "work", "deep:1xxxx", "depth", "not taken: depth 4 is over" },
  { "work", "loop:1xxx", "repeats", "not taken: repeats: work is on the way" },
}

describe("why_not", function()
  after_each(env.close_all)

  local function open_settled(name, limits)
    -- Registered, and not chosen by a session that brings its own.
    assert(registry.register({ name = "other", input = { "a" }, invoke = nothing }))
    return env.open(settled(), { name = name, scope = { "!*.test" }, limits = limits })
  end

  it("knows each end, gate, budget and rule", function()
    local s = open_settled("settled", { fanout = 2, depth = 3 })
    for _, seed in ipairs({ "a:1", "a:2", "flood:1", "deep:1" }) do
      local class, value = seed:match("(.*):(.*)")
      assert(s:dispatch({ class = class, value = value }))
    end
    assert(s:wait("60s"))
    for _, row in ipairs(outlives) do
      if row[3] ~= "repeats" then both(s, "settled", row) end
    end
    local answer = assert(s:why_not("flaky", "a:1"))
    assert.equal(2, #answer.errors)
    s:close()
    for _, row in ipairs(outlives) do
      if row[3] ~= "repeats" then both(s, "settled", row) end
    end
    registry.unregister("other")
  end)

  it("knows budgets on lineage and of the session", function()
    local s = open_settled("lineage", { repeats = 2, descendants = 9, assets = 7 })
    assert(s:dispatch({ class = "loop", value = "1" }))
    assert(s:wait("60s"))
    both(s, "lineage", outlives[#outlives])
    assert(s:dispatch({ class = "wide", value = "1" }))
    assert(s:wait("60s"))
    assert(s:dispatch({ class = "a", value = "1" }))
    both(s, "lineage", { "work", "a:1", "assets", "not taken: assets: the session has its 7" })
    registry.unregister("other")
    local t = env.open({ settled()[1] }, { name = "seed", limits = { descendants = 2 } })
    assert(t:dispatch({ class = "wide", value = "1" }))
    assert(t:wait("60s"))
    both(t, "seed",
      { "after", "b:w3", "descendants", "found by work on wide:1, .* the seed has its 2" })
  end)

  it("knows what has not run yet, and what it waits for", function()
    local caps = {
      { name = "first", input = { "s" }, priority = 1, invoke = wait_for_cancel },
      { name = "second", input = { "s" }, priority = 2, invoke = nothing },
      { name = "single", input = { "i" }, max_instances = 1, invoke = wait_for_cancel },
      { name = "rated", input = { "r" }, rate = 0.001, invoke = nothing },
      { name = "keyed", input = { "k" }, rate = 0.001, rate_key = function() return "one" end,
        invoke = nothing },
      { name = "again", input = { "e" }, retries = 20, invoke = function()
        error(errors.new({ message = "try later", retryable = true }))
      end },
      { name = "sleeper", input = { "z" }, invoke = function(job) job:snooze("1h") end },
    }
    local s = env.open(caps, { name = "waits", grace = "200ms" })
    for _, key in ipairs({ "s:1", "i:1", "i:2", "r:1", "k:1", "e:1", "z:1" }) do
      assert(s:dispatch({ class = key:sub(1, 1), value = key:sub(3) }))
    end
    for _, pair in ipairs({ { "rated", "r" }, { "keyed", "k" } }) do
      env.eventually(function() return s:why_not(pair[1], pair[2] .. ":1").cause == "done" end)
      assert(s:dispatch({ class = pair[2], value = "2" }))
    end
    local rows = {
      { "first", "s:1", "running", "first: running" },
      { "second", "s:1", "stage", "queued until first, an earlier stage, is done" },
      { "single", "i:2", "instance", "waits for an instance, of 1 none is free" },
      { "rated", "r:2", "rate", "not yet: waits for its rate" },
      { "keyed", "k:2", "rate", "not yet: waits for its rate" },
      { "again", "e:1", "retrying", "failed %d+ times?, will be tried again" },
      { "sleeper", "z:1", "asleep", "not yet: sleeps" },
    }
    for _, row in ipairs(rows) do
      local deadline = time.monotonic() + 30
      local answer
      repeat
        answer = assert(s:why_not(row[1], row[2]))
        time.sleep("5ms")
      until answer.cause == row[3] or time.monotonic() > deadline
      assert.equal(row[3], answer.cause, answer.answer)
      if row[3] ~= "retrying" then
        both(s, "waits", row)
        assert.matches(row[4], by_program("waits", row[1], row[2]).answer)
      else -- now and then it runs
        env.eventually(function()
          return by_program("waits", row[1], row[2]).answer:find(row[4])
        end)
      end
    end
    -- A pause comes before all other reasons.
    s:pause()
    local function paused() return s:why_not("rated", "r:2").cause == "paused" end
    env.eventually(paused)
    both(s, "waits", { "second", "s:1", "paused", "queued, and the session is paused" })
    assert.matches("the session is paused", json.encode(s:why()))
    s:resume()
    env.eventually(function() return not paused() end)
    assert(s:cancel("enough"))
    s:close()
    both(s, "waits", { "rated", "r:2", "stopped", "queued, and the session is stopped" })
  end)

  it("knows what came too late, and what went", function()
    local s = env.open(nil, { name = "late" })
    assert.equal("stored", s:dispatch({ class = "a", value = "old" }))
    s:wait("30s")
    assert(registry.register({ name = "young", input = { "a" }, invoke = nothing }))
    local number = 0
    local function outcome_is(outcome)
      number = number + 1
      return s:dispatch({ class = "a", value = tostring(number) }) == outcome
    end
    env.eventually(function() return outcome_is("queued") end)
    s:wait("30s")
    both(s, "late", { "young", "a:old", "late", "young was registered after a:old was found" })
    both(s, "late", { "young", "a:" .. number, "done", "completed" })
    registry.unregister("young")
    env.eventually(function() return outcome_is("stored") end)
    both(s, "late",
      { "young", "a:" .. number, "unregistered", "skipped: capability not registered" })
  end)

  it("is quick for each of 20,000 assets", function()
    local s = env.open({ { name = "many", input = { "a" }, output = { "c" }, invoke = function(job)
      for i = 1, 40 do
        local list = {}
        for j = 1, 500 do list[j] = { class = "c", value = i .. "-" .. j } end
        job:send(list)
      end
    end }, { name = "each", input = { "c" }, invoke = nothing, match = function(asset)
      return asset.value:sub(-1) ~= "7", "ends in 7"
    end } })
    env.run(s, "a", { "1" })
    local causes = {}
    for asset in s:assets({ class = "c" }) do
      if tonumber(asset.id) % 20 == 0 then
        local cause = s:why_not("each", asset.key).cause
        causes[cause] = (causes[cause] or 0) + 1
      end
    end
    assert.equal(1000, (causes.done or 0) + (causes.gate or 0))
  end)
end)
