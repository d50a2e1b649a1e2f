--- Sessions: dispatch, the chain of work, waiting, reports, ends.
local env = require("session_env")
local session = require("session")
local time = require("time")

local function chain()
  return {
    { name = "first", input = { "a" }, output = { "b" }, invoke = function(job, asset)
      job:send({ class = "b", value = asset.value })
    end },
    { name = "second", input = { "b" }, output = { "c" }, invoke = function(job, asset)
      job:send({ class = "c", value = asset.value })
    end },
  }
end

describe("a session", function()
  after_each(env.close_all)

  it("follows the synthetic tree over four capabilities, each asset once", function()
    local limit = 3000
    local caps = {}
    for i, name in ipairs({ "left", "right", "both", "back" }) do
      local cap = { name = name, input = { "node" }, output = { "node" } }
      caps[i] = cap
      function cap.invoke(job, asset)
        local n = tonumber(asset.value)
        local children = { { 2 * n }, { 2 * n + 1 }, { 2 * n, 2 * n + 1 }, { math.floor(n / 2) } }
        for _, child in ipairs(children[i]) do
          if child >= 1 and child <= limit then
            job:send({ class = "node", value = tostring(child) })
          end
        end
      end
    end
    local s = env.open(caps)
    env.run(s, "node", { "1" })
    local seen = {}
    for asset in s:assets() do
      assert.is_nil(seen[asset.value])
      seen[asset.value] = true
    end
    for i = 1, limit do
      assert.is_true(seen[tostring(i)])
      seen[tostring(i)] = nil
    end
    assert.is_nil(next(seen))
    local stats = assert(s:stats())
    assert.equal(4 * limit, stats.work_items_total)
    assert.equal(4 * limit, stats.work_items_completed)
    assert.equal(limit, stats.assets.node)
    assert.equal(limit, stats.capabilities.left.done)
    assert.equal(0, stats.queued)
    assert.equal(0, stats.running)
    assert.equal(0, stats.failed)
  end)

  it("answers what became of a dispatch", function()
    local s = env.open(chain(), { scope = { "!*.test", "*", "**" }, limits = { assets = 3 } })
    assert.equal("queued", s:dispatch({ class = "a", value = "1" }))
    assert.equal("duplicate", s:dispatch({ class = "a", value = "1" }))
    assert.equal("out_of_scope", s:dispatch({ class = "a", value = "x.test" }))
    s:wait("30s")
    assert.equal("over_limit", s:dispatch({ class = "a", value = "2" }))
    assert.same({ "duplicate", "over_limit" },
      s:dispatch({ { class = "a", value = "1" }, { class = "a", value = "3" } }))
  end)

  it("starts at once what carries meta", function()
    local s = env.open(chain())
    local outcome = s:dispatch({ class = "a", value = "1" }, { meta = true, priority = 1 })
    assert.equal("started", outcome)
    assert.is_truthy(s:wait("30s"))
    assert.same({ "1" }, env.values(s, "c"))
    assert.has_error(function() s:dispatch({ class = "a", value = "2" }, 5) end)
  end)

  it("takes a flood of results from one job", function()
    local s = env.open({ { name = "flood", input = { "a" }, output = { "b" },
      timeout = "60s", invoke = function(job)
        local done = channel.new()
        for fiber = 1, 50 do
          coroutine.spawn(function()
            for round = 1, 4 do
              local list = {}
              for i = 1, 100 do
                list[i] = { class = "b", value = ("%d-%d-%d"):format(fiber, round, i) }
              end
              assert(job:send(list))
            end
            done:send(true)
          end)
        end
        for _ = 1, 50 do
          done:receive()
        end
      end } })
    env.run(s, "a", { "1" })
    assert.equal(20000, assert(s:stats()).assets.b)
  end)

  it("stores what nobody takes", function()
    local s = env.open(chain())
    assert.equal("stored", s:dispatch({ class = "other", value = "1" }))
    assert.is_truthy(s:wait("30s"))
    assert.same({ "1" }, env.values(s, "other"))
  end)

  it("refuses what is no asset", function()
    local s = env.open(chain())
    local bad = {
      {}, { class = "a" }, { value = "x" },
      { class = "", value = "x" }, { class = "a", value = "" },
      { class = "a b", value = "x" }, { class = "a", value = 5 }, { class = "a", value = "a\0b" },
      { class = "a", value = "\200" }, { class = "a", value = ("x"):rep(65537) },
    }
    for _, asset in ipairs(bad) do
      local outcome, err = s:dispatch(asset)
      assert.is_nil(outcome)
      assert.equal("INVALID", err:kind())
    end
    local outcome, err = s:dispatch(nil)
    assert.is_nil(outcome)
    assert.equal("INVALID", err:kind())
    assert.has_error(function() s:dispatch("a:1") end)
  end)

  it("waits for a first dispatch, then for each round", function()
    local s = env.open(chain())
    local summary, err = s:wait("20ms")
    assert.is_nil(summary)
    assert.equal("TIMEOUT", err:kind())
    env.run(s, "a", { "1" })
    assert.is_truthy(s:wait("30s"))
    env.run(s, "a", { "2" })
    assert.same({ "1", "2" }, env.values(s, "c"))
    s:dispatch({ class = "a", value = "1" })
    assert.is_truthy(s:wait("30s"))
  end)

  it("times out while work goes on, and several may wait", function()
    local s = env.open({ { name = "slow", input = { "a" }, invoke = function()
      local go = process.listen("go")
      assert(process.registry.register("slow job"))
      go:receive()
    end } })
    s:dispatch({ class = "a", value = "1" })
    env.eventually(function() return process.registry.lookup("slow job") end)
    local _, err = s:wait("10ms")
    assert.equal("TIMEOUT", err:kind())
    local done = channel.new(2)
    for _ = 1, 2 do
      coroutine.spawn(function() done:send(s:wait("30s") ~= nil) end)
    end
    assert(process.send("slow job", "go", true))
    assert.is_true(done:receive("30s"))
    assert.is_true(done:receive("30s"))
  end)

  it("reports assets, edges, jobs, and how a thing was found", function()
    local s = env.open(chain())
    s:dispatch({ class = "a", value = "1", metadata = { from = "spec" } })
    s:wait("30s")
    local assets = env.list(s:assets())
    assert.equal(3, #assets)
    assert.equal("a:1", assets[1].key)
    assert.equal("spec", assets[1].metadata.from)
    assert.equal(2, assets[3].depth)
    assert.equal(1, #env.list(s:assets({ class = "(b|z)" })))
    assert.equal(2, #env.list(s:assets({ since = assets[1].id })))
    local edges = env.list(s:edges())
    assert.equal(2, #edges)
    assert.equal("first", edges[1].capability)
    local jobs = env.list(s:jobs())
    assert.equal(2, #jobs)
    assert.equal("completed", jobs[1].state)
    assert.equal(1, #env.list(s:jobs({ capability = "second" })))
    assert.equal(0, #env.list(s:jobs({ state = "failed" })))
    local path = assert(s:explain("c:1"))
    assert.equal(3, #path)
    assert.equal("a:1", path[1].key)
    assert.equal("second", path[3].capability)
    assert.is_truthy(s:why())
    assert.is_truthy(s:why_not("first", "a:1"))
    local missing, err = s:asset("c:9")
    assert.is_nil(missing)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("has a queue of its own", function()
    local s = env.open(chain(), { start = false })
    local q = s.queue
    local x, y = { class = "q", value = "x" }, { class = "q", value = "y" }
    assert.is_false(q:has(x))
    assert.is_true(q:append(x))
    assert.is_true(q:append(y))
    local again, err = q:append(x)
    assert.is_nil(again)
    assert.equal("ALREADY_EXISTS", err:kind())
    assert.is_true(q:has(x))
    assert.equal("x", q:next("q", 1)[1].value)
    assert.equal(2, #q:next("q", 10))
    assert.is_true(q:processed(x))
    assert.equal("y", q:next("q", 10)[1].value)
    assert.is_true(q:has(x))
    assert.is_true(q:delete(x))
    assert.is_false(q:has(x))
    assert.is_true(q:delete(x))
    assert.is_true(q:processed({ class = "q", value = "unknown" }))
  end)

  it("runs nothing before resume when it does not start", function()
    local s = env.open(chain(), { start = false })
    s:dispatch({ class = "a", value = "1" })
    local summary = s:wait("50ms")
    assert.is_nil(summary)
    assert.equal(0, #env.values(s, "c"))
    assert.is_true(s:resume())
    assert.is_truthy(s:wait("30s"))
    assert.same({ "1" }, env.values(s, "c"))
  end)

  it("pauses and goes on", function()
    local s = env.open(chain())
    assert.is_true(s:pause())
    s:dispatch({ class = "a", value = "1" })
    assert.is_nil((s:wait("50ms")))
    s:resume()
    assert.is_truthy(s:wait("30s"))
  end)

  it("ends by cancel: running jobs are asked, then ended", function()
    local s = env.open({
      { name = "asks", input = { "a" }, output = { "b" }, invoke = function(job, asset)
        job:send({ class = "b", value = "asks" .. asset.value })
        while not job:canceled() do
          time.sleep("2ms")
        end
        job:send({ class = "b", value = "saw it" })
      end },
      { name = "loops", input = { "a" }, output = { "b" }, invoke = function(job, asset)
        job:send({ class = "b", value = "loops" .. asset.value })
        while true do end
      end },
    }, { grace = "200ms" })
    s:dispatch({ class = "a", value = "1" })
    env.eventually(function() return #env.values(s, "b") == 2 end)
    local waited = channel.new(1)
    coroutine.spawn(function()
      local summary, err = s:wait("30s")
      waited:send(summary and "finished" or err:kind())
    end)
    assert.is_false(s:done())
    assert.is_true(s:cancel("enough"))
    assert.is_true(s:done())
    assert.equal("CANCELED", waited:receive("30s"))
    local outcome, err = s:dispatch({ class = "a", value = "2" })
    assert.is_nil(outcome)
    assert.equal("CANCELED", err:kind())
    assert.is_true(s:cancel("again"))
    s:close()
    -- what was cut short is for another run
    local queued = {}
    for _, job in ipairs(env.list(s:jobs({ state = "queued" }))) do
      queued[job.capability] = job.attempt
    end
    assert.is_truthy(queued.asks and queued.loops)
  end)

  it("closes, more than once, and can be opened again", function()
    local s = env.open(chain(), { name = "again" })
    env.run(s, "a", { "1" })
    assert.is_true(s:close())
    assert.is_true(s:close())
    assert.is_true(s:done())
    local outcome, err = s:dispatch({ class = "a", value = "2" })
    assert.is_nil(outcome)
    assert.equal("CANCELED", err:kind())
    assert.equal(3, #env.list(s:assets()))
    local other = env.open(chain(), { name = "again" })
    assert.equal("duplicate", other:dispatch({ class = "a", value = "1" }))
    env.run(other, "a", { "2" })
    assert.equal(6, #env.list(other:assets()))
  end)

  it("is refused a second time while it is open", function()
    env.open(chain(), { name = "twice" })
    local s, err = session.open({ name = "twice", dir = env.dir })
    assert.is_nil(s)
    assert.equal("CONFLICT", err:kind())
  end)

  it("refuses bad names and options", function()
    for _, name in ipairs({ "", "../x", ".hidden", "a/b", "a b", ("x"):rep(101) }) do
      local s, err = session.open({ name = name, dir = env.dir })
      assert.is_nil(s)
      assert.equal("INVALID", err:kind())
    end
    assert.has_error(function() session.open({ name = "x", dir = env.dir, colour = 1 }) end)
    assert.has_error(function() session.open({ name = 5 }) end)
    assert.has_error(function() session.open() end)
    assert.has_error(function() session.open({ name = "x", limits = { width = 1 } }) end)
    local s, err = session.open({ name = "x", dir = env.dir, capabilities = { { name = "y" } } })
    assert.is_nil(s)
    assert.equal("INVALID", err:kind())
  end)

  it("takes an empty list of capabilities as none", function()
    local s = env.open({})
    assert.equal("stored", s:dispatch({ class = "a", value = "1" }))
    assert.is_truthy(s:wait("30s"))
    assert.equal(1, #env.list(s:assets()))
  end)

  it("leaves no file when it is refused", function()
    local fs = require("fs")
    local caps = {}
    for i = 1, 63 do
      caps[i] = { name = "crowd" .. i, input = { "a" }, output = {}, invoke = function() end }
    end
    local s, err = session.open({ name = "refused", dir = env.dir, capabilities = caps })
    assert.is_nil(s)
    assert.equal("INVALID", err:kind())
    for _, suffix in ipairs({ ".sqlite", ".sqlite-wal", ".sqlite-shm", ".lock" }) do
      assert.is_nil((fs.stat(env.dir .. "/refused" .. suffix)))
    end
  end)

  it("is listed and removed", function()
    local s = env.open(chain(), { name = "listed" })
    env.run(s, "a", { "1" })
    local removed, err = session.remove("listed", env.dir)
    assert.is_nil(removed)
    assert.equal("CONFLICT", err:kind())
    s:close()
    local found
    for _, entry in ipairs(assert(session.list(env.dir))) do
      if entry.name == "listed" then found = entry end
    end
    assert.is_truthy(found)
    assert.is_true(session.remove("listed", env.dir))
    removed, err = session.remove("listed", env.dir)
    assert.is_nil(removed)
    assert.equal("NOT_FOUND", err:kind())
  end)

  it("is closed when the process that opened it ends", function()
    local name = "owned"
    local answer = assert(process.exec(function(dir, session_name)
      local opened = assert(require("session").open({ name = session_name, dir = dir }))
      opened:dispatch({ class = "a", value = "1" })
      return opened:done() and "closed" or "open"
    end, env.dir, name))
    assert.equal("open", answer)
    local s = env.eventually(function()
      return (session.open({ name = name, dir = env.dir }))
    end)
    assert.equal(1, #env.list(s:assets()))
    s:close()
  end)

  it("takes its own capabilities away again", function()
    local registry = require("registry")
    local s = env.open(chain())
    assert.is_truthy(registry.get("first"))
    local other = env.open({ chain()[1] })
    s:close()
    assert.is_truthy(registry.get("first"))
    assert.is_nil((registry.get("second")))
    other:close()
    assert.is_nil((registry.get("first")))
  end)

  it("reaches open sessions with what is registered later, back to older assets", function()
    local registry = require("registry")
    local s = env.open(nil)
    assert.equal("stored", s:dispatch({ class = "a", value = "old" }))
    s:wait("30s")
    local caps = chain()
    assert(registry.register(caps[1], { backfill = true }))
    assert(registry.register(caps[2]))
    s:dispatch({ class = "a", value = "new" })
    env.eventually(function() return #env.values(s, "c") == 2 end)
    assert.same({ "new", "old" }, env.values(s, "c"))
    registry.unregister("first")
    registry.unregister("second")
  end)
end)
