--- Jobs: what they get, how they end, what they may send.
local build = require("build")
local env = require("session_env")
local time = require("time")

local function cap(extra)
  local all = { name = "work", input = { "in" }, output = { "out" } }
  for key, value in pairs(extra) do
    all[key] = value
  end
  return all
end

-- A name is taken while a session has brought it along: one session at a time.
local function run_one(extra, opts)
  env.close_all()
  local s = env.open({ cap(extra) }, opts)
  env.run(s, "in", { "1" })
  return s
end

describe("a job", function()
  after_each(env.close_all)

  it("gets the asset and knows what it is", function()
    local s = run_one({ invoke = function(job, asset)
      job:send({ class = "out", value = "report", metadata = {
        asset = asset, id = job.id, capability = job.capability, target = job.target,
        attempt = job.attempt, session = job.session, canceled = job:canceled(),
        left = job:deadline() - time.now(), unknown = job.nothing == nil, text = tostring(job),
      } })
    end })
    local m = assert(s:asset("out:report")).metadata
    assert.equal("in", m.asset.class)
    assert.equal("1", m.asset.value)
    assert.equal("in:1", m.asset.key)
    assert.equal(0, m.asset.depth)
    assert.equal("work", m.capability)
    assert.equal("in:1", m.target)
    assert.equal(1, m.attempt)
    assert.equal(s:name(), m.session)
    assert.is_false(m.canceled)
    assert.is_true(m.unknown)
    assert.is_true(m.left > 3000 and m.left <= 3600)
    assert.matches("^job %d+$", m.text)
    assert.equal("number", type(m.id))
  end)

  it("is a process of its own over the globals of its capability", function()
    local s = env.open({ cap({ invoke = function(job, asset)
      count = (count or 0) + 1 -- luacheck: ignore 111 113
      job:send({ class = "out", value = asset.value, metadata = { pid = process.pid() } })
    end }) })
    env.run(s, "in", { "1", "2", "3" })
    local pids = {}
    for asset in s:assets({ class = "out" }) do
      pids[asset.metadata.pid] = true
    end
    local number = 0
    for _ in pairs(pids) do
      number = number + 1
    end
    assert.equal(3, number)
    assert.is_nil(rawget(_G, "count"))
  end)

  it("is in the list of processes while it runs", function()
    local s = env.open({ cap({ invoke = function(job)
      local listed = false
      for _, entry in ipairs(process.list()) do
        listed = listed or entry.pid == process.pid()
      end
      job:send({ class = "out", value = listed and "listed" or "hidden" })
    end }) })
    env.run(s, "in", { "1" })
    assert.same({ "listed" }, env.values(s, "out"))
  end)

  it("shares the locals around its functions with the others of its VM", function()
    local shared = { count = 0 }
    local s = env.open({ cap({ invoke = function(job)
      shared.count = shared.count + 1
      job:send({ class = "out", value = tostring(shared.count) })
    end }) })
    local values = {}
    for i = 1, 1000 do
      values[i] = tostring(i)
    end
    env.run(s, "in", values)
    -- one count for each VM, and there are fewer than 500 of them
    assert.is_truthy(s:asset("out:2"))
    assert.equal(0, shared.count)
  end)

  it("never meets what a job left behind that was ended by force", function()
    local shared = { poisoned = false }
    local s = env.open({ cap({ invoke = function(job, asset)
      job:send({ class = "out", value = asset.value .. tostring(shared.poisoned) })
      if asset.value ~= "poison" then return end
      shared.poisoned = true
      process.terminate(process.pid())
      time.sleep(60)
    end }) })
    env.run(s, "in", { "poison" })
    local values = {}
    for i = 1, 200 do
      values[i] = "v" .. i
    end
    env.run(s, "in", values)
    assert.equal(201, #env.values(s, "out"))
    for _, value in ipairs(env.values(s, "out")) do
      assert.is_nil(value:find("true", 1, true))
    end
  end)

  it("learns the outcome of what it sends", function()
    local s = run_one({ invoke = function(job)
      local first = job:send({ class = "out", value = "a" })
      local again = job:send({ class = "out", value = "a" })
      local list = job:send({ { class = "out", value = "b" }, { class = "out", value = "a" } })
      job:send({ class = "out", value = "end", metadata = {
        first = first, again = again, list = list,
      } })
    end })
    local m = assert(s:asset("out:end")).metadata
    assert.equal("stored", m.first)
    assert.equal("duplicate", m.again)
    assert.same({ "stored", "duplicate" }, m.list)
  end)

  it("that raises is failed, with kind and traceback", function()
    local s = run_one({ invoke = function() error("no luck") end })
    local job = env.job(s)
    assert.equal("failed", job.state)
    assert.matches("no luck", job.errors[1].message)
    assert.equal("UNKNOWN", job.errors[1].kind)
    assert.matches("job_spec.lua", job.errors[1].stack)
    s = run_one({ invoke = function() error(errors.new({ message = "m", kind = "CONFLICT" })) end })
    assert.equal("CONFLICT", env.job(s).errors[1].kind)
    s = run_one({ invoke = function() error() end })
    assert.equal("failed", env.job(s).state)
    s = run_one({ invoke = function() error(setmetatable({}, { __tostring = error })) end })
    assert.equal("failed", env.job(s).state)
  end)

  it("may end itself by os.exit, which fails it unless the code is 0", function()
    local s = run_one({ invoke = function() os.exit(0) end })
    assert.equal("completed", env.job(s).state)
    s = run_one({ invoke = function() os.exit(3) end })
    assert.matches("exit code 3", env.job(s, { state = "failed" }).errors[1].message)
  end)

  it("that fails in another of its coroutines is failed", function()
    local s = run_one({ invoke = function()
      coroutine.spawn(function() error("in the other") end)
      time.sleep(60)
    end })
    assert.matches("in the other", env.job(s, { state = "failed" }).errors[1].message)
  end)

  it("that sends an undeclared class fails when it returns; what it sent stays", function()
    local s = run_one({ invoke = function(job)
      local ok, err = job:send({ class = "other", value = "x" })
      local seen = { nothing = ok == nil, kind = err:kind() }
      job:send({ class = "out", value = "kept", metadata = seen })
    end })
    local job = env.job(s, { state = "failed" })
    assert.matches("'other'", job.errors[1].message)
    assert.equal("INVALID", job.errors[1].kind)
    local m = assert(s:asset("out:kept")).metadata
    assert.is_true(m.nothing)
    assert.equal("INVALID", m.kind)
    assert.is_nil(s:asset("other:x"))
  end)

  local malformed = {
    { "no value", { class = "out" } },
    { "an empty value", { class = "out", value = "" } },
    { "a control character", { class = "out", value = "a\nb" } },
    { "no UTF-8", { class = "out", value = "\255\254" } },
    { "a value too long", { class = "out", value = ("x"):rep(70000) } },
    { "no class", { value = "x" } },
    { "a bad class", { class = "a b", value = "x" } },
    { "a number as value", { class = "out", value = 5 }, "value is no string" },
    { "a function", { class = "out", value = "x", metadata = { f = print } } },
    { "a number as metadata", { class = "out", value = "x", metadata = 5 }, "is no table" },
  }
  for _, case in ipairs(malformed) do
    it("that sends an asset with " .. case[1] .. " fails with a reason", function()
      local asset = case[2]
      local s = run_one({ invoke = function(job)
        local ok, err = job:send(asset)
        assert(ok == nil and err:kind() == "INVALID", "not refused")
        job:send({ class = "out", value = "after" })
      end })
      local job = env.job(s, { state = "failed" })
      assert.equal("INVALID", job.errors[1].kind)
      assert.matches(case[3] or ".", job.errors[1].message)
      assert.is_truthy(s:asset("out:after"))
    end)
  end

  it("that sends no table at all is failed", function()
    local s = run_one({ invoke = function(job) job:send("out:x") end })
    assert.matches("bad argument #1 to 'send'", env.job(s, { state = "failed" }).errors[1].message)
  end)

  it("is retried while its error is retryable, and keeps every error", function()
    local s = run_one({ retries = 2, invoke = function(job)
      job:send({ class = "out", value = "attempt" .. job.attempt })
      error(errors.new({ message = "try " .. job.attempt, kind = "UNAVAILABLE", retryable = true }))
    end })
    local job = env.job(s, { state = "failed" })
    assert.equal(3, job.attempt)
    assert.equal(3, #job.errors)
    assert.equal("try 1", job.errors[1].message)
    assert.equal("try 3", job.errors[3].message)
    assert.same({ "attempt1", "attempt2", "attempt3" }, env.values(s, "out"))
  end)

  it("succeeds at a later attempt", function()
    local s = run_one({ retries = 3, invoke = function(job)
      if job.attempt < 2 then error(errors.new({ message = "later", retryable = true })) end
      job:send({ class = "out", value = "done at " .. job.attempt })
    end })
    assert.same({ "done at 2" }, env.values(s, "out"))
    assert.equal("completed", env.job(s).state)
  end)

  it("is not retried for an error that is not retryable", function()
    local s = run_one({ retries = 3, invoke = function() error("final") end })
    assert.equal(1, #env.job(s, { state = "failed" }).errors)
  end)

  it("may snooze, from any of its coroutines, without using up an attempt", function()
    local s = run_one({ invoke = function(job)
      local outcome = job:send({ class = "out", value = "first" })
      if outcome == "stored" then
        coroutine.wrap(function() job:snooze("50ms") end)()
        error("not reached")
      end
      job:send({ class = "out", value = "attempt" .. job.attempt })
    end })
    assert.same({ "attempt1", "first" }, env.values(s, "out"))
    assert.equal("completed", env.job(s).state)
  end)

  it("has options: what the session says, else the default", function()
    local s = run_one({
      options = { a = { default = 1 }, b = { default = "x" }, c = { default = false } },
      invoke = function(job)
        local o = job.options
        job:send({ class = "out", value = "o", metadata = { a = o.a, b = o.b, c = o.c } })
      end,
    }, { options = { work = { a = "7", c = "true" } } })
    assert.same({ a = 7, b = "x", c = true }, assert(s:asset("out:o")).metadata)
  end)

  it("uses what is around its functions when it was declared", function()
    local prefix, list = "p-", { "a", "b" }
    local function name(i) return prefix .. list[i] end
    local s = run_one({ invoke = function(job)
      for i = 1, #list do
        job:send({ class = "out", value = name(i) })
      end
      time.sleep(0)
    end })
    assert.same({ "p-a", "p-b" }, env.values(s, "out"))
  end)

  it("keeps its channels, sleeps and fibers to itself", function()
    local s = run_one({ invoke = function(job)
      local ch = channel.new(1)
      coroutine.spawn(function()
        time.sleep("1ms")
        ch:send("hello")
      end)
      job:send({ class = "out", value = (ch:receive()) })
    end })
    assert.same({ "hello" }, env.values(s, "out"))
  end)
end)

describe("many jobs", function()
  after_each(env.close_all)

  it("end once each, however they end", function()
    local ways = {
      function() end,
      function() error("raised") end,
      function() process.terminate(process.pid()) time.sleep(60) end,
      function() os.exit(1) end,
      function(job) job:send({ class = "wrong", value = "x" }) end,
      function(job, asset)
        if job:send({ class = "out", value = "snoozed" .. asset.value }) == "stored" then
          job:snooze("1ms")
        end
      end,
      function() coroutine.spawn(function() error("in a fiber") end) time.sleep(60) end,
      function(job, asset)
        for i = 1, 5 do
          job:send({ class = "out", value = asset.value .. "." .. i })
          time.sleep("1ms")
        end
      end,
    }
    local s = env.open({
      cap({ name = "ways", invoke = function(job, asset)
        ways[tonumber(asset.value) % #ways + 1](job, asset)
      end }),
      cap({ name = "gate", match = function(asset) return tonumber(asset.value) % 3 == 0 end,
        invoke = function() end }),
      cap({ name = "late", timeout = "20ms", invoke = function(_, asset)
        if tonumber(asset.value) % 40 == 0 then while true do end end
        if tonumber(asset.value) % 40 == 20 then time.sleep(60) end
      end, match = function(asset) return tonumber(asset.value) % 20 == 0 end }),
    })
    local list = {}
    for i = 1, 800 do
      list[i] = { class = "in", value = tostring(i) }
    end
    s:dispatch(list)
    assert(s:wait("60s"))
    local stats = assert(s:stats())
    assert.equal(2400, stats.work_items_total)
    assert.equal(2400, stats.work_items_completed)
    assert.equal(0, stats.running)
    assert.equal(0, stats.queued)
    assert.equal(300, stats.capabilities.ways.done)
    assert.equal(500, stats.capabilities.ways.failed)
    assert.equal(266, stats.capabilities.gate.done)
    assert.equal(534, stats.capabilities.gate.skipped)
    assert.equal(40, stats.capabilities.late.failed)
    assert.equal(760, stats.capabilities.late.skipped)
    assert.equal(600, stats.assets.out)
  end)
end)

describe("a job's time", function()
  after_each(env.close_all)

  it("ends an endless compiled loop, and nobody else notices", function()
    local s = env.open({
      cap({ name = "loop", timeout = "300ms",
        match = function(asset) return asset.value == "1" end,
        invoke = function()
          local i = 0
          while true do
            i = i + 1
          end
        end }),
      cap({ name = "good", invoke = function(job, asset)
        time.sleep("10ms")
        job:send({ class = "out", value = asset.value })
      end }),
    })
    local values = {}
    for i = 1, 100 do
      values[i] = tostring(i)
    end
    env.run(s, "in", values)
    assert.equal(100, #env.values(s, "out"))
    local job = env.job(s, { state = "failed" })
    assert.equal("loop", job.capability)
    assert.equal("TIMEOUT", job.errors[1].kind)
    assert.matches("timeout of 0.3 s", job.errors[1].message)
  end)

  local loops = {
    { "a loop of pcalls", function() while true do pcall(error, "x") end end },
    { "xpcall of itself", function()
      local function loop() while true do end end
      xpcall(loop, loop)
    end },
    { "a loop in a coroutine", function()
      coroutine.wrap(function() while true do end end)()
    end },
    { "a loop in another coroutine of the job", function()
      coroutine.spawn(function() while true do end end)
      time.sleep(60)
    end },
    { "a pattern that takes for ever", function()
      return (("a"):rep(100)):find(("a*"):rep(30) .. "b")
    end },
    { "a sleep", function() time.sleep(60) end },
    { "a wait that is caught", function() while true do pcall(time.sleep, 60) end end },
  }
  for _, case in ipairs(loops) do
    local test, title = it, "ends " .. case[1]
    if title:find("pattern") then test, title = build.stops_patterns(it, pending, title) end
    test(title, function()
      local body = case[2]
      local s = run_one({ timeout = "100ms", invoke = function() body() end })
      assert.equal("TIMEOUT", env.job(s, { state = "failed" }).errors[1].kind)
    end)
  end

  it("is retried after a timeout", function()
    -- more attempts than it needs, for a machine that stalls
    local s = run_one({ timeout = "500ms", retries = 4, invoke = function(job)
      if job.attempt == 1 then time.sleep(60) end
      job:send({ class = "out", value = "second" })
    end })
    assert.same({ "second" }, env.values(s, "out"))
  end)
end)

describe("a gate", function()
  after_each(env.close_all)

  local function skip_reason(extra)
    extra.invoke = function(job) job:send({ class = "out", value = "ran" }) end
    local s = run_one(extra)
    assert.is_nil(s:asset("out:ran"))
    return env.job(s, { state = "skipped" }).reason
  end

  for _, bounded in ipairs({ false, true }) do
    local how = bounded and " before it takes an instance" or ""
    local function gate(match)
      return { match = match, max_instances = bounded and 3 or nil }
    end

    it("passes what it says yes to" .. how, function()
      local extra = gate(function(asset, ctx) return asset.class == "in" and ctx.session ~= nil end)
      extra.invoke = function(job) job:send({ class = "out", value = "ran" }) end
      assert.is_truthy(run_one(extra):asset("out:ran"))
    end)

    it("skips with its reason" .. how, function()
      assert.equal("not mine", skip_reason(gate(function() return false, "not mine" end)))
      assert.equal("match said no", skip_reason(gate(function() return nil end)))
    end)

    it("skips when it raises" .. how, function()
      assert.matches("^match: .*odd asset", skip_reason(gate(function() error("odd asset") end)))
    end)

    it("may not wait" .. how, function()
      assert.matches("may not wait", skip_reason(gate(function() time.sleep(0.01) return true end)))
    end)

    it("is bounded in time" .. how, function()
      assert.matches("longer than 1 s", skip_reason(gate(function() while true do end end)))
    end)
  end

  it("may set the priority and the key of the rate", function()
    local s = env.open({ cap({
      rate = 1000,
      rate_key = function(asset) return asset.value end,
      prioritize = function(asset) return tonumber(asset.value) end,
      invoke = function(job, asset) job:send({ class = "out", value = asset.value }) end,
    }) })
    env.run(s, "in", { "3", "1", "2" })
    assert.same({ "1", "2", "3" }, env.values(s, "out"))
  end)

  it("skips with the reason when the key of the rate is faulty", function()
    assert.matches("rate_key: .*oops", skip_reason({
      rate = 5, rate_key = function() error("oops") end,
    }))
    assert.matches("rate_key: expected a string", skip_reason({
      rate = 5, rate_key = function() return {} end,
    }))
  end)
end)
